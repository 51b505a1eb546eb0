"""Options as YAML that every reader reads as the same options: for the parser, and for ``config.yaml``."""

from __future__ import annotations

import re
from typing import Any

import yaml

from observer.cli.configuration.interpolation import escaped, with_values


class _Quoted(yaml.SafeDumper):  # type: ignore[misc]
    """Writes every text in quotes, so that none is read as a number."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write repeated values out."""
        return True


_Quoted.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style='"')
)


def as_text(value: Any) -> str:
    r"""Return a value as one line of YAML, which any YAML reader reads as the same value.

    >>> as_text({"a": ["1e-6", 1e-6, None, "\U0001f600"]})
    '{"a": ["1e-6", 1.0e-06, null, "\\U0001F600"]}'
    """
    text: str = yaml.dump(value, Dumper=_Quoted, default_flow_style=True, width=float("inf"), sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def with_escapes(text: str) -> str:
    r"""Return the YAML of resolved options so that it can be read again: a literal ``${`` is escaped.

    Args:
        text: YAML as the parser has written it, after its first lines of comments.
    """
    if not re.search(r"\$\{", text):
        return text
    head = re.match(r"(#.*\n)*", text)
    kept = head[0] if head else ""
    content = with_values(yaml.safe_load(text), lambda _, part: escaped(part))
    written: str = yaml.safe_dump(content, default_flow_style=False, allow_unicode=True, sort_keys=False)
    return kept + written


def in_place_of(name: str, content: Any) -> str:
    """Return the content of a configuration file as a text that takes its place on the command line."""
    return f"# {as_text(name)}\n{as_text(content)}"


def replaced_file(text: str) -> str | None:
    """Return the name of the file that a text takes the place of; None if it is no such text.

    >>> replaced_file(in_place_of("a.yaml", {"run_dir": "b"}))
    'a.yaml'
    """
    first, line, _ = text.partition("\n")
    return str(yaml.safe_load(first[2:])) if line and first.startswith('# "') else None
