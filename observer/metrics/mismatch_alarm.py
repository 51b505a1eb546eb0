"""An alarm where the sampler's log-probs are not the trainer's, which names the likely cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from observer.metrics.alarms import Alarm, Figures
from observer.metrics.mismatch import PARTS, PREFIX

FIGURE = {"prob_error": "prob_error", "token_gap": "largest_gap"}
"""Alarm -> the figure that it judges; the first that is raised is told, for both have one cause."""
AGREED = {"prob_error": 1.0, "largest_gap": 0.0}
"""Figure -> its value where sampler and trainer agree."""
ROUNDED = 1.1
"""``prob_error`` up to which kernels in 16 bits explain it."""
EXACT = {False: 0.01, True: 0.3}
"""Whether in 16 bits -> ``largest_gap`` up to which sampler and trainer compute the same."""
CAUSES = {
    "features": "Only rows with pictures are off, and at first they were not: the engine keeps a vision "
    "tower or features of pictures of older weights. Its sync has to hand over the tower and to drop what it "
    "keeps of pictures and prompts",
    "pictures": "Only rows with pictures are off, and from the start: the engine sees other pictures than "
    "the trainer. Compare min_pixels, max_pixels and the precision of the vision tower in model.policy and "
    "model.engine",
    "weights": "Rows of all kinds are off, and at first they were not: the engine has older weights. Its "
    "sync has to hand over all of them, the tied head and merged adapters too, and to drop what it keeps of "
    "prompts",
    "distribution": "From the start, and the mean importance ratio is {ratio:.3g}, {largest_ratio:.3g} at "
    "most: log-probs are of another distribution, or tokens are drawn from fewer. Compare what model.engine "
    "has for temperature, top_p, top_k, penalties and banned tokens, and whether its log-probs are those "
    "after all of these",
    "rounding": "From the start, in 16 bits, and not much on average: kernels of engine and trainer round "
    "otherwise. model.correction (default: auto) weighs tokens by it; float32 in both ends it (dtype of "
    "model.policy and model.engine)",
    "unlike": "Rows of all kinds are off, and from the start: the engine draws at another temperature, or "
    "its weights or its precision are not the trainer's. Compare model.temperature, model.policy.path and "
    "dtype with what model.engine has",
}
"""Cause -> which rows are off and since when, what it means, and what to compare."""
UNDECIDED = ". All rows have pictures: whether these alone are off, a few rows without would show"


def likely_cause(now: Figures, start: Figures, figure: str, limit: float, coarse: bool) -> str:
    """Return the key in ``CAUSES`` of what explains a mismatch best.

    Which rows are off tells pictures from all else. Whether they were off in the first step tells what is old
    from what is unlike. Ratios tell another distribution: their mean is 1 for any two, if what was drawn
    was drawn from the sampler's; and where one is the other without some tokens, all lie on one side of 1.

    Args:
        now: figures of the mismatch, as ``mismatch_figures`` names them, and ``sampler_gap``.
        start: those of the first step.
        figure: that is judged.
        limit: above which it is too large.
        coarse: whether engine or trainer compute in 16 bits.
    """

    def excess(part: str) -> float:
        return now[f"{figure}{part}"] - AGREED[figure]

    def from_start(part: str = "") -> bool:
        first, last = (each.get(f"largest_gap{part}", each["largest_gap"]) for each in (start, now))
        return first > min(last / 3, EXACT[coarse])

    if from_start() and _another(now):
        return "distribution"
    if from_start() and coarse and now.get("prob_error_pictures", now["prob_error"]) <= ROUNDED:
        return "rounding"
    most = limit - AGREED[figure]
    if f"{figure}_text" in now and excess("_text") < min(excess("_pictures") / 4, most):
        return "pictures" if from_start("_pictures") else "features"
    return "unlike" if from_start() else "weights"


def _another(now: Figures) -> bool:
    """Return whether the log-probs are of distributions that differ by their nature, not by their weights."""
    surprise = now["kl"] - now["ratio"] + 1  # mean of drawn - old: never negative for what drew the tokens
    fewer = now["largest_ratio"] < 1.001  # the sampler's is the trainer's without some tokens
    wide = surprise < -now["sampler_gap"] / 10
    return fewer or wide or abs(now["ratio"] - 1) > now["sampler_gap"] / 2


def mismatched(
    first: Sequence[Figures],
    last: Sequence[Figures],
    window: int,
    thresholds: Mapping[str, float | None],
    coarse: bool,
) -> Alarm | None:
    """Return the alarm at the end of a step, as often as it is asked for; None where all is well.

    Medians over a window are judged: a largest difference has a long tail. Steps have the figures only where
    the engine has weights of its own.

    Args:
        first: the first steps that were seen.
        last: the newest steps, in order.
        window: steps that are judged together.
        thresholds: ``prob_error`` and ``token_gap``; None for one that is switched off.
        coarse: whether engine or trainer compute in 16 bits.
    """
    judged, told = last[-window:], [own for step in first if "ratio" in (own := _own(step))]
    if len(judged) < window or not told:
        return None
    found: dict[str, list[float]] = {}
    for step in judged:
        for name, value in _own(step).items():
            found.setdefault(name, []).append(value)
    now = {name: median(values) for name, values in found.items() if 2 * len(values) > window}
    for name, figure in FIGURE.items():
        limit = thresholds.get(name)
        if limit is None or now.get(figure, AGREED[figure]) <= limit:
            continue
        cause = likely_cause(now, told[0], figure, limit, coarse)
        text = CAUSES[cause].format(**now)
        if cause in ("weights", "unlike", "rounding") and f"{figure}_text" not in now:
            text += UNDECIDED
        seen = f"{_seen(name, now)}. {text}"
        return Alarm(name, int(judged[0]["step"]), int(judged[-1]["step"]), seen)
    return None


def _own(step: Figures) -> dict[str, float]:
    """Return the figures of the mismatch of a step, and its ``sampler_gap``."""
    return {
        name.removeprefix(PREFIX): value
        for name, value in step.items()
        if name.startswith(PREFIX) or name == "sampler_gap"
    }


def _seen(name: str, now: Figures) -> str:
    """Return what is seen in words: the figure, and that of each kind of rows."""
    figure = FIGURE[name]
    named = {f"{figure}_{part}": words for part, words in _KINDS.items()}
    if name == "prob_error":
        named |= {f"{figure}_{part}": words for part, words in _SIZES.items()}
    details = ", ".join(f"{now[part]:.3g} {words}" for part, words in named.items() if part in now)
    told = {
        "prob_error": f"probabilities of drawing and of training differ by a factor of {now[figure]:.3g} per "
        "token on average",
        "token_gap": f"log-probs of drawing and of training differ by {now[figure]:.2g} at the token where "
        "they differ most",
    }
    return told[name] + (f" ({details})" if details else "")


_KINDS = {"pictures": "with pictures", "text": "without"}
_SIZES = {part: f"with up to {part.removeprefix('visual_')} visual tokens" for part in PARTS[1:-1]}
_SIZES |= {PARTS[-1]: "with more"}
