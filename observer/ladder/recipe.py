"""What a ladder is built from and how: rows, steps, model, seed. All of it is checked before any compute."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from observer.data.rows import RowFormat, Rows
from observer.ladder.asked import AskedModel
from observer.ladder.step import BuildStep
from observer.refusal import refuse_outside
from observer.types import RefusedError


@dataclass(frozen=True)
class Recipe:
    """A build of a ladder.

    Args:
        rows: the input, by any row format; ``on_bad_row: skip`` leaves out bad rows, which are then named
            among those that were removed.
        steps: what is done, in order.
        model: the model of steps that name none.
        seed: of all draws.
        chunk_rows: rows of a chunk: what is redone at most after a kill, and asked at a time.
        limit: of the input's first rows; null for all.
        licence: of the rows, for the card.
    """

    rows: RowFormat
    steps: Sequence[BuildStep]
    model: AskedModel = AskedModel()  # noqa: RUF009 - it is frozen
    seed: int = 0
    chunk_rows: int = 256
    limit: int | None = None
    licence: str = ""

    def __post_init__(self) -> None:
        refuse_outside("chunk_rows", self.chunk_rows, 1)
        refuse_outside("limit", self.limit, 1, hint=", or null")
        if not self.steps:
            raise RefusedError("steps is empty; name at least one, such as Measure")
        self._refuse_lacking()

    def opened(self) -> Rows:
        """Open the input; if the first step judges gold answers, with the rows that no rule can check."""
        return self.rows.read_any_gold() if self.steps[0].judges_golds else self.rows.read()

    def _refuse_lacking(self) -> None:
        """Refuse a step whose columns no earlier step gives, or that asks a model that is not named."""
        known: set[str] = set()
        taken: dict[str, str] = {}
        for place, step in enumerate(self.steps):
            name = type(step).__name__
            for column in step.needs:
                if column not in known:
                    raise RefusedError(
                        f"steps: {name} (step {place + 1}) needs the column {column}, which no step before "
                        f"it gives; {_givers(self.steps, column)}"
                    )
            for column in step.measures:
                if column in taken:
                    raise RefusedError(
                        f"steps: {name} (step {place + 1}) measures {column}, which {taken[column]} has "
                        f"measured; keep one of the two"
                    )
                taken[column] = name
            known |= {*step.measures, *step.adds}
            if step.asks and not self.model.path and not asked_of(step):
                raise RefusedError(
                    f"model.path is {self.model.path!r}, and step {place + 1}, {name}, asks a model; name a "
                    f"Hugging Face directory or a hub id"
                )


def asked_of(step: BuildStep) -> list[AskedModel]:
    """Return the models that a step names itself."""
    values = [getattr(step, "model", None), *(getattr(step, "models", None) or ())]
    return [value for value in values if isinstance(value, AskedModel)]


def models(recipe: Recipe) -> list[AskedModel]:
    """Return the models that a build asks."""
    asking = [step for step in recipe.steps if step.asks]
    return [model for step in asking for model in asked_of(step) or [recipe.model]]


def _givers(steps: Iterable[BuildStep], column: str) -> str:
    later = [type(step).__name__ for step in steps if column in (*step.measures, *step.adds)]
    if later:
        return f"put it after {later[0]}"
    from observer import strategies

    found = [
        name
        for name, step in strategies.members("build_step").items()
        if column in (*step.measures, *step.adds)  # type: ignore[attr-defined]
    ]
    return f"add {' or '.join(found) or 'a step that does'} before it"
