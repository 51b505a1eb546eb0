"""Turns a checkpoint into a complete Hugging Face directory: model, processor, chat template."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from observer.policy.checkpoint import first_misfit
from observer.policy.loading import Lora, PolicySpec, load_processor
from observer.policy.policy import Policy
from observer.run.environment import FILE
from observer.run.files import write_folder, write_json
from observer.types import RefusedError


def export_checkpoint(
    checkpoint: Path,
    output: Path,
    dtype: torch.dtype | None = None,
    beside: Mapping[str, str] | None = None,
) -> str | None:
    """Write the policy of a checkpoint as a complete Hugging Face directory.

    Args:
        checkpoint: a ``.ckpt`` of a run; it names the model that its weights belong to.
        output: the directory to write; it appears whole or not at all.
        dtype: of the weights in it; None loses nothing, see ``Policy.save_pretrained``.
        beside: name -> text of further files, such as a card.

    Returns:
        What rounding to ``dtype`` leaves of the adapters' update, in words; None where it leaves all.

    Raises:
        RefusedError: the checkpoint was made by no fit, or its weights do not fit the model it names.
    """
    state = torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)
    if "policy" not in state:
        raise RefusedError(
            f"{checkpoint} does not say which model its weights belong to; it was not made by a fit"
        )
    options = state["policy"]
    lora = options["lora"] and Lora(**options["lora"])
    # This machine may lack the kernels that the run was fast with.
    options = {**options, "lora": lora, "liger": False, "vision_attention": "sdpa"}
    spec = PolicySpec(**options)
    policy = Policy(spec, load_processor(spec))
    weights = {
        name.removeprefix("policy."): value
        for name, value in state["state_dict"].items()
        if name.startswith("policy.")
    }
    own = policy.state_dict()
    # With LoRA only the adapters were trained and saved.
    expected = own if lora is None else [n for n, p in policy.named_parameters() if p.requires_grad]
    if misfit := first_misfit(weights, own, expected):
        raise RefusedError(f"the weights of {checkpoint} do not fit the model at {spec.path!r}: {misfit}")
    policy.load_state_dict(weights, strict=False)
    return write_policy(output, policy, dtype, state.get("environment"), beside)


def write_policy(
    folder: Path,
    policy: Policy,
    dtype: torch.dtype | None,
    record: Mapping[str, Any] | None,
    beside: Mapping[str, str] | None = None,
) -> str | None:
    """Write a policy as a Hugging Face directory that appears whole or not at all.

    All ranks call it with a policy that is cut over them, and the first one writes.

    Args:
        folder: replaced if it exists.
        policy: with the weights to write.
        dtype: of the weights in the file; see ``Policy.save_pretrained``.
        record: where the policy was made, written beside it; earlier versions kept none.
        beside: name -> text of further files, such as a card.

    Returns:
        What rounding to ``dtype`` leaves of the adapters' update, in words; None where it leaves all.
    """
    if policy.sharding is not None and not policy.sharding.writes:
        policy.save_pretrained(folder, dtype)  # this rank writes nothing
        return None
    told: list[str | None] = []

    def fill(place: Path) -> None:
        survival = policy.save_pretrained(place, dtype)
        told.append(None if survival is None else survival.described())
        if record is not None:
            write_json(place / FILE, record)
        for name, text in (beside or {}).items():
            (place / name).write_text(text, encoding="utf-8", errors="backslashreplace")

    write_folder(folder, fill)
    return told[-1]
