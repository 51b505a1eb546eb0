"""The card of a model: what it is, what it was made of, what was measured, and what was not.

Equal runs have equal cards: it holds no times, no paths and nothing of the machine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from observer.release.figures import Figure, Figures
from observer.release.origin import Origin
from observer.statistics import Estimate

NOT_MEASURED = (
    "benchmarks: none beside the held-out rows above; `observer evaluate` measures some",
    "the spread over seeds: this is one run, and the intervals are over problems alone, so they hold for "
    "this model and not for the method",
    "whether answers depend on the picture: no grounding audit was made for this card",
    "whether reasoning is sound where the answer is right: a rule has compared final answers alone",
    "safety, bias, and languages and kinds of pictures other than those of the rows",
    "whether rows of a benchmark were among the training rows",
)
"""What no run measures."""
SKIPPED = frozenset({"response_format", "rewards", "seed", "sampling", "micro_batches"})
"""Entries of a recipe that have a line of their own, or change nothing of the result."""


@dataclass(frozen=True)
class Facts:
    """What a card is written from."""

    origin: Origin
    model_type: str
    """Of config.json: the family."""
    policy: Mapping[str, Any]
    """Options of the policy: ``lora``, ``freeze_vision``, ``from_scratch``."""
    recipe: Mapping[str, Any]
    """Of the learner, as checkpoints hold it."""
    record: Mapping[str, Any]
    """Of the run's environment: digests of the rows, and of the weights that it started from."""
    steps: int
    """Rollouts finished."""
    response_format: str
    """Name of the response format; "" where it is not known."""
    system_prompt: str
    figures: Figures | None
    """None where these weights were not measured."""
    why_none: str = ""
    """Why they were not."""

    @property
    def imitated(self) -> bool:
        """Whether it has learned from worked solutions: rewards and sampling are those of its measurement."""
        return "loss" not in self.recipe


def card(facts: Facts) -> str:
    """Return the card as Markdown, with the front matter that the hub reads."""
    lines = [*_front_matter(facts), "", "# A vision-language model trained with observer", ""]
    lines += [
        *_origin(facts),
        "",
        "## Data",
        "",
        *_data(facts.record),
        "",
        "## Training",
        "",
        *_training(facts),
    ]
    lines += ["", "## Held-out figures", "", *_figures(facts), "", "## Not measured", ""]
    lines += [f"- {line}" for line in _not_measured(facts)]
    lines += ["", "## Use", "", *_use(facts), ""]
    return "\n".join(lines)


def _front_matter(facts: Facts) -> list[str]:
    origin = facts.origin
    lines = ["---", "library_name: transformers", "pipeline_tag: image-text-to-text"]
    if origin.on_hub:
        lines.append(f"base_model: {json.dumps(origin.name)}")
    if origin.licence:
        lines.append(f"license: {json.dumps(origin.licence)}")
    return [
        *lines,
        "tags:",
        "- observer",
        *(() if facts.imitated else ("- reinforcement-learning",)),
        "- vision-language",
        "- reasoning",
        "---",
    ]


def _origin(facts: Facts) -> Iterator[str]:
    name, start = facts.origin.name, facts.record.get("start") or {}
    base = f"`{name}`" if name else "a model in a folder, whose card names no base"
    if facts.policy.get("from_scratch"):
        base = f"fresh weights in the architecture of {base}"
    yield f"- Base: {base} (`{facts.model_type}`)."
    if facts.origin.licence:
        yield f"- Licence of the base: {facts.origin.licence}."
    else:
        yield "- Licence: the files of the base name none; look it up before you pass this model on."
    if start.get("weights"):
        yield f"- Weights that training started from: digest `{start['weights']}`."


def _data(record: Mapping[str, Any]) -> Iterator[str]:
    rows = record.get("rows") or {}
    for split, digest in sorted(rows.items()):
        yield f"- `data.{split}`: rows with the digest `{digest}`."
    if not rows:
        yield "- The rows were not recorded."
    yield "- Where the rows are from, and their licence, is not known to the run: write it here."


def _training(facts: Facts) -> Iterator[str]:
    recipe, lora = facts.recipe, facts.policy.get("lora")
    what = f"adapters of rank {lora['rank']}, merged into the weights" if lora else "all weights"
    frozen = ", the vision tower frozen" if facts.policy.get("freeze_vision") else ""
    steps = "steps of imitating worked solutions" if facts.imitated else "rollouts"
    yield f"- {facts.steps:,} {steps}; {what}{frozen}; seed {recipe.get('seed')}."
    sampling = recipe.get("sampling") or {}
    if sampling and not facts.imitated:
        yield f"- Sampling: {', '.join(f'{name} {value}' for name, value in sampling.items())}."
    rewards = recipe.get("rewards") or {}
    if rewards and not facts.imitated:  # their options may hold addresses
        named = (f"{name} ({_class(text)})" for name, text in rewards.items())
        yield f"- Rewards: {', '.join(named)}."
    for name, value in recipe.items():
        if name not in SKIPPED and value not in (None, "None"):
            yield f"- {name}: `{_inline(value)}`"


def _figures(facts: Facts) -> Iterator[str]:
    if facts.figures is None:
        yield f"None: {facts.why_none}."
        return
    found = facts.figures
    yield (
        f"{found.problems:,} problems with {found.clusters:,} different pictures, of `data.test` of the run. "
        f"In brackets the interval of 95 % over problems; problems with one picture count together. Answers "
        f"were judged by rules."
    )
    yield from ("", "| | before | after | gain |", "|---|---|---|---|")
    for figure in found.rows:
        yield f"| {figure.name} | {_cell(figure.before)} | {_cell(figure.after)} | {_gain(figure)} |"


def _cell(estimate: Estimate | None, sign: str = "") -> str:
    if estimate is None:
        return "not kept"
    digits = 3 if estimate.bounds else 1
    ends = estimate.known_interval()
    if ends is None:
        return f"{estimate.mean:{sign}.{digits}f}"
    return f"{estimate.mean:{sign}.{digits}f} [{ends[0]:{sign}.{digits}f}, {ends[1]:{sign}.{digits}f}]"


def _gain(figure: Figure) -> str:
    return "" if figure.gain is None else _cell(figure.gain, "+")


def _not_measured(facts: Facts) -> Sequence[str]:
    mine = [f"held-out accuracy of these weights: {facts.why_none}"] if facts.figures is None else []
    return [*mine, *NOT_MEASURED]


def _use(facts: Facts) -> Iterator[str]:
    yield "The folder is a complete Hugging Face directory: transformers and vLLM load it as it is."
    yield ""
    if not facts.response_format:
        yield "The response format that it was trained with was not recorded."
        return
    yield f"It was trained to answer in the response format `{facts.response_format}`"
    if not facts.system_prompt:
        yield "without a system prompt (`response_format.json`)."
        return
    yield "with this system prompt (`response_format.json`); with another one, or none, it was not measured:"
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", facts.system_prompt)), default=0))
    yield from ("", f"{fence}text", facts.system_prompt, fence)


def _class(text: object) -> str:
    return str(text).partition("(")[0]


def _inline(value: object) -> str:
    return " ".join(str(value).split()).replace("`", "'")
