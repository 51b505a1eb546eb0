"""Writes down, a step, what each reward did: for finding the part that never tells completions apart."""

from __future__ import annotations

from typing import Any

import lightning

from observer.callbacks.step_log import StepLog
from observer.metrics.components import component_table, component_values
from observer.run.curves import log_present

FILE = "components.jsonl"


class Components(StepLog):
    """Logs the component table of each step, over all ranks: ``components.jsonl`` and curves.

    Mean, spread, the share of groups in which a part does not vary, correlations, and means by level; see
    ``observer.metrics.components``. Curves are ``component/<part>/..``, ``component_level/<part>/<level>``
    and ``component_correlation/<part> ~ <part>``; of what there is no figure there is no point.
    """

    def __init__(self) -> None:
        """Open nothing yet."""
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
        for name, part in table["parts"].items():
            figures |= {f"component/{name}/{key}": part[key] for key in part if key != "levels"}
            figures |= {f"component_level/{name}/{level}": mean for level, mean in part["levels"].items()}
        figures |= {f"component_correlation/{pair}": value for pair, value in table["correlation"].items()}
        shown = {name: value for name, value in figures.items() if value is not None}
        log_present(trainer, shown, step)
        self.write([{"step": step, **table}])
