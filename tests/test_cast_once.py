"""In mixed precision an engine casts weights once per rollout, and what it draws is the same to the bit."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from cases import awaken
from observer.policy import Lora
from observer.rollout import TransformersEngine
from observer.rollout.cast_once import cast_once
from observer.types import Sampling

SAMPLING = Sampling(group_size=2, max_tokens=8, temperature=1.3)
ADAPTERS = Lora(rank=2, alpha=8, targets=r".*language_model.*(q_proj|v_proj|down_proj)")


def mixed(enabled=True):
    return torch.autocast("cpu", torch.bfloat16, enabled=enabled, cache_enabled=False)  # as Lightning's is


def drawn(policy, prompts):
    engine = TransformersEngine()
    engine.start(policy)
    groups = engine.generate(prompts, SAMPLING)
    return [(one.ids, one.logprobs) for group in groups for one in group.completions]


def layers(policy):
    """What takes every token: the linear layers of the text model, and the head."""
    text = [layer for layer in policy.model.model.language_model.modules() if isinstance(layer, nn.Linear)]
    return [*text, policy.model.lm_head]


@pytest.mark.parametrize(
    "fields",
    [{}, {"lora": ADAPTERS}, {"lora": ADAPTERS, "dtype": "bfloat16"}],
    ids=["all weights", "adapters", "adapters on bfloat16"],
)
def test_what_is_drawn_is_what_casts_for_every_token_draw(fresh_policy, prompts, monkeypatch, fields):
    policy = awaken(fresh_policy(**fields)) if fields else fresh_policy()
    own = {layer: dict(layer._parameters) for layer in layers(policy)}
    seen = set()
    for layer in own:
        layer.register_forward_pre_hook(lambda layer, _: seen.add(layer.weight.dtype))
    with mixed():
        once = drawn(policy, prompts)
        assert seen == {torch.bfloat16}
        monkeypatch.setattr("observer.rollout.transformers_engine.cast_once", lambda *_: nullcontext())
        assert drawn(policy, prompts) == once
    assert torch.float32 in seen
    for layer, weights in own.items():
        assert all(layer._parameters[name] is weight for name, weight in weights.items())


def test_the_copy_is_of_what_every_token_takes_and_a_weight_in_two_places_is_copied_once(policy):
    text, head = policy.model.model.language_model, policy.model.lm_head
    embedding = text.embed_tokens.weight
    assert head.weight is embedding
    wide = {weight for layer in layers(policy) for weight in layer.parameters()}
    with mixed(), cast_once(text, head, head) as held:
        assert held == 2 * sum(weight.numel() for weight in wide)
        assert (head.weight.dtype, text.embed_tokens.weight) == (torch.bfloat16, embedding)
        assert text.norm.weight.dtype == torch.float32
        with cast_once(text, head) as again:
            assert again == 0
        assert head.weight.dtype == torch.bfloat16
    assert head.weight is embedding


def test_an_error_gives_the_layers_their_weights_back(policy):
    text, before = policy.model.model.language_model, dict(policy.named_parameters())
    with pytest.raises(ZeroDivisionError), mixed(), cast_once(text):
        1 / 0  # noqa: B018
    assert all(weight is before[name] for name, weight in policy.named_parameters())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_without_mixed_precision_and_for_weights_of_its_type_nothing_is_copied(fresh_policy, dtype):
    policy = fresh_policy(dtype=dtype)
    with mixed(enabled=dtype == "bfloat16"), cast_once(policy.model) as held:
        assert held == 0
        assert all(isinstance(layer.weight, nn.Parameter) for layer in layers(policy))
