"""The table of what each reward did in a step."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import runs
from observer.callbacks import Components
from observer.metrics.components import component_table
from observer.rewards import Accuracy, Format, Reward
from observer.rollout import ScriptedEngine

NAMES = ["a", "b", "reward"]
VALUE = st.sampled_from([0.0, 0.1, 0.5, 1.0, -2.0, math.nan])


@given(st.lists(st.lists(st.tuples(VALUE, VALUE, VALUE), min_size=4, max_size=4), min_size=1, max_size=5))
@settings(max_examples=100, deadline=None)
def test_the_table_agrees_with_numpy(rows):
    values = np.array(rows, dtype=np.float64)
    levels = np.arange(len(rows)) % 2
    table = component_table(NAMES, torch.from_numpy(values), torch.from_numpy(levels))
    for place, name in enumerate(NAMES):
        own = values[..., place]
        there = own[~np.isnan(own)]
        found = table["components"][name]
        assert found["applies"] == pytest.approx(len(there) / own.size)
        assert found["mean"] == (pytest.approx(there.mean()) if len(there) else None)
        assert found["spread"] == (pytest.approx(there.std(ddof=1), abs=1e-12) if len(there) > 1 else None)
        groups = [group[~np.isnan(group)] for group in own]
        silent = [np.ptp(group) == 0 for group in groups if len(group) > 1]
        assert found["zero_variance"] == (pytest.approx(np.mean(silent)) if silent else None)
        expected = {
            level: np.nanmean(own[levels == level])
            for level in (0, 1)
            if (~np.isnan(own[levels == level])).any()
        }
        assert found["levels"] == pytest.approx(expected)
    both = ~np.isnan(values[..., 0] + values[..., 1])
    one, other = values[..., 0][both], values[..., 1][both]
    expected = None
    if both.sum() > 1 and np.ptp(one) and np.ptp(other):
        expected = pytest.approx(np.corrcoef(one, other)[0, 1], abs=1e-9)
    assert table["correlation"]["a ~ b"] == expected


class OddLevels(Reward):
    """Applies to odd levels only."""

    weight = 0.0

    def __call__(self, group, scores, step):
        return [1.0 if group.problem.level % 2 else None] * len(scores)


def run(folder, steps):
    rewards = {"accuracy": Accuracy(), "format": Format(), "odd": OddLevels()}
    learner = runs.learner(rewards=rewards, engine=ScriptedEngine(runs.MIXED))
    board = TensorBoardLogger(folder, name="", version="")
    trainer = runs.trainer(folder, steps, callbacks=[Components()], logger=board, log_every_n_steps=1)
    trainer.fit(learner, datamodule=runs.data_module(val=None, test=None))
    return trainer


def test_a_run_writes_a_line_a_step_and_the_curves(tmp_path):
    trainer = run(tmp_path, 3)
    lines = [json.loads(line) for line in (tmp_path / "components.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2]
    components = lines[-1]["components"]
    assert list(components) == ["accuracy", "format", "odd", "reward"]
    figures = trainer.callback_metrics
    assert components["accuracy"]["mean"] == pytest.approx(float(figures["train/accuracy"]))
    assert components["reward"]["mean"] == pytest.approx(float(figures["train/reward"]))
    assert 0 < components["odd"]["applies"] < 1
    assert all(int(level) % 2 for level in components["odd"]["levels"])
    assert lines[-1]["correlation"]["odd ~ reward"] is None
    curves = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0})
    curves.Reload()
    spreads = curves.Scalars("zoom_component/accuracy/spread")
    assert [event.value for event in spreads] == pytest.approx(
        [line["components"]["accuracy"]["spread"] for line in lines]
    )
    assert (
        [event.step for event in spreads]
        == [event.step for event in curves.Scalars("train/accuracy")]
        == [0, 1, 2]
    )
    assert "zoom_component/odd/spread" in curves.Tags()["scalars"]
    assert "zoom_correlation/odd/reward" not in curves.Tags()["scalars"]
