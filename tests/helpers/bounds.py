"""Bounds of numeric tests that follow from the arithmetic, and not from what one machine gave.

A pass is held against one of higher precision. It may be off by what its own roundings cost, which follows
from their size, how many come one after another, and how large the numbers are. Or it may be off by no more
than another pass of its precision is in the same test: that needs no figure at all.
"""

import torch

CHAIN = 100
"""Roundings one after another in a pass of the tiny models: 3 layers of text and 2 of pictures, 16 in each
(norm, projection, rotation, scores, softmax, sums, and so on), and 20 before, between and behind them."""

LOGIT = 16
"""The largest logit of the shipped model, about. A log-prob, their difference, is as exact as they are."""

SIGMAS = 4
"""What varies by chance may be this many standard deviations off: 1 in 30,000 is farther off to one side."""


def rounding(dtype=torch.float32):
    """The most that one rounding changes, of the number itself: 2**-24 in float32, 2**-8 in bfloat16."""
    return torch.finfo(dtype).eps / 2


def of_logprob():
    """The standard deviation of a log-prob of a float32 pass: its roundings add up as a random walk does."""
    return CHAIN**0.5 * rounding() * LOGIT


GRADIENT = SIGMAS * (2 * 2 * CHAIN) ** 0.5 * rounding()
"""How far two float32 gradients of the same loss are apart, relative: two passes, each there and back."""


def assert_same_gradient(found, expected, bound=GRADIENT):
    """All entries together, by norm, and each, relative to the largest.

    Not to itself: a small one may be what is left of large terms that cancel out.
    """
    assert found.shape == expected.shape
    apart, expected = found.double() - expected.double(), expected.double()
    gap = float(apart.norm() / expected.norm())
    assert gap <= bound, f"{gap:.2e} of the norm apart, {bound:.2e} allowed"
    gap = float(apart.abs().max() / expected.abs().max())
    assert gap <= bound, f"an entry is {gap:.2e} of the largest apart, {bound:.2e} allowed"


def chance(errors):
    """By what factor the mean of as many errors of the same kind may by chance be above that of these."""
    spread = float(errors.std() / errors.mean())
    return 1 + SIGMAS * spread * (2 / errors.numel()) ** 0.5  # 2, as both means vary


def assert_errs_no_more(found, other, exact):
    """Values are no farther from exact ones than those of another pass of the same precision, on average.

    What is let through follows from the other pass alone: it does not grow with what is wrong in the first.
    """
    mine, theirs = ((values.double() - exact.double()).abs() for values in (found, other))
    mean, allowed = float(mine.mean()), chance(theirs) * float(theirs.mean())
    assert mean <= allowed, f"{mean:.2e} off on average, {allowed:.2e} allowed"
