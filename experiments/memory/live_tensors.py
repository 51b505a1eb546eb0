"""Counts the bytes of live tensors while a fit runs on a CPU, by what the learner is doing.

``WatchedLearner`` is a learner that counts in its second rollout, when the optimizer has its state: the bytes
of all tensors at its start, and from there what torch's allocator gives and takes back, by torch's profiler.
"""

import gc
import json
import os

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from observer.learner import ObserveLearner

PHASES = ("drawing", "backward pass", "optimizer step")


def living():
    """Return the bytes of all tensors that there are; one on a file's pages has none."""
    gc.collect()
    sizes = {}
    for thing in gc.get_objects():
        if isinstance(thing, torch.Tensor) and thing.device.type == "cpu":
            storage = thing.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
    return sum(sizes.values())


def peaks(events, start):
    """Return the most bytes within each phase.

    Args:
        events: of the profiler.
        start: bytes at its start.
    """
    spans = {phase: [] for phase in PHASES}
    changes = []
    for event in events:
        if event.name() in spans:
            spans[event.name()].append((event.start_ns(), event.start_ns() + event.duration_ns()))
        elif event.name() == "[memory]":
            changes.append((event.start_ns(), event.nbytes()))
    most, now = dict.fromkeys(PHASES, 0), start
    for when, change in sorted(changes, key=lambda each: each[0]):
        now += change
        for phase, found in spans.items():
            if any(first <= when <= last for first, last in found):
                most[phase] = max(most[phase], now)
    return most


class WatchedLearner(ObserveLearner):
    """Writes the most bytes of live tensors of each phase to the file that LIVE_TENSORS names."""

    def training_step(self, problems, batch_idx):
        """Count in the second step."""
        if self.data.step != 1:
            return super().training_step(problems, batch_idx)
        start = living()
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
            done = super().training_step(problems, batch_idx)
        with open(os.environ["LIVE_TENSORS"], "w") as file:
            json.dump(peaks(profiled.profiler.kineto_results.events(), start), file)
        return done

    def generate(self, problems, step):
        """Draw."""
        with record_function(PHASES[0]):
            return super().generate(problems, step)

    def accumulate_gradient(self, micro_batches, part):
        """Go forward and back."""
        with record_function(PHASES[1]):
            return super().accumulate_gradient(micro_batches, part)

    def apply_gradients(self):
        """Step."""
        with record_function(PHASES[2]):
            return super().apply_gradients()
