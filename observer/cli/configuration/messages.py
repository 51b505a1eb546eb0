"""What a message of the parser says of an option that takes a class with options of its own."""

from __future__ import annotations

import re
from typing import Any

from observer import strategies
from observer.refusal import nearest

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
    lacks = re.search("the following arguments are required: ([-\\w, ]+)", message)
    classes = set(re.findall("class_path='([\\w.]+)'", message))
    if not option.startswith("trainer.") or lacks is None or len(classes) != 1:
        return None
    names = lacks[1].replace("--", "")
    path, needed = classes.pop(), ", ".join(f"{name}: .." for name in names.split(", "))
    return (
        f"{option} has {path.rpartition('.')[2]} without {names}; write it as {option}: "
        f"{{class_path: {path}, init_args: {{{needed}}}}}"
    )


def program(prog: str, message: str) -> str:
    """Return the command whose options a message is about.

    Args:
        prog: of the parser; one of a subcommand ends with its name.
        message: may name options with the subcommand first.
    """
    if prog.startswith("observer "):
        return prog
    command = re.search(r"\b(fit|validate|test|predict)$", prog)
    return f"observer {command[1] if command else 'predict' if 'required: --output' in message else 'fit'}"


def as_words(message: str) -> str:
    """Return a message that names options as they are written on the command line.

    >>> as_words("the following arguments are required: run_dir, output")
    'the following arguments are required: --run_dir, --output'
    >>> as_words("unrecognized arguments: quickstart").partition("; ")[2]
    'options begin with --, such as --config FILE'
    """
    message = re.sub(r"Call to compute_fn of link .*? failed: ", "", message)
    start = "the following arguments are required: "
    if message.startswith(start):
        names = [
            re.sub(r"^(fit|validate|test|predict)\.|^-+", "", name)
            for name in message[len(start) :].split(", ")
        ]
        return start + ", ".join(f"--{name}" for name in names)
    if re.match(r"unrecognized arguments: [^-]", message):
        return f"{message}; options begin with --, such as --config FILE"
    return message


_NOISE = re.compile(
    r"(- )?Expected a path but .* either not accessible or invalid|(- )?Does not validate against any .*"
    r"|Subtypes: .*|Errors:|Given value type: .*|Given value: NestedArg\(.*"
)
"""Lines of the parser that say how it reads a type, not what is wrong."""
_KIND = re.compile(r"- Expected an? <class '([\w.]+)'>(\. Got value: .*)?")
_CLASS = re.compile(r"- a (class path|dict) .*|Subclass types expect one of:")


def plain(message: str) -> str:
    r"""Return a message of the parser as one paragraph: each thing that is wrong, once.

    >>> lines = ["Option 'a':", "Errors:", "- Expected a <class 'int'>", "- Expected a <class 'NoneType'>"]
    >>> plain("\n".join([*lines, "Given value: x"]))
    "Option 'a': expects int or null; given value: x"
    """
    first, *rest = message.partition("\n\nNear ")[0].partition("\n\nKnown by name")[0].split("\n")
    tail = message[len("\n".join([first, *rest])) :]
    lines = [line.strip() for line in rest if line.strip() and not _NOISE.fullmatch(line.strip())]
    if not lines:
        return message
    value = [line for line in lines if line.startswith("Given value: ")]
    kinds = [found for line in lines if (found := _KIND.fullmatch(line))]
    told = [
        line for line in lines if line not in value and not _KIND.fullmatch(line) and not _CLASS.match(line)
    ]
    if not told and kinds:
        names = [{"NoneType": "null"}.get(found[1], found[1].rpartition(".")[2]) for found in kinds]
        told = [f"expects {' or '.join(dict.fromkeys(names))}"]
        value = value or [found[2][2:] for found in kinds if found[2]][:1]
    told = list(dict.fromkeys(line.removeprefix("- ") for line in told))
    hints = [line for line in told if line.startswith("Near --")]
    told = [line for line in told if line not in hints]
    tail = "".join(f"\n\n{line}" for line in hints) + tail
    if value and f"alue: {value[0].partition(': ')[2]}" not in " ".join(told):
        told.append(value[0][:1].lower() + value[0][1:])
    text = re.sub(r"([:;.]+); ", r"\1 ", "; ".join(told))
    return f"{first} {text}{tail}"


def near(message: str, hint: Any) -> str:
    """Return lines with what is near to a class or an option that an option for a class does not take."""
    known = [cls for family in strategies.families_of(hint) for cls in strategies.members(family).values()]
    own = [hint] if isinstance(hint, type) and hint.__module__.startswith("observer.") else []
    names = [cls.__name__ for cls in known]
    options = sorted({name for cls in known or own for name in strategies.parameters(cls)})
    refused = [
        (word, options) for word in re.findall(r"Option '(\w+)' is not", message) if word not in options
    ]
    paths = re.findall(r"(?:[Ii]mport path string: |given class_path '|Import path )([\w.]+)", message)
    refused += [(path.rpartition(".")[2], names) for path in paths]
    lines = []
    for word, choices in refused:
        alike = nearest(word, choices)
        lines += [f"Near {word}: {', '.join(alike)}"] if alike else []
    schedules = strategies.members("schedule")
    for path in paths if "curriculum" in strategies.families_of(hint) else ():
        if (name := path.rpartition(".")[2]) in schedules:
            lines.append(f"{name} is a schedule: write --curriculum.schedule {path}")
    if "is abstract" in message:
        lines.append("A new entry needs its class_path; one that is there goes by its key")
    if re.search("class_path.*No module named", message, re.DOTALL):
        lines.append("For a class of a file of your own write --plugins '[mine.py]', and its name alone")
    return "".join(f"\n\n{line}" for line in lines)
