"""What was checked once is opened again, and anything that differs is checked anew."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from kept_rows import ROWS, entries, plain, row
from observer.data import Jsonl, Message
from observer.data.checks import cache
from observer.data.checks.file_cache import stamp
from observer.data.estimates import FIELDS
from observer.strategies import load_plugin
from observer.types import RefusedError
from written_rows import ROW, written

pytestmark = pytest.mark.usefixtures("small")


# The same again


def test_what_is_read_again_equals_what_was_read_first_row_by_row(file, passes):
    first, again = Jsonl(file).read(), Jsonl(file).read()
    assert passes == [file]
    plain_rows = Jsonl(file, keep_checked=False).read()
    assert plain(again) == plain(first) == plain(plain_rows)
    for name in ("difficulty", "complexity", "level", "source"):
        np.testing.assert_array_equal(getattr(again, name), getattr(plain_rows, name))
    assert (again.sources, again.skipped) == (plain_rows.sources, plain_rows.skipped)
    assert again.identity == first.identity is not None
    assert plain_rows.identity is None


def test_rows_are_mapped_from_their_entry_already_by_the_pass_that_wrote_it(file, tmp_path):
    before = pa.total_allocated_bytes()
    rows = Jsonl(file).read()
    assert rows.nbytes > 1000
    assert pa.total_allocated_bytes() - before < rows.nbytes / 4
    assert len(entries(tmp_path)) == 1


def test_a_row_can_be_read_after_its_entry_was_replaced_or_removed(file, tmp_path):
    rows = Jsonl(file).read()
    (entry,) = entries(tmp_path)
    entry.unlink()
    assert rows[ROWS - 1].id == f"r{ROWS - 1}"


def test_skipped_rows_are_kept_and_pictures_of_bad_rows_are_looked_at_again(folder, train, passes):
    good = [row(number) for number in range(ROWS)]
    lost = ROW | {"id": "lost", "images": ["missing.png"]}
    path = written(train, "{", *good, ROW | {"id": "r1"}, lost)
    reader = Jsonl(path, on_bad_row="skip")
    first, again = reader.read(), reader.read()
    assert len(passes) == 1
    assert [(row.line, row.id) for row in again.skipped] == [
        (1, "train.jsonl:1"),
        (ROWS + 2, "r1"),
        (ROWS + 3, "lost"),
    ]
    assert again.skipped == first.skipped
    Image.new("RGB", (30, 20)).save(folder / "missing.png")
    assert [row.id for row in reader.read().skipped] == ["train.jsonl:1", "r1"]


def test_a_refused_file_leaves_nothing(folder, train, tmp_path):
    path = written(train, "{", *(row(number) for number in range(ROWS)))
    for _ in range(2):
        with pytest.raises(RefusedError, match=r"train\.jsonl holds 1 bad row"):
            Jsonl(path).read()
    assert entries(tmp_path) == []


def test_few_rows_are_checked_each_time(train, passes, tmp_path):
    path = written(train, *([ROW] * 9))
    assert Jsonl(path).read().identity is None
    Jsonl(path).read()
    assert len(passes) == 2
    assert entries(tmp_path) == []


def test_keeping_can_be_switched_off(file, passes, tmp_path):
    Jsonl(file, keep_checked=False).read()
    Jsonl(file, keep_checked=False).read()
    assert len(passes) == 2
    assert entries(tmp_path) == []


# What differs


def _a_byte(folder, file):
    Path(file).write_bytes(Path(file).read_bytes().replace(b"How many?", b"How manY?", 1))


def _a_picture(folder, file):
    Image.new("RGB", (31, 20), "red").save(folder / "a.png")


def _a_picture_of_the_same_size_and_time(folder, file):
    before = (folder / "a.png").stat()
    bytes_ = bytearray((folder / "a.png").read_bytes())
    bytes_[-1] ^= 1
    (folder / "a.png").write_bytes(bytes_)
    os.utime(folder / "a.png", ns=(before.st_atime_ns, before.st_mtime_ns))


def _a_link(folder, file):
    (folder / "b.png").rename(folder / "c.png")
    (folder / "d.png").write_bytes((folder / "c.png").read_bytes())
    (folder / "b.png").symlink_to("d.png")


@pytest.mark.parametrize("change", [_a_byte, _a_picture, _a_picture_of_the_same_size_and_time, _a_link])
def test_a_change_of_the_file_or_of_a_picture_is_checked_anew_and_then_known(
    folder, file, passes, tmp_path, change
):
    before = Jsonl(file).read().identity
    change(folder, file)
    after = Jsonl(file).read()
    assert len(passes) == 2
    assert (after.identity.place, after.identity != before) == (before.place, True)
    assert plain(after) == plain(Jsonl(file, keep_checked=False).read())
    assert Jsonl(file).read().identity == after.identity
    assert len(passes) == 3  # the one that was switched off
    assert len(entries(tmp_path)) == 1


def test_pictures_are_looked_up_by_several_processes_when_there_are_many(folder, monkeypatch):
    names = ["a.png", "none.png", str(folder / "b.png"), f"file://{folder}/a.png", "\x00", "ü.png"]
    column = pa.chunked_array([names], pa.large_string())
    alone = stamp(column, str(folder))
    monkeypatch.setattr("observer.data.checks.file_cache.STAMPED", 2)
    stamps = [stamp(column, str(folder))]
    (folder / "ü.png").write_bytes(b"")
    stamps.append(stamp(column, str(folder)))
    monkeypatch.setattr(sys, "executable", "/no/such/program")  # it is done without
    stamps.append(stamp(column, str(folder)))
    (folder / "b.png").unlink()
    stamps.append(stamp(column, str(folder)))
    assert stamps[1] == stamps[2]
    assert len({alone, *stamps}) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda picture: picture.unlink(), "is no file"),
        (lambda picture: picture.write_bytes(picture.read_bytes()[:-30]), "is broken"),
    ],
)
def test_a_picture_that_is_gone_or_broken_is_refused_though_it_was_good(folder, file, change, message):
    Jsonl(file).read()
    change(folder / "b.png")
    with pytest.raises(RefusedError, match=message):
        Jsonl(file).read()


def test_a_picture_that_now_leads_out_of_the_folder_is_refused(folder, file, tmp_path_factory):
    Jsonl(file).read()
    outside = tmp_path_factory.mktemp("outside") / "a.png"
    (folder / "a.png").rename(outside)
    (folder / "a.png").symlink_to(outside)
    with pytest.raises(RefusedError, match="out of the data folder"):
        Jsonl(file).read()


def test_a_file_url_that_comes_to_mean_another_file_is_checked_anew(folder, train, passes):
    (folder / "a b.png").write_bytes((folder / "a.png").read_bytes())
    path = written(train, *([ROW | {"images": [f"file://{folder}/a%20b.png"]}] * ROWS))
    Jsonl(path).read()
    (folder / "a%20b.png").write_bytes((folder / "b.png").read_bytes())
    assert Jsonl(path).read()[0].pictures[0].size() == (40, 50)
    assert len(passes) == 2


@pytest.mark.parametrize(
    "options",
    [
        {"max_image_pixels": 10_000},
        {"check_images": "header"},
        {"on_bad_row": "skip"},
        {"images": "."},
    ],
)
def test_other_options_are_another_entry(folder, file, passes, tmp_path, monkeypatch, options):
    monkeypatch.chdir(folder)
    Jsonl(file).read()
    Jsonl(file, **options).read()
    assert len(passes) == 2
    Jsonl(file).read()
    Jsonl(file, **options).read()
    assert len(passes) == 2
    assert len(entries(tmp_path)) == 2


def test_another_format_is_another_entry(folder, train, passes):
    row = {"message": [{"role": "user", "content": "How many?"}], "question": "How few?", "answer": "7"}
    path = written(train, *([row] * ROWS))
    assert (Jsonl(path).read()[0].question, Message(path).read()[0].question) == ("How few?", "How many?")
    assert (Jsonl(path).read()[0].question, Message(path).read()[0].question) == ("How few?", "How many?")
    assert len(passes) == 2


def test_other_estimates_are_checked_anew(file, passes, tmp_path):
    estimates = tmp_path / "estimates.jsonl"
    assert {"id", "difficulty"} < FIELDS
    found = []
    for difficulty in (0.25, 0.75, 0.75):
        estimates.write_text(json.dumps({"id": "r1", "difficulty": difficulty}) + "\n")
        found.append(float(Jsonl(file, difficulty_from=str(estimates)).read().difficulty[1]))
    assert found == [0.25, 0.75, 0.75]
    assert len(passes) == 2
    assert len(entries(tmp_path)) == 1


def test_other_code_is_checked_anew(file, passes, monkeypatch):
    Jsonl(file).read()
    monkeypatch.setattr(cache, "code_digest", lambda *classes: "other")
    Jsonl(file).read()
    assert len(passes) == 2


PLUGIN = """
from dataclasses import dataclass
from observer.data import Jsonl

@dataclass(frozen=True)
class Mine(Jsonl):
    word: str = "How"

    def chat(self, record):
        return super().chat({**record, "question": WORDS + record["question"]})
"""


def test_a_format_of_a_plugin_is_checked_anew_when_its_file_changes(file, passes, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_LOADED", float("inf"))  # as if this process had begun after the edit
    plugin, said = tmp_path / "mine.py", []
    for word in ("And ", "And ", "But then, "):
        plugin.write_text(PLUGIN.replace("WORDS", repr(word)))
        cache._code_digest.cache_clear()
        load_plugin(plugin)
        said.append(sys.modules["observer_plugin_mine"].Mine(file).read()[1].question)
        del sys.modules["observer_plugin_mine"]
    assert said == ["And How many?"] * 2 + ["But then, How many?"]
    assert len(passes) == 2


def test_code_that_was_written_to_since_it_was_loaded_is_not_known(file, passes, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_LOADED", 0.0)
    cache._code_digest.cache_clear()
    Jsonl(file).read()
    assert Jsonl(file).read().identity is None
    cache._code_digest.cache_clear()
    assert len(passes) == 2
    assert entries(tmp_path) == []


@dataclass(frozen=True)
class _Odd(Jsonl):
    choose: object = None


def test_options_that_cannot_be_written_down_are_not_known(file, passes):
    assert _Odd(file, choose=_Odd).read().identity is None
    assert len(passes) == 1


def test_a_file_that_changes_while_it_is_checked_is_not_kept(file, monkeypatch, tmp_path):
    check = Jsonl._check

    def changing(self):
        found = check(self)
        with open(file, "a") as out:
            out.write(json.dumps(ROW) + "\n")
        return found

    monkeypatch.setattr(Jsonl, "_check", changing)
    assert Jsonl(file).read().identity is None
    assert entries(tmp_path) == []
