"""The look of every figure, and the one place where a figure becomes text (SVG, the same bytes each time)."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib
import mplhep
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser
from matplotlib.style import context

__all__ = ["INK", "MUTED", "PALETTE", "PAPER", "Label", "add_label", "figure_style", "safe_text", "to_svg"]

INK = "#15181c"
PAPER = "#fdfdfe"
MUTED = "#71777f"
#: Colour-vision safe sequence of ten (M. A. Petroff, arXiv:2107.02270), as CMS uses it.
PALETTE = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
_FALLBACK_FONTS = ("TeX Gyre Heros", "DejaVu Sans")
_THEMED = {
    INK: "var(--ink)", PAPER: "var(--plate)", MUTED: "var(--muted)", "#bd1f01": "var(--red)", "#832db6": "var(--purple)"
}  # fmt: skip
PIXELS_PER_INCH = 92
_MATH = MathTextParser("path")


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """The line above a figure: who measured, what kind of data, at which energy and luminosity."""

    experiment: str
    text: str
    sqrt_s_tev: tuple[float, ...]
    luminosity_fb: float


@contextmanager
def figure_style() -> Iterator[None]:
    """Apply the style to the figures made inside."""
    style = dict(mplhep.style.CMS)
    style |= {
        "font.size": 15,
        "font.sans-serif": list(_FALLBACK_FONTS),
        "axes.linewidth": 1.2,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "axes.facecolor": PAPER,
        "figure.facecolor": PAPER,
        "savefig.facecolor": PAPER,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "xtick.major.size": 7,
        "xtick.minor.size": 3.5,
        "ytick.major.size": 7,
        "ytick.minor.size": 3.5,
        "legend.fontsize": 12,
        "lines.linewidth": 1.8,
        "svg.hashsalt": "evercast",
        "svg.fonttype": "path",
    }
    with context(style):
        yield


def safe_text(text: str) -> str:
    """Return text that matplotlib can draw: math where it parses, otherwise the same characters literally."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())[:120]
    plain = plain.replace("->", "→") if "$" not in plain else plain
    if plain.count("$") >= 2 and plain.count("$") % 2 == 0:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                _MATH.parse(plain)
        except (ValueError, RuntimeError):
            return plain.replace("$", r"\$")
        return plain
    return plain.replace("$", r"\$")


def add_label(ax: Axes, label: Label, *, size: float | None = None) -> Axes:
    """Write the experiment, energy and luminosity above the axes in the manner of the LHC experiments.

    Args:
        ax: the axes to label.
        label: what to write.
        size: font size of the experiment in points; None takes that of the style.

    Returns:
        `ax`.
    """
    base = size or matplotlib.rcParams["font.size"] * 1.15
    energies = ", ".join(f"{energy:g}" for energy in label.sqrt_s_tev)
    mplhep.label.exp_label(
        exp=safe_text(label.experiment),
        text=safe_text(label.text),
        rlabel=rf"{label.luminosity_fb:g} fb$^{{-1}}$ ({energies} TeV)",
        data=True,
        loc=0,
        scilocator_adjust=False,
        fontsize=(base, base * 0.85, base * 0.8, base * 0.7),
        ax=ax,
    )
    return ax


def to_svg(fig: Figure, *, name: str, alt: str) -> str:
    """Return a figure as an inline SVG element that follows the colours of the page.

    Args:
        fig: the figure.
        name: short word, unique in the page; prefixes every id of the drawing.
        alt: what the figure shows, for those who cannot see it; must be free of markup characters or escaped.

    Returns:
        The ``<svg>`` element, identical for identical input.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "evercast", "svg.fonttype": "path"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        fig.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = svg.replace('xlink:href="#', f'href="#{name}-').replace("url(#", f"url(#{name}-")
    for colour, variable in _THEMED.items():
        svg = svg.replace(colour, variable)
    head, body = svg.split(">", 1)
    widest = round(fig.get_figwidth() * PIXELS_PER_INCH)
    head = re.sub(r'\s(width|height|xmlns:xlink)="[^"]*"', "", head)
    return f'{head} style="max-width:{widest}px" role="img" aria-label="{alt}">{_shorten(body)}'


def _shorten(body: str) -> str:
    """Return drawing commands with at most three decimals (a thousandth of a point) and no needless white space."""
    body = re.sub(r"(\d+\.\d{3})\d+", r"\1", body)
    return re.sub(r"\s*\n\s*", "\n", body)
