"""The options of a run as loggers take them: a flat table of numbers and words, by their names as options."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from observer.run.names import curve_name

LEFT_OUT = ("config", "ckpt_path", "plugins", "trainer.default_root_dir", "trainer.logger")
"""Files and folders of one machine; options of loggers may hold keys of their services."""


def flat(config: Mapping[str, Any]) -> dict[str, str | float]:
    """Return the options of a configuration by the names that the command line has for them.

    An object is its class, by name, and its options; options that are null and ``LEFT_OUT`` are not there.

    Args:
        config: nested mappings and lists of builtins, objects as ``class_path`` and ``init_args``.

    >>> weighting = {"class_path": "observer.objective.Quadratic", "init_args": {"sigma": 1.8}}
    >>> flat({"model": {"weighting": weighting, "kl": None, "betas": [0.9, 0.99]}})
    {'model.weighting': 'Quadratic', 'model.weighting.sigma': 1.8, 'model.betas': '[0.9, 0.99]'}
    """
    options: dict[str, str | float] = {}
    _collect(config, "", options)
    return options


def _collect(value: Any, name: str, options: dict[str, str | float]) -> None:
    if name in LEFT_OUT or value is None or (isinstance(value, float) and not math.isfinite(value)):
        return
    if isinstance(value, Mapping):
        if isinstance(path := value.get("class_path"), str):
            options[name] = path.rpartition(".")[2]
            value = {**(value.get("init_args") or {}), **(value.get("dict_kwargs") or {})}
        for key, part in value.items():
            own = curve_name(str(key))  # rewards are named by users
            _collect(part, f"{name}.{own}" if name else own, options)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        if any(isinstance(part, Mapping) for part in value):
            for place, part in enumerate(value):
                _collect(part, f"{name}.{place}", options)
        elif value:
            options[name] = str(list(value))
    else:
        options[name] = value if isinstance(value, bool | int | float) else str(value)
