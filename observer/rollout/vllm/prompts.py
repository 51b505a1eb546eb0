"""Prompts as vLLM takes them, and the check that it took them as they were rendered.

vLLM repeats the placeholder of a picture by itself. Ids in which that was done already would get more of
them without an error: 2 N - 1 in place of N. So the pads of each picture become one here, and the ids that
vLLM reports afterwards are compared with those of the renderer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import Any, Protocol

from observer.refusal import shown, still_there
from observer.types import Prompt, RefusedError

SHOWN_IDS = 12
"""Ids on either side of the first difference that a message shows."""


class Rendering(Protocol):
    """What the prompts of a model depend on."""

    image_id: int
    """The id of a picture's pads."""
    merge: int
    """Patches per pad."""
    picture_size: dict[str, int]
    """``shortest_edge`` and ``longest_edge`` of the renderer's image processor, in pixels."""


def vllm_prompts(prompts: Sequence[Prompt], rendering: Rendering) -> list[dict[str, Any]]:
    """Return prompts with one pad per picture, the pictures decoded, to be prepared as the renderer does.

    Args:
        prompts: as rendered.
        rendering: of the model.

    Raises:
        LostInputError: a picture cannot be decoded any more.
    """
    with ThreadPoolExecutor() as pool:  # most of the time goes into pictures, and Pillow lets others run
        return list(pool.map(_prompt, prompts, repeat(rendering)))


def _prompt(prompt: Prompt, rendering: Rendering) -> dict[str, Any]:
    made: dict[str, Any] = {"prompt_token_ids": list(collapsed(prompt, rendering))}
    if prompt.pictures:
        with still_there(prompt.problem):
            images = [picture.load() for picture in prompt.problem.pictures]
        # No names for pictures: vLLM then tells them apart by their content.
        made["multi_modal_data"] = {"image": images}
        made["mm_processor_kwargs"] = {"size": dict(rendering.picture_size)}
    return made


def collapsed(prompt: Prompt, rendering: Rendering) -> Iterator[int]:
    """Yield the ids of a prompt with one pad for each picture.

    The pads of each are counted, not looked for: those of two pictures may touch.

    Args:
        prompt: as rendered.
        rendering: of the model.

    Raises:
        ValueError: there are pads of no picture; vLLM would take them as words.
    """
    counts = iter([int(patches.grid.prod()) // rendering.merge for patches in prompt.pictures])
    left = 0
    for token in prompt.ids:
        if token == rendering.image_id:
            if left == 0:
                if (left := next(counts, 0)) == 0:
                    raise ValueError(f"row {shown(prompt.problem.id)}: its prompt has pads of no picture")
                yield token
            left -= 1
        else:
            yield token


def refuse_other_prompt(prompt: Prompt, used: Sequence[int], image_id: int) -> None:
    """Refuse completions of a prompt that is not the renderer's.

    Args:
        prompt: as rendered.
        used: the ids that the engine says it has used.
        image_id: of a picture's pads.

    Raises:
        RefusedError: they differ; shows the first difference, and the pads of both.
    """
    if tuple(used) == prompt.ids:
        return
    first = next((i for i, (a, b) in enumerate(zip(prompt.ids, used, strict=False)) if a != b), None)
    place = min(len(prompt.ids), len(used)) if first is None else first
    near = slice(max(0, place - SHOWN_IDS // 2), place + SHOWN_IDS // 2)
    raise RefusedError(
        f"row {shown(prompt.problem.id)}: vLLM used another prompt than the rendered one: {len(used)} tokens "
        f"with {list(used).count(image_id)} of pictures, and not {len(prompt.ids)} with "
        f"{prompt.ids.count(image_id)}; from token {near.start} on vLLM's are {list(used[near])}, the "
        f"renderer's {list(prompt.ids[near])}; use TransformersEngine for this model"
    )
