"""``observer score``: reads the command line, calls ``observer.score`` and prints the totals."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from observer.cli.parser import Parser, default_rewards, quieten, reduced
from observer.cli.scoring_options import OPTIONS, ScoringOptions, learner_options
from observer.refusal import refuse_outside
from observer.rewards import Rubric
from observer.score import Recipe, audit_path, draw, score_file
from observer.types import RefusedError
from observer.verifier import Verifier


def print_scores(learner: type | None, words: list[str]) -> None:
    """Score the completions of a file and print the totals.

    Args:
        learner: the class that ``model`` configures; None for the default one.
        words: the command line, without the command.

    Raises:
        RefusedError: an option, the file or one of its rows is refused; then nothing is written.
    """
    quieten()
    job = read_job(learner, words)
    with closing(job.recipe.rubric.verifier):
        tally, audit = score_file(job.recipe, job.input, job.output, job.audit)
    console = Console()
    console.print(*draw(tally))
    if audit is not None:
        console.print(audit.summary())
        console.print(str(audit_path(job.output)), markup=False, highlight=False, soft_wrap=True)
    console.print(str(job.output), markup=False, highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Job:
    """A parsed command line."""

    recipe: Recipe
    input: Path
    output: Path
    audit: bool


def read_job(learner: type | None, words: list[str]) -> Job:
    """Read a command line and the configurations that it names.

    Args:
        learner: the class that ``model`` configures; None for ``ObserveLearner``, which also takes the place
            of one that is no such.
        words: the command line, without the command.

    Raises:
        RefusedError: an option does not exist or has a wrong value.
    """
    options, left_out = learner_options(learner, ScoringOptions, OPTIONS)
    parser = _parser(options, left_out)
    given = parser.instantiate(parser.parse_args(reduced(words, partial(_scoring_part, left_out=left_out))))
    model = given.model
    refuse_outside("model.advantage_clip", model.advantage_clip, above=0, finite=False, hint=", or null")
    recipe = Recipe(
        rubric=Rubric(model.rewards, model.response_format, Verifier(model.verifier)),
        advantage=model.advantage,
        combine=model.combine,
        weighting=model.weighting,
        advantage_clip=model.advantage_clip or float("inf"),
        policy=model.policy.path,
    )
    return Job(recipe, Path(given.input), Path(given.output), given.audit)


def _parser(options: type, left_out: set[str]) -> Parser:
    parser = Parser(
        prog="observer score",
        description="Score completions that you already have. Needs no GPU and no model weights.",
    )
    parser.add_argument(
        "-c",
        "--config",
        action="config",
        help="The configuration of a run; only what scoring needs is read: rewards, response_format, "
        "advantage, combine, weighting, advantage_clip and verifier of its model section.",
    )
    parser.add_argument("--input", type=str, required=True, help="JSONL rows with completions.")
    parser.add_argument(
        "--output",
        type=str,
        required=True,
        help="The JSONL file to write, one line per completion; must not exist.",
    )
    parser.add_argument(
        "--audit",
        action="store_true",
        help="Compare verdicts with those of a second checker; differences go to a file beside the output.",
    )
    parser.add_argument(
        "--plugins", type=list[str] | str, default=[], help="Python files with strategies of your own."
    )
    parser.add_argument("--learner", type=str, default=None, help="Import path of the learner's class.")
    parser.add_class_arguments(
        options,
        "model",
        skip=left_out,
        fail_untyped=False,
        instantiate=False,
        sub_configs=True,
    )
    parser.add_argument(
        "--model.policy.path",
        type=str | None,
        default=None,
        help="The model whose tokenizer counts the tokens of completions without lengths.",
    )
    parser.set_defaults({"model.rewards": default_rewards()})
    return parser


def _scoring_part(file: str, content: Mapping[str, Any], left_out: set[str]) -> dict[str, Any]:
    """Return the options that scoring reads; unknown names are kept, so that the parser refuses them."""
    model = content.get("model") or {}
    if not isinstance(model, Mapping):
        raise RefusedError(f"--config {file}: model is {model!r}; write its options in place, as a mapping")
    model = dict(model) | {
        key.removeprefix("model."): value for key, value in content.items() if key.startswith("model.")
    }
    kept: dict[str, Any] = {
        name: value
        for name, value in model.items()
        if name == "policy.path" or name.partition(".")[0] not in left_out
    }
    policy = model.get("policy")
    if isinstance(policy, Mapping) and "path" in policy:
        kept["policy"] = {"path": policy["path"]}
    return {"model": kept}
