"""The minimiser on functions with known minima."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evercast.inference.minimise import minimise
from evercast.likelihood.evaluate import Expansion


class Analytic:
    """A function given with its derivatives."""

    def __init__(self, value: Callable, gradient: Callable, hessian: Callable) -> None:
        self._parts = (value, gradient, hessian)

    def expand(self, theta: np.ndarray) -> Expansion:
        value, gradient, hessian = (part(theta) for part in self._parts)
        return Expansion(float(value), np.asarray(gradient, dtype=float), np.asarray(hessian, dtype=float))


ROSENBROCK = Analytic(
    lambda x: 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2,
    lambda x: [-400 * x[0] * (x[1] - x[0] ** 2) - 2 * (1 - x[0]), 200 * (x[1] - x[0] ** 2)],
    lambda x: [[1200 * x[0] ** 2 - 400 * x[1] + 2, -400 * x[0]], [-400 * x[0], 200]],
)


def quadratic(matrix: np.ndarray, centre: np.ndarray) -> Analytic:
    return Analytic(
        lambda x: 0.5 * (x - centre) @ matrix @ (x - centre), lambda x: matrix @ (x - centre), lambda _: matrix
    )


def box(n: int, low: float = -np.inf, high: float = np.inf) -> dict[str, np.ndarray]:
    return {"lower": np.full(n, low), "upper": np.full(n, high), "free": np.ones(n, dtype=bool)}


@pytest.mark.parametrize("start", [(-1.2, 1.0), (3.0, -4.0), (0.0, 50.0)])
def test_a_curved_valley_is_followed(start: tuple[float, float]) -> None:
    found = minimise(ROSENBROCK, start=np.array(start), **box(2))
    np.testing.assert_allclose(found.theta, [1.0, 1.0], atol=1e-4)
    assert found.reason is None
    assert found.positive_definite
    assert not found.at_bound.any()


def test_coordinates_of_very_different_scale_are_alike() -> None:
    matrix = np.diag([1e14, 1.0, 1e-6]) + 0.0
    matrix[0, 1] = matrix[1, 0] = 3e6
    centre = np.array([1e-7, 2.0, 300.0])
    found = minimise(quadratic(matrix, centre), start=np.array([1.0, -5.0, 0.0]), **box(3))
    np.testing.assert_allclose(found.theta, centre, rtol=1e-6)
    assert found.reason is None


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_a_convex_quadratic_in_a_box_ends_where_no_feasible_direction_leads_down(seed: int) -> None:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(5, 5))
    matrix, centre = root @ root.T + 0.1 * np.eye(5), rng.normal(scale=2.0, size=5)
    found = minimise(quadratic(matrix, centre), start=np.zeros(5), **box(5, -1.0, 1.0))
    gradient = matrix @ (found.theta - centre)
    assert found.reason is None
    assert np.all(np.abs(found.theta) <= 1.0)
    inner = np.abs(found.theta) < 1.0
    scale = np.sqrt(np.diag(matrix))
    assert np.all(np.abs(gradient[inner]) < 1e-3 * scale[inner])
    assert np.all(gradient[found.theta == 1.0] <= 1e-9)
    assert np.all(gradient[found.theta == -1.0] >= -1e-9)
    assert np.array_equal(found.at_bound, ~inner)


def test_a_start_at_a_saddle_is_left() -> None:
    double_well = Analytic(
        lambda x: (x[0] ** 2 - 1) ** 2 + x[1] ** 2,
        lambda x: [4 * x[0] * (x[0] ** 2 - 1), 2 * x[1]],
        lambda x: [[12 * x[0] ** 2 - 4, 0], [0, 2]],
    )
    found = minimise(double_well, start=np.array([0.0, 0.0]), **box(2))
    assert abs(found.theta[0]) == pytest.approx(1.0, abs=1e-4)
    assert found.positive_definite


def test_fixed_parameters_stay_where_they_are() -> None:
    options = box(2) | {"free": np.array([False, True])}
    found = minimise(ROSENBROCK, start=np.array([-0.5, 7.0]), **options)
    assert found.theta[0] == -0.5
    assert found.theta[1] == pytest.approx(0.25, abs=1e-6)


def test_a_bound_with_the_infinite_slope_of_a_root_is_left_if_the_minimum_lies_inside() -> None:
    function = Analytic(  # x - 0.2 sqrt(x): minimum at 0.01, slope minus infinity at 0
        lambda x: x[0] - 0.2 * np.sqrt(x[0]),
        lambda x: [1 - 0.1 / np.sqrt(max(x[0], 1e-24))],
        lambda x: [[0.05 * max(x[0], 1e-24) ** -1.5]],
    )
    found = minimise(function, start=np.array([0.0]), **box(1, 0.0, 10.0))
    assert found.theta[0] == pytest.approx(0.01, rel=1e-3)
    outward = Analytic(
        lambda x: x[0] + 0.2 * np.sqrt(x[0]),
        lambda x: [1 + 0.1 / np.sqrt(max(x[0], 1e-24))],
        lambda x: [[-0.05 * max(x[0], 1e-24) ** -1.5]],
    )
    held = minimise(outward, start=np.array([0.5]), **box(1, 0.0, 10.0))
    assert held.theta[0] == 0.0
    assert held.at_bound.all()
    assert held.reason is None


def test_failures_are_told_apart() -> None:
    nowhere = Analytic(lambda _: np.inf, lambda _: [np.nan], lambda _: [[np.nan]])
    assert minimise(nowhere, start=np.zeros(1), **box(1)).reason == "-2 ln L is not finite at the start"
    slope = Analytic(lambda x: x[0], lambda _: [1.0], lambda _: [[0.0]])
    endless = minimise(slope, start=np.zeros(1), **box(1))
    assert endless.reason == "-2 ln L falls without limit"
    assert not endless.positive_definite
