"""Writes what ``torch.load`` reads, one tensor at a time: of tensors that are made when their turn comes.

``torch.save`` needs all of them at once. The files are alike: a zip archive of ``data.pkl``, which names the
tensors, and an entry for the values of each.

Reference:
    https://docs.pytorch.org/docs/stable/notes/serialization.html, "Serialized file format for torch.save"
"""

from __future__ import annotations

import io
import math
import pickle
import sys
import zipfile
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

import torch

FOLDER, ALIGNED, PART = "archive", 64, 2**22
"""The folder in the archive, where values begin, in bytes, and the elements that are written at once."""
PICKLE = 2
"""The protocol that ``torch.save`` writes, and reading without code execution takes."""
_ZIP64, _HEADER = 20, 30
"""Bytes of a local header of the archive: of its field for large sizes, and of what is before names."""


def tensors_in(tree: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors of nested mappings, lists and tuples, in their order: the same on all ranks."""
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, Mapping):
        for value in tree.values():
            yield from tensors_in(value)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from tensors_in(value)


def write_archive(tree: Any, file: IO[bytes] | None) -> None:
    """Write nested builtins and tensors. A sharded tensor is gathered part by part, by all ranks.

    Args:
        tree: the same on all ranks, as far as sharded tensors go; others are written as rank 0 has them.
        file: open for writing in bytes; None on ranks that take part and write nothing.

    Raises:
        OSError: the file cannot be written. All ranks have brought all parts, and none waits for another.
    """
    stored = _Stored.of(tree)
    if file is None:
        for tensor in stored.tensors:
            _take_part(tensor)
        return
    left = iter(stored.tensors)
    parts: Iterator[torch.Tensor] = iter(())
    try:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            content = io.BytesIO()
            _Pickler(content, stored).dump(tree)
            for name, text in (("data.pkl", content.getvalue()), ("byteorder", sys.byteorder.encode())):
                with _entry(archive, name) as entry:
                    entry.write(text)
            for number, tensor in enumerate(left):
                parts = _parts(tensor)
                with _entry(archive, f"data/{number}") as entry:
                    for part in parts:
                        entry.write(part.cpu().view(torch.uint8).numpy().data)
            with _entry(archive, "version") as entry:
                entry.write(b"3\n")
    except BaseException:
        deque(parts, 0)
        for tensor in left:
            _take_part(tensor)
        raise


def _parts(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield the values of a tensor in their order, ``PART`` at most at a time.

    One whose rows are cut over ranks comes from each rank in turn, to all of them: all ranks iterate, and
    none ever holds the whole.
    """
    held: Any = tensor.detach()
    if not hasattr(held, "to_local"):
        flat = held.contiguous().reshape(-1)
        yield from torch.split(flat, PART) if flat.numel() else ()
        return
    own, mesh = held.to_local().contiguous().reshape(-1), held.device_mesh
    for rank in range(mesh.size()):
        rows = rows_of(held, rank)
        count = (rows.stop - rows.start) * math.prod(held.shape[1:])
        for begin in range(0, count, PART):
            size = min(PART, count - begin)
            mine = rank == mesh.get_local_rank()
            part = own[begin : begin + size] if mine else own.new_empty(size)
            torch.distributed.broadcast(part, group=mesh.get_group(), group_src=rank)
            yield part


def rows_of(tensor: Any, rank: int | None = None) -> slice:
    """Return which rows of a tensor that is cut over ranks are those of a rank, None for this one."""
    rank = tensor.device_mesh.get_local_rank() if rank is None else rank
    rows, each = tensor.shape[0], -(-tensor.shape[0] // tensor.device_mesh.size())
    return slice(min(rank * each, rows), min((rank + 1) * each, rows))


def _take_part(tensor: torch.Tensor) -> None:
    """Take part in writing a tensor that this rank does not write."""
    if hasattr(tensor, "to_local"):
        deque(_parts(tensor), 0)


def _entry(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """Open an entry whose content begins at a multiple of ALIGNED, as a mapped file is read best."""
    info = zipfile.ZipInfo(f"{FOLDER}/{name}")
    assert archive.fp is not None
    begin = archive.fp.tell() + _HEADER + len(info.filename) + _ZIP64 + 4
    padding = -begin % ALIGNED
    info.extra = b"FB" + padding.to_bytes(2, "little") + b"Z" * padding
    return archive.open(info, "w", force_zip64=True)


@dataclass(frozen=True)
class _Stored:
    """The tensors of a tree, each once: one that shares another's values is not stored again."""

    tensors: list[torch.Tensor]
    keys: dict[tuple[int, ...], int]

    @staticmethod
    def of(tree: Any) -> _Stored:
        keys: dict[tuple[int, ...], int] = {}
        tensors: list[torch.Tensor] = []
        for tensor in tensors_in(tree):
            if _identity(tensor) not in keys:
                keys[_identity(tensor)] = len(tensors)
                tensors.append(tensor)
        return _Stored(tensors, keys)


def _identity(tensor: torch.Tensor) -> tuple[int, ...]:
    """Return what tensors of the same values have in common, whether or not this rank has a part of them."""
    held: Any = tensor.detach()
    held = held.to_local() if hasattr(held, "to_local") else held
    return (held.untyped_storage()._cdata, held.storage_offset(), *tensor.shape, *tensor.stride())


class _Values:
    """Stands for the values of a tensor in the pickle."""

    def __init__(self, key: int, tensor: torch.Tensor) -> None:
        self.key, self.tensor = key, tensor


class _Pickler(pickle.Pickler):
    """Writes tensors as ``torch.save`` does: how each is made of values that are stored by themselves."""

    def __init__(self, file: IO[bytes], stored: _Stored) -> None:
        super().__init__(file, PICKLE)
        self._keys = stored.keys

    def reducer_override(self, given: Any) -> Any:
        if not isinstance(given, torch.Tensor):
            return NotImplemented
        shape = tuple(given.shape)
        values = _Values(self._keys[_identity(given)], given)
        stride = torch.empty(shape, device="meta").stride()
        return torch._utils._rebuild_tensor_v2, (values, 0, shape, stride, False, OrderedDict())

    def persistent_id(self, given: Any) -> Any:
        if not isinstance(given, _Values):
            return None
        kind = getattr(torch, _STORAGES[given.tensor.dtype])
        return ("storage", kind, str(given.key), "cpu", given.tensor.numel())


_STORAGES = {
    torch.float64: "DoubleStorage",
    torch.float32: "FloatStorage",
    torch.bfloat16: "BFloat16Storage",
    torch.float16: "HalfStorage",
    torch.int64: "LongStorage",
    torch.int32: "IntStorage",
    torch.int16: "ShortStorage",
    torch.int8: "CharStorage",
    torch.uint8: "ByteStorage",
    torch.bool: "BoolStorage",
}
