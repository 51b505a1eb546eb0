"""A checker in place of the one of expressions, for tests of where it runs: it does what it is told."""

import os
import signal
import sys
import time
from pathlib import Path

from observer.types import Verdict
from observer.verifier import verifier as verifier_module
from observer.verifier.verifier import Question
from observer.verifier.verify import KINDS

PROGRAM = verifier_module.PROGRAM.replace(
    "from observer",
    f"sys.path.append({str(Path(__file__).parent)!r}); import stand_in; stand_in.install(); from observer",
)
"""What the process runs instead: the same, with this checker for expressions."""


def ask(*orders, gold="7"):
    """Questions that do what they say, such as ``sleep 3``; right when they begin with the gold answer."""
    return [Question("expression", gold, order) for order in orders]


def install():
    KINDS["expression"] = check


def check(gold, prediction, options):
    order, _, argument = prediction.partition(" ")
    if order in ORDERS:
        ORDERS[order](argument)
    return (Verdict.CORRECT if prediction.startswith(gold) else Verdict.WRONG), f"it is {prediction}"


def allocate(megabytes):
    block = bytearray(int(megabytes) * 2**20)
    block[::4096] = b"x" * len(block[::4096])


def kill_the_process_above(path):
    """Kill it unless a file says that this was done."""
    if not path or not os.path.exists(path):
        if path:
            Path(path).touch()
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)


class UnpicklableError(Exception):
    def __init__(self, first, second):
        super().__init__("of its own")
        self.function = lambda: first + second


def fail(argument):
    raise UnpicklableError(1, 2)


def nest(argument):
    nest(argument)


def count(path):
    with open(path, "a") as file:
        file.write("checked\n")


def hang(path):
    """Note it and never come back."""
    count(path)
    time.sleep(10**6)


def meet(argument):
    """Come back once so many checks are under way at the same time; they note themselves in a folder."""
    folder, number, _ = argument.split(" ")
    Path(folder, str(os.getpid())).touch()
    while len(os.listdir(folder)) < int(number):
        time.sleep(0.01)


def wait_until(path):
    """Come back once a file is there."""
    while not os.path.exists(path):
        time.sleep(0.01)


def show_heavy_modules(path):
    heavy = {"torch", "transformers", "lightning", "numpy", "datasets"} & sys.modules.keys()
    Path(path).write_text(f"heavy: {sorted(heavy)}")


ORDERS = {
    "sleep": lambda seconds: time.sleep(float(seconds)),
    "deaf": lambda _: sum(range(10**15)),  # hours in C, where no handler of a signal runs
    "allocate": allocate,
    "exit": lambda code: os._exit(int(code)),
    "signal": lambda number: os.kill(os.getpid(), int(number)),
    "print": lambda text: print(text, flush=True),
    "fail": fail,
    "nest": nest,
    "count": count,
    "hang": hang,
    "meet": meet,
    "until": wait_until,
    "modules": show_heavy_modules,
    "kill-above": kill_the_process_above,
}
