"""``observer fit | validate | test | predict``: LightningCLI with a run directory, one seed, a curriculum."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning
import yaml
from jsonargparse import Namespace
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.strategies.launchers.multiprocessing import _MultiProcessingLauncher
from lightning.pytorch.utilities import rank_zero_only

from observer import strategies
from observer.callbacks import (
    Alarms,
    AtomicCheckpointIO,
    Completions,
    Components,
    GracefulStop,
    Predictions,
    RunProgress,
    RunReport,
    checkpoint_callbacks,
)
from observer.cli.board import Board
from observer.cli.callback_options import add_callback, left_out, refuse_twice
from observer.cli.configuration.settled import settle_correction
from observer.cli.parser import default_rewards, hide_bars, quieten
from observer.cli.predict.rows import add_row_options
from observer.cli.run_parser import RunParser
from observer.cli.trainer_flags import (
    building,
    refuse_checkpoint_io,
    refuse_flags,
    refuse_unwritable,
    with_plain_values,
)
from observer.curriculum import CurriculumCallback
from observer.data.module import LadderDataModule
from observer.learner import PolicyModule, held_out_sampling
from observer.refusal import refuse_outside
from observer.release.lmms_eval import refuse_form
from observer.run.checkpoints import finished_rollouts, resolve_checkpoint
from observer.run.directory import claim
from observer.run.files import refuse_output, whole_file
from observer.run.hyperparameters import flat
from observer.run.waiting import AFTER, set_waits, waiting
from observer.types import RefusedError, Sampling

FORCED = {
    "curriculum": CurriculumCallback,
    "completions": Completions,
    "components": Components,
    "alarms": Alarms,
    "report": RunReport,
}
"""Callbacks of every run, by the name of their options; a subclass may take the place of each."""

SETTINGS: dict[str, Any] = {
    "datamodule_class": LadderDataModule,
    "parser_class": RunParser,
    "save_config_kwargs": {"save_to_log_dir": False},
    "seed_everything_default": 0,
    "trainer_defaults": {
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,
        "log_every_n_steps": 1,
        "enable_model_summary": False,
    },
    "auto_configure_optimizers": False,
    "load_from_checkpoint_support": False,
}
"""What is asked of LightningCLI."""


class _EnoughError(Exception):
    """The parser is built, and nothing else is needed."""


class RunConfig(SaveConfigCallback):
    """Writes the whole configuration to ``config.yaml`` of the run directory, the record of the run."""

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Give the learner the options that its loggers are to have. Write nothing: it may be refused yet."""
        # Validated when it was parsed, and a fit's once more by refuse_unwritable.
        self._text = self.parser.dump(self.config, skip_none=False, skip_validation=True)
        if isinstance(pl_module, PolicyModule):
            pl_module.hyperparameters = flat(yaml.safe_load(self._text))

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
            file.write(self._text)


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
        hide_bars()
        command = {words[0]: cls.subcommands()[words[0]]}  # each parser takes time, and only one is asked
        one = type(cls.__name__, (cls,), {"subcommands": staticmethod(lambda: command)})
        try:
            one(model_class=learner, args=words, save_config_callback=RunConfig, **SETTINGS)
        finally:
            set_waits(AFTER, folder=None)  # those of the run are over

    @classmethod
    def defaults(cls, learner: type[lightning.LightningModule]) -> dict[str, Any]:
        """Return the options of a run that nobody wrote, as nested mappings.

        Args:
            learner: the class that ``model`` configures.
        """
        found: dict[str, Any] = {}

        class Defaults(cls):  # type: ignore[valid-type, misc]
            def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
                of_fit = self._subcommand_parsers["fit"]
                found.update(
                    yaml.safe_load(of_fit.dump(of_fit.get_defaults(), skip_none=False, skip_validation=True))
                )
                raise _EnoughError

        with suppress(_EnoughError):
            Defaults(model_class=learner, args=[], **SETTINGS)
        return found

    @classmethod
    def options(cls, learner: type[lightning.LightningModule], words: list[str]) -> dict[str, Any]:
        """Return all options of a fit as its ``config.yaml`` holds them, without running it.

        Args:
            learner: the class that ``model`` configures.
            words: the command line, subcommand first, as ``run`` takes it.

        Raises:
            RefusedError: the parser refuses an option or its value.
        """
        found: dict[str, Any] = {}

        class Options(cls):  # type: ignore[valid-type, misc]
            @staticmethod
            def subcommands() -> dict[str, set[str]]:
                return {"fit": cls.subcommands()["fit"]}

            def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
                config = parser.parse_args(args)["fit"]
                refuse_twice(config.trainer.callbacks, FORCED)
                refuse_flags(config.trainer, fits=True)
                with_plain_values(config.trainer)
                settle_correction(config.model)
                found.update(yaml.safe_load(self._parser("fit").dump(config, skip_none=False)))
                raise _EnoughError

        quieten()
        with suppress(_EnoughError):
            Options(model_class=learner, args=words, **SETTINGS)
        return found

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Return the subcommands and the arguments of the trainer's methods that they do not take."""
        return {
            "fit": {"model", "train_dataloaders", "val_dataloaders", "datamodule", "weights_only"},
            "validate": {"model", "dataloaders", "datamodule", "weights_only"},
            "test": {"model", "dataloaders", "datamodule", "weights_only"},
            "predict": {"model", "dataloaders", "datamodule", "weights_only", "return_predictions"},
        }

    def _prepare_subcommand_parser(
        self, klass: type, subcommand: str, **options: Any
    ) -> LightningArgumentParser:
        """Add the options that only ``predict`` has."""
        parser = super()._prepare_subcommand_parser(klass, subcommand, **options)
        if subcommand == "predict":
            add_row_options(parser)
        return parser

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
            type=list[str] | str,
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
            if not any(action.dest == target for action in parser._actions):
                raise RefusedError(
                    f"learner {strategies.import_path(self._model_class)} has no option seed; name one "
                    f"below observer.learner.ObserveLearner, whose __init__ passes on **options"
                )
            parser.link_arguments("seed_everything", target, compute_fn=_one_seed)
        parser.add_argument(
            "--checkpoints.every_n_steps",
            type=int,
            default=50,
            help="Optimizer steps from one checkpoints/last.ckpt to the next; validations write it too.",
        )
        parser.add_argument(
            "--waits.after",
            type=float | None,
            default=AFTER,
            help="Seconds after which a run names what it waits for: engine, verifier, another rank, disk.",
        )
        for name, callback in FORCED.items():
            add_callback(parser, callback, name)
            parser.callback_keys.append(name)

    def before_instantiate_classes(self) -> None:
        """Claim the run directory and find the checkpoint, before anything is opened."""
        config = self.config[self.subcommand]
        given = config.get("ckpt_path")
        refuse_outside("waits.after", config.waits.after, above=0, hint=", or null")
        set_waits(config.waits.after, folder=None)
        refuse_twice(config.trainer.callbacks, FORCED)
        refuse_flags(config.trainer, fits=self.subcommand == "fit")
        with_plain_values(config.trainer)
        settle_correction(config.model)
        if self.subcommand == "predict":
            rank_zero_only(refuse_output)(config.output)
            held_out_sampling(Sampling(), config.samples, config.temperature)
            refuse_form(config.format, config.task, config.samples, config.pictures)
        if self.subcommand == "fit":
            refuse_unwritable(lambda: self._parser("fit").dump(config, skip_none=False))
            if not config.trainer.fast_dev_run:  # which writes elsewhere
                rank_zero_only(claim)(config.run_dir, resume=given is not None)
                set_waits(config.waits.after, Path(config.run_dir))
        if given is not None:
            sums = getattr(rank_zero_only, "rank", 0) == 0
            found = resolve_checkpoint(config.run_dir, given, sums)
            config["ckpt_path"] = str(found)

    def instantiate_classes(self) -> None:
        """Build learner, data and trainer; a package that one of them needs and lacks is named."""
        with building():
            super().instantiate_classes()

    def predict(self, **arguments: Any) -> None:
        """Answer the rows and write the completions."""
        config = self.config[self.subcommand]
        self.model.prediction = held_out_sampling(self.model.sampling, config.samples, config.temperature)
        written = Predictions(config.output, config.format, config.task, config.pictures)
        self.trainer.callbacks.append(written)  # type: ignore[attr-defined]
        self.trainer.predict(**arguments, return_predictions=False)

    def instantiate_trainer(self, **kwargs: Any) -> lightning.Trainer:
        """Build the trainer with TensorBoard in the run directory, unless another logger is asked for.

        Validation and test print their figures, and log them only where a logger is asked for: they are no
        part of the run's curves.
        """
        config: Namespace = self.config[self.subcommand]
        if config.trainer.logger in (None, True):
            fits, step = self.subcommand == "fit", finished_rollouts(config.get("ckpt_path"))
            kwargs["logger"] = Board(config.run_dir, step or 0) if fits else False
        trainer = self.config_init[self.subcommand].trainer
        plugins, callbacks = trainer.plugins or [], trainer.callbacks or []
        plugins = plugins if isinstance(plugins, list) else [plugins]
        refuse_checkpoint_io(plugins)
        kwargs["plugins"] = [*plugins, checkpoint_io := AtomicCheckpointIO()]
        kwargs["callbacks"] = [
            *(callbacks if isinstance(callbacks, list) else [callbacks]),
            *checkpoint_callbacks(
                Path(config.run_dir),
                config.checkpoints.every_n_steps,
                validates=(config.data.val, config.data.val_fraction) != (None, None),
            ),
            GracefulStop(),
        ]
        shown = config.trainer.enable_progress_bar is not False
        if shown and not any(isinstance(callback, ProgressBar) for callback in kwargs["callbacks"]):
            kwargs["callbacks"].append(RunProgress())
        with building(trainer=True):
            built = super().instantiate_trainer(**kwargs)
        if isinstance(built.strategy.launcher, _MultiProcessingLauncher):
            raise RefusedError(
                f"trainer.strategy is {config.trainer.strategy}, whose processes know nothing of the run's "
                f"lock, signals and plugins; use ddp, which starts them by the same command line"
            )
        meet = built.strategy.setup_environment

        def met() -> None:
            with waiting("ranks start and meet", f"{built.world_size} of them"):
                meet()
            checkpoint_io.agree(built.strategy, config.get("ckpt_path"))

        if built.world_size > 1:
            built.strategy.setup_environment = met  # type: ignore[method-assign]
        return built

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Any]) -> lightning.Trainer:
        """Put the callbacks of every run first, so that the others can read what they log."""
        return super()._instantiate_trainer({**config, "callbacks": [*callbacks, *config["callbacks"]]}, [])


def _one_seed(seed: bool | int) -> int:
    if isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise RefusedError(f"seed_everything is {seed}; give a number from 0 to {2**32 - 1}")
    return seed
