"""What is evaluated and how: benchmarks, model, sampling. All of it is checked before any compute."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from observer.data.rows import RowFormat, Rows
from observer.evaluation.scoring import Scoring
from observer.ladder.asked import AskedModel
from observer.refusal import refuse_fields, refuse_outside, shown
from observer.rewards import Observe, ResponseFormat
from observer.types import RefusedError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Benchmark:
    """Rows that a model is measured on.

    Args:
        rows: by any row format; those of other projects by ``Columns`` with a preset.
        subject: the note of a row, one of its ``metadata``, by which scores are broken down; "" for none.
        scoring: the benchmark's own rule, beside our scores; null for none.
    """

    rows: RowFormat
    subject: str = ""
    scoring: Scoring | None = None

    def asked(self) -> Rows:
        """Open the rows that a model is asked: those of the benchmark, or what its own rule makes of them.

        Raises:
            RefusedError: the source, one of its rows, or the rule is refused.
        """
        rows = self.rows.read()
        return rows if self.scoring is None else self.scoring.asked(rows)


@dataclass(frozen=True)
class Audit:
    """A check that the model looks: rows asked again with another picture, or another observation.

    Args:
        rows: of each benchmark, drawn from those with pictures. Each is asked seven times more, greedily.
    """

    rows: int = 256

    def __post_init__(self) -> None:
        refuse_outside("audit.rows", self.rows, 2)


@dataclass(frozen=True)
class Evaluation:
    """A measurement of a model.

    Args:
        benchmarks: name -> benchmark.
        model: a Hugging Face directory or hub id, its engine, its longest prompt.
        response_format: what a response must look like; also gives the system prompt.
        responses: drawn per row at ``temperature``, beside the greedy one; 0 for the greedy one alone.
        max_tokens: a response that has not ended by then is cut.
        temperature: divides the logits; above 0.
        seed: of all draws.
        chunk_rows: rows that are asked at a time: what is redone at most after a kill.
        limit: of each benchmark's first rows, for a first look; null for all.
        train: what the model was trained on, by any row format: rows of benchmarks that are in it are named,
            and scores are given without them too. Empty: not looked for.
        audit: whether the model looks, on some rows of each benchmark; null for none.
    """

    benchmarks: Mapping[str, Benchmark]
    model: AskedModel = AskedModel()  # noqa: RUF009 - it is frozen
    response_format: ResponseFormat = Observe()  # noqa: RUF009 - it is frozen
    responses: int = 8
    max_tokens: int = 1024
    temperature: float = 1.0
    seed: int = 0
    chunk_rows: int = 64
    limit: int | None = None
    train: tuple[RowFormat, ...] = ()
    audit: Audit | None = None

    def __post_init__(self) -> None:
        refuse_fields(self, "responses", least=0)
        refuse_fields(self, "max_tokens", "chunk_rows", least=1)
        refuse_fields(self, "temperature", above=0)
        refuse_outside("limit", self.limit, 1, hint=", or null")
        if not self.benchmarks:
            raise RefusedError("benchmarks is empty; name at least one, with its rows")
        for name in self.benchmarks:
            if not NAME.fullmatch(name):
                raise RefusedError(
                    f"benchmarks: {shown(name)} cannot name a folder; write letters, digits, '.', '_' and '-'"
                )
        if not self.model.path:
            raise RefusedError(
                "model.path is ''; name the model that is measured, a Hugging Face directory or a hub id"
            )
