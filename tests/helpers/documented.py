"""The examples of the pages: their blocks, and the words of their commands as a shell gives them on."""

import re
import subprocess
from pathlib import Path

from observer.cli import main
from observer.cli.run import RunCLI

ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
PROGRAMS = ("observer", "pip", "uv", "tox", "python3", "srun", "scontrol")
NOTE = """#!/bin/sh
for word in "${0##*/}" "$@"; do printf '%s\\0' "$word" >> "$TOLD"; done
echo >> "$TOLD"
"""


def blocks(page, language=r"\w*"):
    """The blocks of a page in a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGES[page], re.MULTILINE | re.DOTALL)


def spans(page):
    """What a page sets as code in its sentences and tables."""
    text = re.sub(r"^```.*?^```", "", PAGES[page], flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", text)


def file_of(block):
    """The name of the file that a block is, which its first line says."""
    named = re.match(r"# (\w+\.\w+)\n", block)
    return named and named[1]


def told(script, folder):
    """What a shell tells the programs of a block, each (name, *words); none of them runs."""
    bins = [folder / "bin", folder / ".venv" / "bin"]
    for place in bins:
        place.mkdir(parents=True, exist_ok=True)
        for name in PROGRAMS:
            (place / name).write_text(NOTE)
            (place / name).chmod(0o755)
    notes = folder / "told"
    notes.write_text("")
    environment = {"PATH": f"{bins[0]}:/usr/bin:/bin", "TOLD": str(notes), "SLURM_JOB_ID": "7"}
    environment |= {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2"}
    environment |= {"SLURM_NNODES": "2", "SLURM_NTASKS_PER_NODE": "8"}
    subprocess.run(
        ["bash", "-eu", "-c", script], cwd=folder, env=environment, check=True, capture_output=True
    )
    return [tuple(line.split("\0")[:-1]) for line in notes.read_text().splitlines()]


class ParsedError(Exception):
    """Ends a command that has parsed its words."""


def parsed(words, monkeypatch):
    """Whether ``fit``, ``validate`` or ``test`` understands its words and their values; returns them."""

    def stop(cli):
        raise ParsedError(cli.config[cli.subcommand])

    monkeypatch.setattr(RunCLI, "before_instantiate_classes", stop)
    try:
        status = main(list(words))
    except ParsedError as end:
        return end.args[0]
    raise AssertionError(f"refused, with {status}: {' '.join(words)}")
