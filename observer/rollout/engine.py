"""The interface of an engine, which draws completions."""

from __future__ import annotations

import math
import reprlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

import torch

from observer.types import EngineError, Group, Prompt, RefusedError, Sampling

SHOWN = 3
"""Rows that a message names at most."""
SAID = 300
"""Characters of another's message that a message holds at most."""


class NotFiniteError(FloatingPointError):
    """The logits of completions are not all finite: nothing can be drawn from them."""

    def __init__(self, groups: Sequence[Group]) -> None:
        """Name the rows.

        Args:
            groups: the batch, with what was drawn of each completion; of those whose logits are not finite
                the last log-prob is nan, and the last token means nothing.
        """
        lost = [
            (group.problem.id, len(completion.ids))
            for group in groups
            for completion in group.completions
            if math.isnan(completion.logprobs[-1])
        ]
        rows = list(dict.fromkeys(row for row, _ in lost))
        super().__init__(
            f"the model's output is not finite, at token {lost[0][1]} of {len(lost)} completions of "
            f"{_named(rows)}: a weight is not finite, or weights have grown too far (lower the learning rate)"
        )
        self.groups = tuple(groups)


def _named(rows: Sequence[str]) -> str:
    some = ", ".join(map(reprlib.repr, rows[:SHOWN])) + (", .." if len(rows) > SHOWN else "")
    return f"{len(rows)} rows ({some})"


class Engine(ABC):
    """Draws completions. A plain object, pulled at the start of a step: no module, no callback, no strategy.

    It bans vision tokens, and returns token ids with the log-probs they were drawn with: those of the
    distribution that ``Sampling`` describes. The ids of the prompt that it uses are the renderer's.
    """

    weights: ClassVar[Literal["shared", "own", "none"]] = "shared"
    """``shared``: it samples from the policy's own module, and a sync only sets the version. ``own``: it has
    a copy of the weights, which a sync replaces. ``none``: it reads no weights, and a policy that is cut over
    ranks will do."""

    reproducible: ClassVar[Literal["tokens", "rows"]] = "tokens"
    """What a run that goes on from a checkpoint has in common with one that was never stopped. ``tokens``:
    each is drawn from the inverse CDF at a number that depends only on (seed, step, problem, index in the
    group, token), and on a CPU all of them are the same. ``rows``: the engine draws by numbers of its own;
    rows and their order are the same, tokens may be others."""

    if_it_fails: ClassVar[str] = ""
    """What to try where it failed, such as an option to lower: the end of a sentence."""

    longest: int | None = None
    """Tokens of a prompt and its completion at most, set before ``start`` by who knows; None: unknown."""

    version: int = -1
    """Rollouts finished when its weights were those of the policy; -1 before the first sync."""

    @property
    def spans_ranks(self) -> bool:
        """Whether ranks share one: each calls ``generate`` as often as the others, with no prompts too."""
        return False

    def refuse_ranks(self, ranks: int) -> None:  # noqa: B027 - most engines are of one rank
        """Refuse a number of ranks that it cannot draw for, before anything is loaded.

        Raises:
            RefusedError: says which would do.
        """

    @abstractmethod
    def start(self, policy: Any) -> None:
        """Take the model to sample from. Called before the first ``generate``, and again after ``close``.

        Args:
            policy: where ``weights`` is ``shared``, the ``Policy``, its weights loaded; where it is ``own``,
                the ``PolicySpec`` of the model to load, so that no weights are loaded twice.
        """

    @abstractmethod
    def sync(self, named_tensors: Iterable[tuple[str, torch.Tensor]], version: int) -> None:
        """Take the policy's weights, by name, after ``version`` finished rollouts."""

    @abstractmethod
    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Group]:
        """Draw ``sampling.group_size`` completions for each prompt, groups in the order of the prompts.

        Raises:
            NotFiniteError: the model's logits are not finite.
        """

    def rest(self) -> None:  # noqa: B027 - an engine that needs no more than the policy has nothing to do
        """Give up what only drawing needs, such as a GPU's memory. Called when a step or a batch is drawn.

        Until the next ``sync`` or ``generate``, which may come without the other: weights are kept.
        """

    def close(self) -> None:  # noqa: B027 - an engine that holds nothing has nothing to do
        """Release memory and processes; the engine is not used again before another ``start``."""


@contextmanager
def failing(engine: Engine, doing: str, prompts: Sequence[Prompt] = ()) -> Iterator[None]:
    """Turn whatever an engine's library raises inside into one error that names the engine and the rows.

    Args:
        engine: at work inside.
        doing: what it does, in a few words.
        prompts: that it draws for.

    Raises:
        EngineError: in place of what was raised inside, which is its cause. What is refused, and output that
            is not finite, is raised as it is.
    """
    try:
        yield
    except (RefusedError, NotFiniteError):
        raise
    except Exception as error:
        name, rows = type(engine).__name__, [prompt.problem.id for prompt in prompts]
        where = f"{doing} for {_named(rows)}" if rows else doing
        said = " ".join(f"{type(error).__name__}: {error}".split())
        said = said[:SAID] + (".." if len(said) > SAID else "")
        remedy = f"; {engine.if_it_fails}" if engine.if_it_fails else ""
        raise EngineError(f"the engine {name} failed {where}: {said}{remedy}", prompts) from error
