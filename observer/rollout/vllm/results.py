"""From vLLM's outputs to groups of completions, with what is promised of them checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import repeat
from typing import Any, Protocol

from observer.rollout.vllm.prompts import refuse_other_prompt
from observer.types import Completion, Group, Prompt, Sampling


class Reading(Protocol):
    """What outputs are read with."""

    image_id: int
    end_ids: tuple[int, ...]
    tokenizer: Any


def groups_of(
    prompts: Sequence[Prompt], outputs: Sequence[Any], sampling: Sampling, reading: Reading
) -> tuple[list[Group], bool]:
    """Return the groups, in the order of the prompts, and whether a logit of some completion is not finite.

    Args:
        prompts: of the call.
        outputs: vLLM's, one per prompt in their order.
        sampling: how they were drawn.
        reading: of the model.

    Raises:
        RefusedError: vLLM used other prompt ids than the renderer's.
        RuntimeError: vLLM ended a completion in another way than by an end token or its limit.
    """
    groups = []
    for prompt, output in zip(prompts, outputs, strict=True):
        refuse_other_prompt(prompt, output.prompt_token_ids, reading.image_id)
        drawn: Any = sorted(output.outputs, key=lambda one: one.index)
        if not sampling.temperature:
            drawn = repeat(drawn[0], sampling.group_size)
        pairs = zip(sampling.places, drawn, strict=True)
        groups.append(
            Group(prompt, tuple(_completion(one, index, reading) for index, one in pairs), sampling)
        )
    lost = any(math.isnan(one.logprobs[-1]) for group in groups for one in group.completions)
    return groups, lost


def _completion(one: Any, index: int, reading: Reading) -> Completion:
    ids, logprobs = list(one.token_ids), list(one.logprobs.logprobs)
    if one.finish_reason not in ("stop", "length") or list(one.logprobs.token_ids) != ids:
        raise RuntimeError(
            f"vLLM ended a completion by {one.finish_reason!r}: {len(ids)} tokens, {len(logprobs)} log-probs"
        )
    lost = next((place for place, value in enumerate(logprobs) if math.isnan(value)), None)
    if lost is not None:  # what was drawn after it means nothing
        ids, logprobs = ids[: lost + 1], logprobs[: lost + 1]
    stopped = ids[-1] in reading.end_ids
    text = reading.tokenizer.decode(ids[:-1] if stopped else ids, skip_special_tokens=False)
    return Completion(tuple(ids), tuple(logprobs), text, "stop" if stopped else "length", index)
