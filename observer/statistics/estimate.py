"""A mean, what is known of its error, and what follows: interval, p-value, equivalence."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import expit, stdtr, stdtrit

from observer.refusal import refuse_outside


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and problems, with the variance of its error."""

    mean: float
    """Over seeds and problems, each problem of the same weight."""
    variance: float
    """Of the mean, over other seeds and other problems; infinite for one value alone."""
    df: float
    """Degrees of freedom of ``variance``; 0 where the values say nothing of it: one, or all equal."""
    seeds: int
    """Seeds. With 1 the interval is over problems alone: it holds for this one run, not for the method."""
    problems: int
    """Problems. With 1 the interval is over seeds alone."""
    clusters: int
    """Different problems: those that repeat count once."""
    effective_clusters: float = 1.0
    """Clusters of equal size that would say as much: 1 / sum of the squared shares of the problems."""
    seed_variance: float = 0.0
    """Of the mean, by the spread of the seeds' means; it holds ``cell_variance``, and shrinks with seeds."""
    problem_variance: float = 0.0
    """Of the mean, by the spread of the means of (clusters of) problems; it holds ``cell_variance`` too."""
    cell_variance: float = 0.0
    """Of the mean, by what is left of the cells without their seed and their problem."""
    bounds: tuple[float, float] | None = None
    """Least and greatest value that a cell can have, if there are such."""

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        return math.sqrt(self.variance)

    @property
    def constant(self) -> bool:
        """Whether no spread was seen, so that the data do not say how sure the mean is."""
        return self.variance == 0

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the interval that covers the true mean with the probability ``level``.

        - Without bounds it is ``mean -+ t(df) * error``, t being the quantile of Student's distribution.
        - With bounds the same on the scale of the logit, ``log((mean - low) / (high - mean))``: near a bound
          it is longer on the side away from it, and it never leaves the bounds. Elsewhere both are nearly
          the same.
        - Where all values are equal nothing is known of their spread: three runs with the same outcome do not
          make a variance of zero. Without bounds the interval is the whole line. With bounds it is the exact
          one for a share that was never seen: at most ``q = 1 - ((1 - level) / 2) ** (1 / clusters)`` of all
          problems have another value, which is at most a bound. Of other seeds it says nothing.
        - Of one value alone it is the whole line.

        Args:
            level: between 0 and 1.

        Reference:
            Logit intervals of shares: Korn & Graubard 1998, Survey Methodology 24, 193-201. Exact ones:
            Clopper & Pearson 1934, Biometrika 26, 404-413.

        >>> Estimate(mean=0.5, variance=0.01, df=4, seeds=5, problems=1, clusters=1).interval()
        (0.222355..., 0.777644...)
        >>> Estimate(0.98, 0.0001, df=40, seeds=3, problems=99, clusters=99, bounds=(0, 1)).interval()
        (0.945867..., 0.992775...)
        """
        refuse_outside("level", level, above=0, most=1 - 1e-12)
        low, high = self.bounds or (-math.inf, math.inf)
        if self.constant and self.bounds:
            share = 1 - ((1 - level) / 2) ** (1 / self.clusters)
            return self.mean - share * (self.mean - low), self.mean + share * (high - self.mean)
        if self.df == 0:
            return low, high
        half = float(stdtrit(self.df, (1 + level) / 2))
        if not self.bounds:
            return self.mean - half * self.error, self.mean + half * self.error
        half *= self._logit_error
        ends = (low + (high - low) * float(expit(self._logit(self.mean) + end)) for end in (-half, half))
        return next(ends), next(ends)

    def known_interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """Return the interval, or None where it is the whole line: nothing is known of the spread.

        Args:
            level: between 0 and 1.
        """
        ends = self.interval(level)
        return ends if all(map(math.isfinite, ends)) else None

    def p_value(self) -> float:
        """Return the probability of a mean so far from 0, on either side, where the true mean is 0.

        It is below ``1 - level`` where, and only where, the interval of that level excludes 0. Of a mean
        that cannot be on both sides of 0, such as a share, there is nothing to test: it is 0 or 1.

        >>> round(Estimate(mean=0.5, variance=0.01, df=4, seeds=5, problems=1, clusters=1).p_value(), 6)
        0.00749
        """
        if self.mean == 0:
            return 1.0
        if self.bounds and not self.bounds[0] < 0 < self.bounds[1]:
            return 0.0  # a mean of bounded values is at the bound only where all are
        if self.constant and self.bounds:
            bound = self.bounds[0] if self.mean > 0 else self.bounds[1]
            share = self.mean / (self.mean - bound)
            return min(1.0, 2 * (1 - share) ** self.clusters)
        if self.df == 0:
            return 1.0
        if self.bounds:
            distance = abs(self._logit(self.mean) - self._logit(0.0)) / self._logit_error
        else:
            distance = abs(self.mean) / self.error
        return float(2 * stdtr(self.df, -distance))

    def _logit(self, value: float) -> float:
        """Return a value on the scale where the bounds are infinitely far."""
        low, high = self.bounds or (0.0, 1.0)
        return math.log((value - low) / (high - value))

    @property
    def _logit_error(self) -> float:
        """The standard error of the mean on that scale: the error times the slope of the logit."""
        low, high = self.bounds or (0.0, 1.0)
        return self.error * (high - low) / ((self.mean - low) * (high - self.mean))

    def equivalent(self, margin: float, level: float = 0.95) -> bool:
        """Return whether the true mean is shown to be within ``-margin .. margin``, by two one-sided tests.

        Both tests, that the mean is at most ``-margin`` and that it is at least ``margin``, have to be
        refused at ``1 - level``: the interval of level ``2 * level - 1`` (.90) lies within the margin. False
        does not say that there is a difference.

        Args:
            margin: in the unit of the mean, above 0.
            level: one less the error of either test.

        Reference:
            Schuirmann 1987, J. Pharmacokinetics and Biopharmaceutics 15, 657-680.

        >>> narrow = Estimate(mean=0.002, variance=4e-6, df=9, seeds=10, problems=1, clusters=1)
        >>> narrow.equivalent(0.01), narrow.equivalent(0.004)
        (True, False)
        """
        refuse_outside("margin", margin, above=0)
        refuse_outside("level", level, above=0.5, most=1 - 1e-12)
        low, high = self.interval(2 * level - 1)
        return -margin < low and high < margin
