"""Where runs of ``time_to_accuracy.py`` reach the accuracy, and how the sides compare. It reads no files."""

import math
from itertools import accumulate, pairwise

from rich.console import Console
from rich.table import Table

from observer.statistics import student

COSTS = {
    "seconds": "seconds of training",
    "processor_seconds": "processor seconds of training",
    "tokens": "rollout tokens",
}
"""What it takes to get there: columns of a run, and what they are."""
SHOWN = {
    "seconds": ("seconds until then", 1, ".0f"),
    "processor_seconds": ("processor seconds", 1, ".0f"),
    "tokens": ("rollout tokens, thousands", 1000, ".0f"),
    "seconds_per_step": ("seconds of a step", 1, ".2f"),
}
"""Rows of the page's table: what they are called, their unit and their digits."""
COMPARED = ("observer", "observer_all")
NAMES = {
    "observer": "groups without signal left out of the update, which TRL lacks",
    "observer_all": "all groups in the update on both sides",
}


def accuracies(snapshots, right, problems):
    """Return the held-out accuracy after each snapshot."""
    return [right[str(step)] / problems for step in snapshots]


def spent(run, cost):
    """Return what a run had spent at each of its snapshots, the start among them."""
    so_far = list(accumulate(run[cost], initial=0))
    return [so_far[step] for step in run["snapshots"]]


def totals(run):
    """Return figures of a whole run.

    ``others`` is the processor time that others used meanwhile, in parts of the time that it took.
    """
    seconds, own = sum(run["seconds"]), sum(run["processor_seconds"])
    return {
        "seconds_per_step": seconds / len(run["seconds"]),
        "others": (sum(run["machine"]) - own) / seconds,
    }


def crossing(values, reached, target):
    """Return the value at which an accuracy first reaches the target, on straight lines; None: nowhere.

    >>> crossing([0, 10, 20, 30], [0.25, 0.5, 1.0, 0.5], 0.75)
    15.0
    >>> crossing([0, 10], [0.5, 0.6], 0.7)
    """
    for (value, low), (next_value, high) in pairwise(zip(values, reached, strict=True)):
        if low < target <= high:
            return value + (next_value - value) * (target - low) / (high - low)
    return None


def taken(run, cost, target):
    """Return what a run took until the target, and whether this is only a bound: it did not reach it.

    Raises:
        ValueError: the start has reached it.
    """
    if run["accuracy"][0] >= target:
        raise ValueError(f"the start has an accuracy of {run['accuracy'][0]:.3f}; choose a --target above it")
    found = crossing(spent(run, cost), run["accuracy"], target)
    return {"value": sum(run[cost]), "bound": True} if found is None else {"value": found, "bound": False}


def ratio(ours, theirs):
    """Return the ratio of two figures of ``taken``, and what it says of the true one: =, <, > or ? (nothing).

    >>> ratio({"value": 4.0, "bound": False}, {"value": 8.0, "bound": True})
    {'value': 0.5, 'sign': '<'}
    """
    sign = {(False, False): "=", (False, True): "<", (True, False): ">", (True, True): "?"}
    return {"value": ours["value"] / theirs["value"], "sign": sign[ours["bound"], theirs["bound"]]}


def mean_ratio(ratios):
    """Return the geometric mean of ratios, and its interval of 95 % where none is a bound.

    With bounds on one side it is a bound as well; with bounds on both it says nothing.

    >>> mean_ratio([{"value": 0.5, "sign": "="}, {"value": 0.5, "sign": "<"}])
    {'value': 0.5, 'sign': '<', 'interval': None}
    """
    estimate = student([math.log(one["value"]) for one in ratios])
    signs = {one["sign"] for one in ratios}
    bounds = signs - {"="}
    sign = "=" if not bounds else bounds.pop() if len(bounds) == 1 else "?"
    ends = estimate.known_interval() if sign == "=" else None
    return {
        "value": math.exp(estimate.mean),
        "sign": sign,
        "interval": ends and [math.exp(end) for end in ends],
    }


def compared(seeds, target):
    """Compare this project with TRL.

    Args:
        seeds: of each, its runs by side.
        target: the accuracy.

    Returns:
        For each of ``COMPARED`` by cost, and by ``seconds_per_step``: what each run took, ratios, their mean.
    """
    found = {}
    for side in COMPARED:
        found[side] = {}
        for cost in COSTS:
            ours, theirs = ([taken(runs[one], cost, target) for runs in seeds] for one in (side, "trl"))
            found[side][cost] = _paired(ours, theirs)
        ours, theirs = (
            [{"value": totals(runs[one])["seconds_per_step"], "bound": False} for runs in seeds]
            for one in (side, "trl")
        )
        found[side]["seconds_per_step"] = _paired(ours, theirs)
    return found


def _paired(ours, theirs):
    ratios = [ratio(*pair) for pair in zip(ours, theirs, strict=True)]
    return {"ours": ours, "trl": theirs, "ratios": ratios, "mean": mean_ratio(ratios)}


def show(pairs, given):
    """Print a table for each side that was compared."""
    console = Console(width=110)
    for side, costs in pairs.items():
        table = Table(
            title=f"until {given.target:g} greedy: {NAMES[side]}",
            caption="> and <: a run did not get there; a bound",
        )
        for heading in ("", "seed", "TRL", "observer", "ratio"):
            table.add_column(heading, justify="right" if heading else "left")
        for cost, pair in costs.items():
            digits = ",.0f" if cost in COSTS else ".2f"
            for place, seed in enumerate(given.seeds):
                theirs, ours = (_shown(pair[one][place], digits) for one in ("trl", "ours"))
                table.add_row(cost.replace("_", " "), str(seed), theirs, ours, _signed(pair["ratios"][place]))
            table.add_row("", "mean", "", "", _with_interval(pair["mean"]), end_section=True)
        console.print(table)


def page(pairs):
    """The lines of README.md's table: what the seeds took at least and at most, and the mean ratios."""
    heads = ["", "TRL", "observer", "ratio", "observer, all groups kept", "ratio"]
    lines = [heads, ["---"] * len(heads)]
    for cost, (named, scale, digits) in SHOWN.items():
        cells = [named, _range(pairs["observer"][cost]["trl"], scale, digits)]
        for side in COMPARED:
            pair = pairs[side][cost]
            cells += [_range(pair["ours"], scale, digits), _with_interval(pair["mean"])]
        lines.append(cells)
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _range(figures, scale, digits):
    scaled = [figure | {"value": figure["value"] / scale} for figure in figures]
    ends = [end(scaled, key=lambda figure: figure["value"]) for end in (min, max)]
    return " to ".join(_shown(figure, digits) for figure in ends)


def _shown(figure, digits):
    return f"{'> ' * figure['bound']}{figure['value']:{digits}}"


def _signed(figure):
    if figure["sign"] == "?":
        return "?"
    return f"{figure['sign'].replace('=', '')} {figure['value']:.2f}".strip()


def _with_interval(mean):
    ends = mean["interval"]
    return _signed(mean) + (f" ({ends[0]:.2f} to {ends[1]:.2f})" if ends else "")
