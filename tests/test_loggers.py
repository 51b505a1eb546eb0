"""What loggers are given: options once, one call per step, names that all take, pictures and tables."""

import csv
import re
from itertools import pairwise
from pathlib import Path

import pytest
from lightning.pytorch.loggers import CSVLogger, Logger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2

import runs
from observer.callbacks import Components
from observer.cli.board import Board
from observer.curriculum import Random
from observer.objective import Uniform
from observer.refusal import RefusedError
from observer.rewards import Accuracy, Format
from observer.rollout import ScriptedEngine
from observer.run.loggers import outlives, show_picture, tell_lost_calls
from observer.run.names import curve_name

PAGE = (Path(__file__).parents[1] / "docs" / "runs.md").read_text(encoding="utf-8")
STEPS = 4


class Plain(Logger):
    """A user's own logger: the two methods that Lightning asks for, and what they were given."""

    name, version = "plain", 0

    def __init__(self):
        super().__init__()
        self.options, self.calls = [], []

    def log_hyperparams(self, params):
        self.options.append((dict(params), len(self.calls)))

    def log_metrics(self, metrics, step=None):
        self.calls.append((step, dict(metrics)))


class Gallery(Plain):
    """Also takes pictures, tables and text, as W&B's logger does."""

    def __init__(self):
        super().__init__()
        self.pictures, self.tables, self.texts = [], [], []

    def log_image(self, key, images, step=None):
        self.pictures.append((key, images, step))

    def log_table(self, key, columns=None, data=None, dataframe=None, step=None):
        self.tables.append((key, columns, data, step))

    def log_text(self, key, columns=None, data=None, dataframe=None, step=None):
        self.texts.append((key, data, step))


def fit(folder, loggers, steps=STEPS, learner=None, data=None, **options):
    engine = ScriptedEngine(runs.MIXED)
    learner = learner or runs.learner(
        rewards={"accuracy": Accuracy(), "form ~ of it": Format()}, weighting=Uniform(), engine=engine
    )
    trainer = runs.trainer(
        folder, steps, Random(), [Components()], logger=loggers, **{"log_every_n_steps": 1, **options}
    )
    trainer.fit(learner, datamodule=data or runs.data_module())
    return trainer


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run with four loggers."""
    folder = tmp_path_factory.mktemp("run")
    plain, gallery, table, board = Plain(), Gallery(), CSVLogger(folder, name="", version=""), Board(folder)
    trainer = fit(folder, [plain, gallery, table, board])
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    events.Reload()
    return {"folder": folder, "plain": plain, "gallery": gallery, "events": events, "trainer": trainer}


def test_a_step_is_one_call_and_so_is_a_validation(run):
    told = [(step, {name.partition("/")[0] for name in figures}) for step, figures in run["plain"].calls]
    training = [step for step, groups in told if "train" in groups]
    assert training == list(range(STEPS))
    assert [step for step, groups in told if "val" in groups] == [1, 3]
    assert [step for step, groups in told if groups == {"test"}] == [0, STEPS]
    assert len(told) == STEPS + 2 + 2
    assert all(len(groups) > 5 for _, groups in told if "train" in groups)


def test_a_table_has_one_row_per_step_and_loses_none(run):
    with (run["folder"] / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    trained = [row for row in rows if row["train/reward"]]
    assert [int(row["step"]) for row in trained] == list(range(STEPS))
    assert [
        (step, figures["train/reward"]) for step, figures in run["plain"].calls if "train/reward" in figures
    ] == [(int(row["step"]), pytest.approx(float(row["train/reward"]))) for row in trained]
    assert len(rows) == len(run["plain"].calls)


def test_names_are_such_that_every_logger_takes_them(run):
    names = {name for _, figures in run["plain"].calls for name in figures}
    assert "zoom_component/form_of_it/mean" in names
    assert "zoom_correlation/accuracy/form_of_it" in names
    assert [name for name in names if not re.fullmatch(r"[\w.-]+(/[\w.-]+)+", name)] == []


def test_what_a_run_is_watched_by_sorts_to_the_top_and_fits_on_one_page(run):
    names = sorted({name for _, figures in run["plain"].calls for name in figures})
    groups = list(dict.fromkeys(name.partition("/")[0] for name in names))
    assert groups[:3] == ["test", "train", "val"]
    assert all(group == "val_level" or group.startswith("zoom_") for group in groups[3:])
    tags = run["events"].Tags()
    assert all(tag.startswith("zoom_") for tag in tags["images"])
    for group in groups[:3]:
        assert sum(name.startswith(f"{group}/") for name in names) <= 12


def test_nothing_is_logged_that_is_the_same_by_construction(run):
    names = {name for _, figures in run["plain"].calls for name in figures}
    assert "epoch" not in names
    assert "hp_metric" not in run["events"].Tags()["scalars"]
    assert (
        not {"zoom_rollout/weight", "zoom_update/clip_share", "val/problems"} & names
    )  # Uniform, one update
    assert not [name for name in names if name.endswith("/applies")]
    again = {name for name in names if name.startswith("zoom_component/reward/mean")}
    assert not again


def test_every_curve_is_on_the_page_and_every_one_on_the_page_is_known(run):
    names = {name for _, figures in run["plain"].calls for name in figures}
    section = PAGE.partition("## What is logged")[2].partition("\n## ")[0]
    listed = set(re.findall(r"`((?:train|val|val_level|test|zoom_\w+)/[^`]*)`", section))
    patterns = {re.sub(r"<\w+>", lambda _: r"[^/]+", name): name for name in listed}
    assert [name for name in sorted(names) if not any(re.fullmatch(p, name) for p in patterns)] == []
    rare = {"train/kl", "zoom_update/clip_share", "zoom_rollout/weight", "zoom_rollout/resampled"}
    rare |= {"zoom_update/correction_weight", "zoom_update/correction_cut", "zoom_component/<name>/applies"}
    rare |= {"zoom_completions/<n>", "zoom_completions/table", "zoom_curriculum/stage"}
    rare |= {"zoom_curriculum/pass_rates", "zoom_audit/<condition>"}
    missing = [
        name
        for pattern, name in patterns.items()
        if name not in rare
        and not name.startswith("zoom_mismatch/")  # of engines with weights of their own
        and not any(re.fullmatch(pattern, logged) for logged in names)
    ]
    assert missing == []


def test_options_are_sent_once_before_any_step(run):
    for logger in (run["plain"], run["gallery"]):
        ((options, calls_before),) = logger.options
        assert calls_before == 1, "after the figures from before training"
        assert options["model.weighting"].startswith("Uniform(")
        assert options["model.sampling.max_tokens"] == 48
        assert options["data.prompts_per_step"] == 4
        assert options["curriculum.schedule"].startswith("Random(")
        assert all(isinstance(value, str | int | float) for value in options.values())
    session = run["events"].SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    shown = plugin_data_pb2.HParamsPluginData.FromString(session).session_start_info.hparams
    assert shown["model.weighting"].string_value.startswith("Uniform(")


def test_the_first_page_has_the_main_curves_and_only_those_that_there_are(run):
    (event,) = run["events"].Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    charts = {chart.title: list(chart.multiline.tag) for chart in layout.category[0].chart}
    assert charts["held-out accuracy"] == ["^val/accuracy$", "^val/sampled_accuracy$"]
    assert next(iter(charts)) == "reward"
    assert "KL" not in charts
    scalars = run["events"].Tags()["scalars"]
    for tags in charts.values():
        assert all(any(re.match(tag, name) for name in scalars) for tag in tags)


def test_pictures_and_tables_go_to_every_logger_that_takes_them(run):
    gallery = run["gallery"]
    drawn = {key for key, _, _ in gallery.pictures}
    assert (
        drawn
        == set(run["events"].Tags()["images"])
        == {*(f"zoom_completions/{number}" for number in range(4)), "zoom_curriculum/pass_rates"}
    )
    ((key, columns, rows, step),) = gallery.tables
    assert (key, step, columns[0]) == ("zoom_completions/table", 0, "picture")
    assert len(rows) == 16
    assert all(isinstance(row[0], Image.Image) and len(row) == len(columns) for row in rows)
    assert {row[columns.index("verdict")] for row in rows} == {"correct", "wrong"}


def test_what_lightning_shows_of_the_last_step_is_there(run):
    trainer, (_, last) = run["trainer"], run["plain"].calls[-3]
    assert float(trainer.logged_metrics["train/reward"]) == pytest.approx(last["train/reward"])
    assert float(trainer.callback_metrics["val/accuracy"]) >= 0
    assert float(trainer.callback_metrics["zoom_curriculum/level"]) >= 1


class Failing(Plain):
    """Fails at the calls whose numbers it is given."""

    def __init__(self, *at):
        super().__init__()
        self.at = at

    def log_metrics(self, metrics, step=None):
        super().log_metrics(metrics, step)
        if len(self.calls) in self.at:
            raise ConnectionError("the server is gone")


def test_a_logger_that_stops_working_is_outlived_and_asked_again():
    logger, well = Failing(2, 3), []

    def calls():
        for number in range(4):
            with outlives(logger, f"the figures of step {number}"):
                logger.log_metrics({"x": 1.0}, number)
                well.append(number)
        tell_lost_calls([logger])
        tell_lost_calls([logger])

    with pytest.warns(UserWarning, match="Failing") as told:
        calls()
    assert well == [0, 3]
    at_once, at_the_end = [str(one.message) for one in told]
    assert "failed at the figures of step 1: ConnectionError('the server is gone')" in at_once
    assert "has lost 2 calls" in at_the_end


def test_a_logger_that_never_worked_ends_the_run_by_its_name():
    logger = Failing(1)
    with (
        pytest.raises(RuntimeError, match=r"the logger Failing failed at step 0.*--trainer.logger"),
        outlives(logger, "step 0"),
    ):
        logger.log_metrics({}, 0)


def test_a_logger_without_pictures_is_asked_for_none():
    plain = Plain()
    show_picture([plain], "zoom_completions/0", Image.new("RGB", (2, 2)), 0)
    assert not plain.calls


@pytest.mark.parametrize("every", [0, 2])
def test_figures_are_logged_as_often_as_the_trainer_logs(tmp_path, every):
    plain = Plain()
    fit(tmp_path, plain, 3, data=runs.data_module(val=None, test=None), log_every_n_steps=every)
    assert [step for step, _ in plain.calls] == ([1] if every else [])


def test_rewards_whose_curves_would_have_one_name_are_refused():
    with pytest.raises(RefusedError, match=r"rewards: 'a b' and 'a_b' would both be logged as a_b"):
        runs.learner(rewards={"a b": Accuracy(), "a_b": Format()})


def test_names_of_curves():
    assert [curve_name(name) for name in ("准确", "a/b", "x.y-z_1")] == ["准确", "a_b", "x.y-z_1"]
    assert all(one <= other for one, other in pairwise(["test", "train", "val", "val_level", "zoom_a"]))
