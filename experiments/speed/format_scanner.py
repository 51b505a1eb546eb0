"""Seconds that the response formats take to read a megabyte of repeated tags.

Run: ``python experiments/speed/format_scanner.py``. Each figure is the fastest of five readings; the aim is
under 50 ms. It ends with an error where one is above. The released regex took 105 s for 8 kB.
"""

import sys
import time

from observer.rewards import Free, Observe
from observer.rewards.extraction import PLACES

SIZE, AIM = 1_000_000, 0.05
UNITS = (
    "<think>",
    "<think></think>",
    "</answer>",
    "<answer>3</answer>",
    "x<think",
    "\\boxed{",
    "\\boxed{3}",
    "\n",
)
FORMATS = {
    "Observe": Observe(),
    "Observe, lenient": Observe(lenient=tuple(PLACES)),
    "Free": Free(),
}


def seconds(read, text):
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        read(text)
        best = min(best, time.perf_counter() - start)
    return best


def main():
    print(f"{'1 MB of':22}" + "".join(f"{name:>20}" for name in FORMATS))
    slow = []
    for unit in UNITS:
        text = unit * (SIZE // len(unit))
        times = {name: seconds(response_format.read, text) for name, response_format in FORMATS.items()}
        print(f"{unit!r:22}" + "".join(f"{1000 * value:17.2f} ms" for value in times.values()))
        slow += [f"{name} on {unit!r}" for name, value in times.items() if value > AIM]
    if slow:
        sys.exit(f"above {1000 * AIM:.0f} ms: {', '.join(slow)}")


if __name__ == "__main__":
    main()
