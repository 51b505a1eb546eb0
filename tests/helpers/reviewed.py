"""Rows of a review page, with texts that mean harm."""

from dataclasses import replace

from PIL import Image

from observer.pages.review_page import Answer, PageRow, review_page
from observer.types import Picture, RefusedError, Verdict
from planted import board, drawing, shown

HARM = "<script>document.title = 'harmed'</script><img src=x onerror=\"document.title='harmed'\">"
LADDER = "ab12"
REASONS = ("never wrong", "never right", "no answer can be verified")


def unreadable():
    raise RefusedError("picture gone.png is no file")


def rows(count=9):
    """Rows for three reasons; the second one holds harm in every field."""
    made = []
    for number in range(count):
        picture = board(number)[0] if number % 2 else drawing(number)[0]
        answers = (
            Answer(
                "41", 5, Verdict.WRONG, "<observe> two </observe><think> 40 + 1 </think><answer> 41 </answer>"
            ),
            Answer("", 3, Verdict.UNVERIFIABLE, "I cannot say."),
        )
        made.append(
            PageRow(
                f"row-{number}",
                REASONS[number % 3],
                f"<image>What is the sum of the tiles of board {number}?",
                (shown(picture, f"{number}.png"),),
                str(40 + number),
                "integer" if number % 2 else "number",
                answers,
                {"difficulty": 1.0, "complexity": 83.25, "source": "tiles"},
                "five of eight answers are 41",
            )
        )
    harmful = Answer(HARM, 8, Verdict.WRONG, f"<think> {HARM} </think>\x00\ud800 </pre></details>")
    made[1] = replace(
        made[1],
        id=f'"\r\0\ud800</script>{HARM}',
        question=f"<image>{HARM}",
        gold=f'"{HARM}',
        answers=(harmful,),
        columns={HARM: HARM},
        note=HARM,
    )
    gone = Picture(f"{HARM}.png", unreadable, unreadable)
    large = shown(Image.new("RGB", (2100, 700), "grey"), "large.png")
    made[2] = replace(made[2], pictures=(gone, large), question="Is <image> larger than <image>?")
    return made


def page(count=9, **options):
    return "".join(review_page(rows(count), **{"title": "Review of ab12", "ladder": LADDER, **options}))
