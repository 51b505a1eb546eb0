"""GRPO post-training of vision-language models with verifiable rewards, on PyTorch Lightning.

Importing this package imports nothing heavy; see ``observer.types`` for the data that flows through it. A
room's ``__init__`` imports at once what is cheap, and strategies, which are known by name once they are
imported. What needs Lightning or the code of models waits until it is asked for (PEP 562), since importing
these takes seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

__version__ = "0.1.0"


def on_demand(face: str, **modules: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the ``__getattr__`` and ``__dir__`` of a face.

    Type checkers need the imports themselves, under ``if TYPE_CHECKING``; this stands under its ``else``.

    Args:
        face: the module's ``__name__``.
        modules: name -> the module that defines it.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807
        if name not in modules:
            raise AttributeError(f"module {face!r} has no attribute {name!r}")
        value = getattr(import_module(modules[name]), name)
        setattr(sys.modules[face], name, value)  # asked for once
        return value

    def __dir__() -> list[str]:  # noqa: N807
        return sorted({*vars(sys.modules[face]), *modules})

    return __getattr__, __dir__
