"""A grid: a base configuration, variants of it, seeds, and the contrasts that its report tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from observer.ablation.contrasts import Weights, read_contrasts
from observer.ablation.factorial import (
    NONE,
    Cell,
    Design,
    aliases,
    cell_name,
    read_cell,
    read_design,
    read_exclusions,
)
from observer.ablation.grid_file import Overrides, Place, mapping, name_of, overrides, read_yaml, unknown
from observer.ablation.values import as_word, resolve, resolved, same

KEYS = (
    *("base", "seeds", "common", "axes", "design", "names", "variants", "exclude"),
    *("baseline", "contrasts", "margin"),
)
LOGS, RECORD, REPORT = "logs", "grid.yaml", "report"
"""In the directory of a grid: what the processes print, the resolved file, and the report's own folder."""
MOST_RUNS = 10_000
MARGIN = 0.01


@dataclass(frozen=True)
class Variant:
    """A recipe of the grid."""

    name: str
    overrides: Overrides
    """Option -> value, without those that all runs share; values may hold ``${..}``."""
    cells: Cell = field(default_factory=dict)
    """Axis -> level, where it comes from axes; empty for a variant that the file names."""


@dataclass(frozen=True)
class Run:
    """A variant with a seed: one process of ``observer fit``, one directory."""

    variant: str
    seed: int
    folder: Path
    """The run directory."""
    words: list[str]
    """Of the command line after ``observer``: fit, its configurations, its options."""

    @property
    def name(self) -> str:
        """As messages name it."""
        return f"{self.variant} seed {self.seed}"

    @property
    def log(self) -> Path:
        """The file that its process prints to."""
        return self.folder.parent.parent / LOGS / f"{self.variant}-seed-{self.seed}.log"


@dataclass(frozen=True)
class Grid:
    """What a grid file says; see docs/ablation.md."""

    name: str
    path: Path
    base: tuple[str, ...]
    """Configurations by name or path, those written last count."""
    seeds: tuple[int, ...]
    variants: dict[str, Variant]
    """Cells of the axes first, in the order of the design, then the named ones."""
    contrasts: dict[str, Weights]
    """Primary contrasts: name -> variant -> weight; the weights sum to 0."""
    baseline: str
    """The variant that exploratory differences are taken from."""
    margin: float = MARGIN
    """Of equivalence, in accuracy."""
    common: Overrides = field(default_factory=dict)
    """Options of every run."""
    seed_overrides: dict[int, Overrides] = field(default_factory=dict)
    """Options that a seed has of its own, such as its start."""
    axes: dict[str, dict[str, Overrides]] = field(default_factory=dict)
    """Axis -> level -> its options."""
    aliases: tuple[str, ...] = ()
    """What a fraction cannot tell apart."""

    @property
    def output(self) -> Path:
        """The directory of the grid where nobody names one."""
        return Path("runs") / self.name

    def runs(self, output: str | Path | None = None) -> list[Run]:
        """Return the runs, seed by seed: what is compared is run side by side.

        Args:
            output: directory of the grid; None for the usual one.

        Raises:
            RefusedError: an interpolation of a value stands for nothing.
        """
        folder = self.output if output is None else Path(output)
        return [self.run(name, seed, folder) for seed in self.seeds for name in self.variants]

    def run(self, variant: str, seed: int, output: Path) -> Run:
        """Return one run."""
        folder = output / variant / f"seed-{seed}"
        words = ["fit"] + [word for base in self.base for word in ("--config", base)]
        words += [as_word(option, value) for option, value in self.options(variant, seed).items()]
        words += [f"--seed_everything={seed}", f"--run_dir={folder}"]
        return Run(variant, seed, folder, words)

    def options(self, variant: str, seed: int) -> Overrides:
        """Return the options that one run has beside its configurations, those written last at the end.

        Args:
            variant: its name.
            seed: one of ``seeds``.

        Raises:
            RefusedError: an interpolation of a value stands for nothing.
        """
        found: Overrides = {}
        layers = {
            "common": self.common,
            f"variants.{variant}": self.variants[variant].overrides,
            f"seeds.{seed}": self.seed_overrides.get(seed, {}),
        }
        for key, layer in layers.items():
            for option, value in resolved(layer, Place(str(self.path), key), seed, variant).items():
                found.pop(option, None)  # a class that is named again comes after its former options
                found[option] = value
        return found


def read_grid(path: str | Path) -> Grid:
    """Read a grid file.

    Args:
        path: of the file.

    Raises:
        RefusedError: the file cannot be read, or something in it makes no sense: names the file, the key, its
            value and what to write instead.
    """
    content, top = read_yaml(path), Place(str(path))
    for key in content:
        if key not in KEYS:
            raise top.at(key).refused(content[key], unknown(key, KEYS, "key of a grid file"))
    base = _base(content.get("base"), top.at("base"))
    seeds, seed_overrides = _seeds(content.get("seeds"), top.at("seeds"))
    axes = _axes(content.get("axes", {}), top.at("axes"))
    levels = {axis: tuple(names) for axis, names in axes.items()}
    design = _design(content, levels, top)
    variants = _cells(design, axes, _names(content.get("names", {}), levels, design, top.at("names")))
    for key, value in _named(content.get("variants", {}), variants, top.at("variants")).items():
        variants[key] = value
    if not variants:
        raise top.at("variants").refused(content.get("variants"), "write at least one, such as {grpo: {}}")
    common = overrides(content.get("common"), top.at("common"))
    _refuse_twins(variants, common, top)
    cells = {name: variant.cells for name, variant in variants.items() if variant.cells}
    contrasts = read_contrasts(
        content.get("contrasts") or {}, variants, cells, levels, bool(design.generators), top.at("contrasts")
    )
    grid = Grid(
        name=name_of(Path(path).stem, top.at("the name of the file")),
        path=Path(path),
        base=base,
        seeds=seeds,
        variants=variants,
        contrasts=contrasts,
        baseline=_baseline(content.get("baseline"), variants, top.at("baseline")),
        margin=_margin(content.get("margin", MARGIN), top.at("margin")),
        common=common,
        seed_overrides=seed_overrides,
        axes=axes,
        aliases=tuple(aliases(levels, design)),
    )
    if len(seeds) * len(variants) > MOST_RUNS:
        raise top.at("seeds").refused(
            len(seeds), f"with {len(variants)} variants they are more than {MOST_RUNS:,} runs"
        )
    grid.runs()  # so that an interpolation that stands for nothing is refused here
    return grid


def _base(value: Any, place: Place) -> tuple[str, ...]:
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(name, str) and name for name in names):
        raise place.refused(value, "name a configuration, such as quickstart or mine.yaml, or a list of them")
    return tuple(str(resolve(name, place, {})) for name in names)


def _seeds(value: Any, place: Place) -> tuple[tuple[int, ...], dict[int, Overrides]]:
    """Return the seeds, and the options that each has of its own."""
    if not isinstance(value, list | dict) or not value:
        raise place.refused(
            value, "write a list, such as [0, 1, 2, 3, 4], or a seed with its own options each"
        )
    for seed in value:
        if type(seed) is not int or not 0 <= seed < 2**32:
            raise place.refused(seed, f"write numbers from 0 to {2**32 - 1}")
    if len(set(value)) < len(value):
        twice = next(seed for number, seed in enumerate(value) if seed in list(value)[:number])
        raise place.refused(value, f"{twice} is there twice; write each seed once")
    own = {seed: overrides(value[seed], place.at(seed)) for seed in value} if isinstance(value, dict) else {}
    return tuple(value), own


def _axes(value: Any, place: Place) -> dict[str, dict[str, Overrides]]:
    """Return axis -> level -> options."""
    found: dict[str, dict[str, Overrides]] = {}
    for key, written in mapping(value or {}, place, "{bonus: {off: {..}, on: {}}}").items():
        here = place.at(key)
        axis = name_of(key, here)
        levels = mapping(written, here, "{off: {model.rewards.bonus.weight: 0}, on: {}}")
        if len(levels) < 2:
            raise here.refused(written, "write two levels or more, the first of them off")
        found[axis] = {
            name_of(level, here): overrides(given, here.at(level)) for level, given in levels.items()
        }
        if len(found[axis]) < len(levels):
            raise here.refused(written, "two levels have the same name; rename one of them")
        for number, level in enumerate(found[axis]):
            for other in list(found[axis])[:number]:
                if same(found[axis][level], found[axis][other]):
                    raise here.refused(
                        written, f"levels {other} and {level} are the same; change one of them"
                    )
    return found


def _design(content: dict[str, Any], levels: dict[str, tuple[str, ...]], top: Place) -> Design:
    """Return the cells that are run; none without axes."""
    if not levels:
        for key in ("design", "exclude", "names"):
            if content.get(key):
                raise top.at(key).refused(content[key], "there are no axes; write axes, or remove it")
        return Design(())
    design = read_design(content.get("design", "full"), levels, top.at("design"))
    return read_exclusions(content.get("exclude") or [], levels, design, top.at("exclude"))


def _names(value: Any, levels: dict[str, tuple[str, ...]], design: Design, place: Place) -> dict[str, Cell]:
    """Return name -> cell of those cells that the file names; axes that are not written are off."""
    found: dict[str, Cell] = {}
    for key, written in mapping(value or {}, place, "{grpo: {}, observe_r1: {bonus: on}}").items():
        here = place.at(key)
        cell = {axis: names[0] for axis, names in levels.items()} | read_cell(written or {}, levels, here)
        if cell not in design.cells:
            raise here.refused(written, "the design has no such cell; remove it, or choose another design")
        if cell in found.values():
            raise here.refused(written, "this cell has another name already; write one of them")
        found[name_of(key, here)] = cell
    return found


def _cells(
    design: Design, axes: dict[str, dict[str, Overrides]], names: dict[str, Cell]
) -> dict[str, Variant]:
    """Return the cells as variants, by name."""
    levels = {axis: tuple(each) for axis, each in axes.items()}
    found = {}
    for cell in design.cells:
        name = next((name for name, named in names.items() if named == cell), cell_name(cell, levels))
        options: Overrides = {}
        for axis, level in cell.items():
            for option, value in axes[axis][level].items():
                options.pop(option, None)
                options[option] = value
        found[name] = Variant(name, options, cell)
    return found


def _named(value: Any, cells: dict[str, Variant], place: Place) -> dict[str, Variant]:
    """Return the variants that the file names."""
    found = {}
    for key, written in mapping(value or {}, place, "{random_order: {curriculum.schedule: Random}}").items():
        name = name_of(key, place.at(key))
        if name in cells:
            raise place.at(key).refused(written, "a cell of the axes has this name; choose another")
        found[name] = Variant(name, overrides(written, place.at(key)))
    return found


def _refuse_twins(variants: dict[str, Variant], common: Overrides, top: Place) -> None:
    """Refuse two variants that are the same, or have the same folder."""
    seen: dict[str, str] = {LOGS: LOGS, REPORT: REPORT, RECORD: RECORD}
    for name, variant in variants.items():
        here = top.at("variants").at(name)
        if (other := seen.get(name.lower())) is not None:
            raise here.refused(variant.overrides, f"the folder {other} has this name already; choose another")
        for one in list(seen.values())[3:]:
            if same({**common, **variants[one].overrides}, {**common, **variant.overrides}):
                raise here.refused(
                    variant.overrides, f"it is the same as {one}; change or remove one of them"
                )
        seen[name.lower()] = name


def _baseline(value: Any, variants: dict[str, Variant], place: Place) -> str:
    if value is None:
        return NONE if NONE in variants else next(iter(variants))
    if value not in variants:
        raise place.refused(value, unknown(value, variants, "variant"))
    return str(value)


def _margin(value: Any, place: Place) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise place.refused(value, "write an accuracy between 0 and 1, such as 0.01 for one point")
    return float(value)
