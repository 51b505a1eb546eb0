"""What a token costs the shipped engine at 300 million weights: casts for a rollout, and rows refilled.

    python experiments/engines/at_size.py [--repeats 4] [--tokens 6] [--rows 1 8] [--output FILE]

A random Qwen2.5-VL of 305 million weights, made on the spot, on a CPU with one thread. Ways take turns in one
process, and the time is the CPU time of the process, so that others on the machine count little. What the
ways draw is compared: it is the same, in mixed precision to the bit.

*Casts*: float32 weights under bfloat16 autocast as Lightning sets it. Before, autocast casts every weight for
every token; after, ``cast_once`` keeps the casts for a rollout. The time of a decoding step is that between
two calls of the head.

*Refill*: completions end at random, after as many tokens as a die with ``MEAN`` sides takes to show a one,
at most ``LIMIT``; there is room for three groups. Before, a batch is drawn to its end before the next begins;
after, a group begins as soon as there is room for it. Steps are passes over the weights: on a GPU, whose
time goes into reading them, their number is what counts.

Writes ``at_size.json`` beside this file.
"""

import argparse
import json
import statistics
import tempfile
import time
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path

import torch
from transformers import AutoConfig, Qwen2_5_VLConfig

from observer.policy import Policy, PolicySpec, load_processor
from observer.rollout import TransformersEngine, transformers_engine
from observer.rollout.cast_once import cast_once
from observer.types import Problem, Prompt, Sampling, Turn

CHECKPOINT = "observer/data/tiles/checkpoint"
"""Lends its processor, and with it the ids of special tokens."""
TEXT = {"vocab_size": 32768, "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 16}
TEXT |= {"num_attention_heads": 16, "num_key_value_heads": 2, "rms_norm_eps": 1e-6}
ROPE = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [8, 12, 12]}
VISION = {"depth": 8, "hidden_size": 512, "num_heads": 8, "intermediate_size": 1368, "out_hidden_size": 1024}
VISION |= {"fullatt_block_indexes": [3, 7], "window_size": 112}
PATCHES = ("patch_size", "spatial_merge_size", "temporal_patch_size", "in_channels")
SPECIAL = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
PROMPT = 8
"""Tokens of a prompt: what is measured is what comes after it."""
PROMPTS, GROUP, MEAN, LIMIT = 8, 4, 10, 40
"""Of the rollouts whose completions end at random: prompts, completions of each, and their lengths."""
WAYS = {"before": lambda *_: nullcontext(), "after": cast_once}


def make_policy():
    """Return a policy with random weights, the same each time."""
    shipped = AutoConfig.from_pretrained(CHECKPOINT)
    ends = {name: getattr(shipped.text_config, name) for name in ("bos_token_id", "eos_token_id")}
    vision = VISION | {name: getattr(shipped.vision_config, name) for name in PATCHES}
    special = {name: getattr(shipped, name) for name in SPECIAL}
    text = TEXT | ends | {"rope_parameters": ROPE}
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **special)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        return Policy(PolicySpec(folder, from_scratch=True), load_processor(PolicySpec(CHECKPOINT)))


def make_prompts(count):
    """Return prompts of random text."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1000, TEXT["vocab_size"], (count, PROMPT), generator=generator).tolist()
    turns = (Turn("user", ""),)
    return [Prompt(Problem(str(row), row, turns, "", "integer"), tuple(own)) for row, own in enumerate(ids)]


def mixed(on=True):
    return torch.autocast("cpu", torch.bfloat16, enabled=on, cache_enabled=False)  # as Lightning sets it


class Steps:
    """The CPU time at each call of the head: once per decoding step."""

    def __init__(self, policy):
        self.times = []
        policy.model.lm_head.register_forward_hook(lambda *_: self.times.append(time.process_time()))

    def take(self):
        """Return the seconds between calls since the last ``take``."""
        times, self.times = self.times, []
        return [after - before for before, after in pairwise(times)]


def rollout(policy, prompts, sampling, tokens_at_once=262_144):
    """Return what is drawn, and the CPU seconds."""
    engine = TransformersEngine(tokens_at_once)
    engine.start(policy)
    begin = time.process_time()
    groups = engine.generate(prompts, sampling)
    taken = time.process_time() - begin
    return [(one.ids, one.logprobs) for group in groups for one in group.completions], taken


def casts(policy, steps, rows, tokens, repeats):
    """Return the seconds per token of each way with so many completions at once, and their ratios."""
    prompts, seconds = make_prompts(rows), {way: [] for way in WAYS}
    sampling = Sampling(1, max_tokens=tokens + 1, min_tokens=tokens + 1)
    for repeat in range(repeats):
        drawn = {}
        for way in sorted(WAYS, reverse=repeat % 2 == 0):
            transformers_engine.cast_once = WAYS[way]
            with mixed():
                drawn[way], _ = rollout(policy, prompts, sampling)
            seconds[way].append(statistics.median(steps.take()) / rows)
        assert drawn["before"] == drawn["after"], "what is drawn differs"
    ratios = [one / other for one, other in zip(seconds["before"], seconds["after"], strict=True)]
    print(f"{rows} at once: CPU seconds per token {spread(seconds['before'])} before, ", end="")
    print(f"{spread(seconds['after'])} after; ratio {spread(ratios)}", flush=True)
    figures = {way: summary(seconds[way]) for way in WAYS}
    return {"rows": rows, "cpu_seconds_per_token": figures, "ratio": summary(ratios)}


def refill(policy, steps, precision, repeats):
    """Return the seconds and the steps of rollouts whose completions end at different times."""
    prompts, sampling = make_prompts(PROMPTS), Sampling(GROUP, max_tokens=LIMIT)
    room = 3 * (PROMPT + GROUP * LIMIT)
    ends, share = policy.end_ids, transformers_engine.FREE_SHARE
    policy.end_ids = tuple(range(1000, 1000 + TEXT["vocab_size"] // MEAN))
    seconds, passes, tokens = {way: [] for way in WAYS}, {}, 0
    for repeat in range(repeats):
        drawn = {}
        for way in sorted(WAYS, reverse=repeat % 2 == 0):
            transformers_engine.FREE_SHARE = share if way == "after" else 0  # no share is enough
            with mixed(precision == "bf16-mixed"):
                drawn[way], taken = rollout(policy, prompts, sampling, room)
            seconds[way].append(taken)
            passes[way] = len(steps.take()) + 1
        if precision == "32-true":
            assert [ids for ids, _ in drawn["before"]] == [ids for ids, _ in drawn["after"]], "it differs"
        tokens = sum(len(ids) for ids, _ in drawn["after"])
    policy.end_ids, transformers_engine.FREE_SHARE = ends, share
    ratios = [one / other for one, other in zip(seconds["before"], seconds["after"], strict=True)]
    print(f"{precision}, {tokens} tokens of {PROMPTS * GROUP} completions: steps {passes}, ", end="")
    print(f"CPU seconds {spread(seconds['before'])} before, {spread(seconds['after'])} after; ", end="")
    print(f"ratio {spread(ratios)}", flush=True)
    figures = {"cpu_seconds": {way: summary(seconds[way]) for way in WAYS}, "ratio": summary(ratios)}
    return {"precision": precision, "tokens": tokens, "steps": passes, **figures}


def spread(values):
    return "{median} ({least} to {most})".format(**summary(values))


def summary(values):
    whole = {"median": statistics.median(values), "least": min(values), "most": max(values)}
    return {name: round(value, 4) for name, value in whole.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=6, help="decoding steps of a measurement of casts")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8], help="completions at once")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    policy = make_policy()
    steps, parts = Steps(policy), (policy.model.model.language_model, policy.model.lm_head)
    begin = time.process_time()
    with mixed(), cast_once(*parts) as held:
        taken = time.process_time() - begin
    record = {"parameters": sum(p.numel() for p in policy.parameters()), "torch": torch.__version__}
    record |= {"copy_bytes": held, "copy_cpu_seconds": taken, "casts": [], "refill": []}
    print(f"{record['parameters']:,} weights; the copy takes {held:,} bytes and {taken:.2f} s", flush=True)
    for rows in given.rows:
        record["casts"].append(casts(policy, steps, rows, given.tokens, given.repeats))
        given.output.write_text(json.dumps(record, indent=1) + "\n")
    for precision in ("32-true", "bf16-mixed"):
        record["refill"].append(refill(policy, steps, precision, max(1, given.repeats // 2)))
        given.output.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
