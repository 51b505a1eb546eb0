"""``observer browse``: the completions that a run or ``observer predict`` has kept, on one page of HTML."""

from __future__ import annotations

import re
from pathlib import Path

from observer.cli.configuration.plain_parser import PlainParser
from observer.refusal import printable, refuse_outside, shown
from observer.run.files import refuse_output, whole_file
from observer.types import RefusedError


def browse_command(words: list[str]) -> None:
    """Write the page of a run, or of predictions.

    Args:
        words: the command line after ``observer browse``.

    Raises:
        RefusedError: there is no such run or file, it holds no completions, or an option is out of its range.
    """
    parser = PlainParser(
        prog="observer browse",
        description="Write one page of HTML with the completions that a run has kept, and its curves; or "
        "with those that observer predict has written.",
    )
    parser.add_argument(
        "run",
        metavar="RUN",
        help="the directory of a run, also one that is going on, or the file that observer predict wrote",
    )
    parser.add_argument(
        "--output", help="the page to write (default: browse.html in that directory, or beside that file)"
    )
    parser.add_argument("--steps", help="FIRST:LAST, the steps whose groups are shown (default: all)")
    parser.add_argument(
        "--max_mb",
        type=int,
        default=100,
        help="megabytes of the page; beyond it pictures are shrunk, then groups left out (default: 100)",
    )
    given = parser.parse_args(words)
    refuse_outside("--max_mb", given.max_mb, 1, 2000)
    steps = None if given.steps is None else _steps(given.steps)
    completions, page = _of(Path(given.run))
    page = Path(given.output) if given.output else page
    refuse_output(page, replaced=True)
    from observer.browse.page import browse_page

    try:
        file = completions.open("rb")
    except OSError as error:
        raise RefusedError(f"{printable(completions)} cannot be read: {error.strerror}") from error
    with file:
        found = browse_page(completions, file, steps, given.max_mb * 1_000_000)
        with whole_file(page) as output:
            output.writelines(found.pieces)
    print(f"{printable(page)}: {page.stat().st_size / 1e6:.1f} MB")
    for sentence in found.told:
        print(f"  {printable(sentence, 1000)}")


def _of(place: Path) -> tuple[Path, Path]:
    """Return the file of the completions, and that of the page unless another one is named."""
    if place.is_file():
        return place, place.with_suffix(".html")
    if not place.is_dir():
        raise RefusedError(
            f"{printable(place)} is no directory; name that of a run, its --run_dir, or a file that observer "
            f"predict wrote"
        )
    completions = place / "completions.jsonl"
    if not completions.is_file():
        raise RefusedError(
            f"{printable(place)} holds no file completions.jsonl; name the directory of a run (--run_dir)"
        )
    return completions, place / "browse.html"


def _steps(given: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,15}):(\d{1,15})", given, re.ASCII)
    if found is None or int(found[1]) > int(found[2]):
        raise RefusedError(f"--steps {shown(given)} names no steps; write FIRST:LAST, such as 100:199")
    return int(found[1]), int(found[2])
