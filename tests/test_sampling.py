import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.policy.logits import next_token_logprobs
from observer.rollout.sampling import UniformStreams, draw
from observer.types import Sampling

LARGEST_BELOW_1 = float(np.nextafter(1.0, 0.0))
EDGES = (0.0, 2.0**-53, 0.5, LARGEST_BELOW_1)


@settings(deadline=None, max_examples=60)
@given(
    weights=st.lists(st.sampled_from([0.0, 1e-30, 1e-9, 0.3, 1.0, 5.0]), min_size=1, max_size=9).filter(any),
    uniform=st.one_of(st.sampled_from(EDGES), st.floats(0, LARGEST_BELOW_1)),
)
def test_a_draw_is_numpys_inverse_cdf_and_never_a_token_of_probability_zero(weights, uniform):
    logprobs_1_V = (torch.tensor([weights]) / sum(weights)).log()
    token = int(draw(logprobs_1_V, torch.tensor([uniform], dtype=torch.float64)))
    cumulative = np.cumsum(logprobs_1_V.exp()[0].numpy().astype(np.float64))
    assert weights[token] > 0
    assert token == np.searchsorted(cumulative, uniform * cumulative[-1], side="right")


def test_every_row_is_drawn_with_its_own_distribution_and_its_own_uniform():
    probabilities_N_V = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    uniforms_N = torch.tensor([0.49, 0.51, 0.0, LARGEST_BELOW_1], dtype=torch.float64)
    assert draw(probabilities_N_V.log(), uniforms_N).tolist() == [0, 2, 2, 0]


def test_a_uniform_of_one_still_draws_a_token_that_can_be_drawn():
    # No stream gives 1.0, but a device that rounds differently may end up there.
    assert draw(torch.tensor([[0.5, 0.5, 0.0]]).log(), torch.tensor([1.0]).double()).tolist() == [1]


def test_banned_tokens_have_no_probability_and_the_rest_is_normalised():
    logits_N_V = torch.tensor([[9.0, 1.0, 2.0, 3.0], [0.0, 0.0, 0.0, 50.0]])
    logprobs_N_V = next_token_logprobs(logits_N_V.clone(), None, Sampling(), banned_ids=(0, 3), end_ids=(2,))
    assert torch.isneginf(logprobs_N_V[:, [0, 3]]).all()
    torch.testing.assert_close(logprobs_N_V[:, 1:3], logits_N_V[:, 1:3].log_softmax(-1))


def test_end_tokens_are_banned_only_in_rows_that_are_before_the_minimum():
    logits_N_V = torch.zeros(2, 4)
    before_minimum_N = torch.tensor([True, False])
    logprobs_N_V = next_token_logprobs(
        logits_N_V, before_minimum_N, Sampling(), banned_ids=(0,), end_ids=(2, 3)
    )
    expected_N_V = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.0, 1 / 3, 1 / 3, 1 / 3]])
    torch.testing.assert_close(logprobs_N_V.exp(), expected_N_V)


@pytest.mark.parametrize(("temperature", "divisor"), [(1.0, 1.0), (0.5, 0.5), (2.0, 2.0), (0.0, 1.0)])
def test_the_temperature_divides_the_logits_and_greedy_keeps_the_plain_distribution(temperature, divisor):
    logits_N_V = torch.tensor([[0.3, -1.0, 2.0]])
    logprobs_N_V = next_token_logprobs(logits_N_V.clone(), None, Sampling(temperature=temperature), (), (2,))
    torch.testing.assert_close(logprobs_N_V, (logits_N_V / divisor).log_softmax(-1))


def test_half_precision_logits_give_float32_logprobs():
    logits_N_V = torch.randn(3, 50, generator=torch.Generator().manual_seed(0)).bfloat16()
    logprobs_N_V = next_token_logprobs(logits_N_V.clone(), None, Sampling(), (0,), (1,))
    assert logprobs_N_V.dtype == torch.float32
    torch.testing.assert_close(logprobs_N_V.exp().sum(-1), torch.ones(3))


def test_gradients_are_finite_and_zero_at_banned_tokens():
    logits_N_V = torch.zeros(2, 4, requires_grad=True)
    logprobs_N_V = next_token_logprobs(
        logits_N_V.clone(), torch.tensor([True, False]), Sampling(), (0,), (3,)
    )
    logprobs_N_V[:, 1].sum().backward()
    expected_N_V = torch.tensor([[0.0, 0.5, -0.5, 0.0], [0.0, 2 / 3, -1 / 3, -1 / 3]])
    torch.testing.assert_close(logits_N_V.grad, expected_N_V)


def uniforms(rows, seed=0, step=0, tokens=5, **options):
    streams = UniformStreams(Sampling(seed=seed, step=step), rows, **options)
    return torch.stack([streams.at(token) for token in range(tokens)], 1).tolist()


def test_a_rows_uniforms_do_not_depend_on_the_other_rows_nor_on_how_many_are_drawn_at_once():
    rows = [("a", 0), ("a", 1), ("b", 0)]
    together = uniforms(rows, tokens=9)
    assert [uniforms([row], tokens=9)[0] for row in rows] == together
    assert uniforms(rows[::-1], tokens=9) == together[::-1]
    assert uniforms(rows, tokens=9, block=2) == together


def test_seed_step_problem_place_and_token_all_change_the_uniforms():
    rows = [("a", 0), ("a", 1), ("b", 0)]
    changed = [*uniforms(rows), *uniforms(rows, seed=1), *uniforms(rows, step=1), *uniforms(rows, step=-1)]
    numbers = [number for row in changed for number in row]
    assert len(set(numbers)) == len(numbers) == 12 * 5
    assert all(0 <= number < 1 for number in numbers)


def test_the_uniforms_of_a_run_are_the_same_for_ever():
    """A run must resume bit for bit after an upgrade: changing this number breaks every run under way."""
    assert uniforms([("tiles-train-0", 3)], seed=7, step=11, tokens=2) == [
        [0.3166195031981617, 0.567623096140842]
    ]
