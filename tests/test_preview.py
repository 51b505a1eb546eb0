"""``observer curriculum preview``: counts are those of the run's own draws, and it needs no model."""

import pytest
import torch
from PIL import Image

from observer.cli import main
from observer.curriculum import LadderIndex, NeuraLadder, Random, SelfPaced, Sorted
from observer.curriculum.preview import ASSUMPTIONS, simulate
from observer.curriculum.preview_figures import table
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


def said(tmp_path, capsys, *words):
    output = tmp_path / "new" / "folder" / "preview.png"
    assert main(["curriculum", "preview", *CONFIG, "--output", str(output), *words]) == 0
    assert output.is_file()
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "draws"),
    [
        ([], 480),
        (["--model.updates_per_rollout", "2"], 240),
        (["--steps", "3"], 144),
        (["--trainer.max_steps", "1", "--model.updates_per_rollout", "2"], 48),
    ],
    ids=str,
)
def test_as_many_rollouts_are_drawn_as_the_run_has_or_as_are_asked_for(tmp_path, capsys, words, draws):
    assert f"{draws} draws of " in said(tmp_path, capsys, *words)


def test_the_updates_of_a_configuration_count(tmp_path, capsys):
    (tmp_path / "two.yaml").write_text("model: {updates_per_rollout: 2, nonesuch: is left alone}\n")
    assert "240 draws of " in said(tmp_path, capsys, "--config", str(tmp_path / "two.yaml"))


def test_the_draws_are_those_of_the_seed(tmp_path, capsys):
    first, again, other = (said(tmp_path, capsys, "--seed_everything", seed) for seed in ("0", "0", "1"))
    assert first == again != other


def test_pass_rates_that_improve_end_with_a_fifth_of_the_mistakes(tmp_path, capsys):
    difficulty_N = torch.tensor([0.0, 0.5, 1.0])
    for progress, expected in ((0.0, [1.0, 0.5, 0.0]), (0.5, [1.0, 0.7, 0.4]), (1.0, [1.0, 0.9, 0.8])):
        assert ASSUMPTIONS["improving"](difficulty_N, progress).tolist() == pytest.approx(expected)
        assert ASSUMPTIONS["base"](difficulty_N, progress).tolist() == [1.0, 0.5, 0.0]
    assert "(improving): 1 - difficulty, fewer mistakes with every step" in " ".join(
        said(tmp_path, capsys, "--curriculum.schedule", "AdaptiveTarget").split()
    )


def test_a_simulated_run_ends_at_the_end_of_its_progress_and_remembers():
    class Sums(Random):
        """Remembers the pass rates of its steps."""

        def remember(self, request, rows, pass_rates):
            return {"sums": [*request.index.memory.get("sums", []), sum(pass_rates)]}

    seen, index = [], index_of_tiles()

    def assumption(difficulty_N, progress):
        seen.append(progress)
        return torch.full_like(difficulty_N, progress)

    drawn = simulate(index, Sums(), 3, 200, 0, assumption)
    assert seen == [0.0, 0.5, 1.0]
    assert index.memory["sums"] == [0.0, 100.0, 200.0]
    assert (drawn.distinct, drawn.most, drawn.rows) == (len(index.seen[0]), int(index.seen[1].max()), 512)


def test_the_table_names_the_stage_of_the_last_step_of_each_part():
    drawn = simulate(index_of_tiles(), NeuraLadder(), 25, 16, 0, ASSUMPTIONS["base"])
    shown = table(drawn, "")
    steps, stages = (list(column.cells) for column in shown.columns[:2])
    assert (steps[0], steps[-1]) == ("0..1", "22..24")
    assert stages == [drawn.stages[int(cell.partition("..")[2])] for cell in steps]
    assert len(set(drawn.stages)) > 1


def test_rows_that_are_not_named_are_refused(tmp_path, capsys):
    (tmp_path / "none.yaml").write_text("trainer: {max_steps: 3}\n")
    assert main(["curriculum", "preview", "--config", str(tmp_path / "none.yaml")]) == 2
    assert "data.train" in capsys.readouterr().err
