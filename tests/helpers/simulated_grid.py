"""Grids whose runs are made up: files as ``observer fit`` leaves them, with effects that are known."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml

from observer.ablation.grid import read_grid
from observer.ablation.record import write_record
from observer.metrics.outcomes import OUTCOMES, write_outcomes

ENVIRONMENT = {
    "rows": {"train": "t", "test": "h"},
    "start": {"weights": "w"},
    "versions": {"torch": "2.13.0", "python": "3.11.7"},
    "git": {"commit": "c0ffee", "dirty": False},
    "hardware": {"cpu": "a processor", "devices": []},
}


@dataclass
class Simulated:
    """A grid file and its directory."""

    folder: Path
    effects: dict[str, float]
    """Variant -> what is added to its problems' probability of a right answer; the first is the baseline."""
    seeds: int = 5
    problems: int = 400
    samples: int = 1
    levels: int = 4
    seed_spread: float = 0.01
    contrasts: dict = field(default_factory=dict)
    more: dict = field(default_factory=dict)
    """Other keys of the grid file."""
    clock: float = 1.0
    """Seconds of a step."""

    def write(self):
        """Write the grid file and all of its runs; return the grid."""
        content = {"base": "quickstart", "seeds": list(range(self.seeds)), "contrasts": self.contrasts}
        named = {name: {"model.max_tokens": place + 8} for place, name in enumerate(self.effects)}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(yaml.safe_dump({**content, "variants": named, **self.more}, sort_keys=False))
        self.output.mkdir(parents=True, exist_ok=True)
        write_record(self.grid, self.output)
        for name in self.effects:
            for seed in range(self.seeds):
                self.run(name, seed)
        return self.grid

    @property
    def file(self):
        return self.folder / "tiny.yaml"

    @property
    def output(self):
        return self.folder / "runs" / "tiny"

    @property
    def grid(self):
        return read_grid(self.file)

    def at(self, variant, seed):
        """The directory of a run."""
        return self.output / variant / f"seed-{seed}"

    def probabilities(self, variant):
        """Of a right answer to each problem: easy ones first."""
        place_P = (np.arange(self.problems) + 0.5) / self.problems
        return 0.9 - 0.6 * place_P + self.effects[variant]

    def run(self, variant, seed, **summary):
        """Write the directory of a run."""
        folder = self.at(variant, seed)
        folder.mkdir(parents=True, exist_ok=True)
        generator = np.random.default_rng([seed, *variant.encode()])
        base = np.random.default_rng(seed).normal(0, self.seed_spread)  # what a seed's variants share
        chances_P = np.clip(self.probabilities(variant) + base + generator.normal(0, self.seed_spread), 0, 1)
        same_P = np.random.default_rng([seed, 1]).random(self.problems)  # answers of a seed go together
        right = {"greedy": (same_P < chances_P)[:, None]}
        right["sampled"] = generator.random((self.problems, self.samples)) < chances_P[:, None] - 0.05
        write_outcomes(folder / "heldout.parquet", self.table(right, generator))
        self._curve(folder, variant, generator)
        record = {"status": "complete", "steps": 60, "planned_steps": 60, "update_norm": 0.02 + 0.001 * seed}
        (folder / "summary.json").write_text(json.dumps({**record, "seconds": 60 * self.clock, **summary}))
        (folder / "environment.json").write_text(json.dumps(ENVIRONMENT))

    def table(self, right, generator):
        """A table of outcomes from mode -> right answers (P, N)."""
        level_P = 1 + np.arange(self.problems) * self.levels // self.problems
        rows = []
        for mode, right_P_N in right.items():
            for place, right_N in enumerate(right_P_N):
                for sample, one in enumerate(right_N):
                    verdict, length = "correct" if one else "wrong", int(generator.integers(20, 60))
                    asked = (
                        f"t{place}",
                        f"{place:032x}",
                        int(level_P[place]),
                        "integer",
                        "tiles",
                        mode,
                        sample,
                    )
                    rows.append((*asked, verdict, bool(generator.random() < 0.98), length, length > 58, "7"))
        return pa.table([list(column) for column in zip(*rows, strict=True)], schema=OUTCOMES)

    def _curve(self, folder, variant, generator):
        end = float(self.probabilities(variant).mean())
        tokens = 500 + 20 * list(self.effects).index(variant) + int(generator.integers(0, 10))
        lines = []
        for step in range(0, 61, 10):
            accuracy = 0.4 + (end - 0.4) * step / 60 + generator.normal(0, 0.005)
            spent = {"prompts": 64 * step, "tokens": tokens * step, "seconds": self.clock * step}
            figures = {
                "accuracy": accuracy,
                "sampled_accuracy": accuracy - 0.05,
                "format": 0.98,
                "length": 40.0,
            }
            for split in ("test", "val"):
                if split == "val" or step in (0, 60):
                    lines.append(json.dumps({"step": step, "split": split, **spent, **figures}))
        (folder / "curve.jsonl").write_text("\n".join(lines) + "\n")
