"""The mapping from the columns of others to our fields, and the presets: mappings that are shipped by name.

A preset is a YAML file with the fields of ``ColumnMap``, and where its schema was published.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args

import yaml

from observer.refusal import nearest, shown
from observer.types import IMAGE_MARK, RefusedError

Take = Literal["boxed", "macro", "tag", "letters", "list"]
ABOUT = ("title", "source", "licence", "tested")
"""Keys of a preset that say what it is; the others are fields of ``ColumnMap``."""
NUMBER = "{n}"
"""Stands for the number in a picture's mark."""


@dataclass(frozen=True, repr=False)
class ColumnMap:
    r"""Which column is which of our fields. A field that is None is the preset's.

    A column is named by its name, or by a path into it: ``prompt.0.content``, ``reward_model.ground_truth``.
    Several paths are alternatives: the first one that holds something counts.

    Args:
        question: columns of the question, a text.
        ask: the question of rows whose picture shows it, where no column holds one.
        context: columns of a text that goes in front of the question, such as a hint; ``nan`` is none.
        chat: a column of chat turns ``{"role": .., "content": ..}``, or their JSON text, in place of
            ``question``. A content is a text or a list of items of type ``text`` or ``image``.
        system: a column of system prompts.
        system_turns: ``keep`` system turns of a chat, or ``drop`` them: they may ask for another response
            format than the one that is trained.
        answer_turn: ``drop`` a last turn of a chat that is the assistant's; ``refuse`` is the default.
        answer: columns of the gold answer.
        answer_after: texts in front of an answer, which are cut off, such as ``The answer is``.
        take: where in the answer the value is, the first of these that fits: ``boxed`` (in ``\boxed{}``),
            ``macro`` (in ``\answer{}``), ``tag`` (in ``<answer>``), ``letters`` (letters of options in front
            of an explanation; only of rows with options), ``list`` (as Python prints it, of one value). Where
            none fits, the whole answer counts.
        pictures: columns of the pictures: a picture, or a list. A picture is a path, its bytes, or
            ``{"bytes": .., "path": ..}``.
        all_pictures: take the pictures of all these columns, one after the other, not of the first alone.
        pictures_needed: refuse rows that show none; else a row whose pictures' column is missing is a text.
        picture_folder: folder of the pictures' names, below the data folder.
        picture_endings: endings to try for names that have none, such as ``.png``.
        marks: how a question marks the place of a picture; ``{n}`` stands for the number of the picture.
        unplaced: ``refuse`` rows whose marks are not one per picture, or leave numbered marks as ``words``
            (they name parts of one picture) and show the pictures first.
        cut: texts that are cut off both ends of the question, as often as they are there.
        options: columns of a choice's options: a list, the text of one as Python prints it, or a text such
            as ``A. 3; B. 4``.
        options_each: columns of one option each, A first; those at the end may be empty or ``nan``.
        options_needed: refuse rows without options: ``all`` of them, or those whose answer is a ``letter``.
        show_options: write options of a column below the question, unless they are letters alone.
        find_options: read the options from the question's own text, ``(A) 3 (B) 4``, to check answers.
        id: columns of the id; without one, ``<file>:<row>``.
        kind: columns of the kind of answer.
        difficulty: columns of the share of wrong answers, 0 to 1.
        complexity: columns of the mean length of responses in tokens.
        level: columns of the level, a whole number.
        metadata: name of a note -> its column. Columns that nothing reads become notes under their own names.
        ignore: columns that are not read at all.
    """

    question: str | list[str] | None = None
    ask: str | None = None
    context: str | list[str] | None = None
    chat: str | list[str] | None = None
    system: str | list[str] | None = None
    system_turns: Literal["keep", "drop"] | None = None
    answer_turn: Literal["refuse", "drop"] | None = None
    answer: str | list[str] | None = None
    answer_after: list[str] | None = None
    take: list[Take] | None = None
    pictures: str | list[str] | None = None
    all_pictures: bool | None = None
    pictures_needed: bool | None = None
    picture_folder: str | None = None
    picture_endings: list[str] | None = None
    marks: str | None = None
    unplaced: Literal["refuse", "words"] | None = None
    cut: list[str] | None = None
    options: str | list[str] | None = None
    options_each: list[str] | None = None
    options_needed: Literal["all", "letter"] | None = None
    show_options: bool | None = None
    find_options: bool | None = None
    id: str | list[str] | None = None
    kind: str | list[str] | None = None
    difficulty: str | list[str] | None = None
    complexity: str | list[str] | None = None
    level: str | list[str] | None = None
    metadata: dict[str, str] | None = None
    ignore: list[str] | None = None

    def __post_init__(self) -> None:
        for name, listed, literal in (("take", self.take or (), Take),):
            for value in listed:
                if value not in get_args(literal):
                    known = ", ".join(get_args(literal))
                    raise RefusedError(f"columns.{name} holds {shown(value)}; write some of {known}")
        for name, allowed in (
            ("system_turns", ("keep", "drop")),
            ("answer_turn", ("refuse", "drop")),
            ("unplaced", ("refuse", "words")),
            ("options_needed", ("all", "letter")),
        ):
            if (value := getattr(self, name)) not in (None, *allowed):
                raise RefusedError(f"columns.{name} is {shown(value)}; write one of {', '.join(allowed)}")
        if self.marks is not None and (not self.marks.replace(NUMBER, "") or self.marks.count(NUMBER) > 1):
            raise RefusedError(f"columns.marks is {shown(self.marks)}; write a mark such as {IMAGE_MARK}")
        if self.unplaced == "words" and self.marks is not None and NUMBER not in self.marks:
            raise RefusedError(
                f"columns.unplaced is words, and columns.marks {shown(self.marks)} has no number; only marks "
                "such as <image{n}> can stay as words"
            )
        for name in ("cut", "answer_after", "picture_endings", "ignore"):
            if any(not text for text in getattr(self, name) or ()):
                raise RefusedError(f"columns.{name} holds an empty text; remove it")

    def __hash__(self) -> int:  # its lists have none
        return hash(repr(self))

    def __repr__(self) -> str:
        return f"ColumnMap({', '.join(f'{name}={value!r}' for name, value in _given(self).items())})"

    def over(self, other: ColumnMap) -> ColumnMap:
        """Return this mapping with the fields of another where it has none."""
        return ColumnMap(**{**_given(other), **_given(self)})

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths that are read, columns and ways into them."""
        found: list[str] = list((self.metadata or {}).values())
        for name in PATHS:
            found += listed(getattr(self, name))
        return tuple(found)


NO_COLUMNS = ColumnMap()
"""A mapping that names none."""
PATHS = (
    *("question", "context", "chat", "system", "answer", "pictures", "options", "options_each"),
    *("id", "kind", "difficulty", "complexity", "level"),
)
"""Fields of ``ColumnMap`` that name columns, beside ``metadata``."""


def listed(value: str | list[str] | None) -> list[str]:
    """Return one text or several as a list."""
    return [value] if isinstance(value, str) else list(value or ())


def _given(mapping: ColumnMap) -> dict[str, Any]:
    fields = ((field.name, getattr(mapping, field.name)) for field in dataclasses.fields(mapping))
    return {name: value for name, value in fields if value is not None}


@cache
def presets() -> dict[str, str]:
    """Return name -> YAML of the shipped mappings, sorted."""
    folder = resources.files("observer.data.columns") / "presets"
    files = [file for file in folder.iterdir() if file.name.endswith(".yaml")]
    return {file.name.removesuffix(".yaml"): file.read_text("utf-8") for file in sorted(files, key=str)}


def about(name: str) -> dict[str, str]:
    """Return what a preset says of itself: ``title``, ``source``, ``licence``, ``tested``."""
    read = yaml.safe_load(presets()[name])
    return {key: str(read[key]) for key in ABOUT}


def preset(name: str) -> ColumnMap:
    """Return a shipped mapping.

    Raises:
        RefusedError: there is none of this name.
    """
    if name not in presets():
        close = nearest(name, presets())
        meant = f"; did you mean {' or '.join(close)}?" if close else ""
        raise RefusedError(f"preset is {shown(name)}; there are {', '.join(presets())}{meant}")
    read = yaml.safe_load(presets()[name])
    return ColumnMap(**{key: value for key, value in read.items() if key not in ABOUT})
