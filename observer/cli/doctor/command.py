"""``observer doctor``: looks at all rows of a fit before it, and says what is to be mended."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from observer.cli.configuration.written import parts
from observer.cli.doctor.options import OPTIONS, AdmissionOptions
from observer.cli.parser import Parser, quieten, reduced
from observer.cli.scoring_options import learner_options
from observer.data.options import LadderOptions
from observer.doctor import Examination
from observer.doctor.findings import listing
from observer.doctor.told import Told
from observer.refusal import refuse_outside
from observer.rollout import PromptRenderer
from observer.run.files import refuse_output, whole_file
from observer.types import RefusedError
from observer.verifier import Verifier

LIST, PAGE = "findings.jsonl", "rows.html"
"""What it writes."""
OTHER_SECTIONS = frozenset(
    {"run_dir", "seed_everything", "trainer", "curriculum", "completions", "components", "alarms", "report"}
    | {"checkpoints", "waits", "ckpt_path"}
)
"""Options of a fit that decide nothing here."""


@dataclass(frozen=True)
class Job:
    """A parsed command line."""

    data: LadderOptions
    renderer: PromptRenderer | None
    verifier: Verifier
    output: Path


def doctor_command(learner: type | None, words: list[str]) -> int:
    """Look at the rows of a fit, print what is in them and what is to be mended, write the list and a page.

    Args:
        learner: the class that ``model`` configures; None for the default one.
        words: the command line, without the command.

    Returns:
        The exit status: 0 if a fit would train on the rows, else 1.

    Raises:
        RefusedError: an option is refused.
        KeyboardInterrupt: it was interrupted; what was found by then is printed and written.
    """
    from observer.doctor.page import page
    from observer.doctor.tables import sentences, tables

    quieten()
    job = read_job(learner, words)
    console = Console(width=None if sys.stdout.isatty() else 110)
    with closing(job.verifier), listing(job.output / LIST) as findings:
        examination = Examination(job.data, job.renderer, job.verifier, findings, Told(console))
        examination.run()
    with whole_file(job.output / PAGE) as file:
        file.writelines(page(examination.splits, job.renderer))
    limit = None if job.renderer is None else job.renderer.max_tokens
    console.print(*tables(examination.splits, findings, limit))
    for line in sentences(examination, findings):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for name in (LIST, PAGE):
        console.print(str(job.output / name), markup=False, highlight=False, soft_wrap=True)
    if examination.stopped:
        raise KeyboardInterrupt
    return 1 if findings.of("refused") or findings.of("interrupts") else 0


def read_job(learner: type | None, words: list[str]) -> Job:
    """Read a command line and the configurations that it names.

    Args:
        learner: the class that ``model`` configures; None for the default one.
        words: the command line, without the command.

    Raises:
        RefusedError: an option does not exist or has a wrong value, or no rows are named.
    """
    options, left_out = learner_options(learner, AdmissionOptions, OPTIONS)
    parser = _parser(options, left_out)
    words = reduced(words, partial(_needed, left_out=left_out))
    words = [word for part in parts(words) if not _elsewhere(part.name, left_out) for word in part.words]
    given = parser.instantiate(parser.parse_args(words))
    output = Path(given.output)
    if not output.is_dir():
        refuse_output(output)
    data, model = given.data, given.model
    if all(source is None for source in data.formats.values()):
        raise RefusedError("data.train is not set; name a row format and its options")
    refuse_outside("model.max_prompt_tokens", model.max_prompt_tokens, 1)
    renderer = None
    if model.policy is not None:
        from observer.policy import load_processor

        prompt = model.response_format.prompt
        renderer = PromptRenderer(load_processor(model.policy), prompt, model.max_prompt_tokens)
    return Job(data, renderer, Verifier(model.verifier), output)


def _parser(options: type, left_out: set[str]) -> Parser:
    parser = Parser(
        prog="observer doctor",
        description="Look at all rows of a fit before it: what would be refused, and what is in them. Takes "
        "the options of fit. Needs no GPU and no model weights. Ends with 1 where a row would be refused.",
    )
    parser.add_argument(
        "-c",
        "--config",
        action="config",
        help="The configuration of a run; only what decides which rows are refused is read.",
    )
    parser.add_argument(
        "--output", type=str, default="runs/doctor", help="The folder of the list and the page."
    )
    parser.add_argument(
        "--plugins", type=list[str] | str, default=[], help="Python files with strategies of your own."
    )
    parser.add_argument("--learner", type=str, default=None, help="Import path of the learner's class.")
    parser.add_class_arguments(
        options, "model", skip=left_out, fail_untyped=False, instantiate=False, sub_configs=True
    )
    parser.add_class_arguments(LadderOptions, "data", sub_configs=True)
    return parser


def _elsewhere(name: str, left_out: set[str]) -> bool:
    """Return whether an option of the command line decides nothing here."""
    section, _, option = name.partition(".")
    return section in OTHER_SECTIONS or (section == "model" and option.partition(".")[0] in left_out)


def _needed(file: str, content: Mapping[str, Any], left_out: set[str]) -> dict[str, Any]:
    """Return the options that decide which rows are refused; unknown names are left to the parser."""
    kept = {name: value for name, value in content.items() if not _elsewhere(name, left_out)}
    model = kept.get("model")
    if model is None:
        return {name: value for name, value in kept.items() if name != "model"}
    if not isinstance(model, Mapping):
        raise RefusedError(f"--config {file}: model is {model!r}; write its options in place, as a mapping")
    return kept | {
        "model": {name: value for name, value in model.items() if name.partition(".")[0] not in left_out}
    }
