"""Runs of an engine with weights of its own: its curves, its alarm, its correction."""

import re
from pathlib import Path

import pytest
import torch
from jsonargparse import Namespace

import runs
from gradients import Drawn
from observer.callbacks import Alarms
from observer.cli.configuration.settled import settle_correction
from observer.cli.run import RunCLI
from observer.learner import ObserveLearner
from observer.metrics.mismatch import PARTS, mismatch_figures
from observer.objective import Correction
from observer.refusal import RefusedError
from observer.rollout import ScriptedEngine
from own_weights import OwnWeights
from test_loggers import Plain

PAGE = (Path(__file__).parents[1] / "docs" / "runs.md").read_text(encoding="utf-8")
TRAINED = {"updates_per_rollout": 2, "entropy_bonus": 0.1}
"""All weights move in each step, also in one without a group that has a signal."""


class Watch(Alarms):
    """Keeps the figures of each update, and the alarms as they are told."""

    def __init__(self, **options):
        super().__init__(**options)
        self.updates, self.told = [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, *rest):
        self.updates.append(outputs["update"])
        super().on_train_batch_end(trainer, pl_module, outputs, *rest)

    def write(self, lines):
        self.told += lines
        super().write(lines)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Three steps of an engine whose sync does nothing, two optimizer steps each, on tiles alone."""
    folder, plain = tmp_path_factory.mktemp("run"), Plain()
    watch = Watch(window=2, prob_error=1.0001)
    learner = runs.learner(engine=OwnWeights(stale=""), **TRAINED)
    trainer = runs.trainer(folder, 6, callbacks=[watch], logger=plain, log_every_n_steps=1)
    trainer.fit(learner, datamodule=runs.data_module(val=None, test=None))
    trainer.save_checkpoint(folder / "own.ckpt")
    return {
        "learner": learner,
        "watch": watch,
        "calls": plain.calls,
        "options": plain.options,
        "folder": folder,
    }


def test_an_engine_whose_sync_does_nothing_is_told_of_once_with_the_cause(run):
    told = [line for line in run["watch"].told if line["alarm"] in ("prob_error", "token_gap")]
    assert [(line["alarm"], line["since"], line["step"]) for line in told] == [("prob_error", 0, 1)]
    assert "at first they were not: the engine has older weights" in told[0]["text"]
    assert "All rows have pictures" in told[0]["text"]
    errors = [update["mismatch/prob_error"] for update in run["watch"].updates]
    assert errors[0] == pytest.approx(1, abs=1e-5)
    assert 1.0001 < errors[1] < errors[2]
    assert {name for step in run["watch"].state_dict()["last"] for name in step} > {"mismatch/ratio"}


def test_its_curves_are_those_on_the_page_and_fit_the_figures_there_were(run):
    names = {name for _, figures in run["calls"] for name in figures}
    logged = {name for name in names if name.startswith("zoom_mismatch/")}
    whole = {
        f"zoom_mismatch/{name}" for name in ("prob_error", "kl", "ratio", "largest_gap", "largest_ratio")
    }
    assert logged == whole, "all rows are alike"
    assert {"zoom_update/correction_weight", "zoom_update/correction_cut"} < names
    patterns = [
        re.sub(r"<\w+>", r"[^/]+", name) for name in set(re.findall(r"`(zoom_mismatch/[^`]*)`", PAGE))
    ]
    ever = {f"zoom_mismatch/{name}" for name in mismatch_figures(torch.ones(len(PARTS), 6))}
    assert whole < ever
    assert [name for name in ever if not any(re.fullmatch(pattern, name) for pattern in patterns)] == []
    assert [pattern for pattern in patterns if not any(re.fullmatch(pattern, name) for name in ever)] == []
    for update in run["watch"].updates:
        assert update["mismatch/prob_error"] >= 1 + update["sampler_gap"]
        assert update["mismatch/largest_gap"] > update["sampler_gap"]
        assert (
            update["correction_weight"] <= update["mismatch/ratio"] + 1e-6 <= update["mismatch/largest_ratio"]
        )


def test_an_engine_that_shares_the_weights_has_none_of_them(tmp_path):
    plain = Plain()
    trainer = runs.trainer(tmp_path, 1, logger=plain, log_every_n_steps=1)
    learner = runs.learner(engine=Drawn())
    trainer.fit(learner, datamodule=runs.data_module(val=None, test=None, prompts_per_step=2))
    names = {name for _, figures in plain.calls for name in figures}
    assert "train/sampler_gap" in names
    assert [name for name in names if "mismatch" in name or "correction" in name] == []
    assert learner.recipe()["correction"] == "None"


# The correction


def test_auto_is_truncated_weights_for_engines_with_weights_of_their_own_and_what_is_written_wins():
    def used(engine, **options):
        return runs.learner(engine=engine, **options).objective.correction

    own, shared, masked = OwnWeights(), ScriptedEngine(["a"]), Correction("sequence", "mask", cap=3.0)
    assert used(own) == used(own, correction="auto") == Correction("token", "truncate", cap=2.0)
    assert used(own, correction=None) is used(shared) is used(None) is None
    assert used(own, correction=masked) == used(shared, correction=masked) == masked


def settled(**options):
    model = Namespace(**options)
    settle_correction(model)
    return model.get("correction")


def test_the_configuration_of_a_run_says_what_is_used(in_the_repository):
    """A grid compares it too, so a variant can write null, or auto."""
    words = ["fit", "--config", "configs/quickstart.yaml", "--model.engine", "VLLM"]
    default = {"level": "token", "mode": "truncate", "cap": 2.0, "floor": 0.0}
    assert RunCLI.options(ObserveLearner, words)["model"]["correction"] == default
    vllm = Namespace(class_path="observer.rollout.VLLM")
    assert vars(settled(engine=vllm, correction="auto")) == default
    assert settled(engine=vllm, correction=None) is settled(engine=None, correction="auto") is None
    assert settled(engine=vllm, correction="written") == "written"
    assert settled(engine=vllm) is None
    assert settled(correction="auto") == "auto", "a learner of one's own, which may mean something else by it"


def test_what_is_neither_auto_nor_a_correction_is_refused(in_the_repository):
    words = ["fit", "--config", "configs/quickstart.yaml", "--model.correction", "atuo"]
    with pytest.raises(RefusedError, match=r"model\.correction is 'atuo'"):
        RunCLI.options(ObserveLearner, words)


def test_a_checkpoint_says_what_was_used(run):
    held = torch.load(run["folder"] / "own.ckpt", weights_only=True)
    assert held["recipe"]["correction"].startswith("Correction(level='token', mode='truncate', cap=2.0")
    assert run["options"][0][0]["model.correction"] == held["recipe"]["correction"]
    loaded = ObserveLearner.load_from_checkpoint(run["folder"] / "own.ckpt", engine=ScriptedEngine(["a"]))
    assert loaded.objective.correction is None


@pytest.mark.whole
def test_a_checkpoint_goes_on_with_what_it_was_made_with_alone(run, tmp_path):
    held = torch.load(run["folder"] / "own.ckpt", weights_only=True)
    held["recipe"]["correction"] = "None"  # of a version that corrected where it was asked to
    torch.save(held, tmp_path / "former.ckpt")

    def goes_on(name, file, **options):
        learner = runs.learner(engine=OwnWeights(), **TRAINED, **options)
        data = runs.data_module(val=None, test=None)
        trainer = runs.trainer(tmp_path / name, 8, callbacks=[Watch()])
        trainer.fit(learner, datamodule=data, ckpt_path=file)
        return data.step

    with pytest.raises(RefusedError, match=r"made with correction None, this run has Correction\("):
        goes_on("refused", tmp_path / "former.ckpt")
    assert goes_on("former", tmp_path / "former.ckpt", correction=None) == 4
    assert goes_on("own", run["folder"] / "own.ckpt") == 4
