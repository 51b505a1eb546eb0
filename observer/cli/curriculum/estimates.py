"""``observer curriculum estimates``: row difficulties as a run has measured them, for the next run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from observer.cli.parser import Parser, quieten, reduced
from observer.data.estimates import write_estimates
from observer.data.options import LadderOptions
from observer.data.row_record import RowRecord
from observer.data.rows import Rows
from observer.data.subset import Subset
from observer.run.checkpoints import resolve_checkpoint
from observer.run.files import refuse_output
from observer.types import RefusedError


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
    run_dir = Path(given.run_dir)
    if not (run_dir / "config.yaml").is_file():
        raise RefusedError(f"--run_dir {given.run_dir}: it holds no config.yaml; name the directory of a run")
    checkpoint = resolve_checkpoint(run_dir, given.checkpoint)
    state = torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)["LadderDataModule"]
    rows = _rows(run_dir, configured)
    index = rows.index()
    if index.digest != state["draws"]["ladder"]:
        raise RefusedError(
            f"{checkpoint} was drawn from {state['draws']['rows']} rows, and data.train of "
            f"{run_dir / 'config.yaml'} holds {len(index)} others now; bring back the file it was trained on"
        )
    if changes := RowRecord().changes({"train": rows}, state.get("fingerprints", {}), [run_dir]):
        raise RefusedError(f"{changes['train']}; bring back the file that {checkpoint} was trained on")
    index.load_state_dict(state["ladder"])
    output = Path(given.output)
    written = write_estimates(output, rows, index, given.prior_visits, given.visited_only)
    visited = len(index.seen[0])
    print(f"{output}: {written} rows, of which {visited} were visited in {state['step']} rollouts")


def _options() -> Parser:
    parser = Parser(
        prog="observer curriculum estimates",
        description="Write row difficulties as a run has measured them, for data.train.difficulty_from.",
    )
    parser.add_argument("--run_dir", type=str, required=True, help="The run.")
    parser.add_argument(
        "--checkpoint", "--ckpt_path", type=str, default="last", help="last, best, or a .ckpt file."
    )
    parser.add_argument("--output", type=str, default="estimates.jsonl", help="The file to write.")
    parser.add_argument(
        "--prior_visits",
        type=float,
        default=1.0,
        help="Visits that the difficulty before the run counts for.",
    )
    parser.add_argument("--visited_only", type=bool, default=False, help="Leave out rows without a visit.")
    return parser


def _rows(run_dir: Path, configured: list[str]) -> Rows:
    """Return the rows that a run was trained on: those of its configuration that it did not leave out."""
    parser = Parser()
    parser.add_argument("-c", "--config", action="config")
    parser.add_class_arguments(LadderOptions, "data", sub_configs=True)
    row_format = parser.instantiate(parser.parse_args(reduced(configured, _data))).data.formats["train"]
    rows = row_format.read()
    skipped = run_dir / "skipped_rows.jsonl"
    lines = skipped.read_text(encoding="utf-8").splitlines() if skipped.is_file() else []
    reasons = {r["id"]: r["reason"] for r in map(json.loads, lines) if r["split"] == "train"}
    bad = [(p.row, RefusedError(reasons[p.id])) for p in rows if p.id in reasons] if reasons else []
    return Subset(rows, bad) if bad else rows


def _data(file: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data section, which decides the rows."""
    if not isinstance(content.get("data"), Mapping):
        raise RefusedError(f"--config {file}: data is {content.get('data')!r}; name a run's own config.yaml")
    return {"data": content["data"]}
