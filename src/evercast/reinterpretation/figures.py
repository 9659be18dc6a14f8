"""Archived and new results drawn over each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from markupsafe import escape
from matplotlib.axes import Axes

from evercast.publication.plots.figure import INK, MUTED, PAPER, figure_style, safe_text, to_svg
from evercast.publication.report.figures import Drawing, Frame

__all__ = ["Curve", "profile_overlay"]

_FRAME = Frame(width=7.6, height=7.2, left=1.15)
_ARCHIVED = "#3f90da"
_NEW = "#bd1f01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """t(poi) = 2 [NLL(poi) - NLL(best fit)]: (points,) each; empty where it was not computed.

    Args:
        best: best value; None where there is none.
    """

    values: Float[np.ndarray, " points"]
    t: Float[np.ndarray, " points"]
    best: float | None = None


def profile_overlay(name: str, old: Curve, new: Curve, *, axis: str, title: str) -> Drawing:
    """Return the archived profile likelihood with the new one over it, and their difference below.

    Args:
        name: unique in the page.
        old: archived curve.
        new: of the replay.
        axis: label of the parameter of interest.
        title: of the likelihood.
    """
    with figure_style():
        figure, grid = _FRAME.figure()
        places = grid[0].subgridspec(2, 1, height_ratios=(2.6, 1), hspace=0.08)
        upper = figure.add_subplot(places[0])
        lower = figure.add_subplot(places[1], sharex=upper)
        _draw_curves(upper, old, new)
        _draw_difference(lower, old, new)
        lower.set_xlabel(safe_text(axis))
        upper.tick_params(labelbottom=False)
        alt = escape(f"profile likelihood of {title}: archived and new")
        svg = to_svg(figure, name=name, alt=str(alt))
    return Drawing(name=name, svg=svg, caption=f"{title}: archived (wide) and new (narrow); below, new less archived.")


def _draw_curves(ax: Axes, old: Curve, new: Curve) -> Axes:
    if old.values.size:
        ax.plot(old.values, old.t, "-", color=_ARCHIVED, lw=6, alpha=0.55, label="archived", solid_capstyle="round")
    if new.values.size:
        ax.plot(new.values, new.t, "-", color=_NEW, lw=1.8, label="new")
    for curve, colour in ((old, _ARCHIVED), (new, _NEW)):
        if curve.best is not None:
            ax.axvline(curve.best, color=colour, lw=1, ls=":")
    for level in (0.9889, 3.8415):  # 68 % and 95 % of a chi-squared with one degree of freedom
        ax.axhline(level, color=MUTED, lw=0.8, ls=":")
    reached = max((float(np.max(curve.t)) for curve in (old, new) if curve.t.size), default=6.0)
    ax.set_ylim(0.0, float(np.clip(1.1 * reached, 4.5, 12.0)))
    ax.set_ylabel(r"$-2\,\Delta\ln L$")
    if old.values.size or new.values.size:
        ax.legend(loc="upper center", frameon=True, facecolor=PAPER, edgecolor="none", framealpha=0.9)
    return ax


def _draw_difference(ax: Axes, old: Curve, new: Curve) -> Axes:
    """Draw the difference where both curves have values, between the points of the archived one by interpolation."""
    ax.axhline(0.0, color=MUTED, lw=1)
    ax.set_ylabel("difference")
    if old.values.size < 2 or new.values.size < 2:
        return ax
    low, high = max(old.values[0], new.values[0]), min(old.values[-1], new.values[-1])
    inside = old.values[(old.values >= low) & (old.values <= high)]
    difference = np.interp(inside, new.values, new.t) - np.interp(inside, old.values, old.t)
    ax.plot(inside, difference, "o-", color=INK, ms=3, lw=1)
    reach = float(np.max(np.abs(difference), initial=0.0))
    ax.set_ylim(-1.3 * reach, 1.3 * reach) if reach > 0.0 else ax.set_ylim(-1e-3, 1e-3)
    ax.ticklabel_format(axis="y", scilimits=(-2, 2))
    return ax
