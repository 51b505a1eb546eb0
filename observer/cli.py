"""The command line: ``observer fit | validate | test`` on LightningCLI, and ``score | list | export``.

The signature of a class is its schema: options live beside the class that uses them, and this file adds only
what belongs to a run as a whole (its directory, its seed, its plugins, which learner).
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from observer import __version__, strategies
from observer.run.files import WriteError, causes
from observer.types import RefusedError

DEFAULT_LEARNER = "observer.learner.ObserveLearner"
RUN_COMMANDS = ("fit", "validate", "test")
REFUSALS = ("RefusedError", "MisconfigurationException")
"""Exceptions that are answered with their message alone; by name, for importing Lightning takes seconds."""
MADE_ROOM = (
    "make room, then go on with --ckpt_path last (or start again, if the run had no checkpoint yet): nothing "
    "that a checkpoint holds is lost"
)
HELP = """usage: observer COMMAND [OPTIONS]

  fit        train a policy; --help prints every option
  validate   measure a policy on data.val
  test       measure a policy on data.test
  score      say what completions that you already have are worth
  curriculum preview     show what a schedule would draw
  curriculum estimates   write what a run has learned of how hard its rows are
  list       print the strategies that are known by name, with their parameters
  export     write a checkpoint's policy as a Hugging Face directory

for example: observer fit --config configs/quickstart.yaml"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit status: 0 done, 2 refused, 1 failed.

    Args:
        arguments: without the program's name; None for those of the process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words[:1] in ([], ["-h"], ["--help"]):
            print(HELP)
        elif words == ["--version"]:
            print(f"observer {__version__}")
        elif words[0] == "list":
            list_command(words[1:])
        elif words[0] == "export":
            export_command(words[1:])
        elif words[0] == "score":
            score_command(words[1:])
        elif words[:2] in (["curriculum", "preview"], ["curriculum", "estimates"]):
            curriculum_command(words[1], words[2:])
        elif words[0] in RUN_COMMANDS:
            run_command(words)
        else:
            raise RefusedError(f"command {words[0]!r} does not exist\n\n{HELP}")
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        led = list(causes(error))  # parsers and trainers wrap what was raised inside them
        refused = next((cause for cause in led if type(cause).__name__ in REFUSALS), None)
        if refused is not None:
            print(f"observer: refused: {refused}", file=sys.stderr)
            return 2
        failed = next((cause for cause in led if isinstance(cause, WriteError)), None)
        if failed is not None:
            mend = MADE_ROOM if words[0] == "fit" else "make room and run it again"
            print(f"observer: failed: {failed}; {mend}", file=sys.stderr)
            return 1
        if any(isinstance(cause, KeyboardInterrupt) for cause in led):
            return 130
        raise
    return 0


def run_command(words: list[str]) -> None:
    """Run ``fit``, ``validate`` or ``test``."""
    learner = _learner(words)
    from observer.run_cli import RunCLI

    RunCLI.run(learner, words)


def curriculum_command(what: str, words: list[str]) -> None:
    """Show what a schedule would draw, or write what a run has learned of how hard its rows are."""
    if what == "preview":
        _learner(words)  # imports what has a name
        from observer.preview import preview_command

        preview_command(words)
        return
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--run_dir", default="")
    run_dir = parser.parse_known_args(words)[0].run_dir
    if run_dir and (config := Path(run_dir) / "config.yaml").is_file():
        _learner(["--config", str(config)])
    from observer.learned import estimates_command

    estimates_command(words)


def score_command(words: list[str]) -> None:
    """Score completions of a file as a configuration would; needs no GPU and no model weights."""
    learner = _learner(words)
    from observer.score import score_file

    score_file(learner, words)


def _learner(words: list[str]) -> type:
    """Return the class that ``model`` configures, after everything that has a name has been imported.

    Plugins and the learner decide which options exist, so they are looked up before the parser is built.
    """
    early = _early_settings(words)
    strategies.load_entry_points()
    for plugin in early["plugins"]:
        strategies.load_plugin(plugin)
    for family in strategies.FAMILIES:
        strategies.base_class(family)
    return _import(early["learner"])


def _early_settings(words: list[str]) -> dict[str, Any]:
    """Read ``plugins`` and ``learner`` from configuration files and command line; the last word wins."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-c", "--config", action="append", default=[])
    parser.add_argument("--plugins", default=None)
    parser.add_argument("--learner", default=None)
    given, _ = parser.parse_known_args(words)
    settings: dict[str, Any] = {"plugins": [], "learner": DEFAULT_LEARNER}
    for name in given.config:
        file = Path(name)
        if not file.is_file():
            raise RefusedError(f"--config {name}: there is no such file ({file.resolve()}); name a YAML file")
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise RefusedError(f"--config {name}: it is no YAML: {error}") from error
        if not isinstance(content, dict):
            raise RefusedError(
                f"--config {name}: it holds {type(content).__name__}, not a mapping of options "
                f"such as 'run_dir: runs/mine'"
            )
        settings |= {key: content[key] for key in settings if content.get(key) is not None}
    if given.plugins is not None:
        try:
            settings["plugins"] = yaml.safe_load(given.plugins)
        except yaml.YAMLError as error:
            raise RefusedError(f"--plugins {given.plugins!r} is no list: {error}; write [mine.py]") from error
    if given.learner is not None:
        settings["learner"] = given.learner
    if not isinstance(settings["learner"], str):
        raise RefusedError(f"learner is {settings['learner']!r}; name a class by its import path")
    plugins = settings["plugins"]
    if not isinstance(plugins, list) or not all(isinstance(plugin, str) for plugin in plugins):
        raise RefusedError(f"plugins is {plugins!r}; give a list of Python files, such as [mine.py]")
    return settings


def _import(path: str) -> type:
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
        if not isinstance(found, type):
            raise TypeError(f"it is no class but {found!r}")
        return found
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise RefusedError(
            f"learner {path!r} cannot be imported: {error}; name a class by its import path, "
            f"such as {DEFAULT_LEARNER}"
        ) from error


def list_command(words: list[str]) -> None:
    """Print the strategies of every family, or of one: name, parameters, what it does."""
    parser = argparse.ArgumentParser(
        prog="observer list", description="Print the strategies that are known by name."
    )
    parser.add_argument("family", nargs="?", help=f"one of: {', '.join(strategies.FAMILIES)}")
    parser.add_argument("--plugins", nargs="*", default=[], help="Python files with strategies of your own")
    parser.add_argument("--markdown", action="store_true", help="print a page for a browser")
    given = parser.parse_args(words)
    if given.family is not None and given.family not in strategies.FAMILIES:
        raise RefusedError(
            f"family {given.family!r} does not exist; there are {', '.join(strategies.FAMILIES)}"
        )
    strategies.load_entry_points()
    for plugin in given.plugins:
        strategies.load_plugin(plugin)
    families = [given.family] if given.family else list(strategies.FAMILIES)
    if given.markdown:
        print(strategies.page(families), end="")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title_justify="left", show_edge=False)
    for heading, style in (("family", "dim"), ("name", "bold"), ("parameters", ""), ("what it is", "")):
        table.add_column(heading, style=style, overflow="fold")
    for family in families:
        for place, (name, strategy) in enumerate(strategies.members(family).items()):
            parameters = "\n".join(
                f"{key}: {value}" for key, value in strategies.parameters(strategy).items()
            )
            table.add_row("" if place else family, name, parameters, strategies.summary(strategy))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def export_command(words: list[str]) -> None:
    """Write a checkpoint's policy as a complete Hugging Face directory."""
    parser = argparse.ArgumentParser(
        prog="observer export", description="Write a checkpoint's policy as a Hugging Face directory."
    )
    parser.add_argument("--run_dir", required=True, help="the run")
    parser.add_argument(
        "--checkpoint", default="best", help="best, last, or the path of a .ckpt file (default: best)"
    )
    parser.add_argument("--output", required=True, help="the directory to write; must not exist")
    given = parser.parse_args(words)
    output = Path(given.output)
    if output.exists():
        raise RefusedError(f"--output {given.output}: it exists; name a directory that does not")
    from observer.policy import export_checkpoint
    from observer.run.checkpoints import resolve_checkpoint
    from observer.run_cli import quieten

    quieten()
    export_checkpoint(resolve_checkpoint(given.run_dir, given.checkpoint), output)
    print(output)
