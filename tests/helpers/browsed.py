"""Runs as directories of files, for the page of kept completions."""

import json

import numpy as np
from PIL import Image

from observer.callbacks.kept_pictures import keep_picture
from observer.types import Picture

HARM = "</script><script>document.title = 'harm'</script><img src=x onerror=\"document.title = 'harm'\">"
RIGHT = "<observe> 3 4 </observe><think> 3 + 4 = 7 </think><answer> 7 </answer>"
WRONG = "<observe> 3 4 </observe><think> 3 + 4 = 8 <answer> 8 </answer>"


def line(step, row, index, **changed):
    """A record as runs write it; odd completions are wrong, every fourth row has one that was cut."""
    wrong, cut = index % 2 == 1, row % 4 == 3 and index == 1
    return {
        "step": step,
        "id": f"row {row}",
        "level": row % 3,
        "question": f"<image>What is on board {row}?",
        "answer": "7",
        "index": index,
        "text": WRONG if wrong else RIGHT,
        "tokens": 18,
        "finish_reason": "length" if cut else "stop",
        "verdict": "wrong" if wrong else "correct",
        "reason": "'8' differs from '7'" if wrong else "'7' equals '7'",
        "extracted": "8" if wrong else "7",
        "components": {"accuracy": float(not wrong), "format": None},
        "reward": 1.5,
        "bonus": 0.25,
        "weight": 0.5,
        "pass_rate": 0.5,
        "advantage": -1.25 if wrong else 1.25,
    } | changed


def groups(run_dir, count, size=4, per_step=4, text="", side=64):
    """Yield the records of groups, as a run would keep them, with a picture each: of 200 at most."""
    kept = [_kept(run_dir, row, side) for row in range(min(count, 200))]
    for row in range(count):
        asked = {
            "prompt": [{"role": "system", "text": "Be brief."}, {"role": "user", "text": f"board {row}"}],
            "pictures": [kept[row % 200]],
        }
        for index in range(size):
            record = line(row // per_step, row, index)
            yield record | (asked if not index else {}) | {"text": record["text"] + text}


def _kept(run_dir, row, side):
    noise = np.random.default_rng(row).integers(0, 255, (side // 8, side // 8, 3), np.uint8)
    image = Image.fromarray(noise).resize((side, side))
    return keep_picture(Picture("one", lambda: image.size, lambda: image), run_dir, 448)


def write_run(run_dir, records):
    run_dir.mkdir(exist_ok=True)
    lines = [json.dumps(record) + "\n" for record in records]
    (run_dir / "completions.jsonl").write_text("".join(lines), encoding="utf-8")
    steps = sorted({record["step"] for record in map(json.loads, lines)})
    means = [{"step": step, "components": {"accuracy": {"mean": step / 10}}} for step in steps]
    (run_dir / "components.jsonl").write_text("".join(json.dumps(one) + "\n" for one in means))
    curve = [{"step": step, "split": "val", "accuracy": 0.5, "length": 18.0} for step in steps[::2]]
    (run_dir / "curve.jsonl").write_text("".join(json.dumps(one) + "\n" for one in curve))
    (run_dir / "summary.json").write_text('{"status": "complete"}')
    return run_dir
