"""A weighting that a package offers by its entry point."""

from dataclasses import dataclass

from observer.objective import Weighting


@dataclass(frozen=True)
class Cubic(Weighting):
    """f(p) = p^3: what is nearly mastered weighs most."""

    def __call__(self, batch):
        return batch.pass_rates_P**3
