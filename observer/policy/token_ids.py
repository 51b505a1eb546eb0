"""Token ids with a role: those that are never drawn, and those that end a completion.

Trainer and engines read them here, so that both draw from one distribution.
"""

from __future__ import annotations

from typing import Any

from observer.types import RefusedError

VISION_TOKENS = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")


def banned_ids(config: Any) -> tuple[int, ...]:
    """Return the ids of the vision tokens, sorted: a drawn one would stand for a picture that is not there.

    Args:
        config: of a model of the Qwen2-VL kind.
    """
    return tuple(sorted({getattr(config, name) for name in VISION_TOKENS if hasattr(config, name)}))


def end_ids(config: Any, generation_config: Any, tokenizer: Any) -> tuple[int, ...]:
    """Return the ids that end a completion, sorted, from generation config, model config and tokenizer.

    Args:
        config: of the model.
        generation_config: of the model; None for none.
        tokenizer: of its processor.

    Raises:
        RefusedError: none of them names one.
    """
    found: set[int] = set()
    for value in (
        generation_config.eos_token_id if generation_config else None,
        config.get_text_config().eos_token_id,
        tokenizer.eos_token_id,
    ):
        found.update(value if isinstance(value, list | tuple) else [] if value is None else [value])
    # Classes of configurations have defaults of other vocabularies, and -1 stands for none.
    ends = tuple(sorted(token for token in found if 0 <= token < config.get_text_config().vocab_size))
    if not ends:
        named = f" of its vocabulary (but {min(found)})" if found else ""
        raise RefusedError(
            f"the model names no end token{named}: set eos_token_id in its config or tokenizer"
        )
    return ends
