import math
import re

import pytest

from observer.objective import GroupMeanStd, PPOClip
from observer.refusal import refuse_fields, refuse_outside
from observer.types import RefusedError


@pytest.mark.parametrize(
    ("value", "bounds", "said"),
    [
        (0, {"least": 1}, "x is 0; it must be >= 1"),
        (2.5, {"most": 2}, "x is 2.5; it must be <= 2"),
        (2, {"least": 0, "most": 1}, "x is 2; it must be 0 .. 1"),
        (0.0, {"above": 0}, "x is 0.0; it must be > 0"),
        (0.0, {"above": 0, "most": 1}, "x is 0.0; it must be > 0 and <= 1"),
        (math.nan, {}, "x is nan; it must be a finite number"),
        (math.inf, {"least": 0}, "x is inf; it must be >= 0 and finite"),
        (None, {"least": 0}, "x is None; it must be >= 0"),
        (-1, {"least": 0, "hint": ", or null for all"}, "x is -1; it must be >= 0, or null for all"),
    ],
)
def test_a_number_out_of_its_range_is_refused_with_the_range(value, bounds, said):
    with pytest.raises(RefusedError, match=f"^{re.escape(said)}$"):
        refuse_outside("x", value, **bounds)


def test_numbers_on_their_bounds_and_null_pass():
    assert refuse_outside("x", 1, 1, 1) is None
    assert refuse_outside("x", 1e-9, above=0) is None
    assert refuse_outside("x", math.inf, above=0, finite=False) is None
    assert refuse_outside("x", None, least=3, hint=", or null for none") is None


def test_fields_of_a_strategy_that_share_a_range_are_refused_by_name():
    refuse_fields(PPOClip(), "clip_low", "clip_high", "dual", above=0, hint=", or null")
    with pytest.raises(RefusedError, match=r"^PPOClip.dual is None; it must be > 0 and finite$"):
        refuse_fields(PPOClip(), "dual", above=0)
    with pytest.raises(RefusedError, match=r"^PPOClip.clip_high is 0.2; it must be > 1 and finite or so$"):
        refuse_fields(PPOClip(), "clip_high", above=1, hint=" or so")
    with pytest.raises(RefusedError, match=r"^GroupMeanStd.eps is 1e-06; it must be 1 .. 2$"):
        refuse_fields(GroupMeanStd(eps=1e-6), "eps", least=1, most=2)
