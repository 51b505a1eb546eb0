"""The value of a formula: exact where it is rational, else to a set number of digits; in bounded time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from mpmath import MPContext

from observer.verifier.maths.tree import Node, UndefinedError, UnreadableError

MAX_BITS = 12_000
"""Largest exact numerator or denominator, in bits."""
MAX_FACTORIAL = 2500
MAX_MAGNITUDE = 10**6
"""Largest argument of an exponential, a power or a periodic function."""

Value = Any
"""A Fraction, or a real or complex number of the context."""


def context(digits: int) -> MPContext:
    """Return arithmetic with so many digits. Nothing here changes its precision: threads share it."""
    made = MPContext()
    made.dps = digits
    return made


ROUGH, FINE = context(30), context(60)
"""Arithmetic for a first look, and for telling zero from what only looks like it."""


def evaluate(node: Node, names: Mapping[str, Fraction], mp: MPContext = ROUGH) -> Value:
    """Return the value of a formula, with values for its names.

    Raises:
        UndefinedError: it has none: 1/0, or an infinite one.
        UnreadableError: it is no single value, or too large to be worked out.

    >>> from observer.verifier.maths.parse import parse
    >>> evaluate(parse("1/3 x + 2^{-1}"), {"x": Fraction(3)})
    Fraction(3, 2)
    """
    try:
        value = _OPERATIONS[node.op](node, names, mp)
        if not isinstance(value, Fraction) and not mp.isfinite(value):
            raise UndefinedError("infinity is no number")
    except UnreadableError:
        raise
    except KeyError:
        raise UnreadableError(f"a {node.op} has no value") from None
    except (ZeroDivisionError, OverflowError, ValueError, TypeError) as error:
        raise UndefinedError(str(error)) from None
    return value


def real(value: Value, mp: MPContext) -> Value:
    """Return a number of the context."""
    return mp.mpf(value.numerator) / value.denominator if isinstance(value, Fraction) else value


def _all(node: Node, names: Mapping[str, Fraction], mp: MPContext) -> list[Value]:
    return [evaluate(part, names, mp) for part in node.parts]


def _sum(values: list[Value], mp: MPContext) -> Value:
    exact = sum((value for value in values if isinstance(value, Fraction)), Fraction(0))
    others = [value for value in values if not isinstance(value, Fraction)]
    return _bounded(exact) if not others else sum(others, real(exact, mp))


def _product(values: list[Value], mp: MPContext) -> Value:
    product = Fraction(1)
    rest = None
    for value in values:
        if isinstance(value, Fraction):
            product = _bounded(product * value)
        else:
            rest = value if rest is None else rest * value
    return product if rest is None or product == 0 else rest * real(product, mp)


def _quotient(sides: Sequence[Value], mp: MPContext) -> Value:
    above, below = sides
    if isinstance(above, Fraction) and isinstance(below, Fraction):
        return _bounded(above / below)
    return real(above, mp) / real(below, mp)


def _power(base: Value, exponent: Value, mp: MPContext) -> Value:
    if isinstance(exponent, Fraction) and exponent.denominator > 1 and exponent.denominator < 100:
        return _power(_root(exponent.denominator, base, mp), Fraction(exponent.numerator), mp)
    if isinstance(exponent, Fraction) and isinstance(base, Fraction):
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        if base == 1 or (base == 0 and exponent > 0):
            return base
        if exponent.denominator == 1 and abs(exponent) * bits <= MAX_BITS:
            return base ** int(exponent)
    if isinstance(exponent, Fraction) and exponent.denominator == 1 and abs(exponent) <= MAX_MAGNITUDE:
        return _power_of(real(base, mp), int(exponent), mp)
    base, exponent = real(base, mp), real(exponent, mp)
    return _power_of(base, exponent, mp)


def _power_of(base: Value, exponent: Value, mp: MPContext) -> Value:
    if base == 0:
        if mp.re(exponent) <= 0:
            raise UndefinedError("a power of zero")
        return base
    if abs(exponent * mp.log(base)) > MAX_MAGNITUDE:
        raise UndefinedError("a power is too large")
    return mp.power(base, exponent)


def _root(degree: int, value: Value, mp: MPContext) -> Value:
    """Return a root: an exact one where it is rational, the real one of a negative number if there is one."""
    if isinstance(value, Fraction):
        if value < 0 and degree % 2:
            return -_root(degree, -value, mp)
        if value >= 0:
            above, below = _whole_root(value.numerator, degree), _whole_root(value.denominator, degree)
            if above is not None and below is not None:
                return Fraction(above, below)
    value = real(value, mp)
    if degree % 2 and mp.im(value) == 0 and mp.re(value) < 0:
        return -mp.root(-mp.re(value), degree)
    return mp.root(value, degree)


def _whole_root(value: int, degree: int) -> int | None:
    if degree == 2:
        root = math.isqrt(value)
    elif value.bit_length() > 900:
        return None
    else:
        root = round(value ** (1 / degree))
    return root if root**degree == value else None


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > 2 * MAX_BITS:
        raise UnreadableError("a number is too long")
    return value


def _call(node: Node, names: Mapping[str, Fraction], mp: MPContext) -> Value:
    name, argument = node.text, node.parts[0]
    if argument.op in ("tuple", "list"):
        values = _all(argument, names, mp)
        if not all(isinstance(value, Fraction) for value in values):
            raise UnreadableError(f"{name} of what is not rational")
        return Fraction(_OF_SEVERAL[name](values))
    value = evaluate(argument, names, mp)
    if name in _PERIODIC:
        argument_value = real(value, mp) * _degrees(argument, mp)
        if abs(argument_value) > MAX_MAGNITUDE:
            raise UndefinedError("an angle is too large")
        return _PERIODIC[name](mp, argument_value)
    if name in _EXACT and isinstance(value, Fraction):
        return _EXACT[name](value)
    if name == "factorial":
        return mp.gamma(_small(real(value, mp)) + 1)
    if name == "exp":
        return mp.exp(_small(real(value, mp)))
    if name == "ln" and isinstance(value, Fraction) and value == 1:
        return Fraction(0)
    if name not in _PLAIN:
        raise UnreadableError(f"the function {name}")
    return _PLAIN[name](mp, real(value, mp))


def _degrees(argument: Node, mp: MPContext) -> Value:
    r"""Return what one unit of an angle is in radians: that of 40 in ``\sin 40^\circ``."""
    return mp.pi / 180 if _in_degrees(argument) else mp.mpf(1)


def _in_degrees(node: Node) -> bool:
    if node.op == "degrees":
        return True
    return node.op in ("add", "multiply", "divide") and any(_in_degrees(part) for part in node.parts)


def _small(value: Value) -> Value:
    if abs(value) > MAX_MAGNITUDE:
        raise UndefinedError("an exponential is too large")
    return value


def _logarithm(node: Node, names: Mapping[str, Fraction], mp: MPContext) -> Value:
    base, value = _all(node, names, mp)
    found = mp.log(real(value, mp)) / mp.log(real(base, mp))
    if isinstance(base, Fraction) and isinstance(value, Fraction) and value > 0 and base > 0:
        whole = Fraction(int(mp.nint(mp.re(found))))
        if abs(whole) < 1000 and _power(base, whole, mp) == value:
            return whole
    return found


def _whole(value: Fraction) -> int:
    if value.denominator > 1:
        raise UnreadableError("a common divisor of no whole numbers")
    return int(value)


def _factorial(value: Fraction) -> Fraction:
    if value.denominator > 1 or not 0 <= value <= MAX_FACTORIAL:
        raise UnreadableError("a factorial of no small whole number")
    return Fraction(math.factorial(int(value)))


def _binomial(node: Node, names: Mapping[str, Fraction], mp: MPContext) -> Value:
    above, below = _all(node, names, mp)
    whole = (
        isinstance(above, Fraction)
        and isinstance(below, Fraction)
        and above.denominator == below.denominator == 1
    )
    if not whole or not 0 <= above <= MAX_FACTORIAL or below < 0:
        raise UnreadableError("a binomial of no small whole numbers")
    return Fraction(math.comb(int(above), int(below)))


def _constant(node: Node, names: Mapping[str, Fraction], mp: MPContext) -> Value:
    if node.text == "infinity":
        raise UndefinedError("infinity is no number")
    return {"pi": +mp.pi, "e": +mp.e, "i": mp.mpc(0, 1)}[node.text]


def _name(node: Node, names: Mapping[str, Fraction], mp: MPContext) -> Value:
    value = names.get(node.text)
    if value is None:
        raise UnreadableError(f"{node.text} has no value")
    return value


def _digits(node: Node, names: Mapping[str, Fraction], mp: MPContext) -> Value:
    return Fraction(int(node.text, int(str(node.args[1]))))


def _pow(node: Node, names: Mapping[str, Fraction], mp: MPContext) -> Value:
    base, exponent = _all(node, names, mp)
    if node.parts[0] == Node("constant", ("e",)):
        return Fraction(1) if exponent == 0 else mp.exp(_small(real(exponent, mp)))
    return _power(base, exponent, mp)


def _rooted(node: Node, names: Mapping[str, Fraction], mp: MPContext) -> Value:
    degree, value = _all(node, names, mp)
    if isinstance(degree, Fraction) and degree.denominator == 1 and 1 < degree < 100:
        return _root(int(degree), value, mp)
    return _power(value, _quotient((Fraction(1), degree), mp), mp)


def _method(name: str, bounded: bool = False) -> Callable[[MPContext, Value], Value]:
    return lambda mp, value: getattr(mp, name)(_small(value) if bounded else value)


# Not mpmath's own cot, sec, csc and acot, which change the precision of their context while they run.
_PERIODIC: dict[str, Callable[[MPContext, Value], Value]] = {
    **{name: _method(name) for name in ("sin", "cos", "tan")},
    "cot": lambda mp, value: 1 / mp.tan(value),
    "sec": lambda mp, value: 1 / mp.cos(value),
    "csc": lambda mp, value: 1 / mp.sin(value),
}
_PLAIN: dict[str, Callable[[MPContext, Value], Value]] = {
    "ln": _method("log"),
    "abs": lambda mp, value: abs(value),
    "floor": _method("floor"),
    "ceil": _method("ceil"),
    **{f"arc{name}": _method(f"a{name}") for name in ("sin", "cos", "tan")},
    "arccot": lambda mp, value: mp.atan(1 / value),
    **{name: _method(name, bounded=True) for name in ("sinh", "cosh", "tanh")},
}
_EXACT: dict[str, Callable[[Fraction], Fraction]] = {
    "abs": abs,
    "floor": lambda value: Fraction(math.floor(value)),
    "ceil": lambda value: Fraction(math.ceil(value)),
    "factorial": _factorial,
}
_OF_SEVERAL: dict[str, Callable[[list[Fraction]], Any]] = {
    "min": min,
    "max": max,
    "gcd": lambda values: math.gcd(*map(_whole, values)),
    "lcm": lambda values: math.lcm(*map(_whole, values)),
}
_OPERATIONS: dict[str, Callable[[Node, Mapping[str, Fraction], MPContext], Value]] = {
    "number": lambda node, names, mp: node.value,
    "name": _name,
    "constant": _constant,
    "digits": _digits,
    "add": lambda node, names, mp: _sum(_all(node, names, mp), mp),
    "multiply": lambda node, names, mp: _product(_all(node, names, mp), mp),
    "divide": lambda node, names, mp: _quotient(_all(node, names, mp), mp),
    "power": _pow,
    "root": _rooted,
    "call": _call,
    "log": _logarithm,
    "binomial": _binomial,
    "degrees": lambda node, names, mp: evaluate(node.parts[0], names, mp),
}
