"""What every engine promises: one prompt, one distribution, one order, whatever draws the tokens."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from engines import completions, drawn, gap
from observer.rollout import TransformersEngine
from observer.types import Sampling

END, IMAGE, VIDEO = 2, 5, 6
CLOSE = 1e-4
"""Two float32 passes of different kernels; the wrong weights, pixels or distribution are off by far more."""
SIZES = [
    (10, 10),
    (1000, 30),
    (30, 900),
    (28, 28),
    (84, 84),
    (85, 57),
    (113, 200),
    (199, 61),
    (60, 300),
    (500, 400),
]


@pytest.fixture(params=["TransformersEngine", pytest.param("VLLM", marks=pytest.mark.vllm)])
def serving(request):
    """Factory of engines that draw from a policy."""

    def serve(policy):
        if request.param == "VLLM":
            engine = request.getfixturevalue("vllm_engine")
        else:
            engine = TransformersEngine()
            engine.start(policy)
        engine.sync(policy.weights(), 0)
        return engine

    return serve


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(group_size=4, max_tokens=60),
        Sampling(group_size=3, max_tokens=50, min_tokens=45, temperature=1.3, step=3),
        Sampling(group_size=2, max_tokens=30, temperature=0),
    ],
    ids=["usual", "hot with a minimum", "greedy"],
)
def test_logprobs_are_those_of_the_policy_and_groups_come_in_order(serving, policy, prompts, sampling):
    groups = serving(policy).generate(prompts, sampling)
    assert [group.prompt for group in groups] == list(prompts)
    assert all(group.sampling is sampling for group in groups)
    assert all([one.index for one in group.completions] == list(sampling.places) for group in groups)
    assert all(len(one.ids) == len(one.logprobs) >= sampling.min_tokens for one in completions(groups))
    assert gap(policy, groups) < CLOSE
    if sampling.temperature:
        assert len(set(drawn(groups).values())) > len(groups)
    else:
        assert all(len({one.ids for one in group.completions}) == 1 for group in groups)


def test_pictures_of_all_sizes_are_seen_as_the_trainer_sees_them(serving, policy, renderer, picture, problem):
    problems = [problem("What?", [picture(*size, seed=row)], id=f"{size}") for row, size in enumerate(SIZES)]
    problems.append(
        problem("Is <image><image> one?", [picture(30, 60), picture(140, 90)], id="two that touch")
    )
    greedy = Sampling(group_size=1, max_tokens=12, temperature=0)
    prompts = renderer.render(problems)
    groups = serving(policy).generate(prompts, greedy)
    assert len({len(prompt.ids) for prompt in prompts}) > 5
    assert gap(policy, groups) < CLOSE
    own = TransformersEngine()
    own.start(policy)
    assert drawn(groups) == drawn(own.generate(prompts, greedy))


def test_pictures_that_are_alike_but_for_a_pixel_are_told_apart(serving, policy, renderer, problem):
    from PIL import Image

    from observer.types import Picture

    def shown(shade):
        return Picture(f"{shade}", lambda: (84, 84), lambda: Image.new("RGB", (84, 84), (shade, 9, 9)))

    prompts = renderer.render([problem("How red?", [shown(shade)], id=f"{shade}") for shade in (0, 250, 251)])
    groups = serving(policy).generate(prompts, Sampling(group_size=2, max_tokens=8))
    assert gap(policy, groups) < 1e-5


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_vision_tokens_are_never_drawn_and_count_nothing(serving, fresh_policy, prompts, temperature):
    wild = fresh_policy()
    embedding = wild.model.get_input_embeddings().weight
    with torch.no_grad():  # pads are no input of the text model, where features take their places
        embedding[[IMAGE, VIDEO]] = 20 * embedding[330 - 7 : 329].mean(0)
        wants = wild.model(input_ids=torch.tensor([prompts[1].ids])).logits[0]
    assert set(wants.argmax(-1).tolist()) & {IMAGE, VIDEO}
    groups = serving(wild).generate(prompts, Sampling(4, max_tokens=30, temperature=temperature))
    assert not {token for one in completions(groups) for token in one.ids} & set(wild.banned_ids)
    assert gap(wild, groups) < CLOSE


def test_cut_completions_say_so_and_ends_count(serving, policy, prompts, processor):
    groups = serving(policy).generate(prompts, Sampling(group_size=4, max_tokens=20))
    assert {one.finish_reason for one in completions(groups)} == {"stop", "length"}
    for one in completions(groups):
        assert END not in one.ids[:-1]
        assert (one.ids[-1] == END) == one.finished
        assert one.finished or len(one.ids) == 20
        assert one.text == processor.tokenizer.decode(one.ids[: -1 if one.finished else None])


def test_a_group_that_is_completed_draws_others_under_the_next_indices(serving, policy, prompts):
    engine, sampling = serving(policy), Sampling(group_size=2, max_tokens=30)
    first, rest = engine.generate(prompts, sampling), engine.generate(prompts, replace(sampling, first=2))
    assert all([one.index for one in group.completions] == [2, 3] for group in rest)
    assert sum(one.ids in drawn(first).values() for one in completions(rest)) < len(prompts)


def test_a_long_prompt_beside_short_ones_is_drawn_as_they_are(serving, policy, renderer, problem):
    long, short = problem("What is it? " * 120, id="long"), problem("What?", id="short")
    prompts = renderer.render([short, long, replace(short, id="again")])
    assert len(prompts[1].ids) > 700
    groups = serving(policy).generate(prompts, Sampling(group_size=2, max_tokens=8))
    assert gap(policy, groups) < CLOSE
    assert [group.problem.id for group in groups] == ["short", "long", "again"]


def test_drawing_leaves_the_random_states_and_the_threads_of_the_process(serving, policy, prompts):
    def states():
        numpy = np.random.get_state()[1].tolist()
        return torch.get_rng_state().tolist(), random.getstate(), numpy, torch.get_num_threads()

    before, set_threads, grad = states(), torch.set_num_threads, torch.is_grad_enabled()
    engine = serving(policy)
    engine.sync(policy.weights(), 1)
    engine.generate(prompts, Sampling(group_size=2, max_tokens=8))
    assert states() == before
    assert torch.set_num_threads is set_threads
    assert torch.is_grad_enabled() is grad


def test_no_prompt_is_no_group_and_a_call_that_is_repeated_draws_the_same(serving, policy, prompts):
    engine = serving(policy)
    assert engine.generate([], Sampling()) == []
    again = [drawn(engine.generate(prompts, Sampling(2, max_tokens=20, step=4))) for _ in range(2)]
    other = drawn(engine.generate(prompts, Sampling(2, max_tokens=20, step=5)))
    assert again[0] == again[1] != other
