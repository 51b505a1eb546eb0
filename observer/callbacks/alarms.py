"""Says in one line, once per run, that a run goes wrong: while there is time to stop it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import astuple
from statistics import fmean
from typing import Any

import lightning
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.trainer.states import TrainerFn

from observer.callbacks.step_log import StepLog
from observer.metrics.alarms import FIGURES, RULES, Alarm, Validation, alarms, held_out_falling, unsolved
from observer.metrics.mismatch import PREFIX
from observer.metrics.mismatch_alarm import FIGURE, mismatched
from observer.refusal import refuse_outside, shown
from observer.run.loggers import show_word
from observer.types import Experience

FILE = "alarms.jsonl"
OF_UPDATE = ("entropy", "sampler_gap", "kl", "gradient_norm")
"""Figures that a step without an update lacks; Lightning would repeat those of the step before."""
GROUPS = ("train", "zoom_rollout", "zoom_update")
"""Groups of curves that the figures are in."""
NAMES = (*RULES, *FIGURE, "unsolved", "held_out_falling")
SHARES = ("silent_groups", "identical", "truncated", "no_format", "unverifiable", "timed_out", "no_gradient")
"""Thresholds that cannot be above 1."""
FROM_ONE = ("unsolved", "prob_error")
"""Thresholds that cannot be below 1."""


class Alarms(StepLog):
    """Warns when a run goes wrong, in one line: on the terminal, in ``alarms.jsonl``, in loggers' texts.

    Each alarm is raised once per run, also where it is resumed. What is judged are means over a window of
    steps, never one step; an alarm that compares does so with the first window. Figures are those of all
    ranks, whatever ``log_every_n_steps``; ``identical``, accuracy by kind and gold answers are those of the
    first rank. Removing it changes nothing of the training. See docs/alarms.md.
    """

    def __init__(
        self,
        window: int = 10,
        silent_groups: float | None = 0.9,
        identical: float | None = 0.9,
        truncated: float | None = 0.5,
        truncation_rising: float | None = 0.2,
        length_collapse: float | None = 0.5,
        entropy_collapse: float | None = 0.2,
        sampler_gap: float | None = 0.1,
        prob_error: float | None = 1.05,
        token_gap: float | None = 0.3,
        unsolved: int | None = 20,
        no_format: float | None = 0.05,
        unverifiable: float | None = 0.2,
        timed_out: float | None = 0.05,
        kl: float | None = 0.5,
        gradient_exploding: float | None = 10.0,
        no_gradient: float | None = 0.1,
        reward_hacking: float | None = 0.1,
        held_out_falling: float | None = 0.03,
    ) -> None:
        """Choose what is too much. null switches an alarm off.

        Args:
            window: steps that are judged together.
            silent_groups: share of groups without signal, above which it warns.
            identical: share of groups whose completions are all the same.
            truncated: share of completions that are cut at the limit.
            truncation_rising: by how much that share may rise above the first window's.
            length_collapse: share of the first window's length, below which it warns unless accuracy rose.
            entropy_collapse: the same of entropy, unless accuracy is above .9.
            sampler_gap: mean difference between the log-probs of drawing and of training, nats per token.
            prob_error: mean over tokens of exp|difference of these log-probs|, from 1 on: of engines with
                weights of their own, with the likely cause.
            token_gap: the same of the largest difference at one token, nats.
            unsolved: steps in a row without any right answer, or any to rows of one kind.
            no_format: share of responses in the format, below which it warns.
            unverifiable: share of answers that cannot be checked.
            timed_out: share of answers that are not checked in time.
            kl: KL term, nats per token.
            gradient_exploding: median gradient norm, as a multiple of the first window's.
            no_gradient: share of groups that have signal in steps whose gradient is 0.
            reward_hacking: by how much the reward rises and accuracy falls, both since the first window.
            held_out_falling: fall of held-out accuracy below its best, twice, while the reward rises.

        Raises:
            RefusedError: a number is out of its range.
        """
        given = {name: value for name, value in locals().items() if name in NAMES}
        refuse_outside("alarms.window", window, 2)
        for name, value in given.items():
            most = 1.0 if name in SHARES else math.inf
            refuse_outside(f"alarms.{name}", value, int(name in FROM_ONE), most, hint=", or null")
        self.window = window
        self.thresholds: dict[str, float | None] = given
        super().__init__(FILE)
        self._restart()

    def _restart(self) -> None:
        self._raised: list[str] = []
        self._seen = 0
        self._first: list[dict[str, float]] = []
        self._last: list[dict[str, float]] = []
        self._validations: list[Validation] = []

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Open the log; a run that starts anew forgets what the one before has seen."""
        super().on_train_start(trainer, pl_module)
        if not pl_module.data.step:
            self._restart()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Judge the window that ends with this step."""
        if not trainer.is_global_zero:
            return
        outputs = outputs if isinstance(outputs, Mapping) else {}
        experience: Experience | None = outputs.get("experience")
        figures = _figures(trainer, outputs.get("update")) | {"step": pl_module.data.step - 1}
        if experience is not None:
            figures |= {"identical": _identical(experience), **_by_kind(experience)}
        if figures.keys() >= {"gradient_norm", "zero_signal"}:
            figures["wasted"] = 0.0 if figures["gradient_norm"] else 1 - figures["zero_signal"]
        self._note(figures)
        raised = alarms(self._first, self._last, self.window, self.thresholds)
        coarse = any("16" in word for word in _precisions(trainer, pl_module))
        raised += filter(None, [mismatched(self._first, self._last, self.window, self.thresholds, coarse)])
        if (steps := self.thresholds["unsolved"]) is not None and experience is not None:
            raised += filter(None, [unsolved(self._last, int(steps), _examples(experience))])
        for alarm in raised:
            self._raise(trainer, alarm)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Judge held-out accuracy beside the reward of training."""
        if trainer.state.fn is not TrainerFn.FITTING or not trainer.is_global_zero:
            return
        least, figures = self.thresholds["held_out_falling"], trainer.callback_metrics
        rewards = [step["reward"] for step in self._last[-self.window :] if "reward" in step]
        if least is None or not rewards or "val/accuracy" not in figures:
            return
        accuracy, problems = float(figures["val/accuracy"]), len(pl_module.data.rows["val"])
        self._validations.append(Validation(pl_module.data.step - 1, accuracy, problems, fmean(rewards)))
        if (alarm := held_out_falling(self._validations, least)) is not None:
            self._raise(trainer, alarm)

    def _note(self, figures: dict[str, float]) -> None:
        if self._seen == len(self._first) < self.window:
            self._first.append(figures)
        self._seen += 1
        kept = max(self.window, int(self.thresholds["unsolved"] or 0))
        self._last = [*self._last, figures][-kept:]

    def _raise(self, trainer: lightning.Trainer, alarm: Alarm) -> None:
        if alarm.name in self._raised:
            return
        self._raised.append(alarm.name)
        self.write([{"step": alarm.step, "alarm": alarm.name, "since": alarm.since, "text": alarm.text}])
        bar = trainer.progress_bar_callback
        # Rich moves its bar below what is printed; tqdm must be asked to.
        if isinstance(bar, TQDMProgressBar) and bar.is_enabled:
            bar.print(str(alarm))
        else:
            print(alarm, flush=True)
        show_word(trainer.loggers, f"alarms/{alarm.name}", alarm.text, alarm.step)

    def state_dict(self) -> dict[str, Any]:
        """Return what was raised, and the figures that a resumed run compares with: builtins only."""
        return {
            "raised": list(self._raised),
            "seen": self._seen,
            "first": [dict(step) for step in self._first],
            "last": [dict(step) for step in self._last],
            "validations": [list(astuple(validation)) for validation in self._validations],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the state of a checkpoint."""
        raised, seen = state_dict["raised"], state_dict["seen"]
        if not all(isinstance(name, str) for name in raised):
            raise ValueError(f"raised is {shown(raised)}")
        if type(seen) is not int or seen < 0:
            raise ValueError(f"seen is {shown(seen)}")
        for step in (*state_dict["first"], *state_dict["last"]):
            for name, value in step.items():
                refuse_outside(f"the figure {shown(name)}", value)
            refuse_outside("the figures' step", step["step"], 0)
        validations = [Validation(*held) for held in state_dict["validations"]]
        for validation in validations:
            refuse_outside("a validation's step", validation.step, -1)
            refuse_outside("a validation's accuracy", validation.accuracy, 0, 1)
            refuse_outside("a validation's problems", validation.problems, 0)
            refuse_outside("a validation's reward", validation.reward)
        self._raised, self._seen = list(raised), seen
        self._first = [dict(step) for step in state_dict["first"]]
        self._last = [dict(step) for step in state_dict["last"]]
        self._validations = validations


def _figures(trainer: lightning.Trainer, update: dict[str, float] | None) -> dict[str, float]:
    """Return the finite figures of the step that has just ended, by their names in ``RULES``."""
    logged = trainer.callback_metrics
    names = [name for name in FIGURES if update is None or name not in OF_UPDATE]
    curves = {name: f"{group}/{name}" for name in names for group in GROUPS if f"{group}/{name}" in logged}
    found = {name: float(logged[curve]) for name, curve in curves.items()}
    found |= {name: update[name] for name in OF_UPDATE if update is not None and name in update}
    found |= {name: value for name, value in (update or {}).items() if name.startswith(PREFIX)}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _precisions(trainer: lightning.Trainer, module: Any) -> list[str]:
    """Return in what trainer, policy and engine compute, as far as they say so."""
    engine = getattr(module, "answerer", None) and module.answerer.engine
    spec = getattr(module, "spec", None)
    return [str(trainer.precision), str(getattr(spec, "dtype", "")), str(getattr(engine, "dtype", ""))]


def _identical(experience: Experience) -> float:
    """Return the share of groups whose completions are all the same."""
    alike = [len({completion.ids for completion in group.completions}) == 1 for group in experience.groups]
    return sum(alike) / len(alike)


def _by_kind(experience: Experience) -> dict[str, float]:
    """Return the share of right answers by the kind of the rows."""
    right: dict[str, list[bool]] = {}
    for group, row in zip(experience.groups, experience.scores, strict=True):
        right.setdefault(f"accuracy/{group.problem.kind}", []).extend(score.correct for score in row)
    return {name: sum(values) / len(values) for name, values in right.items()}


def _examples(experience: Experience) -> list[tuple[str, str, str]]:
    """Return each gold answer with its kind and what was answered most often, as they are shown."""
    examples: dict[tuple[str, str], str] = {}
    for group, row in zip(experience.groups, experience.scores, strict=True):
        answers = Counter(score.extracted for score in row if score.extracted is not None)
        answer = shown(answers.most_common(1)[0][0]) if answers else "with nothing that can be read"
        gold = (group.problem.kind, shown(group.problem.answer))
        examples.setdefault(gold, answer)
    return [(*gold, answer) for gold, answer in examples.items()]
