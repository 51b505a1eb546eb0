"""What a family checks of all its members is checked in each, also where a member has checks of its own."""

import math

import pytest

from observer import strategies
from observer.curriculum import Random, Stage
from observer.curriculum.schedules.mixture import Part
from observer.objective import Uniform
from observer.types import RefusedError
from tables import holds_for

BROKEN = {
    "weighting": ({"apply_to": "format"}, "apply_to is 'format'; it must be one of all, accuracy"),
    "reward": ({"weight": math.nan}, "weight is nan; give a finite number"),
    "schedule": ({"horizon": 0}, "horizon is 0; it must be >= 1"),
    "kl": ({"coefficient": 0.0}, "coefficient is 0.0; it must be > 0"),
}
"""Family -> a value that none of its members may have, and what it is refused with."""
NEEDED = {
    "BoxIoU": {"order": "xyxy", "scale": "picture"},
    "Judge": {"url": "http://127.0.0.1:1/v1", "model": "none"},
    "TrlReward": {"function": "json:dumps"},
    "VerlReward": {"function": "json:dumps"},
    "EasyR1Reward": {"function": "json:dumps"},
    "AtMost": {"schedule": Random(), "visits": 1},
    "Mixture": {"parts": {"all": Part(Random(), 1.0)}},
    "Shuffled": {"schedule": Random()},
    "Permuted": {"weighting": Uniform()},
    "Stages": {"stages": [Stage(None, {1: 1.0})]},
}
"""Options without a default."""


def members():
    return [
        (family, name)
        for family in BROKEN
        for name, strategy in strategies.members(family).items()
        if strategy.__module__.startswith("observer.")
    ]


@holds_for(("family", "name"), members())
def test_what_no_member_may_have_is_refused_by_each(family, name):
    broken, message = BROKEN[family]
    with pytest.raises(RefusedError) as caught:
        strategies.members(family)[name](**{**NEEDED.get(name, {}), **broken})
    assert message in str(caught.value)
