"""What a run knows of its rows is saved, goes on after a stop, and can start the next run.

The names D1 to D4 are those of the faults of the released code that must not come back.
"""

import io
import json
from dataclasses import dataclass

import pytest
import torch
import yaml

import runs
from observer.cli import main
from observer.curriculum import (
    AdaptiveTarget,
    NeuraLadder,
    Random,
    Schedule,
    SelfPaced,
    Sorted,
    SourceUCB,
    Stages,
)
from observer.curriculum.schedules.stages import Stage
from observer.data import Jsonl, LadderDataModule, Message, Tiles
from observer.data.estimates import read_estimates, write_estimates
from observer.objective import Cosine
from observer.types import RefusedError
from observer.verifier import Verifier

ROWS, PROMPTS = 48, 4


@pytest.fixture
def write(tmp_path):
    """Factory of JSONL files: the hardest row first; every third from another source."""

    def file(name="train.jsonl", **changed):
        lines = []
        for row in range(ROWS):
            record = {"id": f"r{row}", "question": "How many?", "answer": str(row), "complexity": row}
            record |= {"difficulty": 1 - row / ROWS, "metadata": {"source": "maps"} if row % 3 == 0 else {}}
            lines.append(json.dumps(record | changed.get(f"r{row}", {})))
        (tmp_path / name).write_text("\n".join(lines) + "\n")
        return str(tmp_path / name)

    return file


@pytest.fixture
def open_run(renderer, tmp_path):
    """Factory of data modules that are ready to draw."""

    def make(train, schedule, horizon=12, **options):
        module = LadderDataModule(train, **{"prompts_per_step": PROMPTS, "seed": 5, **options})
        module.setup("fit")
        module.admit(renderer, Verifier(), tmp_path)
        module.schedule, module.horizon = schedule, horizon
        return module

    return make


def go_on(module, until):
    """Draw and finish steps; the pass rates depend on row and step."""
    batches = []
    while module.step < until:
        rows = module.draw(module.step)
        module.finish_step(rows, [((row * 7919 + module.step * 31) % 9) / 8 for row in rows])
        batches.append(rows)
    return batches


def saved_and_loaded(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


# resume


@pytest.mark.parametrize(
    "schedule",
    [
        Random(),
        Sorted(),
        NeuraLadder(table="even"),
        AdaptiveTarget(),
        SourceUCB(window=9),
        SelfPaced(patience=1, promote=0.5, demote=0.4),
    ],
    ids=lambda schedule: type(schedule).__name__,
)
@pytest.mark.parametrize("stop", [1, 5])
def test_d2_a_run_stopped_at_any_step_goes_on_with_the_rows_it_would_have_drawn(
    open_run, write, schedule, stop
):
    whole = open_run(Jsonl(write()), schedule)
    batches = go_on(whole, 15)
    stopped = open_run(Jsonl(write()), schedule)
    assert go_on(stopped, stop) == batches[:stop]
    resumed = open_run(Jsonl(write()), schedule)
    resumed.load_state_dict(saved_and_loaded(stopped.state_dict()))
    assert go_on(resumed, 15) == batches[stop:]
    assert str(resumed.state_dict()) == str(whole.state_dict())


def test_d1_shuffling_is_on_where_it_is_asked_for_and_off_where_the_order_is(open_run, write):
    in_order = [row for rows in go_on(open_run(Jsonl(write()), Sorted()), 12) for row in rows]
    assert in_order == list(reversed(range(ROWS)))
    shuffled = [row for rows in go_on(open_run(Jsonl(write()), Random()), 12) for row in rows]
    assert sorted(shuffled) == sorted(in_order)
    assert shuffled not in (in_order, in_order[::-1])


def test_d3_the_learning_rate_after_a_resume_is_that_of_its_step_and_does_not_rise_again(tmp_path):
    class Rates(runs.lightning.Callback):
        def __init__(self):
            self.of = {}

        def on_train_batch_end(self, trainer, pl_module, *_):
            self.of[pl_module.data.step] = trainer.optimizers[0].param_groups[0]["lr"]
            trainer.save_checkpoint(tmp_path / f"step-{pl_module.data.step}.ckpt")

    whole, resumed = Rates(), Rates()
    for watch, start in ((whole, None), (resumed, tmp_path / "step-2.ckpt")):
        folder = tmp_path / str(start is None)
        folder.mkdir()
        learner = runs.learner(learning_rate=Cosine(warmup_steps=2), group_size=2)
        data = runs.data_module(val=None, test=None, prompts_per_step=2)
        runs.trainer(folder, 4, Sorted(), [watch]).fit(learner, datamodule=data, ckpt_path=start)
    assert resumed.of == {step: lr for step, lr in whole.of.items() if step > 2}
    assert list(whole.of.values())[1:] == sorted(list(whole.of.values())[1:], reverse=True)


# what the next run starts from


def test_d4_what_a_run_has_learned_of_its_rows_changes_the_order_of_the_next(open_run, write, tmp_path):
    run = open_run(Jsonl(write()), Sorted())
    hardest, easiest = 0, ROWS - 1
    for _ in range(9):  # what the base model failed at is solved, what it solved is not
        run.finish_step([hardest, easiest, 1, 2], [1.0, 0.0, 0.5, 0.5])
    assert write_estimates(tmp_path / "learned.jsonl", run.rows["train"], run.index) == ROWS
    again = open_run(Jsonl(write(), difficulty_from=str(tmp_path / "learned.jsonl")), Sorted())
    assert again.index.difficulty_R[hardest] == pytest.approx(0.1)  # (1 + 9 x 0) / 10
    assert again.index.difficulty_R[easiest] == pytest.approx((1 / ROWS + 9) / 10)
    order = again.index.easy_to_hard.tolist()
    assert order.index(hardest) < order.index(easiest)
    assert again.index.level_R[hardest] == 1, "levels that rows do not name follow the difficulty"
    with pytest.raises(RefusedError, match="cannot resume: the checkpoint was drawn with ladder"):
        again.load_state_dict(run.state_dict())


def test_estimates_are_written_whole_and_say_how_often_a_row_was_visited(open_run, write, tmp_path):
    run = open_run(Jsonl(write()), Sorted())
    run.finish_step([3, 0, 1, 2], [0.5, 1.0, 0.0, 0.25])
    file = tmp_path / "deep" / "learned.jsonl"
    assert write_estimates(file, run.rows["train"], run.index, visited_only=True) == 4
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines[0] == {"id": "r0", "difficulty": 0.5, "complexity": 0.0, "visits": 1}
    assert [line["id"] for line in lines] == ["r0", "r1", "r2", "r3"]
    assert [path.name for path in file.parent.iterdir()] == ["learned.jsonl"]
    assert read_estimates(str(file))["r0"] == (1, {"difficulty": 0.5, "complexity": 0.0})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"id": "r1", "difficulty": 0.5}\n{"id": "x", "difficulty": 0.5}',
            ":2: id 'x' is no row of .*train.jsonl",
        ),
        ('\n{"id": "r1", "difficulty": 1.5}', r":2: difficulty is 1.5 \(float\); write a number in \[0, 1\]"),
        ('{"id": "r1"}', ":1: is {'id': 'r1'}; write an object with id, difficulty"),
        ('{"id": "r1", "difficulty": 0.5, "level": 1}', ":1: is .*; write an object with id"),
        ('{"id": "r1", "difficulty": 0.5}\n' * 2, ":2: id 'r1' is in line 1 already; keep one"),
        ("{", ":1: is no JSON"),
    ],
)
def test_estimates_that_do_not_fit_are_refused_with_file_line_and_value(write, tmp_path, text, message):
    file = tmp_path / "learned.jsonl"
    file.write_text(text)
    with pytest.raises(RefusedError, match=f"learned.jsonl{message}"):
        Jsonl(write(), difficulty_from=str(file)).read()


def test_estimates_that_are_not_there_are_refused_and_other_formats_read_them_too(write, tmp_path):
    with pytest.raises(RefusedError, match=r"none.jsonl cannot be read .* set difficulty_from"):
        Jsonl(write(), difficulty_from=str(tmp_path / "none.jsonl")).read()
    chat = [{"role": "user", "content": "How many?"}]
    (tmp_path / "chats.jsonl").write_text(json.dumps({"message": chat, "answer": "3"}))
    (tmp_path / "learned.jsonl").write_text('{"id": "chats.jsonl:1", "difficulty": 0.25}')
    rows = Message(str(tmp_path / "chats.jsonl"), difficulty_from=str(tmp_path / "learned.jsonl")).read()
    assert rows.difficulty.tolist() == [0.25]


# sources


def test_rows_are_of_the_source_that_their_metadata_name_or_of_their_file(open_run, write):
    module = open_run(Jsonl(write()), SourceUCB())
    names = [module.index.sources[source] for source in module.index.source_R.tolist()]
    assert names == ["train.jsonl" if row % 3 else "maps" for row in range(ROWS)]
    tiles = open_run(Tiles(rows=16), SourceUCB())
    assert tiles.index.sources == ("tiles",)
    assert len(set(tiles.draw(0))) == PROMPTS


def test_rows_that_are_left_out_take_their_source_with_them(open_run, write):
    file = write(r0={"question": "How many? " * 2000}, r1={"question": "How many? " * 2000})
    module = open_run(Jsonl(file, on_bad_row="skip"), SourceUCB())
    assert module.index.sources[int(module.index.source_R[1])] == "maps"
    assert len(module.index) == ROWS - 2


# other draws, where they are asked for


def test_another_schedule_is_taken_where_other_draws_are_allowed_and_its_memory_starts_anew(open_run, write):
    old = open_run(Jsonl(write()), AdaptiveTarget())
    go_on(old, 3)
    state = saved_and_loaded(old.state_dict())
    with pytest.raises(
        RefusedError, match=r"schedule AdaptiveTarget\(.*this run has SelfPaced\(.*set data.allow_"
    ):
        open_run(Jsonl(write()), SelfPaced()).load_state_dict(state)
    new = open_run(Jsonl(write()), SelfPaced(), allow_other_draws=True, seed=6)
    new.load_state_dict(state)
    assert (new.step, new.index.memory) == (3, {})
    assert new.index.seen[0].tolist() == old.index.seen[0].tolist()
    assert len(go_on(new, 6)) == 3


def test_what_was_seen_of_other_rows_is_forgotten(open_run, write):
    old = open_run(Jsonl(write()), AdaptiveTarget(), steps_per_epoch=12)
    go_on(old, 3)
    new = open_run(
        Jsonl(write("other.jsonl", r3={"difficulty": 0.01})),
        AdaptiveTarget(),
        allow_other_draws=True,
        steps_per_epoch=12,
    )
    new.load_state_dict(saved_and_loaded(old.state_dict()))
    assert (new.step, new.index.memory, len(new.index.seen[0])) == (3, {}, 0)


def test_another_epoch_is_refused_even_so(open_run, write):
    old = open_run(Jsonl(write()), Random())
    new = open_run(Jsonl(write()), Random(), allow_other_draws=True, steps_per_epoch=5)
    with pytest.raises(
        RefusedError, match=r"steps_per_epoch 12, this run has 5; set data.steps_per_epoch to 12"
    ):
        new.load_state_dict(saved_and_loaded(old.state_dict()))


# a user's own


def test_a_schedule_of_a_user_may_remember_and_is_told_each_step_once(open_run, write):
    @dataclass(frozen=True)
    class Failed(Schedule):
        """The rows that failed last, then any."""

        def draw(self, request):
            failed = request.index.memory.get("failed", [])
            rest = [row for row in range(len(request.index)) if row not in failed]
            return [*failed, *rest][: request.count]

        def remember(self, request, rows, pass_rates):
            failed = [row for row, rate in zip(rows, pass_rates, strict=True) if rate < 0.5]
            return {"failed": failed, "steps": [*request.index.memory.get("steps", []), request.step]}

    module = open_run(Jsonl(write()), Failed())
    module.finish_step([5, 6, 7, 8], [0.0, 1.0, 0.25, 1.0])
    assert module.draw(1) == [5, 7, 0, 1]
    module.finish_step([5, 7, 0, 1], [1.0] * 4)
    assert module.index.memory == {"failed": [], "steps": [0, 1]}


def test_a_schedule_of_a_user_needs_no_more_than_a_draw_and_its_horizon_counts(open_run, write):
    @dataclass(frozen=True)
    class Late(Schedule):
        def draw(self, request):
            return [(request.horizon + place) % len(request.index) for place in range(request.count)]

    assert open_run(Jsonl(write()), Late(), horizon=12).draw(0) == [12, 13, 14, 15]
    assert open_run(Jsonl(write()), Late(horizon=3), horizon=12).draw(0) == [3, 4, 5, 6]


def test_what_no_checkpoint_could_hold_is_refused_at_the_step_that_remembers_it(open_run, write):
    @dataclass(frozen=True)
    class Careless(Stages):
        def remember(self, request, rows, pass_rates):
            return {"ladder": request.index}

    module = open_run(Tiles(rows=16), Careless([Stage(None, {1: 1.0, 2: 1.0, 3: 1.0})]))
    with pytest.raises(RefusedError, match=r"remembers a LadderIndex as memory\['ladder'\]"):
        module.finish_step([0, 1, 2, 3], [1.0] * 4)


def test_the_command_writes_what_a_run_has_learned_and_the_next_run_starts_from_it(
    open_run, write, tmp_path, capsys
):
    rows, run_dir, learned = write(r7={"answer": ""}), tmp_path / "first", tmp_path / "learned.jsonl"
    run = open_run(Jsonl(rows, on_bad_row="skip"), Random())
    run.finish_step([0, 1, 2, 3], [1.0, 1.0, 0.5, 0.0])
    (run_dir / "checkpoints").mkdir(parents=True)
    saved = {"global_step": 1, "LadderDataModule": run.state_dict(), "state_dict": {}, "loops": {}}
    saved |= {"callbacks": {}, "optimizer_states": [], "lr_schedulers": []}
    torch.save(saved, run_dir / "checkpoints" / "last.ckpt")
    train = {"class_path": "Jsonl", "init_args": {"path": rows, "on_bad_row": "skip"}}
    (run_dir / "config.yaml").write_text(yaml.safe_dump({"data": {"train": train}}))
    words = ["curriculum", "estimates", "--run_dir", str(run_dir), "--output", str(learned)]
    assert main(words) == 0
    assert f"{ROWS - 1} rows, of which 4 were visited in 1 rollouts" in capsys.readouterr().out
    again = open_run(Jsonl(rows, on_bad_row="skip", difficulty_from=str(learned)), Sorted())
    assert again.index.difficulty_R[0] == run.index.difficulty_R[0] / 2
    assert again.index.difficulty_R[3] > run.index.difficulty_R[3]
    assert torch.equal(again.index.difficulty_R[4:], run.index.difficulty_R[4:])
    write(r7={"answer": ""}, r8={"question": "How many are there?"})
    assert main(words) == 2
    assert "data.train holds other rows than the checkpoint was made with" in capsys.readouterr().err
    write(r8={"difficulty": 0.0})
    assert main(words) == 2
    assert f"was drawn from {ROWS - 1} rows, and data.train of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--run_dir", "nowhere"], "--run_dir nowhere: it holds no config.yaml; name the directory of a run"),
        ([], "run_dir"),
    ],
)
def test_a_run_that_is_not_there_is_refused(words, message, capsys):
    assert main(["curriculum", "estimates", *words]) == 2
    assert message in capsys.readouterr().err
