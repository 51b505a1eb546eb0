"""The policy: log-probs of completions, computed alike for policy, old policy and reference.

No sampling (see ``observer.rollout``), no loss, no trainer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft.tuners.lora import LoraLayer, LoraModel
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import GenerationConfig

from observer.policy.forward import completion_tokens, plain_pass, shared_pass
from observer.policy.hand_over import handed_over
from observer.policy.loading import PolicySpec, add_adapters, load_model
from observer.policy.logits import ReadLogits, head_rows
from observer.policy.model_files import model_path
from observer.policy.saving import Survival, save_weights, take_part
from observer.policy.sharded.reading import Place, build_empty, read_parts, seeming_to_be_there
from observer.policy.sharded.sharding import Sharding
from observer.policy.token_ids import VISION_TOKENS, banned_ids, end_ids
from observer.policy.vision import PictureFeatures
from observer.run.other_ranks import waiting_for_ranks
from observer.types import Group, RefusedError, Sampling


@dataclass(frozen=True, eq=False)
class LogProbs:
    """Log-probs of completion tokens, rows in the order of the groups' completions."""

    values_N_T: torch.Tensor
    """Float32, 0 where there is no token."""
    entropy_N_T: torch.Tensor | None
    """Entropy of the distribution each token was drawn from, in nats, float32; None unless asked for, and
    without gradients unless these are asked for."""
    mask_N_T: torch.Tensor
    """Bool, where there is a token."""


class Policy(nn.Module):
    """A vision-language model of the Qwen2-VL kind that returns the log-probs of completions."""

    def __init__(self, spec: PolicySpec, processor: Any, sharding: Sharding | None = None) -> None:
        """Load or draw the weights.

        Args:
            spec: which model.
            processor: its processor, from ``load_processor``.
            sharding: how it is cut over ranks, each of which then reads its parts alone; None for not at
                all. Weights that are drawn ``from_scratch`` are drawn whole, and cut then.

        Raises:
            RefusedError: the weights cannot be loaded, or the model is of another kind.
        """
        super().__init__()
        in_parts = sharding is not None and not spec.from_scratch
        found: dict[str, Place] = {}
        model = load_model(spec, partial(build_empty, found) if in_parts else None)
        _check_processor(model.config, processor, spec.path)
        # In a tuple, or the model would be registered as a submodule twice.
        with seeming_to_be_there(model) if in_parts else nullcontext():
            self._adapters: tuple[LoraModel, ...] = (add_adapters(model, spec.lora),) if spec.lora else ()
        if spec.freeze_vision and any(p.requires_grad for p in model.model.visual.parameters()):
            raise RefusedError(
                "model.policy.lora.targets adapts the vision tower, which freeze_vision keeps as it is; "
                "change the targets, or leave freeze_vision out"
            )
        self.spec = spec
        self.sharding = sharding
        self.logprob_pass = spec.logprob_pass
        self.model = model
        self.features = PictureFeatures(model)
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.banned_ids = banned_ids(model.config)
        self.end_ids = end_ids(model.config, model.generation_config, processor.tokenizer)
        self.train()
        if sharding is not None:
            model.get_input_embeddings().register_forward_hook(_with_gradient)
            sharding.cut(self, [*model.model.language_model.layers, *model.model.visual.blocks])
        if in_parts:
            read_parts(model, found)

    def described(self) -> str:
        """Return one line for the log: what trains, and how log-probs are computed."""
        total = sum(parameter.numel() for parameter in self.parameters())
        trained = sum(parameter.numel() for parameter in self.parameters() if parameter.requires_grad)
        shared = (
            "pictures and prompts once per group"
            if self.logprob_pass == "shared"
            else "all once per completion"
        )
        kept = self.features.frozen and self.logprob_pass == "shared"
        frozen = "; frozen vision tower, a picture once per rollout" if kept else ""
        again = (
            "; activations computed anew (gradient checkpointing)" if self.spec.gradient_checkpointing else ""
        )
        cut = "" if self.sharding is None else f"; cut over {self.sharding.ranks} ranks"
        return f"policy: {trained:,} of {total:,} parameters train; log-probs: {shared}{frozen}{again}{cut}"

    def logprobs(
        self, groups: Sequence[Group], with_entropy: bool = True, entropy_gradients: bool = False
    ) -> LogProbs:
        """Return the log-probs of all completion tokens of some groups, with gradients if enabled.

        All log-probs of training come from here. They are those of the distribution that tokens were drawn
        from (``Group.sampling``): temperature, banned tokens and minimum length are applied as in sampling.

        Args:
            groups: drawn with one ``Sampling``; lengths, picture sizes and numbers of pictures may differ.
            with_entropy: whether to compute the entropy too, which reads all logits a few times more.
            entropy_gradients: whether it has gradients, which takes one more copy of the logits.

        Raises:
            ValueError: the groups were drawn with different ``Sampling``.
        """
        seen = LogProbs(*self(groups, with_entropy, entropy_gradients))
        if self.sharding is not None and not torch.is_grad_enabled():
            self.reshard()  # type: ignore[operator]  # no backward pass will; they would outlive a step
        return seen

    def forward(
        self, groups: Sequence[Group], with_entropy: bool = True, entropy_gradients: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
        """Return the fields of ``logprobs``: the module's forward, for wrappers which hook forwards."""
        sampling = groups[0].sampling
        if any(group.sampling != sampling for group in groups):
            raise ValueError("groups that were drawn differently cannot share a pass")
        dummy = self._vision_dummy(groups)
        if self.logprob_pass == "shared":
            hidden_K_D = shared_pass(self.model, self.features, groups)
        else:
            hidden_K_D = plain_pass(self.model, groups)
        if dummy is not None:
            hidden_K_D = hidden_K_D + dummy
        ids_N_T, mask_N_T = (tensor.to(hidden_K_D.device) for tensor in completion_tokens(groups))
        row, step = mask_N_T.nonzero(as_tuple=True)
        early_K = step < sampling.min_tokens
        chosen_K, entropy_K = self._read_head(
            hidden_K_D, ids_N_T[mask_N_T], early_K, sampling, entropy_gradients if with_entropy else None
        )
        empty_N_T = torch.zeros(mask_N_T.shape, device=mask_N_T.device)
        values_N_T = empty_N_T.index_put((row, step), chosen_K)
        entropy_N_T = None if entropy_K is None else empty_N_T.index_put((row, step), entropy_K)
        return values_N_T, entropy_N_T, mask_N_T

    def _read_head(
        self,
        hidden_K_D: torch.Tensor,
        tokens_K: torch.Tensor,
        early_K: torch.Tensor,
        sampling: Sampling,
        entropy_gradients: bool | None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the log-probs and entropies of ``ReadLogits``, from logits in chunks of ``HEAD_BYTES``.

        Logits of a vocabulary of 152k take 608 kB per token and copy. Chunks are recomputed in the backward
        pass, so that memory does not grow with the number of tokens.

        Args:
            hidden_K_D: the hidden state before each token.
            tokens_K: the tokens.
            early_K: bool, where a completion is still shorter than its minimum.
            sampling: how they were drawn.
            entropy_gradients: see ``ReadLogits``.
        """

        def read(
            hidden: torch.Tensor, tokens: torch.Tensor, early: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor | None]:
            read_K: tuple[torch.Tensor, torch.Tensor | None] = ReadLogits.apply(  # type: ignore[no-untyped-call]
                self.model.lm_head(hidden),
                tokens,
                early if sampling.min_tokens else None,
                sampling,
                self.banned_ids,
                self.end_ids,
                entropy_gradients,
            )
            return read_K

        rows = head_rows(self.model)
        chunks = list(zip(*(torch.split(t, rows) for t in (hidden_K_D, tokens_K, early_K)), strict=True))
        if len(chunks) > 1 and torch.is_grad_enabled():
            read_all = [checkpoint(read, *chunk, use_reentrant=False) for chunk in chunks]
        else:
            read_all = [read(*chunk) for chunk in chunks]
        chosen, entropies = zip(*read_all, strict=True)
        return torch.cat(chosen), None if entropy_gradients is None else torch.cat(entropies)

    def drop_vision_gradients(self) -> None:
        """Let the optimizer pass the vision tower by: for a step in which no rank has seen a picture.

        The zeros that passes without a picture leave there are no gradient, and yet the optimizer would decay
        the weights and follow its momentum.
        """
        for parameter in self.model.model.visual.parameters():
            parameter.grad = None

    def _vision_dummy(self, groups: Sequence[Group]) -> torch.Tensor | None:
        """Return a zero with gradients to the vision tower if trained groups have no picture, else None.

        On several ranks every parameter must take part in every backward pass, or the gradient exchange
        raises. See ``drop_vision_gradients``. Ranks that gather a layer when it computes have to compute the
        same ones in the same order: there, a pass that needs nothing of the tower runs it all the same.
        """
        visual = self.model.model.visual
        pictures = [picture for group in groups for picture in group.prompt.pictures]
        if self.sharding is not None:
            together = self.logprob_pass == "plain"
            runs = bool(pictures) if together else self.features.encodes(pictures)
            if runs:
                return None
        elif pictures or self.features.frozen or not torch.is_grad_enabled():
            return None
        weight = next(visual.parameters())
        merge, config = visual.spatial_merge_size, self.model.config.vision_config
        patch = config.in_channels * config.temporal_patch_size * config.patch_size**2
        pixels = weight.new_zeros(merge * merge, patch)
        grid = torch.tensor([[1, merge, merge]], device=weight.device)
        output = visual(pixels, grid_thw=grid)
        features = [output.pooler_output, *(getattr(output, "deepstack_features", None) or ())]  # Qwen3-VL's
        return torch.stack([feature.sum() for feature in features]).sum() * 0.0

    def weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield all weights by name, as an engine with a copy of them takes them; see ``handed_over``."""
        return handed_over(self.model)

    @contextmanager
    def without_adapters(self) -> Iterator[None]:
        """Switch the adapters off inside the context: the model is then the one before training."""
        layers = [module for module in self.model.modules() if isinstance(module, LoraLayer)]
        # Its own switch takes their gradients too, which a sharded one would not get back.
        for layer in layers:
            layer._disable_adapters = True
        try:
            yield
        finally:
            for layer in layers:
                layer._disable_adapters = False

    def save_pretrained(self, directory: str | Path, dtype: torch.dtype | None = None) -> Survival | None:
        """Write a complete Hugging Face directory: weights, processor, chat template, generation config.

        Adapters are merged in float32 into the weights that they adapt, one at a time, and are kept beside
        them in ``adapter/``. Of a policy that is cut over ranks all ranks call it: each weight is gathered
        when its turn comes, and the first rank writes.

        Args:
            directory: made if it does not exist.
            dtype: of the weights in the file; None loses nothing: float32 with adapters, else the type that
                the policy holds.

        Returns:
            What rounding leaves of the adapters' update, where ``dtype`` is coarser than float32; on the
            rank that writes.
        """
        folder, adapters = Path(directory), next(iter(self._adapters), None)
        ranks = 1 if self.sharding is None else self.sharding.ranks
        with waiting_for_ranks("save_pretrained, which all of them call", ranks):
            if self.sharding is not None and not self.sharding.writes:
                take_part(self.model, adapters, dtype)
                return None
            folder.mkdir(parents=True, exist_ok=True)
            survival = save_weights(self.model, adapters, folder, str(model_path(self.spec.path)), dtype)
        generation = GenerationConfig(  # type: ignore[no-untyped-call]
            eos_token_id=list(self.end_ids),
            pad_token_id=self.tokenizer.pad_token_id,
            do_sample=True,
            temperature=1.0,
        )
        generation.save_pretrained(folder)
        self.processor.save_pretrained(folder)
        return survival


def _with_gradient(_: Any, inputs: Any, embedded: torch.Tensor) -> torch.Tensor:
    """Let a pass have a gradient at its input, be there a picture's or not.

    A layer exchanges its gradients when that of its input is there, or after all others where there is none:
    at other times than on a rank whose pictures have gradients, and each would wait for the other.
    """
    return embedded.requires_grad_() if torch.is_grad_enabled() and not embedded.requires_grad else embedded


def _check_processor(config: Any, processor: Any, path: str) -> None:
    """Refuse a processor that cuts pictures otherwise than the vision tower reads them, or marks them so."""
    vision, size = config.vision_config, config.get_text_config().vocab_size
    own = {"patch_size": vision.patch_size, "temporal_patch_size": vision.temporal_patch_size}
    images = processor.image_processor
    for name, expected in (own | {"merge_size": vision.spatial_merge_size}).items():
        if getattr(images, name) != expected:
            raise RefusedError(
                f"model.policy.path is {path!r}: {name} of its image processor is {getattr(images, name)!r}, "
                f"that of its vision tower {expected!r}; make them equal"
            )
    marked = processor.tokenizer.convert_tokens_to_ids(processor.image_token)
    for name in VISION_TOKENS:
        token = getattr(config, name, 0)
        if not 0 <= token < size or (name == "image_token_id" and token != marked):
            raise RefusedError(
                f"model.policy.path is {path!r}: {name} of its config.json is {token}; its vocabulary has "
                f"{size} tokens, and {processor.image_token} is {marked}"
            )
