"""How groups are cut into passes: all of each, once, within the budget, and cut no more than needed."""

import sys
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observer.learner.optimization import Optimization, default_optimizer
from observer.objective import Constant, cut_groups
from observer.objective.micro_batches import joined
from observer.types import Completion, Group, Problem, Prompt, Sampling, Turn


def group(prompt, *lengths):
    """A group by the tokens of its prompt and of its completions."""
    problem = Problem("a", 0, (Turn("user", "?"),), "7", "integer")
    completions = [Completion((9,) * n, (0.0,) * n, "", "length", i) for i, n in enumerate(lengths)]
    return Group(Prompt(problem, (9,) * prompt), tuple(completions), Sampling())


def cut(groups, tokens, rows=None):
    """The passes, each a list of (place of a group, places of its completions)."""
    passes = cut_groups(groups, tokens, rows)
    return [
        [(place, list(range(*piece.indices(len(groups[place].completions))))) for place, piece in pieces]
        for pieces in passes
    ]


def size(groups, place, rows):
    return len(groups[place].prompt.ids) + sum(len(groups[place].completions[row].ids) for row in rows)


GROUPS = st.lists(
    st.builds(
        lambda prompt, lengths: group(prompt, *lengths),
        st.integers(1, 30),
        st.lists(st.integers(1, 30), min_size=1, max_size=6),
    ),
    max_size=6,
)


@given(groups=GROUPS, tokens=st.integers(1, 200), rows=st.none() | st.integers(1, 10))
def test_passes_hold_each_completion_once_within_the_budget_and_cut_no_group_that_fits(groups, tokens, rows):
    passes = cut(groups, tokens, rows)
    found = [(place, row) for pieces in passes for place, own in pieces for row in own]
    assert sorted(found) == [(i, j) for i, one in enumerate(groups) for j in range(len(one.completions))]
    for pieces in passes:
        held = [row for _, own in pieces for row in own]
        assert held, "a pass of nothing"
        assert len(held) <= (rows or sys.maxsize)
        assert sum(size(groups, *piece) for piece in pieces) <= tokens or len(held) == 1
    for place, one in enumerate(groups):
        whole = list(range(len(one.completions)))
        pieces = [own for pieces in passes for at, own in pieces if at == place]
        assert [row for own in pieces for row in own] == whole
        if size(groups, place, whole) <= tokens and len(whole) <= (rows or sys.maxsize):
            assert pieces == [whole]
    order = [groups[place].longest for pieces in passes for place, _ in pieces]
    assert order == sorted(order), "groups of like length lie side by side"


@given(groups=GROUPS, tokens=st.integers(1, 200), rows=st.none() | st.integers(1, 10))
def test_a_pass_ends_only_where_the_next_group_would_not_fit_whole(groups, tokens, rows):
    passes = cut(groups, tokens, rows)
    for pieces, following in pairwise(passes):
        place, _ = following[0]
        if place == pieces[-1][0]:  # a group that is cut: not even one more of its completions fits
            more = [*pieces[:-1], (place, [*pieces[-1][1], following[0][1][0]])]
        else:
            more = [*pieces, (place, list(range(len(groups[place].completions))))]
        count = sum(len(own) for _, own in more)
        assert sum(size(groups, *piece) for piece in more) > tokens or count > (rows or sys.maxsize)


@given(groups=GROUPS, tokens=st.integers(1, 200), rows=st.none() | st.integers(1, 4))
def test_micro_batches_share_a_pass_as_long_as_its_tokens_allow(groups, tokens, rows):
    micro_batches = list(cut_groups(groups, tokens, rows))
    passes = list(joined(micro_batches, groups, tokens))
    assert [each for together in passes for each in together] == micro_batches

    def slots(together):
        pieces = [piece for each in together for piece in each]
        own = sum(len(one.ids) for place, piece in pieces for one in groups[place].completions[piece])
        return own + sum(len(groups[place].prompt.ids) for place in {place for place, _ in pieces})

    assert all(slots(together) <= tokens or len(together) == 1 for together in passes)
    assert all(slots([*one, other[0]]) > tokens for one, other in pairwise(passes))


def test_a_micro_batch_smaller_than_a_group_is_said_to_repeat_its_prompt():
    options = Optimization(default_optimizer, Constant(), None, 8192, 3)
    with pytest.warns(UserWarning, match=r"micro_batch is 3 and model.group_size 8: .* 3 times.*to null"):
        options.warn_of_cut_groups(8)
    for quiet in (replace(options, join=True), replace(options, micro_batch=None)):
        quiet.warn_of_cut_groups(8)
    options.warn_of_cut_groups(3)


def test_examples():
    short, long = group(4, 3, 3), group(4, 9, 2, 2)
    assert cut([long, short], 100) == [[(1, [0, 1]), (0, [0, 1, 2])]]
    assert cut([long, short], 26) == [[(1, [0, 1])], [(0, [0, 1, 2])]]  # 27 together
    assert cut([long, short], 15) == [[(1, [0, 1])], [(0, [0, 1])], [(0, [2])]]
    assert cut([long, short], 5) == [[(1, [0])], [(1, [1])], [(0, [0])], [(0, [1])], [(0, [2])]]
    assert cut([long, short], 100, rows=2) == [[(1, [0, 1])], [(0, [0, 1])], [(0, [2])]]
    assert cut([short, short], 100, rows=3) == [[(0, [0, 1])], [(1, [0, 1])]]
    assert cut([], 100) == []
