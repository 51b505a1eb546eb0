"""Layers of a faster form say what those they stand for say."""

import warnings

import torch
from torch import nn

from observer.policy.faster_layers import FusedNorm


def test_a_norm_has_the_values_and_gradients_of_torch_s_own(fresh_policy):
    norm = next(module for module in fresh_policy().modules() if isinstance(module, FusedNorm))
    generator = torch.Generator().manual_seed(0)
    hidden, upstream = (torch.randn(3, 7, norm.weight.numel(), generator=generator) for _ in range(2))
    found, expected = [], []
    for results, dtype in ((found, torch.float32), (expected, torch.float64)):
        x = hidden.to(dtype).requires_grad_()
        weight = norm.weight.detach().to(dtype).requires_grad_()
        if dtype == torch.float32:
            norm.weight = nn.Parameter(weight)
            y, weight = norm(x), norm.weight
        else:
            y = nn.functional.rms_norm(x, weight.shape, weight, norm.variance_epsilon)
        results += [y.detach(), *torch.autograd.grad(y, (x, weight), upstream.to(dtype))]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.double(), other, atol=1e-5, rtol=1e-5)


def test_a_norm_of_mixed_types_is_that_of_float32_rounded_once(fresh_policy):
    norm = next(module for module in fresh_policy().modules() if isinstance(module, FusedNorm))
    hidden = torch.randn(5, norm.weight.numel(), generator=torch.Generator().manual_seed(0)).bfloat16()
    expected = nn.functional.rms_norm(hidden.float(), norm.weight.shape, None, norm.variance_epsilon)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns, once a process, where it has no kernel for two types
        found = norm(hidden)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, norm.weight * expected.bfloat16(), atol=0, rtol=0)
