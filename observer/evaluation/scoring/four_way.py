"""We-Math's four ways to know: does a model that solves a problem solve its steps?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from observer.evaluation.scoring.base import Answered, Scoring, share

_KEY = re.compile(r"([23])steps_(\d|multi)")


@dataclass(frozen=True)
class FourWay(Scoring):
    """We-Math's rule: a problem of two or three steps is asked whole and step by step.

    IK, insufficient knowledge: a step is wrong, and so is the whole. IG, inadequate generalization: the steps
    are right, the whole is wrong. CM, complete mastery: the whole is right, and all steps (strict) or one of
    them (loose). RM, rote memorization: the whole is right and its steps are not; a share of all wholes that
    are right. ``average`` is 1 - IG / 2 - RM - IK, RM as a share of all problems. A problem with a row that
    is missing, there twice or not asked counts nowhere but in ``left_out``.

    Args:
        problem: the note by which rows of a problem are known.
        key: the note that says which step a row is, such as ``3steps_2`` or ``3steps_multi``.

    Reference:
        Qiao et al., "We-Math: Does Your Large Multimodal Model Achieve Human-like Mathematical Reasoning?",
        arXiv 2407.01284, section 3.
    """

    problem: str = "ID"
    key: str = "key"

    def figures(self, answered: Sequence[Answered]) -> dict[str, Any]:
        """Return the shares of the four ways, strict and loose, and both averages."""
        rows: dict[tuple[str, str], dict[str, list[bool]]] = {}
        for one in answered:
            if match := _KEY.fullmatch(str(one.metadata.get(self.key, ""))):
                problem = (match[1], str(one.metadata.get(self.problem, "")))
                rows.setdefault(problem, {}).setdefault(match[2], []).append(one.correct)
        whole: list[tuple[bool, bool, bool]] = []
        for (steps, _), found in rows.items():
            names = [str(step + 1) for step in range(int(steps))]
            if set(found) == {*names, "multi"} and all(len(verdicts) == 1 for verdicts in found.values()):
                right = [found[name][0] for name in names]
                whole.append((found["multi"][0], all(right), any(right)))
        figures: dict[str, Any] = {"problems": len(whole), "left_out": len(rows) - len(whole)}
        if not whole:
            return figures
        right_P, all_P, any_P = np.array(whole, bool).T
        apart_P = np.arange(len(whole))
        known_P = ~right_P & all_P
        figures["IK"] = share(~right_P & ~all_P, apart_P)
        figures["IG"] = share(known_P, apart_P)
        for name, mastered_P in (("strict", right_P & all_P), ("loose", right_P & any_P)):
            figures[f"CM {name}"] = share(mastered_P, apart_P)
            wholes = int(right_P.sum())
            rote = int((right_P & ~mastered_P).sum())
            figures[f"RM {name}"] = round(rote / wholes, 6) if wholes else None
            figures[f"average {name}"] = share(mastered_P + 0.5 * known_P, apart_P)
        return figures
