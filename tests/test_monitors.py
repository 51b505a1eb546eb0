"""Callbacks that watch a figure: one that the run does not log is refused before anything is computed."""

import pytest
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint

from observer.learner import WarmStart
from observer.learner.figures import monitored_figures
from observer.rollout import ScriptedEngine
from observer.types import RefusedError
from runs import MIXED, data_module, learner, trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers")


class Mine(Callback):
    """Logs a figure of its own."""

    def on_train_batch_end(self, trainer, pl_module, *_):
        pl_module.log("mine", 1.0)


@pytest.mark.parametrize(
    ("callback", "rows", "told"),
    [
        (EarlyStopping("val_accuracy"), {}, r"EarlyStopping.monitor is 'val_accuracy'.*val/accuracy"),
        (EarlyStopping("val/accurcy"), {}, r"monitor is 'val/accurcy'.*train/reward.*val/sampled_accuracy"),
        (EarlyStopping("val/accuracy"), {"val": None}, r"train/reward.*; without data.val there is no val/"),
        (EarlyStopping("val_level/3"), {"val": None}, r"without data.val there is no val/"),
        (EarlyStopping("train/kl"), {}, r"monitor is 'train/kl', which this run does not log"),
        (EarlyStopping("epoch"), {}, r"monitor is 'epoch'"),
        (ModelCheckpoint(monitor="test/accuracy"), {}, r"ModelCheckpoint.monitor is 'test/accuracy'"),
    ],
)
def test_a_figure_that_the_run_does_not_log_is_refused_in_one_line(tmp_path, callback, rows, told):
    module = learner()
    run = trainer(tmp_path, 2, callbacks=[callback])
    with pytest.raises(RefusedError, match=told) as caught:
        run.fit(module, datamodule=data_module(**rows))
    assert "\n" not in str(caught.value)
    assert not hasattr(module, "policy")


def test_figures_that_it_does_log_are_watched(tmp_path):
    watched = [EarlyStopping("val_level/1", patience=9), EarlyStopping("zoom_seconds/step", patience=9)]
    watched.append(ModelCheckpoint(tmp_path / "best", monitor="step", mode="max"))
    module = learner(engine=ScriptedEngine(MIXED))
    run = trainer(tmp_path, 2, callbacks=watched, val_check_interval=1)
    run.fit(module, datamodule=data_module(prompts_per_step=2))
    there = {name for name in run.callback_metrics if name.startswith(("train/", "val/"))}
    assert set(monitored_figures(module)) == there


def test_figures_of_own_callbacks_are_not_known_and_not_refused(tmp_path):
    run = trainer(tmp_path, 1, callbacks=[Mine(), EarlyStopping("mine", check_on_train_epoch_end=True)])
    run.fit(learner(engine=ScriptedEngine(MIXED)), datamodule=data_module(prompts_per_step=1, val=None))
    assert run.global_step == 1


def test_a_cold_start_has_its_loss_alone(tmp_path):
    run = trainer(tmp_path, 1, callbacks=[EarlyStopping("train/reward")])
    with pytest.raises(RefusedError, match=r"'train/reward', which .*it logs train/loss, val/problems"):
        run.fit(learner(WarmStart), datamodule=data_module())
