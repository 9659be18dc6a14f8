"""Short LaTeX labels as HTML: Greek letters, subscripts, superscripts; everything else is escaped."""

from __future__ import annotations

import re
from html import unescape
from typing import Final

from markupsafe import Markup, escape

__all__ = ["to_html", "to_plain"]

_LETTERS: Final = (
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
    "omicron", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega", "Gamma", "Delta", "Theta",
    "Lambda",
    "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega",
)  # fmt: skip
_COMMANDS: Final = {name: unescape(f"&{name};") for name in _LETTERS} | {
    "ell": "ℓ", "pm": "±", "times": "×", "to": "→", "rightarrow": "→", "cos": "cos ", "sin": "sin ", "tanh": "tanh ",
    "log": "log ", "ln": "ln ", "sqrt": "√", "ast": "*", "star": "*", "bar": "", "hat": "", "mathrm": "", "rm": "",
    "text": "", "left": "", "right": "", "Delta": "Δ", "prime": "′", "cdot": "·", "infty": "∞",
}  # fmt: skip
_PIECE: Final = re.compile(r"\\([a-zA-Z]+)\s*|([_^])\{([^{}]*)\}|([_^])(\\[a-zA-Z]+|.)|[{}]|\\[,;:! ]")


def to_html(label: str) -> Markup:
    r"""Return a label such as ``$m_{4\ell}$`` as markup.

    Example:
        >>> to_html(r"$m_{4\ell}$ <b>")
        Markup('m<sub>4ℓ</sub> &lt;b&gt;')
    """
    label = label.replace("->", "→")
    parts = label.split("$")
    if len(parts) % 2 == 0:
        return escape(label)
    return Markup("").join(_math(part) if index % 2 else escape(part) for index, part in enumerate(parts))


def to_plain(label: str) -> str:
    r"""Return a label as text without markup.

    Example:
        >>> to_plain(r"$\mu_H$")
        'μ_H'
    """
    label = label.replace("->", "→")
    parts = label.split("$")
    if len(parts) % 2 == 0:
        return label
    commands = [re.sub(r"\\([a-zA-Z]+)\s*", lambda m: _COMMANDS.get(m[1], m[1]), part) for part in parts]
    return "".join(re.sub(r"[{}]", "", part) for part in commands)


def _math(text: str) -> Markup:
    pieces: list[Markup] = []
    end = 0
    for match in _PIECE.finditer(text):
        pieces.append(escape(text[end : match.start()]))
        end = match.end()
        command, long_sign, long_body, short_sign, short_body = match.groups()
        if command:
            pieces.append(escape(_COMMANDS.get(command, command)))
        elif long_sign or short_sign:
            tag = Markup("sub") if (long_sign or short_sign) == "_" else Markup("sup")
            pieces.append(Markup("<{0}>{1}</{0}>").format(tag, _math(long_body if long_sign else short_body)))
    pieces.append(escape(text[end:]))
    return Markup("").join(pieces)
