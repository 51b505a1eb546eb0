"""The work that both sides of ``against_trl.py`` do, and how a worker is held between steps and weighed.

Nothing of this project or of TRL is imported here: each worker holds one of them.
"""

import gc
import json
import os
import re
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

CHECKPOINT = "observer/data/tiles/checkpoint"
QUESTION = "What is the sum of the red tiles?"
PROMPTS, GROUP, TOKENS = 8, 8, 64
KL, LEARNING_RATE, GRADIENT_CLIP = 0.01, 1e-6, 1.0
STEPS = 10**6
"""Of the whole run, which is stopped long before."""
STATUS = Path("/proc/self/status")


@cache
def noise(row, side):
    """Return the picture of a row: the same noise on both sides, decoded once."""
    return Image.fromarray(np.random.default_rng((row, side)).integers(0, 256, (side, side, 3), np.uint8))


def worth(ids, place):
    """Return the reward of a completion. It differs by place, so that every group has something to say."""
    if len(ids) != TOKENS:
        raise ValueError(f"a completion has {len(ids)} tokens, not {TOKENS}")
    return sum(token % 2 for token in ids) / len(ids) + place / 1000


def megabytes(field):
    """Return ``VmRSS`` (resident now) or ``VmHWM`` (its peak since ``forget_peak``) of this process."""
    return int(re.search(rf"^{field}:\s+(\d+) kB", STATUS.read_text(), re.MULTILINE)[1]) * 1024 / 1e6


def forget_peak():
    """Begin to measure the peak of resident memory anew; return what is resident now, in MB."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    now, peak = megabytes("VmRSS"), megabytes("VmHWM")
    assert peak < now + 16, f"the peak was not reset: {peak} MB against {now} MB now"
    return now


class Done(Exception):  # noqa: N818
    """The driver wants no more steps."""


class Turnstile:
    """Stands where a step begins: ends the clock of the step before, and waits when the round is over.

    A step lasts from one passage to the next, so it includes all that the trainer does between two steps
    (fetching the batch, callbacks, logging). Waiting is a blocking read of stdin and is not counted.
    """

    def __init__(self):
        self._reports = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # what libraries print goes to the log
        self._left, self._begin, self._steps, self._after_setup = 0, None, [], 0.0

    def report(self, **figures):
        """Tell the driver."""
        self._reports.write(json.dumps(figures) + "\n")
        self._reports.flush()

    def __call__(self, stages):
        """Pass, now or when the driver says so.

        Args:
            stages: seconds by stage of the step before.
        """
        now = time.perf_counter()
        if self._begin is None:
            self._after_setup = forget_peak()
            self.report(ready=True)
        else:
            self._steps.append({"seconds": now - self._begin, "stages": stages})
            self._left -= 1
        if not self._left:
            if self._steps:
                self.report(steps=self._steps)
            order, *count = sys.stdin.readline().split() or ["end"]
            if order == "end":
                raise Done
            self._left, self._steps = int(count[0]), []
        self._begin = time.perf_counter()

    def memory(self):
        """Return what was resident after set-up and at the peak of all steps so far, in MB."""
        peak = megabytes("VmHWM")
        return {"after_setup": self._after_setup, "peak": peak, "growth": peak - self._after_setup}
