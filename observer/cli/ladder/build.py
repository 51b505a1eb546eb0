"""``observer ladder build`` and ``merge``: reads the recipe, builds the ladder, says where it is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from observer.cli.parser import Parser, hide_bars, quieten
from observer.ladder import Recipe
from observer.ladder.recipe import models
from observer.refusal import refuse_outside
from observer.run.files import refuse_output
from observer.types import RefusedError

if TYPE_CHECKING:
    from observer.ladder.chunks import Part


def ladder_parser(what: str, description: str) -> Parser:
    """Return the parser of a command that takes a recipe."""
    parser = Parser(prog=f"observer ladder {what}", description=description)
    parser.add_argument("-c", "--config", action="config", help="The recipe, such as configs/ladder.yaml.")
    parser.add_argument("--output", type=str, default="runs/ladder", help="The folder of the ladder.")
    parser.add_argument(
        "--plugins", type=list[str] | str, default=[], help="Python files with steps or formats of your own."
    )
    parser.add_class_arguments(Recipe, None, sub_configs=True)
    return parser


def build_command(words: list[str]) -> None:
    """Build a ladder, or one part of its chunks.

    Args:
        words: the command line after ``observer ladder build``.

    Raises:
        RefusedError: an option or the input is refused.
    """
    quieten()
    parser = ladder_parser("build", "Build a difficulty ladder from rows; goes on where it was cut off.")
    parser.add_argument(
        "--part", type=str | None, default=None, help="Every n-th chunk alone: 3/8 is the third of eight."
    )
    parser.add_argument(
        "--plan", action="store_true", help="Print what is left to do at most, and build nothing."
    )
    parser.add_argument(
        "--timed_rows", type=int, default=0, help="Rows that --plan answers, to tell tokens and hours."
    )
    given = parser.parse_args(words)
    refuse_outside("--timed_rows", given.timed_rows, 0)
    from observer.ladder.building import build
    from observer.ladder.chunks import Part

    part = None if given.part is None else Part.read(given.part)
    recipe, folder = _recipe(parser, given)
    if given.plan:
        _print_plan(recipe, folder, part, given.timed_rows)
        return
    if models(recipe):
        hide_bars()
    build(recipe, folder, part)
    print(folder)


def _print_plan(recipe: Recipe, folder: Path, part: Part | None, timed: int) -> None:
    """Print what is left to do of a build, and what of it is a guess."""
    from rich.console import Console

    from observer.ladder.asker import ModelAsker
    from observer.ladder.building import work_of
    from observer.ladder.measuring import Measuring
    from observer.ladder.plan import plan, table

    if timed:
        hide_bars()
    costs = plan(Measuring(recipe, recipe.opened(), work_of(folder, part), ModelAsker), part, timed)
    Console(width=None if sys.stdout.isatty() else 110).print(table(costs))


def merge_command(words: list[str]) -> None:
    """Put the parts of a ladder together.

    Args:
        words: the command line after ``observer ladder merge``.

    Raises:
        RefusedError: chunks are missing, or were made otherwise.
    """
    quieten()
    parser = ladder_parser("merge", "Put the parts of a ladder together: the file of an unbroken build.")
    parser.add_argument(
        "--parts", type=list[str], default=[], help="Other folders with parts, beside that of --output."
    )
    given = parser.parse_args(words)
    recipe, folder = _recipe(parser, given)
    for path in given.parts:
        if not Path(path).is_dir():
            raise RefusedError(f"--parts {path}: there is no such folder; name one that a part was built in")
    from observer.ladder.building import merge

    merge(recipe, folder, [Path(path) for path in given.parts])
    print(folder)


def _recipe(parser: Parser, given: Namespace) -> tuple[Recipe, Path]:
    folder = Path(given.output)
    if not folder.is_dir():
        refuse_output(folder)
    found = parser.instantiate(given)
    options = {name: found[name] for name in Recipe.__dataclass_fields__}
    return Recipe(**options), folder
