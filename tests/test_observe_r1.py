"""The paper's experiment as one chain: its configurations, what goes on, and all of it with tiles."""

import json

import pytest
import yaml

from experiments.observe_r1 import run
from experiments.observe_r1.table import NOT_RUN, table
from observer.cli import main
from observer.evaluation.intervals import interval_text
from published_tiles import boards, write

SOURCES = ["math_vision", "we_math", "polymath", "scemqa_choice", "scemqa_free", "mathv360k"]
TRAINED_ON = ("math_vision", "we_math")
"""Benchmarks that are sources of the ladder."""


def recipe(name):
    return yaml.safe_load((run.HERE / f"{name}.yaml").read_text(encoding="utf-8"))


def files():
    """The sources and the benchmarks: name -> options of its format."""
    sources = recipe("ladder")["rows"]["init_args"]["sources"]
    benchmarks = recipe("eval")["benchmarks"]
    return [
        {name: each["init_args"] for name, each in sources.items()},
        {name: each["rows"]["init_args"] for name, each in benchmarks.items()},
    ]


def test_the_ladder_leaves_out_the_very_files_that_are_evaluated_but_for_its_own_sources():
    sources, benchmarks = files()
    assert list(sources) == SOURCES
    held_out = [rows for name, rows in benchmarks.items() if name not in TRAINED_ON]
    assert len(benchmarks) == 9
    assert [sources[name] for name in TRAINED_ON] == [benchmarks[name] for name in TRAINED_ON]
    steps = {}
    for name in ("ladder", "tiny/ladder"):
        steps[name] = recipe(name)["steps"]
        [step] = [each for each in steps[name] if "Decontaminate" in str(each)]
        assert [each["init_args"] for each in step["init_args"]["against"]] == held_out
    full, tiny = (
        [each if isinstance(each, str) else each["class_path"] for each in steps[name]] for name in steps
    )
    assert full == tiny


def test_the_steps_have_the_papers_figures():
    steps = {
        each["class_path"]: each["init_args"] for each in recipe("ladder")["steps"] if isinstance(each, dict)
    }
    assert steps["Measure"]["responses"] == 8
    assert (steps["Sample"]["size"], steps["Sample"]["shares"]) == (20000, "paper")
    assert recipe("ladder")["model"]["path"] == run.MODEL["3b"]


@pytest.mark.parametrize("size", run.MODEL)
def test_the_table_of_nothing_says_not_run(size, tmp_path):
    lines = [line for line in table(tmp_path, [size]) if line.startswith("|")]
    assert len(lines) == 2 + 9 + 3
    assert all(line.count(NOT_RUN) == 3 for line in lines[2:])


def test_the_page_shows_the_table_of_what_was_run(tmp_path):
    page = (run.HERE / "README.md").read_text(encoding="utf-8").splitlines()
    lines = [line for line in table(tmp_path, ["3b", "7b"]) if line.startswith("|")]
    start = page.index(lines[0])
    assert page[start : start + len(lines)] == lines


def test_a_run_that_was_killed_goes_on_and_one_that_is_complete_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [(summary, words)] = run.commands("train", "3b")
    assert "--ckpt_path" not in words
    (summary.parent / "checkpoints").mkdir(parents=True)
    (summary.parent / "checkpoints" / "last.ckpt").touch()
    [(_, words)] = run.commands("train", "3b")
    assert words[-2:] == ("--ckpt_path", "last")
    for status in ("running", "interrupted", "complete"):
        summary.write_text(json.dumps({"status": status}))
        assert run.done(summary) == (status == "complete")


@pytest.mark.whole
@pytest.mark.parametrize(("size", "stage"), [*(("3b", stage) for stage in run.STAGES), ("7b", "train")])
def test_the_command_of_each_stage_reads_its_configurations(size, stage, capsys):
    _, words = run.commands(stage, size)[0]
    with pytest.raises(SystemExit) as stop:
        main([*words, "--print_config"])
    assert stop.value.code == 0
    found = yaml.safe_load(capsys.readouterr().out)
    assert found["model"].get("policy", found["model"])["path"] == run.MODEL[size]
    if stage == "train":
        assert found["data"]["train"]["init_args"]["path"] == str(run.RUNS / "ladder")
        assert found["data"]["val"] is None
        assert found["trainer"]["max_steps"] == 2496


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The chain with tiles in all files; the words of the commands that were run, in two runs of it."""
    folder = tmp_path_factory.mktemp("chain")
    sources, benchmarks = files()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("OBSERVER_CACHE", str(folder / "cache"))
        mine = {name: boards("train", 8 * place, 4) for place, name in enumerate(sources)}
        theirs = {name: boards("test", 8 * place, 3) for place, name in enumerate(benchmarks)}
        asked_openly = (board for board in mine["math_vision"] if int(board.answer) % 2)
        leaked = next(asked_openly)
        theirs["geometry3k"].append(leaked)
        for rows, problems in ((benchmarks, theirs), (sources, mine)):
            for name, options in rows.items():
                write(options["path"], options["preset"], problems[name])
        words = []

        def command(given):
            words.append(given)
            return main(list(given))

        assert run.chain(["tiny"], run.STAGES, command) == 0
        first = len(words)
        assert run.chain(["tiny"], run.STAGES, command) == 0
    return folder / run.RUNS, words, first


@pytest.mark.whole
def test_the_chain_runs_each_command_once(ran):
    _, words, first = ran
    assert [each[0] for each in words] == ["ladder", "fit", "evaluate", "evaluate", "compare"]
    assert first == len(words), "what is there is not run again"


@pytest.mark.whole
@pytest.mark.parametrize(
    ("words", "limits"),
    [
        (["ladder", "build", "--config", "ladder.yaml"], [24 * 8 * 32, 24 * 8 * 2048]),
        (["evaluate", "--config", "eval.yaml"], [(3 * 9 + 3 * 7) * 8192, (4 * 9 + 4 * 7) * 8192]),
    ],
    ids=["ladder", "evaluate"],
)
def test_the_full_size_is_planned_without_weights_engine_or_gpu(words, limits, ran, monkeypatch, capsys):
    monkeypatch.chdir(ran[0].parents[1])
    monkeypatch.setenv("OBSERVER_CACHE", "cache")
    *command, name = words
    assert main([*command, str(run.HERE / name), "--output", "runs/planned", "--plan"]) == 0
    printed = capsys.readouterr().out
    assert all(f"{limit:,}" in printed for limit in limits)


@pytest.mark.whole
def test_the_ladder_is_of_all_sources_without_what_a_benchmark_holds(ran):
    folder = ran[0] / "tiny" / "ladder"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["rows"] == 16
    lines = [json.loads(line) for line in (folder / "ladder.jsonl").read_text().splitlines()]
    removed = [json.loads(line) for line in (folder / "removed.jsonl").read_text().splitlines()]
    named = {line["id"].partition("/")[0] for line in (*lines, *removed)}
    assert named == set(SOURCES)
    assert {line["metadata"]["source"] for line in lines} == set(manifest["sources"]) >= {*SOURCES[4:]}
    [leak] = [line for line in removed if line["step"] == "Decontaminate"]
    assert leak["id"].startswith("math_vision/")
    assert "geometry3k" in leak["reason"]


@pytest.mark.whole
def test_the_run_was_trained_on_the_ladder(ran):
    folder = ran[0] / "tiny" / "train"
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["status"], summary["steps"]) == ("complete", 2)
    drawn = {json.loads(line)["id"] for line in (folder / "completions.jsonl").read_text().splitlines()}
    ladder = (ran[0] / "tiny" / "ladder" / "ladder.jsonl").read_text().splitlines()
    assert drawn
    assert drawn <= {json.loads(line)["id"] for line in ladder}


@pytest.mark.whole
def test_the_table_has_what_was_run_and_says_what_was_not(ran):
    _, _, *lines = [line for line in (ran[0] / "table.md").read_text().splitlines() if line[:1] == "|"]
    cells = {title: rest for title, *rest in (line.strip("| ").split(" | ") for line in lines)}
    scores = json.loads((ran[0] / "tiny" / "trained" / "scores.json").read_text())["benchmarks"]
    assert (len(scores), len(cells)) == (9, 12)
    for line in cells.values():
        assert line[:6] == [NOT_RUN] * 6
        assert NOT_RUN not in line[6:]
    assert cells["SuperCLEVR counting"][7] == interval_text(scores["clevr_counting"]["greedy"])
    leaked = scores["math_vision"]["leaks"]["rows"]
    assert cells["MathVision"][7] == f"trained on {len(leaked)} of its 4 rows"
    assert {row["like"].partition("/")[0] for row in leaked} == {"math_vision"}
