"""What a run has written of its evaluations, without what no two runs have in common."""

import json


def curve(run_dir):
    """The lines of the learning curve, without seconds."""
    lines = [json.loads(line) for line in (run_dir / "curve.jsonl").read_text().splitlines()]
    assert all(line.pop("seconds") >= 0 for line in lines)
    return lines


def evaluations(run_dir):
    """The learning curve, the bytes of the outcomes, and how far a step moved the weights."""
    return curve(run_dir), (run_dir / "heldout.parquet").read_bytes(), update_norm(run_dir)


def update_norm(run_dir):
    """How far an optimizer step has moved the weights, on average."""
    return json.loads((run_dir / "summary.json").read_text())["update_norm"]
