"""Times a training pass of Qwen2.5-VL-3B on one CUDA GPU: ours, shared and plain, against TRL's.

    python experiments/speed/on_gpu.py [--mixed] [--prompts 1] [--tokens 300 1000] [--repeats 5]
        [--peak-tflops N] [--output DIR]
    python experiments/speed/on_gpu.py --tiny    # the same path on a CPU in a minute, to test this script

The true architecture with random weights, so nothing is downloaded: 3.75 B parameters, bfloat16, or with
``--mixed`` float32 under bfloat16 autocast. Each prompt has a picture of 1,024 visual tokens and 64 tokens of
text, and 8 completions of exactly 300 and of 1,000 random tokens. A pass is the log-probs of all completions
and the backward pass of their mean, with gradient checkpointing off and on, with the vision tower trained and
(ours) frozen: ``shared`` then has the picture's features from the rollout, which is what happens in training.
TRL's is ``GRPOTrainer._get_per_token_logps_and_entropies`` as its loss calls it, on the same ids, with an
untouched transformers model that holds the very same parameters. No optimizer step, no loss beside the mean.

Passes take turns, the order turned around every round; the first round does not count. Seconds are between
two synchronisations. Memory is the peak of what tensors hold, weights and gradients included. Pictures start
where each project keeps them: ours in host memory, TRL's on the device. Completions of one length flatter the
plain pass and TRL, which pad the others: with padding SDPA gets a mask, and no flash kernel takes one.

FLOPs are counted by formula: 6 x weights x tokens in every linear layer (forward 2, backward 4), and
12 x heads x head dim x (query, key) pairs that see each other in attention (4 and 8). ``useful`` is what has
to be computed: prompt and picture once a group, the head where a completion token is predicted. ``computed``
is what the pass itself passes through the model. What checkpointing computes again counts in neither.

Checked in the same run: log-probs and gradients of the passes agree (TRL leaves the vision tokens, which are
never sampled, in the softmax: 3e-5 nats). Also measured: one rollout of ``TransformersEngine``, 300 tokens
forced, and which attention operators of torch a forward pass calls.

``DIR`` gets ``on_gpu.json``. Without TRL a line says so. On an H200 it should take about 5 minutes.
"""

import argparse
import gc
import json
import statistics
import sys
import tempfile
import time
from contextlib import nullcontext, suppress
from functools import partial
from itertools import product
from pathlib import Path

import torch
from charts import machine
from random_work import (
    GROUP,
    flops,
    make_group,
    make_prompt,
    model_config,
)
from rich.console import Console
from rich.table import Table
from torch.profiler import ProfilerActivity, profile
from transformers import AutoConfig, AutoModelForImageTextToText

from observer.policy import Policy, PolicySpec, load_processor
from observer.policy.vision import PictureFeatures
from observer.rollout import TransformersEngine
from observer.types import Sampling

CHECKPOINT = "observer/data/tiles/checkpoint"
"""Lends its processor, which the policy and TRL ask for; no text is made of any token."""
ROLLOUT_TOKENS = 300
PARAMETERS = 3_754_622_976
TERAFLOPS = {"H200": 989, "H100": 989, "A100": 312, "L40S": 362, "4090": 165}
"""Dense bfloat16, by what the device's name holds; of the SXM parts."""
VALUES_TOLERANCE, COSINE_TOLERANCE = 0.05, 0.99
"""The largest mean difference of log-probs, in nats, and the smallest cosine of gradients, in bfloat16."""


class Ours:
    """Our policy, and how it is switched between passes."""

    def __init__(self, folder, device, mixed):
        spec = PolicySpec(folder, from_scratch=True, dtype="float32" if mixed else "bfloat16")
        processor = load_processor(PolicySpec(CHECKPOINT))
        with torch.device(device):  # weights are drawn where they stay
            self.policy = Policy(spec, processor)
        self.model = self.policy.model
        self._autocast = partial(torch.autocast, device, torch.bfloat16) if mixed else nullcontext
        self._features = {}
        for frozen in (True, False):
            self.model.model.visual.requires_grad_(not frozen)
            self._features[frozen] = PictureFeatures(self.model)

    def logprobs(self, groups, how, frozen=False):
        """Return the log-probs of all completion tokens, flat."""
        self.model.model.visual.requires_grad_(not frozen)
        self.policy.features, self.policy.logprob_pass = self._features[frozen], how
        with self._autocast():
            return self.policy.logprobs(groups).values_N_T.flatten()

    def generate(self, prompts, tokens):
        """Draw a rollout of exactly so many tokens a completion."""
        self.policy.features = self._features[False]
        engine = TransformersEngine()
        engine.start(self.policy)
        with self._autocast():
            groups = engine.generate(prompts, Sampling(GROUP, max_tokens=tokens, min_tokens=tokens))
        assert all(group.tokens == GROUP * tokens for group in groups), "a completion has another length"


class Trls:
    """TRL's trainer around an untouched transformers model with our parameters."""

    def __init__(self, ours, folder, mixed, rows):
        from datasets import Dataset
        from trl import GRPOConfig, GRPOTrainer

        own, config = ours.model, AutoConfig.from_pretrained(folder)
        with torch.device(own.device):
            self.model = AutoModelForImageTextToText.from_config(config, dtype=own.dtype)
        self.model.load_state_dict(own.state_dict(keep_vars=True), assign=True)
        sizes = {"per_device_train_batch_size": rows, "num_generations": GROUP}
        where = {"output_dir": str(Path(folder) / "trl"), "use_cpu": own.device.type == "cpu"}
        self._trainer = GRPOTrainer(
            model=self.model.train(),
            reward_funcs=lambda completions, **_: [0.0] * len(completions),
            args=GRPOConfig(**sizes, **where, bf16=mixed, report_to="none"),
            train_dataset=Dataset.from_dict({"prompt": ["."] * rows}),
            processing_class=load_processor(PolicySpec(CHECKPOINT)),
        )
        assert {id(p) for p in self.model.parameters()} == {id(p) for p in own.parameters()}

    def inputs(self, groups):
        """Return what TRL's rollout hands to its loss: one row a completion, on the device."""
        rows = [(group.prompt, completion.ids) for group in groups for completion in group.completions]
        pictures = [patches for prompt, _ in rows for patches in prompt.pictures]
        ids_N_S = torch.tensor([[*prompt.ids, *ids] for prompt, ids in rows])
        tensors = {
            "input_ids": ids_N_S,
            "attention_mask": torch.ones_like(ids_N_S),
            "mm_token_type_ids": (ids_N_S == self.model.config.image_token_id).int(),
            "pixel_values": torch.cat([patches.pixels for patches in pictures]),
            "image_grid_thw": torch.stack([patches.grid for patches in pictures]),
        }
        there = {name: tensor.to(self.model.device) for name, tensor in tensors.items()}
        return there | {"logits_to_keep": len(rows[0][1]), "num_images": [1] * len(rows)}

    def logprobs(self, inputs):
        """Return the log-probs of all completion tokens, flat."""
        self.model.model.visual.requires_grad_(True)
        way = self._trainer._get_per_token_logps_and_entropies
        return way(self.model, **inputs, compute_entropy=True)[0].flatten()


def switch_checkpointing(model, on):
    model.gradient_checkpointing_disable()
    if on:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.disable_input_require_grads()  # as observer.policy.loading does


def attempt(job):
    """Return what a job returns, in a tuple; None when memory runs out."""
    with suppress(torch.OutOfMemoryError):
        return (job(),)
    return None


def timed(job, cuda):
    """Return seconds and peak memory, in GiB, None on a CPU; None when memory runs out."""
    gc.collect()
    if cuda:
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.synchronize()
    begin = time.perf_counter()
    if attempt(job) is None:
        return None
    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - begin, torch.cuda.max_memory_allocated() / 2**30 if cuda else None


def take_turns(jobs, model, repeats, cuda):
    """Return the seconds and peaks of each job's passes, forward and backward; None where memory ran out."""
    passes = {name: [] for name in jobs}
    for turn in range(repeats + 1):
        for name in sorted(jobs, reverse=turn % 2 == 1):
            if passes[name] is None:
                continue
            model.zero_grad()
            done = timed(lambda job=jobs[name]: job().mean().backward(), cuda)
            if done is None:
                passes[name] = None
            elif turn:
                passes[name].append(done)
    model.zero_grad()
    return passes


def make_jobs(ours, trls, groups):
    """Return the passes to time, by project, pass and whether the tower is frozen."""
    ways = product(("plain", "shared"), (False, True))
    jobs = {("observer", *way): partial(ours.logprobs, groups, *way) for way in ways}
    return jobs | ({("trl", "plain", False): partial(trls.logprobs, trls.inputs(groups))} if trls else {})


def compare(jobs, model):
    """Return by how much log-probs and gradients differ from those of our plain pass."""
    expected, held, figures = None, [], {}
    for name in sorted(name for name in jobs if not name[2]):  # our plain pass is the first
        model.zero_grad()
        values = jobs[name]()
        values.mean().backward()
        values = values.detach().float()
        if expected is None:
            expected, held = values, [parameter.grad.cpu() for parameter in model.parameters()]
            continue
        products = torch.zeros(3, dtype=torch.float64)
        for parameter, gradient in zip(model.parameters(), held, strict=True):
            one, other = parameter.grad.flatten().float(), gradient.to(parameter.device).flatten().float()
            products += torch.stack([one @ other, one @ one, other @ other]).double().cpu()
        apart, cosine = (values - expected).abs(), products[0] / (products[1] * products[2]).sqrt()
        found = {"mean_abs": float(apart.mean()), "largest": float(apart.max())}
        figures[" ".join(name[:2])] = found | {"gradient_cosine": float(cosine)}
    model.zero_grad()
    return figures


@torch.no_grad()
def attention_calls(job):
    """Return how often a forward pass calls each attention operator of torch."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        job()
    name = "aten::_scaled_dot_product_"
    return {e.key.removeprefix(name): e.count for e in seen.key_averages() if e.key.startswith(name)}


def make_point(setting, name, done, work, peak_tflops):
    """Return the figures of a pass; ``work`` are its useful and its computed FLOPs."""
    point = setting | dict(zip(("project", "pass", "frozen_tower"), name, strict=True))
    if done is None:
        return point | {"out_of_memory": True}
    seconds = [taken for taken, _ in done]
    point |= {"seconds": seconds, "median": statistics.median(seconds), "peak_gib": done[0][1]}
    for what, amount in zip(("useful", "computed"), work, strict=True):
        point[f"{what}_tflop"] = amount / 1e12
        share = amount / 1e12 / point["median"] / peak_tflops if peak_tflops else None
        point[f"{what}_share_of_peak"] = share
    return point


def show(points, title, caption):
    table = Table(title=title, caption=caption)
    for heading in ("tokens", "checkpoints", "project", "pass", "tower", "seconds (min to max)"):
        table.add_column(heading)
    for heading in ("peak, GiB", "useful TFLOP", "of peak", "computed TFLOP", "of peak"):
        table.add_column(heading, justify="right")
    for p in points:
        cells = [str(p["tokens"]), "on" if p["checkpointing"] else "off", p["project"], p["pass"]]
        cells.append("frozen" if p["frozen_tower"] else "trained")
        if "median" not in p:
            table.add_row(*cells, "out of memory")
            continue
        cells.append(f"{p['median']:.3f} ({min(p['seconds']):.3f} to {max(p['seconds']):.3f})")
        cells.append(f"{p['peak_gib']:.1f}" if p["peak_gib"] else "n/a")
        for what in ("useful", "computed"):
            share = p[f"{what}_share_of_peak"]
            cells += [f"{p[f'{what}_tflop']:,.3g}", f"{share:.1%}" if share else "n/a"]
        table.add_row(*cells)
    Console(width=150).print(table)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tiny", action="store_true", help="a toy on a CPU")
    parser.add_argument("--mixed", action="store_true", help="float32 weights under bfloat16 autocast")
    parser.add_argument("--prompts", type=int, default=1)
    parser.add_argument("--tokens", type=int, nargs="+", help="a completion; 300 and 1000")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peak-tflops", type=float, help="of the device, dense bfloat16")
    parser.add_argument("--output", type=Path, default=Path("runs/speed"))
    given = parser.parse_args()
    cuda, config = not given.tiny, model_config(given.tiny)
    tokens = given.tokens or ([6, 12] if given.tiny else [300, 1000])
    device = torch.cuda.get_device_name() if cuda else "CPU"
    peak_tflops = given.peak_tflops or next((t for n, t in TERAFLOPS.items() if n in device), None)
    record = {"device": device, "cuda": torch.version.cuda, "machine": machine(), "peak_tflops": peak_tflops}
    has_trl, began = record["machine"]["trl"], time.perf_counter()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        ours = Ours(folder, "cuda" if cuda else "cpu", given.mixed)
        trls = Trls(ours, folder, given.mixed, given.prompts * GROUP) if has_trl else None
    count = sum(parameter.numel() for parameter in ours.model.parameters())
    assert given.tiny or count == PARAMETERS, f"the model has {count:,} parameters, not {PARAMETERS:,}"
    print(f"{device}: {count:,} parameters after {time.perf_counter() - began:.0f} s", flush=True)
    prompts = [make_prompt(config, row, given.tiny) for row in range(given.prompts)]
    grid = prompts[0].pictures[0].grid.tolist()
    record |= {"options": vars(given) | {"output": str(given.output)}, "parameters": count}
    record |= {"prompt_tokens": len(prompts[0].ids), "points": []}
    for length, checkpointing in product(tokens, (True, False)):
        jobs = make_jobs(ours, trls, [make_group(config, prompt, length) for prompt in prompts])
        for side in filter(None, (ours, trls)):
            switch_checkpointing(side.model, checkpointing)
        if "agreement" not in record:
            record["attention_calls"] = {" ".join(n[:2]): attention_calls(jobs[n]) for n in jobs if not n[2]}
            (record["agreement"],) = attempt(partial(compare, jobs, ours.model)) or ({},)
            print(json.dumps({n: record[n] for n in ("attention_calls", "agreement")}, indent=1), flush=True)
        setting = {"tokens": length, "checkpointing": checkpointing}
        for name, done in take_turns(jobs, ours.model, given.repeats, cuda).items():
            of = partial(flops, config, grid, len(prompts[0].ids), length, frozen=name[2])
            work = [given.prompts * of(how) for how in ("shared", name[1])]
            record["points"].append(make_point(setting, name, done, work, peak_tflops))
        print(f"{setting} after {time.perf_counter() - began:.0f} s", flush=True)
    drawn = min(tokens) if given.tiny else ROLLOUT_TOKENS
    ours.generate(prompts, 4)
    done = timed(partial(ours.generate, prompts, drawn), cuda)
    if done:
        per_second = given.prompts * GROUP * drawn / done[0]
        record["rollout"] = {"seconds": done[0], "tokens_per_second": per_second, "peak_gib": done[1]}
    caption = "" if trls else "TRL is not installed: pip install trl"
    show(record["points"], f"{device}: a training pass, median of {given.repeats}", caption)
    print(f"rollout of {drawn} tokens a completion: {record.get('rollout', 'out of memory')}")
    given.output.mkdir(parents=True, exist_ok=True)
    (given.output / "on_gpu.json").write_text(json.dumps(record, indent=1) + "\n")
    print(f"{given.output / 'on_gpu.json'} after {time.perf_counter() - began:.0f} s")
    for figures in record["agreement"].values():
        if figures["mean_abs"] > VALUES_TOLERANCE or figures["gradient_cosine"] < COSINE_TOLERANCE:
            sys.exit(f"the passes do not agree: {figures}")


if __name__ == "__main__":
    main()
