"""What pages of HTML share: templates, the policy that forbids all else, texts and colours of tags."""

from __future__ import annotations

import base64
from functools import cache
from hashlib import sha256
from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined

from observer.pages.marked_text import FAINT, INK, TAG_COLOURS, VERDICT_COLOURS, Colour, colours, printable

_NAMES = {FAINT: "faint", INK: "ink"} | {
    colour: f"{tag}-{part}"
    for tag, pair in TAG_COLOURS.items()
    for colour, part in zip(pair, ("tag", "text"), strict=True)
}
_LONE = {code: "\N{REPLACEMENT CHARACTER}" for code in range(0xD800, 0xE000)}


def text_of(text: str) -> str:
    """Return a text that a page can hold: no control characters, no halves of characters."""
    return printable(text).translate(_LONE)


def marked(text: str) -> list[tuple[str, str]]:
    """Return the pieces of a text by colour, each with the name of its class."""
    text = text_of(text)
    pieces, place = [], 0
    for colour, same in groupby(colours(text)):
        end = place + len(list(same))
        pieces.append((_NAMES[colour], text[place:end]))
        place = end
    return pieces


def colour_styles() -> str:
    """Return the style of what is coloured, by its class."""
    verdicts = {f"verdict-{verdict}": colour for verdict, colour in VERDICT_COLOURS.items()}
    named = {name: colour for colour, name in _NAMES.items()}
    return "".join(f".{name} {{ color: {_css(colour)}; }}\n" for name, colour in (named | verdicts).items())


def policy(style: str, script: str) -> str:
    """Return the policy of a page: its own style and script, pictures that are in it, nothing else."""
    allowed = ["default-src 'none'", "img-src data:", "base-uri 'none'", "form-action 'none'"]
    return "; ".join([*allowed, f"style-src {_hash(style)}", f"script-src {_hash(script)}"])


@cache
def templates() -> Environment:
    """Return the templates of this room; whatever is put into one is escaped."""
    return Environment(
        loader=PackageLoader("observer.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def source(name: str) -> str:
    """Return a file of ours as it stands."""
    environment = templates()
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _css(colour: Colour) -> str:
    return f"rgb({', '.join(map(str, colour))})"


def _hash(text: str) -> str:
    """Return how a policy names the one style or script that it allows."""
    return f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"
