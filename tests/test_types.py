import io
import re
import tokenize
from pathlib import Path

import pytest

import observer
from observer import types

SHAPE = re.compile(r"_?[a-z][a-z0-9]*(?:_[a-z0-9]+)*?((?:_(?:[A-Z]+|[0-9]+))+)")
"""A name that ends in a shape, such as ``_turns_T_2_1_1_D``; the shape is its group."""


def letters_in(source):
    """The shape letters of the names of a source."""
    names = {
        token.string
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.NAME
    }
    shapes = [match[1] for name in names if (match := SHAPE.fullmatch(name))]
    return {letter for shape in shapes for letter in shape if letter.isalpha()}


def test_the_legend_of_shapes_holds_every_letter_in_use_and_no_other():
    in_use = set()
    for path in Path(observer.__file__).parent.rglob("*.py"):
        in_use |= letters_in(path.read_text())
    legend = re.findall(r"^- ([A-Z]): ", types.__doc__, re.MULTILINE)
    assert len(legend) == len(set(legend))
    assert set(legend) == in_use


@pytest.mark.parametrize(
    ("source", "letters"),
    [
        ("weights_P_G = 1", "PG"),
        ("self._turns_T_2_1_1_D[0]", "TD"),
        ("scores_PH_RQ_S", "PHRQS"),
        ("def f(positions_3_S): ...", "S"),
        ("MAX_LENGTH = OWN_FIELDS; step_1 = Group", ""),
    ],
)
def test_letters_are_found_at_the_end_of_names(source, letters):
    assert letters_in(source) == set(letters)
