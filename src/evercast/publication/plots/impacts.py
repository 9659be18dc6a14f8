"""Nuisance parameters ranked by their impact on the parameter of interest, beside their pulls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from evercast.publication.plots.figure import INK, MUTED, safe_text
from evercast.publication.plots.variations import DOWN, UP

__all__ = ["Impact", "draw_impacts", "draw_ranked_pulls"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """One nuisance parameter; what could not be computed is None.

    Args:
        pull: best value minus global observable, in units of the constraint.
        constraint: uncertainty after the fit over that of the constraint.
        up, down: shift of the parameter of interest when the global observable moves by +- its standard deviation.
    """

    title: str
    pull: float | None
    constraint: float | None
    up: float | None
    down: float | None


def draw_impacts(ax: Axes, impacts: tuple[Impact, ...], *, axis: str) -> Axes:
    """Draw the shifts of the parameter of interest as bars, the largest on top.

    Returns:
        `ax`.
    """
    rows = np.arange(len(impacts))[::-1]
    ax.axvline(0, color=INK, lw=0.9)
    for key, color, alpha in (("up", UP, 0.85), ("down", DOWN, 0.85)):
        sizes = [impact.up if key == "up" else impact.down for impact in impacts]
        ax.barh(
            rows, [size or 0.0 for size in sizes], height=0.62, color=color, alpha=alpha, lw=0,
            label=f"measured value {'+' if key == 'up' else '−'}1 σ",
        )  # fmt: skip
    shifts = [abs(size) for impact in impacts for size in (impact.up, impact.down) if size is not None]
    reach = 1.12 * max(shifts, default=1.0) or 1.0
    ax.set_xlim(-reach, reach)
    ax.set_ylim(-0.6, len(impacts) + 0.35)
    ax.set_yticks([])
    ax.set_xlabel(rf"$\Delta$ {safe_text(axis)}")
    ax.legend(loc="upper center", ncols=2, fontsize="x-small", columnspacing=1.0, handlelength=1.0)
    return ax


def draw_ranked_pulls(ax: Axes, impacts: tuple[Impact, ...]) -> Axes:
    """Draw pulls with their constraints in the same order as `draw_impacts`.

    Returns:
        `ax`.
    """
    rows = np.arange(len(impacts))[::-1]
    ax.axvspan(-1, 1, color="#4caf50", alpha=0.22, lw=0)
    ax.axvline(0, color=MUTED, lw=1)
    known = [
        (row, impact.pull, impact.constraint or 0.0)
        for row, impact in zip(rows.tolist(), impacts, strict=True)
        if impact.pull is not None
    ]
    places, widths = [pull for _, pull, _ in known], [width for _, _, width in known]
    ax.errorbar(places, [row for row, _, _ in known], xerr=widths, fmt="o", ms=5, lw=1.6, color=INK)
    ax.set_yticks(rows, [safe_text(impact.title) for impact in impacts])
    ax.tick_params(axis="y", which="both", left=False, right=False)
    ax.set_ylim(-0.6, len(impacts) + 0.35)
    reach = max([1.6, *(abs(pull) + width + 0.15 for _, pull, width in known)])
    ax.set_xlim(-reach, reach)
    ax.set_xlabel(r"pull $(\hat\theta - a)/\delta$")
    return ax
