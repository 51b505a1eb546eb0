import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import observer

ROOT = Path(observer.__file__).parent
FILES = {
    ".".join(["observer", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}
ROOMS = [
    ["observer", "types"],
    ["strategies", "seeding", "refusal"],
    ["run", "pages"],
    ["verifier", "objective", "curriculum", "policy"],
    ["rewards", "rollout"],
    ["answering"],
    ["metrics"],
    ["data"],
    ["learner", "score"],
    ["callbacks"],
    ["cli"],
]
"""From the ground up. A room imports from floors below it, and from no other room of its own floor."""
FLOOR = {room: floor for floor, rooms in enumerate(ROOMS) for room in rooms}


def room(module):
    """``observer.data.tiles.rows`` is in the room ``data``."""
    return "observer" if module == "observer" else module.split(".")[1]


def imported_modules(tree, names):
    """The modules of ``names`` that a source imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                found.add(below if below in names else node.module)
    return {name for name in found if name.split(".")[0] == "observer"}


def imports_that_point_up(sources):
    """Say of sources by module name which of their imports leave the one-way order."""
    return [
        f"{module} imports {target}"
        for module, source in sources.items()
        for target in sorted(imported_modules(ast.parse(source), FILES.keys() | sources.keys()))
        if room(module) != room(target) and FLOOR[room(target)] >= FLOOR[room(module)]
    ]


def cycles(graph):
    """Modules that import themselves, by way of others."""

    def reached(module):
        seen, todo = set(), [module]
        while todo:
            new = graph[todo.pop()] - seen
            seen |= new
            todo += new
        return seen

    return [module for module in graph if module in reached(module)]


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def python(script, **environment):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_file_belongs_to_a_room_of_the_order():
    assert {room(module) for module in FILES} <= FLOOR.keys()
    assert sum(map(len, ROOMS)) == len(FLOOR)


def test_imports_point_one_way_between_rooms():
    assert imports_that_point_up({module: path.read_text() for module, path in FILES.items()}) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("observer.types", "from observer import strategies"),
        ("observer.rewards.bonus", "from observer.rollout import Engine"),
        ("observer.rollout.engine", "def late():\n    from observer.metrics import HeldOutMetrics"),
        ("observer.data.rows", "import observer.learner"),
    ],
)
def test_an_import_that_points_up_or_sideways_is_found(module, source):
    assert len(imports_that_point_up({module: source})) == 1


def test_no_module_imports_itself_by_way_of_others():
    graph = {}
    for module, path in FILES.items():
        graph[module] = imported_modules(ast.parse(path.read_text()), FILES.keys())
    assert cycles(graph) == []
    assert cycles({"a": {"b"}, "b": {"a"}, "c": {"a"}}) == ["a", "b"]


def test_no_file_is_above_400_lines_and_no_function_above_80():
    paths = [*FILES.values(), *Path(__file__).parent.glob("*.py")]
    long = {path.name: n for path in paths if (n := len(path.read_text().splitlines())) > 400}
    assert long == {}
    lengths = {
        f"{module}:{node.name}": node.end_lineno - node.lineno + 1
        for module, path in FILES.items()
        for node in functions(ast.parse(path.read_text()))
    }
    assert len(lengths) > 100
    assert {name: length for name, length in lengths.items() if length > 80} == {}


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
    script = (
        "import importlib, socket, sys\n"
        "def refuse(*_): raise OSError('the network is off')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "sys.modules['vllm'] = None\n"  # an import of it fails
        f"for name in {list(FILES)}: importlib.import_module(name)\n"
        "import torch\n"
        "print(torch.cuda.is_initialized())"
    )
    ran = python(script, OMP_NUM_THREADS="1")
    assert ran.stderr == ""
    assert ran.stdout == "False\n"
