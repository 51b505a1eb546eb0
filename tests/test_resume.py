"""N steps = k steps + resume + N - k, bit for bit, for a checkpoint at any step."""

import json
import shutil

import lightning
import pytest
import torch

import runs
from evaluated import evaluations
from observer.callbacks import checkpoint_callbacks
from observer.objective import K3, Correction, Linear, PPOClip, StageWave
from observer.rewards import Accuracy, Reward
from observer.run.checkpoints import newest_checkpoint
from observer.types import RefusedError

STEPS = 4
ONE_UPDATE = {"learning_rate": Linear()}
UNMEASURED = {"val": None, "test": None}
"""Held-out rows of runs that need none."""


class EveryStep(lightning.Callback):
    """Keeps a checkpoint of every batch end, and the learning rate of every step."""

    def __init__(self, folder):
        self.folder, self.rates = folder, {}

    def on_train_batch_end(self, trainer, pl_module, *_):
        step = pl_module.data.step
        self.rates[step] = trainer.optimizers[0].param_groups[0]["lr"]
        trainer.save_checkpoint(self.folder / f"step-{step}.ckpt")


def run(folder, checkpoints, options, ckpt_path=None, steps=STEPS, **data):
    learner, watch = runs.learner(**options), EveryStep(checkpoints)
    trainer = runs.trainer(folder, steps * options.get("updates_per_rollout", 1), callbacks=[watch])
    trainer.fit(learner, datamodule=runs.data_module(**data), ckpt_path=ckpt_path)
    weights = {name: value.clone() for name, value in learner.policy.state_dict().items()}
    lines = (folder / "completions.jsonl").read_text().splitlines()
    return weights, [json.loads(line) for line in lines], watch.rates


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of one update a rollout, measured before, between and after: its folder and what it gave.

    Its checkpoints are in the folder too.
    """
    folder = tmp_path_factory.mktemp("whole")
    return folder, *run(folder, folder, ONE_UPDATE)


@pytest.mark.whole
def test_a_run_resumed_at_any_step_is_the_unbroken_run(whole, tmp_path):
    folder, *unbroken = whole
    assert_resumed_is_whole(tmp_path, folder, unbroken, ONE_UPDATE)


@pytest.mark.whole
def test_a_run_of_two_updates_and_a_reference_resumed_at_any_step_is_the_unbroken_run(tmp_path):
    options = {"updates_per_rollout": 2, "kl": K3(0.1), "learning_rate": Linear()}
    (tmp_path / "whole").mkdir()
    unbroken = run(tmp_path / "whole", tmp_path, options, **UNMEASURED)
    assert_resumed_is_whole(tmp_path, tmp_path, unbroken, options, **UNMEASURED)


def assert_resumed_is_whole(tmp_path, checkpoints, unbroken, options, **data):
    weights, completions, rates = unbroken
    assert {line["step"] for line in completions} == set(range(STEPS))
    assert any(line["advantage"] for line in completions), "a run that learns nothing proves nothing"
    for step in range(1, STEPS):
        folder = tmp_path / f"resumed-{step}"
        folder.mkdir()
        start = checkpoints / f"step-{step}.ckpt"
        again = run(folder, tmp_path / "unused", options, start, **data)
        assert again[1] == [line for line in completions if line["step"] >= step]
        assert again[2] == {at: rate for at, rate in rates.items() if at > step}
        for key, value in weights.items():
            assert torch.equal(value, again[0][key]), f"{key} differs after resuming at step {step}"


def test_neither_lines_nor_figures_from_before_training_are_made_twice(whole, tmp_path):
    folder, _, completions, _ = whole
    own = tmp_path / "own"
    shutil.copytree(folder, own, ignore=shutil.ignore_patterns("*.ckpt"))
    before, measured = json.loads((own / "before.json").read_text()), evaluations(own)
    (own / "before.json").write_text(json.dumps(before | {"accuracy": 0.123}))
    _, again, _ = run(own, tmp_path, ONE_UPDATE, ckpt_path=folder / "step-2.ckpt")
    assert again == completions, "those logged after the checkpoint were cut off"
    assert evaluations(own) == measured
    assert [(line["step"], line["split"]) for line in measured[0]] == [
        *((0, "test"), (2, "val"), (4, "val"), (4, "test"))
    ]
    assert json.loads((own / "summary.json").read_text())["accuracy_before"] == 0.123


def test_resuming_with_other_draws_is_refused_with_both_values(whole, tmp_path):
    start = whole[0] / "step-1.ckpt"
    with pytest.raises(RefusedError, match=r"prompts_per_step 4, this run has 2"):
        run(tmp_path, tmp_path, ONE_UPDATE, ckpt_path=start, prompts_per_step=2, **UNMEASURED)


def test_validation_and_pictures_of_the_log_change_no_number_of_the_training(whole, tmp_path):
    _, weights, completions, _ = whole
    alone = run(tmp_path, tmp_path / "unused", ONE_UPDATE, **UNMEASURED)
    assert alone[1] == completions
    assert all(torch.equal(value, alone[0][key]) for key, value in weights.items())


@pytest.mark.whole
def test_a_run_killed_before_its_first_step_goes_on_from_its_start(whole, tmp_path):
    """The checkpoint of the start is there as soon as the figures before training are."""
    (tmp_path / "resumed").mkdir()

    class Killed(BaseException):
        pass

    class Kill(lightning.Callback):
        def on_train_batch_start(self, *_):
            raise Killed

    _, weights, completions, _ = whole
    callbacks = [*checkpoint_callbacks(tmp_path / "resumed", 100, validates=False), Kill()]
    with pytest.raises(Killed):
        runs.trainer(tmp_path / "resumed", STEPS, callbacks=callbacks).fit(
            runs.learner(**ONE_UPDATE), datamodule=runs.data_module()
        )
    last = newest_checkpoint(tmp_path / "resumed")
    again = run(tmp_path / "resumed", tmp_path / "unused", ONE_UPDATE, ckpt_path=last)
    assert again[1] == completions
    assert all(torch.equal(value, again[0][name]) for name, value in weights.items())


class Plain(Reward):
    """A reward without a representation of its own, as a user may write it."""

    weight = 0.5

    def __call__(self, group, scores, step):
        return [float(len(completion.ids) < 20) for completion in group.completions]


def test_a_strategy_that_is_no_dataclass_can_be_resumed(tmp_path):
    def options():
        return {"rewards": {"accuracy": Accuracy(), "plain": Plain()}}

    (tmp_path / "whole").mkdir()
    (tmp_path / "resumed").mkdir()
    _, completions, _ = run(tmp_path / "whole", tmp_path, options(), steps=2, **UNMEASURED)
    start = tmp_path / "step-1.ckpt"
    _, again, _ = run(tmp_path / "resumed", tmp_path / "unused", options(), start, steps=2, **UNMEASURED)
    assert again == [line for line in completions if line["step"] >= 1]


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"seed": 3}, "seed 0, this run has 3"),
        ({"group_size": 2}, "group_size 4, this run has 2"),
        ({"optimizer": runs.sgd}, "optimizer AdamW"),
        ({"kl": K3()}, "kl None"),
        ({"combine": "normalise_then_sum"}, "combine sum_then_normalise, this run has normalise_then_sum"),
        ({"correction": Correction(cap=3.0)}, r"correction None, this run has Correction\(.*cap=3.0"),
        ({"truncated": "mask"}, "truncated keep, this run has mask"),
        ({"entropy_bonus": 0.01}, "entropy_bonus 0.0, this run has 0.01"),
        ({"denominator": "constant"}, "denominator tokens, this run has constant"),
        ({"loss": PPOClip(level="sequence")}, "loss PPOClip"),
    ],
)
def test_resuming_with_another_recipe_is_refused_with_both_values(whole, tmp_path, changed, name):
    learner, data = runs.learner(**ONE_UPDATE, **changed), runs.data_module(**UNMEASURED)
    start = whole[0] / "step-1.ckpt"
    with pytest.raises(RefusedError, match=f"cannot resume: the checkpoint was made with {name}"):
        runs.trainer(tmp_path / "resumed", 2).fit(learner, datamodule=data, ckpt_path=start)
    assert not (tmp_path / "resumed" / "summary.json").exists()


def test_a_run_that_was_begun_under_a_former_name_of_its_weighting_goes_on(tmp_path):
    options = {"max_tokens": 8, "weighting": StageWave("easy")}
    data = {"prompts_per_step": 1, "val": None, "test": None}
    watch = EveryStep(tmp_path)
    trainer = runs.trainer(tmp_path / "whole", 1, callbacks=[watch])
    trainer.fit(runs.learner(**options), datamodule=runs.data_module(**data))
    held = torch.load(tmp_path / "step-1.ckpt", weights_only=True)
    held["recipe"]["weighting"] = held["recipe"]["weighting"].replace("StageWave(", "Stage(")
    torch.save(held, tmp_path / "former.ckpt")
    resumed = runs.data_module(**data)
    runs.trainer(tmp_path / "resumed", 2).fit(
        runs.learner(**options), datamodule=resumed, ckpt_path=tmp_path / "former.ckpt"
    )
    assert resumed.step == 2


def test_a_checkpoint_without_the_place_in_the_ladder_is_refused(whole, tmp_path):
    """Lightning says nothing, and the run would draw from the first row again."""
    held = torch.load(whole[0] / "step-1.ckpt", weights_only=True)
    del held["LadderDataModule"], held["recipe"]
    torch.save(held, tmp_path / "lost.ckpt")
    with pytest.raises(RefusedError, match="the checkpoint holds no LadderDataModule, recipe"):
        runs.trainer(tmp_path / "resumed", 2).fit(
            runs.learner(**ONE_UPDATE),
            datamodule=runs.data_module(**UNMEASURED),
            ckpt_path=tmp_path / "lost.ckpt",
        )


def test_micro_batches_are_part_of_a_recipe_only_where_they_change_the_loss():
    def recipe(**options):
        return runs.learner(**options).recipe()

    assert recipe(micro_batch=2) == recipe(micro_batch=4)
    per_part = {"denominator": "micro_batch"}
    assert recipe(micro_batch=2, **per_part) != recipe(micro_batch=4, **per_part)
