"""Whatever is wrong with the folder of kept rows costs a pass over the file, and no more."""

import os
import threading
from pathlib import Path

import pytest

from kept_rows import ROWS, entries, plain
from observer.data import Jsonl
from observer.data.checks import cache
from observer.data.checks.admission_cache import AdmissionCache
from observer.data.checks.file_cache import Entry
from observer.verifier import Verifier

pytestmark = pytest.mark.usefixtures("small")


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[:20],
        lambda whole: whole[:-1],
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole + b"\0",
        lambda whole: whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:],
        lambda whole: b"no Arrow at all" * 1000,
    ],
)
def test_a_damaged_entry_is_checked_anew_and_replaced(file, passes, tmp_path, damage):
    first = plain(Jsonl(file).read())
    (entry,) = entries(tmp_path)
    whole = entry.read_bytes()
    entry.unlink()
    entry.write_bytes(damage(whole))
    assert plain(Jsonl(file).read()) == first
    assert len(passes) == 2
    Jsonl(file).read()
    assert len(passes) == 2
    assert entry.read_bytes() == whole


def test_a_whole_file_of_something_else_is_checked_anew(file, passes, tmp_path):
    Jsonl(file).read()
    (entry,) = entries(tmp_path)
    for content in (b"", b"{}", b"x" * 5000):
        cache.write(entry, content)
        assert len(Jsonl(file).read()) == ROWS
    assert len(passes) == 4


def test_a_folder_that_cannot_be_made_costs_nothing_but_the_pass(file, renderer, tmp_path, monkeypatch):
    (tmp_path / "no-folder").write_text("")
    monkeypatch.setenv("OBSERVER_CACHE", str(tmp_path / "no-folder"))
    for _ in range(2):
        rows = Jsonl(file).read()
        assert rows.identity is not None
        outcome = AdmissionCache(rows, renderer, Verifier())
        assert outcome.find() is None
        outcome.keep([])


def test_a_full_disk_leaves_no_half_entry(file, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("observer.data.checks.cache._seal", full)
    assert len(Jsonl(file).read()) == ROWS
    assert list((tmp_path / "cache" / "rows").iterdir()) == []


def test_a_user_without_a_home_can_read_too(file, monkeypatch):
    monkeypatch.delenv("OBSERVER_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert len(Jsonl(file).read()) == ROWS


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"OBSERVER_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/observer"),
        ({"HOME": "/home/me"}, "/home/me/.cache/observer"),
    ],
)
def test_the_folder_is_where_the_environment_says(monkeypatch, variables, folder):
    for name in ("OBSERVER_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache.folder() == Path(folder)


def test_an_entry_that_another_rank_has_written_is_left_in_place(file, tmp_path, monkeypatch):
    Jsonl(file).read()
    (entry,) = entries(tmp_path)
    inode = entry.stat().st_ino
    monkeypatch.setattr(Entry, "find", lambda self, depends: None)  # as if it had not been there yet
    assert Jsonl(file).read()[3].id == "r3"
    assert entry.stat().st_ino == inode


def test_many_at_once_read_the_same(file):
    expected, found = plain(Jsonl(file, keep_checked=False).read()), []
    threads = [threading.Thread(target=lambda: found.append(plain(Jsonl(file).read()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


def test_entries_that_nobody_asks_for_are_removed_and_other_files_are_not(file, tmp_path):
    rows = tmp_path / "cache" / "rows"
    rows.mkdir(parents=True)
    half = rows / f".{'b' * 64}.rows.observer-12-0123abcd-0.tmp"
    old, others = rows / f"{'a' * 64}.rows", rows / "notes.rows"
    for path in (old, half, others):
        path.write_text("")
        os.utime(path, (0, 0))
    Jsonl(file).read()
    assert (old.exists(), half.exists(), others.exists()) == (False, False, True)
