"""Scores against others: scipy's, votes that are drawn; with ``tox -e peers`` lmms-eval's own functions."""

import ast
import collections
import importlib.util
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import hypergeom

from observer.evaluation.intervals import estimate
from observer.statistics import crossed, maj_at_k, pass_at_k

RNG = np.random.default_rng(0)
RIGHT_P = (RNG.random(240) < RNG.random(240)).astype(float)
CLUSTER_P = RNG.integers(0, 60, 240)


@pytest.fixture(scope="module")
def theirs():
    """The two functions of lmms-eval's metrics, read from its file: the module itself needs its registry."""
    found = importlib.util.find_spec("lmms_eval")
    file = Path(found.submodule_search_locations[0]) / "api" / "metrics.py"
    names = ("clustered_stderr", "paired_ttest")
    tree = ast.parse(file.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in names]
    space = {"collections": collections, "math": math, "List": list, "Any": Any}
    exec(compile(tree, str(file), "exec"), space)
    return SimpleNamespace(**{name: space[name] for name in names})


def by_their_formula(values_P, cluster_P):
    """Equation 4 of Miller 2024, as its text has it: pair by pair."""
    off_P = values_P - values_P.mean()
    count = len(values_P)
    same_P_P = (cluster_P[:, None] == cluster_P) & ~np.eye(count, dtype=bool)
    return math.sqrt(values_P.var(ddof=1) / count + (np.outer(off_P, off_P) * same_P_P).sum() / count**2)


def as_theirs(values_P, cluster_P):
    """Our standard error under their convention: without the factor for few clusters, s^2 / n on top."""
    found = estimate(values_P, cluster_P, bounds=(-1.0, 1.0))
    clusters, count = found.effective_clusters, len(values_P)
    return math.sqrt(found.variance * (clusters - 1) / clusters + values_P.var(ddof=1) / count**2)


def test_clustered_errors_are_those_of_the_formula():
    for values_P in (RIGHT_P, RIGHT_P - RNG.integers(0, 2, 240), RNG.random(240)):
        assert as_theirs(values_P, CLUSTER_P) == pytest.approx(
            by_their_formula(values_P, CLUSTER_P), abs=1e-9
        )
    alone = estimate(RIGHT_P, np.arange(240)).error
    assert alone == pytest.approx(by_their_formula(RIGHT_P, np.arange(240)), abs=1e-9)


@pytest.mark.peers
def test_clustered_errors_are_those_of_lmms_eval(theirs):
    for cluster_P in (CLUSTER_P, np.arange(240), np.arange(240) // 4):
        expected = theirs.clustered_stderr(RIGHT_P.tolist(), cluster_P.tolist())
        assert as_theirs(RIGHT_P, cluster_P) == pytest.approx(expected, abs=1e-9)


@pytest.mark.peers
def test_paired_differences_are_those_of_lmms_eval(theirs):
    base_P = RNG.integers(0, 2, 240).astype(float)
    expected = theirs.paired_ttest(RIGHT_P.tolist(), base_P.tolist())
    found = crossed((RIGHT_P - base_P)[None])
    ours = (found.mean, found.error, found.p_value(), *found.interval())
    names = ("mean_diff", "se_diff", "p_value", "ci_lower", "ci_upper")
    assert ours == pytest.approx([expected[name] for name in names], abs=1e-9)
    bounded = crossed((RIGHT_P - base_P)[None], bounds=(-1, 1))
    assert bounded.interval() == pytest.approx(found.interval(), abs=2e-3), "the logit bends it a little"


def test_pass_at_k_is_that_of_scipy_and_not_the_plug_in_estimate():
    for samples in (1, 5, 8, 32):
        right_P = np.arange(samples + 1)
        for k in range(1, samples + 1):
            exact_P = 1 - hypergeom(samples, right_P, k).pmf(0)
            assert pass_at_k(right_P, samples, k) == pytest.approx(exact_P, abs=1e-9)
    [found] = pass_at_k([2], 8, 4)
    assert found == pytest.approx(11 / 14, abs=1e-9)
    plug_in = 1 - (1 - 2 / 8) ** 4
    assert plug_in == pytest.approx(0.684, abs=5e-4)
    assert abs(found - plug_in) > 0.1


def test_maj_at_k_is_the_share_of_votes_that_are_won():
    labels_P_N = RNG.integers(-1, 4, (40, 8))
    for k in (1, 3, 4, 8):
        drawn = [[vote(row[RNG.permutation(8)[:k]]) for row in labels_P_N] for _ in range(300)]
        spread = np.std(drawn, axis=0).mean() / math.sqrt(300 * 40)
        assert abs(np.mean(drawn) - maj_at_k(labels_P_N, k).mean()) < 4 * spread + 1e-9


def vote(labels):
    """Whether the right answer, 0, wins; a tie is broken by chance."""
    counts = collections.Counter(label for label in labels.tolist() if label >= 0)
    most = max(counts.values(), default=0)
    winners = sorted(label for label, count in counts.items() if count == most)
    return bool(winners) and winners[RNG.integers(len(winners))] == 0
