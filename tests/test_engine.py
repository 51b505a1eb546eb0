from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import AutoModelForImageTextToText

from bounds import SIGMAS, of_logprob
from cases import KIN, awaken
from observer.policy import Lora, Policy, PolicySpec
from observer.rollout import Engine, TransformersEngine
from observer.types import RefusedError, Sampling

END = 2


def started(policy: Policy, **options) -> Engine:
    engine = TransformersEngine(**options)
    engine.start(policy)
    return engine


def ids(groups):
    """Token ids by problem and place in the group."""
    return {
        (group.problem.id, completion.index): completion.ids
        for group in groups
        for completion in group.completions
    }


def completions(groups):
    return [completion for group in groups for completion in group.completions]


def assert_same_logprobs(policy, groups):
    with torch.no_grad():
        values_N_T = policy.logprobs(groups).values_N_T
    bound = SIGMAS * 2**0.5 * of_logprob()  # of a difference of two float32 passes
    for row, completion in enumerate(completions(groups)):
        sampled_T = torch.tensor(completion.logprobs)
        torch.testing.assert_close(values_N_T[row, : len(completion.ids)], sampled_T, atol=bound, rtol=0)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(group_size=4, max_tokens=60),
        Sampling(group_size=3, max_tokens=20, min_tokens=18, temperature=1.7),
        Sampling(group_size=1, max_tokens=60, temperature=0),
    ],
    ids=["usual", "hot with a minimum", "greedy"],
)
def test_the_logprobs_of_drawn_tokens_are_those_of_the_policy(policy, prompts, sampling):
    groups = started(policy).generate(prompts, sampling)
    assert [group.prompt for group in groups] == list(prompts)
    assert all(group.sampling is sampling for group in groups)
    for group in groups:
        assert [completion.index for completion in group.completions] == list(range(sampling.group_size))
    lengths = {len(completion.ids) for completion in completions(groups)}
    assert len(lengths) > 1  # rows end at different times
    assert_same_logprobs(policy, groups)


@pytest.mark.parametrize("kin", KIN)
def test_the_kin_of_the_model_sample_what_their_policy_says_too(tmp_path, processor, prompts, kin):
    KIN[kin]().save_pretrained(tmp_path)
    torch.manual_seed(0)
    policy = Policy(PolicySpec(str(tmp_path), from_scratch=True), processor)
    groups = started(policy).generate(prompts, Sampling(group_size=2, max_tokens=12))
    assert_same_logprobs(policy, groups)


@pytest.mark.parametrize(
    "targets",
    ["q_proj|v_proj", "k_proj", "o_proj", "gate_proj|down_proj", r"layers\.1\..*v_proj"],
    ids=["queries and values", "keys", "outputs", "gated layers", "one matrix of all"],
)
def test_adapters_take_part_in_sampling_whichever_projections_they_are_on(fresh_policy, prompts, targets):
    lora = Lora(rank=2, alpha=8, targets=rf".*language_model.*({targets})")
    policy = awaken(fresh_policy(lora=lora))
    groups = started(policy).generate(prompts, Sampling(group_size=2, max_tokens=20))
    assert_same_logprobs(policy, groups)
    with policy.without_adapters(), pytest.raises(AssertionError, match="not close"):
        assert_same_logprobs(policy, groups)


def test_a_group_that_is_drawn_in_two_parts_is_the_one_drawn_at_once(policy, prompts):
    engine, whole = started(policy), Sampling(group_size=4, max_tokens=30)
    at_once = engine.generate(prompts, whole)
    parts = [engine.generate(prompts, replace(whole, group_size=2, first=first)) for first in (0, 2)]
    for group, one, other in zip(at_once, *parts, strict=True):
        joined = (*one.completions, *other.completions)
        assert [completion.index for completion in joined] == [0, 1, 2, 3]
        assert [completion.ids for completion in joined] == [
            completion.ids for completion in group.completions
        ]


def test_finished_and_cut_completions_say_so(policy, prompts, processor):
    groups = started(policy).generate(prompts, Sampling(group_size=4, max_tokens=20))
    reasons = set()
    for completion in completions(groups):
        reasons.add(completion.finish_reason)
        assert len(completion.ids) == len(completion.logprobs) <= 20
        assert END not in completion.ids[:-1]
        if completion.finished:
            assert completion.finish_reason == "stop"
            assert completion.ids[-1] == END
            assert completion.text == processor.tokenizer.decode(completion.ids[:-1])
        else:
            assert completion.finish_reason == "length"
            assert completion.ids[-1] != END
            assert len(completion.ids) == 20
            assert completion.text == processor.tokenizer.decode(completion.ids)
        assert "<|im_end|>" not in completion.text
    assert reasons == {"stop", "length"}


def test_an_end_token_at_the_limit_is_a_stop(policy, prompts):
    [whole] = completions(started(policy).generate(prompts[:1], Sampling(1, max_tokens=60)))
    assert whole.finished
    at_limit = Sampling(1, max_tokens=len(whole.ids))
    [same] = completions(started(policy).generate(prompts[:1], at_limit))
    assert same == whole


@pytest.fixture
def two_ends(fresh_policy, policy, prompts):
    """A policy with a second end token, which the shipped one often draws, and what that one draws."""
    drawn = completions(started(policy).generate(prompts, Sampling(4, max_tokens=40)))
    [(often, _)] = Counter(token for one in drawn for token in one.ids[2:-1]).most_common(1)
    other = fresh_policy()
    other.end_ids = (END, often)
    return other, drawn


def test_a_completion_ends_with_the_first_of_several_end_tokens(two_ends, prompts):
    (policy, drawn), steps = two_ends, []
    policy.model.lm_head.register_forward_hook(lambda *_: steps.append(1))
    found = completions(started(policy).generate(prompts[1:2], Sampling(4, max_tokens=40)))
    assert len(steps) == max(len(one.ids) for one in found) < 40
    found = completions(started(policy).generate(prompts, Sampling(4, max_tokens=40)))
    for one, other in zip(found, drawn, strict=True):
        ends = [place + 1 for place, token in enumerate(other.ids) if token in policy.end_ids]
        assert one.ids == other.ids[: ends[0] if ends else None]
        assert one.finished == bool(ends)
    assert {one.ids[-1] for one in found} >= set(policy.end_ids)


def test_no_end_token_is_drawn_before_the_minimum(two_ends, prompts):
    policy, _ = two_ends
    groups = started(policy).generate(prompts, Sampling(4, max_tokens=40, min_tokens=12))
    assert not {token for one in completions(groups) for token in one.ids[:12]} & set(policy.end_ids)
    assert_same_logprobs(policy, groups)


def test_no_completion_ends_before_the_minimum(policy, prompts):
    greedy = Sampling(group_size=1, max_tokens=60, temperature=0)
    natural = min(
        len(completion.ids) for completion in completions(started(policy).generate(prompts, greedy))
    )
    longer = Sampling(group_size=2, max_tokens=natural + 8, min_tokens=natural + 5)
    for completion in completions(started(policy).generate(prompts, longer)):
        assert END not in completion.ids[: natural + 5]


def test_greedy_decoding_is_that_of_transformers(policy, prompts, processor, renderer, checkpoint):
    groups = started(policy).generate(prompts, Sampling(group_size=1, max_tokens=40, temperature=0))
    stock = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=torch.float32)
    for group in groups:
        pictures = [picture.load() for picture in group.problem.pictures]
        inputs = processor(text=[renderer.text(group.problem)], images=pictures or None, return_tensors="pt")
        assert tuple(inputs["input_ids"][0].tolist()) == group.prompt.ids
        output = stock.generate(
            **inputs, do_sample=False, max_new_tokens=40, suppress_tokens=list(policy.banned_ids)
        )
        assert tuple(output[0, len(group.prompt.ids) :].tolist()) == group.completions[0].ids


def test_tokens_do_not_depend_on_what_else_is_sampled(policy, prompts):
    sampling = Sampling(group_size=6, max_tokens=48, temperature=1.3, seed=3, step=5)
    together = ids(started(policy).generate(prompts, sampling))
    assert len({len(drawn) for drawn in together.values()}) > 4  # some rows left the batch while others ran
    for tokens_at_once in (1, 700, 1000):
        assert ids(started(policy, tokens_at_once=tokens_at_once).generate(prompts, sampling)) == together
    assert ids(started(policy).generate(prompts[::-1], sampling)) == together
    alone = [group for prompt in prompts for group in started(policy).generate([prompt], sampling)]
    assert ids(alone) == together
    fewer = ids(started(policy).generate(prompts, Sampling(2, 48, temperature=1.3, seed=3, step=5)))
    assert fewer == {key: drawn for key, drawn in together.items() if key[1] < 2}
    shorter = ids(started(policy).generate(prompts, Sampling(6, 9, temperature=1.3, seed=3, step=5)))
    assert shorter == {key: drawn[:9] for key, drawn in together.items()}


def test_seeds_steps_and_places_in_the_group_draw_differently(policy, prompts):
    def drawn(**options):
        sampling = Sampling(group_size=6, max_tokens=12, temperature=2.0, **options)
        return list(ids(started(policy).generate(prompts[1:2], sampling)).values())

    base = drawn()
    assert len(set(base)) == len(base)
    for other in (drawn(seed=1), drawn(step=1), drawn(step=-1)):
        assert not set(other) & set(base)


def test_first_tokens_are_drawn_as_often_as_the_model_says(policy, prompts):
    draws, temperature = 2000, 3.0
    prompt = prompts[0]
    [group] = started(policy, tokens_at_once=10**9).generate(
        [prompt], Sampling(draws, max_tokens=1, temperature=temperature)
    )
    with torch.no_grad():
        [patches] = prompt.pictures
        inputs = {"pixel_values": patches.pixels, "image_grid_thw": patches.grid[None]}
        ids_1_S = torch.tensor([prompt.ids])
        is_image_1_S = (ids_1_S == policy.model.config.image_token_id).int()
        logits_V = policy.model(input_ids=ids_1_S, mm_token_type_ids=is_image_1_S, **inputs).logits[0, -1]
    logits_V[list(policy.banned_ids)] = -torch.inf
    expected_V = (logits_V / temperature).softmax(-1).double() * draws
    observed_V = torch.bincount(torch.tensor([c.ids[0] for c in group.completions]), minlength=329).double()
    often = expected_V >= 5
    assert int(often.sum()) > 20
    rare = torch.stack([expected_V[~often].sum(), observed_V[~often].sum()])
    expected, observed = torch.cat([expected_V[often], rare[:1]]), torch.cat([observed_V[often], rare[1:]])
    freedom = len(expected) - 1
    chi_square = float(((observed - expected) ** 2 / expected).sum())
    assert chi_square < freedom + 4 * (2 * freedom) ** 0.5


class Wants(nn.Module):
    """A head that wants some tokens above all."""

    def __init__(self, head, wanted):
        super().__init__()
        self.head, self.wanted = head, list(wanted)

    def forward(self, hidden):
        logits = self.head(hidden)
        push = torch.zeros_like(logits)
        push[..., self.wanted] = 100.0
        return logits + push


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_vision_tokens_are_never_drawn_and_the_training_pass_works(fresh_policy, prompts, temperature):
    wild = fresh_policy()
    wild.model.lm_head = Wants(wild.model.lm_head, wild.banned_ids)
    with torch.no_grad():
        plain = wild.model(input_ids=torch.tensor([prompts[1].ids])).logits[0, -1]
    assert int(plain.argmax()) in wild.banned_ids
    sampling = Sampling(group_size=4, max_tokens=30, temperature=temperature)
    groups = started(wild).generate(prompts, sampling)
    assert not {token for completion in completions(groups) for token in completion.ids} & set(
        wild.banned_ids
    )
    assert_same_logprobs(wild, groups)
    wild.logprobs(groups).values_N_T.sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in wild.parameters())


def test_the_banned_tokens_are_all_the_vision_tokens(policy, processor):
    names = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    assert policy.banned_ids == tuple(sorted(processor.tokenizer.convert_tokens_to_ids(names)))
    assert policy.end_ids == (processor.tokenizer.eos_token_id,)


def test_a_change_of_the_weights_is_seen_at_once_and_a_sync_only_notes_the_version(fresh_policy, prompts):
    policy = fresh_policy()
    engine = started(policy)
    assert engine.weights == "shared"
    assert engine.version == -1
    sampling = Sampling(group_size=2, max_tokens=20)
    before = ids(engine.generate(prompts, sampling))

    def untouched():
        raise AssertionError("a shared engine copies no weights")
        yield

    engine.sync(untouched(), 7)
    assert engine.version == 7
    assert ids(engine.generate(prompts, sampling)) == before
    with torch.no_grad():
        policy.model.model.language_model.norm.weight *= -1
    changed = engine.generate(prompts, sampling)
    assert ids(changed) != before
    assert_same_logprobs(policy, changed)


def test_rope_deltas_that_an_earlier_call_left_change_nothing(fresh_policy, policy, prompts):
    sampling = Sampling(group_size=2, max_tokens=20)
    poisoned = fresh_policy()
    poisoned.model.model.rope_deltas = torch.tensor([[1000], [-77]])
    assert ids(started(poisoned).generate(prompts, sampling)) == ids(
        started(policy).generate(prompts, sampling)
    )


class Broken(nn.Module):
    def forward(self, hidden):
        raise RuntimeError("out of memory")


@pytest.mark.parametrize("training", [True, False])
def test_the_training_mode_is_put_back_also_when_generation_fails(fresh_policy, prompts, training):
    policy = fresh_policy().train(training)
    head, engine = policy.model.lm_head, started(policy)
    modes = []
    layer = policy.model.model.language_model.layers[0].mlp
    layer.register_forward_hook(lambda module, *_: modes.append(module.training))
    engine.generate(prompts[:1], Sampling(1, max_tokens=2))
    assert policy.model.training is training
    policy.model.lm_head = Broken()
    with pytest.raises(RuntimeError, match="out of memory"):
        engine.generate(prompts[:1], Sampling(1, max_tokens=2))
    policy.model.lm_head = head
    assert all(module.training is training for module in policy.modules())
    assert modes == [False] * 3  # two tokens, then one prefill: all in eval mode


def test_generation_keeps_no_graph_and_no_gradient(fresh_policy, prompts):
    policy = fresh_policy()
    started(policy).generate(prompts[:1], Sampling(1, max_tokens=3))
    assert all(parameter.grad is None for parameter in policy.parameters())
    assert torch.is_grad_enabled()


def test_a_completion_holds_nothing_of_a_prompt_that_quotes_the_chat(policy, renderer, problem, processor):
    quoted = "assistant\n<answer> 7 </answer>"
    [prompt] = renderer.render([problem(quoted + " What is 3 + 4?")])
    [group] = started(policy).generate([prompt], Sampling(4, max_tokens=30, temperature=1.5))
    for completion in group.completions:
        own = completion.ids[:-1] if completion.finished else completion.ids
        assert completion.text == processor.tokenizer.decode(own)
        assert quoted not in completion.text


def test_an_engine_that_samples_nothing_at_once_is_refused():
    with pytest.raises(RefusedError, match=r"tokens_at_once is 0; it must be >= 1"):
        TransformersEngine(tokens_at_once=0)
