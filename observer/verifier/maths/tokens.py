r"""The signs of a formula, in LaTeX or plain: ``2√3``, ``2\sqrt3`` and ``2 sqrt(3)`` have the same ones."""

from __future__ import annotations

import re

FUNCTIONS = frozenset({
    "arcsin", "arccos", "arctan", "arccot", "sinh", "cosh", "tanh", "sin", "cos", "tan", "cot", "sec",
    "csc", "log", "ln", "lg", "exp", "sqrt", "min", "max", "gcd", "lcm",
})  # fmt: skip
"""Functions, by their LaTeX names."""
GREEK = frozenset({
    "alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "vartheta",
    "iota", "kappa", "lambda", "mu", "nu", "xi", "rho", "varrho", "sigma", "tau", "upsilon", "phi",
    "varphi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma",
    "Upsilon", "Phi", "Psi", "Omega", "ell", "hbar", "odot",
})  # fmt: skip
"""Letters that are names."""
SYMBOLS = {
    "∥": r"\parallel ", "≅": r"\cong ", "≌": r"\cong ", "⊥": r"\perp ", "∽": r"\sim ",
    "√": r"\sqrt ", "∛": r"\sqrt[3]", "∜": r"\sqrt[4]", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ",
    "•": r"\cdot ", "×": r"\times ", "÷": r"\div ", "π": r"\pi ", "∞": r"\infty ", "≤": r"\le ",
    "⩽": r"\le ", "≥": r"\ge ", "⩾": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "≡": r"\equiv ", "±": r"\pm ",
    "∓": r"\mp ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∅": r"\emptyset ", "∠": r"\angle ",
    "△": r"\triangle ", "°": r"^{\circ}", "º": r"^{\circ}", "˚": r"^{\circ}", "θ": r"\theta ",
    "α": r"\alpha ", "β": r"\beta ", "γ": r"\gamma ", "δ": r"\delta ", "λ": r"\lambda ", "μ": r"\mu ",
    "ρ": r"\rho ", "σ": r"\sigma ", "τ": r"\tau ", "φ": r"\varphi ", "ϕ": r"\phi ", "ω": r"\omega ",
    "Δ": r"\Delta ", "Ω": r"\Omega ", "⟨": "(", "⟩": ")", "′": "'", "⌊": r"\lfloor ", "⌋": r"\rfloor ",
    "⌈": r"\lceil ", "⌉": r"\rceil ", "ⅈ": "i", "ⅇ": "e",
}  # fmt: skip
"""What is written as one sign -> as LaTeX."""
_SAME = {
    "leq": "le", "geq": "ge", "leqslant": "le", "geqslant": "ge", "neq": "ne", "lt": "<", "gt": ">",
    "ast": "*", "times": "*", "cdot": "*", "div": "/", "lbrace": r"\{", "rbrace": r"\}", "langle": "(",
    "rangle": ")", "lbrack": "[", "rbrack": "]", "lvert": "|", "rvert": "|", "vert": "|", "mid": "|",
    "varnothing": "emptyset", "oslash": "emptyset", "degree": "circ", "dfrac": "frac", "tfrac": "frac",
    "cfrac": "frac", "dbinom": "binom", "tbinom": "binom", "infinity": "infty", "inf": "infty",
    "oo": "infty", "asin": "arcsin", "acos": "arccos", "atan": "arctan", "approxeq": "approx",
    "simeq": "approx", "prime": "'", "slash": "/", "lor": "or", "vee": "or", "land": "and", "wedge": "and",
    "colon": ":", "exponentialE": "e", "imaginaryI": "i",
}  # fmt: skip
_NOTHING = frozenset({
    "left", "right", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr", "biggl", "biggr",
    "displaystyle", "textstyle", "limits", "quad", "qquad", ",", ";", ":", "!", ">", " ",
})  # fmt: skip
_PLAIN = re.compile(
    r"(?<![A-Za-z\\])(arcsin|arccos|arctan|arccot|asin|acos|atan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|log|ln|lg|exp"
    r"|sqrt|cbrt|pi|theta|alpha|beta|gamma|infinity|infty|inf|oo|min|max|gcd|lcm)(?![A-Za-z])"
    r"|(?<![A-Za-z\\])(sin|cos|tan|ln|sqrt)(?=[a-z](?![A-Za-z]))"
)
_AND = re.compile(
    r"\\(?:text|mbox|textrm|mathrm) ?\{\s*,?\s*(and|or)\s*\}|(?<![A-Za-z\\])(and|or)(?![A-Za-z])"
)
_WRAP = re.compile(
    r"\\(?:mathrm|mathit|mathbf|boldsymbol|bm|operatorname\*?|textit|textbf|text|mbox|textrm|rm) ?"
    r"\{([^{}]*)\}"
)
_INDEX = re.compile(r"_ ?\{ ?\\(?:text|mathrm|textrm|mbox) ?\{ ?([A-Za-z]+) ?\} ?\}")
_DERIVATIVE = re.compile(
    r"(?<![A-Za-z\\])d ?([A-Za-z]) ?/ ?d ?([A-Za-z])(?![A-Za-z])"
    r"|\\[dt]?frac\s*\{ ?d ?([A-Za-z]) ?\}\s*\{ ?d ?([A-Za-z]) ?\}"
)
_CHINESE = str.maketrans({"或": r" \or ", "且": r" \and ", "和": r" \and ", "与": r" \and ", "、": ","})
_THOUSANDS = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9]|,[0-9])")
_TOKEN = re.compile(
    r"\s+|([0-9]+(?:\.[0-9]+)?[eE][-+]?[0-9]{1,3}(?![0-9])|[0-9]+\.[0-9]+|\.[0-9]+|[0-9]+\.?)|(\\[A-Za-z]+|\\.)|([A-Za-z])|(<=|>=|!=|=<|=>|\*\*|[-+*/^_=<>!|,;:()\[\]{}'&~%])"
)  # fmt: skip


def tokens_of(text: str) -> list[str]:
    r"""Split a formula into its signs, written in one way; blanks and spacing are gone.

    Raises:
        ValueError: it holds a sign of no formula.

    >>> tokens_of(r"2\,√3"), tokens_of("x>=0.5"), tokens_of(r"\left(1,\mathrm{e}\right]")
    (['2', '\\sqrt', '3'], ['x', '\\ge', '0.5'], ['(', '1', ',', 'e', ']'])
    """
    for symbol, latex in SYMBOLS.items():
        if symbol in text:
            text = text.replace(symbol, latex)
    text = (
        text.replace("$", " ")
        .replace("//", r"\parallel ")
        .replace(r"\not=", "!=")
        .replace(r"\not =", "!=")
        .translate(_CHINESE)
    )
    text = _AND.sub(lambda match: rf" \{match[1] or match[2]} ", text)
    text = _PLAIN.sub(lambda match: rf"\{match[1] or match[2]} ", text)
    text = _WRAP.sub(
        _unwrapped, _INDEX.sub(r"_{\1}", text.replace(r"^{\prime}", "'").replace(r"^\prime", "'"))
    )
    text = _DERIVATIVE.sub(lambda match: f" D_{{{''.join(filter(None, match.groups()))}}} ", text)
    if not any(bracket in text for bracket in "([{"):
        text = _THOUSANDS.sub(lambda match: match[0].replace(",", ""), text)
    found: list[str] = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise ValueError(f"the sign {text[place]!r}")
        place = match.end()
        token = match[0].strip()
        if token.startswith("\\"):
            token = _command(token[1:])
        if token and token != "~":
            found.append(
                {"<=": r"\le", "=<": r"\le", ">=": r"\ge", "=>": r"\ge", "!=": r"\ne", "**": "^"}.get(
                    token, token
                )
            )
    return found


def _unwrapped(match: re.Match[str]) -> str:
    inner = match[1].strip(" ~")
    if inner in FUNCTIONS or inner in _SAME:
        return rf"\{inner} "
    if len(inner) > 2 and inner.isalpha():
        raise ValueError(f"the words {inner!r}")
    return f" {inner} "


def _command(name: str) -> str:
    r"""Return a command as its sign: without a backslash where it is one, blank where it says nothing."""
    if name in _NOTHING:
        return ""
    if name in ("{", "}", "|", "\\"):
        return "\\" + name
    name = _SAME.get(name, name)
    return name if len(name) == 1 or name.startswith("\\") else "\\" + name
