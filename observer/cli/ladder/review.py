"""``observer ladder review``: the rows that a person should look at, on one page of HTML."""

from __future__ import annotations

from pathlib import Path

from observer.cli.configuration.plain_parser import PlainParser
from observer.run.files import refuse_output, whole_file


def review_command(words: list[str]) -> None:
    """Write the review page of a ladder.

    Args:
        words: the command line after ``observer ladder review``.

    Raises:
        RefusedError: there is no ladder.
    """
    parser = PlainParser(
        prog="observer ladder review",
        description="Write one page of HTML with the rows that a person should look at, to decide on them.",
    )
    parser.add_argument(
        "--output", default="runs/ladder", help="the folder of the ladder (default: runs/ladder)"
    )
    parser.add_argument("--page", help="the page to write (default: review.html in that folder)")
    given = parser.parse_args(words)
    folder = Path(given.output)
    page = Path(given.page) if given.page else folder / "review.html"
    if given.page:
        refuse_output(page, replaced=True, option="--page")
    from observer.ladder.output.review import ladder_page

    pieces = ladder_page(folder)
    with whole_file(page) as file:
        file.writelines(pieces)
    print(page)
