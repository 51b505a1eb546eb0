"""W&B and MLflow as they are, without a network: what they have written is read back. ``tox -e loggers``."""

import json

import pytest
from lightning.pytorch.loggers import MLFlowLogger, WandbLogger

import runs
from observer.callbacks import Components
from observer.rewards import Accuracy, Format
from observer.rollout import ScriptedEngine

wandb = pytest.importorskip("wandb")
mlflow = pytest.importorskip("mlflow")
pytestmark = [pytest.mark.loggers, pytest.mark.filterwarnings("default")]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run with both loggers, and a reward whose name neither would take."""
    folder, patch = tmp_path_factory.mktemp("run"), pytest.MonkeyPatch()
    patch.setenv("WANDB_SILENT", "true")
    patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    loggers = [
        WandbLogger(offline=True, save_dir=folder),
        MLFlowLogger(tracking_uri=f"file:{folder}/mlruns"),
    ]
    learner = runs.learner(
        rewards={"accuracy": Accuracy(), "form ~ of it, 50%": Format()}, engine=ScriptedEngine(runs.MIXED)
    )
    trainer = runs.trainer(folder, 4, None, [Components()], logger=loggers, log_every_n_steps=1)
    trainer.fit(learner, datamodule=runs.data_module())
    wandb.finish()
    yield folder, loggers[1]
    patch.undo()


def test_wandb_has_options_curves_pictures_and_a_table_with_pictures(run):
    folder, _ = run
    (record,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    written = record.read_bytes()
    for name in ("model.weighting", "train/reward", "val/accuracy", "test/accuracy"):
        assert name.encode() in written
    assert b"zoom_component/form_of_it_50_/mean" in written
    media = record.parent / "files" / "media"
    assert len(list((media / "images" / "zoom_completions").glob("[0-3]_*.png"))) == 4
    assert list((media / "images" / "zoom_curriculum").glob("pass_rates_*.png"))
    (table,) = (media / "table" / "zoom_completions").glob("table_*.table.json")
    found = json.loads(table.read_text())
    assert found["columns"][:2] == ["picture", "step"]
    assert len(found["data"]) == 16
    assert b"run_table" in written, "the artifact that holds the pictures of the cells"


def test_mlflow_has_options_curves_and_pictures(run):
    _, logger = run
    client = logger.experiment
    told = client.get_run(logger.run_id).data
    assert told.params["model.group_size"] == "4"
    assert told.params["model.weighting"].startswith("Quadratic(")
    curve = client.get_metric_history(logger.run_id, "train/reward")
    assert [point.step for point in curve] == [0, 1, 2, 3]
    assert "zoom_component/form_of_it_50_/mean" in told.metrics
    assert len(client.list_artifacts(logger.run_id, "images")) >= 5
