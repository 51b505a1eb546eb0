"""The parser of ``fit``, ``validate`` and ``test``: the other commands', with what LightningCLI needs."""

from __future__ import annotations

from lightning.pytorch.cli import LightningArgumentParser

from observer.cli.parser import Parser


class RunParser(Parser, LightningArgumentParser):
    """The parser of a subcommand of LightningCLI."""
