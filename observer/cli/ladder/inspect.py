"""``observer ladder inspect``: what is in a ladder, as tables and as a picture."""

from __future__ import annotations

import sys
from pathlib import Path

from observer.cli.configuration.plain_parser import PlainParser
from observer.run.files import refuse_output


def inspect_command(words: list[str]) -> None:
    """Show what is in a ladder.

    Args:
        words: the command line after ``observer ladder inspect``.

    Raises:
        RefusedError: there is no ladder.
    """
    parser = PlainParser(prog="observer ladder inspect", description="Show what is in a ladder.")
    parser.add_argument(
        "--output", default="runs/ladder", help="the folder of the ladder (default: runs/ladder)"
    )
    parser.add_argument("--png", help="the picture to write (default: ladder.png in that folder)")
    given = parser.parse_args(words)
    folder = Path(given.output)
    picture = Path(given.png) if given.png else folder / "ladder.png"
    if given.png:
        refuse_output(picture, replaced=True, option="--png")
    from rich.console import Console

    from observer.ladder.inspection.figures import read_figures
    from observer.ladder.inspection.picture import draw
    from observer.ladder.inspection.tables import tables

    figures = read_figures(folder)
    console = Console(width=None if sys.stdout.isatty() else 110)
    for table in tables(figures):
        console.print(table)
    draw(figures, picture)
    print(picture)
