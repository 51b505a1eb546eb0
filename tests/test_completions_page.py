"""The page of a group: what is drawn of completions, and how texts are set."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from observer.pages.completions_page import LEFT, MOST_PICTURES, VERDICT_COLOURS, draw_group, spread
from observer.pages.marked_text import FAINT, INK, TAG_COLOURS, colours, lines, printable, shorten
from observer.types import Picture, RefusedError, Score, Verdict
from pages import RIGHT, WRONG, draw, has, make_group

# A page


def test_best_and_worst_are_always_shown():
    advantages = [0.0, 3.0, -2.0, 1.0, 2.0, -1.0]
    assert spread(advantages, 2) == [1, 2]
    assert spread(advantages, 1) == [1]
    assert spread(advantages, 4) == [1, 3, 0, 2]
    assert spread(advantages, 9) == [1, 4, 3, 0, 5, 2]
    assert spread([0.0, 0.0, 0.0], 2) == [0, 2]


def test_verdicts_have_their_colours():
    right, wrong = draw(make_group(RIGHT)), draw(make_group(WRONG))
    assert has(right, VERDICT_COLOURS[Verdict.CORRECT])
    assert not has(right, VERDICT_COLOURS[Verdict.WRONG])
    assert has(wrong, VERDICT_COLOURS[Verdict.WRONG])
    assert not has(wrong, VERDICT_COLOURS[Verdict.CORRECT])
    group = make_group("<answer> ? </answer>")
    grey = draw_group(group, [Score(Verdict.UNVERIFIABLE, "it is no number", "?", True)], [0.0], [1.0])
    assert has(grey, VERDICT_COLOURS[Verdict.UNVERIFIABLE])


def test_tags_are_drawn_in_their_colours():
    pixels = {tuple(pixel) for pixel in np.asarray(draw(make_group(RIGHT))).reshape(-1, 3).tolist()}
    assert {colour for pair in TAG_COLOURS.values() for colour in pair} <= pixels


def test_a_tiny_picture_is_enlarged_pixel_by_pixel_and_a_huge_one_shrunk():
    problem = replace(make_group("").problem, pictures=(one("tiny", (2, 1)),))
    page = np.asarray(draw(make_group("", problem=problem)))
    assert int((page[:, : LEFT + 32] == (200, 0, 0)).all(-1).sum()) == LEFT * LEFT // 2
    for size in ((4000, 3000), (5000, 10), (10, 5000)):
        problem = replace(problem, pictures=(one("huge", size),))
        page = np.asarray(draw(make_group("", problem=problem)))
        rows, columns = np.nonzero((page[:, : LEFT + 32] == (200, 0, 0)).all(-1))
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == LEFT


def one(name, size):
    return Picture(name, lambda: size[::-1], lambda: Image.new("RGB", size, (200, 0, 0)))


def test_several_pictures_stand_side_by_side_and_too_many_are_counted():
    base = make_group("").problem
    pages = [
        draw(
            make_group(
                "", problem=replace(base, pictures=tuple(one(f"{i}", (50, 50)) for i in range(number)))
            )
        )
        for number in (1, 2, MOST_PICTURES, MOST_PICTURES + 1)
    ]
    red = [int((np.asarray(page) == (200, 0, 0)).all(-1).sum()) for page in pages]
    assert red == [300**2, 2 * 150**2, MOST_PICTURES * 150**2, MOST_PICTURES * 150**2]
    assert pages[3].height > pages[2].height


def test_a_problem_without_pictures_and_a_picture_that_is_gone_still_make_a_page():
    def gone():
        raise RefusedError("geo/12.png cannot be read: it does not exist")

    base = make_group("").problem
    blind = draw(make_group(RIGHT, problem=replace(base, pictures=())))
    broken = draw(make_group(RIGHT, problem=replace(base, pictures=(Picture("12", lambda: (1, 1), gone),))))
    assert broken.height > blind.height > 100


@pytest.mark.parametrize(
    "text",
    [
        "日本語 한국어 中文",
        "שלום العربية",
        "🎲👩‍👩‍👧",
        "e\u0301\u200b\u202e",
        "\0\x07\x1b[31m",
        "a\tb\r\nc\r",
        "\ud800",
        "",
    ],
)
def test_any_text_makes_a_page(text):
    problem = replace(
        make_group("").problem, answer="3", turns=make_group("").problem.turns, id=f"row {text}"
    )
    page = draw(make_group(text, f"<answer>{text}</answer>", problem=problem))
    assert page.mode == "RGB"
    assert page.width == draw(make_group("")).width


def test_a_page_stays_within_bounds_whatever_was_written():
    group = make_group("\n" * 100_000, "x" * 100_000, "word " * 20_000, "<think>" * 10_000)
    assert draw(group).height < 2000


# The text of a page


def test_a_cut_text_says_how_much_is_left_out_and_keeps_both_ends():
    text = "".join(chr(ord("a") + place % 26) for place in range(5000))
    cut = shorten(text, 900)
    head, mark, tail = cut.split("\n")
    assert mark == "[... 4,100 characters left out ...]"
    assert (head, tail) == (text[:600], text[-300:])
    assert shorten(text, 5000) == text


def test_what_is_left_out_is_counted_exactly_when_new_lines_cost_more():
    text = "line\n" * 200
    head, tail = shorten(text, 900).split("\n[... ", 1)
    number, tail = tail.split(" characters left out ...]\n", 1)
    assert len(head) + int(number) + len(tail) == len(text)
    assert text.startswith(head)
    assert text.endswith(tail)


def test_no_character_but_blanks_at_line_ends_is_lost_by_breaking_lines():
    text = "some words, averyveryverylongword\n\nand  two blanks"
    broken = [text[line] for line in lines(text, 12)]
    assert max(map(len, broken)) <= 12
    assert "".join(broken).replace(" ", "") == text.replace("\n", "").replace(" ", "")
    assert "" in broken


def test_text_is_coloured_by_the_tag_it_stands_in():
    text = "a<think>b</think>c<answer>d\n[... 12 characters left out ...]\ne"
    assert len(colours(text)) == len(text)
    by_letter = dict(zip(text, colours(text), strict=True))
    assert (by_letter["b"], by_letter["d"]) == (TAG_COLOURS["think"][1], TAG_COLOURS["answer"][1])
    assert (colours(text)[0], colours(text)[text.index(">c") + 1]) == (INK, INK)
    assert colours(text)[text.index("12")] == FAINT
    assert by_letter["e"] != FAINT


def test_what_cannot_be_set_is_marked():
    assert printable("a\tb\r\n\x1b[1m\rc") == "a    b\n�[1m�c"
