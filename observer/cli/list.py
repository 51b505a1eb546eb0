"""``observer list``: the strategies that are known by name."""

from __future__ import annotations

import sys

from observer import strategies
from observer.cli.configuration.plain_parser import PlainParser
from observer.cli.early import plugin_files
from observer.types import RefusedError


def list_command(words: list[str]) -> None:
    """Print the strategies of every family, or of one: name, parameters, what it does."""
    parser = PlainParser(prog="observer list", description="Print the strategies that are known by name.")
    parser.add_argument("family", nargs="?", help=f"one of: {', '.join(strategies.FAMILIES)}, presets")
    parser.add_argument("--plugins", nargs="*", default=[], help="Python files with strategies of your own")
    parser.add_argument("--markdown", action="store_true", help="print a page for a browser")
    given = parser.parse_args(words)
    if given.family == "presets":
        print_presets()
        return
    if given.family is not None and given.family not in strategies.FAMILIES:
        raise RefusedError(
            f"family {given.family!r} does not exist; there are {', '.join(strategies.FAMILIES)}, presets"
        )
    strategies.load_entry_points()
    for plugin in (file for word in given.plugins for file in plugin_files(word)):
        strategies.load_plugin(plugin)
    families = [given.family] if given.family else list(strategies.FAMILIES)
    if given.markdown:
        print(strategies.page(families), end="")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title_justify="left", show_edge=False)
    for heading, style in (("family", "dim"), ("name", "bold"), ("parameters", ""), ("what it is", "")):
        table.add_column(heading, style=style, overflow="fold")
    for family in families:
        for place, (name, strategy) in enumerate(strategies.members(family).items()):
            parameters = "\n".join(
                f"{key}: {value}" for key, value in strategies.parameters(strategy).items()
            )
            table.add_row("" if place else family, name, parameters, strategies.summary(strategy))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def print_presets() -> None:
    """Print the mappings that ``Columns`` knows by name, as YAML to copy, and where each schema is from."""
    from observer.data.columns.mapping import presets

    print("---\n".join(f"# preset: {name}\n{text}" for name, text in presets().items()), end="")
