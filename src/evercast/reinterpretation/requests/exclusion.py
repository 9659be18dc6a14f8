"""Exclusion in the plane of the points: ranges along the first axis, and contours where CLs is 1 - confidence level.

log(CLs / size) is linear between points: along a line, and on the Delaunay triangles of a plane.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

__all__ = ["CURVES", "Curves", "Lines", "Plane", "contour_lines", "excluded_ranges", "log_ratios", "plane_of"]

CURVES: Final = ("observed", "expected -2 sd", "expected -1 sd", "expected", "expected +1 sd", "expected +2 sd")
"""What is drawn: of the data, and of five quantiles of the background; -2 sd excludes most."""

Curves = Sequence[float]
"""log(CLs / size) of one point, in the order of `CURVES`; NaN where it was not computed."""

Lines = tuple[Float[np.ndarray, "points 2"], ...]

_FLOOR: Final = 1e-12
"""CLs below are taken for this: the logarithm of 0 would pull every line to its point."""
_LEAST: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plane:
    """Points in two of their values, the others being the same for all.

    Args:
        axes: numbers of the two values.
        x, y: (points,).
        log_ratio: (points, curves), natural log of CLs over its critical value.
        triangles: (triangles, 3), indices of points.
    """

    axes: tuple[int, int]
    x: Float[np.ndarray, " points"]
    y: Float[np.ndarray, " points"]
    log_ratio: Float[np.ndarray, "points curves"]
    triangles: np.ndarray


def log_ratios(observed: float | None, expected: Sequence[float], size: float) -> list[float]:
    """Return log(CLs / size) in the order of `CURVES`."""
    return [math.nan if value is None else math.log(max(value, _FLOOR) / size) for value in (observed, *expected)]


def plane_of(points: Mapping[tuple[float, ...], Curves]) -> Plane | None:
    """Return the plane of points of which exactly two values differ; None where there is none, or no triangle.

    Args:
        points: values -> log(CLs / size).
    """
    values = np.array(list(points), dtype=float)
    if len(values) < _LEAST or values.ndim != 2:
        return None
    varied = [axis for axis in range(values.shape[1]) if len(set(values[:, axis])) > 1]
    if len(varied) != 2:
        return None
    from scipy.spatial import Delaunay, QhullError  # noqa: PLC0415 - heavy

    first, second = varied
    x, y = values[:, first], values[:, second]
    spans = np.ptp(values[:, varied], axis=0)
    try:
        triangles = Delaunay(values[:, varied] / spans).simplices
    except QhullError:
        return None  # all on one line
    return Plane(axes=(first, second), x=x, y=y, log_ratio=np.array(list(points.values())), triangles=triangles)


def contour_lines(plane: Plane, curve: int) -> Lines:
    """Return the lines where log(CLs / size) of one curve is 0, each (points, 2), on the triangles of the plane."""
    z = plane.log_ratio[:, curve]
    if not np.isfinite(z).all():
        return ()
    segments = [found for triangle in plane.triangles if (found := _segment(plane, z, triangle)) is not None]
    return tuple(_joined(segments))


def _segment(
    plane: Plane, z: Float[np.ndarray, " points"], triangle: np.ndarray
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Return where z crosses 0 within a triangle; a point with z = 0 counts as not excluded."""
    ends = []
    for a, b in itertools.combinations(sorted(int(corner) for corner in triangle), 2):
        if (z[a] < 0) != (z[b] < 0):
            share = z[a] / (z[a] - z[b])
            x, y = plane.x[a] + share * (plane.x[b] - plane.x[a]), plane.y[a] + share * (plane.y[b] - plane.y[a])
            ends.append((float(x), float(y)))
    return (ends[0], ends[1]) if len(ends) == 2 else None


def _joined(
    segments: Sequence[tuple[tuple[float, float], tuple[float, float]]],
) -> list[Float[np.ndarray, "points 2"]]:
    """Return segments that share an end as lines."""
    left = list(segments)
    lines = []
    while left:
        line = list(left.pop())
        for grow in (False, True):
            if grow:
                line.reverse()
            while (found := next((entry for entry in left if line[-1] in entry), None)) is not None:
                left.remove(found)
                line.append(found[1] if found[0] == line[-1] else found[0])
        lines.append(np.array(line))
    return lines


def excluded_ranges(values: Sequence[float], log_ratio: Sequence[float]) -> list[tuple[float, float]]:
    """Return where log(CLs / size) is below 0 along one axis, linear between the points.

    A range that begins at the first point or ends at the last one is open there.

    Args:
        values: increasing.
        log_ratio: at these values.

    Example:
        >>> excluded_ranges([100.0, 200.0, 300.0], [1.0, -1.0, 3.0])
        [(150.0, 225.0)]
    """
    ranges: list[tuple[float, float]] = []
    start = values[0] if log_ratio[0] < 0 else None
    for (left, low), (right, high) in itertools.pairwise(zip(values, log_ratio, strict=True)):
        if (low < 0) == (high < 0):
            continue
        crossing = left + (right - left) * low / (low - high)
        if start is None:
            start = crossing
        else:
            ranges.append((start, crossing))
            start = None
    if start is not None:
        ranges.append((start, values[-1]))
    return ranges
