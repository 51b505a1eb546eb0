"""Whether an engine with weights of its own draws with the newest vision tower."""

import json
from dataclasses import replace
from pathlib import Path

import lightning
import torch

from observer.data import Tiles

APART = 5.0
"""By what factor log-probs must be further off before the sync than with equal weights."""


class TowerOnly(lightning.Callback):
    """At the end of a run, changes the vision tower alone and compares the engine's log-probs with its own.

    Stale features of pictures show here and nowhere else: a change of the text model hides them.

    Args:
        file: where the differences go.
        prompts: with a picture each.
        tokens: of each completion.
    """

    def __init__(self, file: str, prompts: int = 4, tokens: int = 16) -> None:
        self.file, self.prompts, self.tokens = Path(file), prompts, tokens

    @torch.no_grad()
    def on_train_end(self, trainer, pl_module):
        """Compare: equal weights, a new tower that was not handed over, the same after a sync."""
        policy, engine = pl_module.policy, pl_module.answerer.engine
        tower = policy.model.model.visual
        before = [weight.cpu() for weight in tower.parameters()]
        found = {"equal": self.difference(pl_module, sync=True)}
        generator = torch.Generator(pl_module.device).manual_seed(0)
        for weight in tower.parameters():
            if weight.dim() > 1:  # as if drawn anew: as large, and nothing in common
                weight.normal_(0.0, float(weight.float().std()), generator=generator)
        found["stale"] = self.difference(pl_module, sync=False)
        found["synced"] = self.difference(pl_module, sync=True)
        self.file.write_text(json.dumps(found))
        for weight, old in zip(tower.parameters(), before, strict=True):
            weight.copy_(old)
        engine.version = -1

    def difference(self, pl_module, sync):
        """Return the mean and the largest absolute difference of log-probs, nats per token."""
        answerer, policy = pl_module.answerer, pl_module.policy
        if sync:
            answerer.engine.sync(policy.weights(), answerer.engine.version + 1)
        problems = [Tiles(rows=64, split="test").read()[row] for row in range(self.prompts)]
        prompts = answerer.renderer.render(problems)  # anew: the policy keeps features by picture
        sampling = replace(pl_module.sampling, group_size=2, max_tokens=self.tokens)
        groups = answerer.engine.generate(prompts, sampling)
        values_N_T = policy.logprobs(groups, with_entropy=False).values_N_T.cpu()
        rows = [one.logprobs for group in groups for one in group.completions]
        drawn = torch.tensor([value for row in rows for value in row])
        own = torch.cat([values_N_T[number, : len(row)] for number, row in enumerate(rows)])
        off = (drawn - own).abs()
        return {"mean": float(off.mean()), "largest": float(off.max())}


def faults_of(found):
    """Return what is wrong with the differences, as sentences.

    >>> same = {"mean": 0.01, "largest": 0.05}
    >>> faults_of({"equal": same, "stale": {"mean": 0.4, "largest": 2.0}, "synced": same})
    []
    >>> faults_of({"equal": same, "stale": same, "synced": same})
    ['a new vision tower that was not handed over changes nothing: 0.0100 nats, 0.0100 with equal weights']
    """
    equal, stale, synced = (found[name]["mean"] for name in ("equal", "stale", "synced"))
    faults = []
    if stale < APART * equal:
        faults.append(
            f"a new vision tower that was not handed over changes nothing: {stale:.4f} nats, {equal:.4f} "
            "with equal weights"
        )
    elif synced * APART > stale:
        faults.append(
            f"after the sync log-probs are still those of the old vision tower: {synced:.4f} nats off, "
            f"{stale:.4f} before it"
        )
    return faults
