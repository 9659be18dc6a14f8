"""The gradient of -2 ln L against finite differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from evercast.likelihood.evaluate import Likelihood

__all__ = ["GradientPoint", "gradient_check", "scattered_points"]

MOST_DIRECTIONS: Final = 40
"""Up to here every parameter is a direction; beyond, as many random directions are taken."""
_STEP: Final = 1e-3
"""In units of the curvature scale: differences of fourth order then err by about 1e-12, rounding of 2NLL by 1e-13 of it
divided by the step."""
_INSIDE: Final = 0.1
"""Least distance to a bound in units of the curvature scale: for sqrt(mu) the differences then err by about 1e-8."""

Point = Float[np.ndarray, " parameters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientPoint:
    """The comparison at one point.

    Args:
        difference: largest |gradient - finite difference| over the directions, in units of the curvature scale, divided
            by the size of the derivative there or 1, whichever is larger.
        direction: the parameter, or the number of the random direction, where it is found.
        directions: how many were compared; 0 where the point is not inside of the domain.
    """

    difference: float
    direction: str
    directions: int


def gradient_check(likelihood: Likelihood, theta: Point, *, scale: Point, seed: int = 1) -> GradientPoint:
    """Return the gradient at `theta` against differences of fourth order.

    Args:
        likelihood: compiled.
        theta: (parameters,).
        scale: (parameters,) a length along each parameter over which -2 ln L changes by about 1; 0 for those held.
        seed: of the random directions.
    """
    theta = _off_kinks(likelihood, _off_bounds(likelihood, theta, scale), scale)
    gradient = likelihood.gradient(theta)
    worst = GradientPoint(difference=0.0, direction="", directions=0)
    count = 0
    for name, direction in _directions(likelihood, scale, seed):
        steps = [theta + factor * _STEP * direction for factor in (-2.0, -1.0, 1.0, 2.0)]
        if any(np.any((step < likelihood.lower) | (step > likelihood.upper)) for step in steps):
            continue
        values = [likelihood.twice_nll(step) for step in steps]
        if not np.all(np.isfinite(values)):
            continue
        count += 1
        numeric = (values[0] - 8.0 * values[1] + 8.0 * values[2] - values[3]) / (12.0 * _STEP)
        exact = float(gradient @ direction)
        difference = abs(exact - numeric) / max(1.0, abs(exact))
        if not difference <= worst.difference or not worst.directions:
            worst = GradientPoint(difference=difference, direction=name, directions=count)
    return GradientPoint(difference=worst.difference, direction=worst.direction, directions=count)


def _off_bounds(likelihood: Likelihood, theta: Point, scale: Point) -> Point:
    """Return the point with some distance to every bound: at mu = 0 the derivatives of sqrt(mu) are not finite."""
    low, high = likelihood.lower + _INSIDE * scale, likelihood.upper - _INSIDE * scale
    inside: Point = np.where((low < high) & ~likelihood.fixed, np.clip(theta, low, np.maximum(low, high)), theta)
    return inside


def _off_kinks(likelihood: Likelihood, theta: Point, scale: Point) -> Point:
    """Return the point four steps away from zeros: codes 0 and 1 and log-linear morphs have a kink there."""
    near = (np.abs(theta) < 2.0 * _STEP * scale) & ~likelihood.fixed
    moved: Point = np.where(near, np.clip(4.0 * _STEP * scale, likelihood.lower, likelihood.upper), theta)
    return moved


def _directions(likelihood: Likelihood, scale: Point, seed: int) -> list[tuple[str, Point]]:
    free = np.flatnonzero(~likelihood.fixed & (scale > 0))
    if len(free) <= MOST_DIRECTIONS:
        return [(likelihood.names[i], np.where(np.arange(len(scale)) == i, scale, 0.0)) for i in free]
    rng = np.random.default_rng(seed)
    mask = ~likelihood.fixed & (scale > 0)
    drawn = rng.standard_normal((MOST_DIRECTIONS, len(scale))) * mask
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return [(f"direction {number}", row * scale) for number, row in enumerate(drawn)]


def scattered_points(likelihood: Likelihood, theta: Point, *, scale: Point, count: int, seed: int) -> list[Point]:
    """Return random points around `theta`, within the bounds and where -2 ln L is finite; perhaps fewer than `count`.

    Args:
        likelihood: compiled.
        theta: (parameters,) the centre.
        scale: (parameters,) standard deviations of the steps; halved where a point is outside of the domain.
        count: how many.
        seed: of the points.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        step = rng.standard_normal(len(theta)) * scale * ~likelihood.fixed
        for _ in range(6):
            point = np.clip(theta + step, likelihood.lower, likelihood.upper)
            if np.isfinite(likelihood.twice_nll(point)):
                found.append(point)
                break
            step = step / 2.0
    return found
