"""Adapters: what trains, what stays, what the reference is, what is saved, resumed and exported."""

import copy

import lightning
import pytest
import torch
from transformers import AutoModelForImageTextToText

import runs
from cases import CASES, awaken
from observer.objective import K3
from observer.policy import Lora, Policy, PolicySpec, Reference, export_checkpoint
from observer.rollout import ScriptedEngine
from observer.types import RefusedError

ADAPTERS = Lora(rank=2, alpha=4)
STEPS = 3


def learner(lora=ADAPTERS, **options):
    """A learner whose responses always differ in worth, so that each step moves the adapters."""
    policy = PolicySpec(runs.CHECKPOINT, lora=lora)
    return runs.learner(**{"policy": policy, "engine": ScriptedEngine(runs.MIXED), **options})


class EveryStep(lightning.Callback):
    """Keeps a checkpoint of every batch end."""

    def __init__(self, folder):
        self.folder = folder

    def on_train_batch_end(self, trainer, pl_module, *_):
        trainer.save_checkpoint(self.folder / f"step-{pl_module.data.step}.ckpt")


def fit(learner, folder, callbacks=(), ckpt_path=None, steps=STEPS):
    trainer = runs.trainer(folder, steps, callbacks=callbacks)
    trainer.fit(learner, datamodule=runs.data_module(val=None, test=None), ckpt_path=ckpt_path)
    return trainer


def weights(policy, adapters):
    """Adapters, or what they stand beside, by the name that it has without them."""
    return {
        name.replace(".base_layer", ""): value.clone()
        for name, value in policy.state_dict().items()
        if ("lora_" in name) == adapters
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A learner after a run, its adapters before it, and the folder of its checkpoints."""
    folder = tmp_path_factory.mktemp("run")
    trained = learner(kl=K3(0.1))
    trained.configure_model()
    before = weights(trained.policy, adapters=True)
    trainer = fit(trained, folder, [EveryStep(folder)])
    assert trainer.callback_metrics["train/kl"] > 0
    return trained, before, folder


def test_a_run_changes_all_adapters_and_nothing_else(trained, policy):
    learner, before, _ = trained
    adapters = weights(learner.policy, adapters=True)
    assert len(adapters) == 3 * 7 * 2  # layers, matrices, A and B
    assert all(not torch.equal(value, before[name]) for name, value in adapters.items())
    assert {tuple(value.shape).index(2) for value in adapters.values()} == {0, 1}
    base, original = weights(learner.policy, adapters=False), policy.state_dict()
    assert base.keys() == original.keys()
    assert all(torch.equal(value, original[name]) for name, value in base.items())


def test_a_checkpoint_holds_adapters_alone(trained, checkpoint):
    learner, _, folder = trained
    saved = torch.load(folder / f"step-{STEPS}.ckpt", weights_only=True)["state_dict"]
    adapters = weights(learner.policy, adapters=True)
    assert saved.keys() == {f"policy.{name}" for name in adapters}
    assert all(torch.equal(saved[f"policy.{name}"], value) for name, value in adapters.items())
    size = (folder / f"step-{STEPS}.ckpt").stat().st_size
    assert size < (checkpoint / "model.safetensors").stat().st_size / 2


@pytest.mark.parametrize("step", [1, 2])
def test_a_run_with_adapters_resumed_at_any_step_is_the_unbroken_run(trained, tmp_path, step):
    whole, _, folder = trained
    resumed = learner(kl=K3(0.1))
    fit(resumed, tmp_path, ckpt_path=folder / f"step-{step}.ckpt")
    expected = weights(whole.policy, adapters=True)
    assert all(
        torch.equal(value, expected[name]) for name, value in weights(resumed.policy, adapters=True).items()
    )


def test_adapters_start_as_nothing_and_the_same_for_the_same_seed(policy, groups_of):
    first, again, other = learner(), learner(), learner(seed=1)
    for one in (first, again, other):
        one.configure_model()
    drawn = [
        torch.cat([v.flatten() for v in weights(x.policy, True).values()]) for x in (first, again, other)
    ]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    groups = groups_of(CASES["mixed"])
    with torch.no_grad():
        values_N_T = first.policy.logprobs(groups).values_N_T
        torch.testing.assert_close(values_N_T, policy.logprobs(groups).values_N_T, atol=1e-6, rtol=0)


def test_adapters_beside_bfloat16_weights_are_float32_and_train(fresh_policy, groups_of):
    half = fresh_policy(lora=ADAPTERS, dtype="bfloat16")
    assert {parameter.dtype for parameter in half.parameters() if parameter.requires_grad} == {torch.float32}
    assert {value.dtype for value in weights(half, adapters=False).values()} == {torch.bfloat16}
    awaken(half).logprobs(groups_of(CASES["mixed"])).values_N_T.sum().backward()
    for parameter in half.parameters():
        assert (parameter.grad is not None) == parameter.requires_grad
        assert parameter.grad is None or parameter.grad.abs().sum() > 0


# The reference


def test_with_adapters_the_reference_is_the_base_model_before_and_after_training(
    trained, fresh_policy, policy, groups_of
):
    groups = groups_of(CASES["mixed"])
    with torch.no_grad():
        base = policy.logprobs(groups).values_N_T
    for adapted in (fresh_policy(lora=ADAPTERS), awaken(fresh_policy(lora=ADAPTERS)), trained[0].policy):
        names = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
        own = adapted.logprobs(groups).values_N_T.detach()
        values_N_T = Reference(adapted).logprobs(groups).values_N_T
        assert not values_N_T.requires_grad
        torch.testing.assert_close(values_N_T, base, atol=1e-5, rtol=1e-5)
        assert {name for name, parameter in adapted.named_parameters() if parameter.requires_grad} == names
        assert torch.equal(adapted.logprobs(groups).values_N_T, own)
        moves = any(bool(value.any()) for name, value in adapted.state_dict().items() if "lora_B" in name)
        assert ((own - base).abs().max() > 1e-3) == moves


def test_adapters_are_on_and_train_also_when_the_reference_pass_fails(fresh_policy, groups_of, monkeypatch):
    adapted, groups = awaken(fresh_policy(lora=ADAPTERS)), groups_of(CASES["one picture"])
    own = adapted.logprobs(groups).values_N_T.detach()

    def fail(*_):
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(adapted, "_read_head", fail)
        with pytest.raises(RuntimeError, match="out of memory"):
            Reference(adapted).logprobs(groups)
    assert torch.equal(adapted.logprobs(groups).values_N_T, own)
    trains = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert trains == {name for name, _ in adapted.named_parameters() if "lora_" in name}


def test_without_adapters_the_reference_shares_a_frozen_tower_and_no_other(fresh_policy, groups_of):
    for frozen in (True, False):
        policy = fresh_policy(freeze_vision=frozen)
        own = {id(parameter) for parameter in policy.parameters()}
        held = Reference(policy)._copy
        shared = {name for name, parameter in held.named_parameters() if id(parameter) in own}
        tower = {name for name, _ in policy.named_parameters() if ".visual." in name}
        assert shared == (tower if frozen else set())
        assert (held.features is policy.features) == frozen
        assert not any(parameter.requires_grad for parameter in held.parameters())


# Checkpoints of another model


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        (Lora(rank=3, alpha=4), r"lora_[AB].default.weight is \(.*2.*\) there, \(.*3.*\) here"),
        (
            Lora(rank=2, alpha=4, targets=r".*q_proj"),
            r"_proj.lora_A.default.weight is \(2, \d+\) there, none",
        ),
        (None, r"lora_A.default.weight is \(2, 128\) there, none here"),
        (Lora(rank=2, alpha=8), r"its adapters are .*'alpha': 4.*, here .*'alpha': 8"),
    ],
    ids=["rank", "targets", "none", "scale"],
)
def test_resuming_with_other_adapters_is_refused(trained, tmp_path, lora, message):
    with pytest.raises(RefusedError, match=rf"(?s)another model: .*{message}.*set model.policy.*lora"):
        fit(learner(lora, kl=K3(0.1)), tmp_path, ckpt_path=trained[2] / "step-1.ckpt")


def test_a_checkpoint_of_all_weights_is_refused_where_adapters_train(tmp_path):
    whole = learner(None)
    fit(whole, tmp_path / "whole", [EveryStep(tmp_path)], steps=1)
    with pytest.raises(RefusedError, match=r"q_proj.weight is \(128, 128\) there, none here"):
        fit(learner(), tmp_path / "resumed", ckpt_path=tmp_path / "step-1.ckpt")


# Export


@pytest.fixture
def awake(trained):
    """A checkpoint as a long run would leave it, and the policy that it holds."""
    learner, _, folder = trained
    policy = awaken(copy.deepcopy(learner.policy))
    checkpoint = torch.load(folder / f"step-{STEPS}.ckpt", weights_only=True)
    own = policy.state_dict()
    checkpoint["state_dict"] = {name: own[name.removeprefix("policy.")] for name in checkpoint["state_dict"]}
    return policy, checkpoint


def test_the_export_is_a_plain_model_that_says_what_the_policy_says(awake, processor, groups_of, tmp_path):
    policy, checkpoint = awake
    torch.save(checkpoint, tmp_path / "awake.ckpt")
    export_checkpoint(tmp_path / "awake.ckpt", tmp_path / "export")
    model, report = AutoModelForImageTextToText.from_pretrained(tmp_path / "export", output_loading_info=True)
    assert not any(report.values())
    assert not any("lora" in name or "base_layer" in name for name, _ in model.named_parameters())
    groups = groups_of(CASES["mixed"])
    exported = Policy(PolicySpec(str(tmp_path / "export")), processor)
    with torch.no_grad():
        expected = policy.logprobs(groups).values_N_T
        torch.testing.assert_close(exported.logprobs(groups).values_N_T, expected, atol=1e-5, rtol=1e-5)


def test_saving_a_policy_leaves_its_adapters_beside_its_weights(awake, tmp_path):
    policy, _ = awake
    before = copy.deepcopy(policy.state_dict())
    policy.save_pretrained(tmp_path)
    after = policy.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in after.items())


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        ({"rank": 3}, r"lora_[AB].default.weight is \(.*2.*\) there, \(.*3.*\) here"),
        ({"targets": ".*q_proj"}, r"_proj.lora_[AB].default.weight is \(.*\) there, none here"),
        ({"targets": Lora.targets + "|.*qkv"}, r"qkv.lora_[AB].default.weight is none there, \(.*\) here"),
        (None, r"lora_A.default.weight is \(2, 128\) there, none here"),
    ],
    ids=["rank", "fewer", "more", "none"],
)
def test_a_checkpoint_whose_adapters_do_not_fit_is_not_exported(awake, tmp_path, lora, message):
    _, checkpoint = awake
    checkpoint["policy"]["lora"] = None if lora is None else {**checkpoint["policy"]["lora"], **lora}
    torch.save(checkpoint, tmp_path / "odd.ckpt")
    with pytest.raises(RefusedError, match=rf"odd.ckpt do not fit the model at .*{message}"):
        export_checkpoint(tmp_path / "odd.ckpt", tmp_path / "export")
    assert not (tmp_path / "export").exists()


def test_a_checkpoint_is_exported_without_what_its_run_was_fast_with(awake, tmp_path):
    _, checkpoint = awake
    checkpoint["policy"] |= {"liger": True, "vision_attention": "flash_attention_2"}
    torch.save(checkpoint, tmp_path / "fast.ckpt")
    export_checkpoint(tmp_path / "fast.ckpt", tmp_path / "export")
    assert (tmp_path / "export" / "model.safetensors").is_file()


def test_adapters_are_added_in_float32_to_the_weights_that_the_run_held(awake, tmp_path):
    policy, checkpoint = awake
    checkpoint["policy"]["dtype"] = "bfloat16"
    torch.save(checkpoint, tmp_path / "half.ckpt")
    assert export_checkpoint(tmp_path / "half.ckpt", tmp_path / "export") is None
    exported = AutoModelForImageTextToText.from_pretrained(tmp_path / "export", dtype="auto")
    assert exported.dtype == torch.float32
    policy = copy.deepcopy(policy)
    for name, value in policy.state_dict().items():
        if "lora_" not in name:
            value.copy_(value.bfloat16())
    policy.save_pretrained(tmp_path / "expected")
    expected = AutoModelForImageTextToText.from_pretrained(tmp_path / "expected").state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in exported.state_dict().items())


def test_an_export_in_bfloat16_says_what_is_lost(awake, tmp_path):
    torch.save(awake[1], tmp_path / "awake.ckpt")
    told = export_checkpoint(tmp_path / "awake.ckpt", tmp_path / "export", torch.bfloat16)
    assert told.startswith("bfloat16 keeps ")
    exported = AutoModelForImageTextToText.from_pretrained(tmp_path / "export", dtype="auto")
    assert exported.dtype == torch.bfloat16
