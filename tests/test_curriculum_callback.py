"""The curriculum callback: what it logs, where it can be customised, and what survives a resume."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import runs
from observer import strategies
from observer.cli import main
from observer.curriculum import AtMost, CurriculumCallback, PerSource, Random, Stage, Stages
from observer.curriculum.heat_map import binned, heat_map
from observer.rollout import ScriptedEngine
from observer.types import RefusedError

PAGE = (Path(__file__).parent.parent / "docs" / "curriculum.md").read_text(encoding="utf-8")
TWO = Stages([Stage(steps=2, levels={1: 1.0}), Stage(steps=None, levels={1: 1.0, 8: 1.0})])


def fit(folder, callback, steps=4, ckpt_path=None):
    board = TensorBoardLogger(folder, name="", version="")
    trainer = runs.trainer(folder, steps, logger=board, log_every_n_steps=1)
    others = [other for other in trainer.callbacks if not isinstance(other, CurriculumCallback)]
    trainer.callbacks = [callback, *others]
    learner = runs.learner(engine=ScriptedEngine(runs.MIXED))
    trainer.fit(learner, datamodule=runs.data_module(val=None, test=None), ckpt_path=ckpt_path)
    return trainer


def events(folder):
    read = EventAccumulator(str(folder), size_guidance={"tensors": 0, "scalars": 0, "images": 0})
    read.Reload()
    return read


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (PerSource(shares={"maps": 1.0}), "PerSource.shares names 'maps'; the ladder has rows of tiles"),
        (AtMost(Random(), visits=1), "64 rows are enough for 16 rollouts of 4 prompts, and there are 17"),
    ],
    ids=["source", "visits"],
)
def test_what_a_schedule_cannot_draw_is_refused_before_weights_are_loaded(schedule, message, tmp_path):
    learner = runs.learner(engine=ScriptedEngine(runs.MIXED))
    with pytest.raises(RefusedError, match=message):
        runs.trainer(tmp_path, 17, schedule).fit(learner, datamodule=runs.data_module())
    assert not hasattr(learner, "policy")
    assert not (tmp_path / "before.json").exists()


def test_a_level_has_no_point_at_a_step_that_drew_none_of_it(tmp_path):
    """Lightning writes the last value of a figure again, to the end of the epoch: here of two steps."""
    fit(tmp_path, CurriculumCallback(Stages([Stage(1, {1: 1.0}), Stage(None, {8: 1.0})])), steps=2)
    read = events(tmp_path)
    for name in ("zoom_curriculum_share", "zoom_level"):
        assert [event.step for event in read.Scalars(f"{name}/1")] == [0]
        assert [event.step for event in read.Scalars(f"{name}/8")] == [1]


def test_a_run_logs_what_was_drawn_its_stages_and_a_heat_map(tmp_path):
    trainer = fit(tmp_path, CurriculumCallback(TWO, heat_map_every_n_steps=3))
    read = events(tmp_path)
    tags = read.Tags()
    shares = {tag: [event.value for event in read.Scalars(tag)] for tag in tags["scalars"] if "share" in tag}
    assert shares["zoom_curriculum_share/1"] == pytest.approx([1, 1, 0.5, 0.5])
    assert shares["zoom_curriculum_share/8"] == pytest.approx([0.5, 0.5])
    coverage = [event.value for event in read.Scalars("zoom_curriculum/coverage")]
    assert coverage == sorted(coverage)
    assert 0 < coverage[0] < coverage[-1] <= 1
    assert {event.value for event in read.Scalars("zoom_curriculum/repeats")} <= {i / 4 for i in range(5)}
    assert [event.step for event in read.Images("zoom_curriculum/pass_rates")] == [3, 4]
    texts = read.Tensors("zoom_curriculum/stage/text_summary")
    assert [(event.step, event.tensor_proto.string_val[0]) for event in texts] == [
        (0, b"stage 1 of 2"),
        (2, b"stage 2 of 2"),
    ]
    assert trainer.datamodule.stage == "stage 2 of 2"


def test_a_subclass_is_called_before_a_draw_after_observing_and_at_a_stage_change(tmp_path):
    calls = []

    class Watch(CurriculumCallback):
        def before_draw(self, index, step):
            calls.append(("draw", step, len(index.seen[0])))

        def after_observing(self, index, step, rows, pass_rates):
            assert all(0 <= rate <= 1 for rate in pass_rates)
            calls.append(("observed", step, len(set(index.seen[0].tolist()) & set(rows)) == len(rows)))

        def on_stage_change(self, trainer, pl_module, before, now):
            calls.append(("stage", before, now))

    fit(tmp_path, Watch(TWO), steps=3)
    kinds = [call[:2] for call in calls]
    assert kinds == [
        ("draw", 0), ("stage", None), ("observed", 0),
        ("draw", 1), ("observed", 1),
        ("draw", 2), ("stage", "stage 1 of 2"), ("observed", 2),
    ]  # fmt: skip
    assert all(call[2] for call in calls if call[0] == "observed")
    assert calls[0][2] == 0
    assert calls[3][2] > 0


class Knows(CurriculumCallback):
    """Keeps something of its own."""

    def state_dict(self):
        return {**super().state_dict(), "known": 1}

    def load_state_dict(self, state_dict):
        super().load_state_dict(state_dict)
        self.known = state_dict["known"]


@pytest.mark.whole
def test_the_heat_map_of_a_resumed_run_is_that_of_the_unbroken_one_also_with_another_class(tmp_path):
    whole, half, rest = CurriculumCallback(), Knows(), CurriculumCallback()
    fit(tmp_path / "whole", whole).save_checkpoint(tmp_path / "whole.ckpt")
    fit(tmp_path / "half", half, steps=2).save_checkpoint(tmp_path / "half.ckpt")
    fit(tmp_path / "rest", rest, ckpt_path=tmp_path / "half.ckpt")
    assert rest.state_dict() == whole.state_dict()
    assert len(rest.state_dict()["history"]) == 4
    torch.save(rest.state_dict(), tmp_path / "state")
    assert torch.load(tmp_path / "state", weights_only=True) == rest.state_dict()
    told = (
        "whole.ckpt holds what 'CurriculumCallback' has seen, and Knows cannot go on from that "
        r"\(KeyError\('known'\)\); go on with --curriculum CurriculumCallback"
    )
    with pytest.raises(RefusedError, match=told):
        fit(tmp_path / "other", Knows(), steps=5, ckpt_path=tmp_path / "whole.ckpt")


def test_a_heat_map_is_blank_where_nothing_was_drawn_and_as_wide_as_it_may_be():
    history = [{step % 3: (2, 1.0)} for step in range(1000)]
    levels, rates = binned(history)
    assert levels == [0, 1, 2]
    assert rates.shape == (3, 120)
    np.testing.assert_allclose(rates, 0.5)
    page = heat_map([{1: (1, 0.0)}, {2: (1, 1.0)}])
    assert (page.dtype, page.ndim, page.shape[2]) == (np.uint8, 3, 3)
    assert len(np.unique(page.reshape(-1, 3), axis=0)) > 10


def test_a_heat_map_every_zero_steps_is_refused():
    with pytest.raises(RefusedError, match=r"heat_map_every_n_steps is 0; it must be >= 1, or null"):
        CurriculumCallback(heat_map_every_n_steps=0)


def blocks(start):
    return [b for b in re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S) if b.startswith(start)]


@pytest.fixture
def written(tmp_path):
    """The folder of the files that the page has a reader write."""
    for text in re.findall(r"^```\w+\n(# \w+\.\w+\n.*?)^```", PAGE, re.M | re.S):
        (tmp_path / text.partition("\n")[0].removeprefix("# ")).write_text(text, encoding="utf-8")
    yield tmp_path
    for name in ("weakest", "watch"):
        sys.modules.pop(f"observer_plugin_{name}", None)


@pytest.mark.whole
def test_the_schedule_and_the_callback_of_the_page_train_from_the_command_line(written, capfd):
    run = written / "run"
    words = [
        *("fit", "--config", "configs/quickstart.yaml", "--run_dir", str(run), "--trainer.max_steps", "2"),
        *("--plugins", f"[{written / 'weakest.py'}, {written / 'watch.py'}]"),
        *("--curriculum", "Watch", "--curriculum.schedule", "Weakest", "--report.export", "false"),
        *("--data.steps_per_epoch", "2", "--data.prompts_per_step", "4", "--model.group_size", "2"),
        *("--data.val.rows", "8", "--data.test.rows", "8", "--model.max_tokens", "8"),
    ]
    assert main(words) == 0
    shown = capfd.readouterr()
    assert re.findall(r"^step (\d): \d+ rows untouched, hardest \d+: \d\.\d\d$", shown.out, re.M) == [
        "0",
        "1",
    ]
    assert "left out" not in shown.err
    saved = yaml.safe_load((run / "config.yaml").read_text())
    assert saved["curriculum"]["class_path"] == "observer_plugin_watch.Watch"
    assert saved["curriculum"]["init_args"]["every"] == 1
    preview = ["curriculum", "preview", "--config", str(run / "config.yaml"), "--output"]
    assert main([*preview, str(written / "p.png")]) == 0
    assert "Weakest" in capfd.readouterr().out
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["callbacks"][
        "CurriculumCallback"
    ]
    assert (state["class"], len(state["history"])) == ("Watch", 2)


def test_the_callback_of_the_page_watches(written, capsys):
    strategies.load_plugin(written / "watch.py")
    watch = sys.modules["observer_plugin_watch"].Watch
    fit(written, watch(schedule=TWO, every=2), steps=3)
    shown = capsys.readouterr().out
    assert re.findall(r"^step (\d): ", shown, re.M) == ["0", "2"]
    assert "from stage 1 of 2 to stage 2 of 2" in shown


@pytest.mark.parametrize("text", re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S))
def test_the_configurations_of_the_page_are_understood(text, written, monkeypatch, capsys):
    quick = str(Path("configs/quickstart.yaml").resolve())
    monkeypatch.chdir(written)
    (written / "schedule.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", quick, "--config", "schedule.yaml", "--print_config"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert "class_path: observer.curriculum.NeuraLadder" in printed
    assert ("class_path: observer_plugin_watch.Watch" in printed) == ("Watch" in text)
