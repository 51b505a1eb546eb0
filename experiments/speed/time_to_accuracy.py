"""Measures what it takes to reach an accuracy: plain GRPO by this project and by TRL's ``GRPOTrainer``.

    python experiments/speed/time_to_accuracy.py [--seeds 0 1 2 3 4] [--steps 60] [--every 5] [--target .7]
        [--threads 2] [--micro_batches 384 64] [--problems 2048] [--output DIR]

The task is the quickstart's: its start, and for a seed the same tiles in the same order, 48 a step. Alike on
both sides: 8 completions a prompt of at most 64 tokens, which end by themselves, temperature 1; the verdicts
of our verifier, 1 for a right answer and .5 for the format, neither bonus nor weighting; rewards normalised
by a group's mean and spread, the loss summed over tokens and divided by their number (TRL's ``dapo``); AdamW,
the learning rate and its fall, gradient clip 1, no KL term; float32, SDPA. ``same_update.py`` checks first
that prompts and pixels are equal, and that the same completions give the same rewards and gradient.

Three sides: ``trl``; ``observer``, which leaves groups without signal out of the update (they have no
gradient; the loss is divided by the tokens of the others), a thing that TRL lacks; ``observer_all``, which
keeps them, as TRL does. For a seed they run one after the other, each alone in a process on its own
``--threads`` cores, and for odd seeds the other way around. TRL's micro-batch is the fastest of those tried
first; ours is the quickstart's.

Every ``--every`` steps the weights are saved, while the clocks stand still; set-up is not counted either.
After the runs of a seed ``held_out.py`` measures all of it, greedily, on the same held-out problems. Where
the accuracy first reaches ``--target``, on straight lines between snapshots, is read off in seconds,
processor seconds and rollout tokens. A run that does not reach it counts with all it took, and its ratio is
a bound. A ratio is this project's in parts of TRL's, of a seed; their geometric mean has Student's interval
of the logarithms.

``DIR/time_to_accuracy`` keeps the runs: what is there is not repeated. ``DIR`` gets ``time_to_accuracy.json``
and ``.png`` after each seed. Linux only: what others use is read from /proc.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from against_trl import HERE, OTHERS_SHARE, environment
from charts import draw_accuracy, machine
from reached import accuracies, compared, page, show, totals

SIDES = {
    "trl": ("trl_run.py",),
    "observer": ("observer_run.py", "--zero_signal", "drop"),
    "observer_all": ("observer_run.py", "--zero_signal", "keep"),
}
TRIAL = 4
"""Steps that decide TRL's micro-batch, after the first."""


def start(log, threads, script, *options):
    """Run a script of this folder to its end on its own cores.

    Args:
        log: gets what it prints.
        threads: how many cores it has.
        script: its name.
        options: of its command line.

    Raises:
        RuntimeError: it failed; holds the end of its log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(HERE / script), *map(str, options)]
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environment(threads))
        # Or else whatever a side does in the background would be free with fewer threads than cores.
        os.sched_setaffinity(process.pid, sorted(os.sched_getaffinity(0))[:threads])
        try:
            code = process.wait()
        finally:
            process.kill()
    if code:
        raise RuntimeError(f"{script} ended with {code}:\n{log.read_text()[-4000:]}")


def checked(given):
    """Return the figures of ``same_update.py``, which runs once."""
    kept = runs(given) / "same_update.log"
    if not (kept.exists() and kept.read_text().rstrip().endswith("}")):
        start(kept, 1, "same_update.py")
    return json.loads(kept.read_text().splitlines()[-1])


def runs(given):
    return given.output / "time_to_accuracy"


def train(given, side, seed, steps, every, folder, *options):
    """Take a run, if it is not there, and return what it noted.

    Raises:
        ValueError: there is one with other options.
    """
    script, *own = (*SIDES[side], *options)
    asked = {"seed": seed, "steps": steps, "every": every}
    result = folder / "run.json"
    if not result.exists():
        flags = (f"--{name}={value}" for name, value in asked.items())
        start(folder / "log.txt", given.threads, script, *flags, *own, f"--folder={folder}")
    noted = json.loads(result.read_text())
    wanted = asked | {name.removeprefix("--"): value for name, value in zip(own[::2], own[1::2], strict=True)}
    if noted["options"] != wanted or noted["threads"] != given.threads:
        raise ValueError(f"{result} is of another run; choose another --output, or delete its folder")
    return noted


def fastest(given):
    """Return TRL's micro-batch of the least seconds a step, and the seconds of each that was tried."""
    if len(given.micro_batches) == 1:
        return given.micro_batches[0], {}
    seconds = {}
    for size in given.micro_batches:
        steps = 1 + TRIAL
        noted = train(*(given, "trl", 0, steps, steps, runs(given) / f"trial-{size}"), "--micro_batch", size)
        seconds[size] = noted["seconds"][1:]
    return min(seconds, key=lambda size: min(seconds[size])), seconds


def of_seed(given, seed, micro_batch):
    """Take the runs of a seed and measure them; return them by side."""
    found = {}
    for side in list(SIDES)[:: -1 if seed % 2 else 1]:
        options = ("--micro_batch", micro_batch) if side == "trl" else ()
        folder = runs(given) / f"{side}-{seed}"
        found[side] = train(given, side, seed, given.steps, given.every, folder, *options)
        others = totals(found[side])["others"]
        print(f"{side}, seed {seed}: {sum(found[side]['seconds']):.0f} s", flush=True)
        if others > OTHERS_SHARE:
            print(f"other processes used {others:.0%} of a processor: these seconds are no figures to keep")
    folders = [runs(given) / f"{side}-{seed}" for side in SIDES]
    log = runs(given) / f"held_out-{seed}.txt"
    start(log, given.threads, "held_out.py", *folders, "--problems", given.problems)
    for side, folder in zip(SIDES, folders, strict=True):
        right = json.loads((folder / "held_out.json").read_text())["right"]
        found[side]["accuracy"] = accuracies(found[side]["snapshots"], right, given.problems)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--steps", type=int, default=60, help="of a run, over which the learning rate falls")
    parser.add_argument("--every", type=int, default=5, help="steps from one snapshot to the next")
    parser.add_argument("--target", type=float, default=0.7, help="greedy accuracy on held-out problems")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--micro_batches", type=int, nargs="+", default=[384, 64], help="TRL's, to be tried")
    parser.add_argument("--problems", type=int, default=2048, help="held-out ones")
    parser.add_argument("--output", type=Path, default=Path("runs/speed"))
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # a run does not outlive this process
    alike = checked(given)
    print(f"the same update: gradients differ by {alike['gradients_differ']:.1e} of the largest", flush=True)
    micro_batch, tried = fastest(given)
    options = {name: value for name, value in vars(given).items() if name != "output"}
    record = {"machine": machine(), "options": options, "same_update": alike}
    record |= {"micro_batch": micro_batch, "micro_batches_tried": tried}
    seeds = {}
    for seed in given.seeds:
        seeds[seed] = of_seed(given, seed, micro_batch)
        pairs = compared(list(seeds.values()), given.target)
        written = json.dumps(record | {"compared": pairs, "runs": seeds})
        (given.output / "time_to_accuracy.json").write_text(written + "\n")
        draw_accuracy(seeds, given.target, given.output / "time_to_accuracy.png")
    show(pairs, given)
    print(*page(pairs), sep="\n")  # README.md's
    print(f"{given.output / 'time_to_accuracy.json'}, {given.output / 'time_to_accuracy.png'}")


if __name__ == "__main__":
    main()
