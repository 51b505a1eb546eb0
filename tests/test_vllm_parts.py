"""What the engine VLLM does around vLLM, and what it says where there is none: needs none."""

import importlib.util
import os
import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Qwen2Config

from cases import KIN, awaken
from observer.policy import Lora, PolicySpec
from observer.policy.hand_over import handed_over, weights_in_files
from observer.rollout import VLLM
from observer.rollout.vllm.memory import key_value_bytes
from observer.rollout.vllm.process import _checked_configs
from observer.rollout.vllm.prompts import collapsed, refuse_other_prompt, vllm_prompts
from observer.rollout.vllm.undisturbed import undisturbed
from observer.types import RefusedError
from processes import HUNG

IMAGE = 5


class Rendering:
    image_id, merge = IMAGE, 4


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="there is a vLLM here")
def test_where_there_is_no_vllm_the_engine_says_what_to_install(checkpoint):
    with pytest.raises(
        RefusedError, match=r"^the engine VLLM needs a package .*pip install 'observer-r1\[vllm\]'.*$"
    ):
        VLLM().start(PolicySpec(str(checkpoint)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"memory_share": 0},
            "VLLM.memory_share is 0; it must be > 0 and <= 0.95: the policy needs the rest",
        ),
        (
            {"memory_share": 1.5},
            "VLLM.memory_share is 1.5; it must be > 0 and <= 0.95: the policy needs the rest",
        ),
        ({"max_num_seqs": 0}, "VLLM.max_num_seqs is 0; it must be >= 1"),
    ],
)
def test_options_out_of_their_range_are_refused(options, message):
    with pytest.raises(RefusedError, match=re.escape(message)):
        VLLM(**options)


def test_models_that_vllm_would_read_otherwise_are_refused(tmp_path, checkpoint):
    assert _checked_configs(PolicySpec(str(checkpoint)))[1].eos_token_id is not None
    KIN["Qwen3-VL"]().save_pretrained(tmp_path)
    spec = PolicySpec(str(tmp_path), from_scratch=True)
    with pytest.raises(
        RefusedError, match=r"rope_parameters of its config\.json lack mrope_interleaved: true"
    ):
        _checked_configs(spec)
    Qwen2Config().save_pretrained(tmp_path)
    with pytest.raises(RefusedError, match=r"a qwen2; VLLM is for qwen2_vl, qwen2_5_vl, qwen3_vl"):
        _checked_configs(spec)


def test_each_picture_is_one_pad_also_where_those_of_two_touch(prompts):
    for prompt in prompts:
        found = list(collapsed(prompt, Rendering))
        assert found.count(IMAGE) == len(prompt.pictures)
        assert [token for token in found if token != IMAGE] == [
            token for token in prompt.ids if token != IMAGE
        ]
    two = next(prompt for prompt in prompts if len(prompt.pictures) == 2)
    pads = sum(int(patches.grid.prod()) // 4 for patches in two.pictures)
    touching = type(two)(two.problem, (1, *[IMAGE] * pads, 7), two.pictures)
    assert list(collapsed(touching, Rendering)) == [1, IMAGE, IMAGE, 7]


def test_a_pad_without_a_picture_goes_to_no_engine(prompts):
    text, one = prompts[1], prompts[0]
    for made in (replace(text, ids=(*text.ids, IMAGE)), replace(one, ids=(*one.ids, IMAGE))):
        with pytest.raises(ValueError, match=rf"row '{made.problem.id}': its prompt has pads of no picture"):
            vllm_prompts([made], Rendering)


def test_a_prompt_that_the_engine_changed_is_refused_with_both(prompts):
    prompt = prompts[0]
    refuse_other_prompt(prompt, list(prompt.ids), IMAGE)
    doubled = [token for token in prompt.ids for _ in range(2 if token == IMAGE else 1)]
    pads = prompt.ids.count(IMAGE)
    message = (
        rf"row 'tiles-train-0': vLLM used .* with {2 * pads} of pictures, and not \d+ with {pads}; from token"
    )
    for used in (doubled, prompt.ids[:-1], [*prompt.ids, 9]):
        with pytest.raises(RefusedError, match=message if used is doubled else "vLLM used another prompt"):
            refuse_other_prompt(prompt, used, IMAGE)


def test_weights_are_handed_over_whole_by_their_own_names_with_the_tied_head(
    fresh_policy, policy, checkpoint
):
    plain = dict(handed_over(policy.model))
    assert plain.keys() == {*dict(policy.model.named_parameters()), "lm_head.weight"}
    assert plain["lm_head.weight"].data_ptr() == plain["model.language_model.embed_tokens.weight"].data_ptr()
    assert not any(weight.requires_grad for weight in plain.values())
    adapted = awaken(fresh_policy(lora=Lora(rank=2, alpha=8)))
    merged = dict(handed_over(adapted.model))
    assert merged.keys() == plain.keys()
    moved = {name for name in plain if not torch.equal(plain[name], merged[name])}
    assert len(moved) == 3 * 7
    assert all("language_model" in name for name in moved)
    layer = adapted.model.model.language_model.layers[1].mlp.up_proj
    expected = layer.base_layer.weight + layer.get_delta_weight("default")
    torch.testing.assert_close(merged["model.language_model.layers.1.mlp.up_proj.weight"], expected)
    files = dict(weights_in_files(PolicySpec(str(checkpoint))))
    assert len(files) == len(plain)
    torch.testing.assert_close(files["lm_head.weight"].float(), plain["lm_head.weight"])


@pytest.mark.whole
def test_what_is_sharded_over_ranks_is_gathered_one_by_one_adapters_merged(tmp_path):
    script = Path(__file__).parent / "helpers" / "two_ranks_sharded.py"
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "store")], capture_output=True, text=True, timeout=HUNG
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "the same weights on both"


def _failing(own):
    with undisturbed(own, 3):
        torch.set_num_threads = print
        torch.rand(1)
        raise RuntimeError("lost")


def test_what_is_done_undisturbed_leaves_random_states_threads_and_environment(monkeypatch):
    def states():
        return torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()

    def drawn():
        return float(torch.rand(())), random.random(), float(np.random.rand())

    monkeypatch.setenv("OWN", "mine")
    before, environment, set_threads, own = states(), dict(os.environ), torch.set_num_threads, {"A_B": "1"}
    found = []
    for seed in (7, 7, 8):
        with undisturbed(own, seed):
            assert os.environ["A_B"] == "1"
            found.append(drawn())
            os.environ.update(OWN="other", LEFT="behind")
            torch.set_num_threads = print
    assert found[0] == found[1] != found[2]
    assert own == {"A_B": "1", "OWN": "other", "LEFT": "behind"}
    assert states() == before
    assert dict(os.environ) == environment
    assert torch.set_num_threads is set_threads
    with pytest.raises(RuntimeError, match="lost"):
        _failing(own)
    assert (states(), dict(os.environ), torch.set_num_threads) == (before, environment, set_threads)


def test_on_a_cpu_keys_and_values_take_what_they_can_use_and_no_more(policy):
    config = policy.model.config
    per_token = 2 * 3 * 2 * 32 * 4  # keys and values, layers, heads, their size, bytes
    assert key_value_bytes(config, "float32", 100, 0.4) == 100 * per_token
    assert key_value_bytes(config, "bfloat16", 100, 0.4) == 50 * per_token
    assert key_value_bytes(config, "float32", 10**12, 1e-6) < 10**9
