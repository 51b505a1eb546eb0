"""The page of a run's kept completions: what is on it, what it leaves out, and what it refuses."""

import json
import re

import pytest

from browsed import HARM, groups, line, write_run
from observer.browse.pictures import SIDES, page_pictures
from observer.browse.records import FILE, fault_of
from observer.callbacks import completions
from observer.cli import main


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run"


def browsed(run, capfd, *words):
    """Write the page; its text, its groups, its facts, and what the terminal says."""
    assert main(["browse", str(run), *words]) == 0
    page = (run / "browse.html").read_text(encoding="utf-8")
    held = dict(re.findall(r'id="(facts|groups)">(.*?)</script>', page, re.DOTALL))
    return page, json.loads(held["groups"]), json.loads(held["facts"]), capfd.readouterr().out


def refused(capfd, *words):
    assert main(["browse", *map(str, words)]) == 2
    told = capfd.readouterr().err
    assert told.startswith("observer: refused: ")
    return told


def test_every_kept_completion_is_on_the_page_with_its_group_and_its_picture(run, capfd):
    run.mkdir()
    write_run(run, groups(run, 8))
    page, shown, facts, told = browsed(run, capfd)
    assert [group["i"] for group in shown] == [f"row {row}" for row in range(8)]
    assert shown[5]["p"] == [[5, "64 x 64"]]
    assert shown[5]["t"] == [["system", "Be brief."], ["user", "board 5"]]
    kept = line(1, 5, 1)
    parts = ("index", "text", "tokens", "finish_reason", "verdict", "reason", "extracted", "components")
    assert shown[5]["c"][1] == [kept[name] for name in (*parts, "reward", "bonus", "weight", "advantage")]
    assert len(facts["pictures"]) == 8
    assert "8 groups of steps 0 .. 1, 8 pictures" in told
    assert "8 groups of steps 0 .. 1, 8 pictures" in page
    assert page.count("<polyline") == 2 + 1 + 2 + 2, "accuracy, rewards, length, shares"
    assert "http" not in page.replace("http-equiv", "")
    assert completions.FILE == FILE


def test_a_text_with_a_script_stays_a_text_and_comes_back_whole(run, capfd):
    fields = ("id", "text", "question", "answer", "reason", "extracted")
    odd = HARM + "\ud800 \u2028 ]]> <!-- \\u003c "
    hostile = line(0, 0, 0) | dict.fromkeys(fields, odd) | {"components": {HARM: 1.0}}
    hostile |= {
        "prompt": [{"role": HARM, "text": HARM}],
        "pictures": [{"fault": HARM}],
        "reward": float("nan"),
    }
    page, ((shown),), _, _ = browsed(write_run(run, [hostile]), capfd)
    assert len(re.findall("<script", page)) == 3
    assert "<img" not in page
    assert shown["q"] == odd.replace("\ud800", "\N{REPLACEMENT CHARACTER}")
    assert shown["c"][0][8] == "nan"
    assert "unsafe" not in page


def test_files_of_earlier_versions_say_what_they_lack(run, capfd):
    old = {name: line(0, 0, 0)[name] for name in ("step", "id", "index", "text", "verdict")}
    _, (group,), facts, _ = browsed(write_run(run, [old]), capfd)
    assert group["p"] is None
    assert group["t"] is None
    assert group["c"][0][-1] is None
    assert facts["pictures"] == []


def test_damaged_lines_are_named_and_others_shown_also_of_a_run_that_goes_on(run, capfd):
    lines = [json.dumps(line(0, row, 0)) for row in range(5)]
    lines[1] = "{"
    lines[2] = json.dumps(line(0, 2, 0, components={"accuracy": "high"}))
    lines[3] = json.dumps(line(0, 3, 0, pictures=[{"file": "../../secret.png", "size": [1, 1]}]))
    write_run(run, [])
    (run / "completions.jsonl").write_text("\n".join(lines) + '\n{"step": 1, "id": "ro')
    (run / "curve.jsonl").write_text("[\n")
    (run / "summary.json").write_text('{"status": "running"}')
    page, shown, _, told = browsed(run, capfd)
    assert [group["i"] for group in shown] == ["row 0", "row 4"]
    for sentence in (
        "line 2 of completions.jsonl is damaged: it is no JSON object",
        "line 3 of completions.jsonl is damaged: `components` holds 'high'",
        "line 4 of completions.jsonl is damaged: `pictures` holds",
        "line 1 of curve.jsonl is damaged",
        "the last line of completions.jsonl is not whole: the run is still writing",
        "the run is not complete: its status is running",
    ):
        assert sentence in told
        assert sentence.replace("'", "&#39;") in page


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"step": "1"}, "`step` is '1'"),
        ({"index": True}, "`index` is True"),
        ({"verdict": "maybe"}, "`verdict` is 'maybe'"),
        ({"prompt": [{"role": "user"}]}, "`prompt` holds"),
        ({"pictures": [{"file": "pictures/a.png", "size": [1]}]}, "`pictures` holds"),
        ({"pictures": [None, {"fault": "gone"}], "extracted": None, "reward": 1}, ""),
    ],
)
def test_what_is_no_record_of_a_completion_is_told(changed, fault):
    assert fault_of(line(0, 0, 0) | changed).startswith(fault)
    assert bool(fault_of(line(0, 0, 0) | changed)) == bool(fault)


def test_a_page_stays_within_its_limit_and_says_what_it_leaves_out(run, capfd):
    run.mkdir()
    write_run(run, groups(run, 12, size=4, per_step=2, text="long " * 3000, side=160))
    page, shown, facts, told = browsed(run, capfd, "--max_mb", "1")
    assert len(page.encode()) <= 1_000_000
    assert 4 < len(shown) < 12
    assert (shown[0]["i"], shown[-1]["i"]) == ("row 0", "row 11"), "evenly over the run"
    assert f"{12 - len(shown)} of 12 groups are left out, evenly over the steps" in told
    assert "the page may have 1 MB" in told
    assert len(facts["pictures"]) == len(shown)
    assert all(sentence.strip() in page for sentence in told.splitlines()[1:])
    assert len(browsed(run, capfd, "--steps", "3:4", "--max_mb", "1")[1]) == 4


def test_pictures_are_shrunk_until_they_fit_and_those_without_room_are_counted(tmp_path):
    names = [record["pictures"][0]["file"] for record in groups(tmp_path, 3, size=1, side=360)]
    whole = page_pictures(tmp_path, names, 10**9)
    assert (whole.side, len(whole.urls)) == (None, 3)
    total = sum(map(len, whole.urls))
    some = page_pictures(tmp_path, names, int(0.8 * total))
    assert some.side in SIDES
    assert (some.left_out, len(some.urls)) == (0, 3)
    assert sum(map(len, some.urls)) <= 0.8 * total
    few = page_pictures(tmp_path, names, len(some.urls[0]) // 20)
    assert (few.side, few.left_out, few.urls) == (SIDES[-1], 3, [])
    assert set(few.faults.values()) == {"left out: the page is at its limit"}


def test_a_group_that_occurs_again_or_was_kept_in_part_is_one_of_its_own(run, capfd):
    records = [line(0, 0, 0), line(0, 0, 1), line(0, 0, 0), line(0, 1, 3), line(1, 1, 4)]
    _, shown, _, _ = browsed(write_run(run, records), capfd)
    assert [[one[0] for one in group["c"]] for group in shown] == [[0, 1], [0], [3], [4]]


def test_pictures_that_are_gone_or_broken_are_named_in_their_place(run, capfd):
    run.mkdir()
    write_run(run, groups(run, 3))
    first, second, _ = (group["p"][0][0] for group in browsed(run, capfd)[1])
    assert (first, second) == (0, 1)
    names = [one["pictures"][0]["file"] for one in groups(run, 2, size=1)]
    (run / names[0]).unlink()
    (run / names[1]).write_bytes(b"none")
    _, shown, _, told = browsed(run, capfd)
    assert [group["p"][0] for group in shown] == [
        [f"{names[0]} is not there"],
        [f"{names[1]} cannot be read"],
        [0, "64 x 64"],
    ]
    assert "2 pictures are gone from the run or cannot be read" in told


def test_what_is_no_run_is_refused_in_one_line(run, tmp_path, capfd):
    assert "is no directory; name that of a run" in refused(capfd, tmp_path / "nonesuch")
    assert "holds no file completions.jsonl" in refused(capfd, tmp_path)
    write_run(run, [])
    assert "holds no whole line; wait for the first step" in refused(capfd, run)
    write_run(run, [line(3, 0, 0)])
    assert "--steps 5:6: no group of these steps was kept; there are 3:3" in refused(
        capfd, run, "--steps", "5:6"
    )
    for steps in ("6", "6:5", "a:b", "-1:2"):
        assert "write FIRST:LAST" in refused(capfd, run, f"--steps={steps}")
    assert "--max_mb is 0; it must be 1 .. 2000" in refused(capfd, run, "--max_mb", "0")
    assert "--output" in refused(capfd, run, "--output", tmp_path)
    assert not (run / "browse.html").exists()
