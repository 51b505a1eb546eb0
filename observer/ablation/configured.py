"""Compares the configuration of a run that is there with what the grid says of it now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from observer.ablation.grid import Grid, Run
from observer.refusal import shown
from observer.types import RefusedError

Parse = Callable[[list[str]], dict[str, Any]]
"""Words of ``observer fit`` -> all its options, as ``config.yaml`` holds them; raises RefusedError."""
OWN = ("run_dir", "ckpt_path", "trainer.default_root_dir")
"""Options that do not make a run another one."""
_SHOWN = 5
"""The most differences that a message lists."""


def refusals(grid: Grid, output: Path, parse: Parse) -> dict[str, str]:
    """Return variant -> why the parser refuses its options, of those that it refuses.

    Args:
        grid: of which the first seed is tried.
        output: directory of the grid.
        parse: the parser.
    """
    found = {}
    for name in grid.variants:
        try:
            parse(grid.run(name, grid.seeds[0], output).words)
        except RefusedError as error:
            parts = str(error).split("\n\n")
            told = [parts[0], *(part for part in parts[1:] if part.startswith("Near "))]
            found[name] = f"refused: {'; '.join(' '.join(part.split()) for part in told)}"
    return found


def refuse_changed(runs: Sequence[Run], parse: Parse) -> None:
    """Refuse a grid that says something else of a run than what it was made with.

    Args:
        runs: of the grid; those without a ``config.yaml`` have not begun.
        parse: the parser.

    Raises:
        RefusedError: names the run, the options and both values.
    """
    for run in runs:
        file = run.folder / "config.yaml"
        if not file.is_file():
            continue
        try:
            was = yaml.safe_load(file.read_text(encoding="utf-8"))
            now = parse(run.words)
        except RefusedError:  # a variant that is refused; it is reported as failed
            continue
        except (yaml.YAMLError, OSError, ValueError) as error:
            raise RefusedError(f"{file} cannot be read: {error}; remove {run.folder}") from error
        changed = list(differences(was, now))
        if changed and (changed := list(differences(_completed(was, file, parse), now))):
            told = "; ".join(changed[:_SHOWN])
            more = f"; and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
            raise RefusedError(
                f"{run.name} was run with other options: {told}{more}. Set them back, remove {run.folder} to "
                f"run it anew, or choose another --output"
            )


def _completed(was: Any, file: Path, parse: Parse) -> Any:
    """Return a configuration with the defaults of options that are newer than it."""
    try:
        return parse(["fit", "--config", str(file)])
    except RefusedError:  # some of its options are no more
        return was


def differences(was: Any, now: Any) -> Iterator[str]:
    """Yield each option that differs, with both values.

    >>> list(differences({"model": {"kl": None}, "run_dir": "a"}, {"model": {"kl": "K3"}, "run_dir": "b"}))
    ["model.kl was None, is 'K3'"]
    """
    one, other = dict(_flat(was)), dict(_flat(now))
    for option in [*one, *(option for option in other if option not in one)]:
        before, after = one.get(option), other.get(option)
        if before != after and option not in OWN:
            yield f"{option} was {shown(before)}, is {shown(after)}"


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the options of nested mappings by their path; those of a class are in its ``init_args``."""
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            here = path if key == "init_args" else f"{path}.{key}" if path else str(key)
            yield from _flat(part, here)
    elif path:
        yield path, value


def option(config: Mapping[str, Any], path: str) -> Any:
    """Return an option of a configuration by its path; None where there is none."""
    return dict(_flat(config)).get(path)
