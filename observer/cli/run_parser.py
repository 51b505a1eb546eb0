"""The parser of commands that load models: that of the others, with what LightningCLI needs."""

from __future__ import annotations

import transformers
from lightning.pytorch.cli import LightningArgumentParser

from observer.cli.parser import Parser


class RunParser(Parser, LightningArgumentParser):
    """The parser of a subcommand of LightningCLI."""


def hide_bars() -> None:
    """Hide the progress bars of loading, which takes a second."""
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
