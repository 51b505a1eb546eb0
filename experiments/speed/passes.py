"""Times work done once a group against once a completion, alternating, in one run; checks that both agree.

    python experiments/speed/passes.py [--sides 84 224 448] [--threads 1] [--repeats 5]

Training pass: ``logprob_pass: shared`` against ``plain``, forward and backward. Rollout:
``TransformersEngine`` against ``generate(num_return_sequences=8)`` of transformers. 8 prompts with a picture
of noise x 8 completions of 64 tokens, forced; and the quickstart's sizes: 48 boards of tiles x 8 completions
that end by themselves, with at most 64 tokens. ``generate`` runs with this project's faster norms and patch
projection too.
"""

import argparse
import statistics
import time
from functools import partial

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from observer.data import Tiles
from observer.policy import Policy, PolicySpec, load_processor
from observer.rollout import PromptRenderer, TransformersEngine
from observer.types import Picture, Problem, Sampling, Turn

CHECKPOINT = "observer/data/tiles/checkpoint"
PROMPTS, GROUP, TOKENS = 8, 8, 64
FORCED = Sampling(group_size=GROUP, max_tokens=TOKENS, min_tokens=TOKENS)
FREE = Sampling(group_size=GROUP, max_tokens=TOKENS)
BOARDS = 48


def problem(row, side):
    pixels = np.random.default_rng((row, side)).integers(0, 256, (side, side, 3), np.uint8)
    picture = Picture(f"noise {row}", lambda: (side, side), lambda: Image.fromarray(pixels))
    turn = Turn("user", "<image>What is the sum of the red tiles?")
    return Problem(id=str(row), row=row, turns=(turn,), answer="1", kind="integer", pictures=(picture,))


def alternate(repeats, **jobs):
    """Return the seconds of each job, taken in turns after one round that does not count."""
    seconds = {name: [] for name in jobs}
    for turn in range(repeats + 1):
        for name, job in jobs.items():
            begin = time.perf_counter()
            job()
            if turn:
                seconds[name].append(time.perf_counter() - begin)
    return seconds


def training_pass(policy, groups, how):
    policy.logprob_pass = how
    policy.zero_grad()
    logprobs = policy.logprobs(groups)
    (logprobs.values_N_T.sum() / logprobs.mask_N_T.sum()).backward()
    gradient = torch.cat([p.grad.flatten() for p in policy.parameters() if p.grad is not None])
    return logprobs.values_N_T.detach(), gradient


def stock_generate(policy, prompts, sampling):
    inputs = policy.processor(
        text=[policy.renderer.text(prompt.problem) for prompt in prompts],
        images=[picture.load() for prompt in prompts for picture in prompt.problem.pictures],
        return_tensors="pt",
        padding=True,
        padding_side="left",
    )
    policy.model.generate(
        **inputs,
        do_sample=True,
        num_return_sequences=sampling.group_size,
        max_new_tokens=sampling.max_tokens,
        min_new_tokens=sampling.min_tokens,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[84, 224, 448], help="pixels")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    spec = PolicySpec(CHECKPOINT, max_pixels=max(given.sides) ** 2)
    policy = Policy(spec, load_processor(spec))
    policy.renderer = PromptRenderer(policy.processor, "", 4096)
    engine = TransformersEngine()
    engine.start(policy)
    settings = [
        (f"{side} px", [problem(row, side) for row in range(PROMPTS)], FORCED) for side in given.sides
    ]
    tiles = Tiles(rows=BOARDS).read()
    settings.append(("quickstart", [tiles[row] for row in range(BOARDS)], FREE))

    table = Table(title=f"seconds, median (min to max) of {given.repeats}, {given.threads} threads")
    for heading in ("sizes", "what", "once a completion", "once a group", "ratio"):
        table.add_column(heading, justify="right")
    for name, problems, sampling in settings:
        prompts = policy.renderer.render(problems)
        groups = engine.generate(prompts, sampling)
        plain, shared = (training_pass(policy, groups, how) for how in ("plain", "shared"))
        for one, other in zip(plain, shared, strict=True):
            error = float((one - other).abs().max() / one.abs().max())
            assert error < 1e-5, f"{name}: the passes differ by {error}"
        rows = {
            "training pass": alternate(
                given.repeats,
                plain=partial(training_pass, policy, groups, "plain"),
                shared=partial(training_pass, policy, groups, "shared"),
            ),
            "rollout": alternate(
                given.repeats,
                plain=partial(stock_generate, policy, prompts, sampling),
                shared=partial(engine.generate, prompts, sampling),
            ),
        }
        for what, seconds in rows.items():
            cells = [f"{statistics.median(s):.3f} ({min(s):.3f} to {max(s):.3f})" for s in seconds.values()]
            ratio = statistics.median(seconds["plain"]) / statistics.median(seconds["shared"])
            table.add_row(name, what, *cells, f"{ratio:.2f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
