"""The fit guard: what every fit must show before a number of it leaves, and the second optimiser called on doubt."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from iminuit import Minuit
from jaxtyping import Bool, Float

from evercast.inference.minimise import Minimum, minimise
from evercast.likelihood.evaluate import Likelihood

__all__ = ["Guard", "inspect", "second_opinion", "tolerance"]

_MAX_DISTANCE = 1e-5
"""In -2 ln L: a hundredth of a standard deviation is 1e-4."""
_MIN_TOLERANCE = 1e-6
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What the guard found.

    Args:
        distance: estimated -2 ln L above the minimum.
        scaled_gradient: largest gradient component over the root of its curvature; 1 is about one standard deviation.
        positive_definite: the Hessian of the free parameters is.
        at_bound: parameters at a bound.
        second_optimiser: which one was asked, if any.
        second_gain: how much lower in -2 ln L its result lay; None where it was not asked.
        tolerance: differences in -2 ln L below it are rounding.
        n_evaluations: of -2 ln L with derivatives.
        reason: why the fit is not trusted; None where it is.
        at_kink: parameters held at 0, where the slope of their interpolation jumps (codes 0, 1, 2) and -2 ln L rises to
            both sides; they have no uncertainty from a Hessian.
    """

    distance: float
    scaled_gradient: float
    positive_definite: bool
    at_bound: tuple[str, ...]
    second_optimiser: str | None
    second_gain: float | None
    tolerance: float
    n_evaluations: int
    reason: str | None
    at_kink: tuple[str, ...] = ()


def tolerance(minimum: Minimum) -> float:
    """Return the difference in -2 ln L below which two values near this one are the same."""
    return max(_MIN_TOLERANCE, _ROUNDING * abs(minimum.value)) if np.isfinite(minimum.value) else _MIN_TOLERANCE


def inspect(minimum: Minimum, names: tuple[str, ...]) -> Guard:
    """Return the findings for a minimum."""
    working = minimum.working
    gradient, curvature = minimum.expansion.gradient[working], np.abs(np.diag(minimum.expansion.hessian)[working])
    scaled = np.abs(gradient) / np.sqrt(np.where(curvature > 0, curvature, 1.0))
    reason = None
    if not np.isfinite(minimum.value):
        reason = minimum.reason or "-2 ln L is not finite"
    elif not minimum.positive_definite:
        reason = f"the Hessian is not positive definite{_flattest(minimum, names)}"
    elif not minimum.distance < _MAX_DISTANCE:
        reason = f"{minimum.reason or 'no convergence'}; estimated distance to the minimum {minimum.distance:.3g}"
    return Guard(
        distance=minimum.distance,
        scaled_gradient=float(scaled.max()) if scaled.size else 0.0,
        positive_definite=minimum.positive_definite,
        at_bound=tuple(name for name, held in zip(names, minimum.at_bound, strict=True) if held),
        second_optimiser=None,
        second_gain=None,
        tolerance=tolerance(minimum),
        n_evaluations=minimum.n_evaluations,
        reason=reason,
        at_kink=() if minimum.at_kink is None else tuple(np.array(names)[minimum.at_kink].tolist()),
    )


def _flattest(minimum: Minimum, names: tuple[str, ...]) -> str:
    """Return the parameters that dominate the direction of least curvature, as the end of a sentence."""
    working = minimum.working
    hessian = minimum.expansion.hessian[np.ix_(working, working)]
    if not hessian.size or not np.all(np.isfinite(hessian)):
        return ""
    diagonal = np.abs(np.diag(hessian))
    scale = 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    vector = np.abs(np.linalg.eigh(hessian * np.outer(scale, scale))[1][:, 0])
    chosen = [name for name, used in zip(names, working, strict=True) if used]
    order = np.argsort(-vector)[:3]
    return "; flat direction: " + ", ".join(chosen[i] for i in order if vector[i] > 0.1)


def second_opinion(
    likelihood: Likelihood,
    first: Minimum,
    guard: Guard,
    *,
    lower: Float[np.ndarray, " parameters"],
    upper: Float[np.ndarray, " parameters"],
    free: Bool[np.ndarray, " parameters"],
) -> tuple[Minimum, Guard]:
    """Return the lower of a doubtful minimum and that of iminuit, polished, with the findings for it.

    A minimum that converged counts only where the other one is not lower by more than rounding. Where neither does, the
    findings say why.
    """
    start = first.theta if np.isfinite(first.value) else np.where(free, likelihood.initial, first.theta)
    theta = _minuit(likelihood, start, lower, upper, free)
    polished = minimise(likelihood, start=theta, lower=lower, upper=upper, free=free)
    gain = float(first.value - polished.value) if np.isfinite(first.value) and np.isfinite(polished.value) else None
    chosen, findings = _lower((first, guard), (polished, inspect(polished, likelihood.names)))
    evaluations = guard.n_evaluations + polished.n_evaluations
    return chosen, replace(findings, second_optimiser="iminuit", second_gain=gain, n_evaluations=evaluations)


def _lower(*found: tuple[Minimum, Guard]) -> tuple[Minimum, Guard]:
    """Return the lower of two minima; where they disagree and the lower one did not converge, the reason says so."""
    below, above = sorted(found, key=lambda entry: entry[0].value if np.isfinite(entry[0].value) else np.inf)
    difference = above[0].value - below[0].value
    agree = np.isfinite(difference) and difference <= max(below[1].tolerance, above[1].tolerance)
    if below[1].reason is None or above[1].reason is not None:
        return below
    if agree:
        return above
    reason = f"two optimisers disagree by {difference:.3g} in -2 ln L, and the lower result is no minimum: "
    return below[0], replace(below[1], reason=reason + (below[1].reason or ""))


def _minuit(
    likelihood: Likelihood,
    start: Float[np.ndarray, " parameters"],
    lower: Float[np.ndarray, " parameters"],
    upper: Float[np.ndarray, " parameters"],
    free: Bool[np.ndarray, " parameters"],
) -> Float[np.ndarray, " parameters"]:
    def value(theta: Float[np.ndarray, " parameters"]) -> float:
        found = likelihood.twice_nll(theta)
        return found if np.isfinite(found) else 1e15

    def gradient(theta: Float[np.ndarray, " parameters"]) -> Float[np.ndarray, " parameters"]:
        return np.asarray(np.nan_to_num(likelihood.gradient(theta), nan=0.0, posinf=1e15, neginf=-1e15))

    minuit = Minuit(value, start, grad=gradient, name=likelihood.names)
    minuit.errordef = Minuit.LEAST_SQUARES
    minuit.strategy = 1
    for index, name in enumerate(likelihood.names):
        minuit.fixed[name] = not free[index]
        if free[index]:
            minuit.limits[name] = (lower[index], upper[index])
    minuit.migrad(ncall=2000 + 100 * int(free.sum()))
    return np.asarray(minuit.values, dtype=float)
