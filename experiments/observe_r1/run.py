"""The paper's experiment as one chain: ladder, training, evaluation, table; see README.md beside this file.

    python experiments/observe_r1/run.py --size 3b
    python experiments/observe_r1/run.py --size 3b --stage train --print

It runs the commands that ``--print`` shows, from the folder that holds ``data/`` and ``runs/``. A stage whose
output is there is not run again, and one that was cut off goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from table import written

HERE = Path(__file__).parent
RUNS = Path("runs/observe_r1")
RECIPE = {"3b": "observe_r1_3b", "7b": "observe_r1_7b", "tiny": "quickstart"}
"""Size -> the configuration that it is trained with, by name or path."""
MODEL = {"3b": "Qwen/Qwen2.5-VL-3B-Instruct", "7b": "Qwen/Qwen2.5-VL-7B-Instruct", "tiny": "observer:tiles"}
"""Size -> the base model."""
STAGES = ("ladder", "train", "evaluate")

Command = tuple[str, ...]


def commands(stage: str, size: str) -> list[tuple[Path, Command]]:
    """Return the commands of a stage, each with the file that is there when it is done.

    Args:
        stage: one of ``STAGES``.
        size: one of ``MODEL``.
    """
    folder = RUNS / size
    train, base, trained = folder / "train", folder / "base", folder / "trained"
    if stage == "ladder":
        ladder = folder / "ladder" if size == "tiny" else RUNS / "ladder"
        return [(ladder / "manifest.json", ("ladder", "build", *_configs("ladder", size)))]
    if stage == "train":
        words = (
            "fit",
            "--config",
            RECIPE[size],
            *_configs("train", size),
            "--model.policy.path",
            MODEL[size],
        )
        # A run that was killed before its first checkpoint is started again.
        resume = ("--ckpt_path", "last") if list(train.glob("checkpoints/*.ckpt")) else ()
        return [(train / "summary.json", (*words, "--run_dir", str(train), *resume))]
    models = {base: MODEL[size], trained: str(train / "export")}
    asked = [(place / "evaluation.yaml", _evaluation(size, model, place)) for place, model in models.items()]
    found, page = folder / "compare.json", folder / "compare.html"
    words = ("compare", str(base), str(trained), "--output", str(found), "--page", str(page))
    return [*asked, (found, words)]


def done(path: Path) -> bool:
    """Return whether a command's output is there and whole; a run's, whether it came to its end."""
    if path.name != "summary.json":
        return path.is_file()
    return path.is_file() and json.loads(path.read_text())["status"] == "complete"


def chain(sizes: Sequence[str], stages: Sequence[str], run: Callable[[Command], int]) -> int:
    """Run what is not done of some stages, and write the table; return the status of what failed, or 0."""
    for size in sizes:
        for stage in stages:
            for path, words in commands(stage, size):
                if done(path):
                    print(f"{path} is there")
                elif status := run(words):
                    return status
    print(written(RUNS))
    return 0


def _configs(stage: str, size: str) -> Command:
    files = [HERE / f"{stage}.yaml", *([HERE / "tiny" / f"{stage}.yaml"] if size == "tiny" else [])]
    return tuple(word for file in files for word in ("--config", str(file)))


def _evaluation(size: str, model: str, place: Path) -> Command:
    return ("evaluate", *_configs("eval", size), "--model.path", model, "--output", str(place))


def _run(words: Command) -> int:
    print("observer", shlex.join(words), flush=True)
    return subprocess.run([sys.executable, "-m", "observer", *words], check=False).returncode


def main() -> int:
    """Read the command line and run the chain."""
    parser = argparse.ArgumentParser(
        description="The paper's experiment, stage by stage; goes on where it was cut off."
    )
    parser.add_argument("--size", choices=list(MODEL), required=True)
    parser.add_argument("--stage", choices=[*STAGES, "table"], help="default: all")
    parser.add_argument("--print", action="store_true", help="show the commands and run nothing")
    given = parser.parse_args()
    stages = [] if given.stage == "table" else [given.stage] if given.stage else list(STAGES)
    if given.print:
        for stage in stages:
            for _, words in commands(stage, given.size):
                print("observer", shlex.join(words))
        return 0
    return chain([given.size], stages, _run)


if __name__ == "__main__":
    sys.exit(main())
