"""A run that goes on notices rows that are not those it was drawn from, and says which."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from admitting import admitted
from observer.data import Jsonl, Message, Tiles
from observer.data.rows import RowFormat, Rows
from observer.types import Picture, Problem, RefusedError, Turn
from tables import holds_for

ROWS = 24
PLAIN = {"question": "How many?", "answer": "7", "metadata": {"topic": {"of": [1, 2]}, "source": "maps"}}
CHANGES = {
    "the question": {"question": "How many are there?"},
    "a blank of the question": {"question": "How many ?"},
    "the system prompt": {"system": "Be brief."},
    "the answer": {"answer": "8"},
    "how the answer is written": {"answer": "7.0"},
    "its kind": {"kind": "number"},
    "its options": {"options": ["six", "seven"], "answer": "B"},
    "the text of an option": {"options": ["six", "eight"], "answer": "B"},
    "the id": {"id": "another"},
    "the metadata": {"metadata": {"topic": {"of": [1, 3]}, "source": "maps"}},
    "the type of metadata": {"metadata": {"topic": {"of": [1, "2"]}, "source": "maps"}},
    "a field beside the metadata": {"hint": "Count."},
    "a picture": {"images": ["b.png"]},
    "the number of pictures": {"images": ["a.png", "a.png"]},
}


@pytest.fixture
def write(tmp_path):
    """Factory of files: rows of one difficulty; every third with a picture; some rows changed."""
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        Image.new("RGB", (84, 56), colour).save(tmp_path / name)

    def file(changed=None, name="train.jsonl", rows=ROWS):
        records = [
            PLAIN | {"id": f"r{row}"} | ({"images": ["a.png"]} if row % 3 == 0 else {}) for row in range(rows)
        ]
        for row, change in (changed or {}).items():
            records[row] |= change
        (tmp_path / name).write_text("".join(json.dumps(record) + "\n" for record in records))
        return str(tmp_path / name)

    return file


@pytest.fixture
def resume(renderer, tmp_path):
    """Save a run's state, change something, and load the state in a new data module; return that."""

    def go_on(options, change, **allowed):
        old = admitted(renderer, tmp_path, **options())
        old.finish_step(old.draw(0), [0.5] * 4)
        state = old.state_dict()
        change()
        new = admitted(renderer, tmp_path, **options(), **allowed)
        new.load_state_dict(state)
        return new

    return go_on


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kept", [False, True])
def test_whatever_is_changed_in_a_row_is_noticed_and_the_row_is_named(write, resume, small, change, kept):
    path = write({5: {"options": ["six", "seven"], "answer": "B"}} if "text of" in change else None)

    def options():
        return {"train": Jsonl(path, keep_checked=kept)}

    with pytest.raises(RefusedError) as caught:
        resume(options, lambda: write({5: CHANGES[change]}))
    told = str(caught.value)
    name = CHANGES[change].get("id", "r5")
    assert "cannot resume: data.train holds other rows than the checkpoint was made with: 1 of 24" in told
    assert f"the first is row 5, which is now '{name}' of {path}:6" in told
    assert "; bring the rows back, or set data.allow_other_draws" in told


@pytest.mark.parametrize("check", ["decode", "header"])
def test_a_picture_of_the_same_name_and_another_size_is_noticed(write, resume, tmp_path, check):
    path = write()
    with pytest.raises(RefusedError, match=r"8 of 24 differ .* the first is row 0, which is now 'r0'"):
        resume(
            lambda: {"train": Jsonl(path, check_images=check)},
            lambda: Image.new("RGB", (56, 84), "red").save(tmp_path / "a.png"),
        )


@pytest.mark.parametrize("kept", [False, True])
def test_a_picture_of_the_same_name_size_and_times_is_noticed_by_its_content(
    write, resume, small, tmp_path, kept
):
    path, picture = write(), tmp_path / "a.png"
    times = picture.stat()

    def change():
        Image.new("RGB", (84, 56), "lime").save(picture)
        os.utime(picture, ns=(times.st_atime_ns, times.st_mtime_ns))

    with pytest.raises(RefusedError, match="8 of 24 differ"):
        resume(lambda: {"train": Jsonl(path, keep_checked=kept)}, change)


def test_rows_that_are_the_same_go_on_whether_they_were_kept_read_anew_or_touched(
    write, resume, small, tmp_path
):
    path, kept = write(), iter([True, False])

    def touch():
        write()
        (tmp_path / "a.png").touch()

    new = resume(lambda: {"train": Jsonl(path, keep_checked=next(kept))}, touch)
    assert new.step == 1
    assert len(new.index.seen[0]) == 4


def test_rows_in_another_order_are_named_so(write, resume, tmp_path):
    path = write()
    lines = (tmp_path / "train.jsonl").read_text().splitlines()
    lines[1], lines[2] = lines[2], lines[1]

    def swap():
        (tmp_path / "train.jsonl").write_text("\n".join(lines))

    with pytest.raises(RefusedError, match=r"data.train holds the checkpoint's 24 rows in another order"):
        resume(lambda: {"train": Jsonl(path)}, swap)


def test_other_rows_are_gone_on_with_where_that_is_allowed_and_what_was_seen_of_them_is_forgotten(
    write, resume, caplog
):
    path = write()
    new = resume(
        lambda: {"train": Jsonl(path)},
        lambda: write({row: {"answer": "9"} for row in range(1, 23)}),
        allow_other_draws=True,
    )
    assert (new.step, len(new.index.seen[0])) == (1, 0)
    assert "rows differ from here on: data.train" in caplog.text
    assert "22 of 24 differ" in caplog.text
    assert "the first is row 1, which is now 'r1'" in caplog.text


def test_more_rows_are_refused_with_both_numbers_and_the_first_of_them(write, resume):
    path = write()
    with pytest.raises(
        RefusedError, match=r"rows 24, this run has 30; .*6 of 30 differ .* row 24, which is now"
    ):
        resume(lambda: {"train": Jsonl(path), "steps_per_epoch": 2}, lambda: write(rows=30))


def test_fewer_rows_are_refused_with_the_first_that_is_gone(write, resume):
    path = write()
    with pytest.raises(
        RefusedError, match=r"rows 24, this run has 20; .*4 of 24 differ .* row 20, which is gone"
    ):
        resume(lambda: {"train": Jsonl(path), "steps_per_epoch": 2}, lambda: write(rows=20))


@pytest.mark.parametrize("split", ["val", "test"])
def test_other_held_out_rows_are_noticed_too(write, resume, split):
    """The best checkpoint and the figures before training were measured on the former ones."""
    path = write(name="held_out.jsonl")
    with pytest.raises(RefusedError, match=rf"data.{split} holds other rows .* 1 of 24 .* row 7"):
        resume(
            lambda: {"train": Tiles(rows=8), split: Jsonl(path)},
            lambda: write({7: {"answer": "1"}}, name="held_out.jsonl"),
        )


def test_another_message_is_noticed(resume, tmp_path):
    path = tmp_path / "train.jsonl"

    def write(last):
        turns = [
            [{"role": "user", "content": f"What is {row} + {last if row == 3 else 1}?"}] for row in range(8)
        ]
        path.write_text("".join(json.dumps({"message": turn, "answer": "7"}) + "\n" for turn in turns))

    write(1)
    with pytest.raises(RefusedError, match=rf"1 of 8 .* row 3, which is now 'train.jsonl:4' of {path}:4"):
        resume(lambda: {"train": Message(str(path))}, lambda: write(2))


def test_fingerprints_that_are_lost_or_damaged_do_not_hide_that_rows_are_others(write, resume, tmp_path):
    path = write()

    def change():
        write({5: {"answer": "1"}})
        (kept,) = (tmp_path / "rows").iterdir()
        kept.write_bytes(kept.read_bytes()[:-1] + b"\0")

    with pytest.raises(RefusedError, match=r"data.train holds other rows .*which is not known, as .*train-"):
        resume(lambda: {"train": Jsonl(path)}, change)


def test_a_checkpoint_of_an_earlier_version_goes_on_and_says_that_rows_are_not_compared(
    write, renderer, tmp_path, caplog
):
    old, new = (admitted(renderer, tmp_path, train=Jsonl(write())) for _ in range(2))
    old.finish_step(old.draw(0), [0.5] * 4)
    state = old.state_dict()
    del state["fingerprints"]
    new.load_state_dict(state)
    assert new.step == 1
    assert caplog.text.count("rows are not compared") == 1


def test_rows_that_are_left_out_have_no_fingerprint_and_the_others_keep_theirs(write, renderer, tmp_path):
    def prints(**changed):
        module = admitted(renderer, tmp_path, train=Jsonl(write(changed.get("rows")), on_bad_row="skip"))
        return module.rows["train"].fingerprints().tolist()

    whole = prints()
    assert len(set(whole)) == ROWS
    assert prints(rows={3: {"answer": "nobody knows", "kind": "integer"}}) == whole[:3] + whole[4:]
    assert prints(rows={9: {"question": "How many? " * 2000}}) == whole[:9] + whole[10:]


@holds_for(
    "other",
    [{"split": "val"}, {"picture": "wrong"}, {"picture": "blank"}, {"axes": "chain_and_perception"}],
)
def test_every_board_has_its_own_fingerprint_and_no_other_option_has_the_same(other):
    own, others = (Tiles(rows=4096, **options).read().fingerprints() for options in ({}, other))
    assert len(set(own.tolist()) | set(others.tolist())) == 2 * 4096
    assert np.array_equal(Tiles(rows=64).read().fingerprints(), own[:64])


class Given(Rows):
    """A source of somebody else's."""

    def __init__(self, answers):
        self.answers = answers
        self.difficulty = self.complexity = np.zeros(len(answers), np.float32)
        self.level = np.zeros(len(answers), np.int64)

    def __len__(self):
        return len(self.answers)

    def __getitem__(self, row):
        picture = Picture(f"p{row}", size=lambda: (28, 28), load=lambda: Image.new("RGB", (28, 28)))
        turns = (Turn("user", "<image>How many?"),)
        return Problem(f"g{row}", row, turns, self.answers[row], "integer", pictures=(picture,))

    def checked_rows(self):
        return range(len(self))


def test_rows_of_a_source_of_ones_own_are_compared_too(resume):
    class Source(RowFormat):
        answers = ["1"] * 8

        def read(self):
            return Given(self.answers)

    def change():
        Source.answers = ["1"] * 7 + ["2"]

    with pytest.raises(RefusedError, match=r"1 of 8 .* row 7, which is now 'g7'"):
        resume(lambda: {"train": Source()}, change)
