"""The page on the architecture: its examples run, and what it names is there."""

import json
import re
import sys
from pathlib import Path

import runs
from observer.cli import main
from structure import FLOORS, GROUND, rooms

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def block(begin):
    (found,) = [
        text for text in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if text.startswith(begin)
    ]
    return found


def test_a_subclass_that_overrides_one_method_replaces_one_stage(tmp_path, monkeypatch):
    (tmp_path / "stages.py").write_text(block("# stages.py"), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(ROOT)
    words = ["fit", "--config", "configs/quickstart.yaml", "--learner", "stages.NothingForTruncated"]
    words += ["--run_dir", str(tmp_path / "run"), "--trainer.max_steps", "1", "--data.prompts_per_step", "8"]
    words += ["--model.max_tokens", "30", "--data.test", "null", "--data.val.rows", "8"]
    assert main(words) == 0
    del sys.modules["stages"]
    lines = [json.loads(line) for line in (tmp_path / "run" / "completions.jsonl").read_text().splitlines()]
    cut = [line for line in lines if line["finish_reason"] == "length"]
    assert 0 < len(cut) < len(lines)
    assert {line["reward"] for line in cut} == {0.0}
    assert {line["reward"] for line in lines} > {0.0}


def test_problems_are_answered_without_training(capsys):
    example = block("from observer.answering").replace("observer/data/tiles/checkpoint", runs.CHECKPOINT)
    exec(compile(example, "docs/architecture.md", "exec"), {})
    assert sorted(set(json.loads(capsys.readouterr().out.replace("T", "t").replace("F", "f")))) == [
        False,
        True,
    ]


def test_every_room_is_in_the_table_and_every_floor_as_the_imports_are():
    assert sorted(re.findall(r"^\| `(\w+)/` \|", PAGE, re.MULTILINE)) == rooms()
    (line,) = re.findall(r"^`types` < .*?`cli`$", PAGE, re.MULTILINE | re.DOTALL)
    assert [floor.strip(" `\n").split() for floor in line.split("<")] == [FLOORS[0][1:], *FLOORS[1:]]
    assert all(f"`{name}`" in PAGE for name in GROUND)


def test_every_test_that_the_page_names_is_there():
    named = re.findall(r"`(tests/[\w/]+\.py)`", PAGE)
    assert len(named) > 15
    assert [name for name in named if not (ROOT / name).is_file()] == []
