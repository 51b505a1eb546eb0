"""What a message of the parser says of an option that takes a class with options of its own."""

from __future__ import annotations

import re
from typing import Any

from observer import strategies
from observer.cli.configuration.near import nearest

ALL_OPTIONS = "observer fit --help prints every option"
"""The last line of a message."""


def joined(message: str) -> str:
    """Return a message about an option of an option with both as one path; the last line is said once."""
    message = re.sub(rf"\n+ *{ALL_OPTIONS}", "", message)
    while nested := re.match(r'Parser key "([\w.]+)":\n  Parser key "([\w.]+)":(.*)', message, re.DOTALL):
        outer, inner, rest = nested.groups()
        rest = rest.replace("\n  ", "\n").replace(f"by name for {inner}:", f"by name for {outer}.{inner}:")
        message = f'Parser key "{outer}.{inner}":{rest}'
    return message


def lacking(option: str, message: str) -> str | None:
    """Return a line about options that a class of Lightning's needs and was not given; None without any."""
    lacks = re.search("the following arguments are required: ([\\w, ]+)", message)
    classes = set(re.findall("class_path='([\\w.]+)'", message))
    if not option.startswith("trainer.") or lacks is None or len(classes) != 1:
        return None
    path, needed = classes.pop(), ", ".join(f"{name}: .." for name in lacks[1].split(", "))
    return (
        f"{option} has {path.rpartition('.')[2]} without {lacks[1]}; write it as {option}: "
        f"{{class_path: {path}, init_args: {{{needed}}}}}"
    )


def near(message: str, hint: Any) -> str:
    """Return lines with what is near to a class or an option that an option for a class does not take."""
    known = [cls for family in strategies.families_of(hint) for cls in strategies.members(family).values()]
    own = [hint] if isinstance(hint, type) and hint.__module__.startswith("observer.") else []
    names = [cls.__name__ for cls in known]
    options = sorted({name for cls in known or own for name in strategies.parameters(cls)})
    refused = [
        (word, options) for word in re.findall(r"Option '(\w+)' is not", message) if word not in options
    ]
    paths = re.findall(r"(?:import path string: |given class_path ')([\w.]+)", message)
    refused += [(path.rpartition(".")[2], names) for path in paths]
    lines = []
    for word, choices in refused:
        alike = nearest(word, choices)
        lines += [f"Near {word}: {', '.join(alike)}"] if alike else []
    if re.search("class_path.*No module named", message, re.DOTALL):
        lines.append("For a class of a file of your own write --plugins '[mine.py]', and its name alone")
    return "".join(f"\n\n{line}" for line in lines)
