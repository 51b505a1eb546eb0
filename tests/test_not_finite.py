"""A model whose output is not finite ends a run in a sentence that names step, rows and a folder."""

import json

import pytest
import torch

import runs
from observer.learner import WarmStart
from observer.rollout import NotFiniteError, TransformersEngine
from observer.types import Sampling

DOWN = "model.model.language_model.layers.1.mlp.down_proj.weight"


def poisoned(learner, value=float("nan")):
    """A learner one of whose weights is not finite."""
    learner.configure_model()
    with torch.no_grad():
        learner.policy.get_parameter(DOWN)[3, 5] = value
    return learner


def saved(run_dir, step=0):
    folder = run_dir / "failure" / f"step-{step:06d}-rank-0"
    assert (folder / "policy" / "model.safetensors").is_file()
    return torch.load(folder / "rollout.pt", weights_only=True)


@pytest.mark.parametrize("temperature", [0.0, 1.0], ids=["greedy", "sampled"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_name_the_rows(fresh_policy, prompts, temperature, value):
    policy = fresh_policy()
    with torch.no_grad():
        policy.get_parameter(DOWN)[3, 5] = value
    engine = TransformersEngine()
    engine.start(policy)
    named = r"the model's output is not finite, at token 1 of 10 completions of 5 rows \(.*'text'.*, \.\.\)"
    with pytest.raises(NotFiniteError, match=named) as error:
        engine.generate(prompts, Sampling(2, max_tokens=4, temperature=temperature))
    assert {group.prompt for group in error.value.groups} == set(prompts)


def lost_after(policy, *tokens):
    """A hook: while sampling, some tokens make all logits after them nan."""

    def spoil(_, args, embedded):
        spoiled = torch.isin(args[0], torch.tensor(tokens))[..., None]
        return embedded.masked_fill(spoiled, torch.nan) if args[0].dim() == 1 else embedded

    return policy.model.model.language_model.embed_tokens.register_forward_hook(spoil)


def test_only_the_rows_that_are_lost_are_named_and_the_token_where_they_were(fresh_policy, prompts):
    policy, engine = fresh_policy(), TransformersEngine()
    engine.start(policy)
    sampling = Sampling(1, max_tokens=6, min_tokens=6)
    drawn = [group.completions[0].ids for group in engine.generate(prompts, sampling)]
    others = {token for ids in drawn[:1] + drawn[2:] for token in ids}
    place = next(place for place, token in enumerate(drawn[1][:5]) if token not in others)
    with lost_after(policy, drawn[1][place]), pytest.raises(NotFiniteError) as error:
        engine.generate(prompts, sampling)
    where = f"at token {place + 2} of 1 completions of 1 rows ({prompts[1].problem.id!r})"
    assert where in str(error.value)


def test_an_end_is_an_end_whatever_would_have_come_after_it(fresh_policy, prompts):
    policy, engine = fresh_policy(), TransformersEngine()
    engine.start(policy)
    expected = engine.generate(prompts, Sampling(4, max_tokens=60))
    with lost_after(policy, *policy.end_ids):
        found = engine.generate(prompts, Sampling(4, max_tokens=60))
    assert [group.completions for group in found] == [group.completions for group in expected]


def test_a_learning_rate_that_is_far_too_high_ends_the_run_in_the_next_rollout(tmp_path):
    """The first rollout has no group with signal; the update after the second one throws the weights off."""
    learner = runs.learner(optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1e30))
    data = runs.data_module(val=None, test=None)
    with pytest.raises(
        FloatingPointError, match=r"^step 2: the model's output is not finite.*failure/step-000002"
    ):
        runs.trainer(tmp_path, 3).fit(learner, datamodule=data)
    found = saved(tmp_path, step=2)
    assert len(found["rows"]) == len(found["prompt_ids"]) == len(found["completion_ids"]) == 4
    assert found["gradients_not_finite"] == []
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert "step 2: the model's output is not finite" in summary["error"]


@pytest.mark.parametrize("run", ["fit", "validate", "test"])
def test_held_out_answers_that_cannot_be_drawn_leave_the_same_folder(tmp_path, run):
    learner, trainer = poisoned(runs.learner()), runs.trainer(tmp_path, 1)
    with pytest.raises(
        FloatingPointError, match=r"step 0: the model's output is not finite.*failure/step-000000"
    ):
        getattr(trainer, run)(learner, datamodule=runs.data_module())
    assert saved(tmp_path)["weights_not_finite"] == [DOWN]


def test_a_warm_start_whose_gradient_is_not_finite_leaves_its_solutions_and_its_weights(tmp_path):
    learner = poisoned(runs.learner(WarmStart))
    with pytest.raises(FloatingPointError, match=r"step 0: the gradient norm is nan.*failure/step-000000"):
        runs.trainer(tmp_path, 1).fit(learner, datamodule=runs.data_module(val=None, test=None))
    found = saved(tmp_path)
    assert len(found["rows"]) == 4
    assert all("<answer>" in text for [text] in found["texts"])
    assert found["weights_not_finite"] == [DOWN]
