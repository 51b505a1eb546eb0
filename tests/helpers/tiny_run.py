"""A run of milliseconds: one linear layer, U optimizer steps a rollout, rows that follow from the step."""

from pathlib import Path

import lightning
import torch
from lightning.pytorch.loggers.logger import Logger
from torch.utils.data import DataLoader

from observer.callbacks.checkpoint_io import AtomicCheckpointIO
from observer.callbacks.checkpoints import checkpoint_callbacks
from observer.callbacks.interrupt import GracefulStop
from observer.data.sampler import LadderBatchSampler

UPDATES, ROLLOUTS_PER_EPOCH = 2, 3


class Loader(DataLoader):
    def state_dict(self):
        return {}

    def load_state_dict(self, state_dict):
        pass


class Log(Logger):
    """Keeps what reached it: (step, name of a figure)."""

    name, version = "log", 0

    def __init__(self):
        super().__init__()
        self.records = []

    def log_hyperparams(self, params):
        pass

    def log_metrics(self, metrics, step=None):
        self.records += [(step, name) for name in metrics if name != "epoch"]


class TinyData(lightning.LightningDataModule):
    def __init__(self, validates=True):
        super().__init__()
        self.validates = validates
        self.step = 0

    def train_dataloader(self):
        ranks = {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}
        sampler = LadderBatchSampler(lambda: self.step, lambda k: [k, k + 1], ROLLOUTS_PER_EPOCH, **ranks)
        return Loader(range(1000), batch_sampler=sampler)

    def val_dataloader(self):
        return Loader(range(2)) if self.validates else []

    def state_dict(self):
        return {"step": self.step}

    def load_state_dict(self, state_dict):
        self.step = state_dict["step"]


class Tiny(lightning.LightningModule):
    """Notes in ``story`` what happens, as (word, rollouts finished); calls ``at[event]`` the first time."""

    def __init__(self, accuracies=(), at=None):
        super().__init__()
        self.automatic_optimization = False
        self.layer = torch.nn.Linear(1, 1)
        torch.nn.init.ones_(self.layer.weight)
        torch.nn.init.zeros_(self.layer.bias)
        self.accuracies = accuracies
        self.at = at or {}
        self.story = []

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.1)

    def note(self, word):
        event = (word, self.trainer.datamodule.step)
        self.story.append(event)
        self.at.pop(event, lambda: None)()

    def training_step(self, rows, batch_idx):
        optimizer = self.optimizers()
        for update in range(UPDATES):
            self.manual_backward(((self.layer(rows[:, None].float()) - update) ** 2).mean())
            optimizer.step()
            optimizer.zero_grad()
            self.note(f"update {update}")
        self.trainer.datamodule.step += 1
        self.note("rollout")
        self.log("finished", float(self.trainer.datamodule.step))

    def validation_step(self, rows, batch_idx):
        self.note("validate")

    def on_validation_epoch_end(self):
        epoch = self.trainer.datamodule.step // ROLLOUTS_PER_EPOCH
        self.log("val/accuracy", self.accuracies[epoch - 1] if self.accuracies else 0.5)


def trainer(run_dir, every=100, validates=True, io=None, rollouts=6, extra=(), **options):
    """A trainer with the observer's callbacks; ``extra`` ones come first."""
    return lightning.Trainer(
        default_root_dir=run_dir,
        accelerator="cpu",
        max_epochs=-1,
        max_steps=rollouts * UPDATES,
        use_distributed_sampler=False,
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=Log(),
        plugins=[io or AtomicCheckpointIO()],
        callbacks=[*extra, *checkpoint_callbacks(Path(run_dir), every, validates), GracefulStop()],
        **{"devices": 1, "num_sanity_val_steps": 0, **options},
    )


def fit(run_dir, ckpt_path=None, at=None, accuracies=(), validates=True, module=None, **options):
    """Run ``Tiny``, fresh or from a checkpoint, and return it; ``module.figures`` is what was logged."""
    module, data = module or Tiny(accuracies, at), TinyData(validates)
    run = trainer(run_dir, validates=validates, **options)
    module.figures = run.logger.records
    run.fit(module, datamodule=data, ckpt_path=ckpt_path)
    return module
