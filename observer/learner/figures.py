"""The figures that are logged per step, over all ranks, and which of them a callback can watch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from observer.answering import Answerer
from observer.learner.ranks import OverRanks
from observer.metrics import HeldOutMetrics, component_means, rollout_figures
from observer.metrics.chains import chain_figures, chain_values
from observer.objective import Uniform, Weighting
from observer.run.names import curve_name
from observer.types import Experience, RefusedError

WATCHED = ("train/reward", "train/accuracy", "train/format", "train/length", "zoom_seconds/step")
"""The figures that the progress bar shows."""
MAIN = (
    *("reward", "accuracy", "format", "length", "truncated", "unverifiable", "zero_signal"),
    *("loss", "kl", "entropy", "sampler_gap"),
)
"""Figures of a step by which a run is watched, in the group ``train/``; one page of TensorBoard holds 12."""
OWN = ("observer.", "lightning.")
"""Where classes come from whose figures are known: any other may log figures of its own."""


def shown_pass_rates(experiences: Sequence[Experience], over_ranks: OverRanks) -> dict[int, float]:
    """Return the pass rate of each row that a step has drawn, on all ranks, when it was drawn first.

    So no rate depends on what it was: a group that is completed because its first completions differ would
    show more wrong answers of an easy row, and more right ones of a hard row, than the policy gives.

    Args:
        experiences: rollouts of this rank, in the order of their drawing.
        over_ranks: collective.
    """
    shown: dict[int, float] = {}
    for experience in experiences:
        rows_P = over_ranks.join(torch.tensor([group.problem.row for group in experience.groups]))
        rates_P = over_ranks.join(experience.pass_rates_P)
        for row, rate in zip(rows_P.tolist(), rates_P.tolist(), strict=True):
            shown.setdefault(row, rate)
    return shown


def step_figures(
    experience: Experience,
    update: dict[str, float],
    seconds: dict[str, float],
    over_ranks: OverRanks,
    constant: Sequence[str] = (),
) -> dict[str, float]:
    """Return the figures that every step has, by the names of their curves.

    Args:
        experience: the rollout that was learned from, of this rank.
        update: figures of the update over all ranks.
        seconds: by stage, of this rank.
        over_ranks: collective.
        constant: curves that are left out.
    """
    tokens = over_ranks.sum(sum(group.tokens for group in experience.groups))
    own = {_curve(name, "zoom_rollout"): value for name, value in rollout_figures(experience).items()}
    own |= {f"zoom_seconds/{name}": value for name, value in seconds.items()}
    figures = {_curve(name, "zoom_update"): value for name, value in update.items()}
    figures |= over_ranks.reduce(own, "mean")
    figures["train/tokens_per_second"] = tokens / figures["zoom_seconds/step"]
    return {name: value for name, value in figures.items() if name not in constant}


def _curve(figure: str, group: str) -> str:
    if "/" in figure:  # it has a group of its own
        return f"zoom_{figure}"
    return f"{'train' if figure in MAIN else group}/{figure}"


def constant_curves(weighting: Weighting, updates_per_rollout: int) -> list[str]:
    """Return the curves that could show nothing: the weight if all are 1, what is clipped if each ratio is 1.

    >>> constant_curves(Uniform(), 1)
    ['zoom_rollout/weight', 'zoom_update/clip_share']
    """
    uniform, once = isinstance(weighting, Uniform), updates_per_rollout == 1
    return ["zoom_rollout/weight"] * uniform + ["zoom_update/clip_share"] * once


def sparse_figures(experience: Experience, over_ranks: OverRanks, answerer: Answerer) -> dict[str, float]:
    """Return the figures that some steps lack: of components that do not always apply, by level, of chains.

    Args:
        experience: the rollout that was learned from, of this rank.
        over_ranks: collective.
        answerer: of the run; its verifier compares the last results of reasonings with answers.
    """
    means = component_means(experience, over_ranks.join)
    figures = {f"zoom_component/{curve_name(name)}/mean": value for name, value in means.items()}
    levels_P = over_ranks.join(torch.tensor([group.problem.level for group in experience.groups]))
    pass_rates_P = over_ranks.join(experience.pass_rates_P)
    for level in sorted(set(levels_P.tolist())):
        figures[f"zoom_level/{level}"] = float(pass_rates_P[levels_P == level].mean())
    verifier = answerer.rubric.verifier
    found = chain_figures(over_ranks.join(chain_values(experience.groups, experience.scores, verifier)))
    return figures | {f"zoom_chains/{name}": value for name, value in found.items()}


def monitored_figures(module: Any) -> list[str]:
    """Return the names of the main figures that a run can go by.

    Args:
        module: the learner, with its trainer and its data.
    """
    objective = getattr(module, "objective", None)
    train = [*MAIN, "tokens_per_second"] if objective is not None else ["loss"]
    if objective is not None and "kl" not in objective.figures:
        train.remove("kl")
    names = [f"train/{name}" for name in train]
    if module.data.formats["val"] is not None and module.trainer.limit_val_batches:
        held_out = HeldOutMetrics()
        held_out.update([], [])
        names += [f"val/{prefix}{name}" for prefix in ("", "sampled_") for name in held_out.compute()]
    return names


def watch_when_measured(module: Any) -> None:
    """Let EarlyStopping look at held-out figures after each validation, not at the end of an epoch.

    A run may end inside an epoch, by ``max_steps`` or ``max_time``, before the first of its validations; at
    the epoch's end Lightning would then raise that there is no such figure.

    Args:
        module: the learner, with its trainer.
    """
    for callback in module.trainer.callbacks:
        if isinstance(callback, EarlyStopping) and callback.monitor.startswith("val"):
            callback._check_on_train_epoch_end = False


def refuse_unknown_monitors(module: Any) -> None:
    """Refuse to watch what is never logged, before anything is computed.

    Args:
        module: the learner, with its trainer and its data.

    Raises:
        RefusedError: names the callback, the figure and those that there are.
    """
    callbacks: list[Any] = module.trainer.callbacks
    known, own = monitored_figures(module), [module, *callbacks]
    if not all(type(each).__module__.startswith(OWN) for each in own):
        return
    for callback in callbacks:
        if isinstance(callback, EarlyStopping) and not callback.strict:
            continue
        monitor = getattr(callback, "monitor", None)
        if not isinstance(callback, EarlyStopping | ModelCheckpoint) or monitor is None:
            continue
        validates = any(name.startswith("val/") for name in known)
        counted = ("epoch", "step") if isinstance(callback, ModelCheckpoint) else ()
        groups = ("zoom_", "val_level/") if validates else ("zoom_",)  # by rewards, schedule, rows
        if monitor in (*known, *counted) or monitor.startswith(groups):
            continue
        lacks = "" if validates else "; without data.val there is no val/.."
        raise RefusedError(
            f"{type(callback).__name__}.monitor is {monitor!r}, which this run does not log; it logs "
            f"{', '.join(known)}{lacks}"
        )
