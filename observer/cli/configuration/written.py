"""What configuration files and the command line say, in the order in which the parser reads them.

What is written last is what interpolations see: the options of all files and of the command line are merged
first, as the parser will merge them, and each file is resolved against the result.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from observer.cli.config_file import check_text, read_config
from observer.cli.configuration.interpolation import MARK, Settled, UnresolvedError, each_text, with_values
from observer.cli.configuration.merging import Keys, merge, put
from observer.cli.configuration.shipped import config_file
from observer.cli.configuration.yaml_text import as_text, in_place_of, replaced_file
from observer.refusal import shown
from observer.types import RefusedError

_LEFT_OUT = object()


class Part:
    """An option of the command line, as it was written.

    Args:
        words: of the command line: one or two.
        name: without dashes; empty for a word that belongs to no option.
        value: None if there is none.
    """

    def __init__(self, words: Sequence[str], name: str = "", value: str | None = None) -> None:
        self.words, self.name, self.value = list(words), name, value
        self.content: dict[str, Any] | None = None
        """Of the configuration file that the option names, as the parser reads it."""
        self.rewritten = False
        """Whether the parser must read ``content``, as it would read something else in the file."""

    @property
    def where(self) -> str:
        """How messages name it."""
        return f"--config {self.value}" if self.content is not None else "the command line"


def parts(words: Sequence[str]) -> Iterator[Part]:
    """Split a command line into options with their values, as the parser does."""
    left = list(words)
    while left:
        word = left.pop(0)
        if word[:2] == "-c" and len(word) > 2:
            yield Part(["--config", word[2:].removeprefix("=")], "config", word[2:].removeprefix("="))
        elif word == "-c" or (word.startswith("--") and len(word) > 2):
            name, equals, value = word.removeprefix("--").partition("=")
            name = "config" if word == "-c" else name
            if equals:
                yield Part([word], name, value)
            elif left and not left[0].startswith("--") and left[0] not in ("-c", "-h"):
                yield Part([f"--{name}", left[0]], name, left.pop(0))
            else:
                yield Part([word], name)
        else:
            yield Part([word])


def content_of(config: str) -> tuple[str, dict[str, Any]]:
    """Return the name of a configuration and its content.

    Args:
        config: value of ``--config``: a file, or the text that ``Written.resolved`` gives in its place.

    Raises:
        RefusedError: the file cannot be read.
    """
    name = replaced_file(config)
    return (config, read_config("--config", config)) if name is None else (name, _parsed(config))


class Written:
    """A command line and the configuration files that it names.

    Args:
        words: the command line.

    Raises:
        RefusedError: a file cannot be read.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.parts = list(parts(words))
        for part in self.parts:
            if part.name == "config" and part.value is not None:
                part.value = config_file(part.value)
                part.words = ["--config", part.value]
                part.content, part.rewritten = _content(part.value)
            elif part.value and part.value.endswith((".yaml", ".yml")) and Path(part.value).is_file():
                _refuse_interpolation(Path(part.value))

    def interpolated(self) -> bool:
        """Return whether any value holds an interpolation, or an escaped one."""
        return any(
            MARK in (part.value or "") if part.content is None else any(each_text(part.content))
            for part in self.parts
        )

    def options(self, replaced: Sequence[str] = ()) -> dict[str, Any]:
        """Return the options as the parser will merge them: what is written last counts.

        Args:
            replaced: options that hold a mapping which a later file replaces, rather than adds to.
        """
        merged: dict[str, Any] = {}
        for part in self.parts:
            if part.content is not None:
                merge(merged, part.content, replaced)
            elif part.name and part.value is not None:
                put(merged, tuple(part.name.split(".")), _read(part.value), replaced)
        return merged

    def resolved(self, defaults: Callable[[], dict[str, Any]], replaced: Sequence[str] = ()) -> list[str]:
        """Return the command line with all interpolations resolved; files that hold one are given as text.

        Args:
            defaults: gives the options that nobody wrote; called only if one of them is needed.
            replaced: see ``options``.

        Raises:
            RefusedError: an interpolation cannot be resolved: names the option, its file and what to write.
        """
        if not self.interpolated():
            return [word for part in self.parts for word in _as_written(part)]
        options = self.options(replaced)
        settled = Settled(options)
        if settled.failed or any("oc.select" in text or "oc.dict" in text for text in settled.raw.values()):
            settled = Settled(merge(defaults(), options, replaced))
        return [word for part in self.parts for word in _resolved(part, settled)]


def replaced_options(learner: type) -> list[str]:
    """Return the options of ``model`` that hold a mapping, which a later file replaces as a whole."""
    found = []
    for base in learner.__mro__:
        try:
            hints = typing.get_type_hints(vars(base).get("__init__", object.__init__))
        except (NameError, AttributeError, TypeError, SyntaxError):  # a user's hint that means nothing here
            continue
        found += [
            f"model.{name}" for name, hint in hints.items() if typing.get_origin(hint) in (dict, Mapping)
        ]
    return found


def _content(name: str) -> tuple[dict[str, Any], bool]:
    """Return what a file holds as the parser reads it, and whether the parser needs to be told.

    Sections that the file names are read, and dotted options, which the parser would lose beside their
    section, are put into it.
    """
    file, content = Path(name), read_config("--config", name)
    loaded = _parsed(file.read_text(encoding="utf-8"))  # numbers such as 1e-6 are numbers
    content = loaded if isinstance(loaded, dict) else content
    whole: dict[str, Any] = {}
    for option, value in content.items():
        beside = file
        if isinstance(value, str) and (section := _section(file, value)) is not None:
            beside, value = file.parent / value, section
        if isinstance(value, Mapping):
            value = {key: _absolute(beside, part) for key, part in value.items()}
        put(whole, tuple(str(option).split(".")), value)
    dotted = [str(option).partition(".")[0] for option in content if "." in str(option)]
    return whole, any(section in content for section in dotted)


def _section(file: Path, value: str) -> dict[str, Any] | None:
    other = file.parent / value
    if not value.endswith((".yaml", ".yml")) or not other.is_file():
        return None
    read_config(str(file), str(other))
    section: dict[str, Any] = _parsed(other.read_text(encoding="utf-8"))
    return section


def _absolute(file: Path, value: Any) -> Any:
    """Return the path of a file that holds an option; the parser seeks it beside the file that names it."""
    named = isinstance(value, str) and value.endswith((".yaml", ".yml")) and (file.parent / value).is_file()
    if named:
        _refuse_interpolation(file.parent / value)
    return str((file.parent / value).resolve()) if named else value


def _refuse_interpolation(file: Path) -> None:
    """Refuse an interpolation where the parser would take it as it is: in a file of a single option."""
    if MARK in file.read_text(encoding="utf-8", errors="replace"):
        raise RefusedError(
            f"{file}: it holds {MARK}..}}, which is resolved in the files of --config and in the sections "
            f"that they name; write the options of {file.name} in a file of --config"
        )


def _parsed(text: str) -> Any:
    """Return what YAML holds as the parser reads it."""
    from jsonargparse import get_loader  # a tenth of a second, which a file that is not there need not cost

    return get_loader("yaml")(text)


def _read(text: str) -> Any:
    """Return a value of the command line as YAML reads it; what only looks like a mapping stays a text."""
    try:
        value = _parsed(text)
    except yaml.YAMLError:
        return text
    structured = isinstance(value, dict | list)
    return text if structured and text.lstrip()[:1] not in ("{", "[") else value


def _resolved(part: Part, settled: Settled) -> list[str]:
    """Return the words of an option, its interpolations resolved.

    Raises:
        RefusedError: one that counts cannot be.
    """
    value = part.content if part.content is not None else None if part.value is None else _read(part.value)
    prefix = () if part.content is not None else tuple(part.name.split("."))
    if not any(each_text(value)):
        return _as_written(part)

    def new(path: Keys, text: str) -> Any:
        path = (*prefix, *path)
        live, place = _find(settled.raw, path)
        try:
            return settled.resolve(place, text)
        except UnresolvedError as error:
            if live == text:
                option = ".".join(str(key) for key in path)
                raise RefusedError(f"{part.where}: {option} is {shown(text)}: {error}") from error
            return _LEFT_OUT  # what was written later stands in its place

    value = _without(with_values(value, new))
    if part.content is not None:
        part.content = value
        return _in_place(part)
    if value is _LEFT_OUT:
        return []
    if isinstance(value, dict | list):  # as a word, an option of type text would take it for one
        section: dict[str, Any] = {}
        put(section, prefix, value)
        return ["--config", in_place_of("the command line", section)]
    return [f"--{part.name}={value if isinstance(value, str) else as_text(value)}"]


def _as_written(part: Part) -> list[str]:
    return _in_place(part) if part.rewritten else part.words


def _in_place(part: Part) -> list[str]:
    """Return the content of a configuration file as text on the command line."""
    text = in_place_of(str(part.value), part.content)
    check_text(part.where, text)
    return ["--config", text]


def _find(raw: Mapping[Keys, str], path: Keys) -> tuple[str | None, Keys]:
    """Return the text that counts at a place, and the place: options of a class are in its ``init_args``."""
    if path in raw:
        return raw[path], path
    for place, text in raw.items():
        if tuple(key for key in place if key != "init_args") == path:
            return text, place
    return None, path


def _without(value: Any) -> Any:
    """Return a value without what was left out; a class without its path is left out too."""
    if isinstance(value, dict):
        if value.get("class_path") is _LEFT_OUT:
            return _LEFT_OUT
        parts = {key: _without(part) for key, part in value.items()}
        return {key: part for key, part in parts.items() if part is not _LEFT_OUT}
    if isinstance(value, list):
        return [part for part in map(_without, value) if part is not _LEFT_OUT]
    return value
