import math
import re

import pytest

from observer.objective import GroupMeanStd, PPOClip
from observer.refusal import printable, refuse_fields, refuse_outside, shown
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


@pytest.mark.parametrize("show", [shown, printable])
def test_what_is_shown_of_a_value_is_one_line_without_a_control_character(show):
    everything = "".join(map(chr, range(0x3000))) + "\U000e0001\ud800"
    assert all(
        character.isprintable()
        for start in range(0, len(everything), 40)
        for character in show(everything[start : start + 40])
    )


def test_short_values_are_shown_whole_and_long_ones_are_shortened():
    assert (shown("red"), shown(7), shown(["a"]), printable("a b/ü.png")) == (
        "'red'",
        "7",
        "['a']",
        "a b/ü.png",
    )
    assert len(shown("x" * 10_000_000)) == len(shown(["x" * 100])) == 80
    assert len(printable("x" * 10_000_000)) < 400
    assert printable("/data/" + "x" * 1000 + "/a.png").endswith("x/a.png")


def test_a_value_that_python_cannot_show_is_named_by_its_type():
    nested = []
    for _ in range(100_000):
        nested = [nested]
    assert shown(nested) == "a value of type list, too large to show"
    assert shown(10**5000) == "a value of type int, too large to show"
