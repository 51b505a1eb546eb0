"""Reads a model's files rank by rank: each rank its parts alone, so that nobody holds the whole model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import init_empty_weights
from safetensors import safe_open
from transformers import AutoModelForImageTextToText
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key
from transformers.utils.hub import cached_file

from observer.policy.model_files import model_folder, model_path, weight_files
from observer.policy.sharded.sharding import is_sharded, local
from observer.policy.weights_file import INDEX, WEIGHTS
from observer.run.archive import rows_of
from observer.types import RefusedError

if TYPE_CHECKING:
    from observer.policy.loading import PolicySpec


def without_weights(config: Any, options: Mapping[str, Any]) -> Any:
    """Return a model whose weights have no memory yet; its buffers have their values.

    Args:
        config: of the model.
        options: of ``from_config``.
    """
    with init_empty_weights(include_buffers=False):
        model = AutoModelForImageTextToText.from_config(config, **options)  # type: ignore[no-untyped-call]
    model.tie_weights()  # each time that a weight was taken up, it became another
    return model


@contextmanager
def seeming_to_be_there(model: Any) -> Iterator[None]:
    """Let weights without memory be on the CPU inside, all elements of each in one place.

    PEFT moves adapters to where the weights are that they adapt: with nowhere, their values would be lost.

    Args:
        model: changed in place, and changed back.
    """
    standing_in = _replaced(
        model,
        lambda weight: weight.is_meta,
        lambda weight: torch.empty(1, dtype=weight.dtype).expand(weight.shape),
    )
    yield
    _replaced(
        model,
        lambda weight: id(weight) in standing_in,
        lambda weight: torch.empty_like(weight, device="meta"),
    )


def _replaced(
    model: Any, chosen: Callable[[torch.Tensor], bool], make: Callable[[torch.Tensor], torch.Tensor]
) -> dict[int, torch.Tensor]:
    """Replace chosen weights, shared ones by one; return the new ones by their ids."""
    made: dict[int, torch.nn.Parameter] = {}
    for module in model.modules():
        for name, weight in module._parameters.items():
            if weight is not None and chosen(weight):
                made.setdefault(id(weight), torch.nn.Parameter(make(weight.detach()), weight.requires_grad))
                module._parameters[name] = made[id(weight)]
    return {id(weight): weight for weight in made.values()}


@dataclass(frozen=True)
class Place:
    """Where the values of a weight are."""

    file: Path
    key: str


def build_empty(
    found: dict[str, Place], config: Any, options: Mapping[str, Any], spec: PolicySpec
) -> tuple[Any, list[str], list[str]]:
    """Return a model whose weights have no memory yet, what its files lack and what they hold besides.

    Args:
        found: gets the place of each weight.
        config: of the model.
        options: of ``from_config``.
        spec: names the files.

    Raises:
        RefusedError: a weight has another shape there, or has to be put together from several.
    """
    folder = model_folder(spec.path)
    assert folder is not None  # it has a configuration
    model = without_weights(config, options)
    there, missing, left = places(model, model_path(spec.path), folder)
    found.update(there)
    return model, missing, left


def places(model: Any, path: str | Path, folder: Path) -> tuple[dict[str, Place], list[str], list[str]]:
    """Return where the files hold each weight of a model, the weights that they lack, and what else is there.

    Args:
        model: without adapters; its weights need no memory.
        path: of the model, or its hub id.
        folder: with its config.json; of a hub model the weights are fetched if they are not there.

    Raises:
        RefusedError: a weight has another shape there, or has to be put together from several.
    """
    own = dict(model.named_parameters())
    shared = dict(model.named_parameters(remove_duplicate=False))
    transforms = get_model_conversion_mapping(model)
    renamings = [each for each in transforms if isinstance(each, WeightRenaming)]
    converters = [each for each in transforms if isinstance(each, WeightConverter)]
    found: dict[str, Place] = {}
    left = []
    for file in _files(path, folder):
        with safe_open(file, "pt") as held:
            for key in held.keys():  # noqa: SIM118 - it is no mapping
                name, together = rename_source_key(
                    key, renamings, converters, model.base_model_prefix, shared
                )
                if name not in own:
                    left += [name] if name not in shared else []
                    continue
                shape = tuple(held.get_slice(key).get_shape())
                if together is not None or shape != tuple(own[name].shape):
                    raise RefusedError(
                        f"{file}: {key} is {shape} there, and {name} {tuple(own[name].shape)} in the model; "
                        f"parts are read of weights that are as they are in the model alone: train it on one "
                        f"process or under ddp, export it, and start from the export"
                    )
                found[name] = Place(file, key)
    return found, [name for name in own if name not in found], left


def _files(path: str | Path, folder: Path) -> Iterator[Path]:
    """Yield the files of a model's weights; those of a hub model that are not there yet are fetched."""
    if not Path(path).is_dir():
        for name in (WEIGHTS, INDEX):
            cached_file(str(path), name, _raise_exceptions_for_missing_entries=False)
    for name in weight_files(folder):
        if not (folder / name).is_file():
            cached_file(str(path), name)
        yield folder / name


@torch.no_grad()
def read_parts(model: Any, found: Mapping[str, Place]) -> None:
    """Give each weight of a model its values: of one that is sharded, this rank's part is read alone.

    Args:
        model: with or without adapters in it, which keep theirs.
        found: the place of each weight.
    """
    with ExitStack() as stack:
        opened = {
            file: stack.enter_context(safe_open(file, "pt"))
            for file in dict.fromkeys(place.file for place in found.values())
        }
        for name, parameter in model.named_parameters():
            if ".lora_" in name:
                continue
            place = found[name.replace(".base_layer.", ".")]
            values = opened[place.file].get_slice(place.key)
            rows = rows_of(parameter) if is_sharded(parameter) else slice(None)
            if rows.stop is None or rows.stop > rows.start:
                local(parameter).copy_(values[rows])
