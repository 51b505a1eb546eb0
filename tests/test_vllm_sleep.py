"""When vLLM sleeps and wakes, in which order, and what becomes of it in a copy of its process."""

import os

import pytest
import torch

import runs
from observer.policy import PolicySpec, load_processor
from observer.rollout import VLLM
from observer.rollout.vllm import process
from observer.rollout.vllm.process import Served, launched
from observer.rollout.vllm.sleep import Sleep
from observer.types import RefusedError, Sampling


class Recorded:
    """Stands in for ``vllm.LLM`` on a GPU: notes each call, and refuses what sleeps."""

    def __init__(self):
        self.calls, self.asleep, self.llm_engine = [], set(), self

    def sleep(self, level):
        assert level == 1, "a draw without a sync would be of garbage"
        self.calls.append("sleep")
        self.asleep = {"weights", "kv_cache"}

    def wake_up(self, tags=None):
        self.calls.append(f"wake {' '.join(tags or sorted(self.asleep))}")
        assert self.asleep.issuperset(tags or ())
        self.asleep -= set(tags or self.asleep)

    def collective_rpc(self, _, args):
        assert "weights" not in self.asleep
        self.calls.append("weights")
        list(args[0])
        return [set()]

    def reset_prefix_cache(self):
        self.calls.append("forget")
        return True

    def reset_mm_cache(self):
        pass

    reset_encoder_cache = reset_mm_cache

    def generate(self, prompts, *_, **__):
        assert not self.asleep
        self.calls.append("generate")
        return []


@pytest.fixture
def recorded(monkeypatch, policy, checkpoint):
    """A started engine whose vLLM is a stand-in, and the stand-in."""
    monkeypatch.setattr("observer.rollout.vllm.engine.sampling_params", lambda *_: None)

    def make(able):
        llm, spec, processor = Recorded(), PolicySpec(str(checkpoint)), load_processor(policy.spec)
        options = {
            "gpu_memory_utilization": 0.4,
            "max_num_seqs": 256,
            "enforce_eager": False,
            "tensor_parallel_size": 1,
        }
        options |= {"dtype": spec.dtype, "enable_sleep_mode": False, "from_scratch": False}
        key = {**options, "path": spec.path, "min_pixels": spec.min_pixels, "max_pixels": spec.max_pixels}
        read = (processor.tokenizer, 5, 4, {}, (), ())
        served = Served(key, llm, 1024, *read, own={}, sleep=Sleep(llm, able))
        monkeypatch.setattr(process, "_served", served)
        engine = VLLM()
        engine.start(spec)
        llm.calls.clear()
        return engine, llm

    return make


def test_weights_are_woken_before_they_are_replaced_and_the_rest_after_that(recorded, policy):
    engine, llm = recorded(able=True)

    def step(version):
        llm.calls.clear()
        engine.sync(policy.weights(), version)
        engine.generate([], Sampling())
        engine.generate([], Sampling())
        engine.rest()
        return llm.calls

    awake = ["weights", "forget", "generate", "generate", "sleep"]
    assert step(0) == awake
    assert step(1) == ["wake weights", "weights", "forget", "wake kv_cache", *awake[2:]]
    llm.calls.clear()
    engine.generate([], Sampling())  # as after a validation: the weights are those of the last sync
    assert llm.calls == ["wake kv_cache weights", "generate"]


def test_who_rests_twice_or_is_synced_and_drawn_from_by_nobody_sleeps_all_the_same(recorded, policy):
    engine, llm = recorded(able=True)
    engine.rest()
    engine.rest()
    assert llm.calls == ["sleep"]
    engine.sync(policy.weights(), 1)
    engine.rest()
    assert llm.calls == ["sleep", "wake weights", "weights", "forget", "sleep"]
    engine.close()
    engine.start(PolicySpec(policy.spec.path))  # its files are read into weights that are awake
    assert llm.calls[5:] == ["wake weights", "weights", "forget"]


def test_what_cannot_sleep_is_left_alone(recorded, policy):
    engine, llm = recorded(able=False)
    engine.rest()
    engine.sync(policy.weights(), 1)
    engine.generate([], Sampling())
    assert llm.calls == ["weights", "forget", "generate"]


def test_a_copy_of_the_process_is_refused_the_engine(recorded, policy, monkeypatch):
    engine, llm = recorded(able=True)
    own = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: own + 1)
    for use in (
        lambda: engine.generate([], Sampling()),
        lambda: engine.sync(policy.weights(), 1),
        engine.rest,
        lambda: VLLM().start(PolicySpec(runs.CHECKPOINT)),
    ):
        with pytest.raises(RefusedError, match=rf"was forked from process {own}, which has a vLLM engine"):
            use()
    assert llm.calls == []


def test_ranks_with_a_gpu_each_say_which_they_are_as_lightning_does_not(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    assert launched(1) == {}, "one process alone"
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 8)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 7)
    assert launched(1) == {"RANK": "7", "LOCAL_RANK": "3", "WORLD_SIZE": "8"}
