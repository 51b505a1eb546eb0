"""``observer curriculum estimates``: row difficulties as a run has measured them, for the next run."""

from __future__ import annotations

from pathlib import Path

from observer.cli.curriculum.learned import add_run, read_learned
from observer.cli.parser import Parser, quieten
from observer.data.estimates import write_estimates
from observer.run.files import refuse_output


def estimates_command(words: list[str], configured: list[str]) -> None:
    """Write the difficulties of a run's rows, updated by its visits.

    Args:
        words: the command line after ``observer curriculum estimates``.
        configured: the words that name the run's configuration.

    Raises:
        RefusedError: there is no such run or checkpoint, or its rows are no longer those that it drew from.
    """
    quieten()
    given = _options().parse_args(words)
    refuse_output(given.output, replaced=True)
    run = read_learned(Path(given.run_dir), given.checkpoint, configured)
    output = Path(given.output)
    written = write_estimates(output, run.rows, run.index, given.prior_visits, given.visited_only)
    visited = len(run.index.seen[0])
    print(f"{output}: {written} rows, of which {visited} were visited in {run.rollouts} rollouts")


def _options() -> Parser:
    parser = Parser(
        prog="observer curriculum estimates",
        description="Write row difficulties as a run has measured them, for data.train.difficulty_from.",
    )
    add_run(parser)
    parser.add_argument("--output", type=str, default="estimates.jsonl", help="The file to write.")
    parser.add_argument("--visited_only", type=bool, default=False, help="Leave out rows without a visit.")
    return parser
