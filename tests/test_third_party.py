"""A package that offers a strategy is installed for real, and what it offers is known by name."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from observer.cli import main

pytestmark = pytest.mark.whole

PACKAGE = Path(__file__).parent / "example_package"


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The variables of a process that sees the installed package."""
    folder = tmp_path_factory.mktemp("installed")
    source, site = shutil.copytree(PACKAGE, folder / "source"), folder / "site"
    script = "import sys, setuptools.build_meta as backend; backend.build_wheel(sys.argv[1])"
    words = [sys.executable, "-c", script, str(folder)]
    subprocess.run(words, cwd=source, check=True, capture_output=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:  # installed: it holds Python alone
        wheel.extractall(site)
    assert list(site.glob("observer_extras-*.dist-info/entry_points.txt"))
    return os.environ | {"PYTHONPATH": str(site)}


CUBIC = ("fit", "--config", "configs/quickstart.yaml", "--model.weighting", "Cubic", "--print_config")
TALLY = (*CUBIC[:-1], "--curriculum", "Tally", "--curriculum.start", "7", "--print_config")


def test_what_an_installed_package_offers_is_listed_and_can_be_configured(environment):
    commands = [("list", "weighting"), ("list", "curriculum"), TALLY]
    script = f"from observer.cli import main\nfor words in {commands!r}:\n    main(list(words))"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, cwd=PACKAGE.parents[1], capture_output=True, text=True)
    assert "f(p) = p^3: what is nearly mastered weighs most." in done.stdout
    assert "Counts the rows that were drawn." in done.stdout
    assert "class_path: observer_extras.strategies.Cubic" in done.stdout, done.stderr
    assert re.search(r"class_path: observer_extras.strategies.Tally\n +init_args:\n +start: 7\n", done.stdout)


@pytest.mark.usefixtures("in_the_repository")
def test_without_it_its_name_is_refused(capfd):
    assert main([*CUBIC]) == 2
    told = capfd.readouterr().err
    assert "Quadratic" in told
    assert "observer_extras" not in told
