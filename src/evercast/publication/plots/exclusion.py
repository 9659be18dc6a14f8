"""Figures of exclusion: contours with Brazil bands in a plane of masses, CLs or limits along a line of points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.tri import Triangulation

from evercast.publication.plots.figure import INK, MUTED, safe_text

__all__ = ["ExclusionPlane", "LimitLine", "draw_exclusion", "draw_limit_line", "draw_limits_along"]

Lines = Sequence[Float[np.ndarray, "points 2"]]
_GREEN, _YELLOW = "#4caf50", "#ffcc00"
_PARTS = 12
"""Parts of a side of a triangle, so that the kink of a band within it is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExclusionPlane:
    """Points of a plane with log(CLs / size).

    Args:
        x, y: (points,).
        log_ratio: (points, 6): observed, then expected at -2, -1, 0, 1, 2 standard deviations; NaN where unknown.
        triangles: (triangles, 3).
        observed: lines of the data; empty where they were left out.
        expected: lines of the expected median.
    """

    x: Float[np.ndarray, " points"]
    y: Float[np.ndarray, " points"]
    log_ratio: Float[np.ndarray, "points 6"]
    triangles: np.ndarray
    observed: Lines
    expected: Lines


def draw_exclusion(ax: Axes, plane: ExclusionPlane, *, x: str, y: str) -> Axes:
    """Draw the observed and expected contours, the expected one with bands of one and two standard deviations.

    Points are drawn full where they are excluded, open where they are not.

    Args:
        ax: to draw on.
        plane: points and lines.
        x: title of the first axis.
        y: of the second.

    Returns:
        `ax`.
    """
    for low, high, color in ((1, 5, _YELLOW), (2, 4, _GREEN)):
        if np.isfinite(plane.log_ratio[:, [low, high]]).all():
            _band(ax, plane, (low, high), color)
    for lines, style, width in ((plane.expected, "--", 1.6), (plane.observed, "-", 2.2)):
        for line in lines:
            ax.plot(line[:, 0], line[:, 1], style, color=INK, lw=width)
    decisive = plane.log_ratio[:, 0] if np.isfinite(plane.log_ratio[:, 0]).all() else plane.log_ratio[:, 3]
    out = decisive < 0
    ax.plot(plane.x[out], plane.y[out], "o", color=INK, ms=4.5, lw=0)
    ax.plot(plane.x[~out], plane.y[~out], "o", mfc="none", mec=MUTED, ms=4.5, lw=0)
    handles = [
        Line2D([], [], color=INK, ls="--", lw=1.6, label="expected"),
        Patch(color=_GREEN, label="±1 σ"),
        Patch(color=_YELLOW, label="±2 σ"),
        Line2D([], [], color=INK, marker="o", lw=0, ms=4.5, label="excluded point"),
        Line2D([], [], mfc="none", mec=MUTED, marker="o", lw=0, ms=4.5, label="other point"),
    ]
    if len(plane.observed):
        handles.insert(0, Line2D([], [], color=INK, lw=2.2, label="observed"))
    ax.legend(handles=handles, loc="upper left", fontsize="small", ncols=2)
    ax.set_xlabel(safe_text(x))
    ax.set_ylabel(safe_text(y))
    span_x, span_y = np.ptp(plane.x), np.ptp(plane.y)
    ax.set_xlim(plane.x.min() - 0.04 * span_x, plane.x.max() + 0.04 * span_x)
    ax.set_ylim(plane.y.min() - 0.04 * span_y, plane.y.max() + 0.32 * span_y)
    return ax


def _band(ax: Axes, plane: ExclusionPlane, curves: tuple[int, int], color: str) -> None:
    """Fill where one quantile of the background excludes and the opposite does not; both linear on the triangles."""
    weights, small = _divided(_PARTS)
    corners = np.stack([plane.x, plane.y, *(plane.log_ratio[:, curve] for curve in curves)], axis=-1)[plane.triangles]
    x, y, strong, weak = np.einsum("pc,tcv->vtp", weights, corners).reshape(4, -1)
    offsets = len(weights) * np.arange(len(plane.triangles))
    triangles = (small[None] + offsets[:, None, None]).reshape(-1, 3)
    inside = np.minimum(-strong, weak)  # positive between the two lines, where strong < 0 < weak
    if inside.max() > 0:
        levels = [0.0, float(inside.max()) + 1.0]
        ax.tricontourf(Triangulation(x, y, triangles), inside, levels=levels, colors=[color])


def _divided(parts: int) -> tuple[Float[np.ndarray, "places 3"], np.ndarray]:
    """Return a triangle cut into parts x parts: barycentric coordinates of the corners, and the triangles of them."""
    number: dict[tuple[int, int], int] = {}
    for row in range(parts + 1):
        for column in range(parts + 1 - row):
            number[row, column] = len(number)
    weights = np.array([(row, column, parts - row - column) for row, column in number]) / parts
    up = [(number[r, c], number[r + 1, c], number[r, c + 1]) for r, c in number if r + c < parts]
    down = [(number[r + 1, c], number[r + 1, c + 1], number[r, c + 1]) for r, c in number if r + c < parts - 1]
    return weights, np.array(up + down)


def draw_limits_along(
    ax: Axes,
    names: Sequence[str],
    expected: Float[np.ndarray, "points 5"],
    observed: Sequence[float | None],
    *,
    axis: str,
) -> Axes:
    """Draw upper limits with their bands, a column for each point, on a logarithmic axis.

    Args:
        ax: to draw on.
        names: of the points.
        expected: from -2 to +2 standard deviations.
        observed: None where the data were left out.
        axis: what is limited.

    Returns:
        `ax`.
    """
    at = np.arange(len(names), dtype=float)
    for low, high, color, label in ((0, 4, _YELLOW, "±2 σ"), (1, 3, _GREEN, "±1 σ")):
        ax.bar(at, expected[:, high] - expected[:, low], bottom=expected[:, low], width=0.7, color=color, label=label)
    ax.hlines(expected[:, 2], at - 0.35, at + 0.35, colors=INK, linestyles="--", lw=1.6, label="expected")
    seen = [(place, value) for place, value in zip(at, observed, strict=True) if value is not None]
    if seen:
        ax.plot(*zip(*seen, strict=True), "o", color=INK, ms=7, label="observed")
    ax.axhline(1.0, color=MUTED, lw=1.2, ls=":")
    ax.set_yscale("log")
    ends = [*expected.ravel().tolist(), 1.0, *(value for _, value in seen)]
    bottom, top = min(ends) / 1.3, max(ends) * 1.3
    ax.set_ylim(bottom, top * (top / bottom) ** 0.3)
    ax.set_xlim(-0.6, len(names) - 0.4)
    ax.set_xticks(at, [safe_text(name) for name in names], rotation=90 if len(names) > 3 else 0, fontsize="x-small")
    ax.tick_params(axis="x", which="both", length=0)
    ax.set_ylabel(f"upper limit on {safe_text(axis)}")
    ax.legend(loc="upper left", fontsize="small", ncols=2)
    return ax


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LimitLine:
    """Upper limits at points along one value.

    Args:
        at: (points,), increasing.
        expected: (points, 5), from -2 to +2 standard deviations of the background.
        observed: (points,); NaN where there is none.
        predicted: (points,) what the model predicts of the quantity that is limited.
    """

    at: Float[np.ndarray, " points"]
    expected: Float[np.ndarray, "points 5"]
    observed: Float[np.ndarray, " points"]
    predicted: Float[np.ndarray, " points"]


def draw_limit_line(ax: Axes, line: LimitLine, *, x: str, y: str, predicted: str) -> Axes:
    """Draw upper limits against a value of the signal, with bands, and the prediction; excluded where that is higher.

    Between the points the logarithm of the limit is linear. The bands are those of the search without a signal.

    Args:
        ax: to draw on.
        line: the limits.
        x: title of the value.
        y: what is limited.
        predicted: legend of the prediction.

    Returns:
        `ax`.
    """
    for low, high, color, label in ((0, 4, _YELLOW, "±2 σ"), (1, 3, _GREEN, "±1 σ")):
        ax.fill_between(line.at, line.expected[:, low], line.expected[:, high], color=color, lw=0, label=label)
    ax.plot(line.at, line.expected[:, 2], "--", color=INK, lw=1.6, label="expected")
    if np.isfinite(line.observed).any():
        ax.plot(line.at, line.observed, "o-", color=INK, lw=2.2, ms=4.5, label="observed")
    ax.plot(line.at, line.predicted, color="#bd1f01", lw=1.8, label=safe_text(predicted))
    ax.set_yscale("log")
    values = np.concatenate([line.expected.ravel(), line.observed, line.predicted])
    bottom, top = float(np.nanmin(values)) / 1.5, float(np.nanmax(values)) * 1.5
    ax.set_ylim(bottom, top * (top / bottom) ** 0.35)
    ax.set_xlim(float(line.at[0]), float(line.at[-1]))
    ax.set_xlabel(safe_text(x))
    ax.set_ylabel(f"upper limit on {safe_text(y)}")
    order = ["observed", "expected", "±1 σ", "±2 σ", safe_text(predicted)]
    handles = dict(zip(*ax.get_legend_handles_labels()[::-1], strict=True))
    shown = [name for name in order if name in handles]
    ax.legend([handles[name] for name in shown], shown, loc="upper right", fontsize="small", ncols=2)
    return ax
