"""What a run writes of its evaluations: each answer of the last one, a line for each with what it cost."""

import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

import runs
from evaluated import curve
from observer.data import Jsonl
from observer.data.fingerprints import picture_digest, pictures_digest
from observer.metrics import read_outcomes
from observer.rollout import ScriptedEngine
from observer.types import Picture, RefusedError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two steps with three samples per held-out problem, some of them without pictures."""
    folder = tmp_path_factory.mktemp("run")
    rows = [{"id": f"row {row}", "question": "How many?", "answer": str(row % 2)} for row in range(7)]
    for row in (0, 5, 6):
        pixels = np.random.default_rng(row // 5).integers(0, 256, (28, 28, 3), np.uint8)
        name = "6.webp" if row == 6 else f"{row}.png"
        Image.fromarray(pixels).save(folder / name, lossless=True)
        rows[row] |= {"images": [name], "difficulty": 0.9}
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = runs.data_module(test=Jsonl(str(folder / "test.jsonl")), prompts_per_step=2, eval_batch=3)
    learner = runs.learner(engine=ScriptedEngine(runs.MIXED), held_out_samples=3)
    runs.trainer(folder, 2).fit(learner, datamodule=data)
    return folder


def test_each_answer_is_a_row_in_the_order_of_the_problems(run):
    found = read_outcomes(run / "heldout.parquet").to_pylist()
    asked = [("greedy", row, 0) for row in range(7)] + [("sampled", r, s) for r in range(7) for s in range(3)]
    assert [(line["mode"], int(line["id"][-1]), line["sample"]) for line in found] == asked
    by_id = {line["id"]: line["picture"] for line in found}
    assert by_id["row 5"] == by_id["row 6"] != by_id["row 0"], "a PNG and a WebP of the same pixels"
    assert len(by_id["row 5"]) == 32
    assert by_id["row 1"] == ""
    assert {line["source"] for line in found} == {"test.jsonl"}
    assert {line["kind"] for line in found} == {"integer"}
    assert {line["text"].partition(">")[0] for line in found} == {"<observe"}
    assert not all(line["truncated"] for line in found)
    assert all(line["length"] > 0 for line in found)


def test_figures_of_the_summary_are_those_of_the_outcomes(run):
    summary = json.loads((run / "summary.json").read_text())
    found = read_outcomes(run / "heldout.parquet").to_pandas()
    found["correct"] = found["verdict"] == "correct"
    for mode, after, prefix in (("greedy", "accuracy_after", ""), ("sampled", "sampled_after", "sampled_")):
        own = found[found["mode"] == mode]
        assert summary[after] == round(own["correct"].mean(), 4)
        levels = own.groupby("level")["correct"].mean()
        assert summary[f"{prefix}by_level_after"] == {str(k): round(v, 4) for k, v in levels.items()}
    sampled = found[found["mode"] == "sampled"]
    assert summary["format_rate"] == round(sampled["formatted"].mean(), 4)
    assert summary["length"] == pytest.approx(sampled["length"].mean(), abs=1e-4)
    assert summary["problems"] == 7
    assert 0 < summary["sampled_after"] < 1
    assert summary["update_norm"] > 0


def test_a_line_per_evaluation_says_what_training_had_cost(run):
    lines, drawn = curve(run), (run / "completions.jsonl").read_text().splitlines()
    tokens = Counter()
    for line in map(json.loads, drawn):
        tokens[line["step"]] += line["tokens"]
    costs = [(line["step"], line["split"], line["prompts"], line["tokens"]) for line in lines]
    assert costs == [(0, "test", 0, 0), (2, "val", 4, tokens.total()), (2, "test", 4, tokens.total())]
    summary = json.loads((run / "summary.json").read_text())
    for line, name in ((lines[0], "before"), (lines[-1], "after")):
        assert round(line["accuracy"], 4) == summary[f"accuracy_{name}"]
        assert round(line["sampled_accuracy"], 4) == summary[f"sampled_{name}"]
        assert line["levels"].keys() == summary[f"by_level_{name}"].keys()


def test_a_digest_is_of_the_pictures_in_their_order(problem):
    shades = [Image.new("RGB", (2, 2), colour) for colour in ("red", "blue")]
    red, blue = (Picture("any", lambda: (2, 2), lambda shade=shade: shade) for shade in shades)
    digests = [pictures_digest(problem(pictures=of)) for of in ((red,), (red, blue), (blue, red), ())]
    assert len(set(digests)) == 4
    assert digests[0] == picture_digest(shades[0])
    assert digests[3] == ""


def test_samples_below_one_are_refused():
    with pytest.raises(RefusedError, match=r"model\.held_out_samples is 0"):
        runs.learner(held_out_samples=0)
