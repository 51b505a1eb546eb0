"""The command line: every YAML parses, every option can be overridden, mistakes are answered with a mend."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from observer.cli import main

ROOT = Path(__file__).parent.parent
QUICK = ["--config", "configs/quickstart.yaml"]
SMALL = [
    *("--trainer.max_steps", "2", "--data.steps_per_epoch", "2", "--data.prompts_per_step", "2"),
    *("--data.val.rows", "8", "--data.test.rows", "8", "--model.group_size", "2", "--model.max_tokens", "8"),
]


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


def printed_config(capsys, *words):
    with pytest.raises(SystemExit) as stop:
        main([*words, "--print_config"])
    assert stop.value.code == 0
    return yaml.safe_load(capsys.readouterr().out)


@pytest.mark.parametrize("config", sorted(path.name for path in (ROOT / "configs").glob("*.yaml")))
def test_every_shipped_configuration_parses(config, capsys):
    written = yaml.safe_load((ROOT / "configs" / config).read_text())
    if "benchmarks" in written:
        printed = printed_config(capsys, "evaluate", "--config", f"configs/{config}")
        assert list(printed["benchmarks"]) == list(written["benchmarks"])
        return
    if "steps" in written:  # the recipe of a ladder
        printed = printed_config(capsys, "ladder", "build", "--config", f"configs/{config}")
        assert len(printed["steps"]) == len(written["steps"])
        return
    printed = printed_config(capsys, "fit", "--config", f"configs/{config}")
    assert printed["run_dir"] == written["run_dir"]
    assert printed["data"]["prompts_per_step"] == written["data"]["prompts_per_step"]


def test_strategies_are_swapped_and_changed_by_key_on_the_command_line(capsys):
    printed = printed_config(
        capsys,
        *("fit", *QUICK, "--model.rewards.format.weight", "0", "--model.weighting", "Quadratic"),
        *(
            "--model.weighting.sigma",
            "2",
            "--curriculum.schedule",
            "Sorted",
            "--curriculum.schedule.descending",
            "true",
        ),
        *(
            "--model.kl",
            "K3",
            "--model.kl.coefficient",
            "0.5",
            "--seed_everything",
            "7",
            "--data.train.rows",
            "99",
        ),
    )
    model = printed["model"]
    assert model["rewards"]["format"]["init_args"]["weight"] == 0
    assert model["rewards"]["accuracy"]["init_args"]["weight"] == 1
    assert model["weighting"]["class_path"] == "observer.objective.Quadratic"
    assert model["weighting"]["init_args"]["sigma"] == 2.0
    assert printed["curriculum"]["init_args"]["schedule"]["init_args"] == {
        "by": "both",
        "horizon": None,
        "descending": True,
    }
    assert model["kl"]["init_args"]["coefficient"] == 0.5
    assert printed["data"]["train"]["init_args"]["rows"] == 99
    assert printed["seed_everything"] == 7


def test_a_saved_configuration_names_no_class_by_its_file(capsys):
    printed = printed_config(capsys, "fit", "--model.policy.path", "x", "--trainer.max_steps", "1")
    paths, todo = [], [printed]
    while todo:
        for key, value in todo.pop().items():
            paths += [value] if key == "class_path" else []
            todo += [value] if isinstance(value, dict) else []
    ours = [path.split(".") for path in paths if path.startswith("observer")]
    assert len(ours) > 5
    assert {len(parts) for parts in ours} == {3}, "observer, room, class"
    assert printed["learner"] == "observer.learner.ObserveLearner"


def test_rewards_can_be_overridden_without_any_configuration_file(capsys):
    printed = printed_config(
        capsys,
        "fit",
        "--model.policy.path",
        "x",
        "--model.rewards.format.weight",
        "0.25",
        "--trainer.max_steps",
        "1",
    )
    assert printed["model"]["rewards"]["format"]["init_args"]["weight"] == 0.25
    assert set(printed["model"]["rewards"]) == {"accuracy", "format", "bonus"}


def test_help_names_every_option_with_what_it_is_for(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    text = capsys.readouterr().out
    for option in (
        "--model.group_size",
        "--model.weighting",
        "--model.policy.path",
        "--data.prompts_per_step",
    ):
        assert option in text
    for option in (
        "--curriculum.schedule",
        "--run_dir",
        "--plugins",
        "--checkpoints.every_n_steps",
        "--trainer.max_steps",
    ):
        assert option in text
    assert "completions per prompt" in " ".join(text.split())


def refused(capfd, *words):
    try:
        code = main(list(words))
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    return " ".join(capfd.readouterr().err.split())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["fit", *QUICK, "--model.weighting", "Quadratik"],
            ["Quadratik", "Known by name", "Quadratic", "Uniform"],
        ),
        (["fit", *QUICK, "--model.wieghting", "Quadratic"], ["wieghting"]),
        (["fit", *QUICK, "--model.weighting", "Quadratic", "--model.weighting.sgima", "2"], ["sgima"]),
        (
            ["fit", *QUICK, "--model.rewards.format", "Fromat"],
            ["Fromat", "Known by name", "Accuracy", "Bonus"],
        ),
        (["fit", *QUICK, "--curriculum.schedule", "Sortd"], ["Sortd", "Known by name", "Random", "Stages"]),
        (["fit", *QUICK, "--data.train", "Tile"], ["Tile", "Known by name", "Jsonl", "Message"]),
        (["fit", *QUICK, "--model.group_size", "many"], ["group_size", "many"]),
        (
            ["fit", *QUICK, "--model.weighting", "Quadratic", "--model.weighting.sigma", "-1"],
            ["sigma is -1.0", "> 0"],
        ),
        (["fit", "--config", "nowhere.yaml"], ["nowhere.yaml", "no such file"]),
        (["fit", *QUICK, "--learner", "observer.learner.Nobody"], ["observer.learner.Nobody", "import path"]),
        (["fit", *QUICK, "--plugins", "[nowhere.py]"], ["nowhere.py", ".py file"]),
        (
            ["fit", *QUICK, "--model.policy.path", "./nowhere"],
            ["./nowhere", str(ROOT / "nowhere"), "config.json"],
        ),
        (["fit", *QUICK, "--model.seed", "3"], ["model.seed"]),
        (["fit", *QUICK, "--data.train.rows", "-5"], ["Tiles.rows is -5", "at least 8"]),
        (["fit", *QUICK, "--model.kl", "K3", "--model.kl.coefficient", "-1"], ["K3.coefficient is -1"]),
        (["fit", *QUICK, "--trainer.gradient_clip_val", "1"], ["model.gradient_clip"]),
        (["fit", *QUICK, "--trainer.accumulate_grad_batches", "2"], ["model.micro_batch"]),
        (["fit", *QUICK, "--trainer.precision", "bf16-true"], ["bf16-true", "bf16-mixed"]),
        (["fit", *QUICK, "--seed_everything", "true"], ["seed_everything is True"]),
        (["fit", *QUICK, "--seed_everything", "-1"], ["seed_everything is -1"]),
        (["fit", *QUICK, "--model.groupsize", "4"], ["groupsize", "model.group_size"]),
        (["fit", *QUICK, "--plugins", "{mine: py}"], ["[mine.py]"]),
        (["fit", *QUICK, "--learner", "os.path.join"], ["os.path.join", "no class"]),
        (["fit", "--config", "README.md"], ["README.md"]),
        (["fitt"], ["fitt", "usage: observer"]),
        (["list", "nothing"], ["nothing", "weighting"]),
        (["export", "--run_dir", "nowhere", "--output", "configs"], ["configs", "exists"]),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else None,
)
def test_mistakes_are_refused_with_the_value_and_what_would_do(words, expected, capfd, tmp_path):
    run_dir = ["--run_dir", str(tmp_path / "run")] if words[0] == "fit" else []
    (tmp_path / "run").mkdir()
    message = refused(capfd, *words, *run_dir)
    for part in expected:
        assert part in message
    left = {path.name for path in (tmp_path / "run").iterdir() if not path.name.startswith("events.out.")}
    assert left <= {".lock"}, "a refusal leaves nothing behind"


@pytest.mark.whole
def test_a_run_is_trained_refused_a_second_time_resumed_tested_and_exported(tmp_path, capfd):
    run_dir = ["--run_dir", str(tmp_path / "run")]
    assert main(["fit", *QUICK, *SMALL, *run_dir]) == 0
    out = capfd.readouterr().out
    assert "held-out, before and after 2 steps" in out
    folder = tmp_path / "run"
    assert json.loads((folder / "summary.json").read_text())["status"] == "complete"
    assert {"config.yaml", "before.json", "completions.jsonl", "checkpoints", "export"} <= {
        path.name for path in folder.iterdir()
    }
    checkpoints = {path.name for path in (folder / "checkpoints").iterdir()}
    assert checkpoints == {"best.ckpt", "last.ckpt", "previous.ckpt"}

    assert main(["fit", *QUICK, *SMALL, *run_dir]) == 2
    assert "holds a run already" in capfd.readouterr().err
    summary = (folder / "summary.json").read_text()
    for other in (
        ["--seed_everything", "5"],
        ["--model.optimizer.init_args.lr", "1"],
        ["--model.weighting", "Uniform"],
    ):
        assert main(["fit", *QUICK, *SMALL, *run_dir, "--ckpt_path", "last", *other]) == 2
        assert "cannot resume" in capfd.readouterr().err
        assert (folder / "summary.json").read_text() == summary, "a refused resume changes nothing"
    assert not list(folder.glob("config.resumed-*"))
    longer = [
        word if word != "2" or SMALL[place - 1] != "--trainer.max_steps" else "4"
        for place, word in enumerate(SMALL)
    ]
    assert main(["fit", *QUICK, *longer, *run_dir, "--ckpt_path", "last"]) == 0
    assert json.loads((folder / "summary.json").read_text())["steps"] == 4
    assert (folder / "config.resumed-1.yaml").is_file()
    assert (
        len({json.loads(line)["step"] for line in (folder / "completions.jsonl").read_text().splitlines()})
        == 4
    )
    capfd.readouterr()

    last = ["--run_dir", str(tmp_path / "other"), "--ckpt_path", str(folder / "checkpoints" / "last.ckpt")]
    assert main(["test", *QUICK, *SMALL, *last]) == 0
    assert "test/accuracy" in capfd.readouterr().out
    assert main(["validate", *QUICK, *SMALL, "--model.policy.path", str(folder / "export")]) == 0
    assert "val/accuracy" in capfd.readouterr().out

    output = ["--checkpoint", "last", "--output", str(tmp_path / "model")]
    assert main(["export", "--run_dir", str(folder), *output]) == 0
    exported = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    assert exported == {path.name: path.read_bytes() for path in (folder / "export").iterdir()}


def test_resuming_where_there_is_nothing_is_an_error(tmp_path, capfd):
    message = refused(capfd, "fit", *QUICK, "--run_dir", str(tmp_path / "run"), "--ckpt_path", "last")
    assert "no checkpoint to read" in message


def test_a_run_directory_that_cannot_be_written_is_refused(tmp_path, capfd):
    (tmp_path / "file").write_text("")
    message = refused(capfd, "fit", *QUICK, "--run_dir", str(tmp_path / "file" / "run"))
    assert "cannot be written" in message


def test_list_prints_every_family_and_plugins(tmp_path, capsys):
    plugin = tmp_path / "cli_plugin.py"
    plugin.write_text(
        "from dataclasses import dataclass\n"
        "from observer.objective import Weighting\n"
        "@dataclass(frozen=True)\n"
        "class Mine(Weighting):\n"
        '    """f(p) = power: mine."""\n'
        "    power: float = 2.0\n"
        "    def __call__(self, batch):\n"
        "        return batch.pass_rates_P**self.power\n"
    )
    assert main(["list", "weighting", "--plugins", str(plugin)]) == 0
    text = capsys.readouterr().out
    assert "Quadratic" in text
    assert "Mine" in text
    assert "power: float = 2.0" in text
    printed = printed_config(capsys, "fit", *QUICK, "--plugins", f"[{plugin}]", "--model.weighting", "Mine")
    assert printed["model"]["weighting"]["init_args"]["power"] == 2.0


def test_the_program_is_installed_under_its_name():
    observer = Path(sys.executable).with_name("observer")
    done = subprocess.run([observer, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("observer ")


def test_a_second_process_is_kept_out_of_a_run_directory(tmp_path, capfd):
    script = (
        "import sys, time; from observer.run.directory import claim; claim(sys.argv[1], False); "
        "print(1, flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "run")], stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline() == b"1\n"
        assert "another process" in refused(capfd, "fit", *QUICK, "--run_dir", str(tmp_path / "run"))
    finally:
        other.kill()
        other.wait()
        other.stdout.close()


@pytest.mark.parametrize("code", ["raise OSError('no')", "import nowhere", "def", "import sys; sys.exit(0)"])
def test_a_plugin_that_cannot_be_imported_is_named(code, tmp_path, capfd):
    (tmp_path / "broken_plugin.py").write_text(code)
    message = refused(capfd, "fit", *QUICK, "--plugins", f"[{tmp_path / 'broken_plugin.py'}]")
    assert "broken_plugin.py cannot be imported" in message


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, capfd):
    (tmp_path / "garbage.ckpt").write_text("nothing")
    message = refused(capfd, "test", *QUICK, "--ckpt_path", str(tmp_path / "garbage.ckpt"))
    assert "garbage.ckpt cannot be read" in message


def test_help_without_a_command_names_the_commands(capsys):
    assert main([]) == 0
    assert "export" in capsys.readouterr().out
