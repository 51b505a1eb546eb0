"""Every argument of Lightning's ``Trainer``, and its callbacks: the page names each and says what it does."""

import importlib.util
import inspect
import json
import re

import lightning
import pytest
import torch
from lightning.pytorch import callbacks as stock

from documented import PAGES, ROOT
from observer.callbacks import AtomicCheckpointIO, checkpoint_callbacks
from observer.cli import main
from observer.learner.trainer_options import CALLBACKS as REFUSED_CALLBACKS
from observer.types import RefusedError
from runs import data_module, learner, trainer
from tiny_run import Log

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*you need to define a .flops_per_batch."),
    pytest.mark.filterwarnings("ignore:.*exists and is not empty"),
    pytest.mark.filterwarnings("ignore:.*no pre-optimization state was saved"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint need to be provided"),
    pytest.mark.filterwarnings("ignore:.*was called without a model"),  # of OnExceptionCheckpoint
    pytest.mark.filterwarnings("ignore:.*there is no last checkpoint available"),
]


def rows(heading):
    """The rows of the table below a heading: name -> what is said of it."""
    text = PAGES["docs/lightning.md"].partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| ([\w ]+) \|", text, re.MULTILINE))


ARGUMENTS, CALLBACKS = rows("Arguments of `Trainer`"), rows("Callbacks of Lightning")
BASES = {"BasePredictionWriter", "Callback", "Checkpoint", "ProgressBar"}


def named(table, how):
    return {name for name, here in table.items() if here == how}


def test_the_page_names_every_argument_of_the_installed_trainer():
    signature = inspect.signature(lightning.Trainer.__init__)
    assert list(ARGUMENTS) == [name for name in signature.parameters if name != "self"]
    assert set(ARGUMENTS.values()) == {"works", "refused", "another name"}


def test_the_page_names_every_callback_of_the_installed_lightning():
    assert set(CALLBACKS) == set(stock.__all__) - BASES | {"LearningRateMonitor"}
    refused = {name for name in CALLBACKS if issubclass(getattr(stock, name), tuple(REFUSED_CALLBACKS))}
    assert named(CALLBACKS, "refused") == refused


# Refused, with what to write instead, before weights are loaded

REFUSED = [
    ({"gradient_clip_val": 1.0}, "trainer.gradient_clip_val is 1.0", "model.gradient_clip"),
    ({"gradient_clip_algorithm": "value"}, "is value", "model.gradient_clip"),
    ({"accumulate_grad_batches": 2}, "trainer.accumulate_grad_batches is 2", "model.micro_batch_tokens"),
    ({"overfit_batches": 1}, "trainer.overfit_batches is 1", "data.train"),
    ({"overfit_batches": 0.5}, "trainer.overfit_batches is 0.5", "data.prompts_per_step"),
    ({"limit_train_batches": 1}, "trainer.limit_train_batches is 1", "data.steps_per_epoch"),
    ({"limit_train_batches": 0}, "trainer.limit_train_batches is 0", "trainer.max_steps"),
    ({"barebones": True}, "trainer.barebones is True", "trainer.logger"),
    ({"model_registry": "mine"}, "trainer.model_registry is mine", "export/"),
]
VALUES = [
    ({"precision": "16-true"}, "trainer.precision is 16-true", "32-true or bf16-mixed"),
    ({"precision": "bf16-true"}, "trainer.precision is bf16-true", "32-true or bf16-mixed"),
    ({"precision": 64}, "trainer.precision is 64-true", "32-true or bf16-mixed"),
    ({"val_check_interval": 3}, "is 3, and an epoch has 2 rollouts", "data.steps_per_epoch to 3"),
    ({"val_check_interval": 0}, "trainer.val_check_interval is 0", "> 0"),
    ({"val_check_interval": "00:00:01:00"}, "trainer.val_check_interval is 0:01:00", "number of rollouts"),
    ({"check_val_every_n_epoch": 0}, "trainer.check_val_every_n_epoch is 0", ">= 1, or null"),
    ({"max_steps": 0}, "trainer.max_steps is 0", ">= 1"),
    ({"max_epochs": 0}, "trainer.max_epochs is 0", ">= 1"),
    ({"min_steps": 5}, "trainer.min_steps is 5", "max_steps 2"),
    ({"min_epochs": 3, "max_epochs": 2}, "trainer.min_epochs is 3", "max_epochs 2"),
    ({"max_time": "00:00:00:00"}, "trainer.max_time (seconds) is 0", "> 0"),
    ({"max_steps": -1, "max_time": "00:01:00:00"}, "no end", "set trainer.max_steps"),
    ({"limit_val_batches": 0.1}, "trainer.limit_val_batches is 0.1", "data.eval_batch 128"),
    ({"limit_test_batches": 0.1}, "trainer.limit_test_batches is 0.1", "data.eval_batch 128"),
]


def test_every_argument_that_the_page_calls_refused_is_tried():
    assert {name for options, *_ in REFUSED for name in options} == named(ARGUMENTS, "refused")


@pytest.mark.parametrize(("options", "what", "instead"), REFUSED + VALUES, ids=str)
def test_what_would_be_ignored_or_make_no_sense_is_refused_before_weights_are_loaded(
    tmp_path, options, what, instead
):
    run, module = lightning.Trainer(**quiet(tmp_path, **options)), learner()
    with pytest.raises(RefusedError) as caught:
        run.fit(module, datamodule=data_module())
    assert what in str(caught.value)
    assert instead in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not hasattr(module, "policy")


def quiet(run_dir, **options):
    silent = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    usual = {"max_steps": 2, "accelerator": "cpu", "devices": 1, "num_sanity_val_steps": 0}
    return {**usual, **dict.fromkeys(silent, False), "default_root_dir": run_dir, **options}


MAKE = {
    "GradientAccumulationScheduler": lambda: stock.GradientAccumulationScheduler({0: 2}),
    "ModelPruning": lambda: stock.ModelPruning("l1_unstructured"),
    "OnExceptionCheckpoint": lambda: stock.OnExceptionCheckpoint("nowhere"),
    "ModelCheckpoint": lambda: stock.ModelCheckpoint(save_on_exception=True),
    "ThroughputMonitor": lambda: stock.ThroughputMonitor(len),
}


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("GradientAccumulationScheduler", "model.micro_batch_tokens"),
        ("BatchSizeFinder", "model.micro_batch_tokens"),
        ("LearningRateFinder", "model.optimizer.init_args.lr"),
        ("BackboneFinetuning", "model.policy.freeze_vision"),
        ("BaseFinetuning", "model.policy.freeze_vision"),
        ("ModelPruning", "leave it out"),
        ("OnExceptionCheckpoint", "checkpoints.every_n_steps"),
        ("ModelCheckpoint", "checkpoints.every_n_steps"),
        ("SpikeDetection", "train/reward"),
        ("LearningRateMonitor", "name a logger"),
        ("DeviceStatsMonitor", "name a logger"),
        ("ThroughputMonitor", "name a logger"),
    ],
)
def test_callbacks_that_do_not_go_with_a_step_are_refused_before_weights_are_loaded(tmp_path, name, instead):
    callback, module = MAKE.get(name, getattr(stock, name))(), learner()
    options = quiet(tmp_path, callbacks=[callback], enable_checkpointing=True)
    with pytest.raises(RefusedError, match=rf"{name}.*{instead}"):
        lightning.Trainer(**options).fit(module, datamodule=data_module())
    assert not hasattr(module, "policy")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "given", [{}, {"train_dataloaders": torch.utils.data.DataLoader([1, 2])}], ids=["nothing", "a loader"]
)
def test_a_fit_without_the_data_module_is_refused_with_the_call_to_write(tmp_path, given):
    with pytest.raises(RefusedError, match=r"trainer.fit\(learner, datamodule=...\)"):
        lightning.Trainer(**quiet(tmp_path)).fit(learner(), **given)


# On the command line

MISSING = next(
    (name for name in ("wandb", "mlflow", "neptune", "comet_ml") if not importlib.util.find_spec(name)), None
)
LOGGER = {"wandb": "WandbLogger", "mlflow": "MLFlowLogger", "neptune": "NeptuneLogger"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            "--trainer.enable_checkpointing false",
            ["enable_checkpointing is false", "checkpoints.every_n_steps"],
        ),
        ("--trainer.barebones true", ["trainer.barebones is true", "trainer.logger"]),
        ("--trainer.max_steps=-1", ["trainer.max_steps and trainer.max_epochs are not set"]),
        ("--trainer.precision 16-mixed", ["trainer.precision is 16-mixed", "bf16-mixed"]),
        ("--trainer.precision 16", ["trainer.precision is 16", "bf16-mixed"]),
        (
            "--trainer.plugins lightning.pytorch.plugins.io.TorchCheckpointIO",
            ["trainer.plugins has TorchCheckpointIO", "leave it out"],
        ),
        ("--trainer.strategy nonesuch", ["the trainer cannot be built", "nonesuch", "ddp"]),
        ("--trainer.strategy fsdp", ["the trainer cannot be built", "fsdp", "accelerator='cpu'"]),
        (
            f"--trainer.logger {LOGGER.get(MISSING, 'CometLogger')}",
            ["not installed", f"pip install -U '{MISSING}"],
        ),
        ("--trainer.precision transformer-engine", ["not installed", "pip install"]),
        ("--trainer.logger CSVLogger", ["trainer.logger has CSVLogger without save_dir", "{save_dir: ..}"]),
        ("--trainer.logger [CSVLogger]", ["trainer.logger has CSVLogger without save_dir"]),
        ("--trainer.callbacks+=EarlyStopping", ["trainer.callbacks has EarlyStopping without monitor"]),
        ("--trainer.overfit_batches 1", ["trainer.overfit_batches is 1", "data.prompts_per_step"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_command_line_answers_in_one_line(words, expected, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(ROOT)
    run_dir = ["--run_dir", str(tmp_path / "run")]
    assert main(["fit", "--config", "configs/quickstart.yaml", *run_dir, *words.split()]) == 2
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "observer: refused" in line]
    for part in expected:
        assert part in line
    left = {path.name for path in (tmp_path / "run").glob("*")}
    assert left <= {".lock"}, "a refusal leaves nothing behind"


# What works: one run with all of it, beside a run with none

WORKS = {
    "accelerator": "cpu",
    "strategy": "auto",
    "devices": 1,
    "num_nodes": 1,
    "precision": "32-true",
    "max_epochs": 3,
    "min_epochs": 1,
    "max_steps": 4,
    "min_steps": 1,
    "max_time": {"hours": 1},
    "limit_val_batches": 1,
    "limit_test_batches": 0.5,
    "limit_predict_batches": 1,
    "val_check_interval": 1,
    "check_val_every_n_epoch": 2,
    "num_sanity_val_steps": 1,
    "log_every_n_steps": 2,
    "enable_checkpointing": True,
    "enable_progress_bar": True,
    "enable_model_summary": True,
    "deterministic": True,
    "benchmark": False,
    "inference_mode": False,
    "use_distributed_sampler": True,
    "profiler": "simple",
    "detect_anomaly": True,
    "sync_batchnorm": True,
    "reload_dataloaders_every_n_epochs": 1,
    "enable_autolog_hparams": False,
}
ELSEWHERE = {"logger", "callbacks", "plugins"}  # given below
ELSEWHERE |= {"fast_dev_run"}  # tests/test_endings.py


def test_every_argument_that_the_page_calls_working_is_tried():
    assert WORKS.keys() | ELSEWHERE == named(ARGUMENTS, "works")


@pytest.fixture
def _torch_as_before(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.backends.cudnn.benchmark
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = before


def weights(module):
    return {name: value.tolist() for name, value in module.state_dict().items()}


UNMEASURED = {"val": None, "test": None}


def fitted(run, ckpt_path=None, **options):
    module = learner(max_tokens=16, entropy_bonus=0.1)  # moves the weights, whatever is drawn
    run.fit(module, datamodule=data_module(eval_batch=4, prompts_per_step=2, **options), ckpt_path=ckpt_path)
    return module


@pytest.mark.whole
@pytest.mark.usefixtures("_torch_as_before")
def test_options_and_callbacks_that_work_do_what_they_say_and_change_no_weight(tmp_path):
    log, calls = Log(), []
    own = stock.ModelCheckpoint(tmp_path / "own", "{step}", every_n_train_steps=1, save_top_k=-1)
    callbacks = {
        "EarlyStopping": stock.EarlyStopping("val/accuracy", mode="max", patience=9),
        "ModelCheckpoint": own,
        "LearningRateMonitor": stock.LearningRateMonitor(),
        "DeviceStatsMonitor": stock.DeviceStatsMonitor(),
        "ThroughputMonitor": stock.ThroughputMonitor(batch_size_fn=len, window_size=2),
        "RichProgressBar": stock.RichProgressBar(),
        "ModelSummary": stock.ModelSummary(),
        "LambdaCallback": stock.LambdaCallback(
            on_train_batch_end=lambda *_: calls.append(torch.are_deterministic_algorithms_enabled())
        ),
    }
    extra = [*callbacks.values(), *checkpoint_callbacks(tmp_path / "all", 1, validates=True)]
    run = trainer(tmp_path / "all", callbacks=extra, logger=log, plugins=[AtomicCheckpointIO()], **WORKS)
    changed = fitted(run)
    plain = fitted(trainer(tmp_path / "plain", 4), **UNMEASURED)
    assert weights(changed) == weights(plain)
    assert calls == [True] * 4
    assert {step for step, name in log.records if name.startswith("train/")} == {1, 3}
    assert any(name.startswith("lr-") for _, name in log.records)
    assert any(name.startswith("device/") or "Stats" in name or "cpu" in name for _, name in log.records)
    assert run.callback_metrics["val/problems"] == 4, "limit_val_batches"
    summary = json.loads((tmp_path / "all" / "summary.json").read_text())
    assert (summary["problems"], summary["status"], summary["ended_by"]) == (4, "complete", "max_steps")
    assert run.profiler.recorded_durations["run_training_batch"]
    kept = tmp_path / "own" / "step=3.ckpt"
    resumed = fitted(trainer(tmp_path / "more", 4, logger=False), kept, **UNMEASURED)
    assert weights(resumed) == weights(plain), "the user's own checkpoint lies between rollouts"


def test_the_plain_trainer_of_lightning_trains_with_its_own_callbacks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bars = [stock.TQDMProgressBar(), stock.RichModelSummary(), stock.Timer("00:01:00:00")]
    run = lightning.Trainer(max_steps=2, accelerator="cpu", devices=1, callbacks=bars, log_every_n_steps=0)
    module, data = learner(max_tokens=8), data_module(prompts_per_step=1)
    run.fit(module, datamodule=data)
    assert (data.step, module.horizon) == (2, 2)
    assert list((tmp_path / "lightning_logs").rglob("*.ckpt")), "Lightning's own checkpoint"
