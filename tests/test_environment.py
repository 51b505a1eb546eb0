"""What a run notes of where it was made, and from what."""

import json
import shutil
import subprocess

import pytest
import torch
from safetensors.torch import load_file, save_file

import runs
from observer.callbacks import RunReport, checkpoint_callbacks
from observer.policy import Lora, PolicySpec, export_checkpoint
from observer.run.environment import WHOLE, environment, weights_digest
from observer.types import RefusedError


def git(folder, *words):
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


def test_versions_and_hardware_are_those_of_this_process():
    found = environment()
    assert found["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert found["versions"].keys() >= {"observer", "python", "transformers", "lightning"}
    assert found["hardware"]["cpus"] >= 1
    assert found["hardware"]["memory_gb"] > 0
    assert len(found["hardware"]["devices"]) == torch.cuda.device_count()


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_state_of_the_users_repository_is_noted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    git(tmp_path, "init")
    assert environment()["git"] is None  # there is no commit yet
    (tmp_path / "plugin.py").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    clean = environment()["git"]
    assert len(clean["commit"]) == 40
    assert not clean["dirty"]
    (tmp_path / "plugin.py").write_text("2")
    assert environment()["git"] == {"commit": clean["commit"], "dirty": True}


def test_where_there_is_no_repository_or_no_git_nothing_fails(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert environment()["git"] is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment()["git"] is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_any_element_counts_in_a_digest_of_weights_and_a_part_of_large_ones(dtype):
    weights = {
        "b": torch.zeros(3, 5, dtype=dtype),
        "a": torch.zeros(2, WHOLE, dtype=dtype),
        "c": torch.ones(()),
    }
    before = weights_digest(weights)
    assert weights_digest(dict(reversed(weights.items()))) == before
    digests = {before}
    for name, place in (("b", (2, 3)), ("a", (0, 0)), ("a", (1, -1)), ("a", (1, 0)), ("c", ())):
        weights[name][place] += 1
        digests.add(weights_digest(weights))
        weights[name][place] -= 1
    assert len(digests) == 6
    assert weights_digest(weights | {"b": torch.zeros(5, 3, dtype=dtype)}) not in digests
    assert weights_digest(weights) == before


@pytest.mark.whole
def test_a_run_its_checkpoints_its_resumption_and_its_export_say_where_they_come_from(tmp_path):
    options = {"prompts_per_step": 1, "steps_per_epoch": 1}

    def fit(steps, ckpt_path=None):
        data = runs.data_module(**options)
        trainer = runs.trainer(
            tmp_path / "run", steps, callbacks=checkpoint_callbacks(tmp_path / "run", 1, True)
        )
        report = next(callback for callback in trainer.callbacks if isinstance(callback, RunReport))
        report.export = True
        trainer.fit(runs.learner(max_tokens=8), datamodule=data, ckpt_path=ckpt_path)
        return data

    data = fit(1)
    first = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert first["rows"] == data.digests
    assert first["rows"].keys() == {"train", "val", "test"}
    fresh = runs.learner()
    fresh.configure_model()
    assert first["start"]["weights"] == weights_digest(fresh.policy.state_dict())
    assert "MiB" in first["start"]["weights_of"]
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["environment"] == first
    assert json.loads((tmp_path / "run" / "export" / "environment.json").read_text()) == first
    export_checkpoint(last, tmp_path / "exported")
    exported = json.loads((tmp_path / "exported" / "environment.json").read_text())
    assert exported == first
    fit(2, last)
    again = json.loads((tmp_path / "run" / "environment.resumed-1.json").read_text())
    assert again["start"] == first["start"]
    assert json.loads((tmp_path / "run" / "environment.json").read_text()) == first


def test_adapters_do_not_go_on_upon_other_weights_than_theirs(tmp_path):
    base = tmp_path / "base"
    shutil.copytree(runs.CHECKPOINT, base)

    def fit(steps, ckpt_path=None):
        spec = PolicySpec(str(base), lora=Lora(rank=2))
        trainer = runs.trainer(
            tmp_path / "run", steps, callbacks=checkpoint_callbacks(tmp_path / "run", 1, False)
        )
        data = runs.data_module(prompts_per_step=1, val=None, test=None)
        trainer.fit(runs.learner(policy=spec, max_tokens=8), datamodule=data, ckpt_path=ckpt_path)

    fit(1)
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    fit(2, last)
    weights = load_file(base / "model.safetensors")
    name = next(name for name in weights if "v_proj" in name)
    weights[name] = weights[name] + 1e-3
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        RefusedError, match=rf"the weights of {base} are not those that the adapters of {last}"
    ):
        fit(3, last)
