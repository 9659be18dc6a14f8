"""Minimisation of -2 ln L: Newton steps in a trust region, in scaled coordinates, with bounds, with the exact Hessian.

Each coordinate is scaled by the curvature, so that a per-bin factor with a gradient of 1e5 and a signal strength with a
gradient of 1e-2 are alike. Bounds are an active set: a parameter at a bound whose slope pushes outward is held there.
The steps are those of `evercast.inference.trust_region`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from evercast.inference.lockstep import Objective, Request, Steps, run
from evercast.inference.trust_region import bounded_step, inverse_scale, new_radius, newton_step
from evercast.likelihood.evaluate import Expansion

__all__ = ["Minimum", "Objective", "minimise", "minimise_steps"]

Point = Float[np.ndarray, " parameters"]
Mask = Bool[np.ndarray, " parameters"]

_MAX_STEPS = 200
_TOLERANCE = 1e-12
"""Of the estimated distance to the minimum in -2 ln L: a millionth of a standard deviation."""
_ROUNDING = 1e-13
"""Relative accuracy of a sum of float64 terms."""
_SMALLEST_EIGENVALUE = 1e-12
"""Of the Hessian in scaled coordinates: below it there is no minimum, but a flat direction."""
_FAR = 1e30
_EDGE = 1e-3
"""Relative: a refused step no longer than this ended at the edge of where the objective is defined."""
_EDGE_ROUNDING = 1e-14
_WORTHWHILE = 0.01
"""In -2 ln L."""
_STEEP = 1e9
"""A slope times the span of the bounds above it is that of sqrt at 0: no local model describes it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Minimum:
    """Where a minimisation ended.

    Args:
        theta: (parameters,).
        expansion: value, gradient and Hessian there.
        working: (parameters,) free and not held at a bound.
        at_bound: (parameters,) free and held at a bound.
        at_kink: (parameters,) free and held where an interpolation has a kink (`evercast.inference.kinks`); None: none.
        distance: estimated -2 ln L above the minimum, g H^-1 g / 2; infinite without a positive definite Hessian.
        positive_definite: the Hessian of the working parameters is.
        n_evaluations: calls of the objective.
        reason: why it is not a minimum; None where it converged.
        beyond: (parameters,) the last step refused since the objective is not defined there, where it lies next to
            `theta` and there was no convergence: the objective falls up to the edge of where it is defined.
    """

    theta: Point
    expansion: Expansion
    working: Mask
    at_bound: Mask
    distance: float
    positive_definite: bool
    n_evaluations: int
    reason: str | None
    beyond: Point | None = None
    at_kink: Mask | None = None

    @property
    def value(self) -> float:
        """-2 ln L."""
        return self.expansion.value


def minimise(objective: Objective, *, start: Point, lower: Point, upper: Point, free: Mask) -> Minimum:
    """Return a local minimum in the box, from `start`.

    An objective with a fast form (`Likelihood.fast`) is minimised in that first, down to its rounding; the exact one
    follows from there, so that the minimum quoted is that of the exact one.

    Args:
        objective: value infinite where it is not defined; such steps are refused.
        start: (parameters,), clipped to the box.
        lower: (parameters,) may be -infinity.
        upper: (parameters,) may be infinity.
        free: (parameters,) those that are varied.
    """
    return run(minimise_steps(objective, start=start, lower=lower, upper=upper, free=free))


def minimise_steps(
    objective: Objective, *, start: Point, lower: Point, upper: Point, free: Mask, first: Expansion | None = None
) -> Steps[Minimum]:
    """Minimise as `minimise` does, asking for one expansion after the other.

    The expansion at `start` may be handed in as `first`, if `start` lies in the box.
    """
    fast = getattr(objective, "fast", objective)
    if fast is objective:
        return (yield from _minimise(objective, start, lower, upper, free, first))
    rough = yield from _minimise(fast, start, lower, upper, free)
    exact = yield from _minimise(objective, rough.theta if np.isfinite(rough.value) else start, lower, upper, free)
    return replace(exact, n_evaluations=rough.n_evaluations + exact.n_evaluations)


def _minimise(
    objective: Objective, start: Point, lower: Point, upper: Point, free: Mask, first: Expansion | None = None
) -> Steps[Minimum]:
    theta = np.where(free, np.clip(start, lower, upper), start)
    current = first if first is not None else (yield Request(objective, theta))
    absolute = getattr(objective, "rounding", 0.0)
    radius = max(2.0, float(np.sqrt(free.sum())))
    n_evaluations, reason = 1, f"no convergence in {_MAX_STEPS} steps"
    distance: float | None = None
    refused: Point | None = None
    for _ in range(_MAX_STEPS):
        if not np.isfinite(current.value):
            return _end((theta, current, None), lower, upper, free, n_evaluations, "-2 ln L is not finite at the start")
        if not _is_finite(current, free):
            return _end((theta, current, None), lower, upper, free, n_evaluations, "derivatives are not finite")
        theta, current, used = yield from _leave_steep_bound(objective, theta, current, lower, upper, free)
        n_evaluations += used
        working = free & ~_held(theta, current.gradient, lower, upper)
        distance, newton = _newton(current, working)
        if distance < _TOLERANCE:
            reason = ""
            break
        convex = current if np.isfinite(distance) else _convex(current, working)
        scale = inverse_scale(convex, theta, lower, upper)
        if newton is not None and _allowed(theta, newton, scale, lower, upper, radius):
            step, predicted = newton, distance
        else:
            step, predicted = bounded_step(theta, convex, lower, upper, working, radius)
        noise = max(_ROUNDING * max(1.0, abs(current.value)), absolute)
        if predicted <= noise:
            reason = "" if distance < 100 * max(noise, _TOLERANCE) else "no step lowers -2 ln L"
            last = newton if step is newton else None
            theta, current, distance, used = yield from _polished(objective, (theta, current, distance), last, noise)
            n_evaluations += used
            break
        moved = _in_box(theta + step, lower, upper, free)
        trial = yield Request(objective, moved)
        n_evaluations += 1
        gain = current.value - trial.value if np.isfinite(trial.value) else -np.inf
        refused = refused if np.isfinite(trial.value) else moved
        length = float(np.linalg.norm((step * scale)[working]))
        radius = new_radius(radius, gain / predicted, length)
        if gain > 1e-4 * predicted or (predicted < 100 * noise and gain > -100 * noise):
            theta, current, distance = moved, trial, None
        elif radius < 1e-12:
            reason = "the trust region shrank to nothing"
            break
        if np.max(np.abs(theta[free]), initial=0.0) > _FAR:
            reason = "-2 ln L falls without limit"
            break
    return _end((theta, current, distance), lower, upper, free, n_evaluations, reason or None, refused)


def _polished(
    objective: Objective, reached: tuple[Point, Expansion, float], newton: Point | None, noise: float
) -> Steps[tuple[Point, Expansion, float, int]]:
    """Return the point after a last Newton step (None: none is possible) if that ends nearer to the minimum.

    The value can no longer tell, since it would fall by less than its rounding; the gradient still can.
    """
    theta, current, distance = reached
    if newton is None:
        return theta, current, distance, 0
    working = newton != 0
    moved = theta + newton
    trial = yield Request(objective, moved)
    if not np.isfinite(trial.value) or trial.value > current.value + 100 * noise:
        return theta, current, distance, 1
    remaining = _newton(trial, working)[0]
    return (moved, trial, remaining, 1) if remaining < distance else (theta, current, distance, 1)


def _convex(current: Expansion, working: Mask) -> Expansion:
    """Return the point with the expected information for its Hessian, where that promises more than a small step.

    Next to a saddle point it does not: there the negative curvature of the Hessian is the way out.
    """
    if current.information is None:
        return current
    convex = current._replace(hessian=current.information())
    return convex if _WORTHWHILE < _newton(convex, working)[0] < np.inf else current


def _end(
    reached: tuple[Point, Expansion, float | None],
    lower: Point,
    upper: Point,
    free: Mask,
    n_evaluations: int,
    reason: str | None,
    refused: Point | None = None,
) -> Minimum:
    """Return where a minimisation ended, at a point whose distance to the minimum may be known."""
    theta, current, distance = reached
    held = free & _held(theta, current.gradient, lower, upper)
    working = free & ~held
    if not np.isfinite(current.value):
        distance = np.inf
    elif distance is None:
        distance = _newton(current, working)[0]
    return Minimum(
        theta=theta,
        expansion=current,
        working=working,
        at_bound=free & ((theta <= lower) | (theta >= upper)),
        distance=distance,
        positive_definite=bool(np.isfinite(distance)),
        n_evaluations=n_evaluations,
        reason=reason,
        beyond=refused if reason is not None and refused is not None and _close(refused, theta) else None,
    )


def _in_box(theta: Point, lower: Point, upper: Point, free: Mask) -> Point:
    """Return the point with what lies beyond a bound, or a rounding before it, at the bound."""
    edge = _EDGE_ROUNDING * np.maximum(1.0, np.abs(theta))
    moved = np.where(theta - lower <= edge, lower, np.where(upper - theta <= edge, upper, theta))
    return np.where(free, moved, theta)


def _close(one: Point, other: Point) -> bool:
    return bool(np.all(np.abs(one - other) <= _EDGE * np.maximum(1.0, np.abs(other))))


def _held(theta: Point, gradient: Point, lower: Point, upper: Point) -> Mask:
    return np.asarray(((theta <= lower) & (gradient >= 0)) | ((theta >= upper) & (gradient <= 0)))


def _is_finite(current: Expansion, free: Mask) -> bool:
    """Return whether the derivatives in the free parameters are finite."""
    if np.isfinite(current.hessian.sum()) and np.isfinite(current.gradient.sum()):
        return True
    return bool(np.isfinite(current.gradient[free]).all() and np.isfinite(current.hessian[np.ix_(free, free)]).all())


def _newton(current: Expansion, working: Mask) -> tuple[float, Point | None]:
    """Return the estimated distance to the minimum with the step there; infinite and None without a convex Hessian.

    In scaled coordinates; parameters that do not work have unit curvature and no slope there.
    """
    if not working.any():
        return 0.0, np.zeros_like(current.gradient)
    curvature = np.abs(np.diag(current.hessian))
    scale = np.where(working, 1.0 / np.sqrt(np.where(working & (curvature > 0), curvature, 1.0)), 0.0)
    if np.isfinite(current.gradient.sum()) and np.isfinite(current.hessian.sum()):
        gradient, hessian = current.gradient * scale, current.hessian * scale[:, None]
    else:
        gradient = scale * np.where(working, current.gradient, 0.0)
        hessian = scale[:, None] * np.where(working & working[:, None], current.hessian, 0.0)
    hessian *= scale
    if not working.all():
        hessian.ravel()[:: len(scale) + 1] += ~working
    inner = newton_step(gradient, hessian, floor=_SMALLEST_EIGENVALUE)
    if inner is None:
        return np.inf, None
    return float(-0.5 * gradient @ inner), scale * inner


def _allowed(theta: Point, step: Point, scale: Point, lower: Point, upper: Point, radius: float) -> bool:
    """Return whether a step stays in the box and within the radius."""
    moved = theta + step
    inside = np.all(((moved >= lower) & (moved <= upper)) | (step == 0.0))
    return bool(inside and np.linalg.norm(step * scale) <= radius)


def _leave_steep_bound(
    objective: Objective, theta: Point, current: Expansion, lower: Point, upper: Point, free: Mask
) -> Steps[tuple[Point, Expansion, int]]:
    """Step off a bound where the slope is that of sqrt(mu) at 0 and points inward; try points of a ladder."""
    on_bound = free & ((theta <= lower) | (theta >= upper)) & ~_held(theta, current.gradient, lower, upper)
    if not on_bound.any():
        return theta, current, 0
    span = np.where(np.isfinite(upper - lower), upper - lower, np.maximum(1.0, np.abs(theta)))
    steep = np.flatnonzero(on_bound & (np.abs(current.gradient) * span > _STEEP))
    used = 0
    for index in steep:
        sign = 1.0 if theta[index] <= lower[index] else -1.0
        for fraction in 10.0 ** np.arange(-8.0, 0.0):
            moved = theta.copy()
            moved[index] += sign * fraction * span[index]
            trial = yield Request(objective, moved)
            used += 1
            if trial.value < current.value:
                theta, current = moved, trial
            elif fraction > 1e-8:
                break
    return theta, current, used
