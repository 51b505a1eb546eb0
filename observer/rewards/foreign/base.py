"""Reward functions that users wrote for other frameworks: where they are, and how they are read.

Each framework's way of calling is a reward of its own: ``TrlReward``, ``EasyR1Reward``, ``VerlReward``.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from observer.refusal import SHOWN, printable, shown
from observer.rewards.base import Reward
from observer.strategies import load_plugin
from observer.types import Completion, Group, Problem, RefusedError, Score


@dataclass(frozen=True)
class ForeignReward(Reward):
    """A reward function by its import path; all completions of a step reach it together.

    Args:
        function: ``package.module:name`` or ``path/file.py:name``.
        arguments: given to it as keywords with every call.
        weight: what its values are multiplied by.
    """

    function: str
    arguments: dict[str, Any] = field(default_factory=dict)
    weight: float = 1.0
    more: ClassVar[bool] = False
    """Whether calls hold keywords that only the rows know, beyond those of ``example``."""

    def __post_init__(self) -> None:
        """Refuse a function that cannot be imported, or not be called as its framework does."""
        super().__post_init__()
        try:
            called = self.callable
        except RefusedError as error:
            raise RefusedError(f"{type(self).__name__}.function is {self.function!r}; {error}") from error
        self._refuse_signature(called)

    @property
    def callable(self) -> Callable[..., Any]:
        """The function."""
        return find_function(self.function)[1]

    @abstractmethod
    def example(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return positional arguments and keywords that every call has."""

    @abstractmethod
    def call(self, groups: Sequence[Group], step: int) -> Sequence[Any]:
        """Call the function and return its answer for each completion, flat, N."""

    @abstractmethod
    def read(self, result: Any) -> float | None:
        """Return the value in the function's answer for one completion."""

    def __call__(self, group: Group, scores: Sequence[Score], step: int) -> Sequence[float | None]:
        """Return the function's value of each completion."""
        return self.of_all([group], [scores], step)[0]

    def of_all(
        self, groups: Sequence[Group], scores: Sequence[Sequence[Score]], step: int
    ) -> list[Sequence[float | None]]:
        """Return the function's values of all completions; see ``Reward.of_all``."""
        flat = list(completions_of(groups))
        if not flat:
            return [[] for _ in groups]
        try:
            results = list(self.call(groups, step))
        except Exception as error:
            raise RuntimeError(f"step {step}: {self.function} raised {error!r}") from error
        if len(results) != len(flat):
            raise RuntimeError(
                f"step {step}: {self.function} returned {len(results)} values for {len(flat)} completions"
            )
        values: list[float | None] = []
        for (problem, _), result in zip(flat, results, strict=True):
            try:
                values.append(self.read(result))
            except (KeyError, IndexError, TypeError, ValueError) as error:
                raise RuntimeError(
                    f"row {printable(problem.id, SHOWN)}, step {step}: {self.function} returned "
                    f"{shown(result)}, which holds no value: {error!r}"
                ) from error
        rest = iter(values)
        return [[next(rest) for _ in group.completions] for group in groups]

    def _refuse_signature(self, called: Callable[..., Any]) -> None:
        try:
            signature = inspect.signature(called)
        except (TypeError, ValueError):
            return  # of some built-in callables nobody knows how they are called
        positional, keywords = self.example()
        try:
            bind = signature.bind_partial if self.more else signature.bind
            bind(*positional, **{**keywords, **self.arguments})
        except TypeError as error:
            raise RefusedError(
                f"{type(self).__name__}.function is {self.function!r}, which cannot be called with "
                f"{', '.join([*map(repr, positional), *keywords, *self.arguments])}: {error}; "
                "correct the function, its arguments or the kind of reward"
            ) from error


def completions_of(groups: Sequence[Group]) -> Iterator[tuple[Problem, Completion]]:
    """Return all completions with their problems, flat, in the order of the groups."""
    return ((group.problem, completion) for group in groups for completion in group.completions)


@cache
def find_function(path: str) -> tuple[ModuleType, Callable[..., Any]]:
    """Import a function and the module it was asked of. A second call imports nothing.

    Args:
        path: ``package.module:name`` or ``path/file.py:name``.

    Raises:
        RefusedError: there is no such module or name, importing it fails, or it is no function. The caller
            adds whose path it is.
    """
    where, colon, name = path.rpartition(":")
    if not (colon and where and name):
        raise RefusedError("give package.module:name or path/file.py:name")
    if where.endswith(".py"):
        try:
            load_plugin(where)
        except RefusedError as error:
            raise RefusedError(str(error).removeprefix("plugins: ")) from error
        module = sys.modules[f"observer_plugin_{Path(where).stem}"]
    else:
        try:
            module = importlib.import_module(where)
        except (Exception, SystemExit) as error:
            raise RefusedError(f"{where} cannot be imported: {error!r}; name one that can") from error
    found = getattr(module, name, None)
    if not callable(found):
        what = "does not exist" if found is None else f"is a {type(found).__name__}"
        raise RefusedError(f"{name} {what} in {where}; name a function of it")
    return module, found


def is_async(function: Callable[..., Any]) -> bool:
    """Return whether a function, an object's call or what a ``functools.partial`` holds has to be awaited."""
    while isinstance(function, partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004
    )
