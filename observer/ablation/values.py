"""Values of options: ``${seed}``, ``${variant}`` and ``${oc.env:NAME}`` resolved for a run, and as words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from observer.ablation.grid_file import Overrides, Place
from observer.refusal import shown

MARK = "${"


def resolved(given: Overrides, place: Place, seed: int, variant: str) -> Overrides:
    """Return options as one run has them.

    Args:
        given: options with their values.
        place: of them, for messages.
        seed: what ``${seed}`` stands for.
        variant: what ``${variant}`` stands for.

    Raises:
        RefusedError: an interpolation stands for nothing here.
    """
    return {
        option: resolve(value, place.at(option), {"seed": seed, "variant": variant})
        for option, value in given.items()
    }


def resolve(value: Any, place: Place, known: Mapping[str, Any]) -> Any:
    r"""Return a value with its interpolations resolved; ``\${`` is left to ``observer fit``, as ``${``.

    Args:
        value: of any type.
        place: of it, for messages.
        known: what names stand for.

    Raises:
        RefusedError: an interpolation stands for nothing here.
    """
    if MARK not in json.dumps(value, default=str):
        return value
    from omegaconf import OmegaConf  # a quarter of a second, which only interpolations need

    try:
        made = OmegaConf.create({**known, "value": value})
        return OmegaConf.to_container(made, resolve=True)["value"]  # type: ignore[index, call-overload]
    except Exception as error:  # a resolver may raise anything
        why = str(error).partition("\n")[0]
        raise place.refused(
            value,
            f"{why}; write ${{seed}}, ${{variant}} or ${{oc.env:NAME,VALUE}}, "
            f"or \\${{..}} for what observer fit is to resolve",
        ) from error


def as_word(option: str, value: Any) -> str:
    """Return an option and its value as one word of a command line.

    >>> as_word("model.kl", None), as_word("model.weighting.sigma", 1.8)
    ('--model.kl=null', '--model.weighting.sigma=1.8')
    >>> as_word("plugins", ["mine.py"])
    '--plugins=["mine.py"]'
    """
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return f"--{option}={text}"


def canonical(given: Overrides) -> str:
    """Return options as a text that is the same for the same options, in any order."""
    return json.dumps(given, sort_keys=True, default=str)


def told(given: Overrides) -> str:
    """Return options for a table: short, one after the other."""
    return ", ".join(f"{option} {shown(value).strip(chr(39))}" for option, value in given.items())
