"""The sizes of a model, from its config.json: in a folder, in this package, or in the cache of the hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from transformers import CONFIG_MAPPING

from observer.policy.model_files import model_path, read_json, refuse_other_family
from observer.refusal import printable
from observer.types import RefusedError

PUBLISHED = Path(__file__).parent / "models"
"""The config.json of published models by their hub id, so that a plan needs no network."""


@dataclass(frozen=True)
class Tower:
    """Sizes of a vision tower."""

    layers: int
    width: int
    heads: int
    inner: int
    """Width inside the MLP of a layer."""
    gated: bool
    """Whether an MLP has a gate: three linear layers instead of two."""
    patch: int
    """Side of a patch, pixels."""
    merge: int
    """Side of the square of patches that become one visual token."""
    patch_numbers: int
    """Numbers of a patch: colours x frames x pixels."""
    deep: int
    """Layers whose features enter the text model too (Qwen3-VL)."""
    positions: int
    """Learned positions (Qwen3-VL); 0 where there are none."""


@dataclass(frozen=True)
class Architecture:
    """Sizes of a vision-language model of the Qwen2-VL kind."""

    name: str
    family: str
    """``model_type`` of its config.json."""
    layers: int
    width: int
    heads: int
    key_heads: int
    head_width: int
    inner: int
    vocabulary: int
    tied: bool
    """Whether the LM head is the embedding."""
    longest: int
    """The largest position."""
    tower: Tower

    @property
    def key_width(self) -> int:
        """Numbers of a token's keys in a layer; values have as many."""
        return self.key_heads * self.head_width

    @property
    def query_width(self) -> int:
        """Numbers of a token's queries in a layer."""
        return self.heads * self.head_width


def read_architecture(path: str) -> Architecture:
    """Return the sizes of the model that ``model.policy.path`` names.

    Args:
        path: a folder, a model that comes with observer, or a hub id. The hub is not asked: an id has its
            sizes in this package or in the cache of the hub on this machine.

    Raises:
        RefusedError: there is no config.json, or the model is of another kind.
    """
    local = model_path(path)
    file = local / "config.json" if local.is_dir() else PUBLISHED / f"{path.replace('/', '--')}.json"
    if not file.is_file() and isinstance(cached := _cached(path), str):
        file = Path(cached)
    where = f"model.policy.path is {path!r}"
    if not file.is_file():
        known = ", ".join(sorted(file.stem.replace("--", "/") for file in PUBLISHED.glob("*.json")))
        raise RefusedError(
            f"{where}: a plan asks no hub, and the model's sizes are not on this machine; give its folder, "
            f"fetch its config.json (hf download {printable(path)} config.json), or plan with {known}"
        )
    read = read_json(file)
    refuse_other_family(read.get("model_type"), where)
    try:
        return _sizes(path, CONFIG_MAPPING[read["model_type"]].from_dict(read))
    except (AttributeError, TypeError, ValueError, ZeroDivisionError) as error:
        raise RefusedError(f"{where}: its config.json cannot be read: {printable(error)}; mend it") from error


def _cached(path: str) -> object:
    try:
        return try_to_load_from_cache(path, "config.json")
    except ValueError:  # no name of a repository
        return None


def _sizes(path: str, config: Any) -> Architecture:
    text, vision = config.get_text_config(), config.vision_config
    width = getattr(vision, "embed_dim", vision.hidden_size)  # Qwen2-VL's hidden_size is that of the text
    inner = getattr(vision, "intermediate_size", None) or int(width * vision.mlp_ratio)
    tower = Tower(
        layers=vision.depth,
        width=width,
        heads=vision.num_heads,
        inner=inner,
        gated=config.model_type == "qwen2_5_vl",
        patch=vision.patch_size,
        merge=vision.spatial_merge_size,
        patch_numbers=vision.in_channels * vision.temporal_patch_size * vision.patch_size**2,
        deep=len(getattr(vision, "deepstack_visual_indexes", ())),
        positions=getattr(vision, "num_position_embeddings", 0),
    )
    return Architecture(
        name=path,
        family=config.model_type,
        layers=text.num_hidden_layers,
        width=text.hidden_size,
        heads=text.num_attention_heads,
        key_heads=text.num_key_value_heads,
        head_width=getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads,
        inner=text.intermediate_size,
        vocabulary=text.vocab_size,
        tied=bool(config.tie_word_embeddings),
        longest=text.max_position_embeddings,
        tower=tower,
    )
