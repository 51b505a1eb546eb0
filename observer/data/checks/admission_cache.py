"""Keeps which rows were refused before training, so that prompts need not be rendered and checked again."""

from __future__ import annotations

import json
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_info

from observer.data.checks import cache
from observer.data.checks.file_cache import UNREADABLE
from observer.data.rows import Rows
from observer.rollout import PromptRenderer
from observer.types import NotNowError, RefusedError
from observer.verifier.verifier import Verifier

OUTCOMES = 8
"""Outcomes kept per file of rows, for example for several system prompts; older ones are dropped."""


class AdmissionCache:
    """Which rows were refused, if the same rows were checked in the same way before.

    Args:
        rows: an opened source.
        renderer: knows the length of a prompt and its limit.
        verifier: its limits decide which answers time out.
    """

    def __init__(self, rows: Rows, renderer: PromptRenderer, verifier: Verifier) -> None:
        self._place = None if rows.identity is None else rows.identity.place
        self._key: str | None = None
        if rows.identity is not None:
            code = cache.code_digest()
            parts = [rows.identity.digest, renderer.digest, repr(verifier.limits), code]
            self._key = None if None in parts else cache.digest(parts)

    def find(self) -> list[tuple[int, RefusedError]] | None:
        """Return the rows that were refused, in order, and why; None when they are not in the cache."""
        if self._key is None:
            return None
        try:
            known = self._known()[self._key]
            return [(row, RefusedError(message)) for row, message in known]
        except UNREADABLE:
            return None

    def keep(self, bad: list[tuple[int, RefusedError]]) -> None:
        """Store which rows were refused, unless one of them may be admitted next time."""
        if self._key is None or any(isinstance(error, NotNowError) for _, error in bad):
            return
        try:
            known = self._known()
        except UNREADABLE:
            known = {}
        known = {key: rows for key, rows in known.items() if key != self._key}
        latest = dict([*known.items(), (self._key, [(row, str(error)) for row, error in bad])][-OUTCOMES:])
        try:
            cache.write(self._path, json.dumps(latest).encode())
        except UNREADABLE as error:
            rank_zero_info(f"the result of checking the rows is not kept: {error}")

    @property
    def _path(self) -> Path:
        return cache.folder() / "rows" / f"{self._place}.admission"

    def _known(self) -> dict[str, list[tuple[int, str]]]:
        if not cache.whole(self._path):
            return {}
        known: dict[str, list[tuple[int, str]]] = json.loads(self._path.read_bytes()[: -cache.SEAL_BYTES])
        return known
