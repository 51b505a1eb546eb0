"""What comes with the package works from any directory: configurations, the cold start, ``python -m``."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from observer.cli import main
from observer.cli.configuration.shipped import config_file, shipped
from observer.policy import PolicySpec, load_processor
from observer.types import RefusedError

ROOT = Path(__file__).parent.parent
CONFIGS = sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))
COMMANDS = {"ladder": ("ladder", "build"), "eval": ("evaluate",)}
"""Configurations that are not of runs, and the command that reads each."""


def test_all_configurations_go_by_name():
    assert list(shipped()) == CONFIGS
    assert {"quickstart", "reference", "warmstart"} <= set(CONFIGS)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_shipped_configuration_is_read_by_name_from_any_directory(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command, place = COMMANDS.get(name, ("fit",)), "output" if name in COMMANDS else "run_dir"
    with pytest.raises(SystemExit) as stop:
        main([*command, "--config", name, "--print_config"])
    assert stop.value.code == 0
    found = yaml.safe_load(capsys.readouterr().out)
    assert found[place] == yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text())[place]
    assert not list(tmp_path.iterdir())
    if name in COMMANDS:
        return
    path = found["model"]["policy"]["path"]
    if path.startswith("observer:"):
        assert load_processor(PolicySpec(path)).chat_template


def test_a_file_of_that_name_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config_file("quickstart") == str(shipped()["quickstart"])
    (tmp_path / "quickstart").mkdir()
    assert config_file("quickstart") == str(shipped()["quickstart"]), "a folder is no configuration"
    (tmp_path / "reference").write_text("run_dir: mine")
    assert config_file("reference") == "reference"
    assert config_file("./warmstart") == "./warmstart"


@pytest.mark.parametrize("name", ["quikstart", "configs/quickstart.yaml"])
def test_a_name_that_is_not_there_is_refused_with_those_that_are(name, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "--config", name]) == 2
    assert f"those that come with observer: {', '.join(CONFIGS)}" in capfd.readouterr().err


def test_the_shipped_cold_start_goes_by_name_and_by_its_path_in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)
    same = [
        load_processor(PolicySpec(path)).tokenizer.get_vocab()
        for path in ("observer:tiles", "observer/data/tiles/checkpoint")
    ]
    assert same[0] == same[1]
    with pytest.raises(RefusedError, match="the models that come with observer are observer:tiles"):
        load_processor(PolicySpec("observer:tile"))


@pytest.mark.parametrize("module", ["observer", "observer.cli"])
def test_the_package_runs_as_a_module(module, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    def ran(*words):
        return subprocess.run(
            [sys.executable, "-m", module, *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    assert ran("--version").stdout.startswith("observer ")
    assert ran("nonsense").returncode == 2


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A wheel and a source distribution, built without the network from a copy of what git knows."""
    folder = tmp_path_factory.mktemp("built")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("no checkout of git")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "tree" / name).write_bytes((ROOT / name).read_bytes())
    script = (
        "import sys, setuptools.build_meta as backend\n"
        "folder = sys.argv[1]; backend.build_sdist(folder); backend.build_wheel(folder)"
    )
    subprocess.run(
        [sys.executable, "-c", script, str(folder)], cwd=folder / "tree", check=True, capture_output=True
    )
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


@pytest.mark.whole
def test_the_wheel_holds_the_package_its_configurations_and_the_cold_start_and_nothing_else(built):
    names = {name for name in zipfile.ZipFile(built[0]).namelist() if ".dist-info/" not in name}
    assert {f"observer/configs/{name}.yaml" for name in CONFIGS} <= names
    assert {
        "observer/py.typed",
        "observer/__main__.py",
        "observer/data/tiles/checkpoint/model.safetensors",
    } <= names
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "observer").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules
    assert {name.split("/")[0] for name in names} == {"observer"}


@pytest.mark.whole
def test_the_source_distribution_holds_what_the_wheel_and_the_tests_need_and_no_clutter(built):
    with tarfile.open(built[1]) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    for name in (
        "README.md",
        "LICENSE",
        "constraints.txt",
        "constraints-vllm.txt",
        "overrides-vllm.txt",
        "tox.ini",
        "setup.py",
        "tests/helpers/structure.py",
    ):
        assert name in names
    assert {f"configs/{name}.yaml" for name in CONFIGS} <= names
    assert not [
        name for name in names if "__pycache__" in name or name.endswith((".pyc", ".ckpt")) or "runs/" in name
    ]


@pytest.mark.slow
def test_a_wheel_in_an_empty_environment_and_folder_trains_the_quickstart(built, tmp_path):
    """Needs uv and a package index, or uv's cache."""
    import shutil

    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        pytest.skip("uv is not installed")
    environment = {
        key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")
    }

    def run(*words):
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    run(uv, "venv", "-q", "--python", sys.executable, str(tmp_path / "env"))
    python = str(tmp_path / "env" / "bin" / "python")
    run(uv, "pip", "install", "-q", "--python", python, "-c", str(ROOT / "constraints.txt"), str(built[0]))
    observer = str(tmp_path / "env" / "bin" / "observer")
    assert run(observer, "--version").startswith("observer ")
    assert run(python, "-m", "observer", "--version").startswith("observer ")
    short = ["--trainer.max_steps", "2", "--data.val", "null", "--data.test", "null"]
    run(observer, "fit", "--config", "quickstart", *short)
    assert (tmp_path / "runs" / "quickstart" / "export" / "model.safetensors").is_file()
