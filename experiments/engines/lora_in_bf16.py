"""How much of adapters' update arrives in an engine whose copy of the weights is bfloat16.

    python experiments/engines/lora_in_bf16.py

Four ways to hand an update over: merged in float32 and rounded to bfloat16, to the nearest or at random
(stochastic rounding); adapters in bfloat16 beside the weights, as vLLM's own kernels add them to a bfloat16
output; merged into a copy in float32. First one layer of the size of a 3B model, whose base weights are
bfloat16 as they are published; then the tiny model of the quickstart, its base rounded to bfloat16, and what
its log-probs become. Adapters are trained by AdamW: in the layer on a gradient that is mostly noise, in the
model on that of GRPO with random advantages. Prints the tables of README.md beside this file.
"""

import math
from functools import partial

import torch

from observer.data import Tiles
from observer.policy import Lora, Policy, PolicySpec, load_processor
from observer.rollout import PromptRenderer, TransformersEngine
from observer.types import Sampling

SIZE, TOKENS, DEVIATION = 2048, 256, 0.02
SIGNAL = 0.1
"""Share of the gradient's deviation that is the same in all steps."""
RANKS, RATES, STEPS = (16, 32, 64), (1e-5, 1e-4), (1, 10, 100)
WAYS = ("merged, nearest", "merged, at random", "adapters", "float32")
bf16 = torch.bfloat16


def rounded(tensor):
    return tensor.to(bf16).float()


def rounded_at_random(tensor):
    """Round up or down with chances such that the mean is the number itself."""
    bits = tensor.contiguous().view(torch.int32)
    return ((bits + torch.randint_like(bits, 1 << 16)) & ~0xFFFF).view(torch.float32)


def kept(change, exact):
    """The share of an exact change that a change holds, and their cosine."""
    change, exact = change.double().flatten(), exact.double().flatten()
    product, length = change @ exact, exact.norm()
    return float(product / length**2), float(product / (length * change.norm()).clamp(min=1e-300))


def updates(rank, rate):
    """Yield (steps, A, B) of adapters that AdamW trains; those of peft begin like this."""
    a = torch.empty(rank, SIZE).uniform_(-1, 1).mul_(1 / math.sqrt(SIZE)).requires_grad_()
    b = torch.zeros(SIZE, rank).requires_grad_()
    optimizer = torch.optim.AdamW([a, b], lr=rate, weight_decay=0.0)
    steady = torch.randn(SIZE, SIZE)
    for step in range(1, max(STEPS) + 1):
        gradient = SIGNAL * steady + torch.randn(SIZE, SIZE)
        a.grad, b.grad = b.detach().T @ gradient, gradient @ a.detach().T
        optimizer.step()
        if step in STEPS:
            yield step, a.detach(), b.detach()


def layer(rank, rate):
    """Print the rows of one layer: what arrives in its weights, and what in its output."""
    weight = rounded(DEVIATION * torch.randn(SIZE, SIZE))
    inputs = rounded(torch.randn(TOKENS, SIZE))
    before = rounded(inputs @ weight.T)
    for steps, a, b in updates(rank, rate):
        change = 2.0 * b @ a  # alpha is twice the rank
        exact = inputs @ change.T
        merged = {
            "merged, nearest": rounded(weight + change),
            "merged, at random": rounded_at_random(weight + change),
        }
        row = [f"{rank} | {rate:g} | {steps} | {float(change.std()) / DEVIATION:.1e}"]
        for new in merged.values():
            weights = kept(new - weight, change)
            row.append("{:.3f} ({:.3f})".format(*weights))
            row.append("{:.3f} ({:.3f})".format(*kept(rounded(inputs @ new.T) - before, exact)))
        small = 2.0 * rounded(rounded(inputs @ rounded(a).T)) @ rounded(b).T
        row.append("{:.3f} ({:.3f})".format(*kept(2.0 * rounded(b) @ rounded(a), change)))
        row.append("{:.3f} ({:.3f})".format(*kept(rounded(before + small) - before, exact)))
        print(" | ".join(["", *row, ""]).strip(), flush=True)


def log_probs(policy, groups):
    with torch.no_grad():
        seen = policy.logprobs(groups, with_entropy=False)
    return seen.values_N_T[seen.mask_N_T].double()


@torch.no_grad()
def copy_into(policy, weights, convert):
    own = dict(policy.model.named_parameters())
    for name, weight in weights:
        if name in own:
            own[name].copy_(convert(weight.float()))


@torch.no_grad()
def copied_adapters(policy, trained, convert):
    for mine, theirs in zip(policy.parameters(), trained.parameters(), strict=True):
        mine.copy_(convert(theirs) if theirs.requires_grad else theirs)


def model(rate):
    """Print the rows of the tiny model: what arrives of its log-probs' change, and how far they are off."""
    processor = load_processor(PolicySpec("observer:tiles"))
    make = partial(Policy, processor=processor)
    adapters = Lora(rank=16, alpha=32)
    trainer = make(PolicySpec("observer:tiles", dtype="bfloat16", lora=adapters))
    beside = make(PolicySpec("observer:tiles", dtype="bfloat16", lora=adapters))
    coarse = make(PolicySpec("observer:tiles", dtype="bfloat16"))
    fine = make(PolicySpec("observer:tiles"))
    start = list(coarse.weights())
    copy_into(fine, start, torch.clone)
    engine = TransformersEngine()
    engine.start(fine)
    engine.sync(fine.weights(), 0)
    prompts = PromptRenderer(processor, "", 1024).render(list(Tiles(rows=32).read()))
    groups = engine.generate(prompts, Sampling(group_size=4, max_tokens=64))
    base = {"coarse": log_probs(coarse, groups), "fine": log_probs(fine, groups)}
    advantages = torch.randn(len(prompts) * 4, 1)
    optimizer = torch.optim.AdamW([p for p in trainer.parameters() if p.requires_grad], rate, weight_decay=0)
    for step in range(1, max(STEPS) + 1):
        optimizer.zero_grad()
        seen = trainer.logprobs(groups, with_entropy=False)
        (-(advantages * seen.values_N_T * seen.mask_N_T).sum() / seen.mask_N_T.sum()).backward()
        optimizer.step()
        if step not in STEPS:
            continue
        own = log_probs(trainer, groups)
        copy_into(fine, trainer.weights(), torch.clone)
        found = {"float32": (log_probs(fine, groups), base["fine"])}
        for way, convert in zip(WAYS[:2], (rounded, rounded_at_random), strict=True):
            copy_into(coarse, trainer.weights(), convert)
            found[way] = (log_probs(coarse, groups), base["coarse"])
        copied_adapters(beside, trainer, rounded)
        found["adapters"] = (log_probs(beside, groups), base["coarse"])
        exact = found["float32"][0] - found["float32"][1]
        row = [f"{rate:g} | {step} | {float(exact.square().mean().sqrt()):.1e}"]
        for way in WAYS:
            after, before = found[way]
            share, cosine = kept(after - before, exact)
            row.append(f"{share:.3f} ({cosine:.3f}), {float((after - own).abs().mean()):.4f}")
        print(" | ".join(["", *row, ""]).strip(), flush=True)
    print(
        f"mean difference of bfloat16 from float32 before any step: "
        f"{float((base['coarse'] - base['fine']).abs().mean()):.4f}"
    )


def main():
    torch.manual_seed(0)
    print(
        "| rank | rate | steps | update / weight | nearest: weights | output | at random: weights | output "
        "| adapters: weights | output |"
    )
    for rank in RANKS:
        for rate in RATES:
            layer(rank, rate)
    print("\n| rate | steps | rms change | " + " | ".join(WAYS) + " |")
    for rate in RATES:
        model(rate)


if __name__ == "__main__":
    main()
