"""Reads finished evaluations that are to be compared, and refuses those that cannot be."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from observer.data.checks.cache import file_digest
from observer.evaluation.outcomes import ANSWERS, SCORES
from observer.ladder.chunks import differences
from observer.refusal import shown
from observer.types import RefusedError

ALIKE = {
    "digest": "the same rows: the same files, in the same order, with the same limit",
    "max_tokens": "the same max_tokens, since a response that is cut is wrong",
}
"""Of what answers depend on, what all models of a comparison must have in common, and the mend."""
MAY_DIFFER = ("digest", "responses", "seed", "chunk_rows", "benchmark")
"""What is compared on its own, or changes no score by design."""


@dataclass(frozen=True)
class Evaluated:
    """A finished evaluation of a model."""

    name: str
    """How the comparison calls the model."""
    folder: Path
    scores: Mapping[str, Any]
    """Benchmark -> its scores, as ``scores.json`` holds them."""

    def answers(self, benchmark: str) -> Path:
        """Return the file of the answers to a benchmark."""
        return self.folder / ANSWERS / f"{benchmark}.parquet"

    def made(self, benchmark: str) -> dict[str, Any]:
        """Return what the answers to a benchmark depend on."""
        found: dict[str, Any] = self.scores[benchmark]["made"]
        return found


def read_evaluations(folders: Sequence[str]) -> list[Evaluated]:
    """Return evaluations whose rows and sampling are alike, in the order given.

    Raises:
        RefusedError: there are fewer than two, one is not finished or was changed since, they have no
            benchmark in common, or one that they have in common was asked otherwise; names the mend.
    """
    if len(folders) < 2:
        raise RefusedError(
            f"{len(folders)} folder to compare; name two or more that observer evaluate has written"
        )
    resolved = [Path(folder).resolve() for folder in folders]
    for one, other in combinations(range(len(folders)), 2):
        if resolved[one] == resolved[other]:
            both = f"{shown(folders[one])} and {shown(folders[other])}"
            raise RefusedError(f"{both} are one folder; name two evaluations")
    names = _names(resolved)
    found = [Evaluated(name, Path(path), _scores(path)) for name, path in zip(names, folders, strict=True)]
    if not (common := benchmarks(found)):
        had = "; ".join(f"{one.name} has {', '.join(one.scores)}" for one in found)
        raise RefusedError(f"no benchmark is in all evaluations: {had}; evaluate all models on the same rows")
    for benchmark in common:
        for later in found[1:]:
            _refuse_unlike(benchmark, found[0], later)
    return found


def benchmarks(evaluations: Sequence[Evaluated]) -> list[str]:
    """Return the benchmarks that all have, in the order of the first."""
    return [name for name in evaluations[0].scores if all(name in one.scores for one in evaluations)]


def left_out(evaluations: Sequence[Evaluated]) -> list[str]:
    """Return the benchmarks that only some have."""
    every = dict.fromkeys(name for one in evaluations for name in one.scores)
    return [name for name in every if name not in benchmarks(evaluations)]


def told_apart(evaluations: Sequence[Evaluated], benchmark: str) -> Iterator[str]:
    """Yield what, beside the model, differs between the evaluations of a benchmark."""
    first = evaluations[0]
    for other in evaluations[1:]:
        settings = (_setting(one.made(benchmark)) for one in (first, other))
        for line in differences(next(settings), next(settings)):
            what, _, values = line.partition(" was ")
            before, _, now = values.rpartition(" and is ")
            yield f"{what}: {before} of {first.name}, {now} of {other.name}"


def _setting(made: Mapping[str, Any]) -> dict[str, Any]:
    own = {name: value for name, value in made.items() if name not in MAY_DIFFER}
    hidden = ("path", "files")
    return own | {"model": {name: value for name, value in own["model"].items() if name not in hidden}}


def _refuse_unlike(benchmark: str, one: Evaluated, other: Evaluated) -> None:
    both = one.made(benchmark), other.made(benchmark)
    wanted = dict(ALIKE)
    if all(made["responses"] for made in both):
        wanted["temperature"] = "the same temperature, or one of them with responses 0"
    for name, mend in wanted.items():
        before, now = (made[name] for made in both)
        if before == now:
            continue
        if name == "digest":
            before, now = (
                f"{made['benchmark']['count']:,} rows (digest {made['digest'][:8]})" for made in both
            )
        raise RefusedError(
            f"{benchmark}: {name} is {before} in {one.folder} and {now} in {other.folder}; "
            f"evaluate both with {mend}"
        )


def _scores(folder: str) -> Mapping[str, Any]:
    path = Path(folder) / SCORES
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        benchmarks, files = found["benchmarks"], found["files"]
        answers = {name: files[f"{ANSWERS}/{name}.parquet"] for name in benchmarks}
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = error.strerror if isinstance(error, OSError) else f"it cannot be read: {error!r}"
        raise RefusedError(
            f"{shown(folder)} holds no finished evaluation ({SCORES}: {why}); name a folder that observer "
            f"evaluate has finished"
        ) from error
    for name, digest in answers.items():
        file = Path(folder) / ANSWERS / f"{name}.parquet"
        if not file.is_file() or file_digest(file) != digest:
            raise RefusedError(
                f"{file} is not as observer evaluate has written it; evaluate again into the same --output, "
                f"which asks nothing that is finished"
            )
    found = benchmarks
    return dict(found)


def _names(folders: Sequence[Path]) -> list[str]:
    """Return the shortest ends of paths that are told apart.

    >>> _names([Path("/runs/a/eval"), Path("/runs/b/eval")]), _names([Path("/runs/a"), Path("/runs/b")])
    (['a/eval', 'b/eval'], ['a', 'b'])
    """
    longest = max(len(folder.parts) for folder in folders)
    for parts in range(1, longest + 1):
        names = ["/".join(folder.parts[-parts:]) for folder in folders]
        if len(set(names)) == len(names):
            break
    return names
