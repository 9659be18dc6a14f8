"""Figures of statistical results beyond the profile: correlations, contours, limits, bands of pseudo-experiments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from evercast.publication.plots.figure import INK, MUTED, PALETTE, safe_text

__all__ = [
    "ContourLines", "LimitBand", "NeymanBand", "draw_contours", "draw_correlation", "draw_limits", "draw_neyman",
    "draw_toys",
]  # fmt: skip

Values = Float[np.ndarray, " values"]
_GREEN, _YELLOW = "#4caf50", "#ffcc00"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContourLines:
    """Lines of equal t of two parameters for one likelihood: each (points, 2)."""

    title: str
    color: str
    best: tuple[float, float] | None
    levels: tuple[tuple[float, tuple[Float[np.ndarray, "points 2"], ...]], ...]
    expected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitBand:
    """An upper limit: (five,) expected from -2 to +2 standard deviations, and the observed one if there is one."""

    title: str
    expected: Values
    observed: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NeymanBand:
    """Acceptance of t at each tested value: (values,).

    Args:
        critical: t below which the fraction `confidence_level` of the pseudo-experiments lies, with its error.
        asymptotic: the quantile of chi-squared.
        t: of the data; None where they were not looked at.
        data: what they are called.
    """

    confidence_level: float
    values: Values
    critical: Values
    error: Values
    asymptotic: float
    t: Values | None
    data: str = "data"


def draw_correlation(ax: Axes, names: Sequence[str], matrix: Float[np.ndarray, "n n"]) -> Axes:
    """Draw a correlation matrix in per cent; numbers are written where they fit.

    Returns:
        `ax`.
    """
    ax.imshow(100 * matrix, cmap="RdBu_r", vmin=-100, vmax=100)
    if len(names) <= 16:
        for row in range(len(names)):
            for column in range(len(names)):
                value = 100 * matrix[row, column]
                color = "#fdfdfe" if abs(value) > 55 else "#15181c"
                ax.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=9, color=color)
    shown = [safe_text(name) for name in names]
    ax.set_xticks(range(len(names)), shown, rotation=90, fontsize="small")
    ax.set_yticks(range(len(names)), shown, fontsize="small")
    ax.tick_params(which="both", length=0)
    return ax


def draw_contours(ax: Axes, contours: tuple[ContourLines, ...], *, axes: tuple[str, str]) -> Axes:
    """Draw the contours of two parameters, solid for observed and dashed for expected.

    Returns:
        `ax`.
    """
    everything = []
    for contour in contours:
        for index, (_, lines) in enumerate(contour.levels):
            kind = "expected" if contour.expected else "observed"
            label: str | None = f"{safe_text(contour.title)}, {kind}" if index == 0 else None
            for line in lines:
                style = (0, (4, 2)) if contour.expected else "-"
                ax.plot(line[:, 0], line[:, 1], ls=style, color=contour.color, lw=2.4 - 0.9 * index, label=label)
                everything.append(line)
                label = None
        if contour.best is not None:
            face = "none" if contour.expected else contour.color
            ax.plot(*contour.best, "P" if not contour.expected else "D", ms=8, color=contour.color, mfc=face)
    if everything:
        points = np.concatenate(everything)
        low, high = points.min(axis=0), points.max(axis=0)
        margin = 0.12 * (high - low) + 1e-9
        ax.set_xlim(low[0] - margin[0], high[0] + margin[0])
        ax.set_ylim(low[1] - margin[1], high[1] + (1.5 + 0.7 * len(contours)) * margin[1])
    ax.set_xlabel(safe_text(axes[0]))
    ax.set_ylabel(safe_text(axes[1]))
    ax.legend(loc="upper right", fontsize="x-small")
    return ax


def draw_limits(ax: Axes, limits: tuple[LimitBand, ...], *, axis: str) -> Axes:
    """Draw upper limits, a line each: the expected median with bands of one and two standard deviations, the observed.

    Returns:
        `ax`.
    """
    banded = [row for row, limit in enumerate(reversed(limits)) if limit.expected.size == 5]
    seen = [row for row, limit in enumerate(reversed(limits)) if limit.observed is not None]
    for row, limit in enumerate(reversed(limits)):
        if limit.expected.size == 5:
            two, one = (limit.expected[0], limit.expected[4]), (limit.expected[1], limit.expected[3])
            first = row == banded[0]
            ax.barh(row, two[1] - two[0], left=two[0], height=0.5, color=_YELLOW, lw=0, label="±2 σ" if first else None)
            ax.barh(row, one[1] - one[0], left=one[0], height=0.5, color=_GREEN, lw=0, label="±1 σ" if first else None)
            middle = [float(limit.expected[2])] * 2
            ax.plot(middle, [row - 0.25, row + 0.25], "--", color=INK, lw=1.6, label="expected" if first else None)
        if limit.observed is not None:
            ax.plot(
                limit.observed, row, "o", color=INK, ms=8, label="observed" if row == seen[0] else None,
            )  # fmt: skip
        ax.text(0.02, row + 0.31, safe_text(limit.title), transform=ax.get_yaxis_transform(), fontsize=12, color=INK)
    ends = [value for limit in limits for value in (*limit.expected.tolist(), limit.observed) if value is not None]
    ax.set_xlim(0, 1.15 * max(ends, default=1.0))
    ax.set_ylim(-0.5, len(limits) + 0.35)
    ax.set_yticks([])
    ax.set_xlabel(f"upper limit on {safe_text(axis)}")
    ax.legend(loc="upper right", fontsize="x-small", ncols=4, columnspacing=0.9, handlelength=1.2)
    return ax


def draw_neyman(ax: Axes, bands: tuple[NeymanBand, ...], *, axis: str) -> Axes:
    """Draw the critical value of t from pseudo-experiments against its asymptotic one, and t of the data.

    Returns:
        `ax`.
    """
    top = 1.0
    for index, band in enumerate(bands):
        color = PALETTE[index % len(PALETTE)]
        label = f"{100 * band.confidence_level:.4g} % of pseudo-experiments below"
        ax.errorbar(band.values, band.critical, yerr=band.error, fmt="o-", ms=5, lw=1.5, color=color, label=label)
        ax.axhline(band.asymptotic, color=color, lw=1, ls="--")
        top = max(top, float(np.max(band.critical + band.error, initial=0.0)), band.asymptotic)
    seen = next((band for band in bands if band.t is not None), None)
    if seen is not None and seen.t is not None:
        ax.plot(seen.values, seen.t, "s-", color=INK, lw=2, ms=5, label=seen.data)
    ax.set_ylim(0, 1.7 * top)
    ax.set_xlabel(safe_text(axis))
    ax.set_ylabel(r"$t = -2\,\Delta\ln L$")
    ax.legend(loc="upper center", fontsize="small")
    return ax


def draw_toys(
    ax: Axes, edges: Values, counts: Values, *, observed: float | None, axis: str, density: Values | None = None
) -> Axes:
    """Draw the distribution of a statistic in pseudo-experiments, the observed one as a line.

    Args:
        ax: where to draw.
        edges: (bins + 1,).
        counts: (bins,) pseudo-experiments.
        observed: None where the data were not looked at.
        axis: text of the horizontal axis.
        density: (bins,) what the asymptotic distribution expects; None for nothing.

    Returns:
        `ax`.
    """
    ax.stairs(counts, edges, fill=True, color=PALETTE[0], alpha=0.5, label="pseudo-experiments")
    top = float(np.max(counts, initial=1.0))
    if density is not None:
        ax.plot((edges[1:] + edges[:-1]) / 2, density, color=MUTED, lw=1.8, ls="--", label="asymptotic")
        top = max(top, float(np.max(density, initial=0.0)))
    if observed is not None:
        ax.axvline(observed, color="#bd1f01", lw=2, label="data")
    ax.set_xlim(float(edges[0]), max(float(edges[-1]), 1.05 * (observed or 0.0)))
    ax.set_ylim(0, 1.4 * top)
    ax.set_xlabel(safe_text(axis))
    ax.set_ylabel("Pseudo-experiments / bin")
    ax.legend(loc="upper right", fontsize="small")
    return ax
