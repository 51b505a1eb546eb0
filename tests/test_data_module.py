import json
from types import SimpleNamespace

import lightning
import pytest
import torch
from lightning.pytorch.trainer.states import RunningStage
from PIL import Image

from admitting import PROMPTS, ROWS, admitted, rows_of
from observer.curriculum import Sorted
from observer.data import Jsonl, LadderDataModule, Message, Tiles
from observer.metrics import LEVELS
from observer.rollout import PromptRenderer
from observer.types import RefusedError
from observer.verifier import Verifier


@pytest.fixture(scope="module")
def strict(processor):
    """Factory of renderers that refuse prompts of more tokens than this."""
    return lambda max_tokens: PromptRenderer(processor, system_prompt="", max_tokens=max_tokens)


LONG = {"question": "How many tiles are red? " * 20}  # some 200 tokens


def listed(folder):
    return [json.loads(line) for line in (folder / "skipped_rows.jsonl").read_text().splitlines()]


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompts_per_step": 0}, "data.prompts_per_step is 0; it must be >= 1"),
        ({"eval_batch": -1}, "data.eval_batch is -1; it must be >= 1"),
        ({"steps_per_epoch": 0}, "data.steps_per_epoch is 0; it must be >= 1, or null"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(RefusedError) as caught:
        LadderDataModule(**options)
    assert str(caught.value) == message


@pytest.mark.parametrize(("stage", "split"), [("fit", "train"), ("validate", "val"), ("test", "test")])
def test_a_stage_without_its_rows_is_refused(stage, split):
    given = {"val": Tiles(rows=8)} if split == "train" else {"train": Tiles(rows=8)}
    with pytest.raises(RefusedError, match=f"data.{split} is not set; name a row format"):
        LadderDataModule(**given).setup(stage)


def test_a_fit_without_held_out_rows_has_no_held_out_loaders(renderer, tmp_path):
    module = admitted(renderer, tmp_path, train=Tiles(rows=8))
    assert module.val_dataloader() == []
    assert module.test_dataloader() == []


def test_fewer_rows_than_prompts_a_step_are_refused_with_both_numbers(renderer, ladder_file, tmp_path):
    with pytest.raises(RefusedError, match=r"data.train has 12 rows, fewer than prompts_per_step 13"):
        admitted(renderer, tmp_path, train=Jsonl(ladder_file()), prompts_per_step=13)


def test_prompts_that_are_too_long_are_refused_before_training_with_row_and_both_lengths(
    strict, ladder_file, tmp_path
):
    file = ladder_file(r3=LONG, r8=LONG)
    with pytest.raises(RefusedError) as caught:
        admitted(strict(60), tmp_path, train=Jsonl(file))
    text = str(caught.value)
    assert "data.train: 2 rows are refused, the first:" in text
    assert f"{file}:4: row 'r3': its prompt has " in text
    assert f"{file}:9: row 'r8': its prompt has " in text
    assert "more than max_prompt_tokens 60" in text
    assert not (tmp_path / "skipped_rows.jsonl").exists()


def test_held_out_prompts_are_checked_too(strict, ladder_file, tmp_path):
    with pytest.raises(RefusedError, match=r"data.val: 1 rows are refused, .*\n.*row 'r3'"):
        admitted(strict(60), tmp_path, train=Tiles(rows=8), val=Jsonl(ladder_file(r3=LONG)))


def test_of_many_rows_that_are_too_long_ten_are_shown(strict, ladder_file, tmp_path):
    with pytest.raises(RefusedError, match=r"data.train: 12 rows are refused") as caught:
        admitted(strict(8), tmp_path, train=Jsonl(ladder_file()))
    assert str(caught.value).count("its prompt has") == 10


def test_a_held_out_level_that_figures_cannot_name_is_refused(renderer, ladder_file, tmp_path):
    file = ladder_file(r5={"level": LEVELS})
    admitted(renderer, tmp_path, train=Jsonl(file))  # training has no such limit
    with pytest.raises(RefusedError, match=f"data.val: row 'r5' has level {LEVELS}; .* 0 .. {LEVELS - 1}"):
        admitted(renderer, tmp_path, stage="validate", val=Jsonl(file))


# What is left out


def test_rows_that_are_left_out_are_named_and_the_others_numbered_anew(strict, ladder_file, tmp_path):
    file = ladder_file(r0=LONG, r3=LONG, r8={"answer": "nobody knows", "kind": "integer"})
    module = admitted(strict(60), tmp_path / "run", train=Jsonl(file, on_bad_row="skip"))
    rows = module.rows["train"]
    kept = [1, 2, 4, 5, 6, 7, 9, 10, 11]
    assert [problem.id for problem in rows] == [f"r{row}" for row in kept]
    assert [problem.row for problem in rows] == list(range(9))
    assert rows.level.tolist() == [row % 3 for row in kept]
    assert rows.complexity.tolist() == [10 * row for row in kept]
    assert module.index.difficulty_R.tolist() == [1 - row / 16 for row in kept]
    skipped = {record.pop("id"): record for record in listed(tmp_path / "run")}
    assert skipped.keys() == {"r0", "r3", "r8"}
    reasons = {name: record.pop("reason") for name, record in skipped.items()}
    assert skipped == {f"r{row}": {"split": "train", "file": file, "line": row + 1} for row in (0, 3, 8)}
    assert reasons["r3"].startswith("its prompt has ")
    assert "is no integer" in reasons["r8"]


def test_what_is_left_out_is_listed_once_however_many_stages_and_runs_open_it(strict, ladder_file, tmp_path):
    train = Jsonl(ladder_file("train.jsonl", r3=LONG), on_bad_row="skip")
    val = Jsonl(ladder_file("val.jsonl", r2=LONG, r5=LONG), on_bad_row="skip")
    module = admitted(strict(60), tmp_path, train=train, val=val, test=Tiles(rows=8))
    module.setup("validate")
    module.admit(strict(60), Verifier(), tmp_path)
    admitted(strict(60), tmp_path, train=train, val=val, test=Tiles(rows=8))  # resumed
    assert [(r["split"], r["id"]) for r in listed(tmp_path)] == [
        ("train", "r3"),
        ("val", "r2"),
        ("val", "r5"),
    ]
    admitted(
        strict(60), tmp_path, stage="validate", val=val
    )  # train was not opened: what is known of it stays
    assert {r["split"] for r in listed(tmp_path)} == {"train", "val"}
    admitted(strict(1000), tmp_path, train=train, val=val)  # nothing is left out any more
    assert listed(tmp_path) == []


def test_no_file_is_written_when_nothing_is_left_out(renderer, ladder_file, tmp_path):
    admitted(renderer, tmp_path / "run", train=Jsonl(ladder_file()))
    assert not (tmp_path / "run").exists()


def test_one_rank_lists_what_is_left_out(strict, ladder_file, tmp_path):
    module = LadderDataModule(Jsonl(ladder_file(r3=LONG), on_bad_row="skip"), prompts_per_step=PROMPTS)
    alike = SimpleNamespace(broadcast=lambda mine, src: mine)
    module.trainer = SimpleNamespace(global_rank=1, world_size=2, strategy=alike)
    module.setup("fit")
    module.admit(strict(60), Verifier(), tmp_path)
    assert len(module.rows["train"]) == ROWS - 1
    assert not (tmp_path / "skipped_rows.jsonl").exists()


def test_a_source_of_which_nothing_is_left_is_refused(strict, ladder_file, tmp_path):
    with pytest.raises(
        RefusedError, match=r"all 12 rows were refused, the first: .*row 'r0': its prompt has"
    ):
        admitted(strict(8), tmp_path, train=Jsonl(ladder_file(), on_bad_row="skip"))


def test_rows_that_were_kept_are_checked_again_for_another_renderer(strict, ladder_file, tmp_path):
    file = ladder_file(r3=LONG, r4={"question": "How many tiles are red? " * 3})
    module = admitted(strict(60), tmp_path, train=Jsonl(file, on_bad_row="skip"))
    module.admit(strict(25), Verifier(), tmp_path)
    assert [problem.id for problem in module.rows["train"]] == [
        f"r{r}" for r in range(ROWS) if r not in (3, 4)
    ]
    assert len(module.index) == ROWS - 2
    assert [record["id"] for record in listed(tmp_path)] == ["r3", "r4"]


def test_the_release_format_is_checked_in_the_same_way(strict, tmp_path):
    Image.new("RGB", (84, 84)).save(tmp_path / "a.png")
    content = [{"type": "image", "image": "a.png"}, {"type": "text", "text": "How many?"}]
    rows = [content, content[1:], [*content, {"type": "text", "text": LONG["question"]}]]
    file = tmp_path / "train.jsonl"
    file.write_text(
        "".join(
            json.dumps({"message": json.dumps([{"role": "user", "content": row}]), "answer": "$3$"}) + "\n"
            for row in rows
        )
    )
    module = admitted(strict(60), tmp_path, train=Message(str(file), on_bad_row="skip"), prompts_per_step=2)
    assert [len(problem.pictures) for problem in module.rows["train"]] == [1, 0]
    assert [(record["file"], record["line"]) for record in listed(tmp_path)] == [(str(file), 3)]


# What is drawn


def test_a_training_loader_yields_the_problems_of_each_step_from_the_step_that_is_next(renderer, tmp_path):
    module = admitted(renderer, tmp_path, train=Tiles(rows=64), seed=3, steps_per_epoch=3)
    draws = [module.draw(step) for step in range(5)]
    assert len({row for draw in draws for row in draw}) == 5 * PROMPTS
    loader = module.train_dataloader()
    assert len(loader) == 3
    assert rows_of(loader) == draws[:3]
    module.finish_step(draws[0], [0.5] * PROMPTS)
    module.finish_step(draws[1], [0.5] * PROMPTS)
    assert rows_of(loader) == draws[2:5]


def test_an_epoch_is_one_pass_unless_it_is_given(renderer, tmp_path):
    assert admitted(renderer, tmp_path, train=Tiles(rows=30)).steps_per_epoch == 7
    assert admitted(renderer, tmp_path, train=Tiles(rows=30), steps_per_epoch=2).steps_per_epoch == 2


def test_ranks_share_each_draw(renderer, tmp_path):
    module = admitted(renderer, tmp_path, train=Tiles(rows=64))
    parts = []
    for rank in range(2):
        module.trainer = SimpleNamespace(global_rank=rank, world_size=2)
        parts.append(rows_of(module.train_dataloader())[0])
    assert parts[0] + parts[1] == module.draw(0)


def test_the_schedule_is_told_the_horizon(renderer, ladder_file, tmp_path):
    module = admitted(renderer, tmp_path, train=Jsonl(ladder_file()))
    module.schedule = Sorted()
    easy_first = list(reversed(range(ROWS)))
    module.horizon = 3
    assert [row for step in range(3) for row in module.draw(step)] == easy_first
    module.horizon = 1  # all at once: any of them
    assert sorted(module.draw(0), reverse=True) != easy_first[:PROMPTS]


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_ranks_share_held_out_rows_so_that_each_comes_once(renderer, ladder_file, tmp_path, world):
    files = {"val": Jsonl(ladder_file(count=11)), "test": Tiles(rows=9, split="test")}
    module = admitted(renderer, tmp_path, train=Tiles(rows=8), **files, eval_batch=2)
    for loader, count in (("val_dataloader", 11), ("test_dataloader", 9)):
        rows = []
        for rank in range(world):
            module.trainer = SimpleNamespace(global_rank=rank, world_size=world)
            batches = rows_of(getattr(module, loader)())
            assert all(1 <= len(batch) <= 2 for batch in batches)
            rows += [row for batch in batches for row in batch]
        assert sorted(rows) == list(range(count))


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_a_trainer_of_several_ranks_takes_the_held_out_rows_as_they_are_shared(renderer, tmp_path, stage):
    trainer = lightning.Trainer(
        accelerator="cpu", devices=2, strategy="ddp", logger=False, enable_checkpointing=False
    )
    module = LadderDataModule(val=Tiles(rows=9, split="val"), eval_batch=2)
    module.trainer = trainer
    module.setup(stage)
    loader = {"validate": module.val_dataloader, "test": module.test_dataloader}[stage]()
    mode = {"validate": RunningStage.VALIDATING, "test": RunningStage.TESTING}[stage]
    taken = trainer._data_connector._prepare_dataloader(loader, shuffle=False, mode=mode)
    assert rows_of(taken) == [[0, 2], [4, 6], [8]]


@pytest.mark.parametrize("split", ["val", "test"])
def test_fewer_held_out_rows_than_ranks_are_refused_with_both_numbers(renderer, ladder_file, tmp_path, split):
    module = LadderDataModule(Tiles(rows=8), **{split: Jsonl(ladder_file(count=2))}, prompts_per_step=PROMPTS)
    alike = SimpleNamespace(broadcast=lambda mine, src: mine)
    module.trainer = SimpleNamespace(global_rank=0, world_size=3, strategy=alike)
    module.setup("fit")
    with pytest.raises(
        RefusedError, match=rf"data.{split} has 2 rows, fewer than the 3 processes; .*add rows"
    ):
        module.admit(renderer, Verifier(), tmp_path)


def test_without_test_rows_the_last_word_is_spoken_by_the_validation_rows(renderer, tmp_path):
    module = admitted(renderer, tmp_path, stage="test", val=Tiles(rows=8, split="val"))
    assert next(problem.id for batch in module.test_dataloader() for problem in batch) == "tiles-val-0"


def test_problems_are_not_moved_to_a_device():
    batch = [Tiles(rows=8).read()[0]]
    assert LadderDataModule().transfer_batch_to_device(batch, torch.device("meta"), 0) is batch
