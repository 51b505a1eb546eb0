"""Where a run was made: versions, the state of the user's repository, hardware, and what it started from."""

from __future__ import annotations

import math
import os
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import observer
from observer.run.archive import rows_of

FILE = "environment.json"
"""The record, in a run directory and in an export."""
PACKAGES = ("torch", "transformers", "lightning", "peft", "tokenizers", "vllm")
WHOLE, PART = 4 << 20, 1 << 20
"""Bytes up to which a tensor is read whole, and of each of the three parts that are read of a larger one."""
WEIGHTS_OF = (
    "blake2b over name, type, shape and values of each tensor as it was loaded, in the order of names; of "
    "tensors above 4 MiB the first, the middle and the last MiB"
)
"""What ``weights_digest`` is a digest of."""


def environment() -> dict[str, Any]:
    """Return versions, git state of the working directory, and hardware: builtins only; never fails."""
    return {
        "versions": {
            "observer": observer.__version__,
            "python": platform.python_version(),
            **{package: found for package in PACKAGES if (found := _version(package)) is not None},
        },
        "git": _git(Path.cwd()),
        "hardware": _hardware(),
    }


def weights_digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return a digest of weights; what of them is read says ``WEIGHTS_OF``.

    Every update of training changes nearly every element of a tensor, so that a part of it tells as much as
    all; 14 GB of weights take a second or two. Of weights that are sharded all ranks bring what is read.
    """
    found = blake2b(digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name].detach()
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        size = tensor.numel() * tensor.element_size()
        starts = [0, (size - PART) // 2, size - PART] if size > WHOLE else [0]
        for start in starts:
            part = _bytes_of(tensor, start, PART if size > WHOLE else size)
            found.update(part.cpu().numpy().data)
    return found.hexdigest()


def _bytes_of(tensor: Any, start: int, size: int) -> torch.Tensor:
    """Return some bytes of a tensor; of one whose rows are cut over ranks, without gathering the others.

    Args:
        tensor: without gradient; where it is cut, all ranks call this.
        start: the first byte.
        size: how many.
    """
    if not hasattr(tensor, "full_tensor"):
        held: torch.Tensor = tensor.contiguous().reshape(-1).view(torch.uint8)
        return held[start : start + size]
    held = tensor.to_local().contiguous().reshape(-1).view(torch.uint8)
    mesh = tensor.device_mesh
    begin = rows_of(tensor).start * math.prod(tensor.shape[1:]) * tensor.element_size()
    low, high = max(start, begin), min(start + size, begin + len(held))
    part = torch.zeros(size, dtype=torch.uint8, device=held.device)
    if low < high:
        part[low - start : high - start] = held[low - begin : high - begin]
    torch.distributed.all_reduce(part, group=mesh.get_group())  # each byte is one rank's
    return part


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(folder: Path) -> dict[str, Any] | None:
    """Return commit and whether files differ from it; None without a repository, a commit, or git."""

    def ask(*words: str) -> str:
        command = ["git", "-C", str(folder), *words]
        # No lock is taken that would stop a git command of the user's meanwhile.
        quiet = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
        asked = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True, env=quiet)
        return asked.stdout.strip()

    try:
        commit = ask("rev-parse", "HEAD")
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    try:
        dirty: bool | None = bool(ask("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        dirty = None  # a large repository on a slow disk, for example
    return {"commit": commit, "dirty": dirty}


def _hardware() -> dict[str, Any]:
    devices = [torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())]
    return {
        "devices": devices,
        "cpu": _cpu(),
        "cpus": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
