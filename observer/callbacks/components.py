"""Logs the figures of each reward component: one that never differs within a group shows here."""

from __future__ import annotations

from typing import Any

import lightning

from observer.callbacks.step_log import StepLog
from observer.metrics.components import component_table, component_values
from observer.run.curves import log_present

FILE = "components.jsonl"


class Components(StepLog):
    """Logs the component table of each step, over all ranks: ``components.jsonl`` and curves.

    Mean, spread, the share of groups in which a component does not vary, correlations, and means by level:
    see ``observer.metrics.components``. The curves are ``component/<name>/..``,
    ``component_level/<name>/<level>`` and ``component_correlation/<name> ~ <name>``; a step without a figure
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
        figures: dict[str, float | None] = {}
        for name, own in table["components"].items():
            figures |= {f"component/{name}/{key}": own[key] for key in own if key != "levels"}
            figures |= {f"component_level/{name}/{level}": mean for level, mean in own["levels"].items()}
        figures |= {f"component_correlation/{pair}": value for pair, value in table["correlation"].items()}
        shown = {name: value for name, value in figures.items() if value is not None}
        log_present(trainer, shown, step)
        self.write([{"step": step, **table}])
