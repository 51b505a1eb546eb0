"""The parser of every command: refusals that list valid values, and cut-down configuration files."""

from __future__ import annotations

import difflib
import json
import logging
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NoReturn

import transformers
from jsonargparse._deprecated import JsonargparseDeprecationWarning
from lightning.pytorch.cli import LightningArgumentParser

from observer import strategies
from observer.answering import DEFAULT_REWARDS
from observer.cli.config_file import read_config
from observer.cli.messages import ALL_OPTIONS, joined, near
from observer.types import RefusedError


class Parser(LightningArgumentParser):
    """The parser of a subcommand, whose errors list strategies and options that exist."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Refuse with a message that lists what would have been valid.

        Raises:
            RefusedError: always.
        """
        message = joined(message)
        families: list[str] = []
        for key in re.findall(r'[Kk]ey "([\w.]+)"', message):
            action = next((a for a in self._actions if a.dest == key.removesuffix(".class_path")), None)
            hint = getattr(action, "_typehint", None)
            message += near(message, hint)
            if action is not None and (names := strategies.taken_by(hint)):
                families += strategies.families_of(hint)
                known = ", ".join(names)
                message += f"\n\nKnown by name for {action.dest}: {known} (see observer list)"
        told = [line for line in strategies.moved(message, families) if line not in message]
        message += "".join(f"\n\n{line}" for line in told)
        options = [action.dest for action in self._actions]
        for word in re.findall(r"[\w.]+", message):
            if word.startswith(("model.", "data.", "trainer.")) and word not in options:
                alike = difflib.get_close_matches(word, options, n=3)
                message += f"\n\nNear {word}: {', '.join(alike)}" if alike else ""
        raise RefusedError(f"{message}\n\n{ALL_OPTIONS}") from ex


def reduced(words: Sequence[str], needed: Callable[[str, Mapping[str, Any]], Mapping[str, Any]]) -> list[str]:
    """Replace each configuration file of a command line by the part that a command needs, as JSON.

    Args:
        words: the command line.
        needed: (file, its content) -> the part that is needed.
    """
    left, given = list(words), []
    while left:
        word = left.pop(0)
        if word in ("-c", "--config") and left:
            word, file = "--config", left.pop(0)
        elif word.startswith("--config="):
            word, _, file = word.partition("=")
        else:
            given.append(word)
            continue
        given += [word, json.dumps(needed(file, read_config(word, file)))]
    return given


def default_rewards() -> dict[str, dict[str, Any]]:
    """Return the default rewards by name, so that one of them can be changed by key and all can be saved.

    Classes are named without their file, so that saved configurations stay valid when a file moves.
    """
    return {
        name: {"class_path": type(reward).__name__, "init_args": asdict(reward)}  # type: ignore[call-overload]
        for name, reward in DEFAULT_REWARDS.items()
    }


def quieten() -> None:
    """Silence notices that no user can act on, and progress bars of a second."""
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    warnings.filterwarnings("ignore", ".*isinstance\\(treespec, LeafSpec\\).*")
    warnings.filterwarnings("ignore", ".*`weights_only` was not set.*")
    warnings.filterwarnings("ignore", ".*", JsonargparseDeprecationWarning)
    notices = ("litlogger", "TPU available", "GPU available", "`Trainer.fit` stopped")
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero"):
        logging.getLogger(name).addFilter(
            lambda record: not any(word in record.getMessage() for word in notices)
        )
