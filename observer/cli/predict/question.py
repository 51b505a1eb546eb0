"""``observer predict --weights``: one question to the weights in a folder, without a configuration."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

from observer.answering.format_record import FORMAT_FILE, recorded_format
from observer.cli.configuration.written import parts
from observer.cli.parser import Parser, hide_bars, quieten
from observer.policy.model_files import SHIPPED, model_path
from observer.refusal import refuse_outside, shown
from observer.release.question import problem_of, spoken
from observer.rewards import Observe, ResponseFormat
from observer.rollout import Engine
from observer.types import RefusedError, Sampling

OTHER_WAY = ("config", "ckpt_path", "output", "samples", "run_dir", "learner", "format", "task", "pictures")
SECTIONS = ("model", "data", "trainer", "curriculum", "checkpoints")
"""Options of the way that answers rows, and sections of its configuration."""


def question_parser() -> Parser:
    """Return the parser of one question."""
    parser = Parser(
        prog="observer predict",
        description="Answer one question with the weights in a folder. With --config and --output instead, "
        "answer rows (observer predict --help).",
    )
    add = parser.add_argument
    add("--weights", type=str, required=True, help="A Hugging Face directory, such as runs/mine/export.")
    add("--question", type=str, required=True, help="What is asked; <image> marks where a picture goes.")
    add("--image", type=str, action="append", default=[], help="A local picture; once for each.")
    add("--gold", type=str | None, default=None, help="The right answer, for a verdict.")
    add("--kind", type=str | None, default=None, help="How the answer is checked; inferred from --gold.")
    add("--option", type=str, action="append", default=[], help="Text of an option of a choice, A first.")
    add(
        "--response_format",
        type=ResponseFormat | None,
        default=None,
        help=f"Prompt and reader of the response; that of {FORMAT_FILE} in the folder, or else Observe.",
    )
    add("--engine", type=Engine | None, default=None, help="Draws the response; TransformersEngine.")
    add("--max_tokens", type=int, default=1024, help="Of the response, at most.")
    add("--max_prompt_tokens", type=int, default=4096, help="A longer prompt is refused.")
    add("--temperature", type=float, default=0.0, help="0 is greedy.")
    add("--seed", type=int, default=0, help="Of what is drawn at a temperature.")
    add(
        "--dtype",
        type=Literal["float32", "bfloat16"],
        default="float32",
        help="Type of the weights in memory.",
    )
    add("--device", type=str, default="auto", help="Where weights go that no engine holds itself.")
    add("--plugins", type=list[str] | str, default=[], help="Python files with formats of your own.")
    return parser


def asks_one_question(words: Sequence[str]) -> bool:
    """Return whether a command line of ``predict`` is one question, and no rows.

    Raises:
        RefusedError: it is both, or a question without weights.
    """
    names = {part.name for part in parts(words[1:])}
    if "weights" not in names:
        if asked := names & {"image", "question", "gold"}:
            raise RefusedError(
                f"--{min(asked)} is of one question, which needs --weights: the folder of a model, such as "
                f"runs/mine/export"
            )
        return False
    if mixed := [name for name in sorted(names) if name in OTHER_WAY or name.partition(".")[0] in SECTIONS]:
        raise RefusedError(
            f"--weights and --{mixed[0]} are two ways to predict: one question to the weights in a folder, "
            f"or the rows of a configuration; leave one out"
        )
    return True


def question_command(words: list[str]) -> None:
    """Answer one question and print the response, and the verdict where there is a gold answer.

    Args:
        words: the command line after ``observer predict``.

    Raises:
        RefusedError: an option, a picture or the model is refused.
    """
    quieten()
    parser = question_parser()
    given = parser.instantiate(parser.parse_args(words))
    refuse_outside("--max_tokens", given.max_tokens, 1)
    refuse_outside("--max_prompt_tokens", given.max_prompt_tokens, 1)
    refuse_outside("--temperature", given.temperature, 0)
    problem = problem_of(given.question, given.image, given.gold, given.kind, given.option)
    folder = _folder(given.weights)
    form = given.response_format or recorded_format(folder)
    if form is None:
        form = Observe()
        print(f"observer: {folder} holds no {FORMAT_FILE}: asked in the format Observe", file=sys.stderr)
    hide_bars()
    import torch

    from observer.answering import Answerer
    from observer.policy import PolicySpec

    sampling = Sampling(1, given.max_tokens, temperature=given.temperature, seed=given.seed)
    spec = PolicySpec(str(folder), dtype=given.dtype)
    answerer = Answerer.of(spec, form, engine=given.engine, max_prompt_tokens=given.max_prompt_tokens)
    device = ("cuda" if torch.cuda.is_available() else "cpu") if given.device == "auto" else given.device
    with closing(answerer):
        # An engine that sets room aside needs no more than for this prompt.
        answerer.renderer.max_tokens = answerer.renderer.check(problem)
        answerer.start(spec, device=device, max_tokens=given.max_tokens)
        [scored] = answerer.answer([problem], sampling)
    completion, score = scored.groups[0].completions[0], scored.scores[0][0]
    print("\n".join(spoken(problem, completion, score, form, given.max_tokens)))


def _folder(weights: str) -> Path:
    """Return the folder that ``--weights`` means; nothing is fetched."""
    folder = model_path(weights)
    if (folder / "config.json").is_file():
        return folder
    if (folder / "export" / "config.json").is_file():
        raise RefusedError(f"--weights {weights} is a run; name its model, {folder / 'export'}")
    why = "holds no config.json" if folder.is_dir() else "there is no such directory"
    raise RefusedError(
        f"--weights {shown(weights)}: {why}; name a Hugging Face directory here, such as runs/mine/export, "
        f"or {', '.join(SHIPPED)}"
    )
