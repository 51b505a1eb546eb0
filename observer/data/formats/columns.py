"""The rows of other projects: parquet, JSON, JSONL or the hub, by a mapping of their columns to ours."""

from __future__ import annotations

import datetime
import decimal
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from observer.data.columns import choices
from observer.data.columns.chats import cut, marked, placed, turns_of
from observer.data.columns.golds import gold_in, is_letter
from observer.data.columns.hub import PREFIX, HubRows
from observer.data.columns.mapping import NO_COLUMNS, ColumnMap, listed, preset
from observer.data.columns.paths import MISSING, at, column, empty, first
from observer.data.columns.pictures import name_of, values_of
from observer.data.columns.sources import GROUP, files_of, records_of
from observer.data.formats.bad_rows import Place
from observer.data.formats.row_file import RowFile
from observer.data.misnamed import LOOK_ALIKES, refuse_unread_pictures
from observer.refusal import shown
from observer.types import IMAGE_MARK, RefusedError, Turn


@dataclass(frozen=True)
class Columns(RowFile):
    """Rows of other projects, by a mapping of their columns: a preset by name, fields of one's own, or both.

    Args:
        path: a file (``.parquet``, ``.jsonl``, ``.json``), a folder of files of one kind, or
            ``hub:<owner>/<name>`` (needs the extra ``hub``).
        images: the data folder that all pictures have to lie in; default: the folder of the file. Pictures
            that rows hold as bytes are kept in the user's folder of caches.
        on_bad_row: ``refuse`` the file, naming the bad rows, or ``skip`` them, counted and named.
        max_image_pixels: height times width that a picture may claim, 1 .. 178,956,970.
        check_images: ``decode`` every distinct picture once at the start, or read its ``header`` only.
        difficulty_from: a file of estimates, as ``observer curriculum estimates`` writes it. Its difficulties
            (and complexities) replace those of the rows, by id; each of its ids must be a row's.
        keep_checked: cache the checked rows, so that they open in seconds while nothing has changed: no byte
            of the file, no picture, no option, no line of this package.
        preset: a shipped mapping by name; ``observer list presets`` prints them all.
        columns: which column is which field; what it names goes before the preset.
        split: of a data set of the hub.
        subset: of a data set of the hub: its configuration.
        revision: of a data set of the hub: a branch, tag or commit.

    Example:
        >>> rows = Columns("train.parquet", preset="verl")
        >>> record = {"prompt": [{"role": "user", "content": "What is 3 + 4?"}], "images": None}
        >>> record |= {"reward_model": {"style": "rule", "ground_truth": "7"}, "data_source": "sums"}
        >>> problem = rows.problem(rows.translated(record))
        >>> problem.question, problem.answer, problem.metadata["source"]
        ('What is 3 + 4?', '7', 'sums')
    """

    preset: str | None = None
    columns: ColumnMap = NO_COLUMNS
    split: str = "train"
    subset: str | None = None
    revision: str | None = None

    own_fields: ClassVar[frozenset[str]] = frozenset({"turns", "images"})
    pictures_in: ClassVar[str] = "a column of `columns.pictures`"
    rows_are: ClassVar[str] = "row"

    def __post_init__(self) -> None:
        super().__post_init__()
        for need, names in (("a question", ("question", "chat", "ask")), ("an answer", ("answer",))):
            if not any(getattr(self.mapping, name) for name in names):
                raise RefusedError(
                    f"columns names no column of {need}; set columns.{names[0]}, or a preset (observer list "
                    "presets)"
                )

    @cached_property
    def mapping(self) -> ColumnMap:
        """What is read: ``columns``, over the preset."""
        return self.columns.over(preset(self.preset)) if self.preset is not None else self.columns

    @cached_property
    def _hub(self) -> HubRows | None:
        if not self.path.startswith(PREFIX):
            return None
        return HubRows(self.path, self.subset, self.split, self.revision)

    @cached_property
    def files(self) -> Sequence[str]:
        """The files of the source, or the split of the hub."""
        return files_of(self.path) if self._hub is None else (self._hub.place,)

    @property
    def files_read(self) -> Sequence[str]:
        """The files that hold the rows."""
        return self.files if self._hub is None else self._hub.files

    @cached_property
    def root(self) -> str:
        """The data folder of the pictures, as an absolute path."""
        own = Path() if self._hub is not None else Path(self.path)
        return str(Path(self.images or (own if own.is_dir() else own.parent)).absolute())

    def records(self) -> Iterator[tuple[Place, object]]:
        """Yield each row's place, and its record or the refusal of one that cannot be read.

        Raises:
            RefusedError: nothing more of the source can be read.
        """
        ignore = frozenset(self.mapping.ignore or ())
        ignore -= {column(path, ignore) for path in self.mapping.paths}  # the preset's, read all the same
        if self._hub is not None:
            rows = enumerate(self._hub.records(ignore), start=1)
            yield from ((Place(0, number), record) for number, record in rows)
            return
        for number, file in enumerate(self.files):
            yield from records_of(file, number, ignore)

    def translated(self, record: object) -> dict[str, Any]:
        """Return a row under our names; its pictures that were bytes are kept.

        Raises:
            RefusedError: it lacks a column, or a column does not hold what it should.
        """
        if not isinstance(record, dict):
            raise RefusedError(f"is {shown(record)}; write an object of columns")
        notes = self._notes(record)
        options = self._options(record)
        turns, pictures = self._turns(record, options)
        if self.mapping.find_options and not options:
            options = choices.options_in(turns[-1].text)
        row: dict[str, Any] = {
            "turns": turns,
            "images": pictures,
            "options": list(options),
            "metadata": notes,
        }
        for name in ("id", "kind", "difficulty", "complexity", "level"):
            found = first(record, listed(getattr(self.mapping, name)))
            if found is not MISSING:
                digits = name == "level" and isinstance(found, str) and found.isdecimal()
                row[name] = int(found) if digits and len(found) < 10 else found
        answer = first(record, listed(self.mapping.answer))
        if answer is MISSING:
            raise self._lacking("answer", "answer", record)
        if isinstance(answer, str):
            answer = gold_in(answer, self.mapping.answer_after or (), self.mapping.take or (), options)
        needed = self.mapping.options_needed
        if not options and (needed == "all" or (needed == "letter" and is_letter(answer))):
            raise self._lacking("options", "options_each" if self.mapping.options_each else "options", record)
        return {**row, "answer": answer}

    def chat(self, record: Mapping[str, Any]) -> tuple[tuple[Turn, ...], tuple[str, ...]]:
        """Return the turns and pictures of a translated row."""
        return record["turns"], record["images"]

    def _turns(
        self, record: Mapping[str, Any], options: Sequence[str]
    ) -> tuple[tuple[Turn, ...], tuple[str, ...]]:
        """Return a row's turns with our marks, and the names of its pictures in the order of the marks."""
        held: list[object] = []
        mapping = self.mapping
        found = first(record, listed(mapping.chat))
        if found is not MISSING:
            turns = turns_of(found, mapping, held)
        else:
            question = first(record, listed(mapping.question))
            question = mapping.ask if question is MISSING else question
            if question is None:
                raise self._lacking("question", "chat" if mapping.chat else "question", record)
            if not isinstance(question, str) or not question.strip():
                raise RefusedError(f"its question is {shown(question)}; columns.question has to be a text")
            turns = [Turn("user", self._context(record) + question)]
        system = first(record, listed(mapping.system))
        if isinstance(system, str):
            turns = [Turn("system", system), *turns]
        pictures = self._pictures(record)
        if held and pictures and len(held) != len(pictures):
            raise RefusedError(
                f"holds {len(held)} pictures in its chat and {len(pictures)} in columns.pictures; keep one"
            )
        pictures = held or pictures
        if mapping.pictures_needed and not pictures:
            raise self._lacking("picture", "pictures", record)
        within = bool(mapping.show_options) and marked(options, mapping)
        if within:  # options that are pictures have their place in the order
            text = choices.shown_with(cut(turns[-1].text, mapping.cut or ()), options)
            turns = [*turns[:-1], Turn("user", text)]
        shown_turns, order = placed(turns, len(pictures), mapping)
        asked = cut(shown_turns[-1].text, mapping.cut or ())
        if mapping.show_options and not within:
            asked = choices.shown_with(asked, options)
        if not asked.replace(IMAGE_MARK, "").strip():
            raise RefusedError(f"its question is empty: {shown(turns[-1].text)}; write what is asked")
        marks = asked.count(IMAGE_MARK) + sum(turn.text.count(IMAGE_MARK) for turn in shown_turns[:-1])
        if marks != len(order):
            raise RefusedError(
                f"its options, or what columns.cut cuts off, hold {IMAGE_MARK}: {shown(asked)}; only a "
                "question shows pictures"
            )
        names = [name_of(pictures[place], self.root, mapping) for place in order]
        return (*shown_turns[:-1], Turn("user", asked)), tuple(names)

    def _context(self, record: Mapping[str, Any]) -> str:
        """Return what goes in front of a question, with the end of its line; "" for nothing."""
        found = first(record, listed(self.mapping.context))
        if found is MISSING or (isinstance(found, str) and found.strip().casefold() in ("", "nan")):
            return ""
        if not isinstance(found, str):
            raise RefusedError(f"its context is {shown(found)}; columns.context has to be a text")
        return f"{found.strip()}\n"

    def _pictures(self, record: Mapping[str, Any]) -> list[object]:
        paths = listed(self.mapping.pictures)
        if self.mapping.all_pictures:
            return [picture for path in paths for picture in values_of(at(record, path))]
        return values_of(first(record, paths))

    def _options(self, record: Mapping[str, Any]) -> tuple[str, ...]:
        if self.mapping.options_each:
            return choices.options_of_each([at(record, path) for path in self.mapping.options_each])
        found = first(record, listed(self.mapping.options))
        return () if found is MISSING else choices.options_of(found)

    def _notes(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return the metadata: named notes, and the columns that nothing reads.

        Raises:
            RefusedError: one of these holds pictures or options, without which the row would be another.
        """
        read = {column(path, record) for path in self.mapping.paths}
        read |= {GROUP, *(self.mapping.ignore or ())}
        rest = {key: value for key, value in record.items() if key not in read and not empty(value)}
        note = "name it in `columns.metadata`"
        shows = [""] if not self._pictures(record) else ["."]
        refuse_unread_pictures(rest, frozenset(), shows if shows[0] else (), self.pictures_in, note)
        for key, value in rest.items():
            if not self.mapping.options and _holds_options(key, value):
                raise RefusedError(
                    f"holds {shown(key)}, which looks like options and is not read; name it in "
                    f"`columns.options` or `columns.ignore`"
                )
        named = {name: at(record, path) for name, path in (self.mapping.metadata or {}).items()}
        notes = rest | {name: value for name, value in named.items() if value is not MISSING}
        return {key: _json_like(value, key) for key, value in notes.items() if not empty(value)}

    def _lacking(self, what: str, name: str, record: Mapping[str, Any]) -> RefusedError:
        wanted = ", ".join(listed(getattr(self.mapping, name))) or "none"
        return RefusedError(
            f"has no {what}: columns.{name} is {wanted}; the row holds {shown(sorted(record), 200)}"
        )


def _holds_options(key: str, value: object) -> bool:
    plain = "".join(filter(str.isalnum, key.casefold()))
    texts = [*value.values()] if isinstance(value, dict) else value
    several = isinstance(texts, list) and len(texts) > 1 and all(isinstance(text, str) for text in texts)
    return bool(LOOK_ALIKES["options"].fullmatch(plain)) and several


def _json_like(value: object, key: str) -> Any:
    """Return a note as JSON holds it.

    Raises:
        RefusedError: it is bytes.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, dict):
        return {str(name): _json_like(item, key) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_like(item, key) for item in value]
    if isinstance(value, datetime.date | datetime.time | datetime.timedelta | decimal.Decimal):
        return str(value)
    raise RefusedError(
        f"holds {shown(key)} ({type(value).__name__}), which is not read and is no note; name it in "
        "`columns.pictures` or `columns.ignore`"
    )
