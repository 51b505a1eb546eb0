"""``observer ablate plan | run`` with real fits, and what they read of a run and of a probe."""

import json
import re
from pathlib import Path

import pytest
import yaml

from observer.ablation.configured import differences, refusals, refuse_changed
from observer.ablation.grid import read_grid
from observer.ablation.plan import cost, hours
from observer.ablation.probe import Probe, starts
from observer.ablation.testable import Groups, verdict
from observer.cli import main
from observer.cli.app import fit_options
from observer.types import RefusedError
from scoring import ROOT

TINY = {
    "trainer.max_steps": 2,
    "data.prompts_per_step": 4,
    "data.steps_per_epoch": 2,
    "data.val.rows": 8,
    "data.test.rows": 16,
    "report.export": False,
}
PLUGIN = """
import os
from dataclasses import dataclass

from observer.rewards import Reward


@dataclass(frozen=True)
class Crashes(Reward):
    weight: float = 0.1

    def __call__(self, group, scores, step):
        raise ValueError("no such luck")


@dataclass(frozen=True)
class Swells(Reward):
    weight: float = 0.1

    def __call__(self, group, scores, step):
        os.kill(os.getpid(), 9)
"""


@pytest.fixture
def grid_file(tmp_path, in_the_repository):
    """Writes a grid file of tiny runs; a grid may be given as a text."""

    def write(given, seeds=(0,)):
        content = yaml.safe_load(given) if isinstance(given, str) else given
        content = {"base": "quickstart", **content, "seeds": list(seeds), "common": TINY}
        file = tmp_path / "some.yaml"
        file.write_text(yaml.safe_dump(content, sort_keys=False))
        return file

    return write


@pytest.fixture
def parse():
    return fit_options


# What is there already, and what the grid says of it


@pytest.mark.whole
def test_a_run_with_other_options_than_the_grid_gives_is_refused_with_what_differs(
    grid_file, parse, tmp_path
):
    before = read_grid(
        grid_file({"variants": {"a": {}, "b": {"model.kl": "K3", "model.kl.coefficient": 0.1}}})
    )
    for run in before.runs(tmp_path / "out"):
        run.folder.mkdir(parents=True)
        file = run.folder / "config.yaml"
        file.write_text(yaml.safe_dump(parse(run.words)))
    refuse_changed(before.runs(tmp_path / "out"), parse)
    older = yaml.safe_load(file.read_text())
    del older["model"]["correction"], older["model"]["screen"]
    file.write_text(yaml.safe_dump(older))
    refuse_changed(before.runs(tmp_path / "out"), parse)
    variants = {"a": {}, "b": {"model.kl": "K3", "model.kl.coefficient": 0.2}, "more": {"model.kl": "K3"}}
    with pytest.raises(
        RefusedError, match=r"b seed 0 .* model.kl.coefficient was 0.1, is 0.2. Set them back"
    ):
        refuse_changed(read_grid(grid_file({"variants": variants})).runs(tmp_path / "out"), parse)
    variants["b"]["model.kl.coefficient"] = 0.1
    more = read_grid(grid_file({"variants": variants, "contrasts": {"c": "a - b"}}, seeds=(0, 1)))
    refuse_changed(more.runs(tmp_path / "out"), parse)


def test_an_option_that_is_newer_than_a_run_counts_where_it_is_not_its_default(grid_file, tmp_path):
    def parse(words):
        [file] = [word for word in words if word.endswith("config.yaml")] or [None]
        model = {"newer": None if file else newer, "a": 1}
        return {"model": model | (yaml.safe_load(Path(file).read_text())["model"] if file else {})}

    [run] = read_grid(grid_file({"variants": {"a": {}}}, seeds=(0,))).runs(tmp_path / "out")
    run.folder.mkdir(parents=True)
    (run.folder / "config.yaml").write_text("model: {a: 1, gone: 2}")
    newer = 3
    with pytest.raises(RefusedError, match=r"model\.newer was None, is 3; model\.gone was 2, is None\. Set"):
        refuse_changed([run], parse)
    (run.folder / "config.yaml").write_text("model: {a: 1}")
    with pytest.raises(RefusedError, match=r"other options: model\.newer was None, is 3\. Set"):
        refuse_changed([run], parse)
    newer = None
    refuse_changed([run], parse)


def test_differences_are_told_of_added_and_removed_options():
    was = {"model": {"rewards": {"a": {"class_path": "A", "init_args": {"w": 1}}}}, "ckpt_path": None}
    now = {"model": {"rewards": {"a": {"class_path": "A", "init_args": {"w": 1}}, "b": {"class_path": "B"}}}}
    assert list(differences(was, now)) == ["model.rewards.b.class_path was None, is 'B'"]


def test_a_variant_that_the_parser_refuses_is_named_and_the_others_are_not(grid_file, parse, tmp_path):
    grid = read_grid(
        grid_file({"variants": {"good": {}, "bad": {"model.weighting": "Unifrom"}, "b": {"x": 1}}})
    )
    found = refusals(grid, tmp_path, parse)
    assert found.keys() == {"bad", "b"}
    assert re.fullmatch("refused: .*Unifrom; Near Unifrom: Uniform", found["bad"])


# What a probe shows


def records(*groups):
    """Groups as (weight, [(verdict is correct, tokens, bonus)])."""
    return [
        {
            "index": index,
            "verdict": "correct" if right else "wrong",
            "tokens": tokens,
            "formatted": True,
            "components": {"bonus": bonus, "format": 1.0, "own": float(tokens)},
            "weight": weight,
            "pass_rate": sum(right for right, *_ in group) / len(group),
            "advantage": float(right) if 0 < sum(right for right, *_ in group) < len(group) else 0.0,
        }
        for weight, group in groups
        for index, (right, tokens, bonus) in enumerate(group)
    ]


MIXED = records((1.5, [(1, 30, 0), (1, 34, 0), (0, 30, 0)]), (1.0, [(1, 30, 0), (0, 30, 0), (0, 30, 0)]))
ALIKE = records((1.0, [(1, 30, 0), (1, 30, 0)]), (1.0, [(1, 30, 0), (1, 30, 0)]))
CLASSES = {"bonus": "observer.rewards.Bonus", "format": "observer.rewards.Format", "own": "mine.Own"}


@pytest.mark.parametrize(
    ("option", "mixed", "alike"),
    [
        (
            "model.rewards.bonus.weight",
            "right responses differ in length in 50% of groups",
            "in 0% of groups",
        ),
        ("model.rewards.own.weight", "reward own varies in 50% of groups", "own varies in 0% of groups"),
        ("model.weighting", "weights of groups with signal differ by 0.25", "differ by 0.00"),
        ("curriculum.schedule", "pass rates differ by 0.17", "pass rates differ by 0.00"),
    ],
)
def test_an_axis_without_spread_is_not_testable_here(option, mixed, alike):
    told = verdict([option], Groups(MIXED), CLASSES)
    assert mixed in told
    assert "not testable" not in told
    told = verdict([option], Groups(ALIKE), CLASSES)
    assert told.startswith("not testable here: ")
    assert alike in told


def test_of_other_options_nothing_is_said():
    for options in (["model.kl"], ["model.rewards.absent.weight"], []):
        assert verdict(options, Groups(MIXED), CLASSES) == "nothing can be said beforehand"
    assert verdict(["model.rewards.format.weight"], Groups(MIXED), CLASSES) == (
        "not testable here: format varies in 0% of groups, 100.0% are in the format"
    )
    assert Groups(MIXED).signal().told == "100% of 2 groups have signal"


def test_each_distinct_start_is_probed_with_the_variant_that_has_most_on(grid_file, tmp_path):
    file = grid_file({"axes": {"a": {"off": {"x": 1}, "on": {}}}, "variants": {"b": {"x": 2}}})
    text = file.read_text().replace("seeds:\n- 0\n", "seeds: {0: {}, 1: {}, 5: {model.policy.path: p}}\n")
    file.write_text(text)
    assert starts(read_grid(file)) == [("all", 0), ("all", 5)]
    assert starts(read_grid(file), refused={"all"}) == [("none", 0), ("none", 5)]


def test_the_cost_counts_rollouts_validations_and_measurements_of_what_is_left(grid_file, parse, tmp_path):
    after_alone = {"trainer.max_steps": 100, "report.measure_before": False}
    grid = read_grid(grid_file({"variants": {"a": {}, "b": after_alone}}, seeds=(0, 1)))
    done = grid.runs(tmp_path / "out")[0].folder
    done.mkdir(parents=True)
    (done / "summary.json").write_text(json.dumps({"status": "complete", "steps": 2, "planned_steps": 2}))
    probe = Probe(grid.runs()[0], step=10.0, validation=2.0, test=5.0, start=20.0, records=[])
    (line,) = cost(grid, tmp_path / "out", 3, [probe], parse)
    seconds = (20 + 2 * 10 + 1 * 2 + 2 * 5) + 2 * (20 + 100 * 10 + 50 * 2 + 5)
    assert line.startswith(f"left: 202 rollouts, {hours(seconds)} of processes one after the other, ")
    assert f"{hours(seconds / 3)} with --jobs 3" in line


# Real fits


@pytest.mark.slow
def test_a_plan_times_a_step_and_says_what_can_be_shown(grid_file, tmp_path, capsys):
    axes = {"bonus": {"off": {"model.rewards.bonus.weight": 0}, "on": {}}}
    file = grid_file({"axes": axes, "contrasts": {"bonus": {"effect": "bonus"}}}, seeds=(0, 1))
    assert main(["ablate", "plan", str(file), "--jobs", "2", "--output", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    assert "some: 4 runs, 0 done, 4 left" in told
    assert "primary contrast bonus: +1 all -1 none" in told
    assert re.search(
        r"probe of all seed 0: \d+\.\d\d s per rollout, .* per validation, .* of 12 groups have", told
    )
    assert re.search(r"axis bonus: .*right responses differ in length in \d+% of groups", told)
    assert re.search(r"left: 8 rollouts, .* with --jobs 2", told)
    assert not (tmp_path / "out").exists(), "a plan leaves nothing behind"


@pytest.mark.slow
def test_variants_that_fail_are_reported_and_the_rest_completes(grid_file, tmp_path, capfd):
    (tmp_path / "fails.py").write_text(PLUGIN)
    plugins = {"plugins": [str(tmp_path / "fails.py")]}
    variants = {
        "unknown": {"model.weighting": "Unifrom"},
        "bad": {"model.weighting": "Quadratic", "model.weighting.sigma": -1},
        "crash": {**plugins, "model.rewards.own": "Crashes"},
        "memory": {**plugins, "model.rewards.own": "Swells"},
        "good": {},
    }
    words = ["ablate", "run", str(grid_file({"variants": variants})), "--output", str(tmp_path / "out")]
    assert main([*words, "--jobs", "2"]) == 1
    told = capfd.readouterr().out
    assert "failed: unknown seed 0: refused: " in told
    assert "failed: bad seed 0: exit code 2: refused: Quadratic.sigma is -1" in told
    assert "failed: crash seed 0: exit code 1: RuntimeError: reward own, row tiles-test-0, step -1: " in told
    assert "failed: memory seed 0: exit code 137, killed, as happens when memory runs out" in told
    assert "4 of 5 runs are not complete" in told
    assert json.loads((tmp_path / "out/good/seed-0/summary.json").read_text())["status"] == "complete"


@pytest.mark.slow
def test_a_user_runs_a_reward_of_their_own_as_one_more_variant_by_the_readme_alone(
    tmp_path, monkeypatch, capfd
):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w+\n(# (\w+\.\w+)\n.*?)^```", readme, re.MULTILINE | re.DOTALL)
    for text, name in blocks:
        (tmp_path / name).write_text(text)
    (command,) = re.findall(r"^\.venv/bin/observer (ablate run .*)$", readme, re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    text = (tmp_path / "ablation.yaml").read_text()  # as it is, but for two seeds of two small steps
    small = yaml.safe_dump({"common": TINY})
    (tmp_path / "ablation.yaml").write_text(text.replace("[0, 1, 2, 3, 4]", "[0, 1]") + small)
    assert main(command.split()) == 0
    for seed in (0, 1):
        folder = Path(f"runs/ablation/brief/seed-{seed}")
        lines = [json.loads(line) for line in (folder / "completions.jsonl").read_text().splitlines()]
        assert all(line["components"]["brief"] == float(line["tokens"] <= 20) for line in lines)
    rows = {
        (variant, seed): (Path("runs/ablation") / variant / f"seed-{seed}" / "before.json").read_text()
        for variant in ("quadratic", "uniform", "brief")
        for seed in (0, 1)
    }
    assert rows["brief", 1] == rows["quadratic", 1] == rows["uniform", 1], "the start is theirs in common"
    capfd.readouterr()
    assert main(command.split()) == 0
    assert "6 runs, 6 done, 0 to run" in capfd.readouterr().out
