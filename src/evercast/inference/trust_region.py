"""Steps of a trust region in a box, from the exact gradient and Hessian.

Source: Nocedal and Wright, Numerical Optimization, algorithms 4.1 and 4.3, with the eigenvalue form of the subproblem.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg.lapack import dpocon, dpotrf, dpotri, dpotrs, dtrtrs

from evercast.likelihood.evaluate import Expansion

__all__ = ["bounded_step", "inverse", "inverse_scale", "new_radius", "newton_step", "trust_region_step"]

Point = Float[np.ndarray, " parameters"]
Mask = Bool[np.ndarray, " parameters"]


_MAX_DAMPINGS = 10
_CLEAR = 1e3
"""An estimate of the smallest eigenvalue this many times above the floor needs no second look."""
_LENGTH_TOLERANCE = 1.05
"""A step a little longer than the radius is shortened to it: the radius is a guess itself."""


def inverse_scale(current: Expansion, theta: Point, lower: Point, upper: Point) -> Point:
    """Return 1 / scale: the root of the curvature; where it vanishes, from the size of the parameter or the box."""
    span = np.where(np.isfinite(upper - lower), upper - lower, np.maximum(1.0, np.abs(theta)))
    return np.asarray(np.maximum(np.sqrt(np.abs(np.diag(current.hessian))), 1e-3 / span))


def new_radius(radius: float, ratio: float, length: float) -> float:
    """Return the radius after a step of scaled `length` that gained `ratio` of what the model predicted."""
    if ratio < 0.25:
        return 0.25 * min(radius, length)
    if ratio > 0.75 and length > 0.8 * radius:
        return 2.5 * radius
    return radius


def bounded_step(
    theta: Point, current: Expansion, lower: Point, upper: Point, working: Mask, radius: float
) -> tuple[Point, float]:
    """Return a step that stays in the box, and the reduction of -2 ln L that the quadratic model predicts for it."""
    gradient, hessian = current.gradient, current.hessian
    scale = 1.0 / inverse_scale(current, theta, lower, upper)
    step = np.zeros_like(theta)
    moving = working.copy()
    for _ in range(int(working.sum()) + 1):
        slope = gradient + hessian[:, ~moving & working] @ step[~moving & working]
        size = scale[moving]
        inner = trust_region_step(slope[moving] * size, hessian[np.ix_(moving, moving)] * np.outer(size, size), radius)
        step[moving] = inner * size
        outside = moving & ((theta + step < lower) | (theta + step > upper))
        if not outside.any():
            break
        step[outside] = np.clip(theta + step, lower, upper)[outside] - theta[outside]
        moving &= ~outside
        if not moving.any():
            break
    predicted = -(
        gradient[working] @ step[working] + 0.5 * step[working] @ hessian[np.ix_(working, working)] @ step[working]
    )
    if predicted > 0 and np.array_equal(moving, working):
        return step, float(predicted)
    other, gain = _cauchy_step(theta, current, lower, upper, working, radius, scale)  # what was cut at bounds may stall
    return (step, float(predicted)) if predicted > gain else (other, gain)


def _cauchy_step(
    theta: Point, current: Expansion, lower: Point, upper: Point, working: Mask, radius: float, scale: Point
) -> tuple[Point, float]:
    """Return the projected step along the scaled gradient, halved until the model predicts a reduction."""
    slope = np.where(working, current.gradient, 0.0)
    direction = -slope * scale**2
    direction *= radius / max(float(np.linalg.norm(direction / scale)), 1e-300)
    for _ in range(60):
        step = np.where(working, np.clip(theta + direction, lower, upper) - theta, 0.0)
        predicted = -float(slope @ step + 0.5 * step @ current.hessian @ step)
        if predicted > 0:
            return step, predicted
        direction = direction / 2
    return np.zeros_like(theta), 0.0


def newton_step(
    gradient: Float[np.ndarray, " n"], hessian: Float[np.ndarray, "n n"], *, floor: float
) -> Float[np.ndarray, " n"] | None:
    """Return -H^-1 g, by Cholesky; None where the Hessian has an eigenvalue that is not above `floor`."""
    if not len(gradient):
        return np.zeros(0)
    factor = _factor(hessian, floor)
    return None if factor is None else np.asarray(-dpotrs(factor, gradient, lower=1)[0])


def _factor(hessian: Float[np.ndarray, "n n"], floor: float) -> Float[np.ndarray, "n n"] | None:
    """Return the Cholesky factor of a matrix whose eigenvalues are all above `floor`; None where one is not.

    The smallest eigenvalue is at least 1 / |H^-1|_1, which LAPACK estimates from the factor (dpocon), too large by
    small factors at most: far above the floor that decides; next to it the matrix less the floor is factored as well.
    """
    factor, failed = dpotrf(hessian.T, lower=1, clean=0)  # symmetric: the transpose is in the order of LAPACK
    if failed or not math.isfinite(float(factor.trace())):
        return None
    if float(dpocon(factor, 1.0, uplo="L")[0]) > _CLEAR * floor:  # with a norm of 1 it gives 1 / |H^-1|_1
        return np.asarray(factor)
    return None if dpotrf(hessian.T - floor * np.eye(len(hessian)), lower=1)[1] else np.asarray(factor)


def inverse(matrix: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """Return the inverse of a symmetric matrix, by Cholesky where it is positive definite."""
    factor, failed = dpotrf(matrix.T, lower=1, clean=0)
    if failed:
        return np.asarray(np.linalg.inv(matrix))
    lower = np.tril(dpotri(factor, lower=1)[0])
    return np.asarray(lower + np.tril(lower, -1).T)


def _damped_step(
    gradient: Float[np.ndarray, " n"], hessian: Float[np.ndarray, "n n"], radius: float
) -> Float[np.ndarray, " n"]:
    """Return the step of length `radius` of a positive definite model, by Newton's method for the damping.

    Source: Nocedal and Wright, algorithm 4.3; the damping grows to its value from below.
    """
    damping, step = 0.0, np.zeros_like(gradient)
    for _ in range(_MAX_DAMPINGS):
        factor, _ = dpotrf(hessian + damping * np.eye(len(gradient)), lower=1, clean=1)
        step = -np.asarray(dpotrs(factor, gradient, lower=1)[0])
        length = float(np.linalg.norm(step))
        if length <= _LENGTH_TOLERANCE * radius:
            break
        turned = np.asarray(dtrtrs(factor, step, lower=1)[0])
        damping += (length / float(np.linalg.norm(turned))) ** 2 * (length - radius) / radius
    return step * min(1.0, radius / max(float(np.linalg.norm(step)), 1e-300))


def trust_region_step(
    gradient: Float[np.ndarray, " n"], hessian: Float[np.ndarray, "n n"], radius: float
) -> Float[np.ndarray, " n"]:
    """Return the step of at most `radius` that minimises the quadratic model."""
    newton = newton_step(gradient, hessian, floor=1e-14 * max(1.0, float(np.abs(np.diag(hessian)).max(initial=0.0))))
    if newton is not None:
        return newton if np.linalg.norm(newton) <= radius else _damped_step(gradient, hessian, radius)
    values, vectors = np.linalg.eigh(hessian)
    slope = vectors.T @ gradient
    floor = 1e-14 * max(1.0, float(np.abs(values).max()))
    low = max(0.0, -float(values[0])) + floor
    if np.linalg.norm(slope / (values + low)) < radius:  # the hard case: complete along the lowest curvature
        step = -slope / (values + low)
        step[0] += np.copysign(np.sqrt(max(radius**2 - float(step @ step), 0.0)), -slope[0])
        return np.asarray(vectors @ step)
    high = low + float(np.linalg.norm(slope)) / radius + float(np.abs(values).max())
    for _ in range(60):
        middle = 0.5 * (low + high)
        if np.linalg.norm(slope / (values + middle)) > radius:
            low = middle
        else:
            high = middle
    return np.asarray(vectors @ (-slope / (values + high)))
