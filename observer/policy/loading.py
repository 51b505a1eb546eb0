"""Loads a model and its processor and prepares them for training. No remote code, no pickled weights.

Log-probs are computed in ``observer.policy.policy``.
"""

from __future__ import annotations

import copy
import importlib.util
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from peft import LoraConfig
from peft.tuners.lora import LoraModel
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from observer.policy.attention import GROUP_ATTENTION, WINDOW_ATTENTION
from observer.policy.faster_layers import use_faster_layers
from observer.policy.model_files import (
    check_config,
    check_configs,
    check_processor,
    check_weights,
    model_folder,
    model_path,
    read_json,
    refuse_other_family,
)
from observer.refusal import refuse_outside
from observer.run.waiting import waiting
from observer.types import RefusedError


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters (arXiv 2106.09685) on frozen weights; with adapters off, the model is the reference.

    Args:
        rank: of each adapter.
        alpha: adapters are scaled by ``alpha / rank``.
        targets: a regular expression that the full name of an adapted linear layer matches; by default all
            of the text model, and none of the vision tower, so that pictures are encoded once per rollout.
    """

    rank: int = 32
    alpha: int = 64
    targets: str = r".*\.language_model\..*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"

    def __post_init__(self) -> None:
        refuse_outside("model.policy.lora.rank", self.rank, 1)
        refuse_outside("model.policy.lora.alpha", self.alpha, above=0)


@dataclass(frozen=True)
class PolicySpec:
    """Which model to train, and how to load it. Remote code and pickled weights are never loaded.

    Args:
        path: a Hugging Face directory, or the id of a model that is cached or can be downloaded;
            ``observer:tiles`` is the tiny cold start that comes with this package.
        from_scratch: take architecture and processor from ``path`` but draw fresh weights from the seed.
        freeze_vision: do not train the vision tower; then each picture goes through it once per rollout, for
            the engine and all forward passes together.
        lora: train adapters only; null trains all weights. Checkpoints then hold the adapters alone.
        gradient_checkpointing: recompute most activations in the backward pass: a third more compute, far
            less memory.
        logprob_pass: ``shared`` computes pictures and prompts once per group, ``plain`` once per completion;
            both give the same values and gradients.
        vision_attention: attention of the vision tower; the text model uses ``observer.policy.attention``.
        liger: use the fused kernels of the liger-kernel package; needs CUDA.
        dtype: the type of the weights in memory; mixed precision is the trainer's ``precision``.
        min_pixels: pictures are enlarged to at least this many pixels; None keeps the processor's own.
        max_pixels: pictures are shrunk to at most this many pixels; None keeps the processor's own.
    """

    path: str
    from_scratch: bool = False
    freeze_vision: bool = False
    lora: Lora | None = None
    gradient_checkpointing: bool = False
    logprob_pass: Literal["shared", "plain"] = "shared"
    vision_attention: Literal["sdpa", "flash_attention_2"] = "sdpa"
    liger: bool = False
    dtype: Literal["float32", "bfloat16"] = "float32"
    min_pixels: int | None = None
    max_pixels: int | None = None


def load_processor(spec: PolicySpec) -> Any:
    """Load the processor of a policy.

    Raises:
        RefusedError: there is no model at the path, it lacks a chat template, or min_pixels > max_pixels.
    """
    local = model_path(spec.path)
    means_folder = spec.path.startswith((".", "/", "~")) or spec.path.count("/") > 1 or local.is_dir()
    if means_folder and not (local / "config.json").is_file():
        raise RefusedError(
            f"model.policy.path is {spec.path!r}: {local.resolve()} holds no config.json; name a Hugging "
            f"Face directory, relative to the folder you run in, or a hub id"
        )
    if (folder := model_folder(spec.path)) is not None:
        check_configs(folder)
        config = folder / "config.json"
        kind = read_json(config).get("model_type") if config.is_file() else None
        if isinstance(kind, str):  # else transformers says what is wrong with it
            refuse_other_family(kind, f"model.policy.path is {spec.path!r}")
    try:
        with waiting("a processor is loaded, from the hub if it is not here", str(spec.path)):
            processor = AutoProcessor.from_pretrained(  # type: ignore[no-untyped-call]
                local, trust_remote_code=False
            )
    except Exception as error:  # its files may hold anything, and transformers then raises anything
        raise RefusedError(
            f"model.policy.path is {spec.path!r} (as a folder: {local.resolve()}): its processor cannot be "
            f"loaded: {_said(error)}"
        ) from error
    if not hasattr(processor, "tokenizer") or not hasattr(processor, "image_processor"):
        raise RefusedError(
            f"model.policy.path is {spec.path!r}: it has a {type(processor).__name__}, and no processor of "
            f"pictures and text (processor_class of its processor_config.json)"
        )
    if not getattr(processor, "chat_template", None):
        raise RefusedError(f"model.policy.path is {spec.path!r}: its processor has no chat template; add one")
    size = dict(processor.image_processor.size)
    size["shortest_edge"] = spec.min_pixels or size.get("shortest_edge")
    size["longest_edge"] = spec.max_pixels or size.get("longest_edge")
    for name, edge in (("min_pixels", "shortest_edge"), ("max_pixels", "longest_edge")):
        if not isinstance(size[edge], int) or size[edge] < 1:
            raise RefusedError(
                f"model.policy.path is {spec.path!r}: the size of its image processor has {edge} "
                f"{size[edge]!r}; set model.policy.{name}"
            )
    if size["shortest_edge"] > size["longest_edge"]:
        raise RefusedError(
            f"model.policy.min_pixels {size['shortest_edge']} is above max_pixels {size['longest_edge']}"
        )
    processor.image_processor.size = size
    check_processor(processor, f"model.policy.path is {spec.path!r}")
    return processor


Build = Callable[[Any, Mapping[str, Any], PolicySpec], tuple[Any, Iterable[str], Iterable[str]]]
"""Makes a model of its configuration, the options of ``from_config`` and a spec; returns what its files lack,
and what they hold besides."""


def load_model(spec: PolicySpec, build: Build | None = None) -> Any:
    """Load a transformers model, or draw its weights from its configuration, and prepare it for training.

    Args:
        spec: which model.
        build: makes the model; None for transformers, which reads all of its weights.

    Raises:
        RefusedError: it cannot be loaded, its kind is not supported, or an option does not go with it.
    """
    where = f"model.policy.path is {spec.path!r}"
    if spec.vision_attention == "flash_attention_2" and importlib.util.find_spec("flash_attn") is None:
        # With the kernels package there, transformers would fetch one from the hub in its place.
        raise RefusedError(
            "model.policy.vision_attention flash_attention_2 needs a package: pip install flash-attn"
        )
    try:
        with waiting("a model is loaded, from the hub if it is not here", str(spec.path)):
            model, missing, left = _from_files(spec, build)
    except RefusedError:
        raise
    except Exception as error:  # its files may hold anything, and transformers then raises anything
        raise RefusedError(f"{where}: it cannot be loaded: {_said(error)}") from error
    if missing:  # transformers draws them at random and only warns
        raise RefusedError(f"{where}: its files lack {len(missing)} weights, {min(missing)} among them")
    if left:
        raise RefusedError(
            f"{where}: its files hold {len(left)} weights of layers that its config.json does not have, "
            f"{min(left)} among them"
        )
    _check_layers(model, where)
    attention = {"text_config": GROUP_ATTENTION}
    if spec.vision_attention == "sdpa":
        attention["vision_config"] = WINDOW_ATTENTION
    model.set_attn_implementation(attention)
    use_faster_layers(model)
    if spec.liger:
        _use_liger(model)
    if spec.from_scratch and spec.lora:
        raise RefusedError(f"{where}: adapters on weights drawn from_scratch cannot be saved; leave one out")
    if spec.freeze_vision:
        model.model.visual.requires_grad_(False)
    if spec.gradient_checkpointing:
        # The second is what transformers before 5.24 calls it; that one warns of the name.
        enable = (
            getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        )
        enable({"use_reentrant": False})
        # Only reentrant checkpoints need this; it would send gradients through a frozen tower.
        model.disable_input_require_grads()
    return model


def add_adapters(model: Any, lora: Lora) -> LoraModel:
    """Add float32 adapters to linear layers of a model, in place; all other weights are frozen.

    Raises:
        RefusedError: no layer matches, or the tied embedding does.
    """
    config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=lora.targets)
    try:
        adapted = LoraModel(model, config, "default")
    except (ValueError, re.error) as error:
        raise RefusedError(
            f"model.policy.lora.targets is {lora.targets!r}; give a regular expression that the full names "
            f"of linear layers match: {error}"
        ) from error
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    if model.config.tie_word_embeddings:
        for name, module in model.named_modules():
            if isinstance(module, BaseTunerLayer) and (module in ends or module.get_base_layer() in ends):
                raise RefusedError(
                    f"model.policy.lora.targets is {lora.targets!r}, which adapts {name}: it shares its "
                    f"weights with the other end of the model and could not be exported; leave it out"
                )
    for parameter in model.parameters():
        if parameter.requires_grad:  # steps of a small learning rate are lost in bfloat16
            parameter.data = parameter.data.float()
    return adapted


def _configured(spec: PolicySpec) -> tuple[Any, dict[str, Any]]:
    """Return the configuration of a model whose files are whole, and the options to make it with."""
    path, held = model_path(spec.path), None
    if (folder := model_folder(spec.path)) is not None:
        check_config(folder)
        held = None if spec.from_scratch else check_weights(folder, complete=path.is_dir())
    config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    refuse_other_family(config.model_type, f"model.policy.path is {spec.path!r}")
    config._attn_implementation = spec.vision_attention  # or one that the file names would win
    if held is not None:
        _refuse_larger(config, held, spec)
    return config, {"trust_remote_code": False, "dtype": getattr(torch, spec.dtype)}


def _from_files(spec: PolicySpec, build: Build | None) -> tuple[Any, list[str], list[str]]:
    """Return a model, the weights that its files lack, and those of layers that it does not have."""
    config, options = _configured(spec)
    if spec.from_scratch:
        return AutoModelForImageTextToText.from_config(config, **options), [], []  # type: ignore[no-untyped-call]
    if build is not None:
        model, missing, left = build(config, options, spec)
        return model, list(missing), _of_layers(left)
    loaded: Any = AutoModelForImageTextToText.from_pretrained(
        model_path(spec.path), config=config, use_safetensors=True, output_loading_info=True, **options
    )
    model, report = loaded
    return model, list(report["missing_keys"]), _of_layers(report["unexpected_keys"])


def _of_layers(names: Iterable[str]) -> list[str]:
    return [name for name in names if re.search(r"\.(layers|blocks)\.\d+\.", name)]


def _refuse_larger(config: Any, held: int, spec: PolicySpec) -> None:
    """Refuse a config.json of a larger model than its files hold, before memory is taken for the rest."""
    with torch.device("meta"):
        empty = AutoModelForImageTextToText.from_config(  # type: ignore[no-untyped-call]
            copy.deepcopy(config), trust_remote_code=False
        )
    described = sum(parameter.numel() for parameter in empty.parameters())
    if described > 2 * held:
        raise RefusedError(
            f"model.policy.path is {spec.path!r}: its config.json describes a model of {described:,} weights "
            f"and its files hold {held:,}; bring the two together"
        )


def _said(error: Exception) -> str:
    """Return what an error says, with its type where that alone says what is wrong."""
    known = isinstance(error, OSError | ValueError | RuntimeError | ImportError)
    return str(error) if known else f"{type(error).__name__}: {error}"


def _check_layers(model: Any, where: str) -> None:
    layers = set(getattr(model.config.get_text_config(), "layer_types", None) or ["full_attention"])
    if layers != {"full_attention"}:
        raise RefusedError(
            f"{where}, whose text layers are {', '.join(sorted(layers))}; only full attention is "
            f"supported: set use_sliding_window to false in its config.json"
        )


def _use_liger(model: Any) -> None:
    """Replace norms, rotary positions and gated layers by fused kernels."""
    if not torch.cuda.is_available():
        raise RefusedError("model.policy.liger needs CUDA, and there is none here; leave it out")
    try:
        from liger_kernel.transformers.monkey_patch import _apply_liger_kernel_to_instance
    except ImportError as error:
        raise RefusedError("model.policy.liger needs a package: pip install liger-kernel") from error
    # The policy applies the LM head itself: it needs log-probs and not a cross entropy.
    _apply_liger_kernel_to_instance(model=model, fused_linear_cross_entropy=False)
