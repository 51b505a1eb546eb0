"""The examples of the README run: Python, rows, YAML, plugins. Its commands are in ``test_docs.py``."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from observer.cli import main
from observer.data import Jsonl

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SMALL = [
    *("--trainer.max_steps", "1", "--data.steps_per_epoch", "1", "--data.prompts_per_step", "4"),
    *("--data.val.rows", "8", "--data.test.rows", "8", "--model.group_size", "4"),
]


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands():
    lines = "\n".join(blocks("bash")).replace("\\\n", " ").splitlines()
    found = [line.strip() for line in lines if ".venv/bin/observer " in line and "pip install" not in line]
    return [shlex.split(line)[1:] for line in found]


@pytest.mark.whole
def test_the_python_example_has_at_most_15_lines_and_trains(tmp_path):
    (example,) = [block for block in blocks("python") if "trainer.fit" in block]
    assert len([line for line in example.splitlines() if line.strip()]) <= 15
    example = example.replace("runs/python", str(tmp_path / "run"))
    exec(compile(example, "README.md", "exec"), {})
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "complete"
    assert summary["steps"] == 4
    assert summary["problems"] == 64


def test_the_rows_are_read_as_they_stand(tmp_path):
    (rows,) = blocks("json")
    (tmp_path / "train.jsonl").write_text(rows, encoding="utf-8")
    (tmp_path / "cats").mkdir()
    for name in ("cats/1.png", "a.png", "b.png"):
        Image.new("RGB", (56, 56)).save(tmp_path / name)
    problems = Jsonl(str(tmp_path / "train.jsonl")).read()
    assert [(problem.kind, len(problem.pictures)) for problem in problems] == [("integer", 1), ("choice", 2)]


@pytest.mark.whole
def test_the_strategies_of_ones_own_are_found_and_train(tmp_path):
    (plugin,) = [block for block in blocks("python") if block.startswith("# mine.py")]
    assert len(plugin.splitlines()) <= 40
    (tmp_path / "mine.py").write_text(plugin, encoding="utf-8")
    (words,) = [words for words in commands() if "--plugins" in words]
    words = [word.replace("mine.py", str(tmp_path / "mine.py")) for word in words]
    words[words.index("--run_dir") + 1] = str(tmp_path / "run")
    assert main([*words, *SMALL]) == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "completions.jsonl").read_text().splitlines()]
    group = [line for line in lines if line["id"] == lines[0]["id"]]
    assert all(line["components"]["brief"] == float(line["tokens"] <= 20) for line in group)
    assert all(line["weight"] == pytest.approx(1 - line["pass_rate"]) for line in group)
    median = sorted(line["reward"] for line in group)[(len(group) - 1) // 2]
    for line in group:
        expected = line["weight"] * (line["reward"] - median + line["bonus"])
        assert line["advantage"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.whole
def test_the_schedule_of_ones_own_draws_in_order(tmp_path):
    (plugin,) = [block for block in blocks("python") if block.startswith("# order.py")]
    (tmp_path / "order.py").write_text(plugin, encoding="utf-8")
    words = ["fit", "--config", "configs/quickstart.yaml", "--plugins", f"[{tmp_path / 'order.py'}]"]
    words += ["--run_dir", str(tmp_path / "run"), "--curriculum.schedule", "InOrder", *SMALL]
    assert main(words) == 0
    line = json.loads((tmp_path / "run" / "completions.jsonl").read_text().splitlines()[0])
    assert line["id"] == "tiles-train-0"


def test_continuous_integration_runs_the_test_line_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text()
    pattern = re.search(r"sed -n '(.*?)' README.md", script)
    assert pattern is not None
    found = subprocess.run(
        ["sed", "-n", pattern.group(1), "README.md"], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.splitlines()
    assert len(found) == 1
    assert found[0].endswith(".venv/bin/tox")
    assert found[0] in README.splitlines()


def test_the_two_lines_are_shell():
    lines = [
        line for block in blocks("bash") for line in block.splitlines() if line.startswith("python3 -m venv")
    ]
    assert len(lines) == 2
    for line in lines:
        subprocess.run(["bash", "-n", "-c", line], check=True)
