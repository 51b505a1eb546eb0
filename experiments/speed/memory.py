"""Measures how the peak memory of our training pass grows: with group, picture, completions, vocabulary.

    python experiments/speed/memory.py [--logprob_pass shared plain] [--output DIR]

What is measured is two steps of log-probs, backward pass and AdamW over 4 made-up groups at once (no rollout,
no reference, no micro-batches) of the tiny Qwen2.5-VL of the quickstart with fresh weights, float32: the peak
of resident memory less what was resident after set-up, each point in a process of its own. One thing grows at
a time, the others stay at 8 completions of 64 tokens about a picture of 224 px and the quickstart's
vocabulary of 329; with larger vocabularies it is 128 tokens, so that the head is read in several chunks.

Checked: a vocabulary twice as large raises the peak by no more than what it adds in weights, gradients and
optimizer state, and one chunk of the head (``observer.policy.policy.HEAD_BYTES``).

``DIR`` gets ``memory.json`` and ``memory.png``. Linux only: memory is read from /proc.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from charts import draw_growth, machine
from observer_side import LOGPROB_PASSES, made_up, problem
from rich.console import Console
from rich.table import Table
from same_work import CHECKPOINT, forget_peak, megabytes

from observer.policy import Policy, PolicySpec, load_processor
from observer.policy.policy import HEAD_BYTES
from observer.rollout import PromptRenderer

PROMPTS = 4
BASE = {"completions": 8, "side": 224, "tokens": 64, "vocabulary": None}
AXES = {
    "completions a prompt": [BASE | {"completions": count} for count in (2, 4, 8, 16, 32)],
    "side of the picture, px": [BASE | {"side": side} for side in (84, 224, 448)],
    "tokens a completion": [BASE | {"tokens": tokens} for tokens in (64, 256, 1024)],
    "vocabulary": [BASE | {"tokens": 128, "vocabulary": size} for size in (32_000, 64_000, 152_000)],
}
GROWS = dict(zip(AXES, BASE, strict=True))


def with_vocabulary(folder, vocabulary):
    """Write the checkpoint without its weights, with another vocabulary and room for long completions."""
    for file in Path(CHECKPOINT).iterdir():
        if file.suffix != ".safetensors":
            shutil.copy(file, folder)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["max_position_embeddings"] = 4096
    if vocabulary:
        config["text_config"]["vocab_size"] = vocabulary
    (folder / "config.json").write_text(json.dumps(config))


def measure(point):
    """Return what is resident after set-up and at the peak, in MB, and how many parameters there are."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        with_vocabulary(Path(folder), point["vocabulary"])
        spec = PolicySpec(
            folder, from_scratch=True, logprob_pass=point["logprob_pass"], max_pixels=point["side"] ** 2
        )
        policy = Policy(spec, load_processor(spec))
    prompts = PromptRenderer(policy.processor, "", 4096).render(
        [problem(row, point["side"]) for row in range(PROMPTS)]
    )
    groups = [made_up(prompt, point["completions"], point["tokens"]) for prompt in prompts]
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-6)
    after_setup = forget_peak()
    for _ in range(2):  # in the second, the optimizer's state is there beside the activations
        logprobs = policy.logprobs(groups)
        (logprobs.values_N_T.sum() / logprobs.mask_N_T.sum()).backward()
        optimizer.step()
        optimizer.zero_grad()
    peak = megabytes("VmHWM")
    parameters = sum(parameter.numel() for parameter in policy.parameters())
    return {
        "after_setup": after_setup,
        "peak": peak,
        "growth": peak - after_setup,
        "parameters": parameters,
    }


def in_a_process(point):
    """Return a point with its figures, measured in a fresh process.

    Raises:
        RuntimeError: it failed; holds the end of what it printed.
    """
    command = [sys.executable, __file__, "--point", json.dumps(point)]
    quiet = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=os.environ | quiet, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{point}:\n{done.stderr[-4000:]}")
    return point | json.loads(done.stdout.splitlines()[-1])


def doubled_vocabulary(small, large):
    """Return what a vocabulary twice as large adds to the peak and what it may add, in MB."""
    model = 4 * (large["parameters"] - small["parameters"]) / 1e6
    return {
        "added": large["peak"] - small["peak"],
        "added_weights": model,
        "added_gradients": model,
        "added_optimizer_state": 2 * model,
        "chunk": HEAD_BYTES / 1e6,
        "allowed": 4 * model + HEAD_BYTES / 1e6,
    }


def show(axes, passes):
    table = Table(title="peak of resident memory less that after set-up, MB")
    for heading in ("what grows", "value", *passes):
        table.add_column(heading, justify="right")
    for title, by_pass in axes.items():
        for place, point in enumerate(AXES[title]):
            value = point[GROWS[title]]
            table.add_row(title, f"{value:,}", *(f"{by_pass[how][place]['growth']:.0f}" for how in passes))
        table.add_section()
    Console(width=100).print(table)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--logprob_pass", nargs="+", choices=LOGPROB_PASSES, default=list(LOGPROB_PASSES))
    parser.add_argument("--output", type=Path, default=Path("runs/speed"))
    parser.add_argument("--point", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.point:
        print(json.dumps(measure(given.point)))
        return
    measured = {}
    for how in given.logprob_pass:
        for point in (point for points in AXES.values() for point in points):
            key = json.dumps(point | {"logprob_pass": how})
            if key not in measured:
                measured[key] = in_a_process(point | {"logprob_pass": how})
    axes = {
        title: {
            how: [measured[json.dumps(point | {"logprob_pass": how})] for point in points]
            for how in given.logprob_pass
        }
        for title, points in AXES.items()
    }
    show(axes, given.logprob_pass)
    doubled = {how: doubled_vocabulary(*axes["vocabulary"][how][:2]) for how in given.logprob_pass}
    given.output.mkdir(parents=True, exist_ok=True)
    record = {"machine": machine(), "prompts": PROMPTS, "axes": axes, "doubled_vocabulary": doubled}
    (given.output / "memory.json").write_text(json.dumps(record, indent=1) + "\n")
    series = {
        title: (
            [point[GROWS[title]] for point in AXES[title]],
            {how: [point["growth"] for point in points] for how, points in by_pass.items()},
        )
        for title, by_pass in axes.items()
    }
    draw_growth(series, given.output / "memory.png")
    for how, figures in doubled.items():
        print(f"{how}, vocabulary 32,000 to 64,000, MB:", {name: round(v, 1) for name, v in figures.items()})
        if figures["added"] > figures["allowed"]:
            raise ValueError(f"{how}: it adds {figures['added']:.0f} MB, more than {figures['allowed']:.0f}")


if __name__ == "__main__":
    main()
