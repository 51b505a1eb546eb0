"""``observer curriculum preview``: counts are those of the run's own draws, and it needs no model."""

import pytest
import torch
from PIL import Image

from observer.cli import main
from observer.curriculum import LadderIndex, Random, SelfPaced, Sorted
from observer.curriculum.preview import ASSUMPTIONS, simulate
from observer.data import LadderDataModule, Tiles
from observer.policy import loading, policy

CONFIG = ["--config", "configs/quickstart.yaml", "--data.train.rows", "512", "--trainer.max_steps", "10"]


def index_of_tiles():
    rows = Tiles(rows=512).read()
    return LadderIndex(rows.difficulty, rows.complexity, rows.level)


@pytest.mark.parametrize("schedule", [Random(), Sorted(), SelfPaced()], ids=lambda it: type(it).__name__)
def test_the_counts_are_those_of_the_draws_of_a_run(schedule):
    drawn = simulate(index_of_tiles(), schedule, 10, 16, 3, ASSUMPTIONS["base"])
    data = LadderDataModule(train=Tiles(rows=512), prompts_per_step=16, seed=3)
    data.index, data.schedule, data.horizon = index_of_tiles(), schedule, 10
    visited = set()
    for step in range(10):
        rows = data.draw(step)
        visited |= set(rows)
        levels = data.index.level_R[torch.tensor(rows)].tolist()
        counts = [levels.count(level) for level in drawn.levels]
        assert drawn.counts_T_L[step].tolist() == counts
        rates = (1 - data.index.difficulty_R[torch.tensor(rows)].double()).tolist()
        data.finish_step(rows, rates)
    assert drawn.distinct == len(visited)


def test_the_command_prints_a_table_and_writes_a_picture(tmp_path, capsys):
    output = tmp_path / "preview.png"
    words = ["curriculum", "preview", *CONFIG, "--curriculum.schedule", "Sorted", "--output", str(output)]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "48 prompts a step" in shown
    assert "480 draws of " in shown
    assert str(output) in shown
    with Image.open(output) as picture:
        assert picture.size[0] > 600
    assert "made up" not in shown


def test_pass_rates_that_are_made_up_are_said_to_be(tmp_path, capsys):
    words = ["curriculum", "preview", *CONFIG, "--output", str(tmp_path / "preview.png")]
    assert main([*words, "--curriculum.schedule", "AdaptiveTarget", "--assume", "base"]) == 0
    assert "pass rates are made up (base)" in capsys.readouterr().out


def test_a_schedule_that_does_not_exist_is_refused(capsys):
    assert main(["curriculum", "preview", *CONFIG, "--curriculum.schedule", "Nonesuch"]) != 0
    assert "Known by name for curriculum.schedule" in capsys.readouterr().err


def test_no_model_is_loaded(tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("a model is loaded")

    monkeypatch.setattr(loading, "load_model", refuse)
    monkeypatch.setattr(policy, "load_model", refuse)
    assert main(["curriculum", "preview", *CONFIG, "--output", str(tmp_path / "p.png")]) == 0
