"""The options of ``observer predict`` for the rows of a configuration."""

from __future__ import annotations

from jsonargparse import ArgumentParser

from observer.release.lmms_eval import Form


def add_row_options(parser: ArgumentParser) -> None:
    """Add the options that of all runs only ``predict`` has."""
    add = parser.add_argument
    add(
        "--output",
        type=str,
        required=True,
        help="The file to write, one line per completion; must not exist.",
    )
    add("--samples", type=int, default=1, help="Completions per row.")
    add("--temperature", type=float, default=0.0, help="Of the completions; 0 is greedy.")
    add(
        "--pictures",
        type=bool,
        default=False,
        help="Keep the pictures too, shrunk, in pictures/ beside the file: observer browse shows them.",
    )
    add(
        "--format",
        type=Form,
        default="jsonl",
        help="Of the file: a line per completion; samples that lmms-eval compares with (--baseline); a log "
        "whose responses its model from_log scores again.",
    )
    add("--task", type=str, default="", help="Task of lmms-eval that the rows are of, for lmms-eval-log.")
