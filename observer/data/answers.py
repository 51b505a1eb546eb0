"""The kind of a row's answer, and whether any rule can check it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from observer.data.fields import string, wrong
from observer.verifier.verify import KINDS, infer_kind, refuse_unverifiable


def answer_kind(record: Mapping[str, Any], answer: str, options: tuple[str, ...]) -> str:
    """Return the kind of the answer: the row's ``kind``, or else inferred from the answer.

    Raises:
        RefusedError: the kind does not exist, or no rule can check the answer.
    """
    if "kind" not in record:
        return infer_kind(answer, options)
    if (kind := string(record, "kind")) not in KINDS:
        raise wrong("kind", kind, f"one of {', '.join(sorted(KINDS))}, or leave it out")
    refuse_unverifiable(answer, kind, options)
    return kind
