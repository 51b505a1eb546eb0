"""What a run has learned of its rows: read from its checkpoint, with the rows that it drew from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from observer.cli.parser import Parser, reduced
from observer.curriculum import LadderIndex
from observer.data.options import LadderOptions
from observer.data.row_record import RowRecord
from observer.data.rows import Rows
from observer.data.subset import Subset
from observer.run.checkpoints import resolve_checkpoint
from observer.types import RefusedError


@dataclass(frozen=True)
class Learned:
    """The rows of a run, and the pass rates that it has seen."""

    rows: Rows
    """Those that it drew from."""
    index: LadderIndex
    """With its visits."""
    rollouts: int
    """Finished ones."""
    checkpoint: Path
    """The file that it was read from."""


def add_run(parser: Parser) -> None:
    """Add the options that name a run, one of its checkpoints, and the weight of what was known before."""
    parser.add_argument("--run_dir", type=str, required=True, help="The run.")
    parser.add_argument(
        "--checkpoint", "--ckpt_path", type=str, default="last", help="last, best, or a .ckpt file."
    )
    parser.add_argument(
        "--prior_visits",
        type=float,
        default=1.0,
        help="Visits that the difficulty before the run counts for.",
    )


def read_learned(run_dir: Path, checkpoint: str, configured: list[str]) -> Learned:
    """Read what a run has learned.

    Args:
        run_dir: of the run.
        checkpoint: last, best, or a file.
        configured: the words that name the run's configuration.

    Raises:
        RefusedError: there is no such run or checkpoint, or its rows are no longer those that it drew from.
    """
    if not (run_dir / "config.yaml").is_file():
        raise RefusedError(f"--run_dir {run_dir}: it holds no config.yaml; name the directory of a run")
    file = resolve_checkpoint(run_dir, checkpoint)
    state = torch.load(file, weights_only=True, map_location="cpu", mmap=True)["LadderDataModule"]
    rows = _rows(run_dir, configured)
    index = rows.index()
    if index.digest != state["draws"]["ladder"]:
        raise RefusedError(
            f"{file} was drawn from {state['draws']['rows']} rows, and data.train of "
            f"{run_dir / 'config.yaml'} holds {len(index)} others now; bring back the file it was trained on"
        )
    if changes := RowRecord().changes({"train": rows}, state.get("fingerprints", {}), [run_dir]):
        raise RefusedError(f"{changes['train']}; bring back the file that {file} was trained on")
    index.load_state_dict(state["ladder"])
    return Learned(rows, index, state["step"], Path(file))


def _rows(run_dir: Path, configured: list[str]) -> Rows:
    """Return the rows that a run was trained on: those of its configuration that it did not leave out."""
    parser = Parser()
    parser.add_argument("-c", "--config", action="config")
    parser.add_class_arguments(LadderOptions, "data", sub_configs=True)
    row_format = parser.instantiate(parser.parse_args(reduced(configured, _data))).data.formats["train"]
    rows: Rows = row_format.read()
    skipped = run_dir / "skipped_rows.jsonl"
    lines = skipped.read_bytes().splitlines() if skipped.is_file() else []  # text would split at U+2028
    reasons = {r["id"]: r["reason"] for r in map(json.loads, lines) if r["split"] == "train"}
    bad = [(p.row, RefusedError(reasons[p.id])) for p in rows if p.id in reasons] if reasons else []
    return Subset(rows, bad) if bad else rows


def _data(file: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data section, which decides the rows."""
    if not isinstance(content.get("data"), Mapping):
        raise RefusedError(f"--config {file}: data is {content.get('data')!r}; name a run's own config.yaml")
    return {"data": content["data"]}
