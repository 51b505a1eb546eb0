"""What was checked once is opened again, and anything that differs is checked anew."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from observer.data import Jsonl, LadderDataModule, Message, cache
from observer.data import module as data_module
from observer.data.checked import Entry, stamp
from observer.data.door import NotNowError, refused_rows
from observer.data.estimates import FIELDS
from observer.data.outcome import OUTCOMES, Outcome
from observer.pretrained import PolicySpec, load_processor
from observer.rewards import Limits, Verifier
from observer.rollout import PromptRenderer
from observer.strategies import load_plugin
from observer.types import RefusedError
from written_rows import ROW, written

ROWS = 24
ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """A cache of the test's own that keeps small files too, in batches that are cut more than once."""
    monkeypatch.setenv("OBSERVER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("observer.data.checked.LEAST_ROWS", 10)
    monkeypatch.setattr("observer.data.checked.STORED_ROWS", 8)
    monkeypatch.setattr("observer.data.jsonlines.BATCH_ROWS", 5)


@pytest.fixture
def passes(monkeypatch):
    """Counts how often rows are parsed and checked."""
    made = []
    check = Jsonl._check

    def counted(self):
        made.append(self.path)
        return check(self)

    monkeypatch.setattr("observer.data.jsonlines.JsonLines._check", counted)
    return made


@pytest.fixture
def file(folder, train):
    """Rows with all that a row may have."""
    return written(train, *(_row(number) for number in range(ROWS)))


def _row(number):
    row = ROW | {"id": f"r{number}", "answer": number, "difficulty": number % 9 / 8, "complexity": number}
    if number % 3 == 0:
        row |= {"images": ["a.png", "b.png"][: 1 + number % 2], "topic": {"name": "area", "of": [1, None]}}
    if number % 4 == 0:
        row |= {"source": "maps", "system": "Be brief.", "level": 3}
    if number % 5 == 0:
        row |= {"options": ["no", "yes"], "answer": "B"}
    return row


def plain(rows):
    """All of every row, pictures by what they mean."""
    return [
        {**vars(problem), "pictures": [(p.name, p.size(), p.load().tobytes()) for p in problem.pictures]}
        for problem in rows
    ]


def entries(tmp_path, suffix="rows"):
    return list((tmp_path / "cache" / "rows").glob(f"*.{suffix}"))


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
    good = [_row(number) for number in range(ROWS)]
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
    path = written(train, "{", *(_row(number) for number in range(ROWS)))
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
    monkeypatch.setattr("observer.data.checked.STAMPED", 2)
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


# What is wrong with the cache


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
        outcome = Outcome(rows, renderer, Verifier())
        assert outcome.find() is None
        outcome.keep([])


def test_a_full_disk_leaves_no_half_entry(file, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("observer.data.cache._seal", full)
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
    old, half, others = rows / f"{'a' * 64}.rows", rows / f".{'b' * 64}.rows.12.tmp", rows / "notes.rows"
    for path in (old, half, others):
        path.write_text("")
        os.utime(path, (0, 0))
    Jsonl(file).read()
    assert (old.exists(), half.exists(), others.exists()) == (False, False, True)


# The door


@pytest.fixture
def looked(monkeypatch):
    """Counts how often rows are checked at the door."""
    made = []

    def counted(rows, *rest):
        made.append(len(rows))
        return refused_rows(rows, *rest)

    monkeypatch.setattr(data_module, "refused_rows", counted)
    return made


def admitted(tmp_path, file, renderer, verifier=None, **options):
    module = LadderDataModule(train=Jsonl(file, **options), prompts_per_step=2)
    module.setup("fit")
    module.admit(renderer, verifier or Verifier(), tmp_path)
    return module


def test_the_door_is_passed_once(file, renderer, tmp_path, looked, processor):
    modules = [admitted(tmp_path, file, renderer) for _ in range(2)]
    modules.append(admitted(tmp_path, file, PromptRenderer(processor, system_prompt="", max_tokens=1024)))
    assert looked == [ROWS]
    assert len({module.ladder.fingerprint for module in modules}) == 1


def test_another_prompt_or_limit_is_looked_at_anew_and_both_are_known(
    file, processor, tmp_path, looked, checkpoint
):
    def doors():
        smaller = load_processor(PolicySpec(path=str(checkpoint), max_pixels=14112))
        other = load_processor(PolicySpec(path=str(checkpoint)))
        other.chat_template += " "
        yield PromptRenderer(processor, system_prompt="", max_tokens=1024), None
        yield PromptRenderer(processor, system_prompt="Be brief.", max_tokens=1024), None
        yield PromptRenderer(processor, system_prompt="", max_tokens=1023), None
        yield PromptRenderer(processor, system_prompt="", max_tokens=1024), Verifier(Limits(seconds=4))
        yield PromptRenderer(smaller, system_prompt="", max_tokens=1024), None
        yield PromptRenderer(other, system_prompt="", max_tokens=1024), None

    for renderer, verifier in [*doors(), *doors()]:
        admitted(tmp_path, file, renderer, verifier)
    assert looked == [ROWS] * 6


def test_rows_that_changed_are_looked_at_anew(folder, file, renderer, tmp_path, looked):
    admitted(tmp_path, file, renderer)
    Image.new("RGB", (60, 60), "red").save(folder / "a.png")
    admitted(tmp_path, file, renderer)
    assert len(looked) == 2


def test_refused_rows_are_refused_again_and_skipped_ones_skipped_again(file, processor, tmp_path, looked):
    tight = PromptRenderer(processor, system_prompt="", max_tokens=30)
    messages = set()
    for _ in range(2):
        with pytest.raises(RefusedError) as caught:
            admitted(tmp_path, file, tight)
        messages.add(str(caught.value))
    assert len(messages) == 1
    assert "more than max_prompt_tokens 30" in messages.pop()
    modules = [admitted(tmp_path, file, tight, on_bad_row="skip") for _ in range(2)]
    first, again = ([problem.id for problem in module.rows["train"]] for module in modules)
    assert 0 < len(again) < ROWS
    assert first == again
    assert modules[0].rows["train"].skipped == modules[1].rows["train"].skipped
    assert looked == [ROWS] * 2
    modules[1].admit(tight, Verifier(), tmp_path)  # as a test after a fit does
    modules[1].admit(tight, Verifier(), tmp_path)
    assert looked == [ROWS] * 2 + [len(again)]


def test_an_answer_that_could_not_be_checked_in_time_is_not_held_against_its_row(file, renderer):
    rows = Jsonl(file).read()
    outcome = Outcome(rows, renderer, Verifier())
    outcome.keep([(3, NotNowError("too slow"))])
    assert outcome.find() is None
    outcome.keep([(3, RefusedError("no answer"))])
    ((row, error),) = outcome.find()
    assert (row, str(error)) == (3, "no answer")


def test_a_damaged_outcome_is_looked_at_anew(file, renderer, tmp_path, looked):
    admitted(tmp_path, file, renderer)
    (door,) = entries(tmp_path, "door")
    door.write_bytes(door.read_bytes().replace(b"[]", b"[[0"))
    admitted(tmp_path, file, renderer)
    admitted(tmp_path, file, renderer)
    assert looked == [ROWS] * 2


def test_the_latest_outcomes_are_kept(file, processor, tmp_path):
    rows = Jsonl(file).read()
    outcomes = [
        Outcome(rows, PromptRenderer(processor, "", 100 + number), Verifier())
        for number in range(OUTCOMES + 2)
    ]
    for outcome in outcomes:
        outcome.keep([])
    assert [outcome.find() for outcome in outcomes] == [None] * 2 + [[]] * OUTCOMES
    assert len(entries(tmp_path, "door")) == 1


def test_ranks_look_together_when_one_of_them_does_not_know(file, renderer, tmp_path, looked):
    admitted(tmp_path, file, renderer)

    def with_another(knows):
        module = LadderDataModule(train=Jsonl(file), prompts_per_step=2)

        def broadcast(mine, src):
            return mine if src == 0 or not isinstance(mine, bool) else knows

        module.trainer = SimpleNamespace(
            global_rank=0, world_size=2, strategy=SimpleNamespace(broadcast=broadcast)
        )
        module.setup("fit")
        module.admit(renderer, Verifier(), tmp_path)

    with_another(True)
    assert looked == [ROWS]
    with_another(False)
    assert looked == [ROWS] * 2


@pytest.mark.slow
@pytest.mark.parametrize("pictures", [0, 1000])
def test_a_million_rows_are_opened_again_in_seconds(tmp_path, pictures):
    script = ROOT / "experiments" / "curriculum" / "opening.py"
    words = ["--pictures", str(pictures), "--folder", str(tmp_path), "--trust_door"]
    ran = subprocess.run([sys.executable, script, *words], text=True, capture_output=True, check=True)
    *_, again = (line.strip("| ").split(" | ") for line in ran.stdout.splitlines())
    assert again[:3] == ["1,000,000", f"{pictures:,}", "again"]
    assert float(again[6]) < 15
    assert max(map(float, again[7:])) < 500
