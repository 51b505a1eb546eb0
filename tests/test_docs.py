"""Every example of the pages is run, or parsed by the parser of its command."""

import json
import re
import shlex
import sys
from collections import Counter
from itertools import dropwhile
from pathlib import Path
from statistics import fmean

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from jsonargparse import ArgumentParser

from documented import PAGES, ROOT, blocks, file_of, parsed, spans, told
from observer.ablation.grid import read_grid
from observer.cli import main
from observer.curriculum import DrawRequest, NeuraLadder, Schedule, Shuffled
from observer.data import Jsonl, RowFormat
from observer.objective import Permuted, Quadratic, Uniform, Weighting
from observer.rollout import TransformersEngine
from observer.types import Verdict
from published import verl
from tables import holds_for

QUICK = ("fit", "--config", "configs/quickstart.yaml")
TRL = "def brevity(completions, **columns):\n    return [-len(text) for text in completions]\n"
OWN = {"layers", "lines", "mine", "order", "short", "weakest", "stages", "watch", "my_rewards"}
"""Modules that the pages tell a reader to write."""


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """The folder of a reader who has put each example of the pages into the file that it names."""
    folder = tmp_path / "reader"
    folder.mkdir()
    for name in ("configs", "experiments", "observer"):
        (folder / name).symlink_to(ROOT / name)
    for page in PAGES:
        for block in blocks(page):
            if file_of(block):
                (folder / file_of(block)).write_text(block, encoding="utf-8")
    (rows,), (completions,) = blocks("README.md", "json"), blocks("README.md", "jsonl")
    for name, text in (("train", rows), ("heldout", rows), ("rows", completions)):
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    (folder / "my_rewards.py").write_text(TRL)
    (folder / "learned.jsonl").write_text("")
    (folder / "commands.txt").write_text(f"observer none\nobserver {' '.join(QUICK)} --run_dir=runs/some\n")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    for module in [name for name in sys.modules if name.removeprefix("observer_plugin_") in OWN]:
        monkeypatch.delitem(sys.modules, module)  # of another test's reader
    yield folder
    for module in [name for name in sys.modules if name.removeprefix("observer_plugin_") in OWN]:
        del sys.modules[module]


SHELL = [(page, block) for page in PAGES for block in blocks(page, "bash")]


@pytest.mark.parametrize(("page", "block"), SHELL, ids=lambda it: it.partition("\n")[0][-60:])
def test_every_command_of_a_page_is_understood_with_its_values(page, block, reader, monkeypatch, capfd):
    commands = told(block, reader)
    assert commands
    for program, *words in {alike(words): words for words in commands}.values():
        if program == "srun":
            program, *words = dropwhile(lambda word: word.startswith("-"), words)
        if program == "observer":
            understood(words, monkeypatch, capfd)


def alike(words):
    """What commands share that are tried once: all but numbers, and of those on a grid its file."""
    return words[3] if words[:2] == ("observer", "ablate") else re.sub(r"\d+", "", " ".join(words))


def understood(words, monkeypatch, capfd):
    command = words[0]
    if command == "predict" and "--weights" in words:
        assert main(words) == 2  # what there is no picture of
        assert re.search(r"is no file|no such directory", capfd.readouterr().err)
    elif command == "fit" and "--plan" in words:
        assert main(words) == 0
    elif command in ("fit", "validate", "test", "predict"):
        config = parsed(words, monkeypatch)
        assert config.trainer.max_steps > 0
    elif command == "evaluate":
        with pytest.raises(SystemExit) as stop:
            main([*words, "--print_config"])
        assert stop.value.code == 0
    elif command == "browse":
        assert main(words) == 2
        assert "is no directory; name that of a run" in capfd.readouterr().err
    elif command == "score" and not Path(words[words.index("--input") + 1]).exists():  # of a command before
        assert main(words) == 2
        assert "there is no such file" in capfd.readouterr().err
    elif command == "compare":  # all is parsed before a folder is looked for
        assert main(words) == 2
        assert "holds no finished evaluation" in capfd.readouterr().err
    elif command in ("ladder", "doctor") and words[1] != "learned":
        if words[1] in ("inspect", "review", "export"):
            assert main(words) == 2
            assert "holds no ladder" in capfd.readouterr().err
            return
        with pytest.raises(SystemExit) as stop:
            main([*words, "--print_config"])
        assert stop.value.code == 0
    elif command == "ablate":
        lines = grid_lines(words, capfd)
        assert len(lines) >= 10
        for words in covering(lines):
            assert parsed(words, monkeypatch).trainer.max_steps > 0
    elif command == "export" or words[1] in ("estimates", "learned"):  # all is parsed before it is looked for
        run_dir = words[words.index("--run_dir") + 1]
        assert main(words) == 2
        assert re.search(
            rf"no (file|folder|config).*{run_dir}|{run_dir}.* no (file|folder|config)", capfd.readouterr().err
        )
    else:
        assert main([*words, *(["--steps", "5"] if "preview" in words else [])]) == 0


def grid_lines(words, capfd):
    """The command of each run of the grid that a page names."""
    capfd.readouterr()
    assert main(["ablate", "plan", words[2], "--commands"]) == 0
    return capfd.readouterr().out.splitlines()


def covering(lines):
    """The words of a few commands of a grid that hold each option with each value that any has."""
    left = [shlex.split(re.sub(r" --seed_everything=.*", "", line))[1:] for line in lines]
    seen = set()
    while {*(words := max(left, key=lambda words: len({*words} - seen)))} - seen:
        seen |= {*words}
        yield words


@pytest.mark.parametrize(
    "words",
    [
        "fit --config configs/quickstart.yaml --trainer.max_steps many",
        "fit --config configs/quickstart.yaml --model.kl K3 --model.kl.coefficient much",
        "fit --config configs/quickstart.yaml --curriculum.schedule Sorrted",
        "test --config configs/quickstart.yaml --nonesuch 1",
    ],
)
def test_a_command_with_a_wrong_value_would_not_pass_for_understood(words, reader, monkeypatch, capfd):
    with pytest.raises(AssertionError, match="refused, with 2"):
        understood(words.split(), monkeypatch, capfd)


SLURM = {"--kill-on-bad-exit=1", "--ntasks", "--ntasks-per-node", "--requeue", "--signal=USR1@300"}
NAMED = {page: {span for span in spans(page) if span.startswith("--") and ".." not in span} for page in PAGES}
OPTIONS = sorted(set().union(*(NAMED[page] for page in PAGES if page != "docs/gpu.md")) - SLURM)
"""Options that a page names in a sentence, some with a value; not those of other programs."""


@pytest.fixture(scope="module")
def helps():
    """Command -> what its ``--help`` prints."""
    return {}


def help_of(command, helps, capsys):
    if command not in helps:
        with pytest.raises(SystemExit):
            main([*command.split(), "--help"])
        helps[command] = capsys.readouterr().out
    return helps[command]


COMMANDS = (
    "fit",
    "predict",
    "score",
    "doctor",
    "curriculum preview",
    "curriculum estimates",
    "export",
    "list",
)
COMMANDS += ("ablate run", "ablate plan", "ladder build", "ladder merge", "ladder inspect", "ladder review")
COMMANDS += ("ladder learned", "ladder export", "browse", "evaluate", "compare")
COMMANDS += ("predict --weights observer:tiles",)


def having(option, helps, capsys):
    """The commands whose help prints an option."""
    whole = rf"{re.escape(option)}(?![\w.])"
    return [command for command in COMMANDS if re.search(whole, help_of(command, helps, capsys))]


@holds_for("option", OPTIONS)
def test_every_option_that_a_sentence_names_is_one_of_a_command(option, helps, capsys):
    assert having(option.partition(" ")[0], helps, capsys)


def test_the_page_of_the_script_for_a_gpu_names_options_of_it():
    script = (ROOT / "experiments" / "gpu" / "check.py").read_text(encoding="utf-8")
    words = {word for span in NAMED["docs/gpu.md"] for word in span.split() if word.startswith("--")}
    assert len(words) > 3
    assert {word for word in words if f'"{word}"' not in script} == set()


def test_every_value_that_a_sentence_gives_an_option_is_one_of_it(helps, capsys, reader, monkeypatch):
    lines = [list(QUICK)]
    for name, _, values in (option.partition(" ") for option in OPTIONS):
        for one in values.split(" | ") if values else []:
            if (command := having(name, helps, capsys)[0]) != "fit":
                assert one in help_of(command, helps, capsys)
                continue
            free = [line for line in lines if name == "--config" or name not in line]
            lines += [] if free else [list(QUICK)]
            (free or lines[-1:])[0].extend([name, one])
    assert sum(map(len, lines)) > 20
    for words in lines:  # each option of one command has one value
        assert parsed(words, monkeypatch) is not None


SECTIONS = "model|data|trainer|curriculum|completions|checkpoints|report|components"


def test_every_option_that_a_page_names_by_its_path_exists(helps, capsys):
    printed = help_of("fit", helps, capsys)
    named = {
        span
        for page in PAGES
        for word in spans(page)
        if re.fullmatch(rf"({SECTIONS})(\.[a-z_]+)+(?<!\.jsonl)", span := word.partition(":")[0])
    }
    assert len(named) > 15
    assert [option for option in sorted(named) if not re.search(rf"--{option}(?!\w)", printed)] == []


def test_the_defaults_of_the_table_of_memory_are_those_of_the_parser(reader, monkeypatch):
    config = parsed(["fit", "--model.policy.path", "observer/data/tiles/checkpoint"], monkeypatch)
    rows = re.findall(
        r"^\| `([\w.]+)(?:: [\w.-]+)?`[^|]*\| ([\w-]+) \|", PAGES["docs/memory.md"], re.MULTILINE
    )
    stated = {name: yaml.safe_load(value) for name, value in rows}
    assert len(stated) == 12
    found = {name: config.get(name) for name in stated}
    found["trainer.precision"] = found["trainer.precision"] or "32-true"  # Lightning's own
    found["model.engine"] = TransformersEngine().tokens_at_once
    assert found == stated


# Configurations and Python


def made(block):
    """Schedule and weighting of a configuration, made by the parser."""
    parser = ArgumentParser()
    parser.add_argument("--curriculum.schedule", type=Schedule)
    parser.add_argument("--model.weighting", type=Weighting, default=Uniform())
    given = parser.instantiate(parser.parse_object(yaml.safe_load(block)))
    return given.curriculum.schedule, given.model.weighting


def steps_of(schedule, index, count, steps=4):
    """The rows of the first steps, of which every one is answered as difficult as it is."""
    for step in range(steps):
        rows = schedule.batch(DrawRequest(index, step, count, steps, 0))
        index.observe(rows, [1 - float(index.difficulty_R[row]) for row in rows], step)
        yield rows


def test_the_configurations_of_a_curriculum_draw_in_the_shares_that_they_state(reader):
    (mixed, _), (nested, _), controls = map(made, blocks("docs/curriculum.md", "yaml")[:3])
    assert controls == (Shuffled(NeuraLadder()), Permuted(Quadratic()))
    rows = [{"question": "?", "answer": "1", "images": [], "difficulty": n % 9 / 8} for n in range(180)]
    lines = [json.dumps(row | {"source": "maps" if n % 2 else "charts"}) for n, row in enumerate(rows)]
    (reader / "sources.jsonl").write_text("\n".join(lines))
    index = Jsonl("sources.jsonl").read().index()
    for drawn in steps_of(nested, index, 6):
        assert sorted(row % 2 for row in drawn) == [0, 0, 0, 0, 1, 1], "two of charts for one of maps"
    index = Jsonl("sources.jsonl").read().index()
    means = [fmean(row % 9 / 8 for row in drawn) for drawn in steps_of(mixed, index, 10)]
    assert means == sorted(means), "four of five go from easy to hard"
    assert means[-1] - means[0] > 0.2


def test_the_mapping_of_the_page_reads_the_rows_that_it_states(reader, monkeypatch):
    pq.write_table(pa.Table.from_pylist([{**verl(n), "source": "x"} for n in range(8)]), "train.parquet")
    config = parsed(["fit", "--config", "configs/quickstart.yaml", "--config", "columns.yaml"], monkeypatch)
    form = ArgumentParser()
    form.add_argument("--rows", type=RowFormat)
    rows = form.instantiate(form.parse_object({"rows": config.data.train.as_dict()})).rows.read()
    assert [problem.answer for problem in rows] == [str(n + 1) for n in range(8)]
    assert rows[0].metadata["source"] == "sums"
    assert config.data.val_fraction == 0.1
    data = parsed(
        ["fit", "--config", "configs/quickstart.yaml", "--config", "together.yaml"], monkeypatch
    ).data
    assert [each.class_path for each in data.train.init_args.sources.values()] == [
        "observer.data.Columns",
        "observer.data.Jsonl",
    ]


def test_the_grids_of_the_page_are_read_and_have_the_runs_that_it_states(reader):
    for page, runs in (("README.md", [15]), ("docs/ablation.md", [45, 24])):
        grids = [block for block in blocks(page, "yaml") if "\nseeds:" in block]
        for block, count in zip(grids, runs, strict=True):
            (reader / "some.yaml").write_text(block)
            grid = read_grid("some.yaml")
            assert len(grid.runs()) == count
            assert grid.contrasts


def test_the_benchmarks_of_the_page_are_read_by_the_command(reader, capsys):
    with pytest.raises(SystemExit):
        main(["evaluate", "--config", "eval", "--config", "benchmarks.yaml", "--print_config"])
    found = yaml.safe_load(capsys.readouterr().out)["benchmarks"]
    rules = [found[name]["scoring"]["class_path"] for name in ("mathvista", "mmbench")]
    assert rules == ["observer.evaluation.Rounded", "observer.evaluation.Circular"]


def test_scoring_from_python_is_as_the_page_says(reader, capsys):
    rows = [json.loads(line) for line in (reader / "rows.jsonl").read_text().splitlines()]
    counted = [json.dumps(row | {"lengths": [10] * len(row["completions"])}) for row in rows]
    (reader / "rows.jsonl").write_text("\n".join(counted))
    (example,) = blocks("docs/score.md", "python")
    exec(compile(example, "docs/score.md", "exec"), {})
    assert capsys.readouterr().out == f"5 {Counter({Verdict.WRONG: 3, Verdict.CORRECT: 2})} 1\n"
    assert len((reader / "scored.jsonl").read_text().splitlines()) == 5


def test_every_block_is_of_a_kind_that_is_read_by_a_test():
    kinds = {kind for text in PAGES.values() for kind in re.findall(r"^```(\w+)$", text, re.MULTILINE)}
    assert kinds == {"bash", "json", "jsonl", "python", "yaml"}
    python = {page: len(blocks(page, "python")) for page in PAGES if blocks(page, "python")}
    docs = {"architecture": 2, "curriculum": 2, "loggers": 1, "optimizers": 2, "predict": 2, "score": 1}
    docs |= {"statistics": 1, "ladder": 1}
    assert python == {"README.md": 3, **{f"docs/{page}.md": count for page, count in docs.items()}}
    assert {page: len(found) for page in PAGES if (found := blocks(page, "yaml"))} == {
        "README.md": 1,
        "docs/ablation.md": 2,
        "docs/configs.md": 1,
        "docs/curriculum.md": 4,
        "docs/evaluate.md": 1,
        "docs/loggers.md": 1,
        "docs/optimizers.md": 2,
        "docs/rows.md": 2,
    }
