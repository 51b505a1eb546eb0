"""Writes safetensors one tensor at a time: a model is saved without a second copy of it in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import torch
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

SHARD_BYTES = 5 * 10**9
"""Bytes of weights in one file; a larger tensor has a file of its own."""
PART = 2**22
"""Elements that are converted and written at once."""
WEIGHTS, INDEX = SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME
_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""Types as the header of a safetensors file names them."""


@dataclass(frozen=True)
class Weight:
    """A tensor to write, which is made when its turn comes."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    """The type to write; ``make`` may return another."""
    make: Callable[[], torch.Tensor]

    @property
    def bytes(self) -> int:
        """Size in the file."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize


def write_weights(folder: Path, weights: Sequence[Weight]) -> None:
    """Write ``model.safetensors``, or several files and their index when there are more than SHARD_BYTES.

    Args:
        folder: an existing one.
        weights: in the order in which shards are filled.
    """
    shards = list(_shards(weights))
    total = sum(weight.bytes for weight in weights)
    if len(shards) <= 1:
        write_file(folder / WEIGHTS, weights)
        return
    places: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        write_file(folder / name, shard)
        places |= dict.fromkeys((weight.name for weight in shard), name)
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def write_file(path: Path, weights: Sequence[Weight]) -> None:
    """Write one file.

    Reference:
        https://huggingface.co/docs/safetensors: the length of the header, the header, the tensors.
    """
    ordered = in_file(weights)
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for weight in ordered:
        start, end = end, end + weight.bytes
        entry = {"dtype": _NAMES[weight.dtype], "shape": list(weight.shape), "data_offsets": [start, end]}
        header[weight.name] = entry
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for weight in ordered:
            _write_tensor(file, weight)


def in_file(weights: Sequence[Weight]) -> list[Weight]:
    """Return weights in the order in which ``write_file`` makes them: it keeps them aligned."""
    return sorted(weights, key=lambda weight: (-weight.dtype.itemsize, weight.name))


def in_order(weights: Sequence[Weight]) -> Iterator[Weight]:
    """Yield weights in the order in which ``write_weights`` makes them."""
    for shard in _shards(weights):
        yield from in_file(shard)


def _write_tensor(file: IO[bytes], weight: Weight) -> None:
    tensor = weight.make().detach()
    if tuple(tensor.shape) != weight.shape:
        raise ValueError(f"{weight.name} is {tuple(tensor.shape)} and was to be {weight.shape}")
    for part in torch.split(tensor.reshape(-1), PART):
        file.write(part.to("cpu", weight.dtype).contiguous().view(torch.uint8).numpy().data)


def _shards(weights: Sequence[Weight]) -> Iterator[list[Weight]]:
    """Cut weights into lists of at most SHARD_BYTES."""
    shard: list[Weight] = []
    held = 0
    for weight in weights:
        if shard and held + weight.bytes > SHARD_BYTES:
            yield shard
            shard, held = [], 0
        shard.append(weight)
        held += weight.bytes
    if shard:
        yield shard
