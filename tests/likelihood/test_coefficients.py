"""Coefficient formulas in JAX and in plain Python."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evercast.errors import InvalidInput, NumericalFailure
from evercast.likelihood.coefficients import coefficient_value, evaluate_coefficient, is_linear, read_coefficient
from evercast.spec.expressions import parse_coefficient

FORMULAS = {
    "mu - sqrt(mu)": lambda mu, _: mu - np.sqrt(mu),
    "1 - sqrt(mu)": lambda mu, _: 1 - np.sqrt(mu),
    "-c**2 * mu / (1 + exp(-c))": lambda mu, c: -(c**2) * mu / (1 + np.exp(-c)),
    "max(mu, c, 0.5) - min(mu, c)": lambda mu, c: max(mu, c, 0.5) - min(mu, c),
    "tanh(c) + cos(mu) * sin(c) + abs(-c) + log(mu + 2) - mu**-2": lambda mu, c: (
        np.tanh(c) + np.cos(mu) * np.sin(c) + abs(c) + np.log(mu + 2) - mu**-2.0
    ),
}


@given(mu=st.floats(0.01, 10), c=st.floats(-3, 3))
@settings(max_examples=25, deadline=None)
@pytest.mark.parametrize("formula", FORMULAS)
def test_both_forms_agree_with_python(formula: str, mu: float, c: float) -> None:
    node = parse_coefficient(formula)
    expected = FORMULAS[formula](mu, c)
    assert evaluate_coefficient(node, {"mu": mu, "c": c}) == pytest.approx(expected, rel=1e-13, abs=1e-13)
    with jax.enable_x64(new_val=True):
        traced = coefficient_value(node, {"mu": jnp.asarray(mu), "c": jnp.asarray(c)})
        assert float(traced) == pytest.approx(expected, rel=1e-13, abs=1e-13)


def test_the_derivative_of_a_root_is_finite_at_zero_and_right_beside_it() -> None:
    node = parse_coefficient("sqrt(mu)")

    def value(mu: jax.Array) -> jax.Array:
        return coefficient_value(node, {"mu": mu})

    with jax.enable_x64(new_val=True):
        first, second = jax.grad(value), jax.grad(jax.grad(value))
        assert np.isfinite(float(first(jnp.asarray(0.0))))
        assert np.isfinite(float(second(jnp.asarray(0.0))))
        assert float(first(jnp.asarray(0.25))) == pytest.approx(1.0, rel=1e-14)
        assert float(second(jnp.asarray(0.25))) == pytest.approx(-2.0, rel=1e-14)


@pytest.mark.parametrize(
    ("formula", "values", "part"),
    [
        ("1 - sqrt(mu)", {"mu": -0.25}, "mu = -0.25"),
        ("1 / (mu - 1)", {"mu": 1.0}, "division by zero"),
        ("log(c) * mu", {"mu": 1.0, "c": 0.0}, "c = 0, mu = 1"),
        ("exp(c)", {"c": 1e4}, "c = 10000"),
    ],
)
def test_an_undefined_coefficient_is_named_with_the_point(formula: str, values: dict[str, float], part: str) -> None:
    with pytest.raises(NumericalFailure, match="is undefined at") as failure:
        evaluate_coefficient(parse_coefficient(formula), values)
    assert part in failure.value.message
    assert failure.value.code == "likelihood.undefined-coefficient"


def test_a_name_that_is_no_parameter_is_refused() -> None:
    with pytest.raises(InvalidInput, match="uses 'mu_s'; parameters: alpha, mu"):
        read_coefficient("mu_s + 1", parameters=frozenset({"mu", "alpha"}), where="SR")


@pytest.mark.parametrize(
    ("formula", "linear"),
    [
        ("1", True),
        ("2*mu - alpha/3 + sqrt(2)", True),
        ("mu*alpha", False),
        ("sqrt(mu)", False),
        ("1/mu", False),
        ("mu**2", False),
    ],
)
def test_linearity_is_read_off_the_form(formula: str, linear: bool) -> None:
    assert is_linear(parse_coefficient(formula)) is linear
