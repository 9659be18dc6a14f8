"""Figures of answers of neural likelihoods: recovered signals, shares outside of the training, shapes of a signal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from evercast.publication.plots.figure import INK, MUTED, PALETTE, PAPER, safe_text

__all__ = ["Injection", "Line", "Share", "draw_injection", "draw_lines", "draw_shares"]

Bins = Float[np.ndarray, " bins"]
_BELOW, _ABOVE = PALETTE[0], PALETTE[6]


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """What was put in and what was recovered: mean with its error, and the spread of single pseudo-experiments."""

    value: float
    mean: float
    error: float
    spread: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The share of a signal below and above the range of an observable, 0 to 1."""

    name: str
    below: float
    above: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A distribution of unit area: (bins,) fractions and errors; `area` is filled, `points` are drawn as points."""

    title: str
    color: str
    fraction: Bins
    error: Bins
    kind: str = "line"


def draw_injection(ax: Axes, items: Sequence[Injection], *, axis: str) -> Axes:
    """Draw what the fit recovers against what was put in: thick the error of the mean, thin the spread.

    Args:
        ax: to draw on.
        items: in any order.
        axis: the parameter.

    Returns:
        `ax`.
    """
    ordered = sorted(items, key=lambda item: item.value)
    x, mean = np.array([i.value for i in ordered]), np.array([i.mean for i in ordered])
    spread, error = np.array([i.spread for i in ordered]), np.array([i.error for i in ordered])
    low = float(min(x.min(), (mean - spread).min()))
    high = float(max(x.max(), (mean + spread).max()))
    margin = 0.08 * (high - low) or 1.0
    ends = np.array([low - margin, high + margin])
    ax.plot(ends, ends, color=MUTED, lw=1.2, ls="--", label="as put in")
    ax.errorbar(x, mean, yerr=spread, fmt="none", ecolor=PALETTE[0], elinewidth=1.6, capsize=4, label="spread")
    ax.errorbar(x, mean, yerr=error, fmt="o", color=INK, ms=6, elinewidth=3.2, label="mean and its error")
    ax.set_xlim(*ends)
    ax.set_ylim(ends[0], ends[1] + 0.25 * (ends[1] - ends[0]))
    ax.set_xlabel(f"{safe_text(axis)} put in")
    ax.set_ylabel(f"{safe_text(axis)} recovered")
    ax.legend(loc="upper left", fontsize="small")
    return ax


def draw_shares(ax: Axes, shares: Sequence[Share], *, overall: float, largest: float) -> Axes:
    """Draw the shares of a signal outside of each observable's range, the whole share, and the largest one allowed.

    Args:
        ax: to draw on.
        shares: of the observables.
        overall: outside in any way, 0 to 1.
        largest: allowed.

    Returns:
        `ax`.
    """
    names = ["all together", *(share.name for share in shares)]
    rows = np.arange(len(names))[::-1]
    ax.barh(rows[0], 100 * overall, height=0.55, color=INK if overall <= largest else "#bd1f01")
    below, above = (np.array([100 * getattr(share, side) for share in shares]) for side in ("below", "above"))
    ax.barh(rows[1:], below, height=0.55, color=_BELOW, label="below the range")
    ax.barh(rows[1:], above, left=below, height=0.55, color=_ABOVE, label="above the range")
    ax.axvline(100 * largest, color="#bd1f01", lw=1.8, ls="--", label="refused above")
    ax.set_yticks(rows, [safe_text(name) for name in names])
    ax.tick_params(axis="y", which="both", length=0)
    ax.set_ylim(-0.6, len(names) + 0.9)
    ax.set_xlim(0, 1.15 * max(100 * largest, 100 * overall, *(below + above), 1e-3))
    ax.set_xlabel("share of the signal [%]")
    ax.legend(
        loc="upper right", fontsize="x-small", ncols=3, columnspacing=0.9, handlelength=1.2, frameon=True,
        facecolor=PAPER, edgecolor="none", framealpha=1.0,
    )  # fmt: skip
    return ax


def draw_lines(ax: Axes, edges: Float[np.ndarray, " edges"], lines: Sequence[Line], *, axis: str, unit: str) -> Axes:
    """Draw distributions of unit area over each other: an area, lines, and points with errors.

    Args:
        ax: to draw on.
        edges: (bins + 1,).
        lines: in the order of the legend.
        axis: the quantity.
        unit: its unit, ``1`` for a pure number.

    Returns:
        `ax`.
    """
    centres, top = (edges[1:] + edges[:-1]) / 2, 0.0
    for line in lines:
        label = safe_text(line.title)
        top = max(top, float(np.max(line.fraction, initial=0.0)))
        if line.kind == "points":
            ax.errorbar(centres, line.fraction, yerr=line.error, fmt="o", ms=3.5, lw=1.1, color=line.color, label=label)
            continue
        if line.kind == "area":
            ax.stairs(line.fraction, edges, fill=True, color=line.color, alpha=0.28, label=label)
            continue
        ax.stairs(line.fraction, edges, color=line.color, lw=2.4 if line.kind == "thick" else 1.5, label=label)
        if line.kind == "thick":
            ax.errorbar(centres, line.fraction, yerr=line.error, fmt="none", elinewidth=1.2, ecolor=line.color)
    ax.set_ylim(0, 1.65 * top if top > 0 else 1)
    ax.set_xlim(float(edges[0]), float(edges[-1]))
    ax.set_xlabel(safe_text(axis) if unit == "1" else f"{safe_text(axis)} [{safe_text(unit)}]")
    ax.set_ylabel("Fraction of events")
    ax.legend(loc="upper right", fontsize="x-small", ncols=2)
    return ax
