"""Options that people know from Lightning and that have another name here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from observer.cli.configuration.written import Part, Written
from observer.refusal import shown
from observer.types import RefusedError

OTHER_NAMES = {
    "optimizer": "an optimizer is an option of the learner; write model.optimizer",
    "lr_scheduler": "a learning rate over time is an option of the learner; write model.learning_rate",
    "model.lr_scheduler": "a learning rate over time is written model.learning_rate",
    "trainer.default_root_dir": "a run writes to one directory; write run_dir",
    "model.seed": "there is one seed; write seed_everything",
    "data.seed": "there is one seed; write seed_everything",
}
"""Option -> what to write instead. Some are links of the parser, which ignores what is written."""


def refuse_other_names(written: Written) -> None:
    """Refuse options that would be ignored, or have another name.

    Raises:
        RefusedError: names the option, its file and what to write instead.
    """
    for part in written.parts:
        for name, value in _options(part):
            for other, mend in OTHER_NAMES.items():
                if name == other or name.startswith(f"{other}."):
                    in_file = part.content is not None
                    told = f"{name} is {shown(value)}" if in_file else f"--{name} {value or ''}".strip()
                    raise RefusedError(f"{part.where}: {told}; {mend}")


def _options(part: Part) -> Iterator[tuple[str, Any]]:
    """Yield the options of a part by their dotted names: those of a file, and of its sections."""
    if part.content is None:
        yield part.name, part.value
        return
    for name, value in part.content.items():
        yield str(name), value
        if isinstance(value, Mapping):
            yield from ((f"{name}.{key}", below) for key, below in value.items())
