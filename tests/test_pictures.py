"""A distinct picture goes through the vision tower once: a pass, or a rollout where the tower is frozen."""

import gc
import weakref

import pytest
import torch

from cases import CASES, assert_same_pass, awaken, backward
from observer.policy import Lora, Reference
from observer.rollout import TransformersEngine
from observer.types import Completion, Group, Sampling

IN_THE_TOWER = Lora(rank=4, alpha=8, targets=r".*qkv")
ONE, OTHER = (84, 84, 1), (56, 112, 2)
PATCHES = 6 * 6 + 4 * 8
"""Of ONE and OTHER together."""


def seen(policy):
    """The rows of pixels that each call of the tower sees, from now on."""
    rows = []
    policy.model.model.visual.register_forward_pre_hook(lambda module, pixels: rows.append(len(pixels[0])))
    return rows


@pytest.fixture
def groups(renderer, picture, problem):
    """Four prompts that show two pictures, one of them three times; three completions each."""
    shown = [[ONE], [ONE, OTHER], [], [ONE]]
    problems = [problem("What?", [picture(*size) for size in sizes]) for sizes in shown]
    completions = tuple(Completion((9, 8, 7 + i), (0.0,) * 3, "", "length", i) for i in range(3))
    return [Group(prompt, completions, Sampling()) for prompt in renderer.render(problems)]


def draw(policy, groups):
    engine = TransformersEngine()
    engine.start(policy)
    return engine.generate([group.prompt for group in groups], Sampling(2, max_tokens=3))


def test_a_pass_computes_each_distinct_picture_once_also_when_several_prompts_show_it(fresh_policy, groups):
    policy = fresh_policy()
    rows = seen(policy)
    policy.logprobs(groups)
    policy.logprobs(groups).values_N_T.sum().backward()
    draw(policy, groups)
    assert rows == [PATCHES] * 3
    policy.logprobs([groups[2], groups[0], groups[3]])
    assert rows[3:] == [36]


@pytest.mark.parametrize(
    "fields",
    [
        {"freeze_vision": True},
        {"lora": Lora(rank=2)},
        {"freeze_vision": True, "gradient_checkpointing": True},
    ],
    ids=["frozen", "adapters of the text", "frozen, checkpointing"],
)
@pytest.mark.parametrize("first", ["rollout", "update"])
def test_a_frozen_tower_sees_a_picture_once_for_rollout_old_reference_and_updates(
    fresh_policy, groups, fields, first
):
    policy = fresh_policy(**fields)
    reference, rows = Reference(policy), seen(policy)
    if first == "rollout":
        draw(policy, groups)
    with torch.no_grad() if first == "rollout" else torch.enable_grad():
        policy.logprobs(groups)
    reference.logprobs(groups)
    for micro_batch in (groups, groups[:2], groups[2:]):
        policy.logprobs(micro_batch).values_N_T.sum().backward()
    assert rows == [PATCHES]


def test_only_pictures_that_are_not_known_yet_are_computed(fresh_policy, groups):
    policy = fresh_policy(freeze_vision=True)
    rows = seen(policy)
    with torch.no_grad():
        policy.logprobs(groups[:1])
        expected = fresh_policy().logprobs(groups).values_N_T
        torch.testing.assert_close(policy.logprobs(groups).values_N_T, expected, atol=1e-5, rtol=1e-5)
    assert rows == [36, 32]


def test_what_is_kept_goes_when_the_prompts_do(fresh_policy, renderer, picture, problem):
    policy = fresh_policy(freeze_vision=True)
    prompts = renderer.render([problem("What?", [picture(*size)]) for size in (ONE, OTHER)])
    rows = seen(policy)

    def features(prompt):
        [pooled] = policy.features.model_inputs(prompt.pictures)["mm_encoder_outputs"]["image"].pooler_output
        return pooled

    first, second = (weakref.ref(features(prompt)) for prompt in prompts)
    gc.collect()
    assert features(prompts[0]) is first()
    assert rows == [36, 32]
    del prompts[0]
    gc.collect()
    assert first() is None
    assert features(prompts[0]) is second()
    assert rows == [36, 32]


def test_a_tower_that_is_unfrozen_is_asked_again_and_trains(fresh_policy, groups):
    policy, plain = fresh_policy(freeze_vision=True), fresh_policy(logprob_pass="plain")
    policy.logprobs(groups)
    for either in (policy, plain):
        tower = either.model.model.visual.requires_grad_(True)
        with torch.no_grad():
            tower.merger.ln_q.weight *= 1.5
    assert_same_pass(backward(policy, groups), backward(plain, groups))
    policy.model.model.visual.requires_grad_(False)
    with torch.no_grad():
        expected = plain.logprobs(groups).values_N_T
        torch.testing.assert_close(policy.logprobs(groups).values_N_T, expected, atol=1e-5, rtol=1e-5)


def test_nothing_is_kept_of_a_tower_with_adapters_be_they_on_or_off(fresh_policy, policy, groups):
    adapted = awaken(fresh_policy(lora=IN_THE_TOWER))
    reference, rows = Reference(adapted), seen(adapted)
    with torch.no_grad():
        before = adapted.logprobs(groups).values_N_T
        without = reference.logprobs(groups).values_N_T
        assert torch.equal(reference.logprobs(groups).values_N_T, without)
        after = adapted.logprobs(groups).values_N_T
        expected = policy.logprobs(groups).values_N_T
    torch.testing.assert_close(without, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(after, before)
    assert (after - without).abs().max() > 0.01
    assert rows == [PATCHES] * 4


def test_prompts_without_pictures_do_not_ask_the_tower(fresh_policy, groups_of):
    policy = fresh_policy(freeze_vision=True)
    rows = seen(policy)
    policy.logprobs(groups_of(CASES["text only"]))
    assert policy.features.model_inputs([]) == {}
    assert rows == []


def test_features_of_a_tower_that_trains_are_not_held_beyond_their_pass(fresh_policy, groups_of):
    policy, groups = fresh_policy(), groups_of(CASES["one picture"])
    policy.logprobs(groups)
    assert len(policy.features._kept) == 0
