"""What saves memory or time changes no number: checkpointing, frozen towers, adapters, mixed precision."""

import math

import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision

import runs
from bounds import CHAIN, assert_errs_no_more, chance, rounding
from cases import CASES, KIN, assert_same_pass, awaken, backward, each
from observer.callbacks import AtomicCheckpointIO
from observer.data.tiles.build import build_config
from observer.objective import K3
from observer.policy import Lora, Policy, PolicySpec, Reference
from observer.rollout import ScriptedEngine, TransformersEngine
from observer.types import RefusedError, Sampling

ADAPTERS = Lora(rank=4, alpha=8)
EVERYWHERE = Lora(rank=4, alpha=8, targets=r".*(q_proj|v_proj|qkv)")
OPTIONS = {
    "checkpointing": {"gradient_checkpointing": True},
    "frozen tower": {"freeze_vision": True},
    "adapters": {"lora": ADAPTERS},
    "adapters, checkpointing": {"lora": ADAPTERS, "gradient_checkpointing": True},
    "adapters in the tower": {"lora": EVERYWHERE},
}


def trained(policy):
    return {name for name, parameter in policy.named_parameters() if parameter.requires_grad}


@pytest.fixture(scope="module", params=["all weights", *OPTIONS])
def pair(request, fresh_policy):
    """A policy with what saves memory, and the plain pass without checkpointing; tests change neither."""
    fields = OPTIONS.get(request.param, {})
    kept = fields | {"gradient_checkpointing": False}
    return awaken(fresh_policy(**fields)), awaken(fresh_policy(**kept, logprob_pass="plain"))


@pytest.mark.parametrize("pair", OPTIONS, indirect=True)
@pytest.mark.parametrize(
    "case",
    [
        "one picture",
        "unequal prompts and pictures",
        "several pictures",
        "repeated pictures",
        "text only",
        "mixed",
    ],
)
def test_values_and_gradients_equal_those_of_the_plain_pass(pair, groups_of, case):
    groups = groups_of(CASES[case])
    policy, plain = pair
    expected = backward(plain, groups)
    assert_same_pass(backward(policy, groups), expected)
    assert {name for name, gradient in expected[1].items() if gradient is not None} == trained(policy)
    moving = {name for name, gradient in expected[1].items() if gradient is not None and gradient.any()}
    assert moving == {name for name in trained(policy) if case != "text only" or "visual" not in name}


@pytest.mark.parametrize("kin", KIN)
def test_the_kin_of_the_model_agree_under_checkpointing_too(tmp_path, processor, groups_of, kin):
    KIN[kin]().save_pretrained(tmp_path)
    groups = groups_of(CASES["mixed"])

    def result(**fields):
        torch.manual_seed(0)
        return backward(Policy(PolicySpec(str(tmp_path), from_scratch=True, **fields), processor), groups)

    assert_same_pass(result(gradient_checkpointing=True), result(logprob_pass="plain"))


def entries(policy):
    """Counts how often each layer of text and tower is entered, from now on."""
    counts = {}
    layers = [*policy.model.model.language_model.layers, *policy.model.model.visual.blocks]
    for layer in layers:
        counts[layer] = 0

        def count(*_, layer=layer):
            counts[layer] += 1

        layer.mlp.register_forward_pre_hook(count)  # newer releases keep a layer's own hooks out of it
    return counts


@pytest.mark.parametrize("logprob_pass", ["shared", "plain"])
@pytest.mark.parametrize(
    ("fields", "text", "tower"),
    [
        ({}, 1, 1),
        ({"gradient_checkpointing": True}, 2, 2),
        ({"gradient_checkpointing": True, "freeze_vision": True}, 2, 1),  # nothing to go back through
        ({"gradient_checkpointing": True, "lora": ADAPTERS}, 2, 1),
    ],
    ids=["without", "with", "frozen tower", "adapters"],
)
def test_checkpointing_computes_the_layers_that_train_anew_in_the_backward_pass(
    fresh_policy, groups_of, logprob_pass, fields, text, tower
):
    policy = fresh_policy(**fields, logprob_pass=logprob_pass)
    counts = entries(policy)
    values_N_T = policy.logprobs(groups_of(CASES["mixed"])).values_N_T
    assert set(counts.values()) == {1}
    values_N_T.sum().backward()
    assert {counts[layer] for layer in policy.model.model.language_model.layers} == {text}
    assert {counts[layer] for layer in policy.model.model.visual.blocks} == {tower}


def test_checkpointing_computes_nothing_twice_where_there_are_no_gradients(fresh_policy, groups_of):
    policy = fresh_policy(gradient_checkpointing=True)
    engine, counts = TransformersEngine(), entries(policy)
    engine.start(policy)
    groups = groups_of(CASES["one picture"])
    engine.generate([groups[0].prompt], Sampling(2, max_tokens=1))
    with torch.no_grad():
        policy.logprobs(groups)
    assert set(counts.values()) == {2}  # one prefill, one pass


# Mixed precision


def flat(gradients):
    return torch.cat([gradient.flatten() for gradient in gradients.values() if gradient is not None])


EVERY_CASE = [row for case in CASES.values() for row in case]
"""142 tokens: of fewer, the mean error varies too much by chance for two passes to be told apart."""


def test_in_bfloat16_the_shared_pass_is_as_near_to_float32_as_the_plain_one(pair, groups_of):
    """Two passes in bfloat16 round differently, each CPU in its own way; float32 is the exact one here."""
    groups = groups_of(EVERY_CASE)
    policy, plain = pair
    exact = backward(plain, groups)
    with torch.autocast("cpu", torch.bfloat16):
        mixed, expected = backward(policy, groups), backward(plain, groups)
        assert policy.logprobs(groups).entropy_N_T.dtype == mixed[0].dtype == torch.float32
    real = exact[0] != 0  # places that hold a token
    shared, other, values = (result[0][real] for result in (mixed, expected, exact))
    assert_errs_no_more(shared, other, values)
    assert_errs_no_more(other, shared, values)  # it is in bfloat16 too
    # A gradient is a sum over the tokens: its error varies by chance as theirs does.
    allowed = chance((other - values).abs())
    shared, other, gradient = (flat(result[1]) for result in (mixed, expected, exact))
    assert (shared - gradient).norm() <= allowed * (other - gradient).norm()
    assert (other - gradient).norm() < (2 * CHAIN) ** 0.5 * rounding(torch.bfloat16) * gradient.norm()


@pytest.mark.parametrize("cached", [True, False], ids=["casts are cached", "not cached"])
@pytest.mark.parametrize("name", ["all weights", "adapters, checkpointing", "adapters in the tower"])
def test_what_went_before_without_gradients_takes_none_away(fresh_policy, groups_of, name, cached):
    """Rollout, old and reference log-probs and update happen in one autocast context; it may cache casts."""
    groups = groups_of(CASES["mixed"])
    policy = awaken(fresh_policy(**OPTIONS.get(name, {})))
    reference, engine = Reference(policy), TransformersEngine()
    engine.start(policy)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=cached):
        expected = backward(policy, groups)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=cached):
        engine.generate([group.prompt for group in groups], Sampling(2, max_tokens=3))
        with torch.no_grad():
            policy.logprobs(groups)
        reference.logprobs(groups)
        found = backward(policy, groups)
    assert_same_pass(found, expected, tolerance=1e-6)
    assert {name for name, gradient in found[1].items() if gradient is not None} == trained(policy)


class Measured(TransformersEngine):
    """Keeps the log-probs that it draws with, those of the pass that trains, and those in float32."""

    def generate(self, prompts, sampling):
        groups = super().generate(prompts, sampling)
        assert torch.is_autocast_enabled("cpu")
        with torch.no_grad():
            trained = self._policy.logprobs(groups)
            with torch.autocast("cpu", enabled=False):
                exact_N_T = self._policy.logprobs(groups).values_N_T
        drawn_N_T = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(completion.logprobs) for _, completion in each(groups)], batch_first=True
        )
        self.values = [values[trained.mask_N_T] for values in (drawn_N_T, trained.values_N_T, exact_N_T)]
        return groups


def test_a_run_in_mixed_precision_trains_and_logs_finite_figures(tmp_path):
    engine = Measured()
    learner = runs.learner(kl=K3(0.1), engine=engine)
    before = learner_weights(learner)
    trainer = runs.trainer(tmp_path, 2, precision="bf16-mixed")
    trainer.fit(learner, datamodule=runs.data_module(val=None, test=None))
    figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert all(math.isfinite(value) for value in figures.values()), figures
    assert figures["train/entropy"] > 0
    drawn, trained_on, exact = engine.values
    assert_errs_no_more(drawn, trained_on, exact)
    # At most as far apart as each is from float32, if the micro-batches of the update err as one pass does.
    errors = (trained_on - exact).abs()
    most = (drawn - exact).abs().mean() + chance(errors) * errors.mean()
    assert 0 < figures["train/sampler_gap"] <= float(most)
    after = learner.policy.state_dict()
    assert {value.dtype for value in after.values()} == {torch.float32}
    assert all(not torch.equal(after[name], value) for name, value in before.items())


def learner_weights(learner):
    learner.configure_model()
    return {name: value.clone() for name, value in learner.policy.state_dict().items()}


class Caching(MixedPrecision):
    """Caches casts of weights over a whole training step, as Lightning did before 2.6."""

    def autocast_context_manager(self):
        return torch.autocast("cpu", torch.bfloat16, cache_enabled=True)


def test_a_second_update_sees_the_weights_of_the_first_also_where_their_casts_are_cached(tmp_path):
    def weights(folder, plugin):
        learner = runs.learner(engine=ScriptedEngine(runs.MIXED), optimizer=runs.sgd, updates_per_rollout=2)
        trainer = runs.trainer(tmp_path / folder, 2, plugins=[AtomicCheckpointIO(), plugin])
        trainer.fit(learner, datamodule=runs.data_module(val=None, test=None))
        return learner.policy.state_dict()

    plain = weights("plain", MixedPrecision("bf16-mixed", "cpu"))
    cached = weights("cached", Caching("bf16-mixed", "cpu"))
    assert all(torch.equal(cached[name], value) for name, value in plain.items())


# Refusals


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
def test_fused_kernels_without_cuda_are_refused(fresh_policy):
    with pytest.raises(RefusedError, match=r"model.policy.liger needs CUDA.*leave it out"):
        fresh_policy(liger=True)


def test_adapters_on_weights_drawn_from_scratch_are_refused(fresh_policy):
    with pytest.raises(RefusedError, match=r"adapters on weights drawn from_scratch.*leave one out"):
        fresh_policy(from_scratch=True, lora=ADAPTERS)


@pytest.mark.parametrize("targets", ["nothing", "*("])
def test_targets_that_match_nothing_or_are_no_expression_are_refused(fresh_policy, targets):
    with pytest.raises(RefusedError) as refusal:
        fresh_policy(lora=Lora(targets=targets))
    message = str(refusal.value)
    assert f"model.policy.lora.targets is {targets!r}" in message
    assert "give a regular expression" in message


def test_adapters_in_a_tower_that_is_to_stay_as_it_is_are_refused(fresh_policy):
    with pytest.raises(RefusedError, match=r"adapts the vision tower, which freeze_vision keeps"):
        fresh_policy(freeze_vision=True, lora=Lora(targets=r".*visual.*qkv"))


@pytest.mark.filterwarnings("ignore:Model has .tie_word_embeddings=True.")  # peft's, before the refusal
@pytest.mark.parametrize("targets", [r".*embed_tokens", r"lm_head"])
def test_adapters_on_weights_that_both_ends_share_are_refused(fresh_policy, targets):
    with pytest.raises(RefusedError, match=r"adapts .*: it shares its weights with the other end"):
        fresh_policy(lora=Lora(targets=targets))


def test_adapters_without_rank_or_scale_are_refused():
    with pytest.raises(RefusedError, match=r"model.policy.lora.rank is 0; it must be >= 1"):
        Lora(rank=0)
    with pytest.raises(RefusedError, match=r"model.policy.lora.alpha is 0; it must be > 0"):
        Lora(alpha=0)


def test_sliding_windows_are_refused(tmp_path, processor):
    config = build_config(processor.tokenizer)
    config.text_config.layer_types = ["full_attention", "sliding_attention", "full_attention"]
    config.save_pretrained(tmp_path)
    message = r"text layers are full_attention, sliding_attention; .* set use_sliding_window to false"
    with pytest.raises(RefusedError, match=message):
        Policy(PolicySpec(str(tmp_path), from_scratch=True), processor)


def test_a_micro_batch_of_no_tokens_is_refused():
    with pytest.raises(RefusedError, match=r"model.micro_batch_tokens is 0; it must be >= 1"):
        runs.learner(micro_batch_tokens=0)
