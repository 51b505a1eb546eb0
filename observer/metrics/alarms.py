"""When a run goes wrong while it runs: figures of its steps in, sentences for whoever watches it out.

Pure functions of builtins. A rule judges means over a window of steps, never one step, and many compare it
with the first window of the run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

Figures = Mapping[str, float]
"""Figures of one step by name, its number as ``step``; figures that a step lacks are left out."""


@dataclass(frozen=True)
class Alarm:
    """What goes wrong, once per run."""

    name: str
    """Of its rule, and of its option."""
    since: int
    """First step of those that were judged."""
    step: int
    """Last step of those that were judged."""
    text: str
    """What is seen, what it usually means, and what to change."""

    def __str__(self) -> str:
        """Return the alarm as one line."""
        return f"ALARM {self.name}, steps {self.since} to {self.step}: {self.text}"


@dataclass(frozen=True)
class Rule:
    """When an alarm is raised, and what it says."""

    needs: tuple[str, ...]
    """Figures that it reads; where half of the steps lack one, it does not judge."""
    raised: Callable[[Figures, Figures, float], bool]
    """(means now, means at first, threshold) -> whether something is wrong."""
    text: str
    """What is seen, what it usually means, and what to change; formatted with both means."""
    compares: bool = False
    """Whether it needs the first window, apart from the last one."""


@dataclass(frozen=True)
class Validation:
    """Held-out accuracy at one time of a run."""

    step: int
    """Last step before it."""
    accuracy: float
    problems: int
    """How many were answered."""
    reward: float
    """Mean reward of the window of training before it."""


SOLVED = 0.9
"""Accuracy above which little entropy is no fault."""

RULES: dict[str, Rule] = {
    "silent_groups": Rule(
        ("zero_signal", "accuracy"),
        lambda now, first, limit: now["zero_signal"] > limit,
        "{now[zero_signal]:.0%} of the groups have no signal (all their advantages are 0). At an accuracy "
        "of {now[accuracy]:.2f} rows are too easy (near 1) or too hard (near 0), or no reward tells "
        "completions apart: draw other rows (curriculum.schedule, data.train), replace such groups "
        "(model.resample 2), or draw more completions (model.group_size)",
    ),
    "identical": Rule(
        ("identical",),
        lambda now, first, limit: now["identical"] > limit,
        "in {now[identical]:.0%} of the groups all completions are the same, so nothing can be compared. "
        "The policy has collapsed or is sampled too coldly: raise model.temperature, go back to an earlier "
        "checkpoint with a lower learning rate (lr of model.optimizer), or set model.entropy_bonus 0.001",
    ),
    "truncated": Rule(
        ("truncated",),
        lambda now, first, limit: now["truncated"] > limit,
        "{now[truncated]:.0%} of the completions are cut at the limit, mostly before their answer. Raise "
        "model.max_tokens, or start from a model that ends its responses",
    ),
    "truncation_rising": Rule(
        ("truncated",),
        lambda now, first, limit: now["truncated"] > first["truncated"] + limit,
        "completions that are cut at the limit rose from {first[truncated]:.0%} to {now[truncated]:.0%}. "
        "Responses outgrow it or no longer end: raise model.max_tokens, lower the learning rate (lr of "
        "model.optimizer), or add a reward on length (SoftOverlong in model.rewards)",
        compares=True,
    ),
    "length_collapse": Rule(
        ("length", "accuracy"),
        lambda now, first, limit: (
            now["length"] < limit * first["length"] and now["accuracy"] <= first["accuracy"] + 0.05
        ),
        "responses shrank from {first[length]:.0f} to {now[length]:.0f} tokens, and accuracy went from "
        "{first[accuracy]:.2f} to {now[accuracy]:.2f}. Being short pays more than being right: lower the "
        "weight of rewards on length or format (model.rewards.bonus.weight), or set model.min_tokens",
        compares=True,
    ),
    "entropy_collapse": Rule(
        ("entropy", "accuracy"),
        lambda now, first, limit: now["entropy"] < limit * first["entropy"] and now["accuracy"] < SOLVED,
        "entropy fell from {first[entropy]:.2g} to {now[entropy]:.2g} per token at an accuracy of "
        "{now[accuracy]:.2f}. Completions of a group become alike and learning stops: lower the learning "
        "rate (lr of model.optimizer), raise clip_high of model.loss, or set model.entropy_bonus 0.001",
        compares=True,
    ),
    "sampler_gap": Rule(
        ("sampler_gap",),
        lambda now, first, limit: now["sampler_gap"] > limit,
        "log-probs of drawing and of training differ by {now[sampler_gap]:.2g} per token on average. The "
        "engine has other weights, another precision or other pictures than the trainer: compare "
        "model.engine, model.policy.dtype and trainer.precision, or weigh tokens with model.correction",
    ),
    "no_format": Rule(
        ("format",),
        lambda now, first, limit: now["format"] < limit,
        "{now[format]:.0%} of the responses keep the format. The model does not know it: describe it in "
        "the prompt (system_prompt of model.response_format), reward parts of it "
        "(model.rewards.format.graded), or begin with a cold start (configs/warmstart.yaml)",
    ),
    "unverifiable": Rule(
        ("unverifiable",),
        lambda now, first, limit: now["unverifiable"] > limit,
        "{now[unverifiable]:.0%} of the answers cannot be checked and count as not right. Gold answers are "
        "of another kind than their rows say, or checks break off: read 'reason' in completions.jsonl",
    ),
    "timed_out": Rule(
        ("timed_out",),
        lambda now, first, limit: now["timed_out"] > limit,
        "{now[timed_out]:.0%} of the answers are not checked in time and count as not right. The machine "
        "is too busy or answers are huge: raise model.verifier.seconds or model.verifier.workers",
    ),
    "kl": Rule(
        ("kl",),
        lambda now, first, limit: now["kl"] > limit,
        "the KL term is {now[kl]:.2g} per token. The policy has left its reference far behind: lower the "
        "learning rate (lr of model.optimizer), or raise coefficient of model.kl",
    ),
    "gradient_exploding": Rule(
        ("gradient_norm",),
        lambda now, first, limit: 0 < limit * first["gradient_norm"] < now["gradient_norm"],
        "the median gradient norm rose from {first[gradient_norm]:.2g} to {now[gradient_norm]:.2g}. "
        "Updates are unstable: lower the learning rate (lr of model.optimizer), warm up (warmup_steps of "
        "model.learning_rate), or lower model.gradient_clip",
        compares=True,
    ),
    "no_gradient": Rule(
        ("wasted",),
        lambda now, first, limit: now["wasted"] > limit,
        "the gradient is 0, although {now[wasted]:.0%} of the groups have signal. Nothing is learned: what "
        "has signal is left out (model.truncated mask), or what trains is not reached "
        "(model.policy.lora.targets)",
    ),
    "reward_hacking": Rule(
        ("reward", "accuracy"),
        lambda now, first, limit: (
            now["reward"] > first["reward"] + limit and now["accuracy"] < first["accuracy"] - limit
        ),
        "the reward rose from {first[reward]:.2f} to {now[reward]:.2f} while accuracy fell from "
        "{first[accuracy]:.2f} to {now[accuracy]:.2f}. Another reward pays more than being right: compare "
        "the curves zoom_component/.., and lower its weight (model.rewards)",
        compares=True,
    ),
}
"""Rules on windows of steps, by name; ``unsolved`` and ``held_out_falling`` are functions of their own."""
FIGURES = tuple(dict.fromkeys(name for rule in RULES.values() for name in rule.needs))
"""The figures of a step that are looked at."""


def _means(steps: Sequence[Figures], names: Sequence[str]) -> dict[str, float]:
    """Return the means of figures that more than half of the steps have; of gradient norms the medians."""
    found = {name: [step[name] for step in steps if name in step] for name in names}
    return {
        name: median(values) if name == "gradient_norm" else fmean(values)
        for name, values in found.items()
        if 2 * len(values) > len(steps)
    }


def alarms(
    first: Sequence[Figures], last: Sequence[Figures], window: int, thresholds: Mapping[str, float | None]
) -> list[Alarm]:
    """Return the alarms of ``RULES`` at the end of a step, as often as they are asked for.

    Args:
        first: the first steps that were seen, at most a window.
        last: the newest steps, in order.
        window: steps that are judged together.
        thresholds: of each rule; None, or no entry, for a rule that is switched off.
    """
    judged = last[-window:]
    if len(judged) < window:
        return []
    apart = bool(first) and first[-1]["step"] < judged[0]["step"]
    raised = []
    for name, rule in RULES.items():
        limit = thresholds.get(name)
        if limit is None or (rule.compares and not apart):
            continue
        now, before = _means(judged, rule.needs), _means(first, rule.needs)
        if now.keys() < set(rule.needs) or (rule.compares and before.keys() < set(rule.needs)):
            continue
        if rule.raised(now, before, limit):
            text = rule.text.format(now=now, first=before)
            raised.append(Alarm(name, int(judged[0]["step"]), int(judged[-1]["step"]), text))
    return raised


def unsolved(
    last: Sequence[Figures], steps: int, examples: Sequence[tuple[str, str, str]], most: int = 3
) -> Alarm | None:
    """Return an alarm where no answer was right in any of so many steps, or none to rows of a kind.

    Args:
        last: the newest steps, in order; a kind's accuracy is called ``accuracy/<kind>``.
        steps: how many are judged; of a kind, those that have rows of it, if these are more than half.
        examples: (kind, gold answer, what was answered most often) of the newest step, as they are shown.
        most: examples that are told.
    """
    judged = last[-steps:]
    if len(judged) < steps:
        return None
    for name in sorted(name for name in judged[-1] if name.partition("/")[0] == "accuracy"):
        values, kind = [step[name] for step in judged if name in step], name.partition("/")[2]
        if any(values) or 2 * len(values) <= steps:
            continue
        told = [(gold, answer) for of, gold, answer in examples if kind in ("", of)][:most]
        beside = ", ".join(f"gold {gold} answered {answer}" for gold, answer in told)
        return Alarm(
            "unsolved",
            int(judged[0]["step"]),
            int(judged[-1]["step"]),
            f"no answer{f' to rows of the kind {kind!r}' if kind else ''} was right ({beside}). Where these "
            "mean the same, the kind of the rows is wrong, or their gold answers are written as no answer "
            "can be: try observer score; else rows are too hard, or responses have no answer "
            "(model.response_format, model.max_tokens)",
        )
    return None


def held_out_falling(validations: Sequence[Validation], least: float) -> Alarm | None:
    """Return an alarm where held-out accuracy fell twice in a row below its best while the reward rose.

    Args:
        validations: of the run, in order.
        least: fall that counts; a fall within two standard errors of the difference never does.
    """
    if len(validations) < 3:
        return None
    best = max(validations, key=lambda validation: validation.accuracy)
    error = math.sqrt(2 * best.accuracy * (1 - best.accuracy) / max(best.problems, 1))
    newest = validations[-2:]
    fell = all(
        validation.step > best.step
        and validation.accuracy < best.accuracy - max(least, 2 * error)
        and validation.reward > best.reward
        for validation in newest
    )
    if not fell:
        return None
    return Alarm(
        "held_out_falling",
        best.step,
        newest[-1].step,
        f"held-out accuracy (val/accuracy) fell from {best.accuracy:.3f} to {newest[-1].accuracy:.3f} while "
        f"the reward of training rose from {best.reward:.2f} to {newest[-1].reward:.2f}. The policy "
        "overfits its rows or a reward: keep checkpoints/best.ckpt, stop there (EarlyStopping on "
        "val/accuracy), or train on more rows",
    )
