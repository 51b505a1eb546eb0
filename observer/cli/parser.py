"""The parser of every command: refusals that list valid values, and cut-down configuration files."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict
from typing import Any, NoReturn

from jsonargparse import ArgumentParser
from jsonargparse._deprecated import JsonargparseDeprecationWarning

from observer import strategies
from observer.answering import DEFAULT_REWARDS
from observer.cli.configuration.messages import as_words, joined, lacking, near, plain, program
from observer.cli.configuration.plain_parser import near_each
from observer.cli.configuration.unknown_class import plain_words, unknown_class
from observer.cli.configuration.written import content_of, parts
from observer.cli.configuration.yaml_text import as_text, with_escapes
from observer.types import RefusedError

_DUMPING: ContextVar[bool] = ContextVar("dumping", default=False)


class Parser(ArgumentParser):
    """The parser of a command: options are written in full; errors list strategies and options that exist."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take what the base class takes; an abbreviation is a typo."""
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def dump(self, *args: Any, **kwargs: Any) -> str:
        """Return options as YAML that is read as the same options again."""
        if _DUMPING.get():  # a parser of a class, which is asked for its part of the whole
            part: str = super().dump(*args, **kwargs)
            return part
        token = _DUMPING.set(True)
        try:
            return with_escapes(super().dump(*args, **kwargs))
        finally:
            _DUMPING.reset(token)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Refuse with a message that lists what would have been valid.

        Raises:
            RefusedError: always.
        """
        message = as_words(joined(message))
        families: list[str] = []
        keys = [key for key in re.findall(r'[Kk]ey "([\w.]+)"', message) if key != "config"]
        for key in dict.fromkeys(keys):
            action = next((a for a in self._actions if a.dest == key.removesuffix(".class_path")), None)
            hint = getattr(action, "_typehint", None)
            if line := lacking(key, message):
                raise RefusedError(line) from ex
            message += near(message, hint)
            if action is not None and (names := strategies.taken_by(hint)):
                families += strategies.families_of(hint)
                known = ", ".join([*names, *plain_words(hint)])
                message += f"\n\nKnown by name for {action.dest}: {known} (see observer list)"
            elif action is not None and (line := unknown_class(action.dest, hint, message)):
                moved = [now for now in strategies.moved(message) if now not in line]
                raise RefusedError("; ".join([line, *moved])) from ex
        told = [line for line in strategies.moved(message, families) if line not in message]
        message += "".join(f"\n\n{line}" for line in told)
        options = [action.dest for action in self._actions]
        unknown = message.partition("unrecognized arguments:")[2].split()
        for word in re.findall(r"[\w.]+", message):
            if word.startswith(("model.", "data.", "trainer.")) and word not in options:
                unknown.append(f"--{word}")
        unknown += [
            f"--{word}"
            for word in re.findall(r"Option '([\w.]+)' is not accepted", message)
            if f"Near --{word}:" not in message
        ]
        message += near_each(dict.fromkeys(unknown), options)
        message = plain(re.sub(r"(Got value: .{200}).+", r"\1..", message))
        if "--help prints every option" not in message:  # a parser of a class may have said so
            message += f"\n\n{program(self.prog, message)} --help prints every option"
        raise RefusedError(message) from ex


def reduced(words: Sequence[str], needed: Callable[[str, Mapping[str, Any]], Mapping[str, Any]]) -> list[str]:
    """Replace each configuration file of a command line by the part that a command needs, as YAML.

    Args:
        words: the command line.
        needed: (file, its content) -> the part that is needed.
    """
    given: list[str] = []
    for part in parts(words):
        if part.name != "config" or part.value is None:
            given += part.words
            continue
        given += ["--config", as_text(needed(*content_of(part.value)))]
    return given


def default_rewards() -> dict[str, dict[str, Any]]:
    """Return the default rewards by name, so that one of them can be changed by key and all can be saved.

    Classes are named without their file, so that saved configurations stay valid when a file moves.
    """
    return {
        name: {"class_path": type(reward).__name__, "init_args": asdict(reward)}  # type: ignore[call-overload]
        for name, reward in DEFAULT_REWARDS.items()
    }


def hide_bars() -> None:
    """Hide the progress bars of loading a model, which takes a second."""
    import transformers  # takes most of a second, which commands without a model do without

    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def quieten() -> None:
    """Silence notices that no user can act on."""
    warnings.filterwarnings("ignore", ".*isinstance\\(treespec, LeafSpec\\).*")
    warnings.filterwarnings("ignore", ".*`weights_only` was not set.*")
    warnings.filterwarnings("ignore", "It is recommended to use `self.log")  # figures are equal on all ranks
    warnings.filterwarnings("ignore", ".*", JsonargparseDeprecationWarning)
    notices = ("litlogger", "TPU available", "GPU available", "`Trainer.fit` stopped")
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero"):
        logging.getLogger(name).addFilter(
            lambda record: not any(word in record.getMessage() for word in notices)
        )
