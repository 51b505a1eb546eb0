"""The registry of strategies: families, their members, and how plugins and packages add to them.

A strategy is a frozen dataclass under its family's base class. Its class name is its name in configurations
(``weighting: Quadratic``), so nothing is registered by hand: a class that has been imported is known. This
file finds and lists classes; the configuration parser builds them.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
import traceback
import typing
from collections.abc import Callable, Sequence
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from observer.types import RefusedError

FAMILIES: dict[str, str] = {
    "reward": "observer.rewards:Reward",
    "format": "observer.rewards:ResponseFormat",
    "advantage": "observer.objective:Advantage",
    "weighting": "observer.objective:Weighting",
    "loss": "observer.objective:Loss",
    "kl": "observer.objective:KL",
    "learning_rate": "observer.objective:LearningRate",
    "parameter_groups": "observer.objective:ParameterGroups",
    "schedule": "observer.curriculum:Schedule",
    "curriculum": "observer.curriculum.hooks:CurriculumHooks",
    "engine": "observer.rollout:Engine",
    "rows": "observer.data:RowFormat",
    "build_step": "observer.ladder:BuildStep",
    "scoring": "observer.evaluation:Scoring",
}
"""Family -> import path of its base class. Importing the base's package imports the built-in members.

Members are strategies, but for ``curriculum``: those are callbacks, of which a run has one.
"""

STANDS_FOR = {"CurriculumHooks": "CurriculumCallback"}
"""Base class -> the built-in member that has its options: that one is known before Lightning is imported."""

RENAMED: dict[str, dict[str, str]] = {
    "schedule": {"Ladder": "NeuraLadder"},
    "weighting": {"Stage": "StageWave"},
}
"""Family -> former name of a built-in strategy -> its name now."""

ENTRY_POINT_GROUP = "observer.strategies"
PLUGIN = "observer_plugin_"
"""Before the name of a file that ``plugins`` names: its module."""
_OURS = re.compile(r"\bobserver(?:\.\w+)+")
"""An import path of this package."""


def base_class(family: str) -> type:
    """Import and return the base class of a family.

    Raises:
        KeyError: the family does not exist.
    """
    module, _, name = FAMILIES[family].partition(":")
    base: type = getattr(importlib.import_module(module), name)
    return base


def members(family: str) -> dict[str, type]:
    """Return the concrete strategies of a family imported so far, by name, sorted."""

    def below(cls: type) -> list[type]:
        children: list[type] = cls.__subclasses__()
        return [cls, *(found for child in children for found in below(child))]

    found = {
        STANDS_FOR.get(cls.__name__, cls.__name__): cls  # a base comes before what it stands for
        for cls in below(base_class(family))
        if not inspect.isabstract(cls) and not cls.__name__.startswith("_")
    }
    return dict(sorted(found.items()))


def families_of(hint: Any) -> list[str]:
    """Return the families whose strategies a type hint accepts."""
    bases = {base_class(family): family for family in FAMILIES}
    todo: list[Any] = [hint]
    found: list[str] = []
    while todo:
        part = todo.pop()
        todo += typing.get_args(part)
        if isinstance(part, type):
            found += [
                family
                for base, family in bases.items()
                if part is base or (base.__name__ in STANDS_FOR and issubclass(part, base))
            ]
    return found


def taken_by(hint: Any) -> list[str]:
    """Return the names of the strategies that a type hint accepts, sorted; empty when it accepts none."""
    return sorted(name for family in families_of(hint) for name in members(family))


def former_names(family: str) -> dict[str, str]:
    """Return former name -> name now of the strategies of a family; names in use again are left out."""
    known = members(family)
    return {old: new for old, new in RENAMED.get(family, {}).items() if old not in known}


def with_present_names(family: str, text: str) -> str:
    """Return an earlier output of ``described`` with the names of now.

    >>> with_present_names("schedule", "AtMost(schedule=Ladder(by='both'), visits=2)")
    "AtMost(schedule=NeuraLadder(by='both'), visits=2)"
    """
    for old, new in former_names(family).items():
        text = re.sub(rf"(?<![\w.]){old}\(", f"{new}(", text)
    return text


def moved(text: str, families: Sequence[str] = ()) -> list[str]:
    """Return one sentence per former name or import path in a text, with its name or path now.

    Args:
        text: a user's text, or a message that quotes it.
        families: whose former names count by themselves; in import paths those of all families count.
    """
    names = {old: new for family in families for old, new in former_names(family).items()}
    told = [
        f"{old} is called {new} now" for old, new in names.items() if re.search(rf"(?<!\w){old}(?!\w)", text)
    ]
    paths = {path: present_path(path) for path in dict.fromkeys(_OURS.findall(text))}
    return told + [f"{path} is {now} now" for path, now in paths.items() if now is not None]


def present_path(path: str) -> str | None:
    """Return the import path now of a former one of this package; None if it is valid or nothing is found."""
    if _leads_somewhere(path):
        return None
    name = path.rpartition(".")[2]
    for family, base in FAMILIES.items():
        if path.startswith(base.partition(":")[0]):
            name = former_names(family).get(name, name)
    packages = [*dict.fromkeys(base.partition(":")[0] for base in FAMILIES.values()), "observer.learner"]
    for package in packages:
        if name in getattr(importlib.import_module(package), "__all__", ()):
            return f"{package}.{name}"
    found = [cls for family in FAMILIES for cls in members(family).values() if cls.__name__ == name]
    ours = [cls.__module__ for cls in found if cls.__module__.startswith("observer.")]
    return f"{ours[0]}.{name}" if ours else None


def _leads_somewhere(path: str) -> bool:
    package, _, name = path.rpartition(".")
    try:
        return hasattr(importlib.import_module(package), name) or bool(importlib.import_module(path))
    except ImportError:
        return False


def parameters(strategy: type) -> dict[str, str]:
    """Return the parameters of a strategy as text, ``name -> "type = default"``.

    Types of this package and of plugins are named without their module. ``**options`` are those of the class
    above.
    """
    signature = inspect.signature(strategy)
    source = strategy if is_dataclass(strategy) else inspect.getattr_static(strategy, "__init__")
    hints = typing.get_type_hints(source)
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    found = {
        name: re.sub(r"\bobserver\w*(\.\w+)*\.", "", inspect.formatannotation(hints.get(name, Any)))
        + ("" if parameter.default is inspect.Parameter.empty else f" = {parameter.default!r}")
        for name, parameter in signature.parameters.items()
        if parameter.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    }
    if inspect.Parameter.VAR_KEYWORD in kinds:
        above = [cls for cls in strategy.__mro__[:-1] if "__init__" in vars(cls)][1:2]
        found |= {name: text for cls in above for name, text in parameters(cls).items() if name not in found}
    return found


def described(strategy: Any) -> str:
    """Return a strategy with its options, the same in every process.

    A class without a ``__repr__`` of its own would show its address; for it only the name is returned.
    """
    representation: object = type(strategy).__repr__
    plain = representation is object.__repr__
    return f"{type(strategy).__name__}()" if plain else repr(strategy)


def import_path(cls: type | Callable[..., Any]) -> str:
    """Return the shortest path that imports a class: its room's, where the room offers it.

    >>> from observer.learner import ObserveLearner
    >>> import_path(ObserveLearner)
    'observer.learner.ObserveLearner'
    """
    parts = cls.__module__.split(".")
    for length in range(1, len(parts)):
        package = ".".join(parts[:length])
        if getattr(sys.modules.get(package), cls.__qualname__, None) is cls:
            return f"{package}.{cls.__qualname__}"
    return f"{cls.__module__}.{cls.__qualname__}"


def summary(strategy: type) -> str:
    """Return the first line of a strategy's docstring."""
    return (inspect.getdoc(strategy) or "").partition("\n")[0]


def page(families: Sequence[str]) -> str:
    """Return families as a page of Markdown: one table per family, of names, summaries and parameters."""
    lines = ["# Strategies", "", "What `observer list --markdown` prints.", ""]
    for family in families:
        base = base_class(family)
        lines += [f"## {family}", "", summary(base), ""]
        lines += ["| name | what it is | parameters |", "|---|---|---|"]
        for name, strategy in members(family).items():
            options = "<br>".join(f"`{key}: {value}`" for key, value in parameters(strategy).items())
            lines.append(f"| `{name}` | {_cell(summary(strategy))} | {_cell(options)} |")
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


@cache
def load_entry_points() -> None:
    """Import the strategies that installed packages offer as entry points of ``observer.strategies``."""
    from importlib.metadata import entry_points  # slow: it imports the e-mail parser

    for entry in entry_points(group=ENTRY_POINT_GROUP):
        entry.load()


def load_plugin(path: str | Path) -> None:
    """Import a user's Python file so that its strategies are known by name. A second call does nothing.

    A file is imported once: ``mine.py`` is the module ``mine`` too, unless another module has that name.

    Args:
        path: a ``.py`` file.

    Raises:
        RefusedError: the file does not exist, is no Python file, fails on import, has a name that is no
            identifier, or the name of another plugin.
    """
    file = Path(path).resolve()
    if file.suffix != ".py" or not file.is_file():
        raise RefusedError(f"plugins: {str(path)!r} is no Python file; name an existing .py file ({file})")
    name = f"{PLUGIN}{file.stem}"  # without the folder: a saved configuration works on any machine
    if not name.isidentifier():
        raise RefusedError(
            f"plugins: {file} has a name that cannot be imported; rename it, with letters, digits and _ only"
        )
    if (known := sys.modules.get(name)) is not None:
        if not _is_of(known, file):
            raise RefusedError(f"plugins: {file} and {known.__file__} have the same name; rename one of them")
        return
    for key, module in list(sys.modules.items()):
        if _is_of(module, file) and module.__name__ == key:  # another plugin has imported it
            sys.modules[name] = module
            return
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise RefusedError(f"plugins: {file} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    names = [name, *_other_names(file)]
    sys.modules |= dict.fromkeys(names, module)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        for each in names:  # or a second call would take it for loaded
            del sys.modules[each]
        own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        line = f" (line {own[-1].lineno})" if own else ""
        why = f": {error}" if isinstance(error, RefusedError) else f" cannot be imported: {error!r}{line}"
        raise RefusedError(f"plugins: {file}{why}") from error


def _is_of(module: ModuleType, file: Path) -> bool:
    """Return whether a module is that of a file."""
    own = getattr(module, "__dict__", {}).get("__file__")  # without importing what is imported when asked
    return isinstance(own, str) and own.endswith(file.name) and Path(own).resolve() == file


def _other_names(file: Path) -> list[str]:
    """Return the names by which Python would import a file, so that nothing imports it a second time."""
    names = {file.stem}
    for folder in (Path(entry).resolve() for entry in sys.path):
        if file.is_relative_to(folder):
            names.add(".".join(file.relative_to(folder).with_suffix("").parts))
    return [name for name in names if _is_free(name, file)]


def _is_free(name: str, file: Path) -> bool:
    """Return whether importing a name would find a file, or nothing."""
    if (known := sys.modules.get(name)) is not None:
        return known.__name__.startswith(PLUGIN)  # of a plugin that is no more
    try:
        found = importlib.util.find_spec(name.partition(".")[0])
    except (ImportError, ValueError):
        return False
    if found is None:
        return "." not in name
    places = [found.origin, *(found.submodule_search_locations or ())]
    return any(place and file.is_relative_to(Path(place).resolve()) for place in places)


def in_plugins(name: str) -> type | None:
    """Return the class of a name alone from the files of ``plugins``; None if there is none."""
    modules = [module for key, module in sys.modules.items() if key.startswith(PLUGIN)]
    found = [getattr(module, name) for module in modules if isinstance(getattr(module, name, None), type)]
    return found[-1] if found else None
