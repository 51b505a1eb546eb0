"""Rows that are checked lie on the disk once there are many, and in memory where there is no room."""

import pyarrow as pa
import pytest

from full_disk import full_for_files_above
from observer.data import Jsonl
from observer.data.checks import spool
from observer.data.checks.spool import Spool
from written_rows import ROW, written


def batch(number):
    return pa.record_batch({"number": pa.array([number] * 10), "text": pa.array(["x" * 100] * 10)})


@pytest.mark.parametrize("in_memory", [0, 25, 1000])
def test_batches_come_back_in_their_order_and_no_file_is_left(tmp_path, monkeypatch, in_memory):
    monkeypatch.setenv("OBSERVER_CACHE", str(tmp_path))
    monkeypatch.setattr(spool, "ROWS_IN_MEMORY", in_memory)
    held = Spool()
    for number in range(9):
        held.add(batch(number))
    assert any((tmp_path / "rows").glob("*")) == (in_memory < 1000)
    assert [one["number"][0].as_py() for one in held] == list(range(9))
    assert list(tmp_path.rglob("*.spool")) == []


def test_what_a_full_disk_does_not_take_stays_in_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("OBSERVER_CACHE", str(tmp_path))
    monkeypatch.setattr(spool, "ROWS_IN_MEMORY", 0)
    held = Spool()
    with full_for_files_above(8000):
        for number in range(30):
            held.add(batch(number))
        found = held.batches()
    assert [one["number"][9].as_py() for one in found] == list(range(30))


@pytest.mark.parametrize("keep_checked", [False, True])
def test_rows_are_the_same_from_the_disk_and_from_memory(folder, train, monkeypatch, keep_checked):
    rows = [ROW | {"id": f"r{n}", "answer": str(n), "images": ["a.png"] * (n % 3)} for n in range(60)]
    rows[7] = ROW | {"id": "r3"}
    form = Jsonl(written(train, *rows), on_bad_row="skip", keep_checked=keep_checked)
    whole = form.read()
    monkeypatch.setattr("observer.data.formats.row_file.BATCH_ROWS", 8)
    monkeypatch.setattr(spool, "ROWS_IN_MEMORY", 10)
    again = form.read()
    assert again.fingerprints().tolist() == whole.fingerprints().tolist()
    assert again.skipped == whole.skipped
    assert "its id is taken by line 4" in str(again.skipped[0])
    assert [problem.answer for problem in again] == [problem.answer for problem in whole]
