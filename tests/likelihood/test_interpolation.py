"""Interpolation codes against pyhf's reference implementations and their defining conditions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyhf.interpolators import code0, code1, code2, code4, code4p

from evercast.likelihood.interpolation import (
    FACTOR_CODES,
    SHIFT_CODES,
    exponential_factor,
    interpolated_factor,
    interpolated_shift,
    linear_factor,
    linear_shift,
    polynomial_exponential_factor,
    polynomial_linear_shift,
    quadratic_shift,
)

ALPHA = st.floats(-4.5, 4.5)
FACTOR = st.floats(0.2, 4.0)


@pytest.fixture(autouse=True)
def _double_precision():
    with jax.enable_x64(new_val=True):
        yield


def at(function, alpha, up, down) -> float:
    return float(function(jnp.asarray(alpha), jnp.asarray(up), jnp.asarray(down)))


def peer(code, alpha: float, down: float, nominal: float, up: float) -> float:
    return float(code([[[[down], [nominal], [up]]]])(np.array([[alpha]]))[0][0][0][0])


@given(alpha=ALPHA, up=FACTOR, down=FACTOR)
@settings(max_examples=60, deadline=None)
def test_factors_equal_those_of_pyhf(alpha: float, up: float, down: float) -> None:
    for ours, theirs in ((exponential_factor, code1), (polynomial_exponential_factor, code4)):
        assert at(ours, alpha, up, down) == pytest.approx(peer(theirs, alpha, down, 1.0, up), rel=1e-11, abs=1e-11)
    assert at(linear_factor, alpha, up, down) - 1 == pytest.approx(
        peer(code0, alpha, down, 1.0, up), rel=1e-12, abs=1e-12
    )


@given(alpha=ALPHA, up=FACTOR, down=FACTOR)
@settings(max_examples=60, deadline=None)
def test_shifts_equal_those_of_pyhf(alpha: float, up: float, down: float) -> None:
    for ours, theirs in ((linear_shift, code0), (polynomial_linear_shift, code4p)):
        assert at(ours, alpha, up - 1, 1 - down) == pytest.approx(
            peer(theirs, alpha, down, 1.0, up), rel=1e-12, abs=1e-12
        )
    inside = max(-1.0, min(alpha, 1.0))
    found, reference = at(quadratic_shift, inside, up - 1, 1 - down), peer(code2, inside, down, 1.0, up)
    assert found == pytest.approx(reference, rel=1e-12, abs=1e-12)


@given(up=FACTOR, down=FACTOR, beyond=st.floats(0.01, 4.0))
@settings(max_examples=40, deadline=None)
def test_code_2_goes_on_as_a_straight_line_where_pyhf_jumps(up: float, down: float, beyond: float) -> None:
    for side in (-1.0, 1.0):
        end, near, far = (at(quadratic_shift, side * (1 + d), up - 1, 1 - down) for d in (0.0, beyond / 2, beyond))
        assert end == pytest.approx(up - 1 if side > 0 else down - 1, abs=1e-13)
        assert far - end == pytest.approx(2 * (near - end), rel=1e-9, abs=1e-12)
        slope = at(quadratic_shift, side, up - 1, 1 - down) - at(quadratic_shift, side * (1 - 1e-6), up - 1, 1 - down)
        assert (far - end) / beyond == pytest.approx(slope * 1e6, rel=1e-4, abs=1e-4)


@given(up=FACTOR, down=FACTOR)
@settings(max_examples=40, deadline=None)
@pytest.mark.parametrize("function", [linear_factor, exponential_factor, polynomial_exponential_factor])
def test_factors_are_one_up_and_down_at_0_1_and_minus_1(function, up: float, down: float) -> None:
    assert at(function, 0.0, up, down) == pytest.approx(1.0, abs=1e-13)
    assert at(function, 1.0, up, down) == pytest.approx(up, rel=1e-12)
    assert at(function, -1.0, up, down) == pytest.approx(down, rel=1e-12)


@jax.jit
def value_slope_curvature(alpha, up, down):
    slope = jax.grad(polynomial_exponential_factor)
    return polynomial_exponential_factor(alpha, up, down), slope(alpha, up, down), jax.grad(slope)(alpha, up, down)


@given(up=FACTOR, down=FACTOR)
@settings(max_examples=20, deadline=None)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_code_4_is_smooth_to_second_order_at_its_joints(order: int, up: float, down: float) -> None:
    for joint in (-1.0, 1.0):
        below, above = (float(value_slope_curvature(joint + side, up, down)[order]) for side in (-1e-9, 1e-9))
        assert below == pytest.approx(above, rel=1e-6, abs=1e-6)  # the third derivative times the distance of 2e-9


def test_entries_with_different_codes_are_each_treated_by_their_own() -> None:
    up, down, alpha = jnp.full(3, 1.4), jnp.full(3, 0.8), jnp.full(3, 0.6)
    mixed = interpolated_factor(alpha, up, down, jnp.arange(3), codes=FACTOR_CODES)
    single = [at(f, 0.6, 1.4, 0.8) for f in (linear_factor, exponential_factor, polynomial_exponential_factor)]
    np.testing.assert_allclose(mixed, single, rtol=1e-14)
    shifts = interpolated_shift(alpha, up - 1, 1 - down, jnp.arange(3), codes=SHIFT_CODES)
    single = [at(f, 0.6, 0.4, 0.2) for f in (linear_shift, quadratic_shift, polynomial_linear_shift)]
    np.testing.assert_allclose(shifts, single, rtol=1e-13)
