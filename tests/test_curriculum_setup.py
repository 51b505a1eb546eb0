"""The callback hands its schedule to the data module and logs what was drawn."""

from types import SimpleNamespace

import numpy
import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from torch.utils.data import DataLoader

from observer.curriculum import CurriculumCallback, DrawRequest, LadderIndex, Random, Schedule, Sorted
from observer.types import Problem, RefusedError


def ladder_of(size: int, seed: int = 0) -> LadderIndex:
    generator = numpy.random.default_rng(seed)
    level_R = generator.permutation(numpy.arange(size) % 3)
    return LadderIndex(level_R / 2, generator.integers(1, 5, size), level_R)


class Ladder(LightningDataModule):
    """A ladder of problems whose batches are whatever its schedule draws first."""

    def __init__(self) -> None:
        super().__init__()
        self.index = ladder_of(12)
        self.schedule: Schedule | None = None

    def train_dataloader(self) -> DataLoader:
        assert self.schedule is not None
        batches = [self.schedule.batch(DrawRequest(self.index, step, 4, 3, 0)) for step in range(3)]
        return DataLoader(
            range(12), batch_sampler=batches, collate_fn=lambda rows: [self.problem(r) for r in rows]
        )

    def problem(self, row: int) -> Problem:
        return Problem(
            id=f"row {row}",
            row=row,
            turns=(),
            answer="1",
            kind="number",
            difficulty=float(self.index.difficulty_R[row]),
            complexity=float(self.index.complexity_R[row]),
            level=int(self.index.level_R[row]),
        )

    def transfer_batch_to_device(
        self, batch: list[Problem], device: torch.device, dataloader_idx: int
    ) -> list[Problem]:
        return batch


class Idle(LightningModule):
    """A module that learns nothing and writes down what the callback logged."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.logged: list[dict[str, float]] = []

    def training_step(self, batch: list[Problem], batch_idx: int) -> None:
        self.logged.append({name: float(value) for name, value in self.trainer.callback_metrics.items()})

    def configure_optimizers(self) -> None:
        return None


def trainer_with(*callbacks: CurriculumCallback) -> Trainer:
    return Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
        use_distributed_sampler=False,
    )


@pytest.mark.filterwarnings(
    "ignore:.*(LeafSpec|num_workers|configure_optimizers|log_every_n_steps|`training_step` returned)"
)
def test_the_callback_sets_the_schedule_and_logs_the_batch_it_drew():
    datamodule, module = Ladder(), Idle()
    trainer_with(CurriculumCallback(Sorted())).fit(module, datamodule=datamodule)
    assert datamodule.schedule == Sorted()
    index, order = datamodule.index, datamodule.index.easy_to_hard
    for step, logged in enumerate(module.logged):
        rows = order[4 * step : 4 * step + 4]
        assert logged == pytest.approx(
            {
                "zoom_curriculum/difficulty": float(index.difficulty_R[rows].mean()),
                "zoom_curriculum/complexity": float(index.complexity_R[rows].mean()),
                "zoom_curriculum/level": float(index.level_R[rows].double().mean()),
            }
        )
    assert len(module.logged) == 3


def test_the_default_schedule_is_random():
    assert CurriculumCallback().schedule == Random()


def test_two_curricula_are_refused():
    class Other(CurriculumCallback):
        pass

    with pytest.raises(RefusedError, match=r"2 curriculum callbacks \(CurriculumCallback, Other\)"):
        trainer_with(CurriculumCallback(), Other()).fit(Idle(), datamodule=Ladder())


def test_a_data_module_without_a_ladder_is_refused_but_only_in_fit():
    trainer = SimpleNamespace(callbacks=[], datamodule=LightningDataModule())
    CurriculumCallback().setup(trainer, Idle(), "validate")
    with pytest.raises(RefusedError, match="this one is LightningDataModule"):
        CurriculumCallback().setup(trainer, Idle(), "fit")
    with pytest.raises(RefusedError, match="this one is NoneType"):
        trainer_with(CurriculumCallback()).fit(Idle(), train_dataloaders=DataLoader([1]))
