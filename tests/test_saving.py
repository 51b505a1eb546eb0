"""Saved weights: adapters merged in float32, one weight at a time, under the names of transformers."""

import json

import pytest
import torch
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import load_file
from torch.profiler import ProfilerActivity, profile
from transformers import AutoModelForImageTextToText, Qwen3VLMoeConfig

import runs
from cases import KIN, TEXT, TOKENS, VISION, awaken
from observer.callbacks import RunReport
from observer.learner.failure import failure_saved
from observer.policy import Lora, Policy, PolicySpec
from observer.policy import weights_file as files
from observer.policy.model_files import FAMILIES
from observer.types import Experience

ADAPTERS = Lora(rank=2, alpha=4)
MOE = {"num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 16, "decoder_sparse_step": 1}
ALL_KIN = KIN | {
    "Qwen3-VL-MoE": lambda: Qwen3VLMoeConfig(
        text_config=TEXT | MOE, vision_config=KIN["Qwen3-VL"]().vision_config.to_dict() | VISION, **TOKENS
    )
}


def half_trained(fresh_policy, size=2e-5):
    """Adapters on bfloat16 weights whose update is about 1e-4 of a weight, as after a short run."""
    policy = fresh_policy(lora=ADAPTERS, dtype="bfloat16")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora_B" in name:
                parameter.copy_(size * torch.randn(parameter.shape, generator=generator))
    return policy


def updates(policy):
    """Of each adapted weight by its name: what it was, and what the adapters add, both float32."""
    for name, layer in policy.model.named_modules():
        if hasattr(layer, "lora_A"):
            with torch.no_grad():
                change = 2.0 * (layer.lora_B["default"].weight @ layer.lora_A["default"].weight)
            yield f"{name}.weight", layer.base_layer.weight.detach().float(), change


def loaded(folder, **options):
    return AutoModelForImageTextToText.from_pretrained(folder, **options)


def test_an_update_of_a_ten_thousandth_on_bfloat16_weights_is_saved_whole(fresh_policy, tmp_path):
    policy = half_trained(fresh_policy)
    assert policy.save_pretrained(tmp_path) is None
    saved = loaded(tmp_path).state_dict()
    for name, base, change in updates(policy):
        assert 2e-5 < change.abs().mean() / base.abs().mean() < 5e-4
        assert torch.equal(saved[name], base + change)


def test_other_weights_are_saved_as_they_are_and_all_as_float32(fresh_policy, policy, tmp_path):
    half_trained(fresh_policy).save_pretrained(tmp_path)
    saved, adapted = loaded(tmp_path).state_dict(), {name for name, *_ in updates(half_trained(fresh_policy))}
    assert {value.dtype for value in saved.values()} == {torch.float32}
    for name, value in policy.model.state_dict().items():
        assert name in adapted or torch.equal(saved[name], value.bfloat16().float())
    config = json.loads((tmp_path / "config.json").read_text())
    parts = (config, config["text_config"], config["vision_config"])
    assert [part["dtype"] for part in parts] == ["float32"] * 3


def test_bfloat16_that_is_asked_for_says_how_much_of_the_update_is_left(fresh_policy, tmp_path):
    policy = half_trained(fresh_policy)
    said = policy.save_pretrained(tmp_path, torch.bfloat16).described()
    saved = load_file(tmp_path / "model.safetensors")
    assert {value.dtype for value in saved.values()} == {torch.bfloat16}
    model = loaded(tmp_path, dtype=torch.float32).state_dict()
    kept = moved = meant = update = 0
    for name, base, change in updates(policy):
        assert torch.equal(model[name], (base + change).bfloat16().float())
        step = (model[name] - base).double()
        kept, update = kept + float((step * change).sum()), update + float(change.double().square().sum())
        moved, meant = moved + int(step.count_nonzero()), meant + int(change.count_nonzero())
    assert moved / meant < 0.1
    assert said.startswith(f"bfloat16 keeps {kept / update:.1%} of what the adapters learned: ")
    assert f" {moved / meant:.1%} of the weights that they change differ" in said


def test_merging_takes_one_weight_of_memory_beside_the_model(fresh_policy, tmp_path):
    policy = half_trained(fresh_policy)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        policy.save_pretrained(tmp_path)
    now = most = 0
    for event in seen.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            most = max(most, now)
    largest = max(4 * parameter.numel() for parameter in policy.parameters())
    assert 0 < most <= 1.01 * largest
    assert largest < 0.1 * sum(4 * parameter.numel() for parameter in policy.parameters())


def test_the_adapters_beside_the_model_are_those_of_peft(fresh_policy, tmp_path):
    policy = awaken(fresh_policy(lora=ADAPTERS))
    policy.save_pretrained(tmp_path)
    base = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"]
    adapted = PeftModel.from_pretrained(loaded(base), tmp_path / "adapter").merge_and_unload().state_dict()
    merged = loaded(tmp_path).state_dict()
    assert adapted.keys() == merged.keys()
    assert all(torch.equal(value, adapted[name]) for name, value in merged.items())
    assert any(not torch.equal(value, loaded(base).state_dict()[name]) for name, value in merged.items())


def test_weights_above_the_limit_are_cut_into_files_with_an_index(fresh_policy, tmp_path, monkeypatch):
    policy = awaken(fresh_policy(lora=ADAPTERS))
    policy.save_pretrained(tmp_path / "one")
    monkeypatch.setattr(files, "SHARD_BYTES", 10**6)
    policy.save_pretrained(tmp_path / "many")
    index = json.loads((tmp_path / "many" / "model.safetensors.index.json").read_text())
    shards = sorted(path.name for path in (tmp_path / "many").glob("*.safetensors"))
    assert len(shards) > 2
    assert shards == [f"model-{n:05d}-of-{len(shards):05d}.safetensors" for n in range(1, len(shards) + 1)]
    held = {}
    for shard in shards:
        names = safe_open(tmp_path / "many" / shard, "pt").keys()
        assert (tmp_path / "many" / shard).stat().st_size < 10**6 + 100 * len(list(names)) + 100
        held |= dict.fromkeys(names, shard)
    assert index["weight_map"] == held
    whole = loaded(tmp_path / "one").state_dict()
    assert index["metadata"]["total_size"] == sum(
        4 * v.numel() for n, v in whole.items() if n != "lm_head.weight"
    )
    assert all(
        torch.equal(value, whole[name]) for name, value in loaded(tmp_path / "many").state_dict().items()
    )


@pytest.fixture(autouse=True)
def _experts(monkeypatch):
    """Experts are no family that is trained, for no engine here decodes them; how they are saved is known."""
    monkeypatch.setitem(FAMILIES, "qwen3_vl_moe", "Qwen3-VL-MoE")


@pytest.mark.parametrize("kin", ["Qwen2.5-VL", *ALL_KIN])
def test_files_are_those_that_transformers_writes(fresh_policy, processor, tmp_path, kin):
    if kin in ALL_KIN:
        ALL_KIN[kin]().save_pretrained(tmp_path)
        policy = Policy(PolicySpec(str(tmp_path), from_scratch=True), processor)
    else:
        policy = fresh_policy()
    policy.save_pretrained(tmp_path / "ours")
    policy.model.save_pretrained(tmp_path / "theirs")
    for file in ("model.safetensors", "config.json"):
        assert (tmp_path / "ours" / file).read_bytes() == (tmp_path / "theirs" / file).read_bytes()


@pytest.mark.parametrize("kin", ALL_KIN)
def test_adapters_of_the_kin_are_merged_under_their_published_names(processor, tmp_path, kin):
    ALL_KIN[kin]().save_pretrained(tmp_path)
    Policy(PolicySpec(str(tmp_path), from_scratch=True), processor).save_pretrained(tmp_path / "base")
    policy = awaken(Policy(PolicySpec(str(tmp_path / "base"), lora=ADAPTERS), processor))
    policy.save_pretrained(tmp_path / "merged")
    base, merged = (load_file(tmp_path / name / "model.safetensors") for name in ("base", "merged"))
    assert base.keys() == merged.keys()
    saved = loaded(tmp_path / "merged").state_dict()
    changed = {name: before + change for name, before, change in updates(policy)}
    assert len(changed) > 5
    assert all(torch.equal(saved[name], value) for name, value in changed.items())


@pytest.mark.parametrize(("asked", "found"), [(None, torch.bfloat16), (torch.float32, torch.float32)])
def test_all_weights_trained_are_saved_in_their_own_type_unless_another_is_asked_for(
    fresh_policy, tmp_path, asked, found
):
    policy = fresh_policy(dtype="bfloat16")
    assert policy.save_pretrained(tmp_path, asked) is None
    saved = loaded(tmp_path, dtype="auto")
    assert saved.dtype == found
    assert all(torch.equal(v, policy.model.state_dict()[n].to(found)) for n, v in saved.state_dict().items())


def test_a_failure_in_mixed_precision_saves_the_whole_update_and_the_adapters(
    fresh_policy, groups_of, tmp_path
):
    policy = half_trained(fresh_policy)
    empty = torch.zeros(0)
    experience = Experience([], [], empty, empty, empty, empty, empty)
    with (
        pytest.raises(FloatingPointError, match="the batch and the weights are in"),
        torch.autocast("cpu", torch.bfloat16),
        failure_saved(tmp_path, 3, policy, experience),
    ):
        raise FloatingPointError("the loss is nan")
    folder = tmp_path / "failure" / "step-000003-rank-0" / "policy"
    saved = loaded(folder).state_dict()
    assert all(torch.equal(saved[name], base + change) for name, base, change in updates(policy))
    assert (folder / "adapter" / "adapter_model.safetensors").is_file()


def accuracy_after_training(folder, **policy):
    """Of a short run of adapters as it reports it, and of what it exports, in float32; the learner."""
    data = runs.data_module(val=None, test=runs.Tiles(rows=16, split="test"), prompts_per_step=2)
    trainer = runs.trainer(folder, 2)
    next(one for one in trainer.callbacks if isinstance(one, RunReport)).export = True
    learner = runs.learner(policy=PolicySpec(runs.CHECKPOINT, lora=Lora(rank=8, alpha=16), **policy))
    trainer.fit(learner, datamodule=data)
    told = json.loads((folder / "summary.json").read_text())["accuracy_after"]
    exported = runs.learner(policy=PolicySpec(str(folder / "export")))
    runs.trainer(folder / "measured", 1).test(exported, datamodule=data, verbose=False)
    return told, float(exported.trainer.callback_metrics["test/accuracy"]), learner


@pytest.mark.whole
def test_the_exported_model_answers_as_many_held_out_problems_as_the_run_reports(tmp_path):
    told, found, _ = accuracy_after_training(tmp_path)
    assert 0.2 < told < 0.9
    assert found == told


@pytest.mark.slow
def test_a_run_on_bfloat16_weights_exports_the_model_that_it_is_in_float32(tmp_path):
    _, found, learner = accuracy_after_training(tmp_path, dtype="bfloat16")
    learner.policy.float()  # activations too
    assert found == learner.evaluate(learner.data.test_dataloader())["accuracy"]
