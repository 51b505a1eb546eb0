"""What sampling holds in memory at once: keys and values, passes over prompts, and logits are bounded."""

from dataclasses import replace
from weakref import WeakSet

import pytest
import torch

from observer.policy.attention import Decoding
from observer.rollout import TransformersEngine
from observer.types import Prompt, Sampling

VOCABULARY = 329


@pytest.fixture(scope="module")
def text_prompts(problem):
    """Factory of prompts without pictures, of given lengths, in this order."""

    def make(*lengths):
        generator = torch.Generator().manual_seed(0)
        rows = [torch.randint(7, VOCABULARY, (length,), generator=generator).tolist() for length in lengths]
        return [Prompt(problem(id=f"p{place}"), tuple(row)) for place, row in enumerate(rows)]

    return make


def generate(policy, prompts, sampling, **options):
    engine = TransformersEngine(**options)
    engine.start(policy)
    return engine.generate(prompts, sampling)


def ids(groups):
    return [[completion.ids for completion in group.completions] for group in groups]


class Batch:
    """The prompts of groups that began together, and slots for keys and values of a layer, in each step."""

    def __init__(self, prompts):
        self.prompts, self.now, self.slots = prompts, 0, 0
        """Slots now, and at most."""
        self.together, self.beside = 0, 0
        """Slots of all that was sampled at the same time, and how many batches that was, at most."""


@pytest.fixture
def batches(monkeypatch):
    """Every batch that is sampled, with what its cache takes, read from the tensors themselves."""
    made, live = [], WeakSet()

    class Measured(Decoding):
        def __init__(self, prefill, *args, **options):
            super().__init__(prefill, *args, **options)
            self.batch = Batch(len(prefill.lengths_P))
            made.append(self.batch)
            live.add(self)

        def attend(self, heads):
            seen, batch = super().attend(heads), self.batch
            key_heads, width = heads.key.shape[1], heads.key.shape[3]
            held = self._prompt_keys[heads.layer], self._prompt_values[heads.layer], self._own[heads.layer]
            batch.now = sum(tensor.numel() for tensor in held) / (2 * key_heads * width)
            batch.slots = max(batch.slots, batch.now)
            batch.together = max(batch.together, sum(other.batch.now for other in live))
            batch.beside = max(batch.beside, len(live))
            return seen

    monkeypatch.setattr("observer.rollout.cohort.Decoding", Measured)
    return made


@pytest.mark.parametrize(
    ("lengths", "sampling", "bound"),
    [
        ([20] * 30 + [400] + [20] * 10, Sampling(1, max_tokens=16), 1200),
        ([300, 20, 35, 20, 290, 20, 33, 150] * 2, Sampling(4, max_tokens=12, min_tokens=12), 900),
        ([30, 20, 90, 40], Sampling(2, max_tokens=70, min_tokens=70), 500),
        ([20] * 9, Sampling(3, max_tokens=2, min_tokens=2), 100),
    ],
    ids=["one long", "groups", "more tokens than the room grows by", "one token in the cache"],
)
def test_keys_and_values_take_no_more_slots_than_tokens_at_once(
    policy, text_prompts, batches, lengths, sampling, bound
):
    generate(policy, text_prompts(*lengths), sampling, tokens_at_once=bound)
    assert sum(batch.prompts for batch in batches) == len(lengths)
    assert max(batch.slots for batch in batches) <= bound
    assert max(batch.prompts for batch in batches) > 1


def test_groups_begin_while_others_run_within_the_same_bound_and_draw_the_same(
    policy, prompts, batches, monkeypatch
):
    """Rows are refilled as others end: fewer passes over the weights than one batch after the other."""
    steps, sampling = [], Sampling(4, max_tokens=60, min_tokens=5, temperature=1.2)
    hook = policy.model.lm_head.register_forward_hook(lambda *_: steps.append(1))
    many = [replace(one, problem=replace(one.problem, id=f"{i}")) for i, one in enumerate(prompts * 3)]
    expected, at_once = ids(generate(policy, many, sampling)), len(steps)
    batches.clear()
    found = ids(generate(policy, many, sampling, tokens_at_once=1500))
    refilled = len(steps) - at_once
    assert found == expected
    assert max(batch.together for batch in batches) <= 1500
    assert max(batch.beside for batch in batches) > 1
    monkeypatch.setattr("observer.rollout.transformers_engine.FREE_SHARE", 0)  # none is enough
    steps.clear()
    assert ids(generate(policy, many, sampling, tokens_at_once=1500)) == expected
    hook.remove()
    assert refilled < len(steps)


def test_a_prompt_that_alone_needs_more_goes_alone_and_the_others_stay_within_the_bound(
    policy, text_prompts, batches
):
    generate(
        policy, text_prompts(20, 500, 20, 20), Sampling(2, max_tokens=8, min_tokens=8), tokens_at_once=120
    )
    assert [batch.prompts for batch in batches] == [3, 1]
    assert batches[0].slots <= 120 < batches[1].slots == 500 + 2 * 7  # the last token goes through no pass


def test_the_cuts_into_batches_change_neither_completions_nor_their_order(policy, text_prompts):
    prompts = text_prompts(90, 20, 60, 20, 33, 21)
    prompts.append(prompts[1])  # a row that is drawn twice in a step
    sampling = Sampling(3, max_tokens=16, temperature=1.3)
    expected = generate(policy, prompts, sampling)
    assert [group.prompt for group in expected] == prompts
    assert [len(group.completions) for group in expected] == [3] * 7
    for tokens_at_once in (1, 200, 400):
        groups = generate(policy, prompts, sampling, tokens_at_once=tokens_at_once)
        assert [group.prompt for group in groups] == prompts
        assert ids(groups) == ids(expected)


def test_a_pass_over_prompts_has_few_tokens_and_few_patches_and_draws_the_same(policy, prompts, monkeypatch):
    sampling = Sampling(2, max_tokens=8)
    expected = ids(generate(policy, prompts, sampling))
    passes, patches = [], []
    language, visual = policy.model.model.language_model, policy.model.model.visual
    hooks = [
        language.register_forward_pre_hook(
            lambda _, args, options: passes.append(options["inputs_embeds"].shape[1]), with_kwargs=True
        ),
        visual.register_forward_pre_hook(lambda _, args: patches.append(len(args[0]))),
    ]
    monkeypatch.setattr("observer.rollout.cohort.PREFILL_TOKENS", 60)
    found = ids(generate(policy, prompts, sampling))
    for hook in hooks:
        hook.remove()
    lengths = [len(prompt.ids) for prompt in prompts]
    assert found == expected
    assert sum(passes) == sum(lengths)
    assert 1 < len(passes) < len(prompts)
    assert all(tokens <= 60 or tokens in lengths for tokens in passes)
    of_prompts = [sum(len(picture.pixels) for picture in prompt.pictures) for prompt in prompts]
    assert max(patches) < sum(of_prompts)


@pytest.mark.parametrize("temperature", [0.0, 1.3])
def test_logits_are_of_few_rows_at_once_and_draw_the_same(policy, prompts, monkeypatch, temperature):
    sampling = Sampling(3, max_tokens=12, temperature=temperature)
    expected, rows = ids(generate(policy, prompts, sampling)), []
    monkeypatch.setattr("observer.policy.logits.HEAD_BYTES", 4 * VOCABULARY * 4)
    hook = policy.model.lm_head.register_forward_hook(lambda _, args, logits: rows.append(len(logits)))
    found = ids(generate(policy, prompts, sampling))
    hook.remove()
    assert found == expected
    assert max(rows) == 4


def test_completions_that_have_ended_leave_the_batch(policy, prompts):
    """They stay at most until one row in eight has ended: leaving copies keys and values."""
    rows = []
    hook = policy.model.lm_head.register_forward_hook(lambda _, args, logits: rows.append(len(logits)))
    groups = generate(policy, prompts, Sampling(6, max_tokens=60))
    hook.remove()
    lengths = [len(completion.ids) for group in groups for completion in group.completions]
    running = [sum(length > token for length in lengths) for token in range(max(lengths))]
    assert running[-1] < running[0] / 2
    assert len(rows) == len(running)
    assert all(live <= row <= live * 8 / 7 for live, row in zip(running, rows, strict=True))
