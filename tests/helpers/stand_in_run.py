"""A program in place of ``observer fit``: it writes what a run writes, in no time, and does what it is told.

Orders are the value of ``--do``: at step K it is refused, crashes, runs out of memory, or signals its runner.
"""

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path

STEPS = 4


def main(words):
    options = dict(word.removeprefix("--").partition("=")[::2] for word in words if "=" in word)
    folder, order = Path(options["run_dir"]), options.get("do", "")
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
    print(f"threads {os.environ.get('OMP_NUM_THREADS')}", flush=True)
    if order == "refuse":
        print(
            "observer: refused: option is 1; write 2\n\nobserver fit --help prints every option",
            file=sys.stderr,
        )
        return 2
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    last = folder / "checkpoints" / "last.ckpt"
    if ("--ckpt_path" in words) != last.exists():
        raise SystemExit("it is resumed without a checkpoint, or begins anew beside one")
    begin = int(last.read_text()) if last.exists() else 0
    save(folder, begin, "running")
    for step in range(begin, STEPS):
        obey(order, step, begin, folder)
        with (folder / "components.jsonl").open("a") as file:
            file.write(json.dumps({"step": step}) + "\n")
        last.write_text(str(step + 1))
        if asked:
            return 143
    save(folder, STEPS, "complete")
    return 0


def obey(order, step, begin, folder):
    """Do what is told at step 2 of a process that began before it; a resumed one goes on."""
    if step != 2:
        return
    if order == "crash":
        raise ValueError("the reward of a plugin has failed")
    if order == "memory":
        os.kill(os.getpid(), signal.SIGKILL)
    if begin == 0 and order in ("SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"):
        os.kill(os.getppid(), getattr(signal, order))
        for _ in range(6000):  # the directory is held until somebody waits for it
            if order != "SIGKILL" or (folder / "go").exists():
                break
            time.sleep(0.01)
        time.sleep(0.3)
    if order == "twice":
        while True:  # until it is killed
            os.kill(os.getppid(), signal.SIGINT)
            time.sleep(0.3)


def save(folder, steps, status):
    (folder / "summary.json").write_text(
        json.dumps({"status": status, "steps": steps, "planned_steps": STEPS, "accuracy_after": 0.5})
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
