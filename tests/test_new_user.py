"""All that a user may have of their own at once, from a folder of their own; and what they get wrong."""

import json
import os
import sys
import warnings

import pytest
import yaml

from observer import strategies
from observer.cli import main
from observer.learner import ObserveLearner
from observer.types import RefusedError

MINE = '''
from dataclasses import dataclass

import torch
from lightning.pytorch import Callback
from lightning.pytorch.loggers.logger import Logger

from observer.curriculum import CurriculumCallback, Schedule
from observer.learner import ObserveLearner

SEEN = []


class Counter(Callback):
    def __init__(self, every: int = 2):
        self.every = every

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        SEEN.append(("counter", self.every))


class Lines(Logger):
    name, version = "lines", 0

    def log_hyperparams(self, params, *args, **kwargs):
        SEEN.append(("options", params["model.group_size"]))

    def log_metrics(self, metrics, step=None):
        SEEN.append(("metrics", "train/reward" in metrics))


class Slow(torch.optim.AdamW):
    def __init__(self, params, lr: float = 1e-4, factor: float = 0.5):
        super().__init__(params, lr=lr * factor)
        SEEN.append(("groups", len(self.param_groups)))


@dataclass(frozen=True)
class Strided(Schedule):
    """Rows in the order of the file."""

    stride: int = 1

    def draw(self, request):
        first = request.step * request.count * self.stride
        return [(first + place) % len(request.index) for place in range(request.count)]


class Louder(ObserveLearner):
    def score(self, groups, step):
        SEEN.append(("learner", len(groups)))
        return super().score(groups, step)


class Onlooker(CurriculumCallback):
    """Looks on."""

    def after_observing(self, index, step, rows, pass_rates):
        SEEN.append(("curriculum", tuple(rows)))
'''
ALL = """
run_dir: runs/${oc.env:NOBODY_HAS_THIS,nobody}-${seed_everything}
seed_everything: 3
plugins: [mine.py]
learner: mine.Louder
curriculum:
  class_path: mine.Onlooker
  init_args: {schedule: {class_path: Strided, init_args: {stride: "${model.group_size}"}}}
model:
  group_size: 2
  max_tokens: 16
  optimizer: {class_path: mine.Slow, init_args: {lr: 1.0e-4}}
  parameter_groups: ByRole
data:
  prompts_per_step: 4
  steps_per_epoch: 2
  val: {class_path: Tiles, init_args: {split: val, rows: 8}}
  test: {class_path: Tiles, init_args: {split: test, rows: 8}}
trainer:
  max_steps: 2
  callbacks: [{class_path: mine.Counter, init_args: {every: 1}}]
  logger: {class_path: mine.Lines}
"""


def forget():
    for name in ("mine", "observer_plugin_mine", "parts.mine"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of the user's own, in which everything runs, on the path of imports."""
    here, folder = os.getcwd(), tmp_path_factory.mktemp("user")
    (folder / "mine.py").write_text(MINE)
    (folder / "all.yaml").write_text(ALL)
    sys.path.insert(0, str(folder))
    os.chdir(folder)
    yield folder
    os.chdir(here)
    sys.path.remove(str(folder))
    forget()


@pytest.fixture(scope="module")
def seen(folder):
    """What their classes have seen of a whole run."""
    assert main(["fit", "--config", "quickstart", "--config", "all.yaml"]) == 0
    return list(sys.modules["observer_plugin_mine"].SEEN)


def test_a_run_with_classes_of_ones_own_everywhere_from_one_file(seen, folder):
    assert dict(seen)["groups"] > 1
    assert ("options", 2) in seen
    assert ("metrics", True) in seen
    assert [seen.count(("counter", 1)), seen.count(("learner", 4))] == [2, 2]
    assert [rows for what, rows in seen if what == "curriculum"] == [(0, 1, 2, 3), (8, 9, 10, 11)]
    assert json.loads((folder / "runs/nobody-3/summary.json").read_text())["status"] == "complete"
    saved = yaml.safe_load((folder / "runs/nobody-3/config.yaml").read_text())
    assert saved["curriculum"]["init_args"]["schedule"]["init_args"]["stride"] == 2


@pytest.mark.whole
@pytest.mark.usefixtures("seen")
def test_the_runs_own_configuration_is_all_that_other_commands_need(capsys):
    run = ["--config", "runs/nobody-3/config.yaml"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # as of callbacks that a checkpoint has and the trainer lacks
        assert main(["predict", *run, "--ckpt_path", "last", "--output", "p.jsonl"]) == 0
    assert main(["export", "--run_dir", "runs/nobody-3", "--ckpt_path", "last", "--output", "out"]) == 0
    assert main(["curriculum", "preview", *run]) == 0
    assert main(["curriculum", "estimates", "--run_dir", "runs/nobody-3", "--ckpt_path", "last"]) == 0
    assert "Strided" in capsys.readouterr().out
    learner = sys.modules["mine"].Louder.load_from_checkpoint("runs/nobody-3/checkpoints/last.ckpt")
    assert isinstance(learner, ObserveLearner)


@pytest.mark.parametrize("text", ["mine.py", "[mine.py]"])
def test_classes_of_a_plugin_go_by_their_names_alone(text, folder, capsys):
    words = [
        "--plugins",
        text,
        "--learner",
        "Louder",
        "--curriculum",
        "Onlooker",
        "--model.optimizer",
        "Slow",
    ]
    words += ["--trainer.logger", "Lines", "--trainer.callbacks+=Counter", "--curriculum.schedule", "Strided"]
    for plugins in (words[:2], ["--plugins+", text]) if text == "mine.py" else (words[:2],):
        with pytest.raises(SystemExit) as stop:
            main(["fit", "--config", "quickstart", *plugins, *words[2:], "--print_config"])
        assert stop.value.code == 0
        assert "class_path: observer_plugin_mine.Slow" in capsys.readouterr().out
    assert main(["list", "schedule", "--plugins", text]) == 0
    assert "Strided" in capsys.readouterr().out


@pytest.mark.parametrize("first", ["mine", "parts.mine", "observer_plugin_mine"])
def test_a_file_is_imported_once_by_whatever_name(first, tmp_path, monkeypatch):
    (tmp_path / "parts").mkdir()
    file = tmp_path / ("parts/mine.py" if "." in first else "mine.py")
    file.write_text("class Own:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = {name: sys.modules.pop(name, None) for name in ("mine", "observer_plugin_mine")}
    name = first if first != "observer_plugin_mine" else "mine"
    try:
        if first == name:
            __import__(name)
        strategies.load_plugin(file)
        __import__(name)
        assert sys.modules[name].Own is sys.modules["observer_plugin_mine"].Own
    finally:
        forget()
        sys.modules.update({name: module for name, module in before.items() if module is not None})


def test_a_plugin_does_not_take_the_name_of_another_module(tmp_path):
    (tmp_path / "wave.py").write_text("OWN = True\n")
    strategies.load_plugin(tmp_path / "wave.py")
    import wave

    assert not hasattr(wave, "OWN")
    del sys.modules["observer_plugin_wave"]


MISTAKES = {
    ("fit", "--learner", "mine.Counter"): "Counter is no LightningModule",
    ("fit", "--learner", "Lauder"): "no file of plugins has a class of this name",
    ("fit", "--learner", "lightning.pytorch.demos.BoringModel"): "observer.learner.ObserveLearner",
    ("fit", "--curriculum", "Strided"): "write --curriculum.schedule Strided",
    ("fit", "--curriculum.schedule", "Stridd"): "Near Stridd: Strided",
    ("fit", "--curriculum.schedule", "Strided", "--curriculum.schedule.stride", "x"): "int",
    (
        "fit",
        "--trainer.callbacks+=mine.Conter",
    ): "no attribute 'Conter'",
    ("fit", "--trainer.logger", "mine.Lines", "--trainer.logger.file", "x"): "'file' is not accepted",
    ("fit", "--model.rewards.acuracy.weight", "2"): "one that is there goes by its key",
    ("fit", "--seed_everything", "-1"): "refused: seed_everything is -1",
    ("fit", "quickstart"): "options begin with --, such as --config FILE",
    ("predict",): "arguments are required: --output",
    ("predict", "--output", "mine.py/x"): "mine.py is no directory; name a file in one",
    ("curriculum", "preview", "--output", "mine.py/x"): "mine.py is no directory; name a file in one",
    ("curriculum", "preview", "--run_dir", "runs/x"): "write --config runs/x/config.yaml",
    ("curriculum", "estimates", "--run_dir", "x", "--output", "mine.py/x"): "mine.py is no directory",
    ("curriculum", "estimates"): "arguments are required: --run_dir",
    ("export", "--run_dir", "x", "--output", "mine.py/x"): "mine.py is no directory",
    (
        "export",
        "--run_dir",
        "runs/nobody-3",
        "--output",
        "y",
        "--checkpoint",
        "nothere",
    ): "or name one: runs/",
}


@pytest.mark.usefixtures("seen")
@pytest.mark.parametrize("words", MISTAKES, ids=" ".join)
def test_a_mistake_is_refused_in_a_short_paragraph(words, capfd):
    quick = [] if words[0] == "export" or "estimates" in words else ["--config", "quickstart"]
    own = ["--plugins", "[mine.py]"] if words[0] == "fit" else []
    command = words[: 1 + (words[0] == "curriculum")]
    assert main([*command, *quick, *own, *words[len(command) :]]) == 2
    told = capfd.readouterr().err
    assert MISTAKES[words] in told
    assert "Traceback" not in told
    for noise in ("Union subtypes", "NestedArg", "compute_fn", "either not accessible"):
        assert noise not in told


def test_a_plugin_that_fails_names_its_line(tmp_path):
    (tmp_path / "fails.py").write_text("import os\n\nraise ValueError('boom')\n")
    with pytest.raises(RefusedError, match=r"fails\.py cannot be imported: ValueError\('boom'\) \(line 3\)"):
        strategies.load_plugin(tmp_path / "fails.py")
