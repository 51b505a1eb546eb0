"""The quickstart takes ten steps with every reward, weighting, advantage, loss and KL term in turn."""

import json

import pytest

from observer import strategies
from observer.cli import main
from test_judge import Endpoint

pytestmark = pytest.mark.slow

FAMILIES = {
    "reward": "model.rewards.tried",
    "weighting": "model.weighting",
    "advantage": "model.advantage",
    "loss": "model.loss",
    "kl": "model.kl",
}
NEEDED = {
    "BoxIoU": ["--model.rewards.tried.order", "xyxy", "--model.rewards.tried.scale", "picture"],
    "LCPO": ["--model.rewards.tried.target_tokens", "30"],
    "Permuted": ["--model.weighting.weighting", "Quadratic"],
    "Disco": ["--model.weighting.domain_key", "colour"],
}
"""Options without a default that would do for the tiles."""
SIZES = [
    *("--trainer.max_steps", "10", "--data.steps_per_epoch", "10", "--data.prompts_per_step", "8"),
    *("--data.val.rows", "16", "--data.test.rows", "16", "--model.group_size", "4"),
]
THEIRS = """
def trl(completions, **columns):
    return [float(len(completion[0]["content"])) for completion in completions]

def verl(data_source, solution_str, ground_truth, extra_info=None):
    return float(ground_truth in solution_str)

def easy_r1(reward_inputs):
    return [{"overall": float(given["ground_truth"] in given["response"])} for given in reward_inputs]
"""
FOREIGN = {"TrlReward": "trl", "VerlReward": "verl", "EasyR1Reward": "easy_r1"}


def tried():
    return [
        (family, name)
        for family in FAMILIES
        for name, strategy in strategies.members(family).items()
        if strategy.__module__.startswith("observer.")
    ]


DONE = (0, "complete", 10)


def run(folder, *words):
    """Exit code, status and steps of a run, and the lines of its component table."""
    options = ["fit", "--config", "configs/quickstart.yaml", "--run_dir", str(folder / "run"), *SIZES, *words]
    code = main(options)
    summary = json.loads((folder / "run" / "summary.json").read_text())
    return (code, summary["status"], summary["steps"]), [
        json.loads(line) for line in (folder / "run" / "components.jsonl").read_text().splitlines()
    ]


@pytest.mark.parametrize(("family", "name"), tried(), ids=lambda value: value)
def test_ten_steps_of_the_quickstart(family, name, tmp_path):
    options = [f"--{FAMILIES[family]}", name, *NEEDED.get(name, [])]
    if name in FOREIGN:
        theirs = tmp_path / f"written_for_{FOREIGN[name]}.py"
        theirs.write_text(THEIRS)
        options += ["--model.rewards.tried.function", f"{theirs}:{FOREIGN[name]}"]
    if name == "Judge":
        with Endpoint(lambda prompt, count: "Fine.\nScore: 7") as endpoint:
            where = ["--model.rewards.tried.url", endpoint.url, "--model.rewards.tried.model", "a judge"]
            ended, lines = run(tmp_path, *options, *where)
    else:
        ended, lines = run(tmp_path, *options)
    assert ended == DONE
    assert [line["step"] for line in lines] == list(range(10))
    if family == "reward":
        components = [line["components"]["tried"] for line in lines]
        applies = name not in ("BoxIoU", "LanguageConsistency")  # the tiles have neither boxes nor words
        assert all((one["applies"] > 0) is applies for one in components)
    if name == "Judge":
        assert all(one["mean"] == pytest.approx(0.7) for one in components)


@pytest.mark.parametrize(
    "options",
    [
        ["--model.combine", "normalise_then_sum"],
        ["--model.denominator", "sequences", "--model.loss.level", "sequence"],
        ["--model.denominator", "constant"],
        ["--model.loss.dual", "3"],
        ["--model.correction.level", "token"],
        ["--model.correction.level", "sequence", "--model.correction.mode", "mask"],
        ["--model.truncated", "mask", "--model.max_tokens", "30"],
        ["--model.entropy_bonus", "0.01"],
        ["--model.weighting.apply_to", "accuracy", "--model.weighting.normalise", "true"],
        ["--model.kl", "K2", "--model.kl.apply_to", "loss"],
        [
            *("--model.kl", "K1", "--model.kl.apply_to", "reward"),
            *("--model.updates_per_rollout", "2", "--trainer.max_steps", "20"),
        ],
    ],
    ids=" ".join,
)
def test_ten_steps_with_every_option_of_the_objective(options, tmp_path):
    ended, lines = run(tmp_path, *options)
    assert ended == DONE
    assert [line["step"] for line in lines] == list(range(10))
