"""The sampling distribution in vLLM's terms: the one that log-probs in training are of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from observer.refusal import shown
from observer.seeding import stable_seed
from observer.types import Prompt, RefusedError, Sampling


def sampling_params(sampling: Sampling, banned_ids: Sequence[int], end_ids: Sequence[int]) -> Any:
    """Return vLLM's parameters for a group.

    All that changes the distribution is set here: vLLM takes none of it from ``generation_config.json``,
    which for many models holds a ``top_p`` and a penalty that training knows nothing of.

    Args:
        sampling: how completions are drawn. Greedy ones are drawn once, for vLLM refuses to repeat them.
        banned_ids: ids that are never drawn: vLLM would draw a picture's pad, and the trainer's next pass
            would look for the picture.
        end_ids: ids that end a completion.
    """
    from vllm import SamplingParams

    return SamplingParams(
        n=sampling.group_size if sampling.temperature else 1,
        temperature=sampling.temperature,
        max_tokens=sampling.max_tokens,
        min_tokens=sampling.min_tokens,
        stop_token_ids=list(end_ids),
        logit_bias=dict.fromkeys(banned_ids, -math.inf),
        logprobs=0,  # of the tokens that are drawn, and of no others
        flat_logprobs=True,
        detokenize=False,
    )


def seed_of(rows: Sequence[str], sampling: Sampling) -> int:
    """Return the seed of a call: a run that goes on draws with the numbers of an unbroken one.

    It is one for all prompts. A seed for each would need a generator for each, which vLLM's CPU kernels
    cannot advance when a prompt is computed in parts.

    Args:
        rows: ids of the problems of the call.
        sampling: seed, step and places in the group.
    """
    return stable_seed(sampling.seed, "vllm", sampling.step, sampling.first, *rows)


def refuse_without_room(prompts: Sequence[Prompt], sampling: Sampling, most: int) -> None:
    """Refuse prompts whose completions vLLM would cut before ``max_tokens``, before anything is drawn.

    One alone would make vLLM refuse the batch, or be cut without a word.

    Args:
        prompts: of a call.
        sampling: with ``max_tokens``.
        most: tokens of a prompt and its completion at most.

    Raises:
        RefusedError: names the first such row, its length and the limit.
    """
    for prompt in prompts:
        if len(prompt.ids) + sampling.max_tokens > most:
            raise RefusedError(
                f"row {shown(prompt.problem.id)}: its prompt has {len(prompt.ids)} tokens, and with "
                f"max_tokens {sampling.max_tokens} it is longer than the {most} that vLLM was started for; "
                f"lower model.max_tokens or shorten the prompt (model.max_prompt_tokens, max_pixels)"
            )
