"""Interpolation between variations of a nuisance parameter, HistFactory codes 0, 1, 2, 4 and 4p.

Factors (codes 0, 1, 4) multiply a yield, differences (codes 0, 2, 4p) are added to a template. All are elementwise and
broadcast. Sources: CERN-OPEN-2012-016 (codes 0, 1, 2, 4) and pyhf (code 4p).
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

__all__ = [
    "FACTOR_CODES",
    "SHIFT_CODES",
    "exponential_factor",
    "interpolated_factor",
    "interpolated_shift",
    "linear_factor",
    "linear_shift",
    "polynomial_exponential_factor",
    "polynomial_linear_shift",
    "quadratic_shift",
]

FACTOR_CODES = ("0", "1", "4")
SHIFT_CODES = ("0", "2", "4p")

Values = Float[Array, "..."]
Codes = Int[Array, "..."]


def linear_factor(alpha: Values, up: Values, down: Values) -> Values:
    """Code 0: 1 + alpha (up - 1) above 0, 1 + alpha (1 - down) below."""
    return 1.0 + jnp.where(alpha > 0, alpha * (up - 1.0), alpha * (1.0 - down))


def exponential_factor(alpha: Values, up: Values, down: Values) -> Values:
    """Code 1: up^alpha above 0, down^-alpha below; `up` and `down` positive."""
    return jnp.exp(jnp.where(alpha > 0, alpha * jnp.log(up), -alpha * jnp.log(down)))


def polynomial_exponential_factor(alpha: Values, up: Values, down: Values) -> Values:
    """Code 4: a sixth-order polynomial in |alpha| < 1 that joins up^alpha and down^-alpha with two derivatives.

    Args:
        alpha: the nuisance parameter in units of its width.
        up: positive factor at +1.
        down: positive factor at -1.

    Returns:
        The factor; 1 at alpha = 0, `up` at 1, `down` at -1.

    Example:
        >>> round(float(polynomial_exponential_factor(1.0, 1.2, 0.9)), 6)
        1.2
    """
    log_up, log_down = jnp.log(up), jnp.log(down)
    outside = jnp.exp(jnp.where(alpha > 0, alpha * log_up, -alpha * log_down))
    within = jnp.clip(alpha, -1.0, 1.0)
    inside = 1.0 + within * _polynomial(within, up, down, log_up, log_down)
    return jnp.where(jnp.abs(alpha) < 1.0, inside, outside)


def _polynomial(alpha: Values, up: Values, down: Values, log_up: Values, log_down: Values) -> Values:
    coefficients = _polynomial_coefficients(up, down, log_up, log_down)
    value = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        value = value * alpha + coefficient
    return value


def _polynomial_coefficients(up: Values, down: Values, log_up: Values, log_down: Values) -> tuple[Values, ...]:
    s0, a0 = (up + down) / 2, (up - down) / 2
    s1, a1 = (up * log_up - down * log_down) / 2, (up * log_up + down * log_down) / 2
    s2, a2 = (up * log_up**2 + down * log_down**2) / 2, (up * log_up**2 - down * log_down**2) / 2
    return (
        (15 * a0 - 7 * s1 + a2) / 8,
        (-24 + 24 * s0 - 9 * a1 + s2) / 8,
        (-5 * a0 + 5 * s1 - a2) / 4,
        (12 - 12 * s0 + 7 * a1 - s2) / 4,
        (3 * a0 - 3 * s1 + a2) / 8,
        (-8 + 8 * s0 - 5 * a1 + s2) / 8,
    )


def linear_shift(alpha: Values, up: Values, down: Values) -> Values:
    """Code 0: alpha x `up` above 0, alpha x `down` below.

    Args:
        alpha: the nuisance parameter in units of its width.
        up: variation at +1 minus nominal.
        down: nominal minus variation at -1.
    """
    return alpha * jnp.where(alpha > 0, up, down)


def quadratic_shift(alpha: Values, up: Values, down: Values) -> Values:
    """Code 2: a parabola in |alpha| <= 1, continued by its tangents.

    The tangents start where the parabola ends, as in ROOT; the formula printed in CERN-OPEN-2012-016, which pyhf
    follows, lacks the constant and jumps at +-1.
    """
    bend, slope = (up - down) / 2, (up + down) / 2
    above = slope + bend + (slope + 2 * bend) * (alpha - 1.0)
    below = bend - slope + (slope - 2 * bend) * (alpha + 1.0)
    within = bend * alpha**2 + slope * alpha
    return jnp.where(alpha > 1.0, above, jnp.where(alpha < -1.0, below, within))


def polynomial_linear_shift(alpha: Values, up: Values, down: Values) -> Values:
    """Code 4p: a sixth-order polynomial in |alpha| < 1 that joins straight lines with two derivatives."""
    mean, bend = (up + down) / 2, (up - down) / 16
    square = jnp.clip(alpha, -1.0, 1.0) ** 2
    within = alpha * mean + square * (15.0 + square * (-10.0 + 3.0 * square)) * bend
    return jnp.where(alpha > 1.0, alpha * up, jnp.where(alpha < -1.0, alpha * down, within))


def interpolated_factor(alpha: Values, up: Values, down: Values, code: Codes, *, codes: tuple[str, ...]) -> Values:
    """Return factors with a code per element.

    Args:
        alpha: the nuisance parameter in units of its width.
        up: factor at +1.
        down: factor at -1.
        code: index in `FACTOR_CODES` of each element.
        codes: the codes that occur; only these are computed.
    """
    functions = {"0": linear_factor, "1": exponential_factor, "4": polynomial_exponential_factor}
    result = jnp.ones_like(up)
    for name in codes:
        result = jnp.where(code == FACTOR_CODES.index(name), functions[name](alpha, up, down), result)
    return result


def interpolated_shift(alpha: Values, up: Values, down: Values, code: Codes, *, codes: tuple[str, ...]) -> Values:
    """Return differences to the template with a code per element; `code` is an index in `SHIFT_CODES`."""
    functions = {"0": linear_shift, "2": quadratic_shift, "4p": polynomial_linear_shift}
    result = jnp.zeros_like(up)
    for name in codes:
        result = jnp.where(code == SHIFT_CODES.index(name), functions[name](alpha, up, down), result)
    return result
