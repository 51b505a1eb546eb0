"""Groups without signal are replaced by others from the same schedule, and resumed runs do the same."""

import json
from itertools import product

import pytest
import torch

import runs
from observer.curriculum import (
    AdaptiveTarget,
    Gaussian,
    Mixture,
    NeuraLadder,
    Random,
    SelfPaced,
    Sorted,
    SourceUCB,
    Stage,
    Stages,
    VarianceDriven,
)
from observer.curriculum.schedules.mixture import Part
from observer.objective import Linear
from observer.rewards import Accuracy
from observer.rollout import ScriptedEngine
from observer.types import RefusedError
from test_resume import EveryStep

SCHEDULES = {
    "random": Random(),
    "sorted": Sorted(),
    "reverse": Sorted(descending=True),
    "ladder": NeuraLadder(),
    "stages": Stages([Stage(steps=2, levels={1: 1.0, 2: 1.0}), Stage(steps=None, levels={1: 1.0, 8: 1.0})]),
    "gaussian": Gaussian(),
    "adaptive": AdaptiveTarget(start=0.3, by="difficulty"),
    "sources": SourceUCB(),
    "variance": VarianceDriven(),
    "self-paced": SelfPaced(),
    "mixture": Mixture({"ladder": Part(NeuraLadder(), 0.8), "random": Part(Random(), 0.2)}),
}


class ByRow(ScriptedEngine):
    """Rows that three divides are all wrong; of the others the first one to three in four are right."""

    def __init__(self, texts):
        super().__init__(texts)
        self.asked = []

    def generate(self, prompts, sampling):
        return [group for prompt in prompts for group in self._one(prompt, sampling)]

    def _one(self, prompt, sampling):
        row = prompt.problem.row
        right = 0 if row % 3 == 0 else 1 + (row + sampling.step) % 3
        self.texts = [runs.RIGHT if place < right else runs.WRONG for place in range(4)]
        self.asked.append(sampling.places)
        return super().generate([prompt], sampling)


def fit(folder, schedule=None, steps=3, ckpt_path=None, callbacks=(), **options):
    folder.mkdir(exist_ok=True)
    learner = runs.learner(engine=ByRow(["-"]), learning_rate=Linear(), **options)
    trainer = runs.trainer(folder, steps * options.get("updates_per_rollout", 1), schedule, callbacks)
    trainer.fit(learner, datamodule=runs.data_module(val=None, test=None), ckpt_path=ckpt_path)
    lines = [json.loads(line) for line in (folder / "completions.jsonl").read_text().splitlines()]
    return learner, trainer, lines


def drawn(lines, step):
    return [
        int(line["id"].rpartition("-")[2]) for line in lines if line["step"] == step and not line["index"]
    ]


def test_groups_without_signal_are_replaced_and_what_they_showed_is_observed(tmp_path):
    _, plain, before = fit(tmp_path / "plain", steps=1)
    _, trainer, after = fit(tmp_path / "again", steps=1, resample=8)
    rows, others = drawn(before, 0), drawn(after, 0)
    silent = [place for place, row in enumerate(rows) if row % 3 == 0]
    assert silent
    assert [row for row in others if row % 3 == 0] == []
    assert [row for place, row in enumerate(others) if place not in silent] == [
        row for place, row in enumerate(rows) if place not in silent
    ]
    assert len(set(others)) == len(others)
    seen, visits, rates = trainer.datamodule.index.seen
    assert set(seen.tolist()) >= set(rows) | set(others)
    assert visits.max() == 1
    assert all(bool(rate) == bool(row % 3) for row, rate in zip(seen.tolist(), rates.tolist(), strict=True))
    figures = trainer.callback_metrics
    assert float(figures["train/zero_signal"]) == 0
    assert float(figures["zoom_rollout/resampled"]) == pytest.approx(len(seen) / 4 - 1)
    assert float(plain.callback_metrics["train/zero_signal"]) == len(silent) / 4


def test_the_bound_is_kept_and_what_is_left_stays(tmp_path, monkeypatch):
    asked = []
    generate = ByRow.generate

    def all_wrong(self, prompts, sampling):
        asked.append(len(prompts))
        self.texts = [runs.WRONG]
        return ScriptedEngine.generate(self, prompts, sampling)

    monkeypatch.setattr(ByRow, "generate", all_wrong)
    _, trainer, lines = fit(tmp_path, steps=1, resample=2)
    assert asked == [4, 4, 4]
    assert len({line["id"] for line in lines}) == 4
    assert float(trainer.callback_metrics["train/zero_signal"]) == 1
    assert len(trainer.datamodule.index.seen[0]) == 12
    monkeypatch.setattr(ByRow, "generate", generate)


def test_screened_groups_have_signal_before_the_rest_of_them_is_drawn(tmp_path):
    learner, trainer, lines = fit(tmp_path, steps=1, resample=40, screen=3)
    asked = learner.answerer.engine.asked
    assert {row % 3 for row in drawn(lines, 0)} == {1}, "of 2 the first three are right, of 0 none is"
    assert asked[-4:] == [range(3, 4)] * 4, "what is missing of each group, once"
    assert set(asked[:-4]) == {range(3)}
    seen, visits, rates = trainer.datamodule.index.seen
    assert len(asked) - 4 == len(seen), "each row that was screened is observed"
    assert visits.max() == 1
    of_row = {0: 0, 1: 2 / 3, 2: 3 / 3}  # of the three, whatever the fourth is
    assert rates.tolist() == [pytest.approx(of_row[row % 3]) for row in seen.tolist()]
    assert [line["index"] for line in lines] == [0, 1, 2, 3] * 4
    assert float(trainer.callback_metrics["train/zero_signal"]) == 0


class EachOutcome(ScriptedEngine):
    """The n-th row asked for shows the binary digits of n, 1 for right: of 16 rows each outcome once."""

    def __init__(self, texts):
        super().__init__(texts)
        self.outcomes = {}

    def generate(self, prompts, sampling):
        groups = []
        for prompt in prompts:
            outcome = self.outcomes.setdefault(prompt.problem.row, len(self.outcomes))
            self.texts = [runs.RIGHT if outcome >> place & 1 else runs.WRONG for place in range(4)]
            groups += super().generate([prompt], sampling)
        return groups


@pytest.mark.parametrize("screen", [0, 2, 3])
def test_what_a_schedule_is_shown_of_a_row_is_on_average_its_pass_rate(tmp_path, screen):
    """By enumeration: an outcome with k of 4 right has the probability p^k (1 - p)^(4 - k).

    The groups that are kept are another matter: at p = .9, screened by two, they have (1 + 2 x .9) / 4 = .7.
    """
    engine = EachOutcome(["-"])
    options = {"resample": 1, "screen": screen, "rewards": {"accuracy": Accuracy()}}
    trainer = runs.trainer(tmp_path, 1)
    data = runs.data_module(val=None, test=None, prompts_per_step=16)
    trainer.fit(runs.learner(engine=engine, **options), datamodule=data)
    rows, _, rates = data.index.seen
    shown = dict(zip(rows.tolist(), rates.tolist(), strict=True))
    first = {outcome: shown[row] for row, outcome in engine.outcomes.items() if outcome < 16}
    assert len(shown) > len(first) == 16, "some were replaced"
    for p in (0.9, 0.5, 0.2):
        right = {outcome: outcome.bit_count() for outcome in first}
        mean = sum(p**k * (1 - p) ** (4 - k) * first[outcome] for outcome, k in right.items())
        assert mean == pytest.approx(p)


@pytest.mark.parametrize("name", ["random", "adaptive", "ladder", "self-paced"])
def test_what_is_drawn_again_is_new_until_there_is_nothing_left(name):
    data = runs.data_module(val=None, test=None)
    rows = data.rows["train"] = data.formats["train"].read()
    data.index = rows.index()
    data.schedule, data.horizon = SCHEDULES[name], 4
    drawn = data.draw(0)
    others = data.draw_again(0)
    for _ in range(4):
        fresh = next(others)
        assert fresh, "also where chance has no say"
        assert not set(fresh) & set(drawn)
        drawn += fresh
    for _ in range(60):
        fresh = next(others)
        assert not set(fresh) & set(drawn)
        drawn += fresh
    assert fresh == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resample": -1}, "model.resample is -1; it must be >= 0"),
        ({"screen": 2}, "model.screen is 2 and model.resample is 0"),
        (
            {"screen": 1, "resample": 1},
            "screen is 1; it must be 0, or at least 2 and below group_size 4",
        ),
        (
            {"screen": 4, "resample": 1},
            "screen is 4; it must be 0, or at least 2 and below group_size 4",
        ),
    ],
)
def test_bounds_that_make_no_sense_are_refused(options, message):
    with pytest.raises(RefusedError, match=message):
        runs.learner(**options)


def covering():
    """Each schedule once, each number of updates with each way of sampling several times."""
    cells = [(1, 4), (4, 0), (1, 0), (4, 4)]
    return [(name, *cells[place % 4]) for place, name in enumerate(SCHEDULES)]


def full():
    return [cell for cell in product(SCHEDULES, (1, 4), (0, 4)) if cell not in covering()]


def both_ways(tmp_path, name, updates, resample, at, screen=0):
    """What a run ends with, unbroken and resumed at a step; of its lines, those from this step on."""
    options = {"updates_per_rollout": updates, "resample": resample, "screen": screen}
    watch, saved = [EveryStep(tmp_path)], tmp_path / f"step-{at}.ckpt"
    whole = fit(tmp_path / "whole", SCHEDULES[name], callbacks=watch, **options)
    rest = fit(tmp_path / "rest", SCHEDULES[name], ckpt_path=saved, **options)
    return [outcome(*run, at) for run in (whole, rest)]


def outcome(learner, trainer, lines, at):
    """All that has to be equal, bit for bit: weights and optimizer state as bytes."""
    optimizer = learner.optimizers()
    return {
        "lines": [line for line in lines if line["step"] >= at],
        "weights": {name: value.numpy().tobytes() for name, value in learner.policy.state_dict().items()},
        "optimizer": [
            {key: torch.as_tensor(value).numpy().tobytes() for key, value in state.items()}
            for state in optimizer.state.values()
        ],
        "rates": [group["lr"] for group in optimizer.param_groups],
        "ladder": repr(trainer.datamodule.state_dict()),
    }


@pytest.mark.whole
@pytest.mark.parametrize(("name", "updates", "resample"), covering())
def test_a_resumed_run_is_the_unbroken_one(tmp_path, name, updates, resample):
    whole, resumed = both_ways(tmp_path, name, updates, resample, at=2)
    assert whole["lines"]
    assert whole["optimizer"]
    assert resumed == whole


@pytest.mark.whole
@pytest.mark.parametrize(("name", "updates"), [("adaptive", 4), ("ladder", 1)])
def test_a_resumed_run_that_screens_is_the_unbroken_one(tmp_path, name, updates):
    whole, resumed = both_ways(tmp_path, name, updates, resample=2, at=2, screen=3)
    assert whole["optimizer"]
    assert resumed == whole


@pytest.mark.slow
@pytest.mark.parametrize(("name", "updates", "resample"), full())
@pytest.mark.parametrize("at", [1, 2])
def test_a_resumed_run_is_the_unbroken_one_in_all_other_settings(tmp_path, name, updates, resample, at):
    whole, resumed = both_ways(tmp_path, name, updates, resample, at)
    assert whole["lines"]
    assert whole["optimizer"]
    assert resumed == whole
