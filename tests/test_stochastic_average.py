"""Lightning's ``StochasticWeightAveraging``: the mean over the last epochs is the model in the end."""

import warnings

import pytest
import torch
from lightning.pytorch.callbacks import Callback, StochasticWeightAveraging

import runs
from documented import ROOT
from observer.callbacks import checkpoint_callbacks
from observer.cli import main
from observer.learner import ObserveLearner
from observer.rollout import ScriptedEngine
from observer.types import RefusedError

PER_EPOCH, EPOCHS, START, RATE = 2, 4, 2, 1e-4
pytestmark = pytest.mark.filterwarnings("ignore:SWA is currently only supported every epoch")


class Seen(Callback):
    """Keeps the weights and the learning rate at the start of each step, and those that are validated."""

    def __init__(self):
        self.weights, self.rates, self.measured = [], [], []

    def on_train_batch_start(self, trainer, pl_module, *_):
        self.weights.append(copied(pl_module))
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_validation_start(self, trainer, pl_module):
        self.measured.append(copied(pl_module))


def copied(module):
    return {name: value.clone() for name, value in module.policy.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def run(folder, epochs=EPOCHS, average=None, ckpt_path=None, every=100, callbacks=()):
    learner, seen = runs.learner(engine=ScriptedEngine(runs.MIXED)), Seen()
    average = average or StochasticWeightAveraging(RATE, swa_epoch_start=START, annealing_epochs=1)
    callbacks = [average, seen, *callbacks, *checkpoint_callbacks(folder, every, validates=True)]
    trainer = runs.trainer(folder, -1, callbacks=callbacks, max_epochs=epochs)
    data = runs.data_module(prompts_per_step=2, steps_per_epoch=PER_EPOCH)
    trainer.fit(learner, datamodule=data, ckpt_path=ckpt_path)
    return learner, seen


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "SWA is currently only supported every epoch")
        return folder, *run(folder)


def test_the_mean_of_the_weights_with_which_the_last_epochs_began_is_the_model_in_the_end(whole):
    folder, learner, seen = whole
    begun = [seen.weights[epoch * PER_EPOCH] for epoch in range(START - 1, EPOCHS)]
    for name, value in copied(learner).items():
        mean = torch.stack([weights[name] for weights in begun]).mean(0)
        torch.testing.assert_close(value, mean, rtol=1e-6, atol=1e-8, msg=name)
    assert not same(begun[0], begun[1])
    last, best = (
        copied(ObserveLearner.load_from_checkpoint(folder / "checkpoints" / f"{name}.ckpt"))
        for name in ("last", "best")
    )
    assert same(last, copied(learner))
    assert any(same(best, measured) for measured in seen.measured)


def test_the_rate_changes_with_the_epochs_once_averaging_has_begun(whole):
    rates = [whole[2].rates[at : at + PER_EPOCH] for at in range(0, EPOCHS * PER_EPOCH, PER_EPOCH)]
    assert all(first == other for first, other in rates)
    assert rates[0] == [1e-3, 1e-3]
    assert rates[-1] == pytest.approx([RATE, RATE])


@pytest.mark.whole
def test_a_run_goes_on_until_it_averages_and_is_refused_from_then_on(whole, tmp_path):
    class Stop(Callback):
        def on_train_batch_start(self, trainer, *_):
            if trainer.global_step == 1:
                raise SystemExit

    with pytest.raises(SystemExit):
        run(tmp_path, every=1, callbacks=[Stop()])
    last = tmp_path / "checkpoints" / "last.ckpt"
    with pytest.raises(RefusedError, match=r"made with averaging Stochastic.* .0.0001, 1, .* .0.1, 1"):
        run(tmp_path, average=StochasticWeightAveraging(0.1, START, 1), ckpt_path=last)
    learner, _ = run(tmp_path, ckpt_path=last)
    assert same(copied(learner), copied(whole[1]))
    with pytest.raises(RefusedError, match=r"cannot resume: .*has averaged weights already.*WeightAveraging"):
        run(tmp_path, epochs=EPOCHS + 1, ckpt_path=last)


@pytest.mark.parametrize(
    ("start", "limits", "told"),
    [
        (
            0.5,
            {"max_epochs": None, "max_steps": 4},
            r"max_epochs, which is -1.*after 4 rollouts, 2 per epoch",
        ),
        (
            0.5,
            {"max_epochs": 4, "max_steps": 4},
            r"max_epochs, which is 4.*after 4 rollouts.*without max_steps",
        ),
        (5, {"max_epochs": 4, "max_steps": -1}, r"swa_epoch_start is 5, above trainer.max_epochs 4"),
    ],
)
def test_an_average_that_would_never_be_the_model_is_refused(tmp_path, start, limits, told):
    average = StochasticWeightAveraging(RATE, swa_epoch_start=start)
    trainer = runs.trainer(tmp_path, callbacks=[average], **limits)
    learner = runs.learner()
    with pytest.raises(RefusedError, match=told):
        trainer.fit(learner, datamodule=runs.data_module())
    assert not hasattr(learner, "policy")


def test_it_is_written_on_the_command_line_and_read_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    words = "--trainer.callbacks+=StochasticWeightAveraging --trainer.callbacks.swa_lrs 0.001 --print_config"
    for config, more in (
        ("configs/quickstart.yaml", words.split()),
        (tmp_path / "c.yaml", words.split()[-1:]),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["fit", "--config", str(config), *more])
        printed = capsys.readouterr().out
        assert not ended.value.code
        assert "device: cpu" in printed
        (tmp_path / "c.yaml").write_text(printed)
