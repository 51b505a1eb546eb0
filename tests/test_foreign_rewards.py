"""Reward functions as users of other frameworks write them, called as those call them."""

import sys

import pytest
from PIL import Image

from observer.rewards import Accuracy, EasyR1Reward, Rubric, Think, TrlReward, VerlReward
from observer.types import Picture, RefusedError, Verdict
from rewarded import group_of, scores_of
from tables import holds_for

TRL = '''
import re
from functools import partial

seen = {}


def accuracy_reward(completions, answer, **kwargs):
    """The usual conversational one."""
    contents = [completion[0]["content"] for completion in completions]
    matches = [re.search(r"<answer>(.*?)</answer>", content, re.DOTALL) for content in contents]
    return [1.0 if m and m.group(1).strip() == a else 0.0 for m, a in zip(matches, answer)]


def everything(prompts, completions, completion_ids, answer, trainer_state, log_extra, log_metric, **kwargs):
    seen.update(locals())
    log_extra("length", [len(ids) for ids in completion_ids])
    log_metric("mean", 0.5)
    return [None if d is None else len(i) + d for i, d in zip(completion_ids, kwargs["difficulty"])]


async def judged(completions, **kwargs):
    import asyncio
    await asyncio.sleep(0.01)
    return [float(len(completion[0]["content"])) for completion in completions]


class Scaled:
    def __init__(self, by):
        self.by = by

    async def __call__(self, completions, **kwargs):
        return [self.by] * len(completions)


scaled = Scaled(3.0)
halved = partial(judged, factor=0.5)


def text(prompts, completions, bonus=0.0, **kwargs):
    return [len(p) + len(c) + bonus for p, c in zip(prompts, completions)]


def looks(completions, images, image, **kwargs):
    return [float(i is im[0]) * im[0].width for im, i in zip(images, image)]


def narrow(prompts, completions):
    return [0.0] * len(completions)


def column(completions, difficulty, **kwargs):
    return difficulty


def short(completions, **kwargs):
    return [0.0]


def wordy(completions, **kwargs):
    return ["good" for _ in completions]


def broken(completions, **kwargs):
    return 1 / 0
'''
EASY = """
import re
from typing import Any

REWARD_NAME = "math"
REWARD_TYPE = "batch"


def compute_score(reward_inputs: list[dict[str, Any]], format_weight: float = 0.1) -> list[dict[str, float]]:
    if not isinstance(reward_inputs, list):
        raise ValueError("Please use `reward_type=batch` for math reward function.")
    scores = []
    for reward_input in reward_inputs:
        assert set(reward_input) == {"response", "response_length", "ground_truth"}
        ok = float(f"<answer>{reward_input['ground_truth']}</answer>" in reward_input["response"])
        fmt = float(reward_input["response_length"] < 40)
        overall = (1 - format_weight) * ok + format_weight * fmt
        scores.append({"overall": overall, "format": fmt, "accuracy": ok})
    return scores


def one(reward_input: dict[str, Any]) -> dict[str, float]:
    return {"overall": reward_input["response_length"] / 10}


def nothing(reward_inputs):
    return [{"accuracy": 1.0} for _ in reward_inputs]
"""
VERL = """
def compute_score(data_source, solution_str, ground_truth, extra_info=None, **kwargs):
    assert data_source == "geo3k", data_source
    assert extra_info["num_turns"] is None and extra_info["index"] == 3
    score = float(f"<answer>{ground_truth}</answer>" in solution_str) * kwargs.get("scale", 1.0)
    return {"score": score, "acc": score > 0, "pred": solution_str}


def number(data_source, solution_str, ground_truth, extra_info):
    return len(solution_str)


def pair(data_source, solution_str, ground_truth, extra_info=None):
    return True, "why"


async def remote(data_source, solution_str, ground_truth, extra_info, scale=1.0):
    import asyncio
    await asyncio.sleep(0.01)
    return scale * len(solution_str)


def batch(data_sources, solution_strs, ground_truths, extra_infos):
    return [0.0 for _ in solution_strs]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with a file a framework, and the same functions as a package."""
    for name, text in (("trl_own", TRL), ("easy_own", EASY), ("verl_own", VERL)):
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "owned").mkdir()
    (tmp_path / "owned" / "trl.py").write_text(TRL)
    (tmp_path / "seq_own.py").write_text(EASY.replace('"batch"', '"sequential"', 1))
    (tmp_path / "odd_own.py").write_text(EASY.replace('"batch"', '"remote"', 1))
    (tmp_path / "bad_own.py").write_text("import nowhere_at_all")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith(("observer_plugin_", "owned"))]:
        del sys.modules[name]


def right(text):
    return f"<think>so</think><answer>{text}</answer>"


def values(reward, *texts, **group):
    return list(reward(group_of(texts, **group), scores_of([Verdict.WRONG] * len(texts)), 3))


# TRL


@holds_for("path", ["trl_own.py:accuracy_reward", "owned.trl:accuracy_reward"])
def test_a_trl_function_scores_conversations(path):
    assert values(TrlReward(path), right(7), right(8), "7") == [1.0, 0.0, 0.0]


def test_a_trl_function_gets_what_trl_gives_for_all_groups_in_one_call():
    reward = TrlReward("trl_own.py:everything")
    groups = [
        group_of(["a", "bb"], metadata={"difficulty": 0.5, "prompt": "x"}),
        group_of(["c"], answer="8", metadata={"level": "easy"}),
    ]
    scores = [scores_of([Verdict.WRONG] * 2), scores_of([Verdict.WRONG])]
    assert reward.of_all(groups, scores, 4) == [[1.5, 2.5], [None]]
    seen = sys.modules["observer_plugin_trl_own"].seen
    assert seen["prompts"] == [[{"role": "user", "content": "?"}]] * 3
    assert seen["completions"] == [[{"role": "assistant", "content": text}] for text in ("a", "bb", "c")]
    assert seen["completion_ids"] == [[0], [0, 1], [0]]
    assert seen["answer"] == ["7", "7", "8"]
    assert seen["trainer_state"].global_step == 4
    assert seen["kwargs"] == {"difficulty": [0.5, 0.5, None], "level": [None, None, "easy"]}
    reward.of_all(groups, scores, -1)
    assert seen["trainer_state"].global_step == 0


@holds_for(("name", "expected"), [("judged", 3.0), ("scaled", 3.0), ("halved", 3.0)])
def test_an_asynchronous_trl_function_is_awaited(name, expected):
    assert values(TrlReward(f"trl_own.py:{name}"), "abc") == [expected]


def test_a_trl_function_may_take_texts_arguments_and_pictures():
    assert values(TrlReward("trl_own.py:text", {"bonus": 10}, conversational=False), "abc") == [14.0]
    picture = Picture("p", lambda: (5, 9), lambda: Image.new("RGB", (9, 5)))
    assert values(TrlReward("trl_own.py:looks"), "a", "b", pictures=(picture,)) == [9.0, 9.0]


def test_what_does_not_apply_neither_helps_nor_hurts_in_a_rubric():
    rubric = Rubric({"accuracy": Accuracy(), "mine": TrlReward("trl_own.py:everything", weight=2.0)}, Think())
    (row,) = rubric.score_all([group_of([right(7)], metadata={"difficulty": None})], 0)
    assert (row[0].components["mine"], row[0].reward) == (None, 1.0)


@holds_for(
    ("name", "message"),
    [
        ("column", "missing 1 required positional argument: 'difficulty'"),
        ("short", "returned 1 values for 2 completions"),
        ("wordy", r"row p, step 3: trl_own.py:wordy returned 'good', which holds no value"),
        ("broken", r"step 3: trl_own.py:broken raised ZeroDivisionError"),
    ],
)
def test_a_broken_function_stops_the_run_and_is_named(name, message):
    with pytest.raises(RuntimeError, match=message):
        values(TrlReward(f"trl_own.py:{name}"), "a", "b")


# EasyR1


def test_an_easy_r1_function_scores_a_batch_by_its_overall():
    reward = EasyR1Reward("easy_own.py:compute_score")
    assert values(reward, right(7), "x" * 40) == [pytest.approx(1.0), 0.0]
    assert values(EasyR1Reward("easy_own.py:compute_score", {"format_weight": 0.5}), "x") == [0.5]
    groups, scores = [group_of(["a", "b"]), group_of([right(7)])], [scores_of([Verdict.WRONG])] * 2
    assert reward.of_all(groups, scores, 0) == [[0.1, 0.1], [1.0]]


def test_a_sequential_easy_r1_function_scores_one_by_one():
    assert values(EasyR1Reward("easy_own.py:one", kind="sequential"), "abc", "a") == [0.3, 0.1]
    assert values(EasyR1Reward("seq_own.py:one"), "abc", "a") == [0.3, 0.1]


def test_an_easy_r1_function_without_overall_stops_the_run():
    with pytest.raises(RuntimeError, match=r"which holds no value: KeyError.'overall'"):
        values(EasyR1Reward("easy_own.py:nothing"), "a")


# verl


def test_a_verl_function_scores_each_response():
    metadata = {"data_source": "geo3k", "extra_info": {"index": 3}}
    reward = VerlReward("verl_own.py:compute_score")
    assert values(reward, right(7), right(8), metadata=metadata) == [1.0, 0.0]
    scaled = VerlReward("verl_own.py:compute_score", {"scale": 2.0}, data_source="geo3k")
    assert values(scaled, right(7), metadata={"index": 3}) == [2.0]


def test_a_verl_function_may_return_a_number_or_a_tuple_or_be_awaited():
    assert values(VerlReward("verl_own.py:number"), "abc") == [3.0]
    assert values(VerlReward("verl_own.py:pair"), "abc", "b") == [1.0, 1.0]
    assert values(VerlReward("verl_own.py:remote", {"scale": 2}), "abc", "b") == [6.0, 2.0]


# What is refused


@holds_for(
    ("reward", "function", "message"),
    [
        (TrlReward, "trl_own.py", "TrlReward.function is 'trl_own.py'; give package.module:name"),
        (TrlReward, ":name", "give package.module:name or path/file.py:name"),
        (TrlReward, "missing.py:reward", "is no Python file; name an existing .py file"),
        (TrlReward, "trl_own.py:missing", "missing does not exist in trl_own.py; name a function"),
        (TrlReward, "trl_own.py:seen", "seen is a dict in trl_own.py; name a function"),
        (EasyR1Reward, "bad_own.py:f", "bad_own.py cannot be imported: ModuleNotFoundError"),
        (VerlReward, "no_package_at_all.rewards:f", "no_package_at_all.rewards cannot be imported"),
        (
            TrlReward,
            "trl_own.py:narrow",
            "cannot be called with prompts, completions, .* correct the function",
        ),
        (VerlReward, "verl_own.py:batch", "cannot be called with data_source, solution_str"),
        (VerlReward, "easy_own.py:one", "VerlReward.function is 'easy_own.py:one', which cannot be called"),
        (EasyR1Reward, "verl_own.py:number", "EasyR1Reward.function is .*, which cannot be called with {}"),
        (EasyR1Reward, "odd_own.py:one", "EasyR1Reward.kind is None; its module says 'remote'; give batch"),
    ],
)
def test_a_function_that_cannot_be_used_is_refused(reward, function, message):
    with pytest.raises(RefusedError, match=message):
        reward(function)


def test_an_argument_that_the_function_does_not_take_is_refused():
    with pytest.raises(RefusedError, match=r"unexpected keyword argument 'weights'"):
        EasyR1Reward("easy_own.py:compute_score", {"weights": 1})


def test_a_kind_that_does_not_exist_is_refused():
    with pytest.raises(
        RefusedError, match=r"EasyR1Reward.kind is 'all'; give null or one of batch, sequential"
    ):
        EasyR1Reward("easy_own.py:one", kind="all")
