"""Times a step of training of this project against TRL's GRPOTrainer: the same work, alternating, in one run.

    python experiments/speed/against_trl.py [--sides 84 224 448] [--threads 1 2] [--repeats 7]
        [--micro_batches 64 16] [--output DIR]

The work of a step: 8 prompts with a picture of noise, 8 completions each of exactly 64 tokens at temperature
1, their rewards, the log-probs of a reference, one AdamW update over all 64 with a KL term; the tiny
Qwen2.5-VL of the quickstart, float32, SDPA attention, no gradient checkpointing. Each project runs in a
process of its own, in its own trainer's loop (``Trainer.fit``, ``GRPOTrainer.train``): ``observer_side.py``
and ``trl_side.py``. A round is a step of one and then a step of the other, and the next round the other way
around; who waits blocks on a pipe. The first two rounds do not count. Both take the same micro-batch, the
completions of one backward pass: it trades memory for speed, and TRL's fastest depends on the picture. A
worker of n threads has n cores and no more.

Checked in the same run: both give the same log-probs for the same completions (``same_logprobs.py``), every
completion has 64 tokens, our passes agree in values and gradients, and who waits uses no processor.

``DIR`` gets ``against_trl.json`` (every step) and ``against_trl.png``. Linux only: memory is read from /proc.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from itertools import product
from pathlib import Path

from charts import draw_comparison, machine
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
SCRIPTS = {"trl": "trl_side.py", "observer": "observer_side.py"}
SETTING = ("side, px", "threads", "micro-batch")
WARM_UP = 2
IDLE_SHARE = 0.02
"""The most processor time that a waiting worker may use, in parts of the time it waits."""
OTHERS_SHARE = 0.1
"""The most that other processes may use before a warning is printed; /proc/stat counts the whole machine."""


def environment(threads):
    """Return the variables of a worker: its threads, no network, no accelerator."""
    quiet = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    return os.environ | quiet | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}


class Worker:
    """A process that takes a step when it is told to."""

    def __init__(self, script, options, threads):
        self._script = script
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed with the worker
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / script), *(str(option) for option in options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment(threads),
            text=True,
        )
        # Or else whatever a side does in the background would be free with fewer threads than cores.
        os.sched_setaffinity(self._process.pid, sorted(os.sched_getaffinity(0))[:threads])

    def report(self):
        """Return what the worker says next.

        Raises:
            RuntimeError: it ended instead; holds the end of its log.
        """
        if line := self._process.stdout.readline():
            return json.loads(line)
        self._log.seek(0)
        raise RuntimeError(f"{self._script} ended:\n{self._log.read()[-4000:]}")

    def tell(self, order):
        """Give an order and return what the worker says."""
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()
        return self.report()

    def processor_seconds(self):
        """Return the processor time used so far, of all threads."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._log.close()


def machine_seconds():
    """Return the processor time that everything on this machine has used so far."""
    user, nice, system, _idle, _wait, *interrupts = Path("/proc/stat").read_text().split("\n")[0].split()[1:9]
    return sum(map(int, (user, nice, system, *interrupts))) / os.sysconf("SC_CLK_TCK")


def take_turns(workers, rounds):
    """Take a step of each worker, round after round.

    Returns:
        Steps by worker, and processor time in parts of the time that they took: of the waiting workers, and
        of whatever else ran on the machine.
    """
    steps, idle, total, own, elsewhere = defaultdict(list), 0.0, 0.0, 0.0, 0.0
    for turn in range(WARM_UP + rounds):
        for name in sorted(workers, reverse=turn % 2 == 1):
            before = {other: worker.processor_seconds() for other, worker in workers.items()}
            machine_before = machine_seconds()
            (step,) = workers[name].tell("go 1")["steps"]
            if turn < WARM_UP:
                continue
            used = {other: worker.processor_seconds() - before[other] for other, worker in workers.items()}
            steps[name].append(step)
            total += step["seconds"]
            own += sum(used.values())
            idle += sum(used.values()) - used[name]
            elsewhere += machine_seconds() - machine_before
    return steps, idle / total, (elsewhere - own) / total


def compare(side, threads, micro_batch, repeats):
    """Return all figures of one size of picture, number of threads and micro-batch."""
    workers = {}
    try:
        for name, script in SCRIPTS.items():
            workers[name] = Worker(script, ["--side", side, "--micro_batch", micro_batch], threads)
            workers[name].report()  # it is ready
        steps, idle, elsewhere = take_turns(workers, repeats)
        last = {name: worker.tell("end") for name, worker in workers.items()}
    finally:
        for worker in workers.values():
            worker.close()
    if idle > IDLE_SHARE:
        raise RuntimeError(f"who waited used {idle:.0%} of a processor: the seconds mean nothing")
    if elsewhere > OTHERS_SHARE:
        print(f"other processes used {elsewhere:.0%} of a processor: these seconds are no figures to keep")
    setting = {"side": side, "threads": threads, "micro_batch": micro_batch}
    return (
        setting
        | {"idle_share": idle, "elsewhere_share": elsewhere}
        | {name: {"steps": steps[name], **last[name]} for name in workers}
    )


def seconds(entry):
    return [step["seconds"] for step in entry["steps"]]


def show(points, repeats):
    """Print seconds and memory, and where the seconds go."""
    console = Console(width=140)
    table = Table(title=f"a step of training: median (min to max) of {repeats}, growth of resident memory")
    measured = ("TRL, s", "observer, s", "ratio", "TRL, MB", "observer, MB", "ratio")
    for heading in (*SETTING, *measured):
        table.add_column(heading, justify="right")
    stages = Table(title="seconds by stage, medians")
    for heading in (*SETTING, "project", "stages"):
        stages.add_column(heading)
    for point in points:
        setting = (point["side"], point["threads"], point["micro_batch"])
        cells, medians, growths = [], [], []
        for name in SCRIPTS:
            taken = seconds(point[name])
            medians.append(statistics.median(taken))
            growths.append(point[name]["memory"]["growth"])
            cells.append(f"{medians[-1]:.3f} ({min(taken):.3f} to {max(taken):.3f})")
            by_stage = {
                stage: statistics.median(step["stages"][stage] for step in point[name]["steps"])
                for stage in point[name]["steps"][0]["stages"]
                if stage != "step"
            }
            shown = ", ".join(f"{stage} {value:.3f}" for stage, value in by_stage.items() if value >= 0.001)
            stages.add_row(*map(str, setting), name, shown)
        table.add_row(
            *(*map(str, setting), *cells, f"{medians[0] / medians[1]:.2f}"),
            *(*(f"{growth:.0f}" for growth in growths), f"{growths[0] / growths[1]:.2f}"),
        )
    console.print(table)
    console.print(stages)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[84, 224, 448], help="of the picture, pixels")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--micro_batches", type=int, nargs="+", default=[64, 16], help="completions a pass")
    parser.add_argument("--output", type=Path, default=Path("runs/speed"))
    given = parser.parse_args()
    command = [sys.executable, str(HERE / "same_logprobs.py")]
    checked = subprocess.run(command, env=environment(1), capture_output=True, text=True)
    if checked.returncode:
        sys.exit(checked.stderr)
    differ = json.loads(checked.stdout.splitlines()[-1])
    print(f"log-probs differ from TRL's by at most {max(differ.values()):.1e}")
    points = []
    for threads, micro_batch, side in product(given.threads, given.micro_batches, given.sides):
        point = compare(side, threads, micro_batch, given.repeats)
        points.append(point)
        ratio = statistics.median(seconds(point["trl"])) / statistics.median(seconds(point["observer"]))
        print(f"{side} px, {threads} threads, micro-batch {micro_batch}: {ratio:.2f}", flush=True)
    show(points, given.repeats)
    options = {name: value for name, value in vars(given).items() if name != "output"}
    given.output.mkdir(parents=True, exist_ok=True)
    record = {"machine": machine(), "options": options, "logprobs_differ": differ, "points": points}
    (given.output / "against_trl.json").write_text(json.dumps(record, indent=1) + "\n")
    draw_comparison(points, given.output / "against_trl.png")
    print(f"{given.output / 'against_trl.json'}, {given.output / 'against_trl.png'}")


if __name__ == "__main__":
    main()
