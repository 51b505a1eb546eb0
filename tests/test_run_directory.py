import errno
import json
import os
import subprocess

import pytest

from observer.run.directory import claim
from observer.run.files import WriteError, causes, write_folder, write_json, writing
from observer.types import RefusedError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_fresh_directory_is_made_and_locked(tmp_path):
    run_dir = tmp_path / "runs" / "a"
    assert claim(run_dir, resume=False) == run_dir
    assert claim(str(run_dir), resume=False) == run_dir
    assert names(run_dir) == [".lock"]


def test_a_directory_of_other_things_may_be_claimed(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    claim(tmp_path, resume=False)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("mark", "text"),
    [
        ("summary.json", '{"status": "complete", "steps": 0}'),
        ("summary.json", '{"status": "failed", "steps": 3}'),
        ("summary.json", "none of ours"),
        ("completions.jsonl", '{"step": 0}\n'),
    ],
)
def test_a_used_directory_is_refused_unless_it_is_resumed(tmp_path, mark, text):
    (tmp_path / mark).write_text(text)
    with pytest.raises(RefusedError) as caught:
        claim(tmp_path, resume=False)
    assert f"run_dir {str(tmp_path)!r} holds a run already ({mark})" in str(caught.value)
    assert "no checkpoint yet: remove it" in str(caught.value)
    (tmp_path / mark).unlink()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    with pytest.raises(RefusedError, match="resume it with --ckpt_path last"):
        claim(tmp_path, resume=False)
    assert claim(tmp_path, resume=True) == tmp_path


@pytest.mark.parametrize("status", [None, "running", "interrupted", "failed"])
def test_a_run_that_was_stopped_before_its_first_checkpoint_is_started_again(tmp_path, status):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "completions.jsonl").touch()
    if status is not None:
        write_json(tmp_path / "summary.json", {"status": status, "steps": 0})
    assert claim(tmp_path, resume=False) == tmp_path


def unfinished(path, process):
    """The name under which an earlier process was writing a file or folder."""
    return path.with_name(f".{path.name}.observer-{process}-0123abcd-0.tmp")


def test_what_a_killed_process_was_writing_is_removed_and_nothing_else(tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    (tmp_path / "checkpoints").mkdir()
    kept = [tmp_path / "notes.tmp", tmp_path / ".hidden.tmp", tmp_path / "checkpoints" / "last.ckpt"]
    kept += [tmp_path / f".summary.json.{dead.pid}.tmp", tmp_path / ".observer-1.tmp"]
    for path in kept:
        path.touch()
    for name in ("summary.json", "before.json", "checkpoints/last.ckpt", "checkpoints/previous.ckpt"):
        unfinished(tmp_path / name, dead.pid).touch()
    for name in ("export", "export.old"):
        unfinished(tmp_path / name, dead.pid).mkdir()
        (unfinished(tmp_path / name, dead.pid) / "model.safetensors").touch()
    claim(tmp_path, resume=True)
    left = {path for path in tmp_path.rglob("*") if path.is_file() or path.suffix == ".tmp"}
    assert left == {*kept, tmp_path / ".lock"}


@pytest.mark.parametrize("resume", [True, False])
def test_what_others_have_written_stays_whatever_it_is_called(tmp_path, resume):
    theirs = [tmp_path / ".mine.1234.tmp" / "thesis.txt", tmp_path / "checkpoints" / ".x.1.tmp" / "a"]
    theirs += [tmp_path / "completions.jsonl.tmp", tmp_path / ".export.old.77.tmp" / "b"]
    for path in theirs:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("years of work")
    claim(tmp_path, resume)
    write_folder(tmp_path / "export", lambda folder: (folder / "a.txt").write_text("1"))
    assert [path.read_text() for path in theirs] == ["years of work"] * 4


def test_a_link_that_is_called_like_an_unfinished_folder_goes_and_what_it_leads_to_stays(tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "a.txt").write_text("1")
    link = unfinished(tmp_path / "run" / "export", 1)
    link.parent.mkdir()
    link.symlink_to(tmp_path / "theirs")
    claim(tmp_path / "run", resume=False)
    assert names(tmp_path / "run") == [".lock"]
    assert (tmp_path / "theirs" / "a.txt").read_text() == "1"


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("name", ["export", "config.yaml", "before.json"])
def test_a_directory_where_a_run_would_replace_what_others_have_written_is_refused(tmp_path, name, resume):
    (tmp_path / name).write_text("mine")
    with pytest.raises(RefusedError, match=rf"holds {name}, which no run has written and this one would"):
        claim(tmp_path, resume)
    assert (tmp_path / name).read_text() == "mine"
    assert names(tmp_path) == [name]


def test_what_a_run_has_written_before_its_first_step_is_in_nobodys_way(tmp_path):
    claim(tmp_path, resume=False)
    (tmp_path / "config.yaml").touch()
    (tmp_path / "before.json").touch()
    assert claim(tmp_path, resume=False) == tmp_path


@pytest.mark.parametrize("resume", [True, False])
def test_a_directory_that_cannot_be_written_is_refused_with_the_reason(tmp_path, resume):
    (tmp_path / "file").write_text("I am no folder")
    for run_dir, reason in (
        (tmp_path / "file" / "run", "Not a directory"),
        (tmp_path / "file", "it is a file"),
        (tmp_path / ("x" * 300), "File name too long"),
    ):
        with pytest.raises(
            RefusedError, match=r"cannot be written: .*; choose another with --run_dir"
        ) as caught:
            claim(run_dir, resume)
        assert str(run_dir) in str(caught.value)
        assert reason in str(caught.value)
    assert (tmp_path / "file").read_text() == "I am no folder"


def test_json_is_replaced_in_one_go(tmp_path):
    path = tmp_path / "summary.json"
    write_json(path, {"status": "running", "é": [1, None]})
    with path.open() as reader:  # who reads while it is replaced reads the old one to its end
        write_json(path, {"status": "complete"})
        assert json.load(reader) == {"status": "running", "é": [1, None]}
    assert json.loads(path.read_text()) == {"status": "complete"}
    assert names(tmp_path) == ["summary.json"]


def test_json_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "summary.json"
    write_json(path, {"status": "running"})
    with pytest.raises(TypeError):
        write_json(path, {"status": "complete", "figures": object()})
    assert json.loads(path.read_text()) == {"status": "running"}


def test_a_folder_is_made_with_its_parents_and_replaced_as_a_whole(tmp_path):
    path = tmp_path / "run" / "export"
    write_folder(path, lambda folder: (folder / "old.txt").write_text("1"))
    write_folder(path, lambda folder: (folder / "new.txt").write_text("2"))
    assert names(path) == ["new.txt"]
    assert names(path.parent) == ["export"]
    assert path.stat().st_mode & 0o777 == 0o755


def test_a_folder_that_a_killed_process_of_the_same_number_had_begun_is_written_anew(tmp_path):
    path = tmp_path / "export"
    path.mkdir()
    for name in ("export", "export.old"):
        unfinished(tmp_path / name, os.getpid()).mkdir()
        (unfinished(tmp_path / name, os.getpid()) / "half.txt").touch()
    write_folder(path, lambda folder: (folder / "new.txt").write_text("1"))
    assert names(path) == ["new.txt"]
    assert names(tmp_path) == ["export"]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_folder_that_was_not_filled_leaves_the_old_one_and_nothing_beside_it(tmp_path, failure):
    path = tmp_path / "export"
    write_folder(path, lambda folder: (folder / "a.txt").write_text("1"))

    def fill(folder):
        assert folder.parent == path.parent  # the same disk, so that renaming is one step
        (folder / "a.txt").write_text("half")
        raise failure

    with pytest.raises(failure):
        write_folder(path, fill)
    assert (path / "a.txt").read_text() == "1"
    assert names(tmp_path) == ["export"]


def test_a_first_folder_that_was_not_filled_is_not_there(tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_folder(tmp_path / "export", lambda folder: 1 / 0)
    assert names(tmp_path) == []


def test_a_full_disk_is_told_with_the_file_also_by_what_a_library_makes_of_it(tmp_path):
    for error in (
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("I/O error: No space left on device (os error 28)"),  # as safetensors says it
    ):
        with pytest.raises(WriteError, match=f"{tmp_path}/export cannot be written: No space left on device"):
            write_folder(tmp_path / "export", lambda folder, error=error: failing(error))
    assert names(tmp_path) == []


def failing(error):
    try:
        raise error
    except Exception as cause:
        raise ValueError("what a library says") from cause


def test_an_error_that_is_raised_again_while_it_is_handled_is_looked_at_once():
    """As TensorBoard's on a full disk: a search for the first cause went on until memory was full."""
    kept = OSError(errno.ENOSPC, "No space left on device")

    def fail():
        try:
            with writing("tensorboard"):
                raise kept
        except WriteError:
            raise kept  # noqa: B904

    with pytest.raises(OSError) as caught:
        fail()
    assert [type(cause) for cause in causes(caught.value)] == [OSError, WriteError]


def test_other_failures_are_not_taken_for_the_disk(tmp_path):
    for error in (ValueError("4"), FileNotFoundError(errno.ENOENT, "No such file"), RefusedError("no")):
        with pytest.raises(type(error)), writing(tmp_path):
            raise error
