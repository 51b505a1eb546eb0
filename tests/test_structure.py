"""What may import what, how large things may be, and what can be imported where there is little."""

import importlib
import os
import socket
import subprocess
import sys
import warnings
from importlib import resources
from pathlib import Path

import pytest

from processes import forked
from structure import (
    FILES,
    FLOOR,
    FLOORS,
    GROUND,
    cycles,
    functions,
    ground,
    imported_modules,
    imports_that_point_up,
    lines,
    longest_chain,
    modules_by_folder,
    room,
    rooms,
)

MOST_LINES, MOST_LINES_OF_A_FUNCTION, MOST_MODULES, LONGEST_CHAIN = 350, 60, 16, 15


def python(script, **environment):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_package_is_rooms_and_a_ground_of_four_files():
    assert ground() == sorted(GROUND)
    assert {*rooms(), *GROUND, "observer"} == FLOOR.keys()
    assert sum(map(len, FLOORS)) == len(FLOOR)


def test_imports_point_one_way_between_rooms():
    assert imports_that_point_up({module: path.read_text() for module, path in FILES.items()}) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("observer.types", "from observer import strategies"),
        ("observer.rewards.bonus", "from observer.rollout import Engine"),
        ("observer.rollout.engine", "def late():\n    from observer.metrics import HeldOutMetrics"),
        ("observer.data.rows", "import observer.learner"),
        ("observer.score.rows", "from observer.cli import main"),
    ],
)
def test_an_import_that_points_up_or_sideways_is_found(module, source):
    assert len(imports_that_point_up({module: source})) == 1


def test_no_module_imports_itself_by_way_of_others():
    graph = {module: imported_modules(path.read_text(), FILES.keys()) for module, path in FILES.items()}
    assert cycles(graph) == []
    assert cycles({"a": {"b"}, "b": {"a"}, "c": {"a"}}) == ["a", "b"]


def test_files_functions_and_folders_stay_small():
    tests = sorted(Path(__file__).parent.rglob("*.py"))
    paths = [*FILES.values(), *tests]
    assert {path.name: n for path in paths if (n := lines(path)) > MOST_LINES} == {}
    lengths = {name: length for path in FILES.values() for name, length in functions(path).items()}
    assert len(lengths) > 100
    assert {name: n for name, n in lengths.items() if n > MOST_LINES_OF_A_FUNCTION} == {}
    assert {folder: n for folder, n in modules_by_folder().items() if n > MOST_MODULES} == {}


def test_no_chain_of_imports_is_long():
    faces = ("__init__.py", "__main__.py")  # they pass on what another file defines
    chains = [longest_chain(module) for module, path in FILES.items() if path.name not in faces]
    longest = max(chains, key=len)
    assert 5 < len(longest) <= LONGEST_CHAIN, " > ".join(longest)


def test_type_checkers_of_other_projects_see_the_annotations():
    assert resources.files("observer").joinpath("py.typed").is_file()


@pytest.mark.parametrize(
    "module", ["observer", "observer.types", "observer.strategies", "observer.verifier", "observer.rewards"]
)
def test_the_ground_floor_and_the_rewards_import_nothing_heavy(module):
    heavy = "{'torch', 'transformers', 'lightning', 'datasets', 'numpy', 'matplotlib'}"
    ran = python(f"import sys, {module}; print(sorted({heavy} & sys.modules.keys()))")
    assert (ran.stdout, ran.stderr) == ("[]\n", "")


def test_the_verifier_checks_answers_where_there_is_no_torch():
    modules = [module for module in FILES if room(module) == "verifier"]
    script = (
        "import importlib, sys\n"
        "for name in ('torch', 'transformers', 'lightning', 'numpy'): sys.modules[name] = None\n"
        f"for name in {modules}: importlib.import_module(name)\n"
        "from observer.verifier.verify import verify\n"
        "print(verify('1/4', '0.25', 'number')[0], verify('x + 1', '1 + x', 'expression')[0])"
    )
    ran = python(script)
    assert (ran.stdout, ran.stderr) == ("correct correct\n", "")


def test_every_module_is_imported_without_gpu_network_or_vllm():
    """Once more: in a copy of this process, in which other packages have been imported."""
    assert forked(import_all, list(FILES)) is False


def import_all(modules):
    """Import modules anew, without network and vLLM; return whether a GPU was asked for."""
    import torch

    def refuse(*_):
        raise OSError("the network is off")

    socket.socket.connect = socket.getaddrinfo = refuse
    for name in [name for name in sys.modules if name.partition(".")[0] in ("observer", "vllm")]:
        del sys.modules[name]
    sys.modules["vllm"] = None  # an import of it fails
    warnings.simplefilter("error")
    for name in modules:
        importlib.import_module(name)
    return torch.cuda.is_initialized()
