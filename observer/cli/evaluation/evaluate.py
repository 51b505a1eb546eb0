"""``observer evaluate``: reads what is evaluated, evaluates it and prints the scores."""

from __future__ import annotations

import sys
from pathlib import Path

from observer.cli.parser import Parser, hide_bars, quieten
from observer.evaluation import Evaluation
from observer.run.files import refuse_output


def evaluate_command(words: list[str]) -> None:
    """Measure a model on benchmarks.

    Args:
        words: the command line after ``observer evaluate``.

    Raises:
        RefusedError: an option, the rows or the model is refused.
    """
    quieten()
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
    given = parser.parse_args(words)
    folder = Path(given.output)
    if not folder.is_dir():
        refuse_output(folder)
    found = parser.instantiate(given)
    evaluation = Evaluation(**{name: found[name] for name in Evaluation.__dataclass_fields__})
    from rich.console import Console

    from observer.evaluation.evaluating import evaluate
    from observer.evaluation.tables import tables

    hide_bars()
    scores = evaluate(evaluation, folder)
    console = Console(width=None if sys.stdout.isatty() else 150)
    for table in tables(scores):
        console.print(table)
    print(folder)
