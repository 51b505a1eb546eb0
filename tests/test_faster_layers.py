"""Layers of a faster form say what those they stand for say."""

import warnings
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForImageTextToText

from cases import KIN
from conftest import CHECKPOINT
from observer.faster_layers import ChunkedAttention, FusedNorm, use_faster_layers
from observer.policy import Policy
from observer.pretrained import PolicySpec


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


@pytest.mark.parametrize(
    "grids",
    [
        [(1, 6, 6)] * 3,
        [(1, 24, 20), (1, 6, 4), (2, 2, 18), (1, 24, 20), (1, 4, 6)],
        [(1, 2, 2)],
    ],
    ids=["one size", "sizes whose windows are cut at the edge", "one patch of text"],
)
@pytest.mark.parametrize("kin", [*KIN, "the shipped one, with windows"])
def test_a_tower_has_the_values_and_gradients_of_transformers_own(tmp_path, processor, kin, grids):
    config = KIN[kin]() if kin in KIN else AutoConfig.from_pretrained(CHECKPOINT)
    config.save_pretrained(tmp_path)
    torch.manual_seed(0)
    own = Policy(PolicySpec(str(tmp_path), from_scratch=True), processor).model.model.visual
    stock = AutoModelForImageTextToText.from_config(config, attn_implementation="sdpa").model.visual
    stock.load_state_dict(own.state_dict())
    chunked = [module for module in own.modules() if isinstance(module, ChunkedAttention)]
    assert len(chunked) == len(own.blocks)
    vision = config.vision_config
    patch = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    pixels = torch.randn(sum(t * h * w for t, h, w in grids), patch)
    results = []
    for tower in (own, stock):
        features = tower(pixels, grid_thw=torch.tensor(grids)).pooler_output
        features.square().sum().backward()
        results.append([features.detach(), *(parameter.grad for parameter in tower.parameters())])
    for mine, theirs in zip(*results, strict=True):
        if theirs is not None:
            torch.testing.assert_close(mine, theirs, atol=1e-5 * float(theirs.abs().max()), rtol=1e-5)


def test_a_tower_that_norms_its_heads_or_has_dropout_is_left_as_it_is():
    class OtherVisionAttention(nn.Module):
        def __init__(self, **children):
            super().__init__()
            self.qkv, self.proj = nn.Linear(4, 12), nn.Linear(4, 4)
            self.config, self.attention_dropout = SimpleNamespace(_attn_implementation="sdpa"), 0.0
            for name, child in children.items():
                setattr(self, name, child)

    other = {
        "plain": OtherVisionAttention(),
        "norms": OtherVisionAttention(q_norm=nn.RMSNorm(4), k_norm=nn.RMSNorm(4)),
        "dropout": OtherVisionAttention(attention_dropout=0.1),
        "eager": OtherVisionAttention(config=SimpleNamespace(_attn_implementation="eager")),
    }
    use_faster_layers(nn.ModuleDict(other))
    assert [name for name, module in other.items() if type(module) is ChunkedAttention] == ["plain"]
