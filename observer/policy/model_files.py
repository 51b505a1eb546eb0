"""Checks the files of a model before anything is built from them; a refusal names the file.

Whether weights fit the model is checked where they are loaded, in ``observer.policy.loading``.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import jinja2
from PIL import Image
from safetensors import SafetensorError, safe_open
from transformers.utils.hub import cached_file

from observer.policy.weights_file import INDEX, WEIGHTS
from observer.refusal import printable
from observer.run.waiting import waiting
from observer.types import RefusedError

CONFIGS = (
    "config.json",
    "generation_config.json",
    "processor_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "chat_template.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
)
MOST_BYTES, DEEPEST, MOST_LAYERS, LARGEST = 2**26, 50, 1000, 2**31
"""Limits of JSON files; of layers and of whole numbers in a config.json."""
TEMPLATE_SIZE, TEMPLATE_LINES = 2**20, 100_000
"""Limits of a chat template: characters, also of what it renders, and lines run for a short chat."""
_LFS = b"version https://git-lfs"
_LAYERS = ("num_hidden_layers", "num_layers", "depth")


FAMILIES = {
    "qwen2_vl": "Qwen2-VL",
    "qwen2_5_vl": "Qwen2.5-VL",
    "qwen3_vl": "Qwen3-VL",
}
"""``model_type`` of a config.json -> the family. Each passes ``tests/test_families.py``: rotary positions of
``get_rope_index``, one pad per visual token, a tower ``model.visual``, text layers of full attention. Others
may have methods of these names that mean something else."""
SHIPPED = {"observer:tiles": Path(__file__).parents[1] / "data" / "tiles" / "checkpoint"}
"""Models that come with this package, by the name that stands for their folder wherever the package lies."""


def refuse_other_family(model_type: object, where: str) -> None:
    """Refuse a model whose forward passes nobody has compared with ours.

    Args:
        model_type: of its config.json.
        where: names the model.

    Raises:
        RefusedError: the family is none of ``FAMILIES``.
    """
    if model_type not in FAMILIES:
        known = ", ".join(f"{name} ({kind})" for kind, name in FAMILIES.items())
        raise RefusedError(f"{where}, a {printable(model_type)}; supported are models of the kinds {known}")


def model_path(path: str) -> Path:
    """Return the folder or hub id that a model's path means: a shipped model by its name, or the path.

    Raises:
        RefusedError: no model of that name is shipped.

    >>> model_path("observer:tiles").name
    'checkpoint'
    """
    if path.startswith("observer:") and path not in SHIPPED:
        raise RefusedError(
            f"model.policy.path is {path!r}: the models that come with observer are {', '.join(SHIPPED)}"
        )
    return SHIPPED.get(path) or Path(path).expanduser()


def model_folder(path: str) -> Path | None:
    """Return the folder of a model: itself, or the hub's in the cache; None if neither can be had."""
    local = model_path(path)
    if local.is_dir():
        return local
    try:
        with waiting("a model's files are looked for, on the hub if they are not here", str(path)):
            found = cached_file(path, "config.json")
    except (OSError, ValueError):  # whoever loads it says why
        return None
    return None if found is None else Path(found).parent


def check_configs(folder: Path) -> None:
    """Check all JSON files of a model.

    Raises:
        RefusedError: one is broken or no object, or config.json asks for code or kernels of others.
    """
    for name in CONFIGS:
        if (folder / name).is_file() and name != "config.json":
            read_json(folder / name)
    check_config(folder)


def check_config(folder: Path) -> None:
    """Check the config.json of a model.

    Raises:
        RefusedError: it is broken, asks for a kernel of the hub or quantized weights, or has endless layers;
            or the folder holds an adapter, in whose place transformers loads the model that it names.
    """
    path = folder / "config.json"
    if (folder / "adapter_config.json").is_file():
        raise RefusedError(
            f"{folder / 'adapter_config.json'}: the folder holds an adapter; name the model that it was "
            f"trained on, or one that it is merged into"
        )
    for key, value in _items(read_json(path) if path.is_file() else {}):
        if "_implementation" in key:
            if "/" in json.dumps(value):
                raise RefusedError(
                    f"{path}: {key} is {value!r}, a kernel that would be fetched from the hub; remove it"
                )
        elif key in ("quantization_config", "compression_config") and value:
            raise RefusedError(
                f"{path}: it has a {key}: quantized weights cannot be trained; name the model without it"
            )
        elif isinstance(value, int) and not isinstance(value, bool):
            most = MOST_LAYERS if key in _LAYERS else LARGEST
            if abs(value) > most:
                raise RefusedError(f"{path}: {key} is {str(value)[:30]}; it may be at most {most:,}")


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the keys of an object and of all objects in it, with their values."""
    if isinstance(value, dict):
        yield from value.items()
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _items(part)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object that a JSON file of a model holds.

    Raises:
        RefusedError: it is no JSON, no object, too large or too deep, holds a number that is not finite, or
            stands for a file that was not fetched.
    """
    try:
        content = path.read_bytes() if path.stat().st_size <= MOST_BYTES else b""
        if not content:
            raise ValueError(f"it has {path.stat().st_size:,} bytes, not 1 to {MOST_BYTES:,}")
        _refuse_pointer(path, content)
        value = json.loads(content.decode("utf-8"))
        if not isinstance(value, dict):
            raise ValueError(f"it holds a {type(value).__name__}, not an object")
        _check_tree(value)
    except RefusedError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise RefusedError(f"{path} cannot be read: {error}; fetch it again or mend it") from error
    return value


def _check_tree(value: Any) -> None:
    layer, depth = [value], 0
    while layer:
        depth += 1
        if depth > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} deep")
        inner = [part for held in layer for part in (held.values() if isinstance(held, dict) else held)]
        if any(isinstance(part, float) and not math.isfinite(part) for part in inner):
            raise ValueError("it holds a number that is not finite")
        layer = [part for part in inner if isinstance(part, dict | list)]


def weight_files(folder: Path) -> list[str]:
    """Return the names of the files that hold a model's weights, sorted; none where it has no such.

    Raises:
        RefusedError: its index names others than files beside it.
    """
    if (folder / WEIGHTS).is_file() or not (folder / INDEX).is_file():
        return [WEIGHTS] if (folder / WEIGHTS).is_file() else []
    places = read_json(folder / INDEX).get("weight_map")
    if not isinstance(places, dict) or not all(_is_shard(name) for name in places.values()):
        raise RefusedError(
            f"{folder / INDEX}: its weight_map does not name a .safetensors file beside it for each "
            f"weight; fetch it again"
        )
    return sorted(set(places.values()))


def check_weights(folder: Path, complete: bool = True) -> int | None:
    """Check that the weight files of a model are whole, from their headers alone.

    Args:
        folder: of the model.
        complete: whether all of its files have to be there: of a hub model some may yet be fetched.

    Returns:
        How many numbers they hold; None where not all of them are there yet.

    Raises:
        RefusedError: one is cut, broken, missing, or stands for a file that was not fetched.
    """
    names = weight_files(folder)
    if not complete and not all((folder / name).is_file() for name in names):
        return None
    return sum(_numbers(folder / name) for name in names) if names else None


def _is_shard(name: object) -> bool:
    return isinstance(name, str) and name.endswith(".safetensors") and Path(name).name == name


def _numbers(path: Path) -> int:
    try:
        with path.open("rb") as file:
            _refuse_pointer(path, file.read(len(_LFS)))
        with safe_open(path, "pt") as held:
            names = list(held.keys())
            return sum(math.prod(held.get_slice(name).get_shape()) for name in names)
    except (OSError, SafetensorError) as error:
        size = f" ({path.stat().st_size:,} bytes)" if path.is_file() else ""
        raise RefusedError(f"{path}{size} cannot be read: {error}; fetch it again") from error


def _refuse_pointer(path: Path, start: bytes) -> None:
    if start.startswith(_LFS):
        raise RefusedError(
            f"{path} is a pointer of Git LFS and not the file itself; fetch it with git lfs pull"
        )


def check_processor(processor: Any, where: str) -> None:
    """Prepare a short chat and a small picture.

    Args:
        processor: of a model, with a chat template.
        where: names the model.

    Raises:
        RefusedError: the template has an error, is too large or does not come to an end; or a text or a
            picture cannot be prepared.
    """
    try:
        text = _rendered(processor)
    except Exception as error:  # a template is a program, and may raise anything
        line = f" in line {error.lineno}" if isinstance(error, jinja2.TemplateSyntaxError) else ""
        raise RefusedError(
            f"{where}: its chat template (chat_template.jinja, or chat_template of tokenizer_config.json) "
            f"cannot be rendered: {type(error).__name__}{line}: {error}"
        ) from error
    try:
        processor.tokenizer([text])
        processor.image_processor(images=[Image.new("RGB", (56, 56))], return_tensors="pt")
    except Exception as error:  # their options may be anything
        raise RefusedError(
            f"{where}: its processor (processor_config.json or preprocessor_config.json, "
            f"tokenizer_config.json) cannot prepare a text and a picture: {type(error).__name__}: {error}"
        ) from error


def _rendered(processor: Any) -> str:
    """Return a short chat with a picture as the template renders it."""
    template = processor.chat_template
    for text in template.values() if isinstance(template, dict) else [template]:
        if len(text) > TEMPLATE_SIZE:
            raise ValueError(f"it has {len(text):,} characters, more than {TEMPLATE_SIZE:,}")
        signs = [sign for _, kind, sign in jinja2.Environment().lex(text) if kind != "whitespace"]
        # After a bracket or a comma it unpacks arguments.
        if any(sign == "**" and before not in ("(", ",") for before, sign in pairwise(signs)):
            raise ValueError("it raises to a power, which may take forever")
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "How many?"}]}]
    with _lines_counted():
        rendered: str = processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    if len(rendered) > TEMPLATE_SIZE:
        raise ValueError(f"it makes {len(rendered):,} characters of a short chat")
    return rendered


@contextmanager
def _lines_counted() -> Iterator[None]:
    """Raise inside when templates have run more than TEMPLATE_LINES lines."""
    count, before = 0, sys.gettrace()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if frame.f_code.co_filename != "<template>":
            return None
        count += 1
        if count > TEMPLATE_LINES:
            raise ValueError("it does not come to an end")
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)
