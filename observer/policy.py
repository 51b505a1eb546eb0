"""The policy: loads the model, and is the one door to log-probs for policy, old policy and reference.

No sampling (that is an engine's), no loss, no trainer.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, GenerationConfig

from observer.attention import GROUP_ATTENTION
from observer.passes import completion_tokens, plain_pass, shared_pass
from observer.rollout.pictures import PictureFeatures
from observer.rollout.sampling import next_token_logprobs
from observer.types import Group, RefusedError, Sampling

HEAD_BYTES = 256 * 2**20
"""Float32 logits that are in memory at once, in one copy."""
VISION_TOKENS = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")


@dataclass(frozen=True)
class PolicySpec:
    """Which model to train, and how to load it. Remote code and pickled weights are never loaded.

    Args:
        path: a Hugging Face directory, or the id of a model that is cached or can be downloaded.
        from_scratch: take architecture and processor from ``path`` but draw fresh weights from the seed.
        freeze_vision: keep the vision tower as it is.
        logprob_pass: ``shared`` computes pictures and prompts once a group, ``plain`` once a completion; both
            give the same values and gradients.
        attention: the attention implementation of transformers.
        dtype: the type that the weights are held in; mixed precision is the trainer's ``precision``.
        min_pixels: pictures are enlarged to at least this many pixels; None keeps the processor's own.
        max_pixels: pictures are shrunk to at most this many pixels; None keeps the processor's own.
    """

    path: str
    from_scratch: bool = False
    freeze_vision: bool = False
    logprob_pass: Literal["shared", "plain"] = "shared"
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    dtype: Literal["float32", "bfloat16"] = "float32"
    min_pixels: int | None = None
    max_pixels: int | None = None


@dataclass(frozen=True, eq=False)
class LogProbs:
    """Log-probs of completion tokens, rows in the order of the groups' completions."""

    values_N_T: torch.Tensor
    """Float32, 0 where there is no token."""
    entropy_N_T: torch.Tensor
    """Entropy of the distribution each token was drawn from, in nats, float32, without gradients."""
    mask_N_T: torch.Tensor
    """Bool, where there is a token."""


def load_processor(spec: PolicySpec) -> Any:
    """Load the processor of a policy.

    Raises:
        RefusedError: there is no model at the path, or it has no chat template.
    """
    local = Path(spec.path).expanduser()
    means_folder = spec.path.startswith((".", "/", "~")) or spec.path.count("/") > 1 or local.is_dir()
    if means_folder and not (local / "config.json").is_file():
        raise RefusedError(
            f"model.policy.path is {spec.path!r}: {local.resolve()} holds no config.json; name a Hugging "
            f"Face directory, relative to the folder you run in, or a hub id"
        )
    try:
        processor = AutoProcessor.from_pretrained(local, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise RefusedError(
            f"model.policy.path is {spec.path!r} (as a folder: {local.resolve()}): its processor cannot be "
            f"loaded: {error}"
        ) from error
    if not getattr(processor, "chat_template", None):
        raise RefusedError(f"model.policy.path is {spec.path!r}: its processor has no chat template; add one")
    size = dict(processor.image_processor.size)
    size["shortest_edge"] = spec.min_pixels or size["shortest_edge"]
    size["longest_edge"] = spec.max_pixels or size["longest_edge"]
    if size["shortest_edge"] > size["longest_edge"]:
        raise RefusedError(
            f"model.policy.min_pixels {size['shortest_edge']} is above max_pixels {size['longest_edge']}"
        )
    processor.image_processor.size = size
    return processor


class Policy(nn.Module):
    """A vision-language model of the Qwen2-VL kind, seen through the log-probs of its completions."""

    def __init__(self, spec: PolicySpec, processor: Any) -> None:
        """Load or draw the weights.

        Args:
            spec: which model.
            processor: its processor, from ``load_processor``.

        Raises:
            RefusedError: the weights cannot be loaded, or the model has no rotary positions of the Qwen2-VL
                kind.
        """
        super().__init__()
        model = _load_model(spec)
        if spec.logprob_pass == "shared":
            model.set_attn_implementation({"text_config": GROUP_ATTENTION})
        if spec.freeze_vision:
            model.model.visual.requires_grad_(False)
        self.logprob_pass = spec.logprob_pass
        self.model = model
        self.features = PictureFeatures(model)
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.banned_ids = tuple(
            sorted({getattr(model.config, name) for name in VISION_TOKENS if hasattr(model.config, name)})
        )
        self.end_ids = _end_ids(model, processor.tokenizer)
        self.train()

    def logprobs(self, groups: Sequence[Group]) -> LogProbs:
        """Return the log-probs of all completion tokens of some groups, with gradients if enabled.

        This is the one door to the model. Tokens have the log-probs of the distribution they were drawn from
        (``Group.sampling``): temperature, banned tokens and minimum length are applied here as they were in
        sampling.

        Args:
            groups: any groups; unequal lengths, picture sizes and numbers of pictures are fine, text only
                too.
        """
        return self(groups)

    def forward(self, groups: Sequence[Group]) -> LogProbs:
        """See ``logprobs``. It is the forward of the module so that wrappers that hook forwards see it."""
        sampling = groups[0].sampling
        if any(group.sampling != sampling for group in groups):
            raise ValueError("groups that were drawn differently cannot share a pass")
        if self.logprob_pass == "shared":
            hidden_K_D = shared_pass(self.model, self.features, groups)
        else:
            hidden_K_D = plain_pass(self.model, groups)
        hidden_K_D = hidden_K_D + self._vision_dummy(groups)
        ids_N_T, mask_N_T = (tensor.to(hidden_K_D.device) for tensor in completion_tokens(groups))
        row, step = mask_N_T.nonzero(as_tuple=True)
        early_K = step < sampling.min_tokens
        values_K, entropy_K = self._read_head(hidden_K_D, ids_N_T[mask_N_T], early_K, sampling)
        empty_N_T = values_K.new_zeros(mask_N_T.shape)
        return LogProbs(
            values_N_T=empty_N_T.index_put((row, step), values_K),
            entropy_N_T=empty_N_T.index_put((row, step), entropy_K),
            mask_N_T=mask_N_T,
        )

    def _read_head(
        self, hidden_K_D: torch.Tensor, tokens_K: torch.Tensor, early_K: torch.Tensor, sampling: Sampling
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log-prob and entropy of tokens, (K,) each, with few logits at a time in memory.

        Logits of a vocabulary of 152k take 608 kB a token, and several copies of them; in chunks of
        HEAD_BYTES, computed anew in the backward pass, memory does not grow with the tokens.

        Args:
            hidden_K_D: the hidden state before each token.
            tokens_K: the tokens.
            early_K: bool, where a completion is still shorter than its minimum.
            sampling: how they were drawn.
        """

        def read(hidden: torch.Tensor, tokens: torch.Tensor, early: torch.Tensor) -> tuple[torch.Tensor, ...]:
            logprobs = next_token_logprobs(
                self.model.lm_head(hidden),
                early if sampling.min_tokens else None,
                sampling,
                self.banned_ids,
                self.end_ids,
            )
            with torch.no_grad():
                entropy = torch.special.entr(logprobs.exp()).sum(-1)
            return logprobs.gather(-1, tokens[:, None])[:, 0], entropy

        rows = max(1, HEAD_BYTES // (4 * self.model.config.get_text_config().vocab_size))
        chunks = list(zip(hidden_K_D.split(rows), tokens_K.split(rows), early_K.split(rows), strict=True))
        if len(chunks) > 1 and torch.is_grad_enabled():
            read_all = [checkpoint(read, *chunk, use_reentrant=False) for chunk in chunks]
        else:
            read_all = [read(*chunk) for chunk in chunks]
        values, entropies = zip(*read_all, strict=True)
        return torch.cat(values), torch.cat(entropies)

    def _vision_dummy(self, groups: Sequence[Group]) -> torch.Tensor | float:
        """Return a zero that depends on the vision tower when trained groups have no picture.

        On several ranks every parameter must take part in every backward pass, or the gradient exchange
        raises.
        """
        visual = self.model.model.visual
        weight = next(visual.parameters())
        pictures = any(group.prompt.pictures for group in groups)
        if pictures or not (torch.is_grad_enabled() and weight.requires_grad):
            return 0.0
        merge, config = visual.spatial_merge_size, self.model.config.vision_config
        patch = config.in_channels * config.temporal_patch_size * config.patch_size**2
        pixels = weight.new_zeros(merge * merge, patch)
        grid = torch.tensor([[1, merge, merge]], device=weight.device)
        output = visual(pixels, grid_thw=grid)
        features = [output.pooler_output, *(getattr(output, "deepstack_features", None) or ())]  # Qwen3-VL's
        return torch.stack([feature.sum() for feature in features]).sum() * 0.0

    def frozen_copy(self) -> Policy:
        """Return a copy that never trains, to be the reference."""
        reference = copy.deepcopy(self).requires_grad_(False).eval()
        reference.features = PictureFeatures(reference.model)
        return reference

    def save_pretrained(self, directory: str | Path) -> None:
        """Write a complete Hugging Face directory: weights, processor, chat template, generation config."""
        self.model.generation_config = GenerationConfig(
            eos_token_id=list(self.end_ids),
            pad_token_id=self.tokenizer.pad_token_id,
            do_sample=True,
            temperature=1.0,
        )
        self.model.save_pretrained(directory)
        self.processor.save_pretrained(directory)


def _load_model(spec: PolicySpec) -> Any:
    """Load a transformers model, or draw it from its configuration."""
    path, where = Path(spec.path).expanduser(), f"model.policy.path is {spec.path!r}"
    options = {"attn_implementation": spec.attention, "dtype": getattr(torch, spec.dtype)}
    missing: set[str] = set()
    try:
        if spec.from_scratch:
            config = AutoConfig.from_pretrained(path, trust_remote_code=False)
            model = AutoModelForImageTextToText.from_config(config, trust_remote_code=False, **options)
        else:
            loaded: Any = AutoModelForImageTextToText.from_pretrained(
                path, trust_remote_code=False, use_safetensors=True, output_loading_info=True, **options
            )
            model, report = loaded
            missing = report["missing_keys"]
    except (OSError, ValueError, RuntimeError) as error:
        raise RefusedError(f"{where}: it cannot be loaded: {error}") from error
    if missing:  # transformers draws them anew and only warns
        raise RefusedError(f"{where}: its files lack {len(missing)} weights, {min(missing)} among them")
    if not hasattr(getattr(model, "model", None), "get_rope_index"):
        raise RefusedError(
            f"{where}, a {type(model).__name__}; models of the Qwen2-VL, Qwen2.5-VL and Qwen3-VL kind are "
            f"supported"
        )
    return model


def _end_ids(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Collect the ids that end a completion, from generation config, model config and tokenizer."""
    found: set[int] = set()
    for value in (
        model.generation_config.eos_token_id if model.generation_config else None,
        model.config.get_text_config().eos_token_id,
        tokenizer.eos_token_id,
    ):
        found.update(value if isinstance(value, list | tuple) else [] if value is None else [value])
    if not found:
        raise RefusedError("the model names no end token: set eos_token_id in its config or tokenizer")
    return tuple(sorted(found))
