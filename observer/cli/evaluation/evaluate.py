"""``observer evaluate``: reads what is evaluated, evaluates it and prints the scores."""

from __future__ import annotations

import sys
from pathlib import Path

from jsonargparse import Namespace

from observer.cli.evaluation import RECIPE
from observer.cli.parser import Parser, hide_bars, quieten
from observer.evaluation import Evaluation
from observer.refusal import refuse_outside
from observer.run.files import refuse_output, whole_file


def evaluate_command(words: list[str]) -> None:
    """Measure a model on benchmarks.

    Args:
        words: the command line after ``observer evaluate``.

    Raises:
        RefusedError: an option, the rows or the model is refused.
    """
    quieten()
    parser = evaluation_parser()
    parser.add_argument("--plan", action="store_true", help="Print what is left to ask, and ask nothing.")
    parser.add_argument(
        "--timed_rows", type=int, default=0, help="Rows that --plan asks of each benchmark, to tell hours."
    )
    given = parser.parse_args(words)
    refuse_outside("--timed_rows", given.timed_rows, 0)
    folder = Path(given.output)
    if not folder.is_dir():
        refuse_output(folder)
    evaluation = evaluation_of(parser, given)
    if given.plan:
        _print_plan(evaluation, folder, given.timed_rows)
        return
    from rich.console import Console

    from observer.evaluation.evaluating import evaluate
    from observer.evaluation.tables import tables

    hide_bars()
    scores = evaluate(evaluation, folder)
    for name in ("output", "plan", "timed_rows"):  # the folder may be moved
        given.pop(name)
    with whole_file(folder / RECIPE) as file:
        file.write(parser.dump(given))
    console = Console(width=None if sys.stdout.isatty() else 150)
    for table in tables(scores):
        console.print(table)
    print(folder)


def _print_plan(evaluation: Evaluation, folder: Path, timed: int) -> None:
    """Print what is left to do of an evaluation."""
    from rich.console import Console

    from observer.evaluation.evaluating import WORK
    from observer.evaluation.plan import plan, table

    if timed:
        hide_bars()
    costs = plan(evaluation, folder / WORK, timed)
    Console(width=None if sys.stdout.isatty() else 110).print(table(costs))


def evaluation_parser() -> Parser:
    """Return the parser of an evaluation's configuration."""
    parser = Parser(
        prog="observer evaluate",
        description="Measure a model on benchmarks; goes on where it was cut off.",
    )
    parser.add_argument(
        "-c", "--config", action="config", help="What is evaluated, such as configs/eval.yaml."
    )
    parser.add_argument("--output", type=str, default="runs/evaluation", help="The folder of the evaluation.")
    parser.add_argument(
        "--plugins",
        type=list[str] | str,
        default=[],
        help="Python files with formats or engines of your own.",
    )
    parser.add_class_arguments(Evaluation, None, sub_configs=True)
    return parser


def evaluation_of(parser: Parser, given: Namespace) -> Evaluation:
    """Return what parsed options evaluate; nothing is opened."""
    found = parser.instantiate(given)
    return Evaluation(**{name: found[name] for name in Evaluation.__dataclass_fields__})
