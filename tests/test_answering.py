"""Problems in, scored groups out: without a learner or a trainer, on engines of both kinds."""

import pytest
import torch

import observer.answering.answerer as answerer_module
import runs
from conftest import CHECKPOINT
from observer.answering import Answerer
from observer.data import Tiles
from observer.policy import PolicySpec, load_processor
from observer.rewards import Observe
from observer.rollout import ScriptedEngine
from observer.types import RefusedError, Sampling, Verdict
from runs import MIXED, RIGHT, WRONG

SPEC = PolicySpec(str(CHECKPOINT))
GREEDY = Sampling(group_size=1, max_tokens=48, temperature=0.0)


def answerer(**options):
    return Answerer.of(SPEC, response_format=Observe(system_prompt=""), **options)


@pytest.fixture(scope="module")
def problems():
    return list(Tiles(rows=16, split="test").read())


class OwnWeights(ScriptedEngine):
    """An engine that loads what it needs by itself, and takes newer weights in a sync."""

    weights = "own"

    def start(self, policy):
        assert isinstance(policy, PolicySpec)
        self.spec, self.synced = policy, []
        tokenizer = load_processor(policy).tokenizer
        super().start(type("Served", (), {"tokenizer": tokenizer, "end_ids": (tokenizer.eos_token_id,)}))

    def sync(self, named_tensors, version):
        self.version = version
        self.synced.append((version, {name: tensor.clone() for name, tensor in named_tensors}))


def test_a_directory_answers_as_it_does_in_training(tmp_path, problems):
    alone = answerer()
    alone.start(SPEC)
    assert alone.engine.version == 0
    [scored] = alone.answer(problems, GREEDY)
    alone.close()
    learner = runs.learner()
    trainer = runs.trainer(tmp_path, 1)
    trainer.test(learner, datamodule=runs.data_module(test=Tiles(rows=16, split="test")), verbose=False)
    right = [row[0].verdict is Verdict.CORRECT for row in scored.scores]
    assert 0 < sum(right) < 16
    assert trainer.callback_metrics["test/accuracy"] == pytest.approx(sum(right) / 16)
    tokens = [len(group.completions[0].ids) for group in scored.groups]
    assert trainer.callback_metrics["test/length"] == pytest.approx(sum(tokens) / 16)


def test_several_samplings_render_the_prompts_once_and_each_answers_every_problem(problems):
    alone, rendered = answerer(engine=ScriptedEngine(MIXED)), []
    alone.start(SPEC)
    render = alone.renderer._render
    alone.renderer._render = lambda problems: rendered.append(len(problems)) or render(problems)
    greedy, sampled = alone.answer(problems, GREEDY, Sampling(group_size=4, max_tokens=48))
    alone.close()
    assert rendered == [16]
    assert [len(group.completions) for group in (*greedy.groups, *sampled.groups)] == [1] * 16 + [4] * 16
    assert [group.problem.id for group in sampled.groups] == [problem.id for problem in problems]
    assert all([score.correct for score in row] == [True, False, True, False] for row in sampled.scores)
    assert [one.prompt is other.prompt for one, other in zip(greedy.groups, sampled.groups, strict=True)]


def test_groups_that_are_completed_hold_what_whole_groups_would_have_held(problems):
    alone = answerer()
    alone.start(SPEC)
    whole, screened = Sampling(group_size=4, max_tokens=24), Sampling(group_size=2, max_tokens=24)
    expected = alone.generate(problems[:4], whole)
    found = alone.complete(alone.generate(problems[:4], screened), group_size=4)
    alone.close()
    assert [group.sampling for group in found] == [whole] * 4
    for one, other in zip(found, expected, strict=True):
        assert [c.ids for c in one.completions] == [c.ids for c in other.completions]
        assert [c.index for c in one.completions] == [0, 1, 2, 3]


def test_an_engine_with_weights_of_its_own_starts_from_the_spec_and_no_model_is_loaded_beside_it(
    problems, monkeypatch
):
    def refuse(*_):
        raise AssertionError("a torch model is loaded")

    monkeypatch.setattr(answerer_module, "Policy", refuse)
    alone = answerer(engine=OwnWeights([RIGHT, WRONG]))
    alone.start(SPEC)
    [scored] = alone.answer(problems, Sampling(group_size=2, max_tokens=48))
    alone.close()
    assert (alone.engine.spec, alone.engine.version, alone.engine.synced) == (SPEC, 0, [])
    assert all([score.correct for score in row] == [True, False] for row in scored.scores)


def test_in_training_such_an_engine_is_handed_the_weights_of_every_version_once(tmp_path):
    engine = OwnWeights(MIXED)
    learner = runs.learner(engine=engine, optimizer=runs.sgd)
    runs.trainer(tmp_path, 3).fit(learner, datamodule=runs.data_module(test=None))
    assert engine.spec == learner.spec
    assert [version for version, _ in engine.synced] == [0, 1, 2, 3]  # the last for the last validation
    first, last = engine.synced[0][1], engine.synced[-1][1]
    named = dict(learner.policy.model.named_parameters())
    assert first.keys() == {*named, "lm_head.weight"}  # the tied head too
    assert any(not torch.equal(first[name], last[name]) for name in first)


def test_no_problem_is_no_answer():
    alone = answerer(engine=ScriptedEngine(MIXED))
    alone.start(SPEC)
    assert alone.generate([], GREEDY) == []
    assert [scored.groups for scored in alone.answer([], GREEDY, GREEDY)] == [(), ()]
    assert alone.complete([], 4) == []
    assert alone.score([], 0).scores == ()
    alone.close()


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        (Sampling(group_size=0), "Sampling.group_size is 0; it must be >= 1"),
        (Sampling(group_size=2.5), "Sampling.group_size is 2.5; it must be a whole number >= 1"),
        (Sampling(max_tokens=0), "Sampling.max_tokens is 0; it must be >= 1"),
        (Sampling(max_tokens=4, min_tokens=5), "Sampling.min_tokens is 5; it must be 0 .. 4"),
        (Sampling(min_tokens=-1), "Sampling.min_tokens is -1; it must be >= 0"),
        (Sampling(temperature=-0.5), "Sampling.temperature is -0.5; it must be >= 0"),
        (Sampling(temperature=float("nan")), "Sampling.temperature is nan; it must be >= 0"),
        (Sampling(temperature=float("inf")), "Sampling.temperature is inf; it must be >= 0 and finite"),
        (Sampling(first=-1), "Sampling.first is -1; it must be >= 0"),
    ],
)
def test_a_sampling_that_draws_nothing_is_refused_with_its_field_and_value(problems, sampling, message):
    alone = answerer(engine=ScriptedEngine(MIXED))
    alone.start(SPEC)
    for call in (alone.answer, alone.generate):
        with pytest.raises(RefusedError) as error:
            call(problems, sampling)
        assert str(error.value) == message
    alone.close()


@pytest.mark.parametrize("own_engine", [True, False])
def test_answers_before_the_start_are_refused(problems, own_engine):
    alone = answerer(engine=ScriptedEngine(MIXED) if own_engine else None)
    for call in (alone.answer, alone.generate):
        with pytest.raises(RefusedError, match=r"no model to sample from; call Answerer\.start"):
            call(problems, GREEDY)
    alone.close()


@pytest.mark.parametrize("group_size", [1, 2])
def test_groups_that_are_complete_already_are_not_completed(problems, group_size):
    alone = answerer(engine=ScriptedEngine(MIXED))
    alone.start(SPEC)
    groups = alone.generate(problems[:2], Sampling(group_size=2))
    with pytest.raises(RefusedError, match=rf"group_size is {group_size}; it must be > 2"):
        alone.complete(groups, group_size)
    alone.close()
