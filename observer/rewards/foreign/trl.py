"""Reward functions written for TRL's GRPOTrainer."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

from observer.refusal import still_there
from observer.rewards.foreign.base import ForeignReward, completions_of, is_async
from observer.rewards.run_async import run_async
from observer.types import Completion, Group, Problem

ALWAYS = ("prompts", "completions", "completion_ids", "answer", "trainer_state", "log_extra", "log_metric")
"""Keywords of every call."""
PICTURES = ("image", "images")


@dataclass(frozen=True)
class TrlReward(ForeignReward):
    """r = your function's value, called as TRL calls it: for reward functions written for its GRPOTrainer.

    It is called once per step, or awaited, with keywords only: ``prompts``, ``completions``,
    ``completion_ids``, ``trainer_state`` (``global_step`` only, 0 in evaluation), ``log_extra``,
    ``log_metric``, and as columns the row's ``answer`` and metadata, each a list with an entry a
    completion. A column that a row lacks holds None. A function without ``**kwargs`` has to name all of
    these, as with TRL. It returns a list of numbers, or None for a completion that it does not apply to.

    Reference: TRL 1.16, ``GRPOTrainer``.

    Assumes that what it logs may be lost: ``log_extra`` and ``log_metric`` do nothing. Pictures are decoded
    only for a function that names ``image`` (the first) or ``images``.

    Args:
        function: ``package.module:name`` or ``path/file.py:name``.
        arguments: given to it as keywords with every call.
        weight: what its values are multiplied by.
        conversational: whether prompts and completions are lists of messages; else they are texts, the
            turns of a prompt set apart by blank lines.
    """

    conversational: bool = True
    more: ClassVar[bool] = True

    def example(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the keywords of every call; see ``ForeignReward``."""
        return (), dict.fromkeys(ALWAYS)

    def call(self, groups: Sequence[Group], step: int) -> Sequence[Any]:
        """Call or await the function once; see ``ForeignReward``."""
        flat = list(completions_of(groups))
        keywords = {
            **_columns([problem for problem, _ in flat]),
            **self._pictures(groups),
            "prompts": [self._prompt(problem) for problem, _ in flat],
            "completions": [self._completion(completion) for _, completion in flat],
            "completion_ids": [list(completion.ids) for _, completion in flat],
            "trainer_state": SimpleNamespace(global_step=max(step, 0)),
            "log_extra": _ignored,
            "log_metric": _ignored,
            **self.arguments,
        }
        called = self.callable
        result: Sequence[Any] = run_async(called(**keywords)) if is_async(called) else called(**keywords)
        return result

    def read(self, result: Any) -> float | None:
        """Return the number, or None; see ``ForeignReward``."""
        return None if result is None else float(result)

    def _prompt(self, problem: Problem) -> list[dict[str, str]] | str:
        if self.conversational:
            return [{"role": turn.role, "content": turn.text} for turn in problem.turns]
        return "\n\n".join(turn.text for turn in problem.turns)

    def _completion(self, completion: Completion) -> list[dict[str, str]] | str:
        if self.conversational:
            return [{"role": "assistant", "content": completion.text}]
        return completion.text

    def _pictures(self, groups: Sequence[Group]) -> dict[str, list[Any]]:
        try:
            wanted = [name for name in PICTURES if name in inspect.signature(self.callable).parameters]
        except (TypeError, ValueError):
            wanted = []
        if not wanted:
            return {}
        rows: list[Any] = []
        for group in groups:
            with still_there(group.problem):
                pictures = [picture.load() for picture in group.problem.pictures]
            rows += [pictures] * len(group.completions)
        first = [pictures[0] if pictures else None for pictures in rows]
        return {name: rows if name == "images" else first for name in wanted}


def _columns(problems: Sequence[Problem]) -> dict[str, list[Any]]:
    """Return metadata and answers as columns."""
    names = dict.fromkeys(name for problem in problems for name in problem.metadata)
    columns = {str(name): [problem.metadata.get(name) for problem in problems] for name in names}
    for name in ("prompt", "completion"):
        columns.pop(name, None)  # TRL keeps these to itself
    return {**columns, "answer": [problem.answer for problem in problems]}


def _ignored(name: str, value: Any) -> None:
    """Stand in for TRL's loggers."""
