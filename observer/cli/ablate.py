"""``observer ablate plan | run | report``: grids of runs."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from observer.ablation.configured import Parse, refusals, refuse_changed
from observer.ablation.grid import Grid, read_grid
from observer.cli.config_file import read_config
from observer.cli.configuration.plain_parser import PlainParser
from observer.cli.configuration.shipped import config_file
from observer.refusal import nearest, refuse_outside, shown
from observer.types import RefusedError


def ablate_command(what: str, words: list[str], parse: Parse) -> int:
    """Run a command on a grid file.

    Args:
        what: name of the command.
        words: the command line after it.
        parse: the parser of ``observer fit``, which imports Lightning when it is first called.

    Returns:
        The exit code.

    Raises:
        RefusedError: there is no such command, or the grid file or an option is refused.
    """
    if what not in COMMANDS:
        near = nearest(what, COMMANDS)
        told = f"near it: {', '.join(near)}" if near else f"there are {', '.join(COMMANDS)}"
        raise RefusedError(f"observer ablate {what!r} does not exist; {told}")
    return COMMANDS[what](words, parse)


def options(what: str, description: str) -> PlainParser:
    """Return the parser of a command, with the options that all have."""
    parser = PlainParser(prog=f"observer ablate {what}", description=description)
    parser.add_argument("grid", help="the grid file, see docs/ablation.md")
    parser.add_argument("--output", help="directory of the grid (default: runs/NAME OF THE FILE)")
    return parser


def checked_grid(path: str) -> Grid:
    """Read a grid file, whose configurations must be there."""
    grid = read_grid(path)
    for base in grid.base:
        read_config(f"{path}: base", config_file(base))
    return grid


def commands(grid: Grid, output: Path) -> list[str]:
    """Return a line per run, as a shell reads it.

    Raises:
        RefusedError: a line break in a value would make two of it.
    """
    lines = []
    for run in grid.runs(output):
        if broken := next((word for word in run.words if len(word.splitlines()) > 1), None):
            raise RefusedError(
                f"--commands: {run.name} has {shown(broken)}, with a line break, and prints a line per run; "
                "write the value without it, or use observer ablate run"
            )
        lines.append(shlex.join(["observer", *run.words]))
    return lines


def plan_command(words: list[str], parse: Parse) -> int:
    """List the runs of a grid, what they will cost, and what they can show."""
    parser = options(
        "plan", "List the runs of a grid, what they cost and whether its axes can show anything."
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes at once, for the hours (default: 1)")
    only = parser.add_mutually_exclusive_group()
    only.add_argument(
        "--commands", action="store_true", help="print one observer fit line per run, and nothing else"
    )
    only.add_argument("--no_probe", action="store_true", help="list the runs, and time no step")
    given = parser.parse_args(words)
    refuse_outside("--jobs", given.jobs, 1)
    grid = checked_grid(given.grid)
    output = Path(given.output or grid.output)
    if given.commands:
        print("\n".join(commands(grid, output)))
        return 0
    from observer.ablation.plan import print_plan

    print_plan(grid, output, given.jobs, None if given.no_probe else parse)
    return 0


def run_command(words: list[str], parse: Parse) -> int:
    """Run what is left of a grid."""
    parser = options(
        "run", "Run a grid: skips what is done, resumes what was cut off, tries again what failed."
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes at once (default: 1)")
    given = parser.parse_args(words)
    refuse_outside("--jobs", given.jobs, 1)
    grid = checked_grid(given.grid)
    output = Path(given.output or grid.output)
    from observer.ablation.record import write_record
    from observer.ablation.runner import Runner
    from observer.ablation.table import Board
    from observer.run.locks import only_one

    with only_one(output, output, "worked on"):
        runs = grid.runs(output)
        refused = refusals(grid, output, parse)
        refuse_changed(runs, parse)
        write_record(grid, output)
        return Runner(grid, runs, given.jobs, Board(grid), refused).run()


def report_command(words: list[str], parse: Parse) -> int:
    """Write what the runs of a grid say, and print the most of it."""
    parser = options("report", "Say what a grid shows and what it does not, from the runs that are complete.")
    given = parser.parse_args(words)
    grid = read_grid(given.grid)
    output = Path(given.output or grid.output)
    if not output.is_dir():
        raise RefusedError(f"--output {output} is not there; run the grid first, or name its directory")
    from rich.console import Console

    from observer.ablation.report.terminal import show
    from observer.ablation.report.writing import REPORT_FILE, write_report

    report = write_report(grid, output)
    show(report, Console(width=None if sys.stdout.isatty() else 120))
    print(output / REPORT_FILE)
    return 0


COMMANDS: dict[str, Callable[[list[str], Parse], int]] = {
    "plan": plan_command,
    "run": run_command,
    "report": report_command,
}
"""Word after ``observer ablate`` -> what it does."""
