"""Writes down, a step, what each reward did: for finding the part that never tells completions apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning

from observer.callbacks.step_log import StepLog
from observer.components import component_table, component_values
from observer.module import PolicyModule

FILE = "components.jsonl"


class Components(lightning.Callback):
    """Logs the component table of each step, over all ranks: ``components.jsonl`` and curves.

    Mean, spread, the share of groups in which a part does not vary, correlations, and means by level; see
    ``observer.components``. Curves are ``component/<part>/..``, ``component_level/<part>/<level>`` and
    ``component_correlation/<part> ~ <part>``; of what there is no figure there is no point.
    """

    def __init__(self) -> None:
        """Open nothing yet."""
        self._log = StepLog(FILE)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: PolicyModule) -> None:  # type: ignore[override]
        """Open the log and cut what the run has not done yet."""
        if trainer.is_global_zero:
            self._log.open(Path(trainer.default_root_dir), pl_module.ladder.step)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the step that has just ended."""
        if not outputs or "experience" not in outputs:
            return
        names, values_P_G_K, levels_P = component_values(outputs["experience"])
        table = component_table(names, pl_module.over_ranks(values_P_G_K), pl_module.over_ranks(levels_P))
        figures: dict[str, float | None] = {}
        for name, part in table["parts"].items():
            figures |= {f"component/{name}/{key}": part[key] for key in part if key != "levels"}
            figures |= {f"component_level/{name}/{level}": mean for level, mean in part["levels"].items()}
        figures |= {f"component_correlation/{pair}": value for pair, value in table["correlation"].items()}
        shown = {name: value for name, value in figures.items() if value is not None}
        pl_module.log_dict(shown, rank_zero_only=True, batch_size=len(levels_P))
        if trainer.is_global_zero:
            self._log.write([{"step": pl_module.ladder.step - 1, **table}])

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Close the log after a fit."""
        if stage == "fit":
            self._log.close()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Close the log."""
        self._log.close()
