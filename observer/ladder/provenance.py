"""What a build depends on, as builtins: options, digests of files, versions. No times and no paths."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import observer
from observer.data.checks.cache import file_digest
from observer.data.rows import RowFormat
from observer.ladder.asked import AskedModel
from observer.rewards import ResponseFormat
from observer.rollout import Engine
from observer.run.environment import PART, WHOLE
from observer.types import RefusedError

PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "vllm",
    "numpy",
    "pillow",
    "pyarrow",
    "math-verify",
    "imagehash",
    "datasketch",
)
"""Packages that decide what is drawn, verified and written."""
NAMED = ("path", "images", "difficulty_from")
"""Options that name files or folders, of row formats and of what says nothing else."""


def stated(value: Any) -> Any:
    """Return an option as builtins, the same in every process.

    A file is stated by its name and a digest of its content, a model by one of its files, an engine by its
    class and public attributes.
    """
    if isinstance(value, AskedModel):
        own = {item.name: stated(getattr(value, item.name)) for item in fields(value)}
        return own | {"path": _name_of(value.path), "files": model_digest(value.path)}
    if isinstance(value, Engine):
        public = {name: part for name, part in vars(value).items() if not name.startswith("_")}
        kept = {name: part for name, part in public.items() if name not in ("version", "longest")}
        return {"class": type(value).__name__} | {name: stated(part) for name, part in kept.items()}
    if is_dataclass(value) and not isinstance(value, type):
        rows = isinstance(value, RowFormat)  # whose ``files`` are paths, and those of a step names of options
        paths = NAMED if rows else getattr(value, "files", NAMED)
        found: dict[str, Any] = {"class": type(value).__name__}
        for item in fields(value):
            option = getattr(value, item.name)
            found[item.name] = _file(option) if item.name in paths else stated(option)
        if rows and (files := getattr(value, "files", ())) != (getattr(value, "path", None),):
            found["files"] = [_file(file) for file in files]
        if isinstance(value, ResponseFormat):
            found["prompt"] = blake2b(value.prompt.encode(), digest_size=16).hexdigest()
        return found
    if isinstance(value, Mapping):
        return {str(key): stated(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [stated(part) for part in value]
    return value if isinstance(value, str | int | float | bool | None) else repr(type(value).__name__)


def _file(path: Any) -> Any:
    """Return name and digest of a file; its options may name none."""
    if not isinstance(path, str) or not Path(path).is_file():
        return None if path is None else Path(str(path)).name
    return {"name": Path(path).name, "digest": file_digest(path)}


def _name_of(path: str) -> str:
    """Return a model's hub id, or the name of its folder."""
    return Path(path).name if Path(path).expanduser().is_dir() else path


@cache
def model_digest(path: str) -> str:
    """Return a digest of a model's files: configurations, tokenizer, template and weights.

    Of a file above 4 MiB the size and the first, the middle and the last MiB are read.

    Raises:
        RefusedError: there is no model at the path.
    """
    from observer.policy.model_files import model_folder  # brings transformers

    folder = model_folder(path)
    if folder is None or not (folder / "config.json").is_file():
        raise RefusedError(
            f"model.path is {path!r}: there is no model; name a Hugging Face directory or a hub id that can "
            f"be downloaded, or observer:tiles"
        )
    found = blake2b(digest_size=16)
    kinds = (".json", ".safetensors", ".jinja", ".txt", ".model")
    for file in sorted(item for item in folder.iterdir() if item.suffix in kinds and item.is_file()):
        size = file.stat().st_size
        found.update(f"{file.name} {size}\n".encode())
        with file.open("rb") as opened:
            for start in [0, (size - PART) // 2, size - PART] if size > WHOLE else [0]:
                opened.seek(start)
                found.update(opened.read(PART if size > WHOLE else -1))
    return found.hexdigest()


@cache
def versions() -> dict[str, str]:
    """Return the versions that a build depends on, with a digest of the verifier's code."""
    folder = Path(observer.__file__).parent / "verifier"
    code = blake2b(digest_size=16)
    for file in sorted(folder.rglob("*.py")):
        code.update(file.read_bytes())
    found = {"observer": observer.__version__, "verifier": code.hexdigest()}
    found["python"] = ".".join(map(str, sys.version_info[:3]))
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
