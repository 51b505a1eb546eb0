"""Tells the quality of the chains that each variant of a grid writes, from its held-out greedy answers.

    python experiments/parts/chains.py experiments/parts/grid.yaml runs/parts --csv chains.csv

Writes a row per variant and contrast, and figure (docs/evaluate.md, Chains): the mean over seeds of each
run's mean, and its 95 % interval over seeds, of shares within their bounds. None of it is tested.
"""

import csv
from functools import cache

import yaml
from command_line import read_command_line

from observer.ablation.grid import read_grid
from observer.data import Tiles
from observer.metrics import read_outcomes
from observer.metrics.chains import chain_figures, chain_values
from observer.policy import PolicySpec, load_processor
from observer.rewards import Accuracy, Observe, Rubric
from observer.statistics import student
from observer.types import Completion, Group, Prompt, Sampling
from observer.verifier import Verifier

FORMAT = Observe(system_prompt="", lenient=("tag",))  # of common.yaml


@cache
def problems(options):
    """The held-out problems by id."""
    return {problem.id: problem for problem in Tiles(**{name: value for name, value in options}).read()}


def figures(run, tokenizer, verifier):
    """The figures of a run's greedy answers."""
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    options = config["data"]["test"]["init_args"]
    known = problems(tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in options.items()))
    answers = [one for one in read_outcomes(run / "heldout.parquet").to_pylist() if one["mode"] == "greedy"]
    groups = []
    for one, ids in zip(answers, tokenizer([one["text"] for one in answers]).input_ids, strict=True):
        ids = (*ids, tokenizer.eos_token_id)[: one["length"]]
        reason = "length" if one["truncated"] else "stop"
        completion = Completion(tuple(ids), (0.0,) * len(ids), one["text"], reason, 0)
        groups.append(Group(Prompt(known[one["id"]], (1,)), (completion,), Sampling(1)))
    scores = Rubric({"accuracy": Accuracy()}, FORMAT, verifier).score_all(groups, 0)
    return chain_figures(chain_values(groups, scores, verifier))


def main():
    given = read_command_line(__doc__, "of its runs")
    grid, tokenizer, verifier = (
        read_grid(given.grid),
        load_processor(PolicySpec("observer:tiles")).tokenizer,
        Verifier(),
    )
    found = {
        (run.variant, run.seed): figures(run.folder, tokenizer, verifier)
        for run in grid.runs(given.folder)
        if (run.folder / "heldout.parquet").is_file()
    }
    verifier.close()
    weighed = {name: {name: 1.0} for name in grid.variants} | dict(grid.contrasts)
    with given.csv.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["of", "name", "figure", "seeds", "mean", "low", "high"])
        for name, weights in weighed.items():
            seeds = [seed for seed in grid.seeds if all((variant, seed) in found for variant in weights)]
            of = "contrast" if name in grid.contrasts and len(weights) > 1 else "variant"
            shared = [set(found[variant, seed]) for variant in weights for seed in seeds]
            for figure in sorted(set.intersection(*shared)) if shared else ():
                values_S = [sum(w * found[v, seed][figure] for v, w in weights.items()) for seed in seeds]
                shares = (-1, 1) if of == "contrast" else (0, 1)
                estimate = student(values_S, None if figure == "tokens_per_correct" else shares)
                ends = [f"{end:.4f}" for end in estimate.known_interval() or ()] or ["", ""]
                lines.writerow([of, name, figure, len(seeds), f"{estimate.mean:.4f}", *ends])


if __name__ == "__main__":
    main()
