"""Averages of the weights (EMA): measured, exported and saved as the model, and trained on without it."""

import warnings

import pytest
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EMAWeightAveraging,
    StochasticWeightAveraging,
    WeightAveraging,
)

import runs
from observer.callbacks import checkpoint_callbacks
from observer.learner import ObserveLearner
from observer.policy import Lora, PolicySpec, load_processor
from observer.rollout import ScriptedEngine
from observer.types import RefusedError

DECAY = 0.5
ADAPTERS = PolicySpec(runs.CHECKPOINT, lora=Lora(4, 8))

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*model that overrides the configure_model"),
]


class Seen(Callback):
    """Keeps the weights that train after each step, and those that a validation measures."""

    def __init__(self):
        self.trained, self.measured = [], []

    def on_train_start(self, trainer, pl_module):
        self.trained.append(copied(pl_module))

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.trained.append(copied(pl_module))

    def on_validation_batch_start(self, trainer, pl_module, *_):
        self.measured.append(copied(pl_module))


class OwnWeights(ScriptedEngine):
    """Keeps what it is given, by version."""

    weights = "own"

    def start(self, policy):
        assert isinstance(policy, PolicySpec)
        self.synced = []
        tokenizer = load_processor(policy).tokenizer
        super().start(type("Served", (), {"tokenizer": tokenizer, "end_ids": (tokenizer.eos_token_id,)}))

    def sync(self, named_tensors, version):
        self.version = version
        self.synced.append((version, {name: tensor.detach().clone() for name, tensor in named_tensors}))


def copied(module):
    return {name: value.clone() for name, value in module.policy.state_dict().items()}


def run(folder, steps, ckpt_path=None, spec=None, average=None, engine=ScriptedEngine, **options):
    learner = runs.learner(policy=spec or PolicySpec(runs.CHECKPOINT), engine=engine(runs.MIXED))
    seen = Seen()
    average = EMAWeightAveraging(decay=DECAY) if average is None else average
    callbacks = [average, seen, *checkpoint_callbacks(folder, 100, validates=True)]
    trainer = runs.trainer(folder, steps, callbacks=callbacks, **options)
    trainer.fit(learner, datamodule=runs.data_module(prompts_per_step=2), ckpt_path=ckpt_path)
    return learner, seen


def averaged(trained):
    """By hand, as the EMA's definition says: the first step as it is, then decay x average + rest x step."""
    average = dict(trained[1])
    for step in trained[2:]:
        average = {name: DECAY * average[name] + (1 - DECAY) * step[name] for name in average}
    return average


def close(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=1e-6, atol=1e-8, msg=name)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module", params=["all weights", "adapters"])
def three(request, tmp_path_factory):
    """A run of three steps, the second with a validation: its folder, spec, learner and what was seen."""
    folder = tmp_path_factory.mktemp("three")
    spec = ADAPTERS if request.param == "adapters" else PolicySpec(runs.CHECKPOINT)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*model that overrides the configure_model")
        return folder, spec, *run(folder, 3, spec=spec)


def test_the_average_is_validated_exported_and_loaded_and_the_weights_train_on_without_it(three):
    folder, _, learner, seen = three
    assert not same(seen.trained[1], seen.trained[2])
    close(seen.measured[0], averaged(seen.trained[:3]))
    close(copied(learner), averaged(seen.trained))  # what RunReport measures and exports
    best, last = (
        copied(ObserveLearner.load_from_checkpoint(folder / "checkpoints" / f"{name}.ckpt"))
        for name in ("best", "last")
    )
    assert same(best, seen.measured[0])
    assert same(last, copied(learner))


def test_frozen_weights_stay_as_they_are(three):
    _, spec, learner, seen = three
    frozen = {name for name, value in learner.policy.named_parameters() if not value.requires_grad}
    assert bool(frozen) is (spec.lora is not None)
    assert all(torch.equal(copied(learner)[name], seen.trained[0][name]) for name in frozen)


@pytest.mark.whole
def test_a_resumed_run_is_the_unbroken_one(three, tmp_path):
    folder, spec, *_ = three
    learner, _ = run(tmp_path / "whole", 5, spec=spec)
    resumed, _ = run(folder, 5, folder / "checkpoints" / "last.ckpt", spec)
    assert same(copied(learner), copied(resumed))
    one, other = (
        torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
        for run in (tmp_path / "whole", folder)
    )
    for entry in ("state_dict", "current_model_state", "averaging_state"):
        assert same(one[entry], other[entry]), entry
    if spec.lora is not None:
        assert all("lora" in name for name in one["current_model_state"])


def test_a_run_without_the_average_does_not_go_on_from_it(three):
    folder, spec, *_ = three
    with pytest.raises(RefusedError, match=r"holds an average of the weights.*no WeightAveraging"):
        run(folder, 9, folder / "checkpoints" / "last.ckpt", spec, average=Callback())
    other = EMAWeightAveraging(decay=DECAY, update_every_n_steps=2)
    with pytest.raises(RefusedError, match=r"made with averaging EMAWeight.*every_n_steps': 1.*: 2"):
        run(folder, 9, folder / "checkpoints" / "last.ckpt", spec, average=other)
    other = EMAWeightAveraging(decay=0.9)
    with pytest.raises(RefusedError, match=r"made with averaging EMAWeight.*'decay': 0.5.*'decay': 0.9"):
        run(folder, 9, folder / "checkpoints" / "last.ckpt", spec, average=other)


def test_an_engine_with_weights_of_its_own_draws_with_those_that_train_and_measures_the_average(tmp_path):
    learner, seen = run(tmp_path, 3, engine=OwnWeights)
    synced = [weights for _, weights in learner.answerer.engine.synced]
    expected = [*seen.trained[:2], seen.measured[0], seen.trained[2], copied(learner)]
    named = {name for name, _ in learner.policy.model.named_parameters()}
    assert len(synced) == len(expected)
    for given, weights in zip(synced, expected, strict=True):
        assert all(torch.equal(given[name], weights[f"model.{name}"]) for name in named)


@pytest.mark.parametrize(
    ("callbacks", "told"),
    [
        ([WeightAveraging(), EMAWeightAveraging()], "WeightAveraging and EMAWeightAveraging: keep one"),
        ([StochasticWeightAveraging(1e-3), EMAWeightAveraging()], "Stochastic.* and EMA.*: keep one"),
    ],
)
def test_an_average_that_would_be_none_is_refused(tmp_path, callbacks, told):
    trainer = runs.trainer(tmp_path, 2, callbacks=callbacks, max_epochs=2)
    with pytest.raises(RefusedError, match=told):
        trainer.fit(runs.learner(), datamodule=runs.data_module())
