"""Impacts of nuisance parameters on the parameter of interest, their pulls and constraints, and correlations.

The impact of a nuisance parameter is the shift of the best fit when its global observable is moved by one standard
deviation (arXiv:2307.04007): such impacts add up in quadrature to the systematic uncertainty. Beside it stands what the
covariance says, and the derivative by the implicit function theorem, which belongs to the minimum itself where a refit
may end in another one (interference).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from evercast.inference.fit import FitResult
from evercast.inference.fit_many import fit_many
from evercast.likelihood.batch import LikelihoodBatch
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import ParameterModel
from evercast.likelihood.terms import Expansions

__all__ = ["Correlation", "Impact", "correlation_of", "impacts_of"]

Points = Float[np.ndarray, "points parameters"]
Rows = Int[np.ndarray, " points"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """What one nuisance parameter does to the parameter of interest.

    Args:
        pull: (best fit - global observable) / standard deviation of the constraint; None without a constraint.
        constraint: uncertainty after the fit over that of the constraint; None without one, or at a bound.
        up, down: shifts of the best-fit parameter of interest, global observable at +- one standard deviation; None
            without a constraint, or where the refit failed (`reason` says why).
        covariance: V_mu,k / sigma_k; None where either lies at a bound.
        local: derivative of the best fit with respect to the global observable, times its standard deviation.
    """

    parameter: str
    pull: float | None
    constraint: float | None
    up: float | None
    down: float | None
    covariance: float | None
    local: float | None
    reason: str | None = None

    @property
    def size(self) -> float:
        """The largest of the shifts, by which impacts are ranked."""
        shifts = [self.up, self.down] if self.up is not None or self.down is not None else [self.covariance]
        return max(abs(shift) for shift in shifts if shift is not None) if any(s is not None for s in shifts) else 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Correlation:
    """Correlation matrix of the parameters that were varied and lie at no bound.

    Args:
        matrix: (names, names).
    """

    names: tuple[str, ...]
    matrix: Float[np.ndarray, "names names"]


def correlation_of(result: FitResult) -> Correlation:
    """Return the correlations from the Hessian of a fit."""
    used = [i for i, entry in enumerate(result.parameters) if entry.uncertainty is not None]
    block = result.covariance[np.ix_(used, used)]
    spread = np.sqrt(np.diag(block))
    return Correlation(names=tuple(result.names[i] for i in used), matrix=block / np.outer(spread, spread))


def impacts_of(likelihood: Likelihood, best: FitResult, *, poi: str) -> tuple[Impact, ...]:
    """Return the impacts of all nuisance parameters, largest first.

    The refits start where the implicit function theorem expects them and follow the minimum of `best`.

    Args:
        likelihood: with the data of the fit.
        best: the free fit.
        poi: parameter of interest.
    """
    index = likelihood.index(poi)
    chosen = [i for i in range(len(likelihood.names)) if i != index and not likelihood.fixed[i]]
    measured = [i for i in chosen if likelihood.model.parameters[i].constraint != "none"]
    shifts = _refits(likelihood, best, index, measured)
    found = [_impact(likelihood, best, index, i, *shifts.get(i, (None, None, None))) for i in chosen]
    return tuple(sorted(found, key=lambda entry: -entry.size))


def _spread(parameter: ParameterModel) -> float:
    """Return the standard deviation of the global observable."""
    return math.sqrt(max(parameter.global_observable, 1.0)) if parameter.constraint == "poisson" else parameter.width


def _impact(
    likelihood: Likelihood,
    best: FitResult,
    index: int,
    i: int,
    up: float | None,
    down: float | None,
    reason: str | None,
) -> Impact:
    parameter, entry = likelihood.model.parameters[i], best.parameters[i]
    works = entry.uncertainty is not None and best.parameters[index].uncertainty is not None
    shared = float(best.covariance[index, i])
    covariance = shared / entry.uncertainty if works and entry.uncertainty else None
    if parameter.constraint == "none":
        return Impact(
            parameter=parameter.name, pull=None, constraint=None, up=None, down=None, covariance=covariance, local=None
        )
    scale = parameter.factor if parameter.constraint == "poisson" else 1.0
    centre, width = parameter.global_observable / scale, _spread(parameter) / scale
    return Impact(
        parameter=parameter.name, pull=(entry.value - centre) / width,
        constraint=None if entry.uncertainty is None else entry.uncertainty / width,
        up=up, down=down, covariance=covariance,
        local=float(_derivative(best, parameter, i)[index]) if works else None, reason=reason,
    )  # fmt: skip


def _derivative(best: FitResult, parameter: ParameterModel, i: int) -> Float[np.ndarray, " parameters"]:
    """Return the shift of all best-fit values when the global observable moves by one standard deviation.

    d theta / d a = V_k / width^2 (normal) or V_k / theta_k (Poisson), V twice the inverse Hessian.
    """
    if parameter.constraint == "poisson":
        return np.asarray(best.covariance[:, i] / max(best.theta[i], 1e-300) * _spread(parameter))
    return np.asarray(best.covariance[:, i] / parameter.width)


class _ShiftedGlobals:
    """-2 ln L with one global observable shifted; data and all else are shared.

    Args:
        shifted: (position of the parameter, its shifted global observable) of each variation.
    """

    def __init__(self, likelihood: Likelihood, shifted: Sequence[tuple[int, float]]) -> None:
        self.likelihood = likelihood
        self._base = LikelihoodBatch(likelihood)
        self._shifted = tuple(shifted)

    def member(self, row: int) -> Likelihood:
        """Return the likelihood with the global observable of a variation."""
        position, value = self._shifted[row]
        parameters = list(self.likelihood.model.parameters)
        parameters[position] = replace(parameters[position], global_observable=value)
        return Likelihood(replace(self.likelihood.model, parameters=tuple(parameters)))

    def expand(self, theta: Points, rows: Rows) -> Expansions:
        """Return expansions up to a constant of each variation."""
        value, gradient, hessian = (entry.copy() for entry in self._base.expand(theta, np.zeros_like(rows)))
        for point, row in enumerate(rows):
            i, moved = self._shifted[row]
            parameter, own = self.likelihood.model.parameters[i], theta[point, i]
            step = moved - parameter.global_observable
            if parameter.constraint == "normal":
                value[point] -= 2.0 * step * own / parameter.width**2
                gradient[point, i] -= 2.0 * step / parameter.width**2
            elif own > 0:
                value[point] -= 2.0 * step * math.log(own)
                gradient[point, i] -= 2.0 * step / own
                hessian[point, i, i] += 2.0 * step / own**2
        return Expansions(value, gradient, hessian)


def _refits(
    likelihood: Likelihood, best: FitResult, index: int, measured: Sequence[int]
) -> dict[int, tuple[float | None, float | None, str | None]]:
    """Return per parameter the shifts of the parameter of interest up and down, and why one is missing."""
    if not measured:
        return {}
    shifted: list[tuple[int, float]] = []
    starts: list[Float[np.ndarray, " parameters"]] = []
    for i in measured:
        parameter = likelihood.model.parameters[i]
        move, least = _derivative(best, parameter, i), 0.0 if parameter.constraint == "poisson" else -np.inf
        for sign in (1.0, -1.0):
            shifted.append((i, max(parameter.global_observable + sign * _spread(parameter), least)))
            starts.append(np.clip(best.theta + sign * move, likelihood.lower, likelihood.upper))
    found = fit_many(_ShiftedGlobals(likelihood, shifted), start=np.array(starts))
    result: dict[int, tuple[float | None, float | None, str | None]] = {}
    for number, i in enumerate(measured):
        pair = [2 * number, 2 * number + 1]
        moves = [None if found.failed[row] else float(found.theta[row, index] - best.theta[index]) for row in pair]
        reason = next((found.reasons[row] for row in pair if row in found.reasons), None)
        result[i] = (moves[0], moves[1], reason)
    return result
