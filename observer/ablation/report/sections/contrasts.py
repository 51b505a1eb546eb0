"""The primary contrasts, which are tested: what each is, what is shown, and what would show it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from observer.ablation.report.document import ABSENT, Items, Section, Table, figure
from observer.ablation.report.effects import Effects
from observer.ablation.report.sections.naming import told
from observer.ablation.report.wording import (
    degrees,
    equivalence,
    left_out,
    p_text,
    points,
    several,
    statement,
    with_interval,
)
from observer.statistics import holm_error

FOREST = (
    "Differences in accuracy with 95 % intervals, each by itself: not corrected for how many there are. "
    "Filled: tested, greedy answers"
)
FEW = (
    "With {seeds} and {contrasts}, and no effect at all, Holm's p was measured to fall below 0.05 in {share} "
    "of experiments where seeds differ most, and in fewer elsewhere; 5 % are meant (docs/statistics.md)."
)


def contrasts_section(effects: Effects, figures: Mapping[str, str]) -> Section:
    """Return what the grid file names: tested.

    Args:
        effects: of the runs.
        figures: name of a figure -> its file, of those that were drawn.
    """
    runs, holm = effects.runs, effects.holm
    greedy, count = effects.primary(), len(effects.planned)
    if not greedy:
        return Section("Primary contrasts", ["The grid file names none: nothing is tested."])
    sampled = effects.primary("sampled_accuracy")
    rows, said = [], []
    for one, other in zip(greedy, sampled, strict=True):
        tested = effects.tested(one)
        holm_p = holm[one.name] if tested else None
        rows.append(
            (
                one.name,
                with_interval(one, signed=True),
                degrees(one),
                p_text(one.p_value if tested else None),
                p_text(holm_p),
                equivalence(one, runs.grid.margin) if one.sure else ABSENT,
                with_interval(other, "sampled_accuracy", signed=True),
                str(len(one.seeds)),
            )
        )
        late = "named later, not tested" if one.name in effects.untested else ""
        words = [late, statement(one, runs.grid.margin, holm_p, count), left_out(one)]
        said.append((one.name, f"{'; '.join(filter(None, words))}."))
    heads = ("points (95 %)", "df", "p", "Holm's p", f"within ±{points(runs.grid.margin)}")
    table = Table(("contrast", *heads, "sampled, points", "seeds"), tuple(rows))
    formulas = Items(tuple((name, _formula(weights)) for name, weights in runs.grid.contrasts.items()))
    return Section(
        "Primary contrasts",
        [
            *_tested(effects),
            table,
            Items(tuple(said)),
            *figure(figures, "forest", FOREST),
            "What each contrast is:",
            formulas,
        ],
    )


def _tested(effects: Effects) -> Iterator[str]:
    """Yield how the contrasts are tested, and how far that can be trusted with so few seeds."""
    runs = effects.runs
    count = len(effects.planned)
    yield (
        f"Paired differences in the accuracy of greedy answers, on the same seeds and problems. p-values are "
        f"two-sided, Holm's over {several(count, 'contrast')}. Within ±{points(runs.grid.margin)}: shown by "
        "two one-sided tests at 5 %. The differences of sampled answers stand beside them and are not tested."
    )
    yield from told(runs.grid, runs.named)
    fewest = min((len(one.seeds) for one in effects.primary() if one.sure), default=0)
    if fewest:
        share = f"{100 * holm_error(fewest, count):.0f} %"
        yield FEW.format(seeds=several(fewest, "seed"), contrasts=several(count, "contrast"), share=share)


def _formula(weights: Mapping[str, float]) -> str:
    """Return a contrast as a sum.

    >>> _formula({"a": 1.0, "b": -0.5, "c": -0.5})
    'a - 0.5 b - 0.5 c'
    """
    text = ""
    for variant, weight in weights.items():
        sign = ("- " if weight < 0 else "+ ") if text else ("-" if weight < 0 else "")
        size = "" if abs(weight) == 1 else f"{abs(weight):.4g} "
        text += f"{' ' if text else ''}{sign}{size}{variant}" if weight else ""
    return text
