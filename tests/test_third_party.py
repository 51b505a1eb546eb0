"""A package that offers a strategy is installed for real, and what it offers is known by name."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent / "example_package"


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The variables of a process that sees the installed package."""
    folder = tmp_path_factory.mktemp("installed")
    source, site = shutil.copytree(PACKAGE, folder / "source"), folder / "site"
    # This environment may lack pip; one that is made for the occasion has it, and finds setuptools here.
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    here = os.environ | {"PYTHONPATH": sysconfig.get_path("purelib")}
    install = [folder / "venv" / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-index"]
    options = ["--no-deps", "--no-build-isolation", "--target", site, source]
    done = subprocess.run([*install, *options], env=here, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(site.glob("observer_extras-*.dist-info/entry_points.txt"))
    return os.environ | {"PYTHONPATH": str(site)}


def observer(environment, *words):
    command = [sys.executable, "-c", "from observer.cli import main; raise SystemExit(main())", *words]
    return subprocess.run(
        command, env=environment, cwd=PACKAGE.parents[1], check=False, capture_output=True, text=True
    )


def test_what_an_installed_package_offers_is_listed_and_can_be_configured(environment):
    listed = observer(environment, "list", "weighting")
    assert "f(p) = p^3: what is nearly mastered weighs most." in listed.stdout
    words = ("fit", "--config", "configs/quickstart.yaml", "--model.weighting", "Cubic", "--print_config")
    printed = observer(environment, *words)
    assert "class_path: observer_extras.strategies.Cubic" in printed.stdout, printed.stderr


def test_the_page_of_strategies_is_what_the_registry_says():
    page = (PACKAGE.parents[1] / "docs" / "strategies.md").read_text(encoding="utf-8")
    printed = observer(os.environ, "list", "--markdown")
    assert printed.stdout == page, (
        "docs/strategies.md is what `observer list --markdown` prints; write it anew"
    )


def test_without_the_package_the_name_is_refused_and_the_others_listed():
    words = ("fit", "--config", "configs/quickstart.yaml", "--model.weighting", "Cubic", "--print_config")
    refused = observer(os.environ, *words)
    assert refused.returncode != 0
    assert "Quadratic" in refused.stderr
    assert "observer_extras" not in refused.stderr
