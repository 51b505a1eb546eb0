"""What opening a ladder costs, the first time and again: seconds, and memory above a process that is ready.

Usage: python experiments/curriculum/opening.py [--rows 1000000] [--pictures 0 1000 ...] [--trust_admission]
                                                [--folder FOLDER]

For each number of distinct pictures it writes a file of rows that share them, and opens it twice, each time
in a process of its own that has imported everything and loaded the shipped processor: with `setup("fit")` and
`admit` of the data module, as a run does, and then the first draw. Files and the cache of checked rows go to
a temporary folder. Rendering the prompts of a million rows takes many minutes: with `--trust_admission` the
first opening writes down that they all pass, instead of looking.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from PIL import Image

PAGE = os.sysconf("SC_PAGE_SIZE")


def write_rows(folder, count, pictures):
    """Write a file of rows of a length that is usual, and tiny pictures."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number in range(pictures):
        if not (file := folder / f"images/{number}.png").exists():
            Image.new("RGB", (28, 28), (number % 256, number // 256 % 256, number // 65536)).save(file)
    path = folder / f"rows-{pictures}.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            row = {
                "id": f"row-{number}",
                "question": f"A box holds {number} red and {number % 97} blue marbles. How many are there?",
                "answer": str(number + number % 97),
                "difficulty": number % 9 / 8,
                "complexity": 40 + number % 211,
                "source": ("charts", "maps", "text")[number % 3],
            }
            if pictures:
                row["images"] = [f"images/{number % pictures}.png"]
            file.write(json.dumps(row) + "\n")
    return path


def resident():
    """Bytes of this process that are in memory: all, and without pages of files, which can be dropped."""
    total, shared = (int(word) * PAGE for word in Path("/proc/self/statm").read_text().split()[1:3])
    return total, total - shared


class Peak(threading.Thread):
    """Watches memory while something runs."""

    def __enter__(self):
        (self.before, self.own), self.peak, self.done = resident(), 0, threading.Event()
        self.start()
        return self

    def run(self):
        """Look every 20 ms."""
        while not self.done.wait(0.02):
            self.peak = max(self.peak, resident()[0] - self.before)

    def __exit__(self, *_):
        self.done.set()
        self.join()
        self.peak = max(self.peak, resident()[0] - self.before)


def processor_seconds():
    """What this process and those that it started have had of a core, whoever else computes."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def open_ladder(path, trust_admission):
    """Open a file as a run does and print what it took, as JSON."""
    import observer.cli.app
    import observer.data.module
    import observer.data.tiles
    import observer.learner
    from observer.data import Jsonl, LadderDataModule
    from observer.policy import PolicySpec, load_processor
    from observer.rollout import PromptRenderer
    from observer.verifier import Verifier

    checkpoint = Path(observer.data.tiles.__file__).parent / "checkpoint"
    renderer = PromptRenderer(load_processor(PolicySpec(path=str(checkpoint))), "Be brief.", 1024)
    if trust_admission:
        observer.data.module.refused_rows = lambda *_: []
    with Peak(daemon=True) as memory:
        start, computed = time.perf_counter(), processor_seconds()
        module = LadderDataModule(train=Jsonl(str(path)), prompts_per_step=128)
        module.setup("fit")
        opened = time.perf_counter()
        module.admit(renderer, Verifier(), path.parent)
        admitted = time.perf_counter()
        module.problems(module.draw(0))
        module.state_dict()
        drawn, computed = time.perf_counter(), processor_seconds() - computed
    total, own = resident()
    figures = {
        "rows": len(module.rows["train"]),
        "setup_s": opened - start,
        "admit_s": admitted - opened,
        "draw_s": drawn - admitted,
        "cpu_s": computed,
        "peak_mb": memory.peak / 1e6,
        "after_mb": (total - memory.before) / 1e6,
        "of_files_mb": (total - own - memory.before + memory.own) / 1e6,
    }
    print(json.dumps(figures))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--pictures", type=int, nargs="+", default=[0, 1000])
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--trust_admission", action="store_true")
    parser.add_argument("--open", type=Path, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.open:
        open_ladder(options.open, options.trust_admission)
        return
    print(
        "| rows | pictures | opened | setup, s | admit, s | first draw, s | all, core-seconds "
        "| peak, MB | afterwards, MB | of it file pages |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for pictures in options.pictures:
            path = write_rows(Path(folder), options.rows, pictures)
            trusted = ["--trust_admission"] if options.trust_admission else []
            for time_ in ("first", "again"):
                ran = subprocess.run(
                    [sys.executable, __file__, "--open", path, *trusted],
                    env={**os.environ, "OBSERVER_CACHE": f"{folder}/cache", "OMP_NUM_THREADS": "1"},
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                )
                f = json.loads(ran.stdout.splitlines()[-1])
                print(
                    f"| {f['rows']:,} | {pictures:,} | {time_} | {f['setup_s']:.2f} | {f['admit_s']:.2f} "
                    f"| {f['draw_s']:.2f} | {f['cpu_s']:.2f} | {f['peak_mb']:.0f} | {f['after_mb']:.0f} "
                    f"| {f['of_files_mb']:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
