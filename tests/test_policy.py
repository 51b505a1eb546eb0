import copy
from dataclasses import replace

import pytest
import torch

from bounds import assert_errs_no_more, assert_same_gradient
from cases import BANNED, CASES, KIN, alone, each
from observer.policy import Policy, PolicySpec, Reference
from observer.types import Completion, Group, Sampling


def gradients(module):
    return {name: parameter.grad.clone() for name, parameter in module.named_parameters()}


def assert_equals_alone(policy, stock, groups):
    """Values and the gradients of a weighted sum agree with one plain pass in float64 for each completion.

    1e-5 is 170 roundings of float32; there and back, a pass is about 200 of them in a row (``bounds.CHAIN``).
    """
    policy.zero_grad()
    result = policy.logprobs(groups)
    weights_N_T = torch.randn(result.values_N_T.shape, generator=torch.Generator().manual_seed(1))
    (result.values_N_T * weights_N_T).sum().backward()
    for row, (group, completion) in enumerate(each(groups)):
        length = len(completion.ids)
        expected_T = alone(stock, policy.processor, group, completion)
        assert result.mask_N_T[row].nonzero()[:, 0].tolist() == list(range(length))
        torch.testing.assert_close(result.values_N_T[row, :length].double(), expected_T, atol=1e-5, rtol=1e-5)
        assert (result.values_N_T[row, length:] == 0).all()
        (expected_T * weights_N_T[row, :length]).sum().backward()
    for name, parameter in stock.named_parameters():
        mine, theirs = policy.model.get_parameter(name).grad, parameter.grad
        if theirs is None:  # the vision tower, when no row has a picture
            assert "visual" in name
            assert (mine == 0).all()
        else:
            assert theirs.abs().max() > 0, name
            torch.testing.assert_close(
                mine.double(), theirs, atol=1e-5 * max(1.0, float(theirs.abs().max())), rtol=1e-5
            )
    policy.zero_grad()


def stock_of(policy, dtype=torch.float32):
    """A model of transformers with the same weights that no one has called yet."""
    stock = type(policy.model)._from_config(
        copy.deepcopy(policy.model.config), dtype=dtype, attn_implementation="sdpa"
    )
    stock.load_state_dict(policy.model.state_dict())
    return stock.train()


PASSES = pytest.mark.parametrize("logprob_pass", ["shared", "plain"])


@PASSES
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_equal_one_plain_pass_for_each_completion(
    fresh_policy, groups_of, case, logprob_pass
):
    policy = fresh_policy(logprob_pass=logprob_pass)
    assert_equals_alone(policy, stock_of(policy, torch.float64), groups_of(CASES[case]))


@PASSES
def test_temperature_and_minimum_length_enter_as_they_did_in_sampling(fresh_policy, groups_of, logprob_pass):
    policy = fresh_policy(logprob_pass=logprob_pass)
    groups = groups_of([("What?", [(84, 84)], [5, 4])], Sampling(temperature=0.7, min_tokens=3))
    assert_equals_alone(policy, stock_of(policy, torch.float64), groups)


@PASSES
@pytest.mark.parametrize("kin", KIN)
@pytest.mark.parametrize("case", ["mixed", "text only"])
def test_the_kin_of_the_model_agree_too(tmp_path, processor, groups_of, kin, case, logprob_pass):
    KIN[kin]().save_pretrained(tmp_path)
    torch.manual_seed(0)
    policy = Policy(PolicySpec(str(tmp_path), from_scratch=True, logprob_pass=logprob_pass), processor)
    assert policy.banned_ids == BANNED
    assert_equals_alone(policy, stock_of(policy, torch.float64), groups_of(CASES[case]))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "pictures and prompts once per group"),
        ({"logprob_pass": "plain"}, "all once per completion"),
        (
            {"freeze_vision": True},
            "pictures and prompts once per group; frozen vision tower, a picture once per rollout",
        ),
        ({"freeze_vision": True, "logprob_pass": "plain"}, "all once per completion"),
        (
            {"gradient_checkpointing": True},
            "pictures and prompts once per group; activations computed anew (gradient checkpointing)",
        ),
    ],
    ids=str,
)
def test_the_log_says_what_trains_and_how_log_probs_are_computed(fresh_policy, options, told):
    policy = fresh_policy(**options)
    tower = sum(parameter.numel() for parameter in policy.model.model.visual.parameters())
    trained = 743_488 - (tower if "freeze_vision" in options else 0)
    assert policy.described() == f"policy: {trained:,} of 743,488 parameters train; log-probs: {told}"


def test_rope_deltas_that_an_earlier_call_left_change_nothing(fresh_policy, policy, groups_of):
    groups = groups_of(CASES["mixed"])
    poisoned = fresh_policy()
    poisoned.model.model.rope_deltas = torch.tensor([[1000], [-77]])
    with torch.no_grad():
        assert torch.equal(poisoned.logprobs(groups).values_N_T, policy.logprobs(groups).values_N_T)


def test_neither_the_order_of_groups_nor_splitting_them_matters(policy, groups_of):
    groups = groups_of(CASES["mixed"])

    def values(pieces):
        result = policy.logprobs(pieces)
        found = {}
        for row, (group, completion) in enumerate(each(pieces)):
            found[group.problem.id, completion.index] = result.values_N_T[row, : len(completion.ids)]
        return found

    with torch.no_grad():
        whole, turned = values(groups), values(groups[::-1])
        pieces = [group.take(slice(i, i + 1)) for group in groups for i in range(len(group.completions))]
        split = values(pieces)
        single = {key: value for piece in pieces for key, value in values([piece]).items()}
    for other in (turned, split, single):
        assert other.keys() == whole.keys()
        for key, value_T in whole.items():
            torch.testing.assert_close(other[key], value_T, atol=1e-5, rtol=1e-5)


def test_the_entropy_is_that_of_the_distribution_and_has_no_gradient(policy, groups_of):
    groups = groups_of(CASES["mixed"])
    result = policy.logprobs(groups)
    assert not result.entropy_N_T.requires_grad
    assert (result.entropy_N_T[~result.mask_N_T] == 0).all()
    group, first = groups[1], groups[1].completions[0]
    candidates = tuple(i for i in range(329) if i not in BANNED)
    every_token = Group(
        group.prompt, tuple(Completion((i,), (0.0,), "", "length", 0) for i in candidates), group.sampling
    )
    with torch.no_grad():
        logprobs_V = policy.logprobs([every_token]).values_N_T[:, 0]
    row = [completion for _, completion in each(groups)].index(first)
    expected = -(logprobs_V.exp() * logprobs_V).sum()
    torch.testing.assert_close(logprobs_V.exp().sum(), torch.tensor(1.0))
    torch.testing.assert_close(result.entropy_N_T[row, 0], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rows", [None, 3], ids=["at once", "in chunks"])
def test_the_entropy_has_the_gradients_of_a_plain_computation_where_they_are_asked_for(
    fresh_policy, groups_of, rows, monkeypatch
):
    policy = fresh_policy()
    groups = groups_of(CASES["one picture"])
    group, completion = groups[0], replace(groups[0].completions[0], ids=groups[0].completions[0].ids[:1])
    first = replace(group, completions=(completion,))
    candidates = tuple(i for i in range(329) if i not in BANNED)
    every_token = replace(
        group, completions=tuple(Completion((i,), (0.0,), "", "length", 0) for i in candidates)
    )

    def gradients(value):
        policy.zero_grad()
        value.backward()
        return torch.cat([p.grad.flatten() for p in policy.parameters() if p.grad is not None])

    logprobs_V = policy.logprobs([every_token], with_entropy=False).values_N_T[:, 0]
    expected = gradients(-(logprobs_V.exp() * logprobs_V).sum())
    if rows:
        monkeypatch.setattr("observer.policy.logits.HEAD_BYTES", 4 * 329 * rows)
    found = policy.logprobs([first], entropy_gradients=True)
    assert torch.equal(found.entropy_N_T, policy.logprobs([first]).entropy_N_T)
    assert_same_gradient(gradients(found.entropy_N_T.sum()), expected)
    assert expected.norm() > 0.1
    whole = gradients(policy.logprobs(groups, entropy_gradients=True).entropy_N_T.sum())
    assert whole.isfinite().all()
    assert policy.logprobs(groups, with_entropy=False).entropy_N_T is None


def test_a_bfloat16_model_gives_float32_logprobs_as_near_as_those_of_transformers(
    fresh_policy, policy, groups_of
):
    """Near to the float32 ones, that is; transformers' own bfloat16 model says how near such a model is."""
    groups = groups_of([row for case in CASES.values() for row in case])
    half = fresh_policy(dtype="bfloat16")
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    result = half.logprobs(groups)
    assert result.values_N_T.dtype == result.entropy_N_T.dtype == torch.float32
    stock = stock_of(half, torch.bfloat16)
    with torch.no_grad():
        exact = policy.logprobs(groups)
        expected = torch.cat([alone(stock, policy.processor, *one) for one in each(groups)])
    found, exact = (values[exact.mask_N_T] for values in (result.values_N_T.detach(), exact.values_N_T))
    assert_errs_no_more(found, expected, exact)
    assert_errs_no_more(expected, found, exact)  # the weights and the pass are in bfloat16 indeed
    result.values_N_T.sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in half.parameters())


def test_a_batch_without_pictures_gives_the_vision_tower_zero_gradients_and_not_none(fresh_policy, groups_of):
    policy = fresh_policy()
    policy.logprobs(groups_of(CASES["text only"])).values_N_T.sum().backward()
    for name, gradient in gradients(policy).items():  # raises where there is none
        assert ("visual" in name) == bool((gradient == 0).all()), name


def test_a_frozen_vision_tower_gets_no_gradient_and_the_rest_does(fresh_policy, groups_of):
    policy = fresh_policy(freeze_vision=True)
    for case in ("text only", "mixed"):
        policy.zero_grad()
        policy.logprobs(groups_of(CASES[case])).values_N_T.sum().backward()
        assert all(parameter.grad is None for parameter in policy.model.model.visual.parameters())
        assert all(parameter.grad is not None for parameter in policy.model.model.language_model.parameters())


def test_a_tower_that_begins_to_train_is_read_anew(fresh_policy, groups_of):
    """While it was frozen, the features of its pictures were kept."""
    groups, policy, expected = groups_of(CASES["mixed"]), fresh_policy(freeze_vision=True), fresh_policy()
    policy.logprobs(groups)
    for one in (policy, expected):
        one.model.model.visual.requires_grad_(True)
        with torch.no_grad():
            next(one.model.model.visual.parameters()).mul_(1.5)
    found = policy.logprobs(groups).values_N_T
    torch.testing.assert_close(found, expected.logprobs(groups).values_N_T, atol=1e-5, rtol=1e-5)
    found.sum().backward()
    assert all(parameter.grad is not None for parameter in policy.model.model.visual.parameters())


def test_a_frozen_copy_stays_what_it_was(fresh_policy, policy, groups_of):
    groups = groups_of(CASES["mixed"])
    trained = fresh_policy()
    reference = Reference(trained)
    trained.logprobs(groups).values_N_T.sum().backward()
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter -= 0.1 * parameter.grad
    values_N_T = reference.logprobs(groups).values_N_T
    assert not values_N_T.requires_grad
    assert torch.equal(values_N_T, policy.logprobs(groups).values_N_T)
    assert not torch.allclose(trained.logprobs(groups).values_N_T, values_N_T)


@PASSES
@pytest.mark.parametrize("entropy_gradients", [False, True])
def test_reading_the_head_in_chunks_changes_neither_values_nor_gradients(
    fresh_policy, groups_of, logprob_pass, entropy_gradients, monkeypatch
):
    policy = fresh_policy(logprob_pass=logprob_pass)
    groups = groups_of(CASES["mixed"])

    def result():
        policy.zero_grad()
        logprobs = policy.logprobs(groups, entropy_gradients=entropy_gradients)
        assert logprobs.entropy_N_T.requires_grad == entropy_gradients
        (logprobs.values_N_T.square() + logprobs.entropy_N_T).sum().backward()
        gradients = torch.cat([p.grad.flatten() for p in policy.parameters() if p.grad is not None])
        return logprobs.values_N_T.detach(), logprobs.entropy_N_T.detach(), gradients

    whole = result()
    monkeypatch.setattr("observer.policy.logits.HEAD_BYTES", 4 * 329 * 3)  # three tokens
    for cut, one in zip(result(), whole, strict=True):
        assert (cut - one).abs().max() < 1e-5 * one.abs().max()


@PASSES
@pytest.mark.parametrize("entropy_gradients", [False, True])
def test_no_more_logits_than_those_of_a_chunk_are_computed_at_once_and_none_are_kept(
    fresh_policy, groups_of, logprob_pass, entropy_gradients, monkeypatch
):
    """Of completion tokens only: each once, and once more in the backward pass."""
    monkeypatch.setattr("observer.policy.logits.HEAD_BYTES", 4 * 329 * 3)  # three tokens
    policy, groups = fresh_policy(logprob_pass=logprob_pass), groups_of(CASES["mixed"])
    rows, kept = [], []
    policy.model.lm_head.register_forward_hook(lambda _, args, logits: rows.append(len(logits)))
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape[-1:]) or t, lambda t: t):
        logprobs = policy.logprobs(groups, entropy_gradients=entropy_gradients)
    tokens = sum(group.tokens for group in groups)
    assert sum(rows) == tokens
    logprobs.values_N_T.sum().backward()
    assert sum(rows) == 2 * tokens
    assert max(rows) == 3
    assert kept
    assert (329,) not in kept
