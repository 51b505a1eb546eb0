"""Inverse pass rate and inverse domain share: hard problems of rare domains weigh most."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from observer.objective.weightings.base import Weighting
from observer.refusal import SHOWN, printable, refuse_fields, refuse_unless, shown
from observer.types import Estimated, Problem, RefusedError


@dataclass(frozen=True)
class Disco(Weighting):
    """f = min(cap, 1 / (p + eps)) log(1 + 1 / share of the domain): hard problems of rare domains weigh most.

    p, the pass rate, is what the paper calls self-consistency. Without ``shares`` the second factor is 1.

    Applied to **advantages**, as every weighting here; the authors multiply the rewards before they are
    normalised, where dividing by the spread of the group cancels a factor that all its rewards share. For
    estimators without such a scale (``GroupMean``) the two are the same.

    Not to be confused with DisCO, arXiv 2505.12366.

    Args:
        shares: domain -> its share of the training data, in (0, 1], together at most 1; empty for no factor
            by domain. A row of another domain, or of none, is refused.
        domain_key: the key of a row's metadata that names its domain.
        cap: the largest factor by difficulty, > 0 and finite; null for the group size, which only a group
            that is all wrong would exceed.
        eps: added to the pass rate, > 0 and finite.

    Reference:
        DISCO, arXiv 2505.15074; as in the authors' code, but for the cap, which is ours. The code has the
        factors by domain as numbers; that they are log(1 + 1 / share) is inferred from them.

    Of 4: 1 right, so 4 times log(1 + 1 / .25) = log 5 = 1.609; none right, so the cap, 4, times log 5.

    >>> Disco().difficulty(torch.tensor([1.0, 0.5, 0.25, 0.0]), size=4).round(decimals=3).tolist()
    [1.0, 2.0, 4.0, 4.0]
    >>> angles = Problem("a", 0, (), "", "", metadata={"domain": "geometry"})
    >>> round(Disco(shares={"geometry": 0.25}).domain(angles), 3)
    1.609
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    domain_key: str = "domain"
    cap: float | None = None
    eps: float = 1e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = all(0 < share <= 1 for share in self.shares.values())
        refuse_unless(fits, self, "shares", "it must be of numbers in (0, 1]")
        fits = math.fsum(self.shares.values()) <= 1 + 1e-6
        refuse_unless(
            fits,
            self,
            "shares",
            f"it must be of numbers that add up to at most 1, not {sum(self.shares.values())}",
        )
        refuse_fields(self, "cap", above=0, hint=", or null")
        refuse_fields(self, "eps", above=0)

    def __call__(self, batch: Estimated) -> torch.Tensor:
        """Return the product of both factors; see ``Weighting``.

        Raises:
            RefusedError: a row is of a domain that ``shares`` does not name.
        """
        domains = [self.domain(group.problem) for group in batch.groups]
        difficulty_P = self.difficulty(batch.pass_rates_P, batch.rewards_P_G.shape[-1])
        return difficulty_P * torch.tensor(domains, dtype=torch.float64)

    def difficulty(self, pass_rates_P: torch.Tensor, size: int) -> torch.Tensor:
        """Return the factor by difficulty, (P,).

        Args:
            pass_rates_P: share of correct completions.
            size: G.
        """
        return (1 / (pass_rates_P + self.eps)).clamp(max=size if self.cap is None else self.cap)

    def domain(self, problem: Problem) -> float:
        """Return the factor by domain.

        Raises:
            RefusedError: the problem is of a domain that ``shares`` does not name.
        """
        if not self.shares:
            return 1.0
        domain = problem.metadata.get(self.domain_key)
        if str(domain) not in self.shares:
            raise RefusedError(
                f"Disco.shares: row {printable(problem.id, SHOWN)} has {self.domain_key} {shown(domain)} in "
                f"its metadata, but there is a share of {', '.join(self.shares)}; add it, or name another "
                "key as domain_key"
            )
        return math.log(1 + 1 / self.shares[str(domain)])
