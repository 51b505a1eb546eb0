"""The script that tells whether training works on a GPU: its path on a CPU, with a small model."""

import json

import pytest
import torch

from experiments.gpu import check

SMALL = ("--size", "tiny", "--cpu")
RUN = {
    "status": "passed", "seconds": 61.2, "parameters": 3_754_622_976, "trained": 59_867_136,
    "stages": [{"tokens": 8192, "draw_operations": 9.1e13}],
    "steady": dict(tokens=8192, sync_seconds=0.0, draw_seconds=5.0, update_seconds=2.0, step_seconds=7.0),
    "max_memory_allocated_gb": 14.31, "device_peak_gb": 15.9,
    "tokens_per_second": 1170.3, "drawn_tokens_per_second": 1638.4, "matmul_operations_per_second": 7.5e14,
    "draw_operations": 6e13, "draw_counted": False, "draw_operations_of_weights": 6e13, "draw_share": 0.016,
    "update_operations": 2.1e14, "update_counted": True, "update_operations_of_weights": 1.9e14,
    "update_share": 0.14,
    "plan": {"text": "all 11.2 14.0\n", "most_gb": 14.0},
}  # fmt: skip


def checked(work, *words):
    """Run the script; return its exit code and the JSON that it writes."""
    code = check.main([*words, "--work", str(work)])
    return code, json.loads((work / "gpu-check.json").read_text())


def test_parts_that_cannot_run_say_why_and_are_no_failure(tmp_path, capsys):
    code, report = checked(tmp_path, "--cpu")
    assert code == 0
    assert list(report["parts"]) == ["train", "vllm", "resume", "export"]
    assert {part["status"] for part in report["parts"].values()} == {"not run"}
    assert "train: not run: a 3B takes a GPU; --size tiny --cpu runs the same path" in capsys.readouterr().out


def test_a_reader_is_told_the_figures_of_a_gpu():
    told = "\n".join(check.lines_of("train", RUN))
    assert "train: passed in 61 s" in told
    assert "59,867,136 of 3,754,622,976 parameters train" in told
    assert "a step: 7.00 s (weights handed over 0.00, drawing 5.00, update 2.00)" in told
    assert "14.31 GB of torch's at most, 15.90 GB of the card; planned 14.00 GB, the card +14%" in told
    assert "drawing: 60 TFLOP (products with weights), 1.6% of that rate" in told
    assert "update: 210 TFLOP (counted; 190 of products with weights), 14.0% of that rate" in told
    assert "observer fit --plan says:\n    all 11.2 14.0" in told
    assert check.lines_of("vllm", {"status": "failed", "why": "none"}) == ["vllm: failed: none"]


@pytest.mark.whole
def test_three_steps_are_measured_and_their_operations_counted(tmp_path, capsys):
    code, report = checked(tmp_path, *SMALL, "--part", "train")
    said = capsys.readouterr().out
    found = report["parts"]["train"]
    assert (code, found["status"]) == (0, "passed"), found.get("why")
    assert report["machine"]["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert [stage["tokens"] for stage in found["stages"]] == [256] * 3
    assert found["trained"] < found["parameters"]
    for stage in ("draw", "update"):
        assert found[f"{stage}_counted"]
        assert 1 < found[f"{stage}_operations"] / found[f"{stage}_operations_of_weights"] < 2
        assert 0 < found[f"{stage}_share"] < 1
    assert "train: passed in" in said
    assert "memory of a GPU: not run: on a CPU" in said


@pytest.mark.slow
def test_a_run_is_killed_goes_on_and_is_exported(tmp_path):
    code, report = checked(tmp_path, *SMALL, "--part", "resume")
    found = report["parts"]["resume"]
    assert (code, found["status"]) == (0, "passed"), found.get("why")
    if found["engine"] == "TransformersEngine":
        assert found["completions_equal"] == found["rows_equal"] >= 48
    code, report = checked(tmp_path, *SMALL, "--part", "export")
    found = report["parts"]["export"]
    assert (code, found["status"]) == (0, "passed"), found.get("why")
    assert (found["run"], found["weights_changed"]) == ("resume", 14)
    # What was exported is no longer what it is compared with.
    (tmp_path / "model" / "model-00001-of-00001.safetensors").write_bytes(b"")
    code, report = checked(tmp_path, *SMALL, "--part", "export")
    assert (code, report["parts"]["export"]["status"]) == (1, "failed")
    assert "model-00001-of-00001.safetensors" in report["parts"]["export"]["why"]


@pytest.mark.slow
@pytest.mark.vllm
def test_vllm_draws_with_the_newest_vision_tower(tmp_path):
    code, report = checked(tmp_path, *SMALL, "--part", "vllm")
    found = report["parts"]["vllm"]
    assert (code, found["status"]) == (0, "passed"), found.get("why")
    off = {name: of["mean"] for name, of in found["tower"].items()}
    assert off["equal"] < 0.01
    assert off["stale"] > 0.1
    assert off["synced"] < 0.01
    assert len(found["sampler_gap"]) == 3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
def test_the_small_model_takes_all_parts_on_the_gpu(tmp_path):
    code, report = checked(tmp_path, "--size", "tiny")
    assert code == 0, report["parts"]
    assert report["parts"]["train"]["max_memory_allocated_gb"] > 0
