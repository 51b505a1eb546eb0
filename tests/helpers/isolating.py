"""What tests of the verifier's processes share."""

import time
from pathlib import Path

from observer.types import Verdict

HELPERS = Path(__file__).parent


def verdicts(results):
    return [result.verdict for result in results]


def timed(verifier, questions):
    start = time.monotonic()
    return verifier.verify_all(questions), time.monotonic() - start


def group_of(verifier):
    return verifier._process.pid


def members(group):
    """The living processes of a group."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, in_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it has just ended
            continue
        if int(in_group) == group and state not in "ZX":
            found.append(int(folder.name))
    return found


def comes_true(claim, seconds=60):
    """Whether a claim holds now or before the seconds are over, which only end a test that would hang."""
    deadline = time.monotonic() + seconds
    while not (holds := claim()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds


RIGHT, WRONG, UNVERIFIABLE = Verdict.CORRECT, Verdict.WRONG, Verdict.UNVERIFIABLE
