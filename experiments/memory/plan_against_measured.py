"""Compares ``observer fit --plan`` with the most bytes of live tensors of a real step, on a CPU.

    python experiments/memory/plan_against_measured.py [--cases NAME ..] [--output DIR]

Each case is a fit of two rollouts in a process of its own: the tiny model of the quickstart, and a random
model of 300 M parameters with a small vocabulary, under several options. All completions are of the greatest
length, so that a micro-batch is as full as the plan says. ``DIR`` gets ``plan_against_measured.json``.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
TILES = ROOT / "observer" / "data" / "tiles" / "checkpoint"
BAR = 0.15
LARGE = {
    "hidden_size": 1024,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "intermediate_size": 3584,
    "num_hidden_layers": 20,
    "head_dim": 64,
    "max_position_embeddings": 4096,
}
LARGE_TOWER = {
    "hidden_size": 512,
    "num_heads": 8,
    "intermediate_size": 1408,
    "out_hidden_size": 1024,
    "depth": 6,
}
TINY_STEP = ("--data.prompts_per_step", "16", "--model.group_size", "8", "--model.max_tokens", "64")
LARGE_STEP = ("--data.prompts_per_step", "2", "--model.group_size", "8", "--model.max_tokens", "48")
LORA = ("--model.policy.lora.rank", "16")
FRESH = ("--model.policy.from_scratch", "true")
CASES = {
    "tiny": ("tiny", TINY_STEP),
    "tiny, several passes": ("tiny", (*TINY_STEP, "--model.micro_batch_tokens", "2048")),
    "tiny, bf16-mixed": ("tiny", (*TINY_STEP, "--trainer.precision", "bf16-mixed")),
    "tiny, gradient checkpointing": ("tiny", (*TINY_STEP, "--model.policy.gradient_checkpointing", "true")),
    "tiny, reference": ("tiny", (*TINY_STEP, "--model.kl", "K3")),
    "tiny, lora": ("tiny", (*TINY_STEP, *LORA)),
    "tiny, lora, bf16-mixed": ("tiny", (*TINY_STEP, *LORA, "--trainer.precision", "bf16-mixed")),
    "tiny, lora, bfloat16": (
        "tiny",
        (*TINY_STEP, *LORA, "--model.policy.dtype", "bfloat16", "--trainer.precision", "bf16-mixed"),
    ),
    "300 M": ("large", LARGE_STEP),
    "300 M, bf16-mixed, reference": (
        "large",
        (*LARGE_STEP, "--trainer.precision", "bf16-mixed", "--model.kl", "K3"),
    ),
    "300 M, gradient checkpointing": (
        "large",
        (*LARGE_STEP, "--model.policy.gradient_checkpointing", "true"),
    ),
    "300 M, lora, bfloat16": (
        "large",
        (*LARGE_STEP, *LORA, "--model.policy.dtype", "bfloat16", "--trainer.precision", "bf16-mixed"),
    ),
}


def make_model(kind, folder, saved):
    """Return the path of a model; the large one has the tiny one's files with larger sizes.

    Args:
        kind: ``tiny`` or ``large``.
        folder: of the large one.
        saved: whether it has weights, random ones; adapters need them.
    """
    if kind == "tiny":
        return "observer:tiles"
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    for file in TILES.iterdir():
        if file.suffix != ".safetensors":
            shutil.copy(file, folder)
    config = json.loads((TILES / "config.json").read_text())
    config["text_config"] |= LARGE | {"layer_types": ["full_attention"] * LARGE["num_hidden_layers"]}
    half = LARGE["head_dim"] // 2
    config["text_config"]["rope_parameters"]["mrope_section"] = [half // 4, half * 3 // 8, half * 3 // 8]
    config["vision_config"] |= LARGE_TOWER
    (folder / "config.json").write_text(json.dumps(config))
    if saved:
        torch.manual_seed(0)
        model = AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(folder))
        model.save_pretrained(folder)
    return str(folder)


def words(path, options, folder):
    """Return the command line of a case, without the learner that counts."""
    length = options[options.index("--model.max_tokens") + 1]
    return [
        *("fit", "--config", "quickstart", "--run_dir", str(folder / "run"), "--trainer.fast_dev_run", "2"),
        *("--data.val", "null", "--data.test", "null", "--trainer.logger", "false"),
        *("--model.policy.path", path, "--model.zero_signal", "keep", "--model.min_tokens", length),
        *("--model.max_prompt_tokens", "29", "--model.policy.max_pixels", "7056", "--report.export", "false"),
        *(() if path == "observer:tiles" or "--model.policy.lora.rank" in options else FRESH),
        *options,
    ]


def measured(kind, options):
    """Return the bytes that the plan says and those that were alive, by phase."""
    from observer.cli import main
    from observer.cli.app import fit_options
    from observer.planning import gpu_parts, read_work, totals

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model").mkdir()
        line = words(
            make_model(kind, folder / "model", saved="--model.policy.lora.rank" in options), options, folder
        )
        parts = gpu_parts(read_work(fit_options(line)), None)
        os.environ["LIVE_TENSORS"] = str(folder / "live.json")
        if main([*line, "--learner", "live_tensors.WatchedLearner"]):
            raise RuntimeError(f"{kind} {options}: the fit failed")
        live = json.loads((folder / "live.json").read_text())
    return {"parts": parts, "planned": totals(parts), "live": [live[phase] for phase in live]}


def in_a_process(name):
    """Return the figures of a case, from a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--one", name],
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{name}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def off(figures):
    """Return how far the planned peak is from the measured one, as a share of it."""
    return max(figures["planned"]) / max(figures["live"]) - 1


def show(found):
    """Print the table."""
    table = Table(title="bytes of live tensors of a step at most, MB: planned / measured")
    for heading in ("case", "drawing", "backward pass", "optimizer step", "peak", "off by"):
        table.add_column(heading, justify="left" if heading == "case" else "right")
    for name, figures in found.items():
        pairs = zip(figures["planned"], figures["live"], strict=True)
        peak = max(figures["planned"]), max(figures["live"])
        cells = [f"{plan / 1e6:,.0f} / {live / 1e6:,.0f}" for plan, live in (*pairs, peak)]
        table.add_row(name, *cells, f"{off(figures):+.1%}")
    Console(width=120).print(table)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--output", type=Path, default=Path("runs/memory"))
    parser.add_argument("--one", choices=CASES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measured(*CASES[given.one])))
        return
    found = {name: in_a_process(name) for name in given.cases}
    show(found)
    given.output.mkdir(parents=True, exist_ok=True)
    (given.output / "plan_against_measured.json").write_text(json.dumps(found, indent=1) + "\n")
    if missed := [name for name, figures in found.items() if abs(off(figures)) > BAR]:
        raise SystemExit(f"more than {BAR:.0%} off: {', '.join(missed)}")


if __name__ == "__main__":
    main()
