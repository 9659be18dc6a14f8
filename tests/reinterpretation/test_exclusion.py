"""Contours and ranges of exclusion against functions whose lines are known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from evercast.publication.plots.exclusion import ExclusionPlane, draw_exclusion
from evercast.reinterpretation.requests.exclusion import contour_lines, excluded_ranges, log_ratios, plane_of


def plane(function, x=range(0, 100, 10), y=range(0, 60, 10)):
    """Return the plane of log(CLs / size) = f(x, y) for the data, and the same shifted for the quantiles."""
    shifts = (0.0, -20.0, -10.0, 0.0, 10.0, 20.0)
    points = {
        (float(a), float(b), 7.0): [function(a, b) + shift for shift in shifts] for a, b in itertools.product(x, y)
    }
    found = plane_of(points)
    assert found is not None
    return found


def test_a_straight_line_is_found_exactly() -> None:
    found = plane(lambda x, y: x + y - 55.0)
    assert found.axes == (0, 1)
    (line,) = contour_lines(found, 0)
    np.testing.assert_allclose(line.sum(axis=1), 55.0, atol=1e-9)
    assert np.ptp(line[:, 0]) == pytest.approx(50.0)
    (weaker,) = contour_lines(found, 4)
    np.testing.assert_allclose(weaker.sum(axis=1), 45.0, atol=1e-9)


def test_an_island_is_one_closed_line() -> None:
    found = plane(lambda x, y: math.hypot(x - 45.0, y - 25.0) - 18.0)
    (line,) = contour_lines(found, 0)
    np.testing.assert_array_equal(line[0], line[-1])
    radii = np.hypot(line[:, 0] - 45.0, line[:, 1] - 25.0)
    assert np.all(np.abs(radii - 18.0) < 2.0)  # linear between points that are 10 apart


def test_nothing_excluded_gives_no_line_and_unknown_values_none() -> None:
    assert contour_lines(plane(lambda x, y: 100.0 + 0.0 * (x + y)), 0) == ()
    assert contour_lines(plane(lambda x, y: math.nan if x == 50 else x + 0.0 * y - 20.0), 0) == ()


@pytest.mark.parametrize(
    "points",
    [
        {},
        {(1.0, 2.0): [0.0] * 6},
        {(float(x), 1.0): [float(x)] * 6 for x in range(5)},
        {(float(x), 2.0 * x): [float(x)] * 6 for x in range(5)},
        {(float(x), float(y), float(x + y)): [0.0] * 6 for x in range(3) for y in range(3)},
    ],
)
def test_points_without_a_plane(points) -> None:
    assert plane_of(points) is None


def test_ranges_may_be_open_or_several() -> None:
    values = [0.0, 1.0, 2.0, 3.0, 4.0]
    assert excluded_ranges(values, [-1.0, 1.0, 1.0, -1.0, -2.0]) == [(0.0, 0.5), (2.5, 4.0)]
    assert excluded_ranges(values, [1.0] * 5) == []
    assert excluded_ranges(values, [-1.0] * 5) == [(0.0, 4.0)]


def test_cls_of_zero_has_a_finite_logarithm() -> None:
    observed, *expected = log_ratios(None, [0.0, 0.05, 0.1, 0.2, 1.0], 0.05)
    assert math.isnan(observed)
    assert all(math.isfinite(value) for value in expected)
    assert expected[1] == 0.0


def test_bands_are_drawn_also_on_flat_triangles() -> None:
    found = plane(lambda x, y: 0.6 * x + y - 40.0, x=[0, 10, 20, 90], y=[0, 1e-9, 30])
    ax = Figure().add_subplot()
    content = ExclusionPlane(
        x=found.x, y=found.y, log_ratio=found.log_ratio, triangles=found.triangles,
        observed=contour_lines(found, 0), expected=contour_lines(found, 3),
    )  # fmt: skip
    draw_exclusion(ax, content, x="a [GeV]", y="b [GeV]")
    assert len(ax.collections) == 2
    assert ax.get_xlabel() == "a [GeV]"
