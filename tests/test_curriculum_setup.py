"""The callback hands its schedule to the data module and logs what was drawn."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

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


class OptionsOfItsOwn(CurriculumCallback):
    def __init__(self, every: int = 3, **options: Any) -> None:
        super().__init__(**options)
        self.every = every


class Chosen(CurriculumCallback):
    def __init__(self, schedule: Schedule = Sorted(descending=True)) -> None:
        super().__init__(schedule)


@dataclass
class Data(CurriculumCallback):
    schedule: Schedule | None = None
    factor: float = 2.0

    def __post_init__(self) -> None:
        super().__init__(self.schedule)


@pytest.mark.filterwarnings(
    "ignore:.*(LeafSpec|num_workers|configure_optimizers|log_every_n_steps|`training_step` returned)"
)
@pytest.mark.parametrize(
    ("callback", "schedule"),
    [
        (OptionsOfItsOwn(schedule=Sorted(by="difficulty")), Sorted(by="difficulty")),
        (Chosen(), Sorted(descending=True)),
        (Data(Sorted()), Sorted()),
        (Data(factor=3.0), Random()),
    ],
    ids=["options", "default", "dataclass", "dataclass without"],
)
def test_a_subclass_with_a_constructor_of_its_own_trains(callback: CurriculumCallback, schedule: Schedule):
    datamodule, module = Ladder(), Idle()
    trainer_with(callback).fit(module, datamodule=datamodule)
    assert datamodule.schedule == schedule
    assert len(module.logged) == 3


class NoSuper(CurriculumCallback):
    def __init__(self, schedule: Schedule | None = None) -> None:
        self.schedule = schedule


@dataclass
class NoPost(CurriculumCallback):
    factor: float = 2.0


class SetsUpAlone(CurriculumCallback):
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        pass


class SetsLate(CurriculumCallback):
    def __init__(self) -> None:
        super().__init__()
        self.schedule = "Sorted"


@pytest.mark.filterwarnings("ignore:.*(configure_optimizers)")
@pytest.mark.parametrize(
    ("callback", "told"),
    [
        (NoSuper(Sorted()), "NoSuper.__init__ does not call CurriculumCallback.__init__; call super()"),
        (NoPost(), "NoPost.__init__ does not call .* of a dataclass"),
        (
            SetsUpAlone(Sorted()),
            "SetsUpAlone.setup has not handed its schedule to the data module; call super()",
        ),
        (SetsLate(), "SetsLate.schedule is 'Sorted'; give a schedule, such as Random()"),
    ],
    ids=lambda it: type(it).__name__ if isinstance(it, CurriculumCallback) else "",
)
def test_a_subclass_that_leaves_out_what_is_above_is_refused(callback: CurriculumCallback, told: str):
    with pytest.raises(RefusedError, match=told):
        trainer_with(callback).fit(Idle(), datamodule=Ladder())


def test_what_is_no_schedule_and_a_frozen_dataclass_are_refused_when_they_are_made():
    @dataclass(frozen=True)
    class Frozen(CurriculumCallback):
        factor: float = 2.0

        def __post_init__(self) -> None:
            super().__init__()

    with pytest.raises(RefusedError, match=r"Frozen is a frozen dataclass.* write @dataclass without frozen"):
        Frozen()
    for wrong in ("Sorted", Sorted, {"class_path": "Sorted"}):
        with pytest.raises(RefusedError, match=r"CurriculumCallback.schedule is .*; give a schedule"):
            CurriculumCallback(wrong)  # type: ignore[arg-type]


def test_a_data_module_without_a_ladder_is_refused_but_only_in_fit():
    trainer = SimpleNamespace(callbacks=[], datamodule=LightningDataModule())
    CurriculumCallback().setup(trainer, Idle(), "validate")
    with pytest.raises(RefusedError, match="this one is LightningDataModule"):
        CurriculumCallback().setup(trainer, Idle(), "fit")
    with pytest.raises(RefusedError, match="this one is NoneType"):
        trainer_with(CurriculumCallback()).fit(Idle(), train_dataloaders=DataLoader([1]))
