"""What tests of the objective share: made-up scores of groups, and two ranks in one process."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import torch
from hypothesis import strategies as st

from observer.objective import ComponentWeights, Ranks, weigh
from observer.types import Completion, Estimated, Group, Problem, Prompt, Sampling, Score, Turn, Verdict
from processes import HUNG

COMPONENTS = ComponentWeights({"accuracy": 1.0, "format": 0.5, "length": -0.2}, frozenset({"accuracy"}))
RIGHT, WRONG, UNVERIFIABLE = Verdict.CORRECT, Verdict.WRONG, Verdict.UNVERIFIABLE


def group(size, options=(), metadata=None, finish="stop"):
    """A group of completions of which nothing is looked at but how many they are and how they end."""
    problem = Problem(
        "row-7", 0, (Turn("user", "?"),), "7", "integer", options=options, metadata=metadata or {}
    )
    completions = tuple(Completion((0,), (0.0,), "", finish, index) for index in range(size))
    return Group(Prompt(problem, (1,)), completions, Sampling(group_size=size))


def score(verdict, answer="7", formatted=True, length=0.0, bonus=0.0):
    """A score; a length of None is a component that does not apply, and 0 is its group's mean of it."""
    components = {"accuracy": float(verdict is RIGHT), "format": float(formatted), "length": length}
    filled = components | {"length": length or 0.0}
    reward = sum(COMPONENTS.weights[name] * value for name, value in filled.items())
    return Score(verdict, "", answer, formatted, components, filled, reward, bonus)


def rows(size=4, most=4):
    """Random groups of scores: of any verdict, with and without answer and format, some all alike."""
    one = st.builds(
        score,
        st.sampled_from([RIGHT, RIGHT, WRONG, UNVERIFIABLE]),
        st.sampled_from([None, "7", " 8", "8", "Red", "red ", ""]),
        st.booleans(),
        st.sampled_from([None, 0.0, 0.5, 1.0, -1.0]),
        st.sampled_from([0.0, 0.0, 0.2]),
    )
    row = st.lists(one, min_size=size, max_size=size) | one.map(lambda each: [each] * size)
    return st.lists(row.map(tuple), min_size=1, max_size=most)


def estimated(scores, estimates=None, **fields):
    """What a weighting sees of scores."""
    rewards = torch.tensor([[each.reward for each in row] for row in scores], dtype=torch.float64)
    correct = torch.tensor([[each.correct for each in row] for row in scores], dtype=torch.float64)
    if estimates is None:
        estimates = rewards - rewards.mean(-1, keepdim=True)
    groups = tuple(group(len(row), **fields) for row in scores)
    return Estimated(groups, tuple(map(tuple, scores)), rewards, correct.mean(-1), torch.as_tensor(estimates))


def weighed(
    scores, advantage, weighting, combine="sum_then_normalise", ranks=None, components=COMPONENTS, **fields
):
    """The experience of scores."""
    groups = [group(len(row), **fields) for row in scores]
    return weigh(groups, scores, components, advantage, weighting, combine, ranks or Ranks())


def on_two_ranks(scores, *recipe, **fields):
    """The experiences of two ranks, each with half of the groups."""
    half = len(scores) // 2
    barrier, given = Barrier(2, timeout=HUNG), [None, None]

    def run(rank):
        def gather(tensor):
            given[rank] = tensor
            barrier.wait()
            joined = torch.cat(given)
            barrier.wait()
            return joined

        return weighed(scores[rank * half : (rank + 1) * half], *recipe, ranks=Ranks(rank, gather), **fields)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(run, range(2)))
