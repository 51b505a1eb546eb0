"""``observer compare``: two or more evaluations of the same rows, in the terminal and on a page."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from observer.cli.configuration.plain_parser import PlainParser
from observer.cli.evaluation import RECIPE
from observer.refusal import refuse_outside
from observer.run.files import refuse_output, whole_file, write_json
from observer.types import RefusedError

if TYPE_CHECKING:
    from observer.evaluation.comparison.paired import Verdicts
    from observer.evaluation.comparison.reading import Evaluated

PAGE_ROWS = 200
"""Rows of a page: some 10 MB with photographs."""


def compare_command(words: list[str], configured: Callable[[str], list[str]]) -> None:
    """Compare models that were asked the same rows.

    Args:
        words: the command line after ``observer compare``.
        configured: gives the words by which a parser reads a configuration file; imports its plugins.

    Raises:
        RefusedError: an evaluation is not finished, or they cannot be compared.
    """
    parser = PlainParser(
        prog="observer compare",
        description="Compare two or more models that observer evaluate has asked the same rows.",
    )
    parser.add_argument("folders", nargs="+", help="the folders of the evaluations; the first is the base")
    parser.add_argument(
        "--output",
        default="runs/compare.json",
        help="the file of all that was found (default: runs/compare.json)",
    )
    parser.add_argument("--page", help="write this page of HTML, with the pictures and what each model wrote")
    parser.add_argument(
        "--page_rows",
        type=int,
        default=PAGE_ROWS,
        help=f"rows on the page at most, those on which the models disagree first (default: {PAGE_ROWS})",
    )
    parser.add_argument(
        "--config",
        help="what reads the rows again for their pictures (default: evaluation.yaml of the first folder)",
    )
    given = parser.parse_args(words)
    refuse_outside("--page_rows", given.page_rows, 1)
    for place in filter(None, (given.output, given.page)):
        refuse_output(place, replaced=True)
    from rich.console import Console

    from observer.evaluation.comparison.comparing import compare
    from observer.evaluation.comparison.reading import read_evaluations
    from observer.evaluation.comparison.tables import tables

    evaluations = read_evaluations(given.folders)
    found, verdicts = compare(evaluations)
    if given.page:
        config = given.config or str(evaluations[0].folder / RECIPE)
        told = _write_page(Path(given.page), given.page_rows, evaluations, verdicts, configured, config)
    write_json(Path(given.output), found)
    console = Console(width=None if sys.stdout.isatty() else 150)
    for table in tables(found):
        console.print(table)
    print(given.output)
    if given.page:
        print(f"{given.page}: {told}")


def _write_page(
    page: Path,
    most: int,
    evaluations: Sequence[Evaluated],
    verdicts: Mapping[str, Verdicts],
    configured: Callable[[str], list[str]],
    config: str,
) -> str:
    """Write the page; return what is on it."""
    from observer.cli.evaluation.evaluate import evaluation_of, evaluation_parser
    from observer.evaluation.comparison.page import choose, comparison_page, same_rows, told

    if not Path(config).is_file():
        raise RefusedError(
            f"--page: {config} is no file; name with --config the configuration of the evaluation, which "
            f"reads the rows with their pictures"
        )
    parser = evaluation_parser()
    sources = evaluation_of(parser, parser.parse_args(configured(config))).benchmarks
    if lacking := [name for name in verdicts if name not in sources]:
        raise RefusedError(
            f"--page: {config} has no benchmark {lacking[0]}; name with --config a configuration that has all"
        )
    chosen = choose(verdicts, [one.name for one in evaluations], most)
    opened = {
        name: same_rows(evaluations[0], name, sources[name])
        for name in dict.fromkeys(one.benchmark for one in chosen)
    }
    about = told(chosen, verdicts)
    with whole_file(page) as file:
        file.writelines(comparison_page(evaluations, chosen, opened, about))
    return about
