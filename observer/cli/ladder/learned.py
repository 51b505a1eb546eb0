"""``observer ladder learned``: what a run has learned of a ladder's rows, as new columns."""

from __future__ import annotations

from pathlib import Path

from observer.cli.curriculum.learned import add_run, read_learned
from observer.cli.parser import Parser, quieten
from observer.data.checks.cache import file_digest
from observer.ladder.output.learned import write_learned
from observer.refusal import refuse_outside


def learned_command(words: list[str], configured: list[str]) -> None:
    """Write the columns of a ladder with those that a run has learned.

    Args:
        words: the command line after ``observer ladder learned``.
        configured: the words that name the run's configuration.

    Raises:
        RefusedError: there is no such run or ladder, one of them is not as it was, or they share no row.
    """
    quieten()
    parser = Parser(
        prog="observer ladder learned",
        description="Write learned.parquet: a ladder's columns, and what a run has learned of its rows.",
    )
    parser.add_argument("--output", type=str, default="runs/ladder", help="The folder of the ladder.")
    add_run(parser)
    given = parser.parse_args(words)
    refuse_outside("--prior_visits", given.prior_visits, 0)
    run_dir = Path(given.run_dir)
    run = read_learned(run_dir, given.checkpoint, configured)
    provenance = {
        "rollouts": run.rollouts,
        "prior_visits": given.prior_visits,
        "config": file_digest(run_dir / "config.yaml"),
        "checkpoint": file_digest(run.checkpoint),
    }
    file, merged, strange = write_learned(
        Path(given.output), run.rows, run.index, given.prior_visits, provenance
    )
    print(f"{file}: {merged:,} rows were visited in {run.rollouts:,} rollouts")
    if strange:
        print(f"{strange:,} more rows that the run has visited are not in this ladder")
