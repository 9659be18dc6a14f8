"""Many minimisations in lockstep: the trust region of `evercast.inference.minimise`, one linear algebra call for all.

It is meant for pseudo-experiments and grids. What does not converge is said so, and left to the single minimiser.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from evercast.inference.trust_region import newton_step, trust_region_step
from evercast.likelihood.terms import Expansions

__all__ = ["ManyObjectives", "Minima", "minimise_many"]

Points = Float[np.ndarray, "points parameters"]
Masks = Bool[np.ndarray, "points parameters"]
Values = Float[np.ndarray, " points"]

_MAX_STEPS = 25
_TOLERANCE = 1e-12
_ROUNDING = 1e-13
_FLOOR = 1e-12
_FIRST_STEP = 1e-3
_MAX_HALVINGS = 40


@runtime_checkable
class ManyObjectives(Protocol):
    """Functions with exact derivatives, evaluated at many points at once."""

    def expand(self, theta: Points, rows: Int[np.ndarray, " points"]) -> Expansions:
        """Return value, gradient and Hessian at each point, of the function `rows` of it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Minima:
    """Where the minimisations ended.

    Args:
        theta: (points, parameters).
        value: (points,) -2 ln L.
        hessian: (points, parameters, parameters).
        converged: (points,) the estimated distance to a minimum with positive definite Hessian is below 1e-5 or less.
        at_bound: (points, parameters) free and at a bound.
    """

    theta: Points
    value: Values
    hessian: Float[np.ndarray, "points parameters parameters"]
    converged: Bool[np.ndarray, " points"]
    at_bound: Masks


class _Model(NamedTuple):
    """Quadratic models in scaled coordinates; parameters that do not work have unit curvature and no slope.

    The Newton step is NaN and the distance to the minimum infinite where the Hessian is not positive definite.
    """

    scale: Points
    working: Masks
    slope: Points
    hessian: Float[np.ndarray, "points parameters parameters"]
    newton: Points
    distance: Values


def minimise_many(
    objective: ManyObjectives,
    *,
    start: Points,
    rows: Int[np.ndarray, " points"],
    lower: Float[np.ndarray, " parameters"],
    upper: Float[np.ndarray, " parameters"],
    free: Bool[np.ndarray, " parameters"],
) -> Minima:
    """Return local minima in the box, each from its own start.

    Args:
        objective: the functions.
        start: (points, parameters); free parameters are clipped to the box.
        rows: (points,) which function each minimises.
        lower: (parameters,) may be -infinity.
        upper: (parameters,) may be infinity.
        free: (parameters,) those that are varied.
    """
    theta = np.where(free, np.clip(start, lower, upper), start)
    value, gradient, hessian = (entry.copy() for entry in objective.expand(theta, rows))
    converged = np.zeros(len(theta), dtype=bool)
    radius = np.full(len(theta), max(2.0, float(np.sqrt(free.sum()))))
    active = np.flatnonzero(np.isfinite(value))
    for _ in range(_MAX_STEPS):
        active = active[_is_finite(gradient[active], hessian[active], free)]
        if not active.size:
            break
        at, slope, curvature = theta[active], gradient[active], hessian[active]
        model = _model(at, slope, curvature, lower, upper, free)
        noise = _ROUNDING * np.maximum(1.0, np.abs(value[active]))
        distance = model.distance
        step = _bounded(model, at, slope, curvature, lower, upper, radius[active])
        step, predicted = _or_cauchy(model, at, slope, curvature, lower, upper, radius[active], step)
        converged[active] = (distance < _TOLERANCE) | (
            (predicted <= noise) & (distance < 100 * np.maximum(noise, _TOLERANCE))
        )
        going = ~converged[active] & (predicted > noise)
        active, step, predicted, noise = (entry[going] for entry in (active, step, predicted, noise))
        if not active.size:
            break
        moved = theta[active] + step
        moved = np.where(free, np.clip(moved, lower, upper), moved)
        trial = objective.expand(moved, rows[active])
        gain = np.where(np.isfinite(trial.value), value[active] - trial.value, -np.inf)
        length = np.linalg.norm(step / model.scale[going], axis=1)
        radius[active] = _new_radius(radius[active], gain / predicted, length)
        accepted = (gain > 1e-4 * predicted) | ((predicted < 100 * noise) & (gain > -100 * noise))
        chosen = active[accepted]
        theta[chosen], value[chosen] = moved[accepted], trial.value[accepted]
        gradient[chosen], hessian[chosen] = trial.gradient[accepted], trial.hessian[accepted]
        active = active[radius[active] > 1e-12]
    found = Expansions(value, gradient, hessian)
    _polish(objective, theta, found, rows, np.flatnonzero(converged), lower, upper, free)
    at_bound = free & ((theta <= lower) | (theta >= upper))
    return Minima(theta=theta, value=value, hessian=hessian, converged=converged, at_bound=at_bound)


def _polish(
    objective: ManyObjectives,
    theta: Points,
    found: Expansions,
    rows: Int[np.ndarray, " points"],
    converged: Int[np.ndarray, " chosen"],
    lower: np.ndarray,
    upper: np.ndarray,
    free: np.ndarray,
) -> None:
    """Take, in place, a last step where the value stopped at its rounding and the gradient still sees a way."""
    model = _model(theta[converged], found.gradient[converged], found.hessian[converged], lower, upper, free)
    short = converged[model.distance >= _TOLERANCE]
    if not short.size:
        return
    at, slope, curvature = theta[short], found.gradient[short], found.hessian[short]
    model = _model(at, slope, curvature, lower, upper, free)
    step = _bounded(model, at, slope, curvature, lower, upper, np.ones(len(short)))
    moved = at + np.where(free, np.clip(at + step, lower, upper) - at, 0.0)
    trial = objective.expand(moved, rows[short])
    usable = np.isfinite(trial.value) & _is_finite(trial.gradient, trial.hessian, free)
    tried = np.flatnonzero(usable)
    after = _model(moved[tried], trial.gradient[tried], trial.hessian[tried], lower, upper, free)
    better = tried[after.distance < model.distance[tried]]
    chosen = short[better]
    theta[chosen], found.value[chosen] = moved[better], trial.value[better]
    found.gradient[chosen], found.hessian[chosen] = trial.gradient[better], trial.hessian[better]


def _is_finite(
    gradient: Points, hessian: Float[np.ndarray, "points parameters parameters"], free: np.ndarray
) -> Bool[np.ndarray, " points"]:
    block = hessian[:, free][:, :, free]
    return np.asarray(np.isfinite(gradient[:, free]).all(axis=1) & np.isfinite(block).all(axis=(1, 2)))


def _model(
    theta: Points, gradient: Points, hessian: np.ndarray, lower: np.ndarray, upper: np.ndarray, free: np.ndarray
) -> _Model:
    held = ((theta <= lower) & (gradient >= 0)) | ((theta >= upper) & (gradient <= 0))
    span = np.where(np.isfinite(upper - lower), upper - lower, np.maximum(1.0, np.abs(theta)))
    curvature = np.abs(np.diagonal(hessian, axis1=1, axis2=2))
    scale = 1.0 / np.maximum(np.sqrt(np.where(free, curvature, 1.0)), _FIRST_STEP / span)
    return _scaled(gradient, hessian, scale, free & ~held)


def _scaled(gradient: Points, hessian: np.ndarray, scale: Points, working: Masks) -> _Model:
    pairs = working[:, :, None] & working[:, None, :]
    scaled = np.where(pairs, hessian * scale[:, :, None] * scale[:, None, :], np.eye(scale.shape[1]))
    slope = np.where(working, gradient * scale, 0.0)
    newton = np.full_like(slope, np.nan)
    for point, (one, curvature) in enumerate(zip(slope, scaled, strict=True)):
        step = newton_step(one, curvature, floor=_FLOOR)
        newton[point] = np.nan if step is None else step
    distance = -0.5 * np.einsum("pi,pi->p", slope, newton)
    return _Model(scale, working, slope, scaled, newton, np.where(np.isnan(distance), np.inf, distance))


def _bounded(
    model: _Model,
    theta: Points,
    gradient: Points,
    hessian: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    radius: Values,
) -> Points:
    """Return steps that stay in the box: what would leave it goes to the bound, the rest is solved for again."""
    step = _step(model, radius)
    moving, slope = model.working, gradient
    for _ in range(theta.shape[1]):
        outside = moving & ((theta + step < lower) | (theta + step > upper))
        again = outside.any(axis=1)
        if not again.any():
            break
        held = np.where(model.working & (~moving | outside), np.clip(theta + step, lower, upper) - theta, 0.0)
        moving = moving & ~outside
        slope = gradient + np.einsum("pij,pj->pi", hessian, held)
        inner = _scaled(slope[again], hessian[again], model.scale[again], moving[again])
        step[again] = np.where(moving[again], _step(inner, radius[again]), held[again])
    return step


def _predicted(gradient: Points, hessian: np.ndarray, step: Points) -> Values:
    return np.asarray(-np.einsum("pi,pi->p", gradient, step) - 0.5 * np.einsum("pi,pij,pj->p", step, hessian, step))


def _or_cauchy(
    model: _Model,
    theta: Points,
    gradient: Points,
    hessian: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    radius: Values,
    step: Points,
) -> tuple[Points, Values]:
    """Return the steps with what they gain in the model; one that gains nothing goes along the projected gradient."""
    predicted = _predicted(gradient, hessian, step)
    poor = np.flatnonzero((predicted <= 0) & (model.distance > _TOLERANCE))
    slope = np.where(model.working[poor], gradient[poor], 0.0)
    direction = -slope * model.scale[poor] ** 2
    length = np.linalg.norm(direction / model.scale[poor], axis=1)
    direction *= (radius[poor] / np.maximum(length, 1e-300))[:, None]
    for _ in range(_MAX_HALVINGS if poor.size else 0):
        tried = np.where(model.working[poor], np.clip(theta[poor] + direction, lower, upper) - theta[poor], 0.0)
        gained = _predicted(slope, hessian[poor], tried)
        better = (gained > 0) & (predicted[poor] <= 0)
        step[poor[better]], predicted[poor[better]] = tried[better], gained[better]
        direction /= 2.0
    return step, predicted


def _step(model: _Model, radius: Values) -> Points:
    """Return the steps of at most `radius` that minimise the quadratic models: Newton steps where those are short."""
    step = model.newton.copy()
    for point in np.flatnonzero(~(np.linalg.norm(step, axis=1) <= radius)):
        step[point] = trust_region_step(model.slope[point], model.hessian[point], float(radius[point]))
    return np.where(model.working, step * model.scale, 0.0)


def _new_radius(radius: Values, ratio: Values, length: Values) -> Values:
    shrunk = 0.25 * np.minimum(radius, length)
    grown = np.where((ratio > 0.75) & (length > 0.8 * radius), 2.5 * radius, radius)
    return np.where(ratio < 0.25, shrunk, grown)
