"""What a grounding audit changes: the picture of a problem, or what the model says that it has seen."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from observer.data.fingerprints import pictures_digest
from observer.rewards.blocks import find_blocks
from observer.seeding import stable_seed
from observer.types import Picture, Problem, Verdict
from observer.verifier import Question, Verifier

OfPicture = Literal["blank", "blurred", "wrong_picture"]
OfObserve = Literal["observe_kept", "observe_removed", "observe_shuffled", "observe_replaced"]

GREY = (232, 232, 232)
"""Of a blank picture."""
BLUR = 16
"""The blur's radius is this part of a picture's shorter side."""
TRIES = 32
"""Rows that are tried as a partner before a row has none."""
THINK = "<think>"


class Cut(NamedTuple):
    """A response up to its reasoning."""

    before: str
    """Up to the observe block, its opening tag included."""
    observed: str
    """Between its tags."""
    after: str
    """From its closing tag to the opening tag of the reasoning, both included."""


def partners(problems: Sequence[Problem], verifier: Verifier, seed: int) -> list[int | None]:
    """Return for each problem the place of another one, whose picture and observation it is shown instead.

    The partner has as many pictures, other ones, and another gold answer, so that no answer is right by the
    luck of equal golds. Those whose pictures are of the same size come first; among equals it is drawn.

    Args:
        problems: with pictures.
        verifier: compares golds.
        seed: of the draw.

    Returns:
        None where none of ``TRIES`` others will do.
    """
    digests = [pictures_digest(problem) for problem in problems]
    sizes = [tuple(picture.size() for picture in problem.pictures) for problem in problems]
    order = np.random.default_rng(stable_seed(seed, "partners")).permutation(len(problems)).tolist()
    alike: dict[object, list[int]] = defaultdict(list)
    for place in order:
        alike[sizes[place]].append(place)
        alike[len(sizes[place])].append(place)
    candidates = [
        [
            other
            for other in dict.fromkeys(chain(_after(place, alike[size]), _after(place, alike[len(size)])))
            if digests[other] != digests[place]
        ][:TRIES]
        for place, size in enumerate(sizes)
    ]
    found: list[int | None] = [None] * len(problems)
    for attempt in range(TRIES):
        open_ = [place for place, one in enumerate(found) if one is None and attempt < len(candidates[place])]
        asked = [(problems[place], problems[candidates[place][attempt]].answer) for place in open_]
        results = verifier.verify_all([Question(p.kind, p.answer, gold, p.options) for p, gold in asked])
        for place, result in zip(open_, results, strict=True):
            if result.verdict is Verdict.WRONG:
                found[place] = candidates[place][attempt]
    return found


def _after(place: int, ring: list[int]) -> list[int]:
    """Return the next places on a ring, twice as many as are tried: some show the same picture."""
    at = ring.index(place) + 1
    return (ring[at:] + ring[: at - 1])[: 2 * TRIES]


def with_picture(problem: Problem, condition: OfPicture, partner: Problem | None) -> Problem | None:
    """Return a problem with other pictures of the same sizes; None where it has no partner for them."""
    if condition == "wrong_picture":
        if partner is None:
            return None
        pairs = zip(problem.pictures, partner.pictures, strict=True)
        pictures = [_picture(own, shown.name, partial(_resized, shown, own)) for own, shown in pairs]
    else:
        change = _blank if condition == "blank" else _blurred
        pictures = [
            _picture(own, f"{own.name} ({condition})", partial(change, own)) for own in problem.pictures
        ]
    return replace(problem, id=f"{problem.id} ({condition})", pictures=tuple(pictures))


def _picture(own: Picture, name: str, load: partial[Image.Image]) -> Picture:
    return Picture(name, own.size, load)


def _blank(picture: Picture) -> Image.Image:
    height, width = picture.size()
    return Image.new("RGB", (width, height), GREY)


def _blurred(picture: Picture) -> Image.Image:
    image = picture.load()
    return image.filter(ImageFilter.GaussianBlur(min(image.size) / BLUR))


def _resized(picture: Picture, like: Picture) -> Image.Image:
    image, (height, width) = picture.load(), like.size()
    return image if image.size == (width, height) else image.resize((width, height))


def cut(response: str) -> Cut | None:
    """Return a response up to its reasoning; None without one observe block and a reasoning after it.

    >>> cut("<observe> 4 5 </observe><think> 4 + 5 = 9 </think>")
    Cut(before='<observe>', observed=' 4 5 ', after='</observe><think>')
    """
    block = find_blocks(response, ("observe",)).get("observe")
    start = -1 if block is None else response.find(THINK, block.end)
    if block is None or start < 0:
        return None
    inside = block.start + len("<observe>"), block.end - len("</observe>")
    return Cut(
        response[: inside[0]], response[inside[0] : inside[1]], response[inside[1] : start + len(THINK)]
    )


def beginning(own: Cut, condition: OfObserve, other: Cut | None, seed: int) -> str | None:
    r"""Return what the model is to go on from; None where there is no observation to put in.

    Args:
        own: of the response.
        condition: what is done to its observation.
        other: of the partner's response.
        seed: of the order of shuffled words.

    >>> own, other = map(cut, ("<observe> 4 5 </observe><think>", "<observe>6</observe><think>"))
    >>> [beginning(own, condition, other, 1) for condition in ("observe_removed", "observe_replaced")]
    ['<think>', '<observe>6</observe><think>']
    >>> beginning(own, "observe_shuffled", other, 1)
    '<observe> 5 4 </observe><think>'
    """
    if condition == "observe_removed":
        return own.before.removesuffix("<observe>") + own.after.removeprefix("</observe>").lstrip()
    observed = own.observed
    if condition == "observe_shuffled":
        observed = _shuffled(observed, seed)
    elif condition == "observe_replaced":
        if other is None:
            return None
        observed = other.observed
    return own.before + observed + own.after


def _shuffled(text: str, seed: int) -> str:
    """Return a text with its words in another order, if it has one, and its blanks where they were."""
    pieces = re.split(r"(\s+)", text)
    places = [place for place, piece in enumerate(pieces) if piece.strip()]
    words, rng = [pieces[place] for place in places], np.random.default_rng(seed)
    mixed = words
    while mixed == words and len(set(words)) > 1:
        mixed = [words[place] for place in rng.permutation(len(words))]
    for place, word in zip(places, mixed, strict=True):
        pieces[place] = word
    return "".join(pieces)
