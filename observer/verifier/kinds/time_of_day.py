"""Answers that are times of day: 14:35, 2:35 pm."""

from __future__ import annotations

import re

from observer.verifier.kinds.checker import checker
from observer.verifier.notation import bare

_TIME = re.compile(
    r"([0-9]{1,2})(?: ?[:\uff1a] ?([0-9]{2}))?(?: ?[:\uff1a] ?([0-9]{2}))?(?: ?([ap]) ?\.? ?m\.?)?",
    re.IGNORECASE,
)
_WRAPPER = re.compile(r"\\(?:text|mathrm|textrm|mbox)(?![A-Za-z])|[{}~]")


def read_time(text: str) -> int | None:
    """Read a time of day as seconds after midnight. Without am or pm it is read on a clock of 24 hours.

    >>> read_time("14:35") == read_time("2:35 p.m.") == read_time("14:35:00"), read_time("12:00 am")
    (True, 0)
    >>> read_time("2:35") == read_time("2:35 pm"), read_time("24:10"), read_time("14"), read_time("3:4")
    (False, None, None, None)
    """
    match = _TIME.fullmatch(" ".join(_WRAPPER.sub(" ", bare(text)).replace("$", " ").split()))
    if match is None or (match[2] is None and match[4] is None):
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.group(1, 2, 3))
    if match[4] is not None:
        if not 1 <= hours <= 12:
            return None
        hours = hours % 12 + (12 if match[4].lower() == "p" else 0)
    return 3600 * hours + 60 * minutes + seconds if hours < 24 and max(minutes, seconds) < 60 else None


check_time = checker("a time of day", read_time, int.__eq__)
"""Checks a time of day: the same moment, however it is written."""
