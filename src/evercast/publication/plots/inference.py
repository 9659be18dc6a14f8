"""Figures of the statistical result: profile likelihoods and fitted nuisance parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from scipy import interpolate, stats

from evercast.publication.plots.figure import INK, MUTED, PAPER, safe_text

__all__ = ["Interval", "ProfileCurve", "Pull", "draw_intervals", "draw_profiles", "draw_pulls"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileCurve:
    """t(poi) = 2 [NLL(poi) - NLL(best fit)] of one likelihood: (points,) each."""

    title: str
    color: str
    values: Float[np.ndarray, " points"]
    t: Float[np.ndarray, " points"]
    expected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Best value with its interval; an open end is None."""

    title: str
    color: str
    value: float
    low: float | None
    high: float | None
    expected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """A constrained parameter after the fit, in units of its constraint."""

    title: str
    value: float
    uncertainty: float


def draw_profiles(ax: Axes, curves: tuple[ProfileCurve, ...], *, axis: str, top: float = 12.0) -> Axes:
    """Draw profile likelihoods, solid for observed and dashed for expected, with the 68 and 95 % levels.

    The levels are those of a chi-squared with one degree of freedom (0.99 and 3.84): right in the asymptotic limit.

    Returns:
        `ax`.
    """
    for curve in curves:
        style = "--" if curve.expected else "-"
        kind = "expected" if curve.expected else "observed"
        values, t = _smooth(curve)
        ax.plot(
            values, t, style, color=curve.color, lw=1.7 if curve.expected else 2.4,
            label=f"{safe_text(curve.title)}, {kind}",
        )  # fmt: skip
    reached = max((float(np.max(curve.t, initial=0.0)) for curve in curves), default=top)
    ceiling = float(np.clip(1.15 * reached, 5.5, top))
    spans = [(float(curve.values.min()), float(curve.values.max())) for curve in curves if curve.values.size]
    low, high = (min(a for a, _ in spans), max(b for _, b in spans)) if spans else (0.0, 1.0)
    for probability in (0.68, 0.95):
        level = float(stats.chi2.ppf(probability, 1))
        ax.axhline(level, color=MUTED, lw=1, ls=":")
        text = f"{round(100 * probability)} %"
        ax.text(high - 0.01 * (high - low), level, text, color=MUTED, ha="right", va="bottom", fontsize="small")
    ax.set_xlim(low, high)
    ax.set_ylim(0, ceiling)
    ax.set_xlabel(safe_text(axis))
    ax.set_ylabel(r"$-2\,\Delta\ln L$")
    many = len(curves) > 6
    ax.legend(
        loc="best", frameon=True, facecolor=PAPER, edgecolor="none", framealpha=0.88,
        fontsize="x-small" if many else None, labelspacing=0.3 if many else None,
    )  # fmt: skip
    return ax


def _smooth(curve: ProfileCurve) -> tuple[Float[np.ndarray, " dense"], Float[np.ndarray, " dense"]]:
    """Return the curve between its points (modified Akima, which does not overshoot at kinks), never below zero."""
    if curve.values.size < 5 or np.any(np.diff(curve.values) <= 0):
        return curve.values, curve.t
    dense = np.linspace(curve.values[0], curve.values[-1], 20 * curve.values.size)
    between = interpolate.Akima1DInterpolator(curve.values, curve.t, method="makima")(dense)
    return dense, np.maximum(between, 0.0)


def draw_intervals(ax: Axes, intervals: tuple[Interval, ...], *, axis: str) -> Axes:
    """Draw best values with their intervals, one line each, expected ones hollow.

    Returns:
        `ax`.
    """
    names = [f"{item.title}, {'expected' if item.expected else 'observed'}" for item in reversed(intervals)]
    for row, (item, name) in enumerate(zip(reversed(intervals), names, strict=True)):
        ax.text(
            0.03,
            row + 0.22,
            safe_text(name),
            transform=ax.get_yaxis_transform(),
            fontsize=12,
            color=item.color,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.5},
            zorder=1.5,
        )
        errors = [[_distance(item.value, item.low)], [_distance(item.value, item.high)]]
        ax.errorbar(
            [item.value], [row], xerr=errors, fmt="o", ms=7, lw=2, capsize=4, color=item.color,
            mfc="none" if item.expected else item.color,
        )  # fmt: skip
    ax.axvline(1.0, color=MUTED, lw=1, ls=":")
    ax.axvline(0.0, color=MUTED, lw=1)
    ax.set_yticks([])
    ax.set_ylim(-0.6, len(names) - 0.2)
    ax.set_xlabel(safe_text(axis))
    return ax


def draw_pulls(ax: Axes, pulls: tuple[Pull, ...], *, color: str = INK, offset: float = 0.0) -> Axes:
    """Draw fitted constrained parameters against their constraint: a band of one and of two.

    Returns:
        `ax`.
    """
    ax.axvspan(-2, 2, color="#ffcc00", alpha=0.25, lw=0)
    ax.axvspan(-1, 1, color="#4caf50", alpha=0.30, lw=0)
    ax.axvline(0, color=MUTED, lw=1)
    rows = np.arange(len(pulls))[::-1] + offset
    ax.errorbar(
        [pull.value for pull in pulls], rows, xerr=[pull.uncertainty for pull in pulls],
        fmt="o", ms=5, lw=1.5, color=color,
    )  # fmt: skip
    ax.set_yticks(np.arange(len(pulls))[::-1], [safe_text(pull.title) for pull in pulls])
    ax.tick_params(axis="y", which="both", left=False, right=False)
    ax.set_ylim(-0.6, len(pulls) - 0.4)
    reach = max([2.5, *(abs(pull.value) + pull.uncertainty + 0.2 for pull in pulls)])
    ax.set_xlim(-reach, reach)
    ax.set_xlabel(r"$(\hat\theta - \theta_0)/\Delta\theta$")
    return ax


def _distance(value: float, end: float | None) -> float:
    return 0.0 if end is None else abs(end - value)
