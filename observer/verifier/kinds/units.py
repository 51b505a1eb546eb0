"""Units of measurement and money: how they are read and what they are worth in one another, exactly.

Read: SI units with prefixes, common other ones, in symbols or English names, with powers, products and one or
more divisions (``km/h``, ``kg m^-3``, ``square feet``). Symbols keep their case; names do not. The table is
the whole of it: a word that is not in it is no unit.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

MAX_UNIT = 60
"""Longest text that is read as a unit, in characters."""
MAX_POWER = 12
"""Largest power of a base unit."""

_PREFIXES = {
    "p": ("pico", -12),
    "n": ("nano", -9),
    "μ": ("micro", -6),
    "m": ("milli", -3),
    "c": ("centi", -2),
    "d": ("deci", -1),
    "k": ("kilo", 3),
    "M": ("mega", 6),
    "G": ("giga", 9),
    "T": ("tera", 12),
}
# symbol, names, worth, in which unit, prefixes
_METRIC = """
m   meter,metre          1     m                nμmcdk
g   gram,gramme,gm       .001  kg               μmk
s   second,sec           1     s                nμm
A   ampere,amp           1     A                μmk
K   kelvin               1     K                -
mol mole                 1     mol              mk
L   liter,litre          .001  m^3              μmcd
Hz  hertz                1     s^-1             kMG
N   newton               1     kg.m.s^-2        mk
Pa  pascal               1     N.m^-2           kM
J   joule                1     N.m              mkM
W   watt                 1     J.s^-1           mkMG
Wh  watthour             3600  J                kMG
C   coulomb              1     A.s              nμm
V   volt                 1     W.A^-1           mk
Ω   ohm                  1     V.A^-1           kM
F   farad                1     C.V^-1           pnμ
T   tesla                1     kg.s^-2.A^-1     m
cal calorie              4.184 J                k
bit bit                  1     bit              kMG
B   byte                 8     bit              kMGT
"""
# names, worth, in which unit; symbols and names alike
_OTHERS = """
min,minute          60              s
h,hr,hour           3600            s
d,day               86400           s
wk,week             604800          s
month               1               month
yr,year             12              month
in,inch,inches,″    .0254           m
ft,foot,feet,′      .3048           m
yd,yard             .9144           m
mi,mile             1609.344        m
l                   .001            m^3
ml                  .000001         m^3
cc                  .000001         m^3
gal,gallon          .003785411784   m^3
ha,hectare          10000           m^2
acre                4046.8564224    m^2
t,tonne             1000            kg
lb,pound            .45359237       kg
oz,ounce            .028349523125   kg
kph,kmph,kmh        1/3.6           m.s^-1
mph                 .44704          m.s^-1
atm                 101325          Pa
eV                  1.602176634e-19 J
°,deg,degree        1               °
rad,radian          1               rad
$,usd,dollar        1               $
¢,cent              .01             $
€,eur,euro          1               €
£,gbp               1               £
¥,jpy,yen           1               ¥
₹,inr,rupee         1               ₹
unit                1               unit
°C,celsius          1               K
米                  1               m
分米                .1              m
厘米                .01             m
毫米                .001            m
千米,公里           1000            m
克                  .001            kg
千克,公斤           1               kg
吨                  1000            kg
秒                  1               s
分钟                60              s
小时                3600            s
天                  86400           s
升                  .001            m^3
毫升                .000001         m^3
元                  1               ¥
度                  1               °
°F,fahrenheit       5/9             K
"""
_ZEROS = {"°C": Fraction("273.15"), "°F": Fraction("459.67") * 5 / 9}
_PLURALS = {"h": ("hrs",), "yr": ("yrs",), "lb": ("lbs",), "yd": ("yds",)}
_UNPLURAL = ("mol", "usd", "eur", "gbp", "jpy", "inr", "kph", "mph", "kmh", "kmph", "atm", "inches", "feet")
_POWERS = {"square": 2, "sq": 2, "平方": 2, "cubic": 3, "cu": 3, "立方": 3}
_RAISED = {"squared": 2, "cubed": 3}
_SUPERSCRIPTS = str.maketrans("⁻¹²³⁴\u00b5\u2126'\"", "-1234\u03bc\u03a9′″")
_WRAPPER = re.compile(r"\\(?:text|textrm|mbox|mathrm|mathit|mathbf|textbf|operatorname|rm)(?![A-Za-z])|[{}]")
_BLANKS = re.compile(r"[~$.]|\\(?:cdot|times)(?![A-Za-z])|[·⋅×*]")
_DEGREES = re.compile(r"\^?\s*\{?\s*\\circ(?![A-Za-z])\s*\}?|\\degree(?![A-Za-z])|º")
_SCALES = re.compile(r"(?:°|\bdeg(?:rees?)?\b)\s*(C|F|celsius|fahrenheit)\b", re.IGNORECASE)
_BEARING = re.compile(r"°\s*T$")  # 212°T, clockwise from true north
_GLUED_POWER = re.compile(r"^(square|cubic|平方|立方)(?=[^\W\d_])")
_FACTOR = re.compile(r"(°[CF]?|[^\W\d_]+|[′″€£¥₹¢])(?:(?<![′″])\^?\(?(-?[0-9])\)?)?")


@dataclass(frozen=True)
class Unit:
    """A unit of measurement."""

    worth: Fraction
    """What it is worth in the base units of its dimension."""
    dimension: tuple[tuple[str, int], ...]
    """Base units and their powers, sorted."""
    zero: Fraction = Fraction(0)
    """What its zero is in base units: only scales of temperature have one."""

    def convert(self, value: Fraction, other: Unit) -> Fraction:
        """Return a value in this unit as the value in another unit of the same dimension."""
        return (value * self.worth + self.zero - other.zero) / other.worth


@lru_cache(maxsize=1024)
def read_unit(text: str) -> Unit | None:
    r"""Read a unit; None when the text is none.

    >>> read_unit("km/h") == read_unit(r"\text{kilometers per hour}"), read_unit("apples")
    (True, None)
    >>> read_unit("°C").convert(Fraction(20), read_unit("°F")), read_unit("cm²").worth
    (Fraction(68, 1), Fraction(1, 10000))
    """
    if not 0 < len(text) <= MAX_UNIT:
        return None
    text = _WRAPPER.sub(" ", _DEGREES.sub("°", text.replace(r"\mu", "μ").replace(r"\Omega", "Ω")))
    text = _BLANKS.sub(" ", text.translate(_SUPERSCRIPTS).replace("**", "^").replace(r"\$", " dollar "))
    text = _SCALES.sub(lambda match: f"°{match[1][0].upper()}", _BEARING.sub("°", text)).replace(" per ", "/")
    text = _GLUED_POWER.sub(r"\1 ", text.strip())
    alone = _named(text.replace("- ", "-"))
    if alone is not None:
        return alone
    worth, dimension = Fraction(1), Counter[str]()
    for place, part in enumerate(re.sub(r"\s*\^\s*", "^", text).split("/")):
        factors = _factors(part.split())
        if not factors:  # 1 / A is no one
            return None
        for unit, power in factors:
            power = -power if place else power
            worth *= unit.worth**power
            for base, exponent in unit.dimension:
                dimension[base] += exponent * power
    if not dimension or max(map(abs, dimension.values())) > MAX_POWER:
        return None
    return Unit(worth, _sorted(dimension))


def is_symbol(text: str) -> bool:
    """Return whether a text is the symbol or name of a unit, in the case that it is written in.

    >>> is_symbol("cm"), is_symbol("kT"), is_symbol("CM")
    (True, False, False)
    """
    return text in _UNITS


def _factors(words: list[str]) -> list[tuple[Unit, int]] | None:
    """Read units and their powers."""
    factors: list[tuple[Unit, int]] = []
    power = 1
    for word in words:
        if word in _POWERS and power == 1:
            power = _POWERS[word]
            continue
        if word in _RAISED and factors and factors[-1][1] == 1:
            factors[-1] = (factors[-1][0], _RAISED[word])
            continue
        match = _FACTOR.fullmatch(word)
        unit = _named(match[1]) if match else None
        if match is None or unit is None or (match[2] and power > 1):
            return None
        factors.append((unit, int(match[2] or power)))
        power = 1
    return factors if power == 1 else None


def _named(word: str) -> Unit | None:
    """Return a unit by its symbol, else in any case, but for a single letter: M is no metre."""
    return _UNITS.get(word) or (_FOLDED.get(word.lower()) if len(word) > 1 else None)


def _sorted(dimension: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((base, power) for base, power in dimension.items() if power))


def _define(units: dict[str, Unit], names: list[str], worth: Fraction, within: str) -> None:
    """Add a unit under its names, worth so much in a product of units that are there or are base units."""
    dimension = Counter[str]()
    for factor in within.split("."):
        base, _, written = factor.partition("^")
        power = int(written or 1)
        known = units.get(base, Unit(Fraction(1), ((base, 1),)))
        worth *= known.worth**power
        for name, exponent in known.dimension:
            dimension[name] += exponent * power
    plurals = [name + "s" for name in names if len(name) > 2 and name.isalpha() and name not in _UNPLURAL]
    for name in (*names, *plurals, *_PLURALS.get(names[0], ())):
        units[name] = Unit(worth, _sorted(dimension), _ZEROS.get(names[0], Fraction(0)))


def _table() -> dict[str, Unit]:
    """Return every symbol and name with its unit."""
    units: dict[str, Unit] = {}
    for line in _METRIC.strip().splitlines():
        symbol, listed, worth, within, prefixes = line.split()
        names = listed.split(",")
        _define(units, [symbol, *names], Fraction(worth), within)
        for prefix in prefixes.strip("-"):
            word, power = _PREFIXES[prefix]
            prefixed = [prefix + symbol, *(word + name for name in names)]
            _define(units, prefixed, Fraction(worth) * Fraction(10) ** power, within)
    for line in _OTHERS.strip().splitlines():
        listed, worth, within = line.split()
        above, _, below = worth.partition("/")
        _define(units, listed.split(","), Fraction(above) / Fraction(below or 1), within)
    return units


def _folded(units: dict[str, Unit]) -> dict[str, Unit]:
    """Return the units by lower case, without those that only case tells apart, such as mW and MW."""
    meanings: dict[str, set[Unit]] = {}
    for name, unit in units.items():
        meanings.setdefault(name.lower(), set()).add(unit)
    return {name: next(iter(found)) for name, found in meanings.items() if len(found) == 1}


_UNITS = _table()
_FOLDED = _folded(_UNITS)
