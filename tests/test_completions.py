import shutil
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from logged_completions import fit, read
from observer.callbacks.completions import Completions, records, telling
from observer.data.tiles.rows import Tiles
from observer.learner import WarmStart
from observer.pages.completions_page import draw_group
from observer.policy import PolicySpec
from observer.run.jsonl_log import JsonlLog
from observer.types import RefusedError, Verdict
from pages import RIGHT, WRONG, make_group, weighed

# Lightning asks torch in a way that torch 2.13 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")


@pytest.fixture(scope="module")
def tiny(checkpoint):
    return PolicySpec(str(checkpoint))


class Keeping(Completions):
    """Keeps the experience of each step as it is after its lines were written, or not."""

    def __init__(self, **options):
        super().__init__(**options)
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, outputs, *rest):
        super().on_train_batch_end(trainer, pl_module, outputs, *rest)
        self.seen.append(outputs["experience"])


@pytest.fixture(scope="module")
def well(tiny, tmp_path_factory):
    """The callback of an unbroken run of three steps, and its folder."""
    callback, folder = Keeping(every_n_steps=1), tmp_path_factory.mktemp("well")
    fit(tiny, folder, callback, steps=3)
    return callback, folder


@pytest.fixture(scope="module")
def _begun(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("begun")
    fit(tiny, folder, Completions(), steps=1)
    return folder


@pytest.fixture
def begun(_begun, tmp_path):
    """The folder of a run of one step, which has a checkpoint to go on from."""
    return shutil.copytree(_begun, tmp_path / "begun")


def images(folder):
    """Return the logged pictures as tag -> {step: RGB picture}."""
    events = EventAccumulator(str(folder), size_guidance={"images": 0}).Reload()
    return {
        tag: {event.step: Image.open(BytesIO(event.encoded_image_string)) for event in events.Images(tag)}
        for tag in events.Tags()["images"]
    }


# JSON lines


def test_every_step_writes_one_line_a_completion_of_its_first_groups(tiny, tmp_path):
    fit(tiny, tmp_path, Completions(groups_per_step=2), steps=2)
    lines = read(tmp_path)
    assert [line["step"] for line in lines] == [0] * 6 + [1] * 6
    assert [line["index"] for line in lines] == [0, 1, 2] * 4
    assert len({line["id"] for line in lines[:6]}) == 2


def test_a_line_says_what_was_asked_answered_and_given():
    [right, wrong, none] = records(weighed(make_group(RIGHT, WRONG, "<observe>", row=1)), step=5)
    problem = Tiles(rows=16).read()[1]
    assert right == {
        "step": 5,
        "id": problem.id,
        "level": 2,
        "question": problem.question,
        "answer": problem.answer,
        "index": 0,
        "text": RIGHT.replace("{answer}", problem.answer),
        "tokens": len(RIGHT.replace("{answer}", problem.answer)),
        "finish_reason": "stop",
        "verdict": "correct",
        "reason": right["reason"],
        "extracted": problem.answer,
        "formatted": True,
        "components": {"accuracy": 1.0, "format": 1.0, "bonus": 1.0},
        "reward": 1.5,  # 1 + 0.5
        "bonus": 0.2,  # of the only one that is right
        "weight": 1.6,
        "pass_rate": 0.333333,
        "advantage": 1.653333,  # weight * (1.5 - (1.5 + 0.5 + 0) / 3 + bonus)
    }
    assert problem.answer in right["reason"]
    assert (wrong["verdict"], wrong["extracted"], wrong["components"]["accuracy"]) == ("wrong", "99", 0.0)
    assert (none["extracted"], none["formatted"]) == (None, False)
    assert "</observe>" in none["reason"]


def test_numbers_of_a_line_are_those_that_enter_the_update_to_six_digits():
    experience = weighed(make_group(RIGHT, WRONG, "<observe>"), make_group(RIGHT, RIGHT, RIGHT))
    advantages = [record["advantage"] for record in records(experience, 0)]
    assert advantages == [round(value, 6) for value in experience.advantages_P_G.flatten().tolist()]
    assert {record["weight"] for record in records(experience, 0)} == {
        round(value, 6) for value in experience.weights_P_G.flatten().tolist()
    }
    assert advantages[0] > 0 > advantages[2]


def test_a_component_that_does_not_apply_is_null_in_a_line_and_a_dash_on_a_page():
    experience = weighed(make_group(RIGHT, WRONG))
    right, wrong = experience.scores[0]
    absent = replace(right, components={**right.components, "format": None})
    lines = records(replace(experience, scores=((absent, wrong),)), 0)
    assert [line["components"]["format"] for line in lines] == [None, 1.0]
    pages = [
        draw_group(experience.groups[0], [score, wrong], [1.0, -1.0], [1.0, 1.0]) for score in (absent, right)
    ]
    assert pages[0].size == pages[1].size
    assert not np.array_equal(*map(np.asarray, pages))


def test_weights_that_differ_within_a_group_are_written_by_completion_and_shown_from_least_to_most():
    experience = weighed(make_group(RIGHT, WRONG))
    weights = torch.tensor([[0.5, 1.5]], dtype=torch.float64)
    lines = records(replace(experience, weights_P_G=weights), 0)
    assert [line["weight"] for line in lines] == [0.5, 1.5]
    group, scores = experience.groups[0], experience.scores[0]
    wide, equal = (draw_group(group, scores, [1.0, -1.0], own) for own in ([0.5, 1.5], [0.5, 0.5]))
    assert not np.array_equal(np.asarray(wide), np.asarray(equal))


def test_all_groups_are_written_when_no_number_is_given():
    experience = weighed(*(make_group(RIGHT, row=row) for row in range(11)))
    assert len(list(records(experience, 0, None))) == 11
    assert len(list(records(experience, 0, 8))) == 8
    assert list(records(experience, 0, 0)) == []


def test_a_fresh_run_starts_an_empty_file(tiny, tmp_path):
    (tmp_path / "completions.jsonl").write_text('{"step": 0, "text": "of another run"}\n')
    fit(tiny, tmp_path, Completions(), steps=1)
    assert len(read(tmp_path)) == 9
    assert "another run" not in (tmp_path / "completions.jsonl").read_text()


def test_the_file_of_a_killed_and_resumed_run_is_that_of_an_unbroken_one(tiny, well, begun):
    fit(tiny, begun, Completions(), steps=2, checkpoint=begun / "1.ckpt")
    with (begun / "completions.jsonl").open("ab") as file:  # killed in the middle of its line
        file.write(b'{"step": 2, "id": "til')
    fit(tiny, begun, Completions(), steps=3, checkpoint=begun / "1.ckpt")
    _, unbroken = well
    assert (begun / "completions.jsonl").read_bytes() == (unbroken / "completions.jsonl").read_bytes()
    kept, others = (
        {path.name: path.read_bytes() for path in (run / "pictures").iterdir()} for run in (begun, unbroken)
    )
    assert kept == others


def test_a_full_disk_is_told_once_and_changes_nothing_of_the_training(tiny, well, tmp_path):
    (tmp_path / "completions.jsonl").symlink_to("/dev/full")
    callback = Completions()
    with pytest.warns(UserWarning, match=r"completions\.jsonl") as warned:
        fit(tiny, tmp_path, callback, steps=3)
    assert callback.lost == 3 * 9
    told, total = (str(warning.message) for warning in warned if "completions" in str(warning.message))
    assert "cannot be written: [Errno 28] No space left on device" in told
    assert "27 lines are lost" in total
    weights = [torch.load(folder / "3.ckpt")["state_dict"] for folder in (well[1], tmp_path)]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def test_a_log_that_cannot_be_opened_is_told_and_its_lines_are_counted(tiny, tmp_path):
    (tmp_path / "completions.jsonl").mkdir()
    callback = Completions()
    with pytest.warns(UserWarning, match=r"completions\.jsonl") as warned:
        fit(tiny, tmp_path, callback, steps=2)
    assert any("cannot be written: [Errno 21] Is a directory" in str(warning.message) for warning in warned)
    assert callback.lost == 2 * 9


def same_worth(seen, others):
    """Whether steps gave the same scores, rewards and advantages."""
    return len(seen) == len(others) and all(
        mine.scores == theirs.scores
        and torch.equal(mine.rewards_P_G, theirs.rewards_P_G)
        and torch.equal(mine.advantages_P_G, theirs.advantages_P_G)
        for mine, theirs in zip(seen, others, strict=True)
    )


def test_a_write_that_fails_changes_no_reward_and_shifts_no_line(tiny, well, tmp_path, monkeypatch):
    class FullForAStep(JsonlLog):
        def append(self, lines):
            if lines[0]["step"] == 1:
                raise OSError(28, "No space left on device")
            super().append(lines)

    (unbroken, whole), failing = well, Keeping()
    monkeypatch.setattr("observer.callbacks.step_log.JsonlLog", FullForAStep)
    with pytest.warns(UserWarning, match="completions") as warned:
        fit(tiny, tmp_path, failing, steps=3)
    assert same_worth(unbroken.seen, failing.seen)
    assert read(tmp_path) == [line for line in read(whole) if line["step"] != 1]
    told = [str(warning.message) for warning in warned if "completions" in str(warning.message)]
    assert ["cannot be written" in text for text in told] == [True, False]
    assert "9 lines are lost" in told[1]


@pytest.mark.parametrize(("what", "written"), [("add_scalar", 2), ("add_image", 2)])
def test_a_tensorboard_that_cannot_be_written_stops_the_run_and_no_step_is_lost(
    tiny, well, begun, what, written
):
    (unbroken, whole), failing, resumed = well, Keeping(every_n_steps=1), Keeping(every_n_steps=1)
    board = TensorBoardLogger(begun, name="", version="board")
    setattr(board.experiment, what, full_disk)
    with pytest.raises((OSError, ValueError)) as caught:
        fit(tiny, begun, failing, steps=3, logger=board, checkpoint=begun / "1.ckpt")
    # Lightning wraps what a scalar's writer raises.
    assert "No space left on device" in f"{caught.value} {caught.value.__cause__}"
    known = len(read(begun))
    assert read(begun) == read(whole)[:known]
    assert known == written * 9  # the lines of a step come before its pictures and its curves
    fit(tiny, begun, resumed, steps=3, checkpoint=begun / "1.ckpt")
    assert same_worth(unbroken.seen[1:], resumed.seen)
    assert read(begun) == read(whole)


def full_disk(*_, **__):
    raise OSError(28, "No space left on device")


def test_unverifiable_completions_are_written_of_all_groups():
    experience = weighed(make_group(RIGHT, WRONG), make_group(RIGHT, WRONG, row=1))
    late = replace(experience.scores[1][0], verdict=Verdict.UNVERIFIABLE, reason="timed out after 5 s")
    experience = replace(experience, scores=(experience.scores[0], (late, experience.scores[1][1])))
    assert [(line["id"], line["index"]) for line in records(experience, 0, 1)][2:] == [
        (experience.groups[1].problem.id, 0)
    ]
    assert [(line["verdict"], line["reason"]) for line in records(experience, 0, 0)] == [
        ("unverifiable", "timed out after 5 s")
    ]


def test_nothing_is_lost_in_a_run_that_goes_well(well):
    assert well[0].lost == 0


def test_a_cold_start_has_no_completions_to_log(tiny, tmp_path):
    logger = TensorBoardLogger(tmp_path, name="", version="board")
    fit(tiny, tmp_path, Completions(), steps=1, logger=logger, learner=WarmStart(policy=tiny, max_tokens=64))
    assert read(tmp_path) == []
    assert images(tmp_path / "board") == {}


# Pictures in TensorBoard


def test_pictures_are_drawn_at_step_0_and_at_every_nth_beside_the_curves(tiny, tmp_path):
    logger = TensorBoardLogger(tmp_path, name="", version="board")
    fit(tiny, tmp_path, Completions(every_n_steps=2, pictures_per_step=2), steps=3, logger=logger)
    drawn = images(tmp_path / "board")
    assert sorted(drawn) == ["zoom_completions/0", "zoom_completions/1"]
    assert all(list(steps) == [0, 2] for steps in drawn.values())
    curve = EventAccumulator(str(tmp_path / "board")).Reload().Scalars("train/reward")
    assert [event.step for event in curve] == [0, 1, 2]


def test_a_logged_picture_is_the_page_of_its_group(tiny, tmp_path):
    callback = Keeping(pictures_per_step=1, completions_per_picture=2)
    fit(tiny, tmp_path, callback, steps=1, logger=TensorBoardLogger(tmp_path, name="", version="board"))
    (seen,) = callback.seen
    advantages_G, weights_G = seen.advantages_P_G[0].tolist(), seen.weights_P_G[0].tolist()
    page = draw_group(seen.groups[0], seen.scores[0], advantages_G, weights_G, most=2)
    logged = images(tmp_path / "board")["zoom_completions/0"][0]
    assert logged.size == page.size
    assert np.array_equal(np.asarray(logged), np.asarray(page))


def test_nothing_is_drawn_without_a_tensorboard_logger(tiny, tmp_path):
    fit(tiny, tmp_path, Completions(), steps=1, logger=CSVLogger(tmp_path, name="", version="csv"))
    assert not list(tmp_path.rglob("events.out*"))
    assert len(read(tmp_path)) == 9


def test_groups_with_right_and_wrong_completions_are_drawn_first():
    groups = [
        make_group(*texts) for texts in ((WRONG, WRONG), (RIGHT, WRONG), (RIGHT, RIGHT), (WRONG, RIGHT))
    ]
    assert telling(weighed(*groups)) == [1, 3, 0, 2]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("groups_per_step", -1),
        ("every_n_steps", 0),
        ("pictures_per_step", -1),
        ("completions_per_picture", 0),
        ("picture_side", 15),
    ],
)
def test_a_number_out_of_range_is_refused(option, value):
    with pytest.raises(RefusedError, match=rf"{option} is {value}; it must be >= {value + 1}"):
        Completions(**{option: value})
