"""Logits are read as autograd would: the same values, the same gradients."""

import torch

from observer.policy.logits import ReadLogits
from observer.types import Sampling
from tables import holds_for

BANNED, ENDS = (1, 5), (2,)


def plainly(logits, tokens, early, temperature):
    """The same in float64, line by line."""
    logits = logits.index_fill(-1, torch.tensor(BANNED), -torch.inf)
    ends = torch.zeros_like(logits, dtype=torch.bool).index_fill(-1, torch.tensor(ENDS), True)
    logprobs = logits.masked_fill(ends & early[:, None], -torch.inf).div(temperature or 1.0).log_softmax(-1)
    finite = logprobs.masked_fill(logprobs.isinf(), 0.0)
    return logprobs.gather(-1, tokens[:, None])[:, 0], -(logprobs.exp() * finite).sum(-1)


@holds_for("entropies", [None, False, True])
@holds_for("temperature", [1.0, 0.6, 0.0])
@holds_for("dtype", [torch.float32, torch.bfloat16])
def test_values_and_gradients_are_those_of_the_formulas(entropies, temperature, dtype):
    generator = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(9, 40, generator=generator)).to(dtype).requires_grad_()
    tokens, early = torch.randint(6, 40, (9,), generator=generator), torch.arange(9) % 2 == 0
    of_chosen, of_entropy = torch.randn(2, 9, generator=generator, dtype=torch.float64)
    sampling = Sampling(temperature=temperature, min_tokens=1)
    chosen, entropy = ReadLogits.apply(logits * 1.0, tokens, early, sampling, BANNED, ENDS, entropies)
    exact = logits.detach().double().requires_grad_()
    expected_chosen, expected_entropy = plainly(exact, tokens, early, temperature)
    torch.testing.assert_close(chosen.double(), expected_chosen, atol=1e-5, rtol=1e-5)
    loss, expected_loss = (chosen * of_chosen).sum(), (expected_chosen * of_chosen).sum()
    assert (entropy is None) == (entropies is None)
    if entropy is not None:
        torch.testing.assert_close(entropy.double(), expected_entropy, atol=1e-5, rtol=1e-5)
        assert entropy.requires_grad == entropies
    if entropies:
        loss = loss + (entropy * of_entropy).sum()
        expected_loss = expected_loss + (expected_entropy * of_entropy).sum()
    loss.backward()
    expected_loss.backward()
    tolerance = 1e-5 if dtype == torch.float32 else 2**-8
    torch.testing.assert_close(logits.grad.double(), exact.grad, atol=tolerance, rtol=tolerance)
    assert not logits.grad[:, BANNED].any()
    assert not logits.grad[early][:, ENDS].any()


def test_plain_log_probs_are_read_where_nothing_else_is_asked_for():
    logits, tokens = torch.randn(4, 10, generator=torch.Generator().manual_seed(0)), torch.arange(4)
    expected = logits.log_softmax(-1)[tokens, tokens]
    chosen, entropy = ReadLogits.apply(logits.clone(), tokens, None, Sampling(), (), (), None)
    assert entropy is None
    assert not chosen.requires_grad
    torch.testing.assert_close(chosen, expected)
