"""``observer ladder export``: the rows of a ladder as a file that another trainer reads."""

from __future__ import annotations

from pathlib import Path

from observer.cli.configuration.plain_parser import PlainParser
from observer.run.files import refuse_output

TRAINERS = ("trl", "verl", "easy_r1", "ms_swift")


def export_command(words: list[str]) -> None:
    """Write the rows of a ladder for another trainer.

    Args:
        words: the command line after ``observer ladder export``.

    Raises:
        RefusedError: there is no ladder, the file is there already, or a row would be another one in it.
    """
    parser = PlainParser(
        prog="observer ladder export",
        description="Write the rows of a ladder, in their order, as a file that another trainer reads.",
    )
    parser.add_argument(
        "--output",
        default="runs/ladder",
        help="the folder of the ladder, or its control.jsonl (default: runs/ladder)",
    )
    parser.add_argument("--to", required=True, choices=TRAINERS, help="the trainer")
    parser.add_argument("--file", help="the file to write (default: ladder.trl.parquet and so on, beside it)")
    given = parser.parse_args(words)
    from observer.data import Ladder
    from observer.ladder.output.made_from import export_file
    from observer.ladder.output.other_trainers import export_rows

    ladder = Ladder(given.output)
    file = Path(given.file or export_file(ladder.file, given.to))
    refuse_output(file, option="--file")
    count = export_rows(ladder, given.to, file)
    print(f"{file}: {count:,} rows in the schema of {given.to}")
