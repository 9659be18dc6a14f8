"""A signal beside what is expected without it: lines over the stacked backgrounds of bins that have names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from evercast.publication.plots.distributions import Component, Stack, draw_ratio, draw_stack
from evercast.publication.plots.figure import safe_text

__all__ = ["BACKGROUNDS", "SIGNALS", "draw_named_ratio", "draw_signals"]

BACKGROUNDS = ("#3f90da", "#ffa90e", "#94a4a2", "#a96b59", "#92dadd", "#b9ac70", "#717581", "#e9c46a")
"""Areas; none is the colour of a signal."""
SIGNALS = ("#bd1f01", "#832db6", "#e76300")
_STYLES = ("-", (0, (5, 2)), (0, (1.5, 1.5)))
_LEAST = 0.05
"""Events at the lower end of a logarithmic axis, at most."""
_SPAN = 30.0
"""Largest over smallest expectation above which the axis is logarithmic."""


def draw_signals(ax: Axes, stack: Stack, signals: Sequence[Component], names: Sequence[str]) -> Axes:
    """Draw the stacked backgrounds with data, and each signal as a line that is not stacked on them.

    Args:
        ax: to draw on.
        stack: the backgrounds; bin n reaches from n to n + 1.
        signals: at most as many as `SIGNALS`.
        names: of the bins.

    Returns:
        `ax`; its vertical axis is logarithmic where the bins differ much.
    """
    draw_stack(ax, stack)
    for signal, style in zip(signals, _STYLES, strict=False):
        label = safe_text(signal.title)
        ax.stairs(signal.events, stack.edges, color=signal.color, lw=2.4, ls=style, label=label, zorder=8)
    drawn = [stack.expected + stack.uncertainty, *(signal.events for signal in signals)]
    drawn += [] if stack.observed is None else [stack.observed + np.sqrt(stack.observed)]
    top = max(float(np.max(values, initial=0.0)) for values in drawn) or 1.0
    lowest = min((float(value) for value in stack.expected if value > 0), default=1.0)
    if top / lowest > _SPAN:
        ax.set_yscale("log")
        bottom = min(_LEAST, lowest / 5)
        ax.set_ylim(bottom, top * (top / bottom) ** 0.6)
    else:
        ax.set_ylim(0, 1.6 * top)
    ax.set_ylabel("Events / bin")
    _name_bins(ax, names)
    handles, labels = ax.get_legend_handles_labels()
    known = dict(zip(labels, handles, strict=True))
    ax.legend(list(known.values()), list(known), loc="upper right", ncols=2, fontsize="x-small")
    return ax


def draw_named_ratio(ax: Axes, stack: Stack, names: Sequence[str]) -> Axes:
    """Draw data over backgrounds below `draw_signals`, with the names of the bins.

    Returns:
        `ax`.
    """
    draw_ratio(ax, stack)
    ax.set_xlabel("")
    _name_bins(ax, names)
    return ax


def _name_bins(ax: Axes, names: Sequence[str]) -> None:
    """Write the names below the bins; those of many bins, or long ones, upright."""
    texts = [safe_text(name) for name in names]
    upright = len(texts) > 4 or sum(map(len, texts)) > 48
    ax.set_xticks(np.arange(len(texts)) + 0.5, texts, rotation=90 if upright else 0, fontsize="x-small")
    ax.tick_params(axis="x", which="both", length=0)
    ax.set_xlabel("")
