"""Many minimisations in lockstep against closed forms and the single minimiser."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from evercast.inference.fit_many import fit_many
from evercast.inference.minimise_many import minimise_many
from evercast.likelihood.batch import LikelihoodBatch
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.histfactory import read_workspace
from evercast.likelihood.terms import Expansions
from statistics_inputs import synthetic_workspace

BOX = np.array([-1.0, -1.0, -1.0]), np.array([1.0, 1.0, 1.0])
FREE = np.ones(3, dtype=bool)


@dataclass
class Quadratics:
    """(x - c)^T A (x - c) / 2 for each row."""

    centre: np.ndarray
    matrix: np.ndarray

    def expand(self, theta: np.ndarray, rows: np.ndarray) -> Expansions:
        away = theta - self.centre[rows]
        slope = np.einsum("pij,pj->pi", self.matrix[rows], away)
        return Expansions(0.5 * np.einsum("pi,pi->p", away, slope), slope, self.matrix[rows])


@dataclass
class Valleys:
    """Rosenbrock's function with a valley of its own in each row; undefined left of -2."""

    bend: np.ndarray

    def expand(self, theta: np.ndarray, rows: np.ndarray) -> Expansions:
        x, y, b = theta[:, 0], theta[:, 1], self.bend[rows]
        value = (1 - x) ** 2 + b * (y - x**2) ** 2
        slope = np.stack([-2 * (1 - x) - 4 * b * x * (y - x**2), 2 * b * (y - x**2)], axis=1)
        cross = -4 * b * x
        hessian = np.stack([np.stack([2 - 4 * b * (y - 3 * x**2), cross], 1), np.stack([cross, 2 * b], 1)], axis=1)
        return Expansions(np.where(x < -2, np.inf, value), slope, hessian)


def test_quadratics_in_a_box_end_where_no_feasible_direction_leads_down() -> None:
    rng = np.random.default_rng(3)
    root = rng.normal(size=(40, 3, 3))
    problems = Quadratics(rng.normal(size=(40, 3)) * 1.5, root @ root.transpose(0, 2, 1) + 0.05 * np.eye(3))
    found = minimise_many(problems, start=np.zeros((40, 3)), rows=np.arange(40), lower=BOX[0], upper=BOX[1], free=FREE)
    assert found.converged.all()
    slope = problems.expand(found.theta, np.arange(40)).gradient
    inside = np.abs(found.theta) < 1.0
    assert np.abs(slope[inside]).max() < 1e-6  # an estimated distance of 1e-12 with curvatures above 0.05
    assert np.all(slope[found.theta == 1.0] <= 0)
    assert np.all(slope[found.theta == -1.0] >= 0)
    np.testing.assert_array_equal(found.at_bound, ~inside)


def test_curved_valleys_are_followed_and_held_parameters_stay() -> None:
    problems = Valleys(np.array([1.0, 10.0, 100.0]))
    start = np.array([[-1.5, 2.0], [-1.2, 1.0], [0.0, 5.0]])
    lower, upper = np.full(2, -np.inf), np.full(2, np.inf)
    found = minimise_many(problems, start=start, rows=np.arange(3), lower=lower, upper=upper, free=np.ones(2, bool))
    assert found.converged.all()
    np.testing.assert_allclose(found.theta, 1.0, atol=1e-5)
    held = minimise_many(
        problems, start=start, rows=np.arange(3), lower=lower, upper=upper, free=np.array([False, True])
    )
    np.testing.assert_array_equal(held.theta[:, 0], start[:, 0])
    np.testing.assert_allclose(held.theta[:, 1], start[:, 0] ** 2, atol=1e-9)


def test_what_does_not_converge_is_said_so() -> None:
    """One start is undefined, one function has no minimum."""
    flat = Quadratics(np.zeros((1, 3)), np.diag([1.0, 1.0, 0.0])[None])
    far = np.full(3, np.inf)
    found = minimise_many(flat, start=np.ones((1, 3)), rows=np.zeros(1, dtype=int), lower=-far, upper=far, free=FREE)
    assert not found.converged.any()
    start = np.array([[-3.0, 1.0], [0.5, 0.5]])
    found = minimise_many(
        Valleys(np.ones(2)), start=start, rows=np.arange(2), lower=-far[:2], upper=far[:2], free=np.ones(2, bool)
    )
    np.testing.assert_array_equal(found.converged, [False, True])


def test_points_of_one_data_set_agree_with_single_fits() -> None:
    likelihood = Likelihood(read_workspace(synthetic_workspace(seed=2)))
    values = np.array([0.0, 1.0, 3.0])
    start = np.tile(likelihood.initial, (3, 1))
    start[:, likelihood.index("mu")] = values
    found = fit_many(LikelihoodBatch(likelihood), start=start, rows=np.zeros(3, dtype=int), fixed=("mu",))
    from evercast.inference.fit import fit  # noqa: PLC0415 - beside its only use

    for row, value in enumerate(values):
        assert found.twice_nll[row] == pytest.approx(fit(likelihood, fixed={"mu": value}).twice_nll, abs=1e-8)
    assert not found.failed.any()
