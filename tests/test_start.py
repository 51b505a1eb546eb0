"""What each command imports: nobody waits for Lightning, or for the code of models, who needs none of it."""

import ast
import gc
import importlib
import inspect
import json
import os
import subprocess
import sys

import pytest

import observer.learner
from observer import on_demand
from observer.cli import main
from observer.cli.app import RUN_COMMANDS
from observer.cli.early import uncollected
from observer.cli.run import RunCLI
from observer.cli.scoring_options import OPTIONS, ScoringOptions, names_of_the_default_learner
from observer.learner import ObserveLearner
from scoring import ROOT, row, write
from simulated_grid import Simulated
from structure import FILES, needed, rooms
from tables import holds_for

TORCH = {"torch", "numpy"}
MODELS = {
    *("lightning", "torchmetrics", "torchvision", "transformers", "peft", "datasets"),
    *("torch._dynamo", "torch.distributed.fsdp", "sympy", "scipy", "pandas", "tensorboard", "aiohttp"),
}
FIGURES = {"matplotlib"}
SCRIPT = """
import gc, json, sys
from observer.cli import main
for words in json.loads(sys.argv[1]):
    code = main(words)
    print(json.dumps([code, sorted(sys.modules), gc.get_freeze_count()]), file=sys.stderr)
"""


def imported_after(*commands):
    """Run command lines in one fresh process.

    Returns what they print, and of each (exit status, modules imported by then, objects that are no longer
    searched for garbage).
    """
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(commands)], capture_output=True, text=True, check=False
    )
    lines = [json.loads(line) for line in ran.stderr.splitlines() if line.startswith("[")]
    assert len(lines) == len(commands), ran.stderr
    return ran.stdout, [(code, set(modules), frozen) for code, modules, frozen in lines]


@pytest.mark.whole
def test_commands_that_compute_nothing_import_no_torch(tmp_path):
    grid = Simulated(tmp_path, {"one": 0.0}, seeds=1, problems=10)
    grid.write()
    _, (*ran, reported) = imported_after(
        ["--help"],
        ["--version"],
        ["nonesuch"],
        ["fit", "--config", "nonesuch.yaml"],
        ["score", "--config", "nonesuch.yaml"],
        ["list", "nonesuch"],
        ["ablate", "plan", str(ROOT / "experiments" / "quickstart_parts.yaml"), "--commands"],
        ["export", "--run_dir", "nonesuch", "--output", os.devnull],
        ["ablate", "report", str(grid.file), "--output", str(grid.output)],
    )
    assert [code for code, _, _ in ran] == [0, 0, 2, 2, 2, 2, 0, 2]
    assert ran[-1][1] & (TORCH | MODELS | FIGURES | {"jsonargparse", "rich"}) == set()
    assert reported[0] == 0
    assert reported[1] & (TORCH | MODELS | FIGURES) == {"numpy", "scipy", "matplotlib"}


@pytest.mark.usefixtures("in_the_repository")
@pytest.mark.whole
def test_lists_scores_and_previews_import_torch_and_no_lightning_and_the_page_is_what_is_listed(tmp_path):
    configured = ["--config", "configs/quickstart.yaml"]
    scored = [
        "--input",
        str(write(tmp_path / "rows.jsonl", row("7", "8"))),
        "--output",
        str(tmp_path / "scored.jsonl"),
    ]
    pictured = ["--data.train.rows", "64", "--output", str(tmp_path / "draws.png")]
    printed, (listed, exported, scores, estimated, previewed) = imported_after(
        ["list", "--markdown"],
        ["export", "--run_dir", str(tmp_path), "--output", str(tmp_path / "export")],
        ["score", *configured, *scored],
        ["curriculum", "estimates", "--run_dir", str(tmp_path)],
        ["curriculum", "preview", *configured, *pictured],
    )
    assert [listed[0], exported[0], scores[0], estimated[0], previewed[0]] == [0, 2, 0, 2, 0]
    assert estimated[1] & (MODELS | FIGURES) == set()
    assert previewed[1] & (MODELS | FIGURES) == FIGURES
    page = (ROOT / "docs" / "strategies.md").read_text(encoding="utf-8")
    assert printed.startswith(page), "docs/strategies.md is what `observer list --markdown` prints"
    assert listed[2] == 0
    assert scores[2] > 100_000, "what is imported stays: it is not searched for garbage"


def test_garbage_is_collected_again_once_a_command_is_imported():
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(KeyError), uncollected():
        {}["of a plugin that is refused"]
    assert gc.isenabled()


@pytest.mark.usefixtures("in_the_repository")
def test_a_run_builds_the_parser_of_its_command_alone(monkeypatch, capsys):
    built, add = [], RunCLI.add_arguments_to_parser
    monkeypatch.setattr(
        RunCLI, "add_arguments_to_parser", lambda self, parser: (built.append(parser), add(self, parser))
    )
    for command in ("fit", "validate"):
        with pytest.raises(SystemExit):
            main([command, "--config", "configs/quickstart.yaml", "--print_config"])
    assert len(built) == 2
    assert RunCLI.subcommands().keys() >= {*RUN_COMMANDS}


HEAVY = {"lightning", "torchmetrics", "transformers", "peft"}


@holds_for(
    ("module", "without", "needs"),
    [
        ("observer.cli.app", {"torch", "numpy", "lightning", "transformers", "jsonargparse"}, "yaml"),
        ("observer.verifier.worker", {"torch", "numpy"}, "pebble"),
        ("observer.rewards", {"torch"}, "mpmath"),
        ("observer.cli.list", {"torch", "rich"}, None),
        ("observer.cli.ablate", {"torch", "numpy", "lightning", "rich", "jsonargparse"}, "yaml"),
        ("observer.ablation.runner", {"torch", "numpy", "lightning"}, "rich"),
        ("observer.cli.curriculum.preview", HEAVY, "matplotlib"),
        ("observer.cli.curriculum.estimates", HEAVY | FIGURES, "torch"),
        ("observer.cli.score", HEAVY | FIGURES, "torch"),
        ("observer.cli.doctor.command", FIGURES | {"lightning", "imagehash"}, "torch"),
        ("observer.cli.ladder.inspect", {"torch", "numpy", "jsonargparse", "rich"}, None),
        ("observer.cli.ladder.build", HEAVY | FIGURES | {"scipy", "imagehash"}, "torch"),
        ("observer.ladder.asker", {"lightning", "transformers", "scipy"}, "torch"),
        ("observer.ablation.report.writing", HEAVY | {"torch", "jsonargparse"}, "matplotlib"),
        ("observer.rollout.transformers_engine", {"lightning", "transformers", "peft"}, "torch"),
        ("observer.policy.export", {"lightning", "torchmetrics", "matplotlib"}, "transformers"),
        ("observer.answering.answerer", {"lightning", "torchmetrics", "matplotlib"}, "transformers"),
    ],
)
def test_what_the_imports_of_a_file_lead_to(module, without, needs):
    led = needed(module)
    assert led & without == set()
    assert needs is None or needs in led


FACES = [f"observer.{room}" for room in rooms()]


@holds_for("face", FACES)
def test_a_face_offers_all_its_names(face):
    module = importlib.import_module(face)
    offered = getattr(module, "__all__", [])
    assert {*offered} <= {*dir(module)}
    assert [name for name in offered if getattr(module, name) is None] == []


@holds_for("face", FACES)
def test_names_that_wait_are_those_that_a_type_checker_sees(face):
    tree = ast.parse(FILES[face].read_text())
    [seen, waiting] = [
        {
            (alias.name, node.module)
            for block in ast.walk(tree)
            if isinstance(block, ast.If)
            for node in block.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        },
        {
            (keyword.arg, keyword.value.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            for keyword in node.keywords
        },
    ]
    assert waiting == seen


def test_a_name_that_no_face_has_is_no_attribute():
    with pytest.raises(AttributeError, match=r"'observer\.learner' has no attribute 'Nonesuch'"):
        observer.learner.Nonesuch  # noqa: B018
    get, names = on_demand("observer.learner", Sampling="observer.types")
    assert "Sampling" in names()
    assert get("Sampling").__module__ == "observer.types"
    del observer.learner.Sampling


def test_scores_read_the_options_of_the_learner():
    own, learners = (inspect.signature(cls).parameters for cls in (ScoringOptions, ObserveLearner))
    assert names_of_the_default_learner() == learners.keys()
    assert dict(own) == {name: learners[name] for name in own}
    assert own.keys() == OPTIONS
