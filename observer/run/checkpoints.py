"""The checkpoints of a run: finding one by word or path, and checking that it is whole."""

from __future__ import annotations

import copy
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from packaging.version import Version

from observer.run.waiting import waiting
from observer.types import RefusedError

FOLDER = "checkpoints"
"""Where checkpoints are, below the run directory."""
_NEEDED = ("global_step", "state_dict", "loops", "callbacks", "optimizer_states", "lr_schedulers")
"""Entries that resuming needs; a file without one of them is no checkpoint of a run."""

_MAPPED = ("state_dict", "current_model_state", "optimizer_states")
"""Entries of which a run copies what it needs: weights, those beside an average, the optimizer's state."""


def read_checkpoint(path: str | Path, map_location: Any = "cpu") -> Any:
    """Read tensors and builtins of a checkpoint; weights and optimizer state stay in the file until copied.

    So that no rank holds a second copy of them. Everything else is copied here: what kept a part of the file
    would keep the room of the whole of it on the disk, also after it was replaced.

    Args:
        path: of a local file.
        map_location: the device its tensors go to, as ``torch.load`` takes it.
    """
    checkpoint = torch.load(path, map_location=map_location, weights_only=True, mmap=True)
    if not isinstance(checkpoint, dict):
        return checkpoint
    return {name: value if name in _MAPPED else copy.deepcopy(value) for name, value in checkpoint.items()}


@contextmanager
def restoring(path: object, entry: str = "") -> Iterator[None]:
    """Turn whatever goes wrong while a checkpoint is restored inside into one refusal.

    Args:
        path: of the checkpoint.
        entry: what of it is restored.

    Raises:
        RefusedError: names the file and the entry.
    """
    try:
        yield
    except RefusedError as error:
        if path is None or str(path) in str(error):
            raise
        raise RefusedError(f"{error} ({path})") from error
    except Exception as error:
        what = f"{entry}: {_reason(error)}" if entry else _reason(error)
        raise RefusedError(
            f"checkpoint {path} cannot be restored: {what}; it is damaged, or no run has written it: give "
            f"another with --ckpt_path"
        ) from error


def newest_checkpoint(run_dir: Path, sums: bool = True) -> Path:
    """Return the checkpoint that a run goes on from: the one with the most steps that is whole.

    Args:
        run_dir: the run directory. Files in it that are damaged are passed over with a warning.
        sums: whether to compare check sums, which reads all of a file.

    Raises:
        RefusedError: there is none; names the folder and the files that cannot be read.
    """
    folder = run_dir / FOLDER
    found: dict[Path, tuple[int, int, bool]] = {}
    bad: list[str] = []

    def pass_over(path: Path, error: Exception) -> None:
        bad.append(f"{path.name} ({path.stat().st_size} bytes) cannot be read: {_reason(error)}")

    for path in sorted(folder.glob("*.ckpt")):
        try:
            # Two names of one file are equally new; the run goes on under the name that it writes next.
            found[path] = (_steps_in(path), path.stat().st_mtime_ns, path.stem == "last")
        except Exception as error:
            pass_over(path, error)
    for path in sorted(found, key=lambda path: found[path], reverse=True):
        try:
            if sums:
                _check_sums(path)
        except Exception as error:
            pass_over(path, error)
            continue
        for message in bad:
            warnings.warn(f"{folder}: {message}; going on from {path.name}", stacklevel=2)
        return path
    held = "; ".join(bad) or "it holds no *.ckpt" if folder.is_dir() else "there is no such folder"
    raise RefusedError(
        f"no checkpoint to read in {folder}: {held}; name the run with --run_dir, or leave --ckpt_path out"
    )


def check_checkpoint(path: Path, sums: bool = True) -> None:
    """Refuse a file that no run can go on from.

    Args:
        path: an existing file.
        sums: whether to compare check sums, which reads all of it.

    Raises:
        RefusedError: it cannot be read, is damaged, or is no checkpoint of a run.
    """
    try:
        _steps_in(path)
        if sums:
            _check_sums(path)
    except Exception as error:
        raise RefusedError(f"checkpoint {path} cannot be read: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    said = str(error).partition("\n")[0][:200]
    if isinstance(error, ValueError | OSError | RuntimeError) and said:
        return said
    return f"{type(error).__name__} {said}".strip()


def _steps_in(path: Path) -> int:
    """Read the step of a checkpoint; its tensors stay on the disk."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith("data.pkl"):
                archive.read(name)  # raises if it is damaged; the pickle itself could then raise anything
    checkpoint = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    missing = [name for name in _NEEDED if not isinstance(checkpoint, dict) or name not in checkpoint]
    if missing:
        raise ValueError(f"it holds no {', '.join(missing)}")
    steps = checkpoint["global_step"]
    if type(steps) is not int or steps < 0:
        raise ValueError(f"its global_step is {repr(steps)[:80]}")
    return steps


def _check_sums(path: Path) -> None:
    """Read the whole file and compare it with its own check sums, which ``torch.load`` never looks at."""
    with waiting("a checkpoint is checked", lambda: str(path)), zipfile.ZipFile(path) as archive:
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f"its part {damaged} is damaged")


def resolve_checkpoint(run_dir: str | Path, given: str, sums: bool = True) -> Path:
    """Return the checkpoint that a word or path names.

    Args:
        run_dir: the run.
        given: ``last`` (the newest valid one), ``best``, or a path.
        sums: whether to compare check sums, which reads all of it: of several ranks one has to.

    Raises:
        RefusedError: there is none.
    """
    if given == "last":
        return newest_checkpoint(Path(run_dir), sums)
    path = Path(run_dir) / FOLDER / "best.ckpt" if given == "best" else Path(given)
    if not path.is_file():
        there = sorted(str(file) for file in (Path(run_dir) / FOLDER).glob("*.ckpt"))
        instead = f"say last, or name one: {', '.join(there)}" if there else "say last, best, or a .ckpt file"
        why = "no validation has run, and they choose it; " if given == "best" and there else ""
        raise RefusedError(f"checkpoint {given!r}: there is no file {path}; {why}{instead}")
    check_checkpoint(path, sums)
    return path


def refuse_other_version(checkpoint: Mapping[str, Any], path: object) -> None:
    """Refuse what Lightning could not tell the version of, or would rewrite for one before its second.

    Raises:
        RefusedError: names the file and the version.
    """
    with restoring(path, "pytorch-lightning_version"):
        if Version(checkpoint["pytorch-lightning_version"]).major < 2:
            raise ValueError(f"is {checkpoint['pytorch-lightning_version']}")


def finished_rollouts(checkpoint: str | None) -> int | None:
    """Return the step from which a resumed run logs anew; None for a fresh one."""
    if checkpoint is None:
        return None
    with restoring(checkpoint, "LadderDataModule.step"):
        state = torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)
        return int(state["LadderDataModule"]["step"]) if "LadderDataModule" in state else None
