"""The structure of the package as figures: rooms, floors, sizes, the longest chain of imports.

``python tests/helpers/structure.py`` prints them; ``test_structure.py`` holds them.
"""

import ast
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2] / "observer"
FILES = {
    ".".join(["observer", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}
GROUND = ["types", "refusal", "strategies", "seeding"]
"""Files that every room may import."""
FLOORS = [
    ["observer", "types"],
    ["seeding", "refusal", "strategies"],
    ["run", "pages"],
    ["verifier", "objective", "curriculum", "policy", "statistics"],
    ["rewards", "rollout"],
    ["answering"],
    ["metrics"],
    ["data"],
    ["learner", "score", "ladder", "doctor", "release", "planning"],
    ["callbacks", "evaluation", "ablation", "browse"],
    ["cli"],
]
"""From the ground up. A room imports from floors below it, and from no other room of its own floor."""
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def room(module):
    """``observer.data.tiles.rows`` is in the room ``data``; what ``python -m observer`` runs is a command."""
    if module == "observer.__main__":
        return "cli"
    return "observer" if module == "observer" else module.split(".")[1]


def rooms():
    """The folders of the package."""
    return sorted(path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file())


def ground():
    """The loose files of the package."""
    return sorted(path.stem for path in ROOT.glob("*.py") if path.stem not in ("__init__", "__main__"))


@cache
def parsed(source):
    """The syntax tree of a source; nobody changes it."""
    return ast.parse(source)


@cache
def import_statements(source):
    """The import statements of a source, at its top or inside a function."""
    return [node for node in ast.walk(parsed(source)) if isinstance(node, ast.Import | ast.ImportFrom)]


def imports(source, names):
    """The (module, name) that a source imports from ours, at its top or inside a function."""
    found = set()
    for node in import_statements(source):
        if isinstance(node, ast.Import):
            found |= {(alias.name, None) for alias in node.names}
        else:
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                found.add((below, None) if below in names else (node.module, alias.name))
    return {(module, name) for module, name in found if module.split(".")[0] == "observer"}


def imported_modules(source, names):
    return {module for module, _ in imports(source, names)}


def imports_that_point_up(sources):
    """Say of sources by module name which of their imports leave the one-way order."""
    return [
        f"{module} imports {target}"
        for module, source in sources.items()
        for target in sorted(imported_modules(source, FILES.keys() | sources.keys()))
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


@cache
def defining(module, name):
    """The module that a name of a face comes from: a package's ``__init__`` only passes it on."""
    if name is not None and FILES[module].name == "__init__.py":
        for target, passed_on in imports(FILES[module].read_text(), FILES.keys()):
            if passed_on == name:
                return defining(target, name)
    return module


@cache
def longest_chain(module):
    """The longest chain of modules from this one down, each imported by the one before."""
    found = imports(FILES[module].read_text(), FILES.keys())
    below = [longest_chain(target) for target in {defining(*one) for one in found} - {module}]
    return [module, *max(below, key=len, default=[])]


def _at_import(node):
    """Import statements that run when a module is imported: in no function, for no type checker."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield node
    for child in ast.iter_child_nodes(node):
        yield from _at_import(child)


def needed(module):
    """The packages of others that are imported with a module of ours, by way of our other modules."""
    seen, todo, found = set(), [module], set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        todo += [name.rpartition(".")[0]] if "." in name else []
        for statement in _at_import(parsed(FILES[name].read_text())):
            for target, passed_on in imports(ast.unparse(statement), FILES.keys()):
                todo += [target, defining(target, passed_on)]
            names = statement.names if isinstance(statement, ast.Import) else [ast.alias(statement.module)]
            found |= {alias.name.partition(".")[0] for alias in names}
    return found - {"observer", "__future__"} - sys.stdlib_module_names


def lines(path):
    return len(path.read_text().splitlines())


def functions(path):
    """The lines of each function of a file, by name."""
    return {
        f"{path.name}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def modules_by_folder():
    """Python files of each folder of the package, beside its ``__init__``."""
    counts = {}
    for path in FILES.values():
        if path.name != "__init__.py":
            counts[str(path.parent.relative_to(ROOT.parent))] = (
                counts.get(str(path.parent.relative_to(ROOT.parent)), 0) + 1
            )
    return counts


def longest_function(paths):
    found = {name: n for path in paths for name, n in functions(path).items()}
    return max(found.items(), key=lambda item: item[1])


def main():
    faceless = [module for module, path in FILES.items() if path.name != "__init__.py"]
    chain = max(map(longest_chain, faceless), key=len)
    folder, most = max(modules_by_folder().items(), key=lambda item: item[1])
    file = max(FILES.values(), key=lines)
    function, length = longest_function(FILES.values())
    print(f"rooms: {len(rooms())}: {' '.join(rooms())}")
    print(f"ground: {' '.join(ground())}")
    print("floors: " + " < ".join(" ".join(floor) for floor in FLOORS))
    print(f"fullest folder: {folder}, {most} modules")
    print(f"longest file: {file.relative_to(ROOT.parent)}, {lines(file)} lines")
    print(f"longest function: {function}, {length} lines")
    print(f"longest chain of imports: {len(chain)}: {' > '.join(chain)}")


if __name__ == "__main__":
    main()
