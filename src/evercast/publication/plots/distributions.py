"""Distributions of observables: stacked prediction with data, their ratio, and comparisons of shapes."""

from __future__ import annotations

from dataclasses import dataclass

import mplhep
import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from scipy import stats

from evercast.publication.plots.figure import INK, MUTED, safe_text

__all__ = [
    "Component", "Shape", "Stack", "draw_ratio", "draw_shape_ratio", "draw_shapes", "draw_stack", "poisson_errors",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """The expected events of one process: (bins,)."""

    title: str
    color: str
    events: Float[np.ndarray, " bins"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A binned observable: what is expected, how well it is known, what was seen.

    Args:
        edges: (bins + 1,), in the unit of the observable.
        components: drawn from the bottom in this order.
        uncertainty: (bins,) total uncertainty of the prediction in events.
        observed: (bins,) counts; None where there are no data.
        axis: text of the horizontal axis.
        unit: unit of the observable, ``1`` for a pure number.
        observed_title: text of the data in the legend.
    """

    edges: Float[np.ndarray, " edges"]
    components: tuple[Component, ...]
    uncertainty: Float[np.ndarray, " bins"]
    observed: Float[np.ndarray, " bins"] | None
    axis: str
    unit: str
    observed_title: str = "Data"

    @property
    def expected(self) -> Float[np.ndarray, " bins"]:
        """Expected events of all processes together: (bins,)."""
        return np.asarray(sum((c.events for c in self.components), np.zeros(len(self.edges) - 1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A distribution normalised to unit area: (bins,) fractions and their statistical errors."""

    title: str
    color: str
    fraction: Float[np.ndarray, " bins"]
    error: Float[np.ndarray, " bins"]


def poisson_errors(observed: Float[np.ndarray, " bins"]) -> Float[np.ndarray, "2 bins"]:
    """Return the distances to the central 68.27 % interval of a Poisson mean (Garwood, Biometrika 28 (1936) 437).

    Example:
        >>> poisson_errors(np.array([0.0, 4.0])).round(2).tolist()
        [[0.0, 1.91], [1.84, 3.16]]
    """
    alpha = 2 * stats.norm.sf(1)
    low = np.where(observed > 0, stats.chi2.ppf(alpha / 2, 2 * np.maximum(observed, 1)) / 2, 0.0)
    high = stats.chi2.isf(alpha / 2, 2 * (observed + 1)) / 2
    return np.array([observed - low, high - observed])


def draw_stack(ax: Axes, stack: Stack, *, compact: bool = False) -> Axes:
    """Draw the stacked prediction, its uncertainty and the data with Poisson intervals.

    Args:
        ax: where to draw.
        stack: what to draw.
        compact: for a small frame: a legend of two columns.

    Returns:
        `ax`.
    """
    if stack.components:
        mplhep.histplot(
            [component.events for component in stack.components],
            bins=stack.edges,
            stack=True,
            histtype="fill",
            color=[component.color for component in stack.components],
            label=[safe_text(component.title) for component in stack.components],
            edgecolor=INK,
            linewidth=0.5,
            ax=ax,
        )
    expected = stack.expected
    _band(ax, stack.edges, expected - stack.uncertainty, expected + stack.uncertainty, label="Uncertainty")
    top = float(np.max(expected + stack.uncertainty, initial=0.0))
    if stack.observed is not None:
        errors = poisson_errors(stack.observed)
        _points(ax, stack.edges, stack.observed, errors, label=stack.observed_title, keep=stack.observed > 0)
        top = max(top, float(np.max(stack.observed + errors[1], initial=0.0)))
    ax.set_ylim(0, (1.6 if compact else 1.35) * top if top > 0 else 1)
    ax.set_xlim(float(stack.edges[0]), float(stack.edges[-1]))
    ax.set_ylabel(_events_axis(stack.edges, stack.unit))
    ax.set_xlabel(_with_unit(stack.axis, stack.unit))
    _legend(ax, stack, compact=compact)
    return ax


def _legend(ax: Axes, stack: Stack, *, compact: bool) -> None:
    """Draw the legend: data, then the processes from the top of the stack, then the uncertainty."""
    handles = dict(zip(*ax.get_legend_handles_labels()[::-1], strict=True))
    order = [stack.observed_title, *(safe_text(c.title) for c in reversed(stack.components)), "Uncertainty"]
    shown = list(dict.fromkeys(name for name in order if name in handles))
    columns = 2 if compact or len(shown) > 8 else 1
    size = "x-small" if compact else None
    ax.legend([handles[name] for name in shown], shown, loc="upper right", ncols=columns, fontsize=size)


def draw_ratio(ax: Axes, stack: Stack) -> Axes:
    """Draw data over prediction, with the relative uncertainty of the prediction as a band around one.

    Returns:
        `ax`; bins without prediction stay empty.
    """
    expected = stack.expected
    known = expected > 0
    safe = np.where(known, expected, 1.0)
    relative = np.where(known, stack.uncertainty / safe, 0.0)
    _band(ax, stack.edges, 1 - relative, 1 + relative, label=None)
    ax.axhline(1.0, color=MUTED, linewidth=1, zorder=1)
    if stack.observed is not None:
        errors = poisson_errors(stack.observed) / safe
        seen = known & (stack.observed > 0)
        _points(ax, stack.edges, stack.observed / safe, errors, label=None, keep=seen)
    ax.set_ylim(0, 2.95)
    ax.set_xlim(float(stack.edges[0]), float(stack.edges[-1]))
    ax.set_xlabel(_with_unit(stack.axis, stack.unit))
    ax.set_ylabel("Data / pred.", loc="center", fontsize="small")
    return ax


def draw_shapes(
    ax: Axes, edges: Float[np.ndarray, " edges"], shapes: tuple[Shape, ...], *, axis: str, unit: str
) -> Axes:
    """Draw distributions of unit area on top of each other, the first as filled area, the others as points.

    Returns:
        `ax`.
    """
    centres = (edges[1:] + edges[:-1]) / 2
    for index, shape in enumerate(shapes):
        label = safe_text(shape.title)
        if index == 0:
            mplhep.histplot(
                shape.fraction, bins=edges, histtype="fill", color=shape.color, alpha=0.45, label=label, ax=ax
            )
            _band(ax, edges, shape.fraction - shape.error, shape.fraction + shape.error, label=None)
        else:
            ax.errorbar(
                centres, shape.fraction, yerr=shape.error, fmt="o", ms=4, lw=1.2, color=shape.color, label=label
            )
    top = max((float(np.max(shape.fraction, initial=0.0)) for shape in shapes), default=1.0)
    ax.set_ylim(0, 1.5 * top if top > 0 else 1)
    ax.set_xlim(float(edges[0]), float(edges[-1]))
    ax.set_xlabel(_with_unit(axis, unit))
    ax.set_ylabel("Fraction of events")
    ax.legend(loc="upper right")
    return ax


def draw_shape_ratio(
    ax: Axes, edges: Float[np.ndarray, " edges"], reference: Shape, other: Shape, *, axis: str
) -> Axes:
    """Draw `other` over `reference`, each with its own statistical error.

    Returns:
        `ax`.
    """
    known = reference.fraction > 0
    safe = np.where(known, reference.fraction, 1.0)
    relative = np.where(known, reference.error / safe, 0.0)
    _band(ax, edges, 1 - relative, 1 + relative, label=None)
    ax.axhline(1.0, color=MUTED, linewidth=1)
    errors = np.array([other.error, other.error]) / safe
    _points(ax, edges, other.fraction / safe, errors, label=None, keep=known, color=other.color)
    ax.set_ylim(0, 1.99)
    ax.set_xlim(float(edges[0]), float(edges[-1]))
    ax.set_xlabel(axis)
    ax.set_ylabel("Ratio", loc="center", fontsize="small")
    return ax


def _points(
    ax: Axes,
    edges: Float[np.ndarray, " edges"],
    values: Float[np.ndarray, " bins"],
    errors: Float[np.ndarray, "2 bins"],
    *,
    label: str | None,
    keep: Bool[np.ndarray, " bins"] | None = None,
    color: str = INK,
) -> None:
    kept = np.ones(values.shape, dtype=bool) if keep is None else keep
    centres = ((edges[1:] + edges[:-1]) / 2)[kept]
    ax.errorbar(
        centres, values[kept], yerr=errors[:, kept], fmt="o", ms=4.5, lw=1.3, color=color, label=label, zorder=10
    )


def _band(
    ax: Axes,
    edges: Float[np.ndarray, " edges"],
    low: Float[np.ndarray, " bins"],
    high: Float[np.ndarray, " bins"],
    *,
    label: str | None,
) -> None:
    ax.fill_between(
        edges,
        np.append(low, low[-1:]),
        np.append(high, high[-1:]),
        step="post",
        facecolor="none",
        edgecolor=MUTED,
        hatch="//////",
        linewidth=0,
        label=label,
        zorder=5,
    )


def _with_unit(axis: str, unit: str) -> str:
    text = safe_text(axis)
    return text if unit == "1" else f"{text} [{safe_text(unit)}]"


def _events_axis(edges: Float[np.ndarray, " edges"], unit: str) -> str:
    widths = np.diff(edges)
    if not np.allclose(widths, widths[0], rtol=1e-6):
        return "Events / bin"
    width = f"{widths[0]:.3g}"
    return f"Events / {width}" if unit == "1" else f"Events / {width} {safe_text(unit)}"
