"""Attention of groups equals attention row by row, whatever is packed, padded, folded, or has left."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

from bounds import SIGMAS, assert_errs_no_more, of_logprob
from cases import each
from observer.data import Tiles
from observer.policy.attention import Decoding, GroupLayout, Prefill
from observer.policy.attention.interface import group_attention
from observer.rollout import TransformersEngine
from observer.types import Sampling

HEADS, KEY_HEADS, WIDTH, SCALE = 4, 2, 8, 0.3
CPU = torch.device("cpu")


def heads(rows, tokens, generator, grad=False):
    """Random queries, keys and values, float64, (rows, heads, tokens, width)."""
    return [
        torch.randn(rows, count, tokens, WIDTH, generator=generator, dtype=torch.float64, requires_grad=grad)
        for count in (HEADS, KEY_HEADS, KEY_HEADS)
    ]


def attend(layout, tensors, layer=0):
    """What a model's layer would ask of a layout."""
    module = SimpleNamespace(layer_idx=layer)
    return group_attention(module, *tensors, None, layout=layout, scaling=SCALE, dropout=0.0)[0]


def causal(query, key, value):
    """Attention of one sequence written out, (heads, S, width) each -> (S, heads, width)."""
    key, value = (tensor.repeat_interleave(HEADS // KEY_HEADS, 0) for tensor in (key, value))
    scores = query @ key.transpose(-1, -2) * SCALE
    hidden = torch.ones(scores.shape[-2:]).triu(1 + scores.shape[-1] - scores.shape[-2]).bool()
    return (scores.masked_fill(hidden, -torch.inf).softmax(-1) @ value).transpose(0, 1)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.lists(st.integers(0, 9), max_size=4)), min_size=1, max_size=4)
)
def test_a_packed_pass_attends_as_each_row_alone_would_with_equal_gradients(groups):
    """Prompts of any lengths, with as many completions of any lengths, some of them empty."""
    groups = sorted(groups, key=lambda group: group[0])
    prompts = [length for length, _ in groups]
    tails = [tail for _, own in groups for tail in own]
    owners = [place for place, (_, own) in enumerate(groups) for _ in own]
    generator = torch.Generator().manual_seed(len(tails))
    packed = heads(1, sum(prompts) + sum(tails), generator, grad=True)
    found = attend(GroupLayout.of(prompts, tails, owners, CPU), packed)[0]

    spans, first = [], 0
    for length in [*prompts, *tails]:
        spans.append(range(first, first + length))
        first += length
    expected = torch.empty_like(found)
    for place, own in enumerate(spans):
        prompt = [] if place < len(prompts) else spans[owners[place - len(prompts)]]
        seen = [*prompt, *own]
        expected[list(own)] = causal(packed[0][0][:, list(own)], *(t[0][:, seen] for t in packed[1:]))

    torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)
    weights = torch.randn(found.shape, generator=generator, dtype=torch.float64)
    for mine, theirs in zip(
        torch.autograd.grad((found * weights).sum(), packed),
        torch.autograd.grad((expected * weights).sum(), packed),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("tails", [[1] * 40 + [200], [0, 0, 0, 9], [64, 3, 65, 1, 0, 64], [7, 7, 6]])
def test_completions_of_unlike_lengths_take_at_most_two_slots_per_token(monkeypatch, tails):
    """Queries, keys and values of the slots are kept for the backward pass, whatever they hold."""
    slots = []

    def counted(query, *args, **options):
        slots.append(query.shape[0] * query.shape[2])
        return scaled_dot_product_attention(query, *args, **options)

    monkeypatch.setattr("observer.policy.attention.layout.scaled_dot_product_attention", counted)
    packed = heads(1, 5 + sum(tails), torch.Generator().manual_seed(0))
    attend(GroupLayout.of([5], tails, [0] * len(tails), CPU), packed)
    assert slots[0] == 5  # the prompt
    assert sum(tails) <= sum(slots[1:]) <= 2 * sum(tails)


@pytest.mark.parametrize("lengths", [[3, 5, 5], [4, 4, 4]], ids=["unequal prompts", "equal prompts"])
def test_rows_that_leave_and_prompts_that_go_with_them_change_nothing_for_the_others(lengths):
    """Two layers, 70 tokens: more than the room that is made at once."""
    generator = torch.Generator().manual_seed(0)
    prefill, layers = Prefill(lengths, CPU), (0, 1)
    prompts = [heads(1, sum(lengths), generator) for _ in layers]
    for layer in layers:
        attend(prefill, prompts[layer], layer)
    decoding = Decoding(prefill, group_size=2, limit=70)
    rows = [(place, index) for place in range(3) for index in range(2)]
    past = {
        (layer, row): [t[0].split(lengths, 1)[row[0]] for t in prompts[layer][1:]]
        for layer in layers
        for row in rows
    }
    leaving = {0: [(1, 1)], 3: [(0, 0)], 10: [(1, 0)], 66: [(2, 0)], 68: [(0, 1)]}
    """By token: before the first, of a prompt that stays, the last of a prompt, and after the room grew."""
    for token in range(70):
        kept = [place for place, row in enumerate(rows) if row not in leaving.get(token, [])]
        if len(kept) < len(rows):
            decoding.keep(torch.tensor(kept))
            rows = [rows[place] for place in kept]
        decoding.advance()
        for layer in layers:
            query, *new = heads(len(rows), 1, generator)
            found = attend(decoding, (query, *new), layer)
            for place, row in enumerate(rows):
                known = [torch.cat([t, n[place]], 1) for t, n in zip(past[layer, row], new, strict=True)]
                past[layer, row] = known
                # Weights are in float32 here, as they are while sampling.
                torch.testing.assert_close(found[place], causal(query[place], *known), atol=1e-6, rtol=1e-6)
    assert rows == [(2, 1)]


@pytest.fixture(scope="module")
def in_float64(fresh_policy):
    """The shipped policy in float64, but for log-probs and a few angles: these are in float32 on purpose."""
    return fresh_policy().double()


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(group_size=6, max_tokens=48, temperature=1.3),
        Sampling(group_size=1, max_tokens=48, temperature=0.0),
        Sampling(group_size=1, max_tokens=80, min_tokens=70),
        Sampling(group_size=3, max_tokens=90, min_tokens=30, temperature=1.5),
    ],
    ids=["groups", "greedy", "one each, beyond 64", "groups beyond 64"],
)
@pytest.mark.parametrize("drop_share", [1, 10**9], ids=["rows stay", "rows leave at once"])
def test_logprobs_that_were_drawn_with_are_those_of_the_training_pass(
    policy, in_float64, renderer, picture, problem, monkeypatch, sampling, drop_share
):
    monkeypatch.setattr("observer.rollout.cohort.DROP_SHARE", drop_share)
    tiles = Tiles(rows=64).read()
    noise = [problem("Is <image> larger than <image>?", [picture(84, 56, 1), picture(28, 112, 2)], id="two")]
    prompts = renderer.render([tiles[0], tiles[40], problem("What is 3 + 4?", id="text"), tiles[7], *noise])
    assert len({len(prompt.ids) for prompt in prompts}) > 2
    engine = TransformersEngine()
    engine.start(policy)
    groups = engine.generate(prompts, sampling)
    longest = [group.longest for group in groups]
    assert min(longest) < max(longest)  # a prompt lost all its rows while others went on
    if sampling.max_tokens > 64:
        assert max(longest) > 64
    drawn = torch.tensor([value for _, completion in each(groups) for value in completion.logprobs])
    with torch.no_grad():
        values = policy.logprobs(groups)
        exact = in_float64.logprobs(groups).values_N_T[values.mask_N_T]
    assert_errs_no_more(drawn, values.values_N_T[values.mask_N_T], exact)
    torch.testing.assert_close(drawn, exact, atol=SIGMAS * of_logprob(), rtol=0)
