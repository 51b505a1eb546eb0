"""``observer fit --plan``: what a fit would take, told before anything starts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from observer.cli.configuration.plain_parser import PlainParser
from observer.refusal import refuse_outside

FLAG = "--plan"


def plan_command(
    words: list[str],
    options_of: Callable[[list[str]], dict[str, Any]],
    run: Callable[[list[str]], None],
) -> None:
    """Print what a fit would take of GPUs, host and disk, and how long it would take.

    Args:
        words: the command line, with the command.
        options_of: gives all options of a fit for its command line.
        run: runs a fit by its command line.

    Raises:
        RefusedError: an option is refused, or the model's sizes are not on this machine. What does not fit is
            no refusal.
    """
    parser = _parser()
    given, words = parser.parse_known_args(words[1:])
    for option in ("gpu_memory", "gpus"):
        if (value := getattr(given, f"plan.{option}")) is not None:
            refuse_outside(f"{FLAG}.{option}", value, above=0)
    options = options_of(["fit", *words])
    from rich.console import Console

    from observer.planning import read_work, told
    from observer.planning.seconds import seconds

    work, capacity = read_work(options, getattr(given, "plan.gpus")), _capacity(options, given)
    if given.plan == "table":
        print("\n".join(told.sizes(work)))
        return
    took = None
    if given.plan == "timed":
        from observer.cli.plan.timed import timed_step

        took = timed_step(words, run)
    console = Console(width=None if sys.stdout.isatty() else 110)
    lines = [*told.headline(work)]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(told.memory_table(work, capacity), told.beside_table(work))
    took = seconds(work, _device()) if took is None else took
    for line in (*told.verdict(work, capacity), told.time_line(work, took)):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _parser() -> PlainParser:
    parser = PlainParser(
        prog="observer fit --plan",
        description="What a fit would take: memory of GPUs and host by part, disk, time. Computed from its "
        "options alone: no hub, rows, vLLM or GPU is needed. Takes the options of fit beside its own.",
    )
    parser.add_argument(
        FLAG,
        nargs="?",
        const="computed",
        choices=("computed", "timed", "table"),
        help="Timed: take two steps on this machine too, which needs all that the fit needs. Table: what "
        "fits on 1, 4 and 8 GPUs of 24, 48, 80 and 141 GB, as Markdown.",
    )
    parser.add_argument(
        f"{FLAG}.gpu_memory",
        type=float,
        default=None,
        metavar="GB",
        help="Of each GPU, 10^9 bytes; that of the GPU that is here where it is left out.",
    )
    parser.add_argument(
        f"{FLAG}.gpus",
        type=int,
        default=None,
        help="On all nodes; those of trainer.devices, or those that are here, where it is left out.",
    )
    return parser


def _capacity(options: dict[str, Any], given: argparse.Namespace) -> int | None:
    """Return the bytes of a GPU, or of the machine where a fit runs on its CPU; None: no GPU is here."""
    written = getattr(given, "plan.gpu_memory")
    if written is not None:
        return int(written * 10**9)
    if options["trainer"]["accelerator"] == "cpu":
        import os

        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    import torch

    if not torch.cuda.is_available():
        return None
    return int(torch.cuda.get_device_properties(0).total_memory)


def _device() -> str | None:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
