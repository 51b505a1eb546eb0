"""Which options would make a fit fit: each is tried by computing the plan anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

from observer.planning.drawing import engine_lacks
from observer.planning.memory import Weights, gpu_parts, totals
from observer.planning.work import Engine, Work
from observer.policy.loading import Lora

MOST_RANKS = 16
MOST_TOGETHER = 4
"""Options that are tried together."""
MOST_NAMED = 4
"""Ways that are named."""


@dataclass(frozen=True)
class Change:
    """An option with another value, as it is written, and what it does."""

    words: str
    made: Callable[[Work], Work]


def peak(work: Work, capacity: int) -> int:
    """Return the most bytes that a GPU holds in any phase."""
    return max(totals(gpu_parts(work, capacity)))


def fits(work: Work, capacity: int) -> bool:
    """Return whether a fit stays within a GPU in every phase, and its engine has room to draw."""
    return engine_lacks(work, Weights(work).shapes, capacity) <= 0 and peak(work, capacity) <= capacity


def ways(work: Work, capacity: int) -> list[tuple[tuple[Change, ...], Work]]:
    """Return sets of changes that each make a fit fit, the smallest first, none holding another.

    Args:
        work: one that does not fit.
        capacity: of a GPU, bytes.
    """
    found: list[tuple[tuple[Change, ...], Work]] = []
    kinds = list(_changes(work))
    for size in range(1, MOST_TOGETHER + 1):
        for chosen in combinations(range(len(kinds)), size):
            if any({*places} <= {*chosen} for places in (_places(kinds, way) for way, _ in found)):
                continue
            for way in product(*(kinds[place] for place in chosen)):
                changed = work
                for change in way:
                    changed = change.made(changed)
                if fits(changed, capacity):
                    found.append((way, changed))
                    break
        if found:
            break
    return found[:MOST_NAMED]


def _places(kinds: Sequence[Sequence[Change]], way: Sequence[Change]) -> list[int]:
    return [place for place, kind in enumerate(kinds) if any(change in kind for change in way)]


def _changes(work: Work) -> Iterator[list[Change]]:
    """Yield kinds of changes, those that cost least first; of each the values in the order they are tried."""
    if not work.checkpointing:
        yield [
            Change("model.policy.gradient_checkpointing true", lambda each: replace(each, checkpointing=True))
        ]
    if halves := list(_halves(work.micro_batch_tokens, work.prompt + work.completion)):
        yield [Change(f"model.micro_batch_tokens {size}", _tokens(size)) for size in halves]
    yield from _of_engine(work)
    if not work.mixed and work.dtype == 4:
        yield [Change("trainer.precision bf16-mixed", lambda each: replace(each, mixed=True))]
    if work.ranks > 1 and not work.sharded:
        yield [Change("trainer.strategy ModelParallelStrategy and model.engine VLLM", _sharded)]
    if work.reference and work.lora is None:
        yield [Change("model.kl null", lambda each: replace(each, reference=False))]
    if not work.frozen_tower:
        yield [Change("model.policy.freeze_vision true", lambda each: replace(each, frozen_tower=True))]
    if work.lora is None:
        yield [Change("model.policy.lora.rank 32 and model.policy.dtype bfloat16", _adapted)]
    if more := [ranks for ranks in (2, 4, 8, MOST_RANKS) if ranks > work.ranks]:
        yield [
            Change(f"{ranks} GPUs with trainer.strategy ModelParallelStrategy", _on(ranks)) for ranks in more
        ]


def _halves(size: int, least: int) -> Iterator[int]:
    """Yield halves of a number of tokens down to the first that holds no more than one completion.

    >>> list(_halves(8192, least=3000))
    [4096, 2048]
    """
    while size > least:
        size //= 2
        yield size


def _of_engine(work: Work) -> Iterator[list[Change]]:
    if not work.engine.own:
        of_group = work.prompt + work.group * work.completion
        most = int(work.engine.number("tokens_at_once", 262_144))
        if halves := list(_halves(most, of_group)):
            yield [
                Change(f"model.engine.tokens_at_once {each}", _drawn(tokens_at_once=each)) for each in halves
            ]
        return
    own = work.engine.number("memory_share", 0.4)
    shares = sorted((share / 100 for share in range(10, 95, 5)), key=lambda share: abs(share - own))
    yield [Change(f"model.engine.memory_share {share}", _drawn(memory_share=share)) for share in shares]
    if not work.sharded:
        yield [Change("model.engine TransformersEngine and model.engine.tokens_at_once 32768", _shared)]
    held = int(work.engine.number("tensor_parallel", 1))
    if parts := [each for each in (2, 4, 8) if each > held and work.ranks % each == 0]:
        yield [Change(f"model.engine.tensor_parallel {each}", _drawn(tensor_parallel=each)) for each in parts]
    if not work.engine.options.get("sleep", True):
        yield [Change("model.engine.sleep true", _drawn(sleep=True))]
    if work.dtype == 4 and work.engine.options.get("dtype") != "bfloat16":
        yield [Change("model.engine.dtype bfloat16", _drawn(dtype="bfloat16"))]


def _tokens(size: int) -> Callable[[Work], Work]:
    return lambda work: replace(work, micro_batch_tokens=size)


def _drawn(**options: object) -> Callable[[Work], Work]:
    return lambda work: work.with_engine(**options)


def _on(ranks: int) -> Callable[[Work], Work]:
    return lambda work: replace(_sharded(work), ranks=ranks)


def _sharded(work: Work) -> Work:
    engine = work.engine if work.engine.own else Engine("VLLM", own=True)
    return replace(work, sharded=True, engine=engine)


def _shared(work: Work) -> Work:
    return replace(work, engine=Engine("TransformersEngine", own=False, options={"tokens_at_once": 32_768}))


def _adapted(work: Work) -> Work:
    return replace(work, lora=Lora(), dtype=2, frozen_tower=True)
