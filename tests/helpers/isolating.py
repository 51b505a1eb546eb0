"""What tests of the verifier's processes share."""

import time
from pathlib import Path

from observer.types import Verdict
from processes import HUNG

HELPERS = Path(__file__).parent


def verdicts(results):
    return [result.verdict for result in results]


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


def comes_true(claim):
    """Whether a claim holds now or before it is taken to never hold."""
    deadline = time.monotonic() + HUNG
    while not (holds := claim()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds


RIGHT, WRONG, UNVERIFIABLE = Verdict.CORRECT, Verdict.WRONG, Verdict.UNVERIFIABLE
