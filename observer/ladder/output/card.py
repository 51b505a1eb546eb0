"""The card of a ladder: what it is made of, how, and what was left out, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from observer.ladder.output.answers import spoken


def card(manifest: Mapping[str, Any]) -> str:
    """Return the card as Markdown.

    Args:
        manifest: without the digests of files.
    """
    total = manifest["rows"]
    lines = ["# A ladder of picture questions", ""]
    lines += [f"{total:,} rows, built by observer {manifest['versions']['observer']} from "]
    lines[-1] += f"{manifest['input']['rows']:,} rows ({manifest['input']['format']})."
    lines += ["", f"Licence of the rows: {manifest['licence'] or 'not stated'}.", ""]
    lines += ["## Sources", "", "| source | rows | share |", "|---|---|---|"]
    lines += [f"| {_cell(name)} | {n:,} | {n / total:.1%} |" for name, n in manifest["sources"].items()]
    if manifest["models"]:
        lines += ["", "## Models", "", "| step | model | files | engine |", "|---|---|---|---|"]
    for step, models in manifest["models"].items():
        for model in models:
            engine = (model["engine"] or {"class": "TransformersEngine"})["class"]
            lines.append(f"| {step} | {_cell(model['path'])} | `{model['files']}` | {engine} |")
    lines += ["", "## Stages", "", "| step | before | after | removed |", "|---|---|---|---|"]
    for stage in manifest["stages"]:
        before, after = stage["before"], stage["after"]
        lines.append(f"| {stage['step']} | {before:,} | {after:,} | {before - after:,} |")
    lines += ["", "`removed.jsonl` says of each row why.", ""]
    if manifest["levels"]:
        lines += ["## Levels", "", "Difficulty in eighths: the share of responses that were wrong.", ""]
        lines += ["| level | rows | share |", "|---|---|---|"]
        lines += [f"| {level} | {n:,} | {n / total:.1%} |" for level, n in manifest["levels"].items()]
        lines.append("")
    lines += ["## Answers", ""]
    lines += [f"- {line}" for line in spoken(manifest["answers"]["ladder"], manifest["answers"]["input"])]
    lines += ["", "`control.jsonl` holds as many rows, drawn at random from the same input.", ""]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return "".join(mark if mark.isprintable() else " " for mark in text).replace("|", "\\|")
