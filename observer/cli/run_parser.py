"""The parser of ``fit``, ``validate`` and ``test``: the other commands', with what LightningCLI needs."""

from __future__ import annotations

import torch
from jsonargparse.typing import register_type
from lightning.pytorch.cli import LightningArgumentParser

from observer.cli.parser import Parser

# The default of a callback's ``device`` is an object, which configurations hold as its name.
register_type(torch.device, deserializer_exceptions=(RuntimeError, TypeError, ValueError))


class RunParser(Parser, LightningArgumentParser):
    """The parser of a subcommand of LightningCLI."""
