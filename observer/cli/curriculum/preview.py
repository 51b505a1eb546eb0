"""``observer curriculum preview``: simulates the draws of a schedule and shows them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from observer.cli.callback_options import add_callback
from observer.cli.configuration.written import parts
from observer.cli.parser import Parser, quieten, reduced
from observer.curriculum import Schedule
from observer.curriculum.hooks import CurriculumHooks, checked_schedule
from observer.curriculum.preview import ASSUMPTIONS, simulate
from observer.curriculum.preview_figures import picture, table
from observer.data.options import LadderOptions
from observer.run.files import refuse_output
from observer.strategies import described, import_path
from observer.types import RefusedError

SECTIONS = {"data": None, "trainer": ("max_steps",), "seed_everything": None}
"""Sections of a configuration that decide the draws -> their options; None for all options."""


def preview_command(words: list[str]) -> None:
    """Show what a schedule would draw.

    Args:
        words: the command line after ``observer curriculum preview``.

    Raises:
        RefusedError: an option, the data or the schedule is refused.
    """
    quieten()
    _refuse_run_dir(words)
    parser = _parser()
    words = [_without_lightning(word) for word in reduced(words, _needed)]
    given = parser.instantiate(parser.parse_args(words))
    refuse_output(given.output, replaced=True)
    schedule, data = checked_schedule(given.curriculum), given.data
    if data.formats["train"] is None:
        raise RefusedError("data.train is not set; name a row format and its options")
    rows = data.formats["train"].read()
    updates = given.model.updates_per_rollout
    steps = given.steps or max(1, given.trainer.max_steps // updates)
    index = rows.index()
    drawn = simulate(
        index, schedule, steps, data.prompts_per_step, given.seed_everything, ASSUMPTIONS[given.assume]
    )
    title = f"{described(schedule)}: {data.prompts_per_step} prompts a step"
    if type(schedule).remember is not Schedule.remember:
        title += f"\npass rates are made up ({given.assume}): 1 - difficulty" + (
            ", fewer mistakes with every step" if given.assume == "improving" else ""
        )
    Console(width=None if sys.stdout.isatty() else 120).print(table(drawn, title))
    output = Path(given.output)
    picture(drawn, title, output)
    print(output)


def _refuse_run_dir(words: list[str]) -> None:
    """Refuse the option that names a run: that of ``estimates``."""
    for part in parts(words):
        if part.name == "run_dir":
            config = Path(part.value or "RUN_DIR") / "config.yaml"
            raise RefusedError(f"--run_dir {part.value}: a preview needs no run; write --config {config}")


def _parser() -> Parser:
    parser = Parser(
        prog="observer curriculum preview",
        description="Show what a schedule would draw. Needs no GPU and no model weights.",
    )
    parser.add_argument(
        "-c",
        "--config",
        action="config",
        help="The configuration of a run; only options that decide the draws are read.",
    )
    parser.add_argument("--output", type=str, default="curriculum.png", help="The picture to write, a PNG.")
    parser.add_argument("--steps", type=int | None, default=None, help="Rollouts; default: those of the run.")
    parser.add_argument(
        "--assume",
        type=Literal["base", "improving"],
        default="improving",
        help="Pass rates for schedules that use them: 1 - difficulty, or rising from there over the run.",
    )
    parser.add_argument(
        "--plugins", type=list[str] | str, default=[], help="Files with schedules of your own."
    )
    parser.add_argument("--learner", type=str, default=None, help="Import path of the learner's class.")
    parser.add_argument("--seed_everything", type=int, default=0, help="The seed of the run.")
    parser.add_argument("--trainer.max_steps", type=int, default=100, help="Optimizer steps of the run.")
    parser.add_argument(
        "--model.updates_per_rollout", type=int, default=1, help="Optimizer steps per rollout."
    )
    add_callback(parser, CurriculumHooks, "curriculum")
    parser.add_class_arguments(LadderOptions, "data", sub_configs=True)
    return parser


def _needed(file: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that decide the draws."""
    kept: dict[str, Any] = {}
    if (curriculum := content.get("curriculum")) is not None:
        kept["curriculum"] = _without_lightning(curriculum)
    for section, options in SECTIONS.items():
        value = content.get(section)
        if options and not isinstance(value, Mapping | None):
            raise RefusedError(f"--config {file}: {section} is {value!r}; write its options in place")
        if value is not None:
            kept[section] = value if options is None else {key: value[key] for key in options if key in value}
    model = content.get("model")
    if not isinstance(model, Mapping | None):
        raise RefusedError(f"--config {file}: model is {model!r}; write its options in place")
    updates = (model or {}).get("updates_per_rollout")
    if updates is not None:
        kept["model"] = {"updates_per_rollout": updates}
    return kept


def _without_lightning(curriculum: Any) -> Any:
    """Return a configuration of the callback that names the built-in one by its base, which draws the same.

    A subclass is built as it is: it may choose its schedule itself, and imports Lightning anyhow.
    """
    if isinstance(curriculum, Mapping):
        return {
            key: _without_lightning(value) if key == "class_path" else value
            for key, value in curriculum.items()
        }
    if not isinstance(curriculum, str):
        return curriculum
    option, equals, value = curriculum.rpartition("=")
    if value not in ("CurriculumCallback", "observer.curriculum.CurriculumCallback"):
        return curriculum
    return f"{option}{equals}{import_path(CurriculumHooks)}"
