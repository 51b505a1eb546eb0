from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from observer.curriculum import DrawRequest, LadderIndex, Random, Schedule
from observer.data.sampler import LadderBatchSampler
from observer.types import RefusedError

SIZE, COUNT, PER_EPOCH, STEPS = 20, 6, 4, 11

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:.*{harmless}")
    for harmless in ("num_workers", "LeafSpec", "pre-optimization", "Checkpoint directory", "ended before")
]


class Hardest(Schedule):
    """Rows with the lowest pass rates seen so far: a draw that depends on every step before it."""

    def draw(self, request: DrawRequest) -> list[int]:
        rates_R = torch.full((len(request.index),), 0.5, dtype=torch.float64)
        rows, _, means = request.index.seen
        rates_R[rows] = means
        tie_R = torch.tensor(Random().batch(replace(request, count=len(request.index)))) / 1e6
        return torch.argsort(rates_R + tie_R, stable=True)[: request.count].tolist()


class Rows(LightningDataModule):
    """Owns the step and the pass rates, as the ladder data module does."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.schedule = schedule
        self.index = LadderIndex([0.5] * SIZE, [1.0] * SIZE, [0] * SIZE)
        self.step = 0
        self.drawn_at: list[tuple[int, int]] = []

    def draw(self, step: int) -> list[int]:
        self.drawn_at.append((step, self.step))
        return self.schedule.batch(DrawRequest(self.index, step, COUNT, horizon=STEPS, seed=3))

    def train_dataloader(self) -> DataLoader:
        sampler = LadderBatchSampler(lambda: self.step, self.draw, PER_EPOCH)
        return DataLoader(range(SIZE), batch_sampler=sampler, num_workers=0, collate_fn=list)

    def state_dict(self) -> dict:
        return {"step": self.step, "ladder": self.index.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        self.step = state["step"]
        self.index.load_state_dict(state["ladder"])


class Learner(LightningModule):
    """Updates one weight `updates` times a batch and ends the data module's step."""

    def __init__(self, updates: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.updates = updates
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.steps: list[int] = []
        self.rows: list[list[int]] = []
        self.places: list[tuple[int, int]] = []

    def training_step(self, batch: list[int], batch_idx: int) -> None:
        owner = self.trainer.datamodule
        self.steps.append(owner.step)
        self.rows.append(batch)
        self.places.append((self.current_epoch, batch_idx))
        optimizer = self.optimizers()
        for _ in range(self.updates):
            optimizer.zero_grad()
            self.manual_backward(self.weight.sum() * float(sum(batch)))
            optimizer.step()
        owner.index.observe(batch, [((row * 7 + owner.step) % 9) / 8 for row in batch], owner.step)
        owner.step += 1

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-3)


def fit(
    folder: Path, schedule: Schedule, updates: int = 1, resume: Path | None = None, **options
) -> tuple[Rows, Learner]:
    datamodule, learner = Rows(schedule), Learner(updates)
    checkpoint = ModelCheckpoint(folder, "{step}", every_n_train_steps=updates, save_top_k=-1)
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=STEPS * updates,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[checkpoint],
        **options,
    )
    trainer.fit(learner, datamodule=datamodule, ckpt_path=resume)
    return datamodule, learner


@pytest.mark.parametrize(
    ("schedule", "updates"),
    [(Random(), 1), (Hardest(), 1), (Hardest(), 3)],
    ids=lambda value: value if isinstance(value, int) else type(value).__name__,
)
def test_a_run_resumed_at_any_step_of_any_epoch_draws_the_rows_of_an_unbroken_run(
    tmp_path, schedule, updates
):
    whole, learner = fit(tmp_path, schedule, updates)
    assert learner.steps == list(range(STEPS))
    for step in range(1, STEPS):
        checkpoint = tmp_path / f"step={step * updates}.ckpt"
        again, resumed = fit(tmp_path, schedule, updates, resume=checkpoint)
        assert resumed.steps == learner.steps[step:]
        assert (resumed.rows, resumed.places) == (learner.rows[step:], learner.places[step:])
        assert torch.equal(resumed.weight, learner.weight)
        assert [part.tolist() for part in again.index.seen] == [part.tolist() for part in whole.index.seen]


def test_a_run_whose_epochs_were_cut_short_resumes_too(tmp_path):
    _, learner = fit(tmp_path, Random(), limit_train_batches=3)
    _, resumed = fit(tmp_path, Random(), resume=tmp_path / "step=5.ckpt", limit_train_batches=3)
    assert learner.steps == list(range(STEPS))
    assert learner.places == [divmod(step, 3) for step in range(STEPS)]
    assert (resumed.rows, resumed.places) == (learner.rows[5:], learner.places[5:])


def test_a_step_is_drawn_once_and_not_before_the_step_before_it_has_ended(tmp_path):
    datamodule, _ = fit(tmp_path, Hardest())
    assert datamodule.drawn_at == [(step, step) for step in range(STEPS)]


def test_building_a_loader_draws_nothing():
    datamodule = Rows(Random())
    assert len(datamodule.train_dataloader()) == PER_EPOCH
    assert datamodule.drawn_at == []


@settings(max_examples=60, deadline=None)
@given(world=st.integers(1, 6), size=st.integers(1, 5), start=st.integers(0, 50))
def test_the_ranks_share_a_draw_without_overlap_in_equal_parts(world, size, start):
    index = LadderIndex([0.0] * 60, [0.0] * 60, [0] * 60)

    def draw(step: int) -> list[int]:
        return Random().batch(DrawRequest(index, step, world * size, 10, 0))

    ranks = [list(LadderBatchSampler(lambda: start, draw, 3, rank, world)) for rank in range(world)]
    for place, parts in enumerate(zip(*ranks, strict=True)):
        assert [len(part) for part in parts] == [size] * world
        assert [row for part in parts for row in part] == draw(start + place)


def test_draws_that_cannot_be_shared_equally_or_repeat_a_row_are_refused():
    with pytest.raises(RefusedError, match=r"step 4 draws 3 prompts, .* for 2 processes"):
        next(iter(LadderBatchSampler(lambda: 4, lambda step: [0, 1, 2], 1, 0, 2)))
    with pytest.raises(RefusedError, match=r"step 4 draws rows more than once: \[1\]"):
        next(iter(LadderBatchSampler(lambda: 4, lambda step: [1, 2, 1], 1)))


@pytest.mark.parametrize(("epoch", "rank", "world"), [(0, 0, 1), (1, 1, 1), (1, -1, 1), (1, 0, 0)])
def test_impossible_samplers_are_refused(epoch, rank, world):
    with pytest.raises(RefusedError):
        LadderBatchSampler(lambda: 0, lambda step: [0], epoch, rank, world)
