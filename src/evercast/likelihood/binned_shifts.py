"""What shifts the templates of binned channels, with first and second derivatives, in numpy.

Interpolation codes as in `evercast.likelihood.interpolation` (CERN-OPEN-2012-016; code 4p: pyhf).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

__all__ = ["ShiftValues", "Shifts"]

Points = Float[np.ndarray, "points columns"]
Entries = Float[np.ndarray, "points entries"]


class ShiftValues(NamedTuple):
    """Weights of the differences up - nominal and nominal - down, with two derivatives; (points, shifts) each."""

    up: Entries
    down: Entries
    up_first: Entries
    down_first: Entries
    up_second: Entries
    down_second: Entries


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shifts:
    """Parameters that shift templates (histosys), with their interpolation codes.

    Args:
        column: (shifts,) own positions.
        code: per shift ``0``, ``2`` or ``4p``.
        unique: no parameter stands twice.
    """

    column: Int[np.ndarray, " shifts"]
    code: tuple[str, ...]
    unique: bool

    def evaluate(self, theta: Points) -> ShiftValues:
        """Return the weights: every code is linear in the two differences."""
        alpha = theta[:, self.column]
        found = [_WEIGHTS[code](alpha) for code in dict.fromkeys(self.code)]
        result = found[0] if found else ShiftValues(*(np.zeros_like(alpha) for _ in range(6)))
        for code, values in zip(list(dict.fromkeys(self.code))[1:], found[1:], strict=True):
            chosen = np.array([entry == code for entry in self.code])
            result = ShiftValues(*(np.where(chosen, new, old) for new, old in zip(values, result, strict=True)))
        return result


def _linear(alpha: Entries) -> ShiftValues:
    above = (alpha > 0).astype(float)
    zero = np.zeros_like(alpha)
    return ShiftValues(above * alpha, (1 - above) * alpha, above, 1 - above, zero, zero)


def _quadratic(alpha: Entries) -> ShiftValues:
    """Code 2: a parabola within one standard deviation, straight lines outside."""
    inside, sign = np.abs(alpha) <= 1.0, np.sign(alpha)
    beyond = np.where(inside, 0.0, alpha - sign)  # the parabola at +-1, and its tangent from there
    x = np.where(inside, alpha, sign)
    curvature = np.where(inside, 1.0, 0.0)
    up_first, down_first = 0.5 + x, 0.5 - x
    up, down = 0.5 * (x + x**2) + up_first * beyond, 0.5 * (x - x**2) + down_first * beyond
    return ShiftValues(up, down, up_first, down_first, curvature, -curvature)


def _polynomial_linear(alpha: Entries) -> ShiftValues:
    """Code 4p: a sixth-order polynomial within one standard deviation, straight lines outside."""
    square = alpha**2
    even = square * (15.0 + square * (3.0 * square - 10.0)) / 16.0
    even_first = alpha * (30.0 + square * (18.0 * square - 40.0)) / 16.0
    even_second = (30.0 + square * (90.0 * square - 120.0)) / 16.0
    inside = np.abs(alpha) < 1.0
    above = (alpha > 0).astype(float)
    half = 0.5 * alpha
    return ShiftValues(
        np.where(inside, half + even, above * alpha),
        np.where(inside, half - even, (1 - above) * alpha),
        np.where(inside, 0.5 + even_first, above),
        np.where(inside, 0.5 - even_first, 1 - above),
        np.where(inside, even_second, 0.0),
        np.where(inside, -even_second, 0.0),
    )


_WEIGHTS = {"0": _linear, "2": _quadratic, "4p": _polynomial_linear}
