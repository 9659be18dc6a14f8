"""Condition numbers and dependences in plain Python agree with those of numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evercast.likelihood.coefficients import evaluate_coefficient
from evercast.likelihood.morphing_basis import LARGEST_CONDITION as BUILT
from evercast.spec.evaluation import value_of
from evercast.spec.expressions import parse, parse_coefficient
from evercast.spec.matrices import LARGEST_CONDITION, dependence


def _equilibrated(matrix: np.ndarray) -> np.ndarray:
    for _ in range(20):
        matrix = matrix / np.linalg.norm(matrix, axis=0, keepdims=True)
        matrix = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    return matrix


@pytest.mark.parametrize("size", [1, 2, 3, 6, 15])
def test_the_condition_number_is_that_of_the_equilibrated_matrix(size: int) -> None:
    rng = np.random.default_rng(size)
    for _ in range(5):
        matrix = rng.normal(size=(size, size)) * 10 ** rng.uniform(-3, 3, size=(size, 1))
        expected = np.linalg.cond(_equilibrated(matrix))
        # both lose about condition x 1e-16 to rounding, at most 1e-10 here
        assert dependence(matrix.tolist()).condition == pytest.approx(expected, rel=1e-8)


def test_units_do_not_matter() -> None:
    matrix = np.array([[1.0, 2.0], [3.0, 4.0]])
    scaled = matrix * np.array([[1.0], [1e6]]) * np.array([1e-9, 1.0])
    found = dependence(scaled.tolist()).condition
    assert found == pytest.approx(dependence(matrix.tolist()).condition, rel=1e-9)


def test_equal_points_are_named() -> None:
    found = dependence([[1, 0, 0], [1, 1, 1], [1, 1, 1]])
    assert (found.condition, found.rows, found.columns) == (math.inf, (1, 2), (1, 2))


def test_features_in_proportion_are_named() -> None:
    found = dependence([[1, 0, 0], [1, 1, 2], [1, 4, 8]])
    assert (found.condition, found.columns) == (math.inf, (1, 2))


def test_a_matrix_of_zeros_is_singular() -> None:
    assert dependence([[0.0, 0.0], [0.0, 0.0]]).condition == math.inf


def test_a_document_is_refused_where_its_likelihood_would_be() -> None:
    assert LARGEST_CONDITION == BUILT


@pytest.mark.parametrize(
    "text", ["mu - sqrt(mu)", "exp(-mu) / (1 + k**2)", "min(mu, k, 2) + max(mu, 3)", "-abs(-k) * 2"]
)
def test_a_coefficient_has_the_value_that_the_likelihood_gives_it(text: str) -> None:
    values = {"mu": 2.5, "k": -1.25}
    assert value_of(parse_coefficient(text), values) == evaluate_coefficient(parse_coefficient(text), values)


@pytest.mark.parametrize("text", ["sqrt(k)", "1 / (k + 1.25)", "log(0 * mu)", "exp(1000 * mu)", "other + 1", "mu > 1"])
def test_what_has_no_value_is_none(text: str) -> None:
    assert value_of(parse(text), {"mu": 2.5, "k": -1.25}) is None
