"""vLLM in the training process: its weights are the policy's, and nothing that older ones made is left."""

import os
from dataclasses import replace

import pytest
import torch

from cases import awaken
from engines import completions, drawn, gap, gaps
from observer.answering import Answerer
from observer.policy import Lora, Policy, PolicySpec, load_processor
from observer.rewards import Observe
from observer.rollout import VLLM, PromptRenderer, TransformersEngine
from observer.rollout.vllm import process
from observer.rollout.vllm.prompts import vllm_prompts
from observer.types import RefusedError, Sampling
from processes import forked

pytestmark = pytest.mark.vllm
CLOSE, APART = 1e-4, 0.1
SAMPLING = Sampling(group_size=2, max_tokens=16)
GREEDY = Sampling(group_size=1, max_tokens=16, temperature=0)
SIZES = [(10, 10), (1000, 30), (30, 900), (28, 28), (84, 84), (85, 57), (113, 200), (199, 61), (60, 300)]
UNUSED = range(7, 260)
"""Tokens that no prompt here holds; their rows of the tied embedding are head alone where none is drawn."""


def changed(policy, part, scale=0.3):
    """Move weights at random, of one part of the model."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in policy.model.named_parameters():
            if part in name and weight.dim() > 1:
                weight += scale * weight.std() * torch.randn(weight.shape, generator=generator)
    return policy


def started(engine, spec):
    engine.close()
    engine.longest = 1024
    engine.start(spec)
    return engine


@pytest.fixture
def engine(vllm_engine, checkpoint):
    """With the weights of the files, and before any sync."""
    return started(vllm_engine, PolicySpec(str(checkpoint)))


def test_before_any_sync_the_weights_are_those_of_the_files_also_after_others(
    engine, fresh_policy, policy, prompts
):
    groups = engine.generate(prompts, SAMPLING)
    assert gap(policy, groups) < CLOSE
    other = changed(fresh_policy(), "")
    engine.sync(other.weights(), 1)
    assert gap(policy, engine.generate(prompts, SAMPLING)) > APART
    again = started(engine, PolicySpec(policy.spec.path)).generate(prompts, SAMPLING)
    assert gap(policy, again) < CLOSE
    assert drawn(again) == drawn(groups)


@pytest.fixture(scope="session")
def varied(renderer, prompts, picture, problem):
    """Ten sizes of pictures, several pictures in a prompt, and text alone beside them.

    Without the first board, of which the model is sure whatever is done to its tower.
    """
    problems = [problem("What?", [picture(*size, row)], id=f"{size}") for row, size in enumerate(SIZES)]
    problems.append(
        problem("Is <image><image> one?", [picture(30, 60), picture(140, 90)], id="two that touch")
    )
    problems.append(problem("What is it? " * 20, id="long text"))
    return [*prompts[1:], *renderer.render(problems)]


def by_transformers(policy, prompts):
    engine = TransformersEngine()
    engine.start(policy)
    return drawn(engine.generate(prompts, GREEDY))


@pytest.mark.parametrize("part", ["visual", "language_model.layers", "embed_tokens", ""])
def test_a_change_of_one_part_is_seen_after_the_sync_and_not_before(engine, fresh_policy, varied, part):
    policy = fresh_policy()
    engine.sync(policy.weights(), 0)
    assert gap(policy, engine.generate(varied, SAMPLING)) < CLOSE  # and all of them are in the caches
    changed(policy, part)
    pictured = {prompt.problem.id for prompt in varied if prompt.pictures}
    for name, off in gaps(policy, engine.generate(varied, SAMPLING)).items():
        assert off < CLOSE if part == "visual" and name not in pictured else off > APART, name
    for version in (1, 2):  # the second with nothing new
        engine.sync(policy.weights(), version)
        assert gap(policy, engine.generate(varied, SAMPLING)) < CLOSE
        assert drawn(engine.generate(varied, GREEDY)) == by_transformers(policy, varied)
        assert engine.version == version


def test_a_change_of_the_head_alone_is_seen_too(engine, fresh_policy, prompts):
    policy = fresh_policy()
    held = {token for prompt in prompts for token in prompt.ids}
    rows = sorted(set(UNUSED) - held)
    with torch.no_grad():
        policy.model.get_input_embeddings().weight[rows] *= 4
    groups = engine.generate(prompts, SAMPLING)
    assert gap(policy, groups) > APART
    engine.sync(policy.weights(), 1)
    assert gap(policy, engine.generate(prompts, SAMPLING)) < CLOSE
    assert drawn(engine.generate(prompts, GREEDY)) == by_transformers(policy, prompts)


def test_a_sync_empties_all_caches(engine, policy, varied):
    """Prepared pictures depend on no weight, so that none can be stale; they are memory for nothing then."""
    core = engine.served.llm.llm_engine.engine_core.engine_core
    runner = engine.served.llm.llm_engine.model_executor.driver_worker.worker.model_runner

    def held():
        prepared = engine.served.llm.renderer.mm_processor_cache.make_stats().total
        prefixes = sum(
            block.block_hash is not None for block in core.scheduler.kv_cache_manager.block_pool.blocks
        )
        return prefixes, prepared, len(core.scheduler.encoder_cache_manager.cached), len(runner.encoder_cache)

    engine.generate(varied, SAMPLING)
    assert min(held()) > 0
    engine.sync(policy.weights(), 0)
    assert held() == (0, 0, 0, 0)


def test_pictures_are_prepared_with_the_policys_own_pixels(engine, checkpoint, monkeypatch, picture, problem):
    spec = PolicySpec(str(checkpoint), min_pixels=20 * 784, max_pixels=30 * 784)
    own = Policy(spec, load_processor(spec))
    edges = {"shortest_edge": 20 * 784, "longest_edge": 30 * 784}
    problems = [problem("What?", [picture(*size)], id=f"{size}") for size in SIZES]
    prompts = PromptRenderer(own.processor, system_prompt="", max_tokens=1024).render(problems)
    with pytest.raises(RefusedError, match="vLLM used another prompt"):
        engine.generate(prompts, SAMPLING)
    monkeypatch.setattr(engine.served, "picture_size", edges)
    assert gap(own, engine.generate(prompts, SAMPLING)) < CLOSE


@pytest.mark.parametrize(
    "targets",
    [r".*\.language_model\..*(q_proj|down_proj)", r".*\.visual\..*(qkv|up_proj)"],
    ids=["text", "tower"],
)
def test_adapters_are_merged_before_they_are_handed_over(engine, fresh_policy, prompts, targets):
    policy = awaken(fresh_policy(lora=Lora(rank=4, alpha=8, targets=targets)))
    pictured = [prompt for prompt in prompts if prompt.pictures]
    assert gap(policy, engine.generate(pictured, SAMPLING)) > APART
    engine.sync(policy.weights(), 1)
    assert gap(policy, engine.generate(pictured, SAMPLING)) < CLOSE
    assert [name for name, _ in policy.weights() if "lora" in name or "base_layer" in name] == []


@pytest.mark.parametrize("left_out", ["lm_head.weight", "layers.1.mlp.down_proj.weight", "q_proj.weight"])
def test_weights_that_are_not_handed_over_are_named(engine, policy, left_out):
    engine.sync(policy.weights(), 0)
    some = [(name, weight) for name, weight in policy.weights() if left_out not in name]
    with pytest.raises(RuntimeError, match=rf"weights of vLLM's copy were not replaced, .*{left_out}"):
        engine.sync(some, 1)
    assert engine.version == 0
    engine.sync(policy.weights(), 1)


def test_a_head_that_is_missing_from_the_first_sync_on_is_missed(engine, policy):
    with pytest.raises(RuntimeError, match=r"1 weights .* lm_head\.weight"):
        engine.sync(policy.model.named_parameters(), 0)
    engine.sync(policy.weights(), 0)


def test_a_prompt_whose_pads_are_repeated_already_is_refused_with_both(engine, prompts, monkeypatch):
    def expanded(prompts, rendering):
        made = vllm_prompts(prompts, rendering)
        for one, prompt in zip(made, prompts, strict=True):
            one["prompt_token_ids"] = list(prompt.ids)
        return made

    monkeypatch.setattr("observer.rollout.vllm.engine.vllm_prompts", expanded)
    count = len(prompts[0].ids)
    with pytest.raises(
        RefusedError, match=rf"vLLM used another prompt .*: \d+ tokens .*, and not {count} with "
    ):
        engine.generate(prompts[:1], SAMPLING)


def test_every_end_token_of_the_policy_ends_also_one_that_vllm_does_not_know(engine, prompts, monkeypatch):
    free = completions(engine.generate(prompts, SAMPLING))
    end = free[0].ids[8]
    assert sum(end in one.ids[:-1] for one in free) > 1
    monkeypatch.setattr(engine.served, "end_ids", (*engine.served.end_ids, end))
    ended = completions(engine.generate(prompts, SAMPLING))
    assert not any(end in one.ids[:-1] for one in ended)
    assert sum(one.ids[-1] == end and one.finished for one in ended) > 1


def test_many_prompts_that_are_computed_in_parts_are_drawn(engine, policy, renderer, picture, problem):
    problems = [problem("What is it? " * 10, [picture(140, 140, row)], id=f"{row}") for row in range(64)]
    prompts = renderer.render(problems)
    assert sum(len(prompt.ids) for prompt in prompts) > 4096  # what vLLM computes at once
    groups = engine.generate(prompts, Sampling(group_size=2, max_tokens=4))
    assert gap(policy, groups) < CLOSE


def test_a_completion_without_room_is_refused_and_the_engine_goes_on(engine, policy, prompts):
    with pytest.raises(
        RefusedError, match=r"row 'tiles-train-0': its prompt has \d+ tokens, and with max_tokens 1020"
    ):
        engine.generate(prompts, replace(SAMPLING, max_tokens=1020))
    assert gap(policy, engine.generate(prompts, SAMPLING)) < CLOSE


def test_the_process_is_as_it_was_and_its_group_outlives_a_close(engine, policy, prompts):
    environment, set_threads = dict(os.environ), torch.set_num_threads
    first = engine.generate(prompts, SAMPLING)
    engine.close()
    assert torch.distributed.is_initialized()
    with pytest.raises(RuntimeError, match="the engine was not started"):
        engine.generate(prompts, SAMPLING)
    started(engine, PolicySpec(policy.spec.path))
    assert drawn(engine.generate(prompts, SAMPLING)) == drawn(first)
    assert dict(os.environ) == environment
    assert not [name for name in environment if name.startswith("VLLM_") or name == "LD_PRELOAD"]
    assert torch.set_num_threads is set_threads is torch._C.set_num_threads
    torch.set_num_threads(torch.get_num_threads())


def test_a_second_engine_in_a_process_is_refused_with_what_differs(engine, checkpoint):
    with pytest.raises(
        RefusedError, match=r"VLLM: max_num_seqs is 8, and this process has .*, with 256; .* start another"
    ):
        VLLM(max_num_seqs=8).start(PolicySpec(str(checkpoint)))
    longer = VLLM()
    longer.longest = 2000
    with pytest.raises(RefusedError, match=r"up to 2000 tokens, and the vLLM engine .* was started for 1024"):
        longer.start(PolicySpec(str(checkpoint)))


def test_what_an_error_leaves_queued_or_half_computed_is_forgotten(engine, policy, prompts, monkeypatch):
    engine.sync(policy.weights(), 0)
    runner = process._served.llm.llm_engine.model_executor.driver_worker.worker.model_runner
    execute, left = runner.execute_model, [2]

    def fails(*given, **named):
        left[0] -= 1
        if not left[0]:
            raise MemoryError("no more")
        return execute(*given, **named)

    for calls in (1, 2, 5):  # in the prefill, and while drawing
        left[0] = calls
        monkeypatch.setattr(runner, "execute_model", fails)
        with pytest.raises(MemoryError):
            engine.generate(prompts, SAMPLING)
        monkeypatch.undo()
        assert not process._served.llm.llm_engine.has_unfinished_requests()
        assert gap(policy, engine.generate(prompts, SAMPLING)) < CLOSE


def test_vllm_that_sleeps_and_wakes_draws_as_before(engine, policy, fresh_policy, prompts, monkeypatch):
    """On a CPU no memory is given back, but its scheduler stops and goes on."""
    monkeypatch.setattr(process._served.sleep, "able", True)
    engine.sync(policy.weights(), 0)
    before = engine.generate(prompts, SAMPLING)
    engine.rest()
    assert process._served.llm.llm_engine.is_sleeping()
    assert drawn(engine.generate(prompts, SAMPLING)) == drawn(before)
    other = changed(fresh_policy(), "")
    engine.rest()
    engine.sync(other.weights(), 1)
    assert gap(other, engine.generate(prompts, SAMPLING)) < CLOSE
    assert not process._served.llm.llm_engine.is_sleeping()


def test_a_process_that_is_forked_is_refused_the_engine(engine, prompts):
    def used():
        try:
            engine.generate(prompts, SAMPLING)
        except RefusedError as error:
            return str(error)

    assert f"was forked from process {os.getpid()}, which has a vLLM engine" in forked(used)


def test_weights_that_are_drawn_by_the_trainer_are_waited_for(
    engine, checkpoint, monkeypatch, policy, prompts
):
    monkeypatch.setitem(process._served.key, "from_scratch", True)
    scratch = VLLM()
    scratch.start(PolicySpec(str(checkpoint), from_scratch=True))
    with pytest.raises(RefusedError, match="from_scratch draws weights in the trainer"):
        scratch.generate(prompts, SAMPLING)
    scratch.sync(policy.weights(), 0)
    assert gap(policy, scratch.generate(prompts, SAMPLING)) < CLOSE


def test_without_a_learner_the_files_answer_and_no_torch_model_is_loaded(engine, checkpoint, monkeypatch):
    from observer.data import Tiles

    def refuse(*_):
        raise AssertionError("a torch model is loaded")

    monkeypatch.setattr("observer.answering.answerer.Policy", refuse)
    spec = PolicySpec(str(checkpoint))
    answerer = Answerer.of(
        spec, response_format=Observe(system_prompt=""), engine=VLLM(), max_prompt_tokens=64
    )
    answerer.start(spec, max_tokens=48)
    [scored] = answerer.answer(
        list(Tiles(rows=16, split="test").read()), Sampling(1, max_tokens=48, temperature=0)
    )
    answerer.close()
    assert 0 < sum(row[0].correct for row in scored.scores) < 16
    assert all(one.logprobs for one in completions(scored.groups))
