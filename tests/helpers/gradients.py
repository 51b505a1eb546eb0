"""Gradients of a first rollout, as a learner computes them and from its parts."""

from dataclasses import replace

import torch

import runs
from observer.objective import (
    GroupMean,
    Uniform,
)
from observer.rewards import Accuracy
from observer.rollout import Engine, ScriptedEngine
from runs import MIXED


class Gradients(torch.optim.SGD):
    """Keeps the gradient of each step it is asked to take, and takes none."""

    seen: list  # set by each test

    def step(self, closure=None):
        closure and closure()
        tensors = [
            p.grad.detach().clone().flatten()
            for g in self.param_groups
            for p in g["params"]
            if p.grad is not None
        ]
        type(self).seen.append(torch.cat(tensors) if tensors else torch.zeros(0))


PLAIN = {"weighting": Uniform(), "advantage": GroupMean(), "rewards": {"accuracy": Accuracy()}}


class Drawn(Engine):
    """Says the script of ``MIXED`` as if drawn by a policy whose log-probs are a little off."""

    weights = "shared"

    def __init__(self):
        self.script = ScriptedEngine(MIXED)

    def start(self, policy):
        self.policy = policy
        self.script.start(policy)

    def sync(self, named_tensors, version):
        self.version = version

    def generate(self, prompts, sampling):
        groups = self.script.generate(prompts, sampling)
        with torch.no_grad():
            own_N_T = self.policy.logprobs(groups, with_entropy=False).values_N_T
        noise = 0.4 * torch.randn(own_N_T.shape, generator=torch.Generator().manual_seed(0))
        rows = iter((own_N_T + noise).tolist())
        return [
            replace(
                group,
                completions=tuple(
                    replace(c, logprobs=tuple(next(rows)[: len(c.ids)])) for c in group.completions
                ),
            )
            for group in groups
        ]


def first_rollout(tmp_path, engine=None, **options):
    """The policy of a fresh run and the groups of its first rollout."""
    learner = runs.learner(engine=engine or ScriptedEngine(MIXED), **options)
    data = runs.data_module()
    data.setup("fit")
    learner.configure_model()
    data.admit(learner.answerer.renderer, learner.answerer.rubric.verifier, tmp_path)
    problems = [data.rows["train"][row] for row in data.draw(0)]
    groups = learner.answerer.generate(problems, replace(learner.sampling, group_size=4))
    return learner.policy, groups


def gradient_of(policy, loss):
    policy.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in policy.parameters() if p.grad is not None])


def gradients(tmp_path, texts=MIXED, steps=1, data=None, **options):
    """The gradients that a run's optimizer steps were given, same completions whatever the options."""
    Gradients.seen = []
    learner = runs.learner(
        **{
            "engine": ScriptedEngine(texts),
            "optimizer": lambda p: Gradients(p, lr=1.0),
            "gradient_clip": None,
            **options,
        }
    )
    trainer = runs.trainer(tmp_path / f"run-{len(list(tmp_path.iterdir()))}", steps)
    trainer.fit(learner, datamodule=runs.data_module(val=None, test=None, **(data or {})))
    return Gradients.seen, trainer.callback_metrics
