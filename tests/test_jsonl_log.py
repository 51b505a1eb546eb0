import json
import os
from pathlib import Path

import pytest

from full_disk import full_for_files_above
from observer.run.jsonl_log import JsonlLog


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.jsonl"


@pytest.fixture
def log(path):
    log = JsonlLog(path)
    yield log
    log.close()


def test_records_stand_in_the_order_they_were_appended(log, path):
    log.append([{"step": 0, "text": "a"}, {"step": 0, "text": "b"}])
    log.append([{"step": 1, "text": "c"}])
    assert [record["text"] for record in read(path)] == ["a", "b", "c"]


def test_records_are_on_disk_before_the_log_is_closed(log, path):
    log.append([{"step": 0}])
    assert read(path) == [{"step": 0}]


@pytest.mark.parametrize(
    "text", ["日本語 🎲", 'a "quoted"\nline\r\n', "\u2028\x85", "half a pair \ud800", "\0\x07", ""]
)
def test_any_text_is_read_back_as_it_was_and_takes_one_line(log, path, text):
    log.append([{"step": 0, "text": text}])
    assert path.read_bytes().count(b"\n") == 1
    assert json.loads(path.read_bytes())["text"] == text


def test_a_number_that_is_not_finite_does_not_stop_a_run(log, path):
    log.append([{"step": 0, "advantage": float("inf")}])
    assert read(path) == [{"step": 0, "advantage": float("inf")}]


def test_a_record_that_cannot_be_written_takes_none_of_the_others_with_it_to_disk(log, path):
    with pytest.raises(TypeError, match="not JSON serializable"):
        log.append([{"step": 0}, {"step": 0, "text": b"bytes"}])
    assert not path.exists()


def cut_from(log, step):
    """Cut a step and later ones; return how many lines were cut."""
    return log.keep(lambda record: record["step"] < step)


def test_the_folder_is_made(tmp_path):
    log = JsonlLog(tmp_path / "run" / "a" / "log.jsonl")
    log.append([{"step": 0}])
    log.close()
    assert read(tmp_path / "run" / "a" / "log.jsonl") == [{"step": 0}]


def test_a_closed_log_goes_on(log, path):
    log.append([{"step": 0}])
    log.close()
    log.close()
    log.append([{"step": 1}])
    assert read(path) == [{"step": 0}, {"step": 1}]


def test_later_steps_are_cut_and_earlier_ones_kept_byte_by_byte(log, path):
    log.append({"step": step, "text": "日本"} for step in (0, 0, 1, 2, 2, 3))
    before = path.read_bytes().splitlines(keepends=True)
    assert cut_from(log, 2) == 3
    assert path.read_bytes() == b"".join(before[:3])


def test_a_cut_log_takes_new_lines_at_its_end(log, path):
    log.append({"step": step} for step in range(4))
    cut_from(log, 2)
    log.append([{"step": 2, "again": True}])
    assert read(path) == [{"step": 0}, {"step": 1}, {"step": 2, "again": True}]


@pytest.mark.parametrize(
    "torn", [b'{"step": 1, "text": "half', b'{"step": 1, "text": "\xe6\x97', b'{"step": 0}']
)
def test_a_torn_last_line_is_cut_even_when_its_step_is_kept(log, path, torn):
    path.write_bytes(b'{"step": 0}\n' + torn)
    assert cut_from(log, 5) == 1
    assert path.read_bytes() == b'{"step": 0}\n'


@pytest.mark.parametrize(
    "line", ["", "no json", "[0]", "0", '{"text": 1}', '{"step": "0"}', '{"step": null}']
)
def test_a_line_that_is_no_record_is_cut_and_those_around_it_kept(log, path, line):
    path.write_text(f'{{"step": 0}}\n{line}\n{{"step": 1}}\n', encoding="utf-8")
    assert cut_from(log, 2) == 1
    assert read(path) == [{"step": 0}, {"step": 1}]


def test_cutting_from_step_0_empties_a_log_and_makes_one_where_there_is_none(log, path):
    assert cut_from(log, 0) == 0
    assert path.read_bytes() == b""
    log.append([{"step": 0}])
    assert cut_from(log, 0) == 1
    assert path.read_bytes() == b""


def test_a_link_stays_a_link(tmp_path, path):
    target = tmp_path / "elsewhere.jsonl"
    target.write_text('{"step": 0}\n{"step": 1}\n', encoding="utf-8")
    path.symlink_to(target)
    log = JsonlLog(path)
    cut_from(log, 1)
    log.close()
    assert path.is_symlink()
    assert read(target) == [{"step": 0}]


def test_a_kill_while_cutting_leaves_the_old_log(log, path, monkeypatch):
    log.append({"step": step} for step in range(3))
    before = path.read_bytes()

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        cut_from(log, 1)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_what_a_kill_left_beside_the_log_is_in_nobodys_way(log, path):
    log.append({"step": step} for step in range(3))
    left = path.with_name(f".{path.name}.observer-{os.getpid()}-0123abcd-0.tmp")
    others = path.with_name(f"{path.name}.tmp")
    for file in (left, others):
        file.write_text("left over " * 100, encoding="utf-8")
    cut_from(log, 1)
    assert read(path) == [{"step": 0}]
    assert sorted(file.name for file in path.parent.iterdir()) == sorted([path.name, others.name])
    assert others.stat().st_size == 1000


def test_a_write_that_fits_in_part_leaves_nothing_behind(log, path):
    with full_for_files_above(1000):
        log.append([{"step": 0, "text": "a" * 500}])
        before = path.read_bytes()
        with pytest.raises(OSError, match="too large"):
            log.append([{"step": 1, "text": "b" * 300}, {"step": 1, "text": "b" * 300}])
        assert path.read_bytes() == before
        log.append([{"step": 2, "text": "c"}])
        assert [record["step"] for record in read(path)] == [0, 2]


def test_a_cut_that_finds_no_room_leaves_the_log_as_it_was(log, path):
    log.append({"step": step, "text": "a" * 500} for step in range(5))
    before = path.read_bytes()
    with full_for_files_above(1000), pytest.raises(OSError, match="too large"):
        cut_from(log, 4)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_device_that_is_full_says_so_and_is_never_read():
    log = JsonlLog("/dev/full")  # reading it would never end
    assert cut_from(log, 0) == 0
    with pytest.raises(OSError, match="No space left"):
        log.append([{"step": 0}])
    log.close()
