"""Measures the anonymous host memory of start-up, a step, a checkpoint and resuming, on 1 and 2 CPU ranks.

    python experiments/memory/host_memory.py [--strategy fsdp2] [--cases 1 1+reference 2] [--json FILE]

The model is a random Qwen2.5-VL of ``--millions`` parameters (300), nearly all of them in the text layers,
with the tower and the vocabulary of the quickstart. ``observer fit`` takes two optimizer steps on scripted
completions and validates, so that ``last.ckpt`` and ``best.ckpt`` are written; another process resumes the
run and takes a third step. A thread of each rank reads ``RssAnon`` of /proc/self/status every 5 ms: memory
that no file stands behind. What a process holds that has imported the same modules is taken off.

``share`` is what a rank holds in a phase by arithmetic, in units of the float32 weights: weights 1 and, with
a KL term, the reference 1; gradients 1 (a checkpoint falls between steps, yet freed gradients stay in the
process, and DDP's buckets stay); AdamW's state 2. Ranks of DDP share nothing; of FSDP2, ``--strategy fsdp2``,
each holds its part of all of these. Start-up has no optimizer state; start-up and resuming have gradients
only as DDP's buckets. A phase is within its share if it takes no more than a tenth beyond it.

Linux only. At 300 million parameters a rank takes 6 GB, with a reference 7.2 GB.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
RANK = HERE / "host_memory_rank.py"
STRATEGIES = {"ddp": ("auto", "ddp"), "fsdp2": ("ModelParallelStrategy",) * 2}
"""Lightning's, for one rank and for several."""
CASES = ("1", "1+reference", "2", "2+reference")
PHASES = ("start-up", "first checkpoint", "step", "checkpoint", "resume", "step after resuming")
BOUND = {"start-up", "first checkpoint", "checkpoint", "resume"}
"""Phases in which a rank is to hold its share and no more than a tenth beyond."""
WIDTH, INNER, HEADS = 1280, 3456, 10
LAYER = 2 * WIDTH * WIDTH + 4 * WIDTH * (WIDTH // 5) // 2 + 3 * WIDTH * INNER
"""Parameters of a text layer, but for norms and biases: queries and output, keys and values, the MLP."""


def make_model(folder, millions, stored):
    """Write a Hugging Face directory with random weights; return how many there are."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    from observer.policy import PolicySpec, load_processor
    from observer.policy.model_files import model_path

    config = AutoConfig.from_pretrained(model_path("observer:tiles"))
    layers = round(millions * 1e6 / LAYER)
    options = {
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": 2,
        "layer_types": ["full_attention"] * layers,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [16, 24, 24]},
        "initializer_range": 0.02,
    }
    for name, value in options.items():
        setattr(config.text_config, name, value)
    config.vision_config.out_hidden_size = WIDTH
    model = AutoModelForImageTextToText.from_config(config, dtype=getattr(torch, stored))
    model.save_pretrained(folder)
    load_processor(PolicySpec("observer:tiles")).save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


def child(script, task):
    """Return what a script prints last, given a task, in a process of its own.

    Raises:
        RuntimeError: it failed; holds the end of what it printed.
    """
    quiet = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, str(script), json.dumps(task)]
    done = subprocess.run(
        command, env=os.environ | quiet | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{task}:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}")
    return (done.stdout.splitlines() or [""])[-1]


def share(phase, strategy, ranks, reference):
    """Return what a rank holds in a phase, in units of the weights."""
    buckets = strategy == "ddp" and ranks > 1
    gradients = buckets or phase not in ("start-up", "first checkpoint", "resume")
    optimizer = 2 * (phase not in ("start-up", "first checkpoint"))
    return (1 + reference + gradients + optimizer) / (1 if strategy == "ddp" else ranks)


def measure(case, strategy, model, parameters, folder):
    """Return by phase what the rank that takes most holds, and its share, in MB."""
    ranks, reference = int(case[0]), case.endswith("reference")
    run_dir = folder / case
    task = {"model": str(model), "run_dir": str(run_dir), "ranks": ranks, "reference": reference}
    task["strategy"] = STRATEGIES[strategy][ranks > 1]
    found = {}
    for kind in ("first", "resumed"):
        child(RANK, task | {"resumed": kind == "resumed"})
        files = [Path(f"{run_dir}-{kind}-{rank}.json") for rank in range(ranks)]
        base = int(child(RANK, {"modules": str(files[0])}))
        peaks = [json.loads(file.read_text())["peaks"] for file in files]
        for phase in PHASES:
            if all(phase in peak for peak in peaks) and phase not in found:
                most = max(peak[phase] for peak in peaks) - base
                due = share(phase, strategy, ranks, reference) * 4 * parameters
                held = {"MB": most, "share": due, "base": base}
                found[phase] = {name: round(value / 1e6) for name, value in held.items()}
    files = [path for path in (run_dir / "checkpoints").iterdir() if path.suffix == ".ckpt"]
    found["checkpoint"]["files"] = len({path.stat().st_ino for path in files})
    return found


def show(record):
    table = Table(
        title=f"anonymous memory of a rank above its imports, MB; {record['parameters']:,} parameters, "
        f"{record['strategy']}"
    )
    for heading in ("ranks", "phase", "measured", "share", "ratio", "within"):
        table.add_column(heading, justify="right")
    for case, phases in record["cases"].items():
        for phase, held in phases.items():
            ratio = held["MB"] / held["share"]
            verdict = ("yes" if ratio <= 1.1 else "NO") if phase in BOUND else ""
            table.add_row(case, phase, f"{held['MB']:,}", f"{held['share']:,}", f"{ratio:.2f}", verdict)
        table.add_section()
    Console(width=100).print(table)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=["1", "1+reference", "2"])
    parser.add_argument("--strategy", choices=STRATEGIES, default="ddp")
    parser.add_argument("--stored", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--millions", type=float, default=300.0)
    parser.add_argument("--json", type=Path, help="where the figures go")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name).resolve()
        model = folder / "model"
        made = {"model": str(model), "millions": given.millions, "stored": given.stored}
        parameters = int(child(__file__, made))
        cases = {}
        for case in given.cases:
            cases[case] = measure(case, given.strategy, model, parameters, folder)
            for path in (folder / case / "checkpoints").iterdir():
                path.unlink()
    record = {"parameters": parameters, "stored": given.stored, "strategy": given.strategy, "cases": cases}
    show(record)
    if given.json:
        given.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1].startswith("{"):
        task = json.loads(sys.argv[1])
        print(make_model(task["model"], task["millions"], task["stored"]))
    else:
        main()
