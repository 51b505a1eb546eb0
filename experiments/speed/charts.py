"""The pictures of ``against_trl.py``, ``memory.py`` and ``time_to_accuracy.py``; a line about the machine."""

import os
import platform
import statistics
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from reached import COSTS, spent

from observer.statistics import student

COLOURS = {"trl": "#b0b0b0", "observer": "#2a6f97", "observer_all": "#e09f3e"}
NAMES = {
    "trl": "TRL 1.16.0",
    "observer": "observer",
    "observer_all": "observer, groups without signal kept",
}


def machine():
    """Return the processor and the versions that figures depend on."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    versions = {}
    for package in ("torch", "transformers", "trl", "accelerate", "lightning"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    processor = models[0] if models else platform.processor()
    return {"processor": processor, "cores": os.cpu_count(), "python": platform.python_version(), **versions}


def _save(figure, path):
    FigureCanvasAgg(figure)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def draw_comparison(points, path):
    """Draw seconds and memory of a step, two bars a size of picture, number of threads and micro-batch.

    Args:
        points: of ``against_trl.py``.
        path: of the PNG.
    """
    figure = Figure(figsize=(max(7.0, 1.3 * len(points)), 7), layout="constrained")
    upper, lower = figure.subplots(2, 1)
    labels = [_label(point) for point in points]
    for axes, title in ((upper, "seconds a step, median, min to max"), (lower, "growth of memory, MB")):
        axes.set_title(title, fontsize=10)
        axes.set_xticks(range(len(points)), labels, fontsize=8)
    for place, point in enumerate(points):
        heights = {}
        for name, shift in (("trl", -0.2), ("observer", 0.2)):
            taken = [step["seconds"] for step in point[name]["steps"]]
            middle, growth = statistics.median(taken), point[name]["memory"]["growth"]
            error = [[middle - min(taken)], [max(taken) - middle]]
            label = NAMES[name] if not place else None
            upper.bar(place + shift, middle, 0.38, yerr=error, color=COLOURS[name], label=label, capsize=2)
            lower.bar(place + shift, growth, 0.38, color=COLOURS[name], label=label)
            heights[name] = {upper: (middle, max(taken)), lower: (growth, growth)}
        for axes in (upper, lower):
            ratio = heights["trl"][axes][0] / heights["observer"][axes][0]
            top = max(height[axes][1] for height in heights.values())
            axes.annotate(f"{ratio:.2f}×", (place, top), (0, 4), textcoords="offset points", ha="center")
    upper.legend(frameon=False, fontsize=8, loc="upper left")
    for axes in (upper, lower):
        axes.margins(y=0.12)
    _save(figure, path)


def draw_growth(series, path):
    """Draw peak memory against what grows, a panel each, both axes linear.

    Args:
        series: title -> (values on the x axis, name -> growth in MB).
        path: of the PNG.
    """
    figure = Figure(figsize=(3.6 * len(series), 3.6), layout="constrained")
    panels = figure.subplots(1, len(series), squeeze=False)[0]
    for axes, (title, (values, lines)) in zip(panels, series.items(), strict=True):
        for name, growths in lines.items():
            axes.plot(values, growths, marker="o", label=name)
        axes.set_xticks(values, [f"{value:,}" for value in values], fontsize=8)
        axes.set_ylim(0, 1.1 * max(max(growths) for growths in lines.values()))
        axes.set_title(title, fontsize=10)
    panels[0].set_ylabel("peak less after set-up, MB")
    panels[0].legend(frameon=False, fontsize=8)
    _save(figure, path)


def draw_accuracy(seeds, target, path):
    """Draw held-out accuracy over what training took: means over seeds, with intervals of 95 % as bands.

    Args:
        seeds: seed -> its runs by side, of ``time_to_accuracy.py``.
        target: a line that is drawn across.
        path: of the PNG.
    """
    figure = Figure(figsize=(4.2 * len(COSTS), 3.8), layout="constrained")
    panels = figure.subplots(1, len(COSTS), sharey=True)
    for axes, (cost, what) in zip(panels, COSTS.items(), strict=True):
        for side, colour in COLOURS.items():
            runs = [of_seed[side] for of_seed in seeds.values()]
            curves = [(spent(run, cost), run["accuracy"]) for run in runs]
            grid = np.linspace(0, min(values[-1] for values, _ in curves), 61)  # where all runs are
            means, lows, highs = _band([np.interp(grid, *curve) for curve in curves])
            axes.plot(grid, means, color=colour, label=NAMES[side])
            axes.fill_between(grid, lows, highs, color=colour, alpha=0.25, linewidth=0)
        axes.axhline(target, color="#606060", linewidth=0.8, linestyle="--")
        axes.set_xlabel(what)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter("{x:,.0f}")
    panels[0].set_ylabel("greedy accuracy, held out")
    panels[0].legend(frameon=False, fontsize=8, loc="lower right")
    _save(figure, path)


def _band(curves):
    """Return the mean of curves at each point and the ends of its interval; of one curve these are itself."""
    estimates = [student(values) for values in np.transpose(curves)]
    ends = [estimate.known_interval() or (estimate.mean, estimate.mean) for estimate in estimates]
    return [estimate.mean for estimate in estimates], *zip(*ends, strict=True)


def _label(point):
    threads = f"{point['threads']} thread" + ("" if point["threads"] == 1 else "s")
    return f"{point['side']} px\n{threads}\nmicro-batch {point['micro_batch']}"
