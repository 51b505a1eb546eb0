"""What the check's runs have of their own: a learner that is measured, a reward that random weights vary."""

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lightning
import torch
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils.flop_counter import FlopCounterMode

from observer.learner import ObserveLearner
from observer.policy.attention import layout
from observer.rewards import Reward


@dataclass(frozen=True)
class EvenTokens(Reward):
    """The share of even token numbers: a model with random weights answers nothing right, and must learn.

    Args:
        weight: see ``Reward``.
    """

    weight: float = 1.0

    def __call__(self, group, scores, step):
        """Return the share of each completion."""
        return [sum(1 for token in each.ids if token % 2 == 0) / len(each.ids) for each in group.completions]


class Measured(ObserveLearner):
    """Notes seconds and operations of drawing and of updating by step.

    Operations are counted in the first step alone, since counting takes time; the steps are equally large.
    """

    counts = False
    """Whether operations are counted: those of an engine whose kernels torch sees."""

    def __init__(self, **options):
        super().__init__(**options)
        self.stages = []

    def training_step(self, problems, batch_idx):
        """Note the whole step too."""
        self.stages.append({"tokens": 0})
        drawn = self.answerer.drawn
        with self.measured("step", False):
            result = super().training_step(problems, batch_idx)
        self.stages[-1]["tokens"] = self.answerer.drawn - drawn
        return result

    def sync(self):
        """Hand the weights over."""
        with self.measured("sync", False):
            super().sync()

    def generate(self, problems, step):
        """Draw."""
        with self.measured("draw", step == 0):
            return super().generate(problems, step)

    def update(self, experience, step):
        """Learn."""
        with self.measured("update", step == 0):
            return super().update(experience, step)

    @contextmanager
    def measured(self, stage, first):
        """Note seconds, of all that is queued on the device too, and operations of the first step."""
        counter = FlopCounterMode(display=False) if first and self.counts else None
        synchronize()
        began = time.perf_counter()
        if counter is None:
            yield
        else:
            with causal_masks_uncounted(), counter:
                yield
            self.stages[-1][f"{stage}_operations"] = counter.get_total_flops()
        synchronize()
        self.stages[-1][f"{stage}_seconds"] = time.perf_counter() - began


class Counted(Measured):
    """With operations counted."""

    counts = True


class Figures(lightning.Callback):
    """Writes what a run took to a file: seconds by stage, memory at its highest.

    Args:
        file: where to.
    """

    def __init__(self, file: str) -> None:
        self.file = Path(file)
        self.peak = 0
        self.over = threading.Event()
        self.losses = []

    def setup(self, trainer, pl_module, stage):
        """Watch the device from before the weights are there."""
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
            threading.Thread(target=self.watch, daemon=True).start()

    def watch(self):
        """Note what the device has given out, to all processes and beside torch's own count too."""
        while not self.over.wait(0.02):
            free, total = torch.cuda.mem_get_info()
            self.peak = max(self.peak, total - free)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        """Keep what an update was."""
        self.losses.append({name: float(value) for name, value in outputs["update"].items()})

    def on_train_end(self, trainer, pl_module):
        """Write."""
        self.over.set()
        cuda = torch.cuda.is_available()
        parameters = list(pl_module.policy.parameters())
        found = {
            "device": str(pl_module.device),
            "parameters": sum(p.numel() for p in parameters),
            "trained": sum(p.numel() for p in parameters if p.requires_grad),
            "weights_gb": sum(p.numel() * p.element_size() for p in parameters) / 1e9,
            "max_memory_allocated_gb": torch.cuda.max_memory_allocated() / 1e9 if cuda else None,
            "max_memory_reserved_gb": torch.cuda.max_memory_reserved() / 1e9 if cuda else None,
            "device_peak_gb": self.peak / 1e9 if cuda else None,
            "stages": pl_module.stages,
            "updates": self.losses,
        }
        self.file.write_text(json.dumps(found))


@contextmanager
def causal_masks_uncounted():
    """Let torch's causal masks be made while operations are counted: torch refuses its own class there."""
    made = layout.causal_lower_right

    def outside(*sizes):
        with _disable_current_modes():
            return made(*sizes)

    layout.causal_lower_right = outside
    try:
        yield
    finally:
        layout.causal_lower_right = made


def synchronize():
    """Wait until the device has done what was asked of it."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
