"""``observer fit | validate | test``: LightningCLI with a run directory, one seed, and the curriculum."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
from jsonargparse import Namespace
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from observer import strategies
from observer.callbacks import (
    AtomicCheckpointIO,
    Completions,
    Components,
    GracefulStop,
    RunProgress,
    RunReport,
    checkpoint_callbacks,
)
from observer.cli.callback_options import add_callback, left_out, refuse_twice
from observer.cli.parser import Parser, default_rewards, quieten
from observer.curriculum import CurriculumCallback
from observer.data.module import LadderDataModule
from observer.run.checkpoints import (
    finished_rollouts,
    resolve_checkpoint,
)
from observer.run.directory import claim
from observer.run.files import whole_file, writing
from observer.types import RefusedError

FORCED = {
    "curriculum": CurriculumCallback,
    "completions": Completions,
    "components": Components,
    "report": RunReport,
}
"""Callbacks of every run, by the name of their options; a subclass may take the place of each."""


class RunConfig(SaveConfigCallback):
    """Writes the whole configuration to ``config.yaml`` of the run directory, the record of the run."""

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Write nothing yet: the run may still be refused."""

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write it on rank 0."""
        if trainer.is_global_zero:
            self.save_config(trainer, pl_module, "fit")

    def save_config(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Write it; a resumed run keeps the first file and adds one of its own."""
        folder, path = Path(trainer.default_root_dir), Path(trainer.default_root_dir) / "config.yaml"
        if self.config.get("ckpt_path") is not None:
            path = folder / f"config.resumed-{len(list(folder.glob('config.resumed-*.yaml'))) + 1}.yaml"
        with whole_file(path) as file:
            file.write(self.parser.dump(self.config, skip_none=False))


class Board(TensorBoardLogger):
    """The TensorBoard logger; an error of writing names the directory."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log figures at a step."""
        with writing(Path(self.log_dir)):
            super().log_metrics(metrics, step)

    def save(self) -> None:
        """Flush logged figures to the operating system."""
        with writing(Path(self.log_dir)):
            super().save()


class RunCLI(LightningCLI):
    """LightningCLI for one run in one directory."""

    @classmethod
    def run(cls, learner: type[lightning.LightningModule], words: list[str]) -> None:
        """Parse a command line, build trainer, learner and data, and run.

        Args:
            learner: the class that ``model`` configures.
            words: the command line, subcommand first.
        """
        quieten()
        cls(
            model_class=learner,
            datamodule_class=LadderDataModule,
            parser_class=Parser,
            save_config_callback=RunConfig,
            save_config_kwargs={"save_to_log_dir": False},
            seed_everything_default=0,
            trainer_defaults={
                "num_sanity_val_steps": 0,
                "use_distributed_sampler": False,
                "log_every_n_steps": 1,
                "enable_model_summary": False,
            },
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            args=words,
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Return the subcommands and the arguments of the trainer's methods that they do not take."""
        return {
            "fit": {"model", "train_dataloaders", "val_dataloaders", "datamodule", "weights_only"},
            "validate": {"model", "dataloaders", "datamodule", "weights_only"},
            "test": {"model", "dataloaders", "datamodule", "weights_only"},
        }

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse the given words, not those of the process."""
        self.config = parser.parse_args(args)
        for line in left_out(args, self.config[self.config.subcommand], FORCED):
            rank_zero_only(print)(f"observer: {line}", file=sys.stderr)

    def _parse_ckpt_path(self) -> None:
        """Take no options from a checkpoint: only the configuration counts."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the options of the run as a whole: directory, seed, plugins, learner, checkpoints."""
        parser.add_argument(
            "--run_dir", type=str, default="runs/default", help="The directory that this run alone writes to."
        )
        parser.add_argument(
            "--plugins",
            type=list[str],
            default=[],
            help="Python files with strategies of your own, imported first.",
        )
        parser.add_argument(
            "--learner",
            type=str,
            default=strategies.import_path(self._model_class),
            help="Import path of the LightningModule class that 'model' configures.",
        )
        if any(action.dest == "model.rewards" for action in parser._actions):
            parser.set_defaults({"model.rewards": default_rewards()})
        parser.link_arguments("run_dir", "trainer.default_root_dir")
        for target in ("model.seed", "data.seed"):
            parser.link_arguments("seed_everything", target, compute_fn=_one_seed)
        parser.add_argument(
            "--checkpoints.every_n_steps",
            type=int,
            default=50,
            help="Optimizer steps from one checkpoints/last.ckpt to the next; validations write it too.",
        )
        for name, callback in FORCED.items():
            add_callback(parser, callback, name)
            parser.callback_keys.append(name)

    def before_instantiate_classes(self) -> None:
        """Claim the run directory and find the checkpoint, before anything is opened."""
        config = self.config[self.subcommand]
        given = config.get("ckpt_path")
        refuse_twice(config.trainer.callbacks, FORCED)
        if config.trainer.gradient_clip_val is not None:
            raise RefusedError(
                "trainer.gradient_clip_val is set; gradients are clipped by model.gradient_clip"
            )
        if config.trainer.accumulate_grad_batches != 1:
            raise RefusedError(
                "trainer.accumulate_grad_batches is set; a step is cut into passes by model.micro_batch"
            )
        if self.subcommand == "fit":
            rank_zero_only(claim)(config.run_dir, resume=given is not None)
        if given is not None:
            config["ckpt_path"] = str(resolve_checkpoint(config.run_dir, given))

    def instantiate_trainer(self, **kwargs: Any) -> lightning.Trainer:
        """Build the trainer with TensorBoard in the run directory, unless another logger is asked for."""
        config: Namespace = self.config[self.subcommand]
        if config.trainer.logger in (None, True):
            kwargs["logger"] = Board(
                config.run_dir,
                name="",
                version="tensorboard",
                purge_step=finished_rollouts(config.get("ckpt_path")) if self.subcommand == "fit" else None,
            )
        trainer = self.config_init[self.subcommand].trainer
        plugins, callbacks = trainer.plugins or [], trainer.callbacks or []
        kwargs["plugins"] = [*(plugins if isinstance(plugins, list) else [plugins]), AtomicCheckpointIO()]
        kwargs["callbacks"] = [
            *(callbacks if isinstance(callbacks, list) else [callbacks]),
            *checkpoint_callbacks(
                Path(config.run_dir), config.checkpoints.every_n_steps, validates=config.data.val is not None
            ),
            GracefulStop(),
        ]
        shown = config.trainer.enable_progress_bar is not False
        if shown and not any(isinstance(callback, ProgressBar) for callback in kwargs["callbacks"]):
            kwargs["callbacks"].append(RunProgress())
        return super().instantiate_trainer(**kwargs)

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Any]) -> lightning.Trainer:
        """Put the callbacks of every run first, so that the others can read what they log."""
        return super()._instantiate_trainer({**config, "callbacks": [*callbacks, *config["callbacks"]]}, [])


def _one_seed(seed: bool | int) -> int:
    if isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise RefusedError(f"seed_everything is {seed}; give a number from 0 to {2**32 - 1}")
    return seed
