"""The model that a step asks: a folder or hub id, the engine that draws, and the longest prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from observer.refusal import refuse_fields, refuse_unless
from observer.rollout import Engine


@dataclass(frozen=True)
class AskedModel:
    """A model that answers the rows of a ladder.

    Args:
        path: a Hugging Face directory, or the id of a model that is cached or can be downloaded;
            ``observer:tiles`` is the tiny cold start that comes with this package.
        engine: draws completions; null for ``TransformersEngine``.
        dtype: the type of the weights in memory.
        min_pixels: pictures are enlarged to at least this many pixels; null keeps the processor's own.
        max_pixels: pictures are shrunk to at most this many pixels; null keeps the processor's own.
        max_prompt_tokens: rows with a longer prompt are removed, and named; prompts are never cut.
        device: where weights go that no engine holds itself; ``auto`` takes a GPU where there is one.
    """

    path: str = ""
    engine: Engine | None = None
    dtype: Literal["float32", "bfloat16"] = "float32"
    min_pixels: int | None = None
    max_pixels: int | None = None
    max_prompt_tokens: int = 4096
    device: str = "auto"

    def __post_init__(self) -> None:
        refuse_fields(self, "max_prompt_tokens", least=1)
        for name in ("min_pixels", "max_pixels"):
            value = getattr(self, name)
            refuse_unless(value is None or value >= 1, self, name, "it must be >= 1, or null")
