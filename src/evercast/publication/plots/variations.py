"""Systematic variations: nominal, up and down of an observable with their ratio to the nominal."""

from __future__ import annotations

from dataclasses import dataclass

import mplhep
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from evercast.publication.plots.figure import INK, MUTED, safe_text

__all__ = ["DOWN", "UP", "Variation", "draw_variation", "draw_variation_ratio"]

UP = "#bd1f01"
DOWN = "#3f90da"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """Expected events of a process in an observable: (bins,) each.

    Args:
        edges: (bins + 1,), in the unit of the observable.
        error: statistical uncertainty of the nominal events.
        up, down: None where the systematic has no such side.
    """

    edges: Float[np.ndarray, " edges"]
    nominal: Float[np.ndarray, " bins"]
    error: Float[np.ndarray, " bins"]
    up: Float[np.ndarray, " bins"] | None
    down: Float[np.ndarray, " bins"] | None
    axis: str
    unit: str


def draw_variation(ax: Axes, variation: Variation) -> Axes:
    """Draw the nominal events as an area, up and down as steps.

    Returns:
        `ax`.
    """
    mplhep.histplot(
        variation.nominal, bins=variation.edges, histtype="fill", color=MUTED, alpha=0.3, label="nominal", ax=ax
    )
    for name, color, style, events in _sides(variation):
        mplhep.histplot(
            events, bins=variation.edges, yerr=False, color=color, ls=style, lw=1.6, label=name, edges=False, ax=ax
        )
    drawn = [variation.nominal, *(events for _, _, _, events in _sides(variation))]
    top = float(np.max(np.concatenate(drawn), initial=0.0))
    ax.set_ylim(min(0.0, 1.1 * float(np.min(np.concatenate(drawn), initial=0.0))), 1.45 * top if top > 0 else 1)
    ax.set_xlim(float(variation.edges[0]), float(variation.edges[-1]))
    ax.set_ylabel("Events / bin")
    ax.legend(loc="upper right", fontsize="x-small", ncols=3, columnspacing=0.9, handlelength=1.3)
    return ax


def draw_variation_ratio(ax: Axes, variation: Variation) -> Axes:
    """Draw up and down over nominal, with the statistical uncertainty of the nominal events as a band.

    Returns:
        `ax`; bins without nominal events stay empty.
    """
    known = variation.nominal > 0
    safe = np.where(known, variation.nominal, 1.0)
    relative = np.where(known, variation.error / safe, 0.0)
    ax.fill_between(
        variation.edges, np.append(1 - relative, (1 - relative)[-1:]), np.append(1 + relative, (1 + relative)[-1:]),
        step="post", color=MUTED, alpha=0.25, lw=0,
    )  # fmt: skip
    ax.axhline(1.0, color=INK, lw=0.8)
    reach = 0.02
    for _, color, style, events in _sides(variation):
        ratio = np.where(known, events / safe, 1.0)
        mplhep.histplot(ratio, bins=variation.edges, yerr=False, color=color, ls=style, lw=1.6, edges=False, ax=ax)
        solid = known & (variation.nominal > 0.02 * float(np.max(variation.nominal, initial=0.0)))
        reach = max(reach, float(np.max(np.abs(ratio - 1)[solid], initial=0.0)))
    reach = min(1.25 * reach, 0.95)
    ax.set_ylim(1 - reach, 1 + reach)
    ax.set_xlim(float(variation.edges[0]), float(variation.edges[-1]))
    text = safe_text(variation.axis)
    ax.set_xlabel(text if variation.unit == "1" else f"{text} [{safe_text(variation.unit)}]")
    ax.set_ylabel("/ nominal", loc="center", fontsize="small")
    return ax


def _sides(variation: Variation) -> list[tuple[str, str, str, Float[np.ndarray, " bins"]]]:
    sides = (("up", UP, "-", variation.up), ("down", DOWN, "--", variation.down))
    return [(name, color, style, events) for name, color, style, events in sides if events is not None]
