"""Logs the figures of each reward component: one that never differs within a group shows here."""

from __future__ import annotations

from collections.abc import Collection
from itertools import combinations
from typing import Any

import lightning

from observer.callbacks.step_log import StepLog
from observer.metrics.components import PAIR, REWARD, component_table, component_values
from observer.run.names import curve_name

FILE = "components.jsonl"


class Components(StepLog):
    """Logs the component table of each step, over all ranks: ``components.jsonl`` and curves.

    Mean, spread, the share of groups in which a component does not vary, correlations, and means by level:
    see ``observer.metrics.components``. The curves are ``zoom_component/<name>/..``,
    ``zoom_component_level/<name>/<level>`` and ``zoom_correlation/<name>/<name>``; a step without a figure
    has no point.
    """

    def __init__(self) -> None:
        """Name the file."""
        super().__init__(FILE)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the step that has just ended."""
        if not outputs or "experience" not in outputs:
            return
        names, values_P_G_K, levels_P = component_values(outputs["experience"])
        join = pl_module.over_ranks.join
        values_P_G_K, levels_P = join(values_P_G_K), join(levels_P)
        if not trainer.is_global_zero:
            return
        step, table = pl_module.data.step - 1, component_table(names, values_P_G_K, levels_P)
        weights = pl_module.answerer.rubric.weights.values()
        left_out = (REWARD,) if sum(weight != 0 for weight in weights) < 2 else ()
        pl_module.curves.add(trainer, component_curves(table, left_out), step)
        self.write([{"step": step, **table}])


def component_curves(table: dict[str, Any], left_out: Collection[str] = ()) -> dict[str, float]:
    """Return the figures of a component table by the names of their curves, those that say something.

    Not the means, which the learner logs; no share of completions where it is 1; no figure where there is
    none.

    Args:
        table: of a step.
        left_out: components without curves: the reward, where it is a multiple of a single component.

    >>> own = {"applies": 1.0, "mean": 0.5, "spread": 0.1, "zero_variance": None, "levels": {3: 0.5}}
    >>> component_curves({"components": {"box iou": own}, "correlation": {}})
    {'zoom_component/box_iou/spread': 0.1, 'zoom_component_level/box_iou/3': 0.5}
    """
    figures: dict[str, float | None] = {}
    for name, own in table["components"].items():
        if name in left_out:
            continue
        curve, applies = curve_name(name), own["applies"]
        figures[f"zoom_component/{curve}/applies"] = applies if applies < 1 else None
        figures |= {f"zoom_component/{curve}/{key}": own[key] for key in ("spread", "zero_variance")}
        figures |= {f"zoom_component_level/{curve}/{level}": mean for level, mean in own["levels"].items()}
    shown = [name for name in table["components"] if name not in left_out]
    for one, other in combinations(shown, 2):
        value = table["correlation"][f"{one}{PAIR}{other}"]
        figures[f"zoom_correlation/{curve_name(one)}/{curve_name(other)}"] = value
    return {name: value for name, value in figures.items() if value is not None}
