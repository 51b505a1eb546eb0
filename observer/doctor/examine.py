"""Looks at all rows of a fit: reads them, measures their prompts, verifies their golds, compares them."""

from __future__ import annotations

from collections.abc import Iterator

from observer.data.checks.admission import against_itself, faults_of_golds, measured_rows, unverifiable
from observer.data.checks.held_out import refuse_few, refuse_unmeasurable
from observer.data.fingerprints import picture_number, text_number
from observer.data.options import LadderOptions
from observer.data.rows import RowFormat, Rows, Skipped
from observer.data.subset import Subset, left_out
from observer.data.validation_part import OneSide, Side, ValidationSplit
from observer.doctor.copies import Copies, can_be_near
from observer.doctor.findings import Check, Fate, Finding, Findings
from observer.doctor.reading import goes_on, named, read, row_format, vouched_for
from observer.doctor.split import Split
from observer.doctor.told import Told
from observer.refusal import shown
from observer.rollout import PromptRenderer
from observer.rollout.prompts import Length
from observer.types import Problem, RefusedError
from observer.verifier import Question, Verifier
from observer.verifier.verify import ISOLATED

SPLITS = ("train", "val", "test")
"""What a fit opens."""


class Examination:
    """Looks at the rows of a fit; what it finds goes to ``findings``, what it measures to ``splits``.

    A row that a fit would refuse is refused here, by the same code, and named; a fit stops at the first ten.

    Args:
        data: the rows.
        renderer: the policy's; None leaves prompts unmeasured.
        verifier: checks gold answers.
        findings: takes what is wrong.
        told: how far it is.
    """

    def __init__(
        self,
        data: LadderOptions,
        renderer: PromptRenderer | None,
        verifier: Verifier,
        findings: Findings,
        told: Told | None = None,
    ) -> None:
        self._data, self._renderer, self._verifier = data, renderer, verifier
        self._findings, self._told = findings, told or Told()
        self.splits: list[Split] = []
        """Those that were read, in their order."""
        self.stopped = ""
        """What was being done when it was interrupted."""
        self.near = can_be_near()
        """Whether near copies are looked for."""

    def run(self) -> None:
        """Look at all rows. An interrupt ends it, with what was found so far."""
        try:
            self._read()
            for split in self.splits:
                self._measure(split)
                self._verify(split)
                self._refuse_whole(split)
            self._compare()
        except KeyboardInterrupt:
            self.stopped = self._told.doing

    def _read(self) -> None:
        """Open each source of rows once; those of ``val`` may be those of ``test`` too."""
        formats = {name: source for name in SPLITS if (source := self._data.formats[name]) is not None}
        sides: dict[int, tuple[dict[Side, Rows], bool]] = {}
        seen: list[RowFormat | OneSide] = []
        for name, source in formats.items():
            if any(source is other for other in seen):
                continue
            seen.append(source)
            try:
                if isinstance(source, OneSide):
                    split = source.split
                    if id(split) not in sides:
                        sides[id(split)] = {}, False
                        sides[id(split)] = self._parted(name, split)
                    parts, decoded = sides[id(split)]
                    if source.side not in parts:
                        continue
                    own = parts[source.side]
                else:
                    own, decoded = self._opened(name, source)
            except RefusedError as error:
                self._whole(name, source, str(error))
                continue
            inner = row_format(source)
            self.splits.append(Split(name, named(inner), goes_on(inner), decoded, own))

    def _parted(self, name: str, split: ValidationSplit) -> tuple[dict[Side, Rows], bool]:
        rows, decoded = self._opened(name, split.rows)
        return (dict(split.parted(rows)) if len(rows) else {"train": rows}), decoded

    def _opened(self, name: str, source: RowFormat) -> tuple[Rows, bool]:
        fate: Fate = "left out" if goes_on(source) else "refused"

        def take(row: Skipped, pictures: bool) -> None:
            self._findings.row(name, row, "picture" if pictures else "row", fate)

        with self._told.phase(f"data.{name}: reading rows"):
            return read(source, self._told, take)

    def _measure(self, split: Split) -> None:
        """Measure each prompt, and note answers; decode pictures that reading has not decoded."""
        with self._told.phase(f"data.{split.name}: measuring prompts", len(split.rows)):
            for problem, length in self._lengths(split.rows):
                self._told.advance()
                split.measure(problem)
                if isinstance(length, RefusedError):
                    self._bad(split, problem, length, "prompt")
                elif length is not None:
                    split.lengthen(length)
                if not split.decoded:
                    self._decode(split, problem)
                if problem.row not in split.bad:
                    self._note_tiny(split, problem)
            for row in vouched_for(split.rows).tolist():
                self._told.advance()
                split.note(split.rows[row])
                split.vouched += 1

    def _lengths(self, rows: Rows) -> Iterator[tuple[Problem, Length | RefusedError | None]]:
        if self._renderer is not None:
            yield from measured_rows(rows, self._renderer)
        else:
            yield from ((rows[row], None) for row in rows.checked_rows())

    def _decode(self, split: Split, problem: Problem) -> None:
        """Decode pictures of a source that has not done so. A fit would be interrupted by one that breaks."""
        try:
            digests = [picture_number(picture.load()) for picture in problem.pictures]
        except RefusedError as error:
            if problem.row not in split.bad:
                self._bad(split, problem, error, "picture", "interrupts")
            return
        split.pixels[problem.row] = digests or [
            text_number([turn.text for turn in problem.turns if turn.role != "system"])
        ]

    def _note_tiny(self, split: Split, problem: Problem) -> None:
        """Note pictures that are smaller than one visual token, and are enlarged."""
        side = self._renderer.token_side if self._renderer is not None else 0
        for picture in problem.pictures if side else ():
            height, width = picture.size()
            if height * width < side * side:
                what = (
                    f"picture {shown(picture.name)} has {width} x {height} pixels, fewer than one visual "
                    f"token ({side} x {side}); is it the right file?"
                )
                self._findings.problem(split.name, problem, what, "size", "noted")
                split.show(problem.row, "size", what)

    def _verify(self, split: Split) -> None:
        """Verify each distinct gold answer against itself, a formula in a process of its own."""
        rows_by_gold: dict[Question, list[int]] = {}
        for row in split.measured:
            problem = split.rows[row]
            if row not in split.bad and (problem.kind in ISOLATED or not split.decoded):
                rows_by_gold.setdefault(against_itself(problem), []).append(row)
        golds, size = list(rows_by_gold), self._verifier.limits.answers_in_time
        with self._told.phase(f"data.{split.name}: verifying golds", len(golds)):
            for start in range(0, len(golds), size):
                batch = golds[start : start + size]
                for gold, fault in faults_of_golds(batch, self._verifier).items():
                    # A fit takes the other kinds as verified by the format, and would reward no answer.
                    fate: Fate | None = None if gold.kind in ISOLATED else "noted"
                    for row in rows_by_gold[gold]:
                        problem = split.rows[row]
                        self._bad(split, problem, unverifiable(problem, fault), "gold", fate)
                self._told.advance(len(batch))

    def _bad(
        self, split: Split, problem: Problem, error: RefusedError, check: Check, fate: Fate | None = None
    ) -> None:
        split.bad[problem.row] = error
        fate = fate or ("left out" if split.goes_on else "refused")
        self._findings.problem(split.name, problem, error, check, fate)
        split.show(problem.row, check, left_out(problem, error).reason)

    def _refuse_whole(self, split: Split) -> None:
        """Refuse what a fit refuses of a split as a whole, once no row of it is refused."""
        if self._findings.of("refused", split.name):
            return
        try:
            left = Subset(split.rows, sorted(split.bad.items())) if split.bad else split.rows
            if len(left) == 0:
                raise RefusedError(f"{split.where} holds no good row")
            if split.name == "train":
                refuse_few(left, self._data.prompts_per_step)
            else:
                refuse_unmeasurable(split.name, left, ranks=1)
        except RefusedError as error:
            self._findings.add(Finding(split.name, split.where, 0, "", "source", "refused", str(error)))

    def _whole(self, name: str, source: RowFormat | OneSide, what: str) -> None:
        where = named(row_format(source))
        self._findings.add(Finding(name, where, 0, "", "source", "refused", what))

    def _compare(self) -> None:
        """Look for copies within each split and between training rows and the others."""
        copies = Copies(self._findings, self._told)
        some = [split for split in self.splits if len(split.measured)]
        for held in some[1:] if some and some[0].name == "train" else ():
            with self._told.phase(f"data.{held.name}: looking for rows of data.train"):
                copies.between(some[0], held)
        for split in some:
            with self._told.phase(f"data.{split.name}: looking for copies"):
                copies.exact(split)
        if self.near:
            copies.near([split for split in some if len(split.measured) == len(split.rows) > len(split.bad)])
