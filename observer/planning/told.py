"""A plan as people read it: tables, what does not fit, and what would make it fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich.table import Table

from observer.planning.activations import tokens
from observer.planning.beside import disk_parts, host_parts
from observer.planning.drawing import engine_lacks
from observer.planning.memory import PHASES, Weights, gpu_parts, totals
from observer.planning.mends import fits, peak, ways
from observer.planning.parameters import count
from observer.planning.work import Work

GB = 10**9
GPUS, CARDS = (1, 4, 8), (24, 48, 80, 141)
"""Numbers of GPUs and their memory in GB, in the table of sizes."""


def headline(work: Work) -> Iterator[str]:
    """Yield what is planned, in sentences."""
    weights, largest = Weights(work), work.largest_pass()
    every, trained = count(weights.shapes) + count(weights.adapters), count(weights.trained)
    shared = f", in {work.shards} shards" if work.shards > 1 else ""
    where = "CPU process" if work.on_cpu else "GPU"
    several = _several(work.ranks, where)
    yield f"{work.sizes.name}: {trained:,} of {every:,} parameters train; {several}{shared}"
    yield (
        f"the longest pass has {tokens(work, largest):,} tokens: {_several(largest.prompts, 'prompt')} of "
        f"{work.prompt:,} with {work.visual:,} visual tokens, {_several(largest.rows, 'completion')} of "
        f"{work.completion:,}; {_several(largest.count, 'pass')} for an optimizer step, on each "
        f"{'process' if work.on_cpu else 'GPU'}"
    )


def memory_table(work: Work, capacity: int | None) -> Table:
    """Return the memory of a rank by part and phase, in GB."""
    parts = gpu_parts(work, capacity)
    table = Table(title=f"GB (10^9 bytes) of a {'process' if work.on_cpu else 'GPU'} at most, while ..")
    for heading in ("", *PHASES):
        table.add_column(heading, justify="right" if heading else "left")
    for name, part in parts.items():
        table.add_row(name, *map(_gigabytes, part))
    table.add_section()
    table.add_row("all", *map(_gigabytes, totals(parts)))
    return table


def beside_table(work: Work) -> Table:
    """Return the memory of a host and the room on the disk by part, in GB."""
    table = Table(title="GB (10^9 bytes) beside that")
    table.add_column("")
    table.add_column("", justify="right")
    host, disk = host_parts(work), disk_parts(work)
    of_host = "memory of the host" if work.nodes == 1 else "memory of each host"
    for whole, parts in ((of_host, host), ("disk", disk)):
        for name, size in parts.items():
            table.add_row(name, _gigabytes(size))
        table.add_row(whole, _gigabytes(sum(parts.values())), style="bold")
        table.add_section()
    return table


def verdict(work: Work, capacity: int | None) -> Iterator[str]:
    """Yield whether it fits, and what would make it fit."""
    where = "this machine's memory" if work.on_cpu else "a GPU"
    if capacity is None:
        yield "whether it fits is unknown: there is no GPU here; write --plan.gpu_memory 24 for one of 24 GB"
        return
    most, room = peak(work, capacity), f"{capacity / GB:,.0f} GB"
    if fits(work, capacity):
        yield f"fits: {most / GB:,.1f} of {room} of {where} at most"
        return
    if (lacks := engine_lacks(work, Weights(work).shapes, capacity)) > 0:
        yield (
            f"does not fit: the share that the engine takes of {where} of {room} is {lacks / GB:,.1f} GB too "
            f"small for its weights and one completion"
        )
    if most > capacity:
        yield f"does not fit: it takes {most / GB:,.1f} GB of {where}, which has {room}"
    found = ways(work, capacity)
    if not found:
        yield "no options that a plan knows make it fit; shorter prompts and completions, or larger GPUs"
    for way, changed in found:
        words = " and ".join(change.words for change in way)
        yield f"it would fit with {words}: {peak(changed, capacity) / GB:,.1f} GB"


def time_line(work: Work, seconds: float | None) -> str:
    """Return how long a rollout and the run take, as far as it is known."""
    rollouts = "an unknown number of" if work.rollouts is None else f"{work.rollouts:,}"
    if seconds is None:
        return f"time: unknown for {rollouts} rollouts; --plan timed takes a step on this machine"
    hours = "unknown" if work.rollouts is None else f"{work.rollouts * seconds / 3600:,.1f}"
    return f"time: {seconds:,.1f} s for a rollout and its update, {hours} hours for {rollouts} rollouts"


def sizes(work: Work) -> Iterator[str]:
    """Yield a Markdown table: what fits on how many GPUs of which memory, and what else would be needed."""
    yield "| GPUs | of 24 GB | of 48 GB | of 80 GB | of 141 GB |"
    yield "|---|---|---|---|---|"
    for ranks in GPUS:
        cells = [_cell(replace(work, ranks=ranks, nodes=1), card * GB) for card in CARDS]
        yield f"| {ranks} | {' | '.join(cells)} |"


def _cell(work: Work, capacity: int) -> str:
    if fits(work, capacity):
        return f"**{peak(work, capacity) / GB:,.0f} GB**"
    # More GPUs are another row of the table.
    found = [each for each in ways(work, capacity) if not any("GPUs with" in one.words for one in each[0])]
    if not found:
        return "no"
    way, changed = found[0]
    return f"{peak(changed, capacity) / GB:,.0f} GB with {_short([change.words for change in way])}"


def _short(words: Sequence[str]) -> str:
    options = [option for word in words for option in word.split(" and ")]
    return ", ".join(f"`{option.removeprefix('model.')}`" for option in options)


def _several(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 'es' if noun.endswith('s') else 's'}"


def _gigabytes(size: int) -> str:
    if size == 0:
        return "-"
    return f"{size / GB:,.1f}" if size >= GB else f"{size / GB:,.3f}"
