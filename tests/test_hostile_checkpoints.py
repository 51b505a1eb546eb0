"""A checkpoint that is whole and was changed: refused by name, or the run goes on as with the true one."""

import warnings
from functools import partial

import lightning
import pytest
import torch

import runs
from mutations import mutated, mutations
from observer.callbacks import checkpoint_callbacks
from observer.curriculum import AdaptiveTarget
from observer.rollout import ScriptedEngine
from observer.types import RefusedError

FREE = {"environment", "epoch"}
"""Entries that are a record, or that nothing reads."""
UNUSED = ("validate_loop", "test_loop", "predict_loop", "val_loop", "automatic", "scheduler_progress")
"""Counts of the trainer that a run with manual optimization and between two validations does not read."""
KINDS = {
    "no version": (("pytorch-lightning_version",), ...),
    "a version before the second": (("pytorch-lightning_version",), "1.4.0"),
    "a step as text": (("LadderDataModule", "step"), "2"),
    "a step below 0": (("LadderDataModule", "step"), -1),
    "a count of another step": (("global_step",), 7),
    "no count of batches": (("loops", "fit_loop", "epoch_loop.batch_progress", "total", "ready"), ...),
    "a row that is not there": (("LadderDataModule", "ladder", "rows"), torch.tensor([-1, 3, 4, 5])),
    "a target that is no number": (("LadderDataModule", "ladder", "memory", "target"), float("nan")),
    "no digests of rows": (("LadderDataModule", "fingerprints"), []),
    "weights that are not finite": (
        ("state_dict", "policy.model.lm_head.weight"),
        torch.full((1,), torch.nan),
    ),
    "weights that are a list": (("state_dict",), [1]),
    "a recipe that is a list": (("recipe",), [1]),
    "no learning rate": (("lr_schedulers",), []),
    "a learning rate of another step": (("lr_schedulers", 0, "last_epoch"), 0),
    "a weight decay of another run": (("optimizer_states", 0, "param_groups", 0, "weight_decay"), 9.0),
    "moments of another shape": (("optimizer_states", 0, "state", 1, "exp_avg"), torch.zeros(1)),
    "moments below 0": (("optimizer_states", 0, "state", 1, "exp_avg_sq"), None),
    "no moments": (("optimizer_states", 0, "state"), {}),
    "seconds as text": (("callbacks", "RunReport", "seconds"), "9"),
    "a history of text": (("callbacks", "CurriculumCallback", "history"), "abc"),
}
"""An entry, and what stands in its place."""


class Restored(Exception):  # noqa: N818
    """Ends a run as soon as everything is restored."""


class Look(lightning.Callback):
    """Keeps what the run would save if it saved now."""

    def on_train_start(self, trainer, pl_module):
        self.state = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
        raise Restored


def learner():
    return runs.learner(engine=ScriptedEngine(runs.MIXED), group_size=4, max_tokens=24)


def options():
    return {"prompts_per_step": 2, "steps_per_epoch": 3, "val": None, "test": None}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The checkpoint of a run of two steps, as it was read."""
    folder = tmp_path_factory.mktemp("run")
    callbacks = checkpoint_callbacks(folder, every_n_steps=1, validates=False)
    trainer = runs.trainer(folder, 2, AdaptiveTarget(), callbacks)
    trainer.fit(learner(), datamodule=runs.data_module(**options()))
    held = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert held["optimizer_states"][0]["state"], "nothing was learned, so nothing is tested"
    return held


@pytest.fixture(scope="module")
def restore(tmp_path_factory):
    """Restore a checkpoint; return all of the state that the run then has."""
    folder, module = tmp_path_factory.mktemp("resumed"), learner()

    def go_on(held):
        path = folder / "changed.ckpt"
        torch.save(held, path)
        look = Look()
        trainer = runs.trainer(folder, 4, AdaptiveTarget(), [look])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                trainer.fit(module, datamodule=runs.data_module(**options()), ckpt_path=path)
        except Restored:
            return look.state
        except RefusedError as error:
            told = str(error)
            if str(path) not in told or "\n" in told or len(told) > 1000:
                raise AssertionError(told) from error
            raise
        raise AssertionError("it was not restored at all")

    return go_on


def same(one, other):
    """Whether two nests of mappings, lists and tensors are equal."""
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        return isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def decisive(state):
    """What decides how a run goes on."""
    loop = {name: value for name, value in state["loops"]["fit_loop"].items() if "val_loop" not in name}
    kept = {
        name: state[name] for name in ("state_dict", "optimizer_states", "lr_schedulers", "LadderDataModule")
    }
    return kept | {"loop": loop}


def test_the_true_checkpoint_is_restored_as_it_is(saved, restore):
    assert same(decisive(restore(saved)), decisive(saved))


@pytest.mark.parametrize("kind", KINDS)
def test_what_no_run_can_go_on_from_is_refused_with_the_file(saved, restore, kind):
    path, other = KINDS[kind]
    if kind == "moments below 0":
        other = -torch.ones_like(saved["optimizer_states"][0]["state"][1]["exp_avg_sq"])
    with pytest.raises(RefusedError):
        restore(mutated(saved, path, other))


@pytest.mark.slow
def test_every_change_of_a_checkpoint_is_refused_by_name_or_without_effect(saved, restore):
    expected, wrong, count = decisive(restore(saved)), [], 0
    for path, name, held in mutations(saved):
        if path[0] in FREE or any(word in str(key) for key in path for word in UNUSED):
            continue
        count += 1
        try:
            state = restore(held)
        except RefusedError:
            continue
        except Exception as error:
            wrong.append((path, name, repr(error)[:200]))
            continue
        if not same(decisive(state), expected):
            wrong.append((path, name, "restored otherwise"))
    assert wrong == []
    assert count > 1000


@pytest.mark.parametrize("make", [torch.optim.Adafactor, torch.optim.RMSprop, torch.optim.Adagrad])
def test_a_run_with_another_optimizer_goes_on(make, tmp_path):
    def fit(steps, resume=None):
        made = runs.learner(
            engine=ScriptedEngine(runs.MIXED), group_size=4, max_tokens=24, optimizer=partial(make, lr=1e-3)
        )
        callbacks = checkpoint_callbacks(tmp_path, every_n_steps=1, validates=False)
        trainer = runs.trainer(tmp_path, steps, AdaptiveTarget(), callbacks)
        trainer.fit(made, datamodule=runs.data_module(**options()), ckpt_path=resume)
        return trainer.global_step

    assert fit(1) == 1
    assert fit(2, str(tmp_path / "checkpoints" / "last.ckpt")) == 2
