"""Uncertainty of a fit from the finite samples that its density ratios were learned from: three estimators.

They answer different questions, so each carries a label and says what it sees (arXiv:2505.19156 shows that the first
one is often taken for the second):

- ``ensemble_noise``: members are drawn again from one ensemble. It is the noise that random starts and orders leave in
  an ensemble of this size, and knows nothing of the training sample, which all members share.
- ``bootstrap``: the simulation is drawn again (Poisson(1) weights), each replica trains a small ensemble of its own,
  and each is fitted alone; nothing is averaged over replicas.
- ``weighted_members`` (w_i f_i, arXiv:2506.00113): log r = sum_i w_i f_i + const, with the weights fitted on held-out
  events, their sandwich covariance, and sigma_tot^2 = sigma^2 + sigma^4 A^T C_w A with A_i = d^2 ln L / d mu d w_i.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from jaxtyping import Float64, Int64

from evercast.errors import NumericalFailure

__all__ = [
    "ESTIMATORS",
    "Description",
    "EstimatorName",
    "Spread",
    "drawn_members",
    "propagated_sigma",
    "spread_of_fits",
]

EstimatorName = Literal["ensemble_noise", "bootstrap", "weighted_members"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What an estimator is called and what its number means."""

    label: str
    sees: str
    does_not_see: str


ESTIMATORS: Final[Mapping[EstimatorName, Description]] = {
    "ensemble_noise": Description(
        label="ensemble noise",
        sees="random starts and orders of the training, divided by the root of the number of members",
        does_not_see="the finite training samples, which all members share",
    ),
    "bootstrap": Description(
        label="training statistics (bootstrap of the simulation)",
        sees="the finite training samples, and the noise of the small ensemble of a replica",
        does_not_see="a bias common to all trainings",
    ),
    "weighted_members": Description(
        label="training statistics (weighted members, w_i f_i)",
        sees="the finite held-out samples on which the weights of the members are fitted",
        does_not_see="changes of the ratio that no combination of the members describes",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Fits of one parameter that differ in what the networks learned from.

    Args:
        values: the fitted values, of the fits that passed the guard.
        failures: reasons of those that did not, each with its number.
        sigma: standard deviation of the values, divisor n - 1; None for fewer than two.
        error: of sigma, sigma / sqrt(2 (n - 1)) as for Gaussian values; None for fewer than two.
    """

    values: tuple[float, ...]
    failures: tuple[str, ...]
    sigma: float | None
    error: float | None


def spread_of_fits(refit: Callable[[int], float], count: int) -> Spread:
    """Return the spread of the fits 0 to `count` - 1.

    Args:
        refit: number of a draw or replica -> fitted value of the parameter of interest; it raises `NumericalFailure`
            where no fit passes the guard.
        count: of draws or replicas.

    Example:
        >>> round(spread_of_fits([1.0, 2.0, 3.0].__getitem__, 3).sigma, 6)
        1.0
    """
    values: list[float] = []
    failures: list[str] = []
    for number in range(count):
        try:
            values.append(float(refit(number)))
        except NumericalFailure as err:
            failures.append(f"{number}: {err.message}")
    several = len(values) > 1
    sigma = float(np.std(values, ddof=1)) if several else None
    return Spread(
        values=tuple(values),
        failures=tuple(failures),
        sigma=sigma,
        error=sigma / float(np.sqrt(2.0 * (len(values) - 1))) if sigma is not None else None,
    )


def drawn_members(
    members: int, *, processes: int, draws: int, seed: int
) -> Int64[np.ndarray, "draws processes members"]:
    """Return members drawn with replacement, (draws, processes, members); each process has its own ensemble."""
    return np.random.default_rng(seed).integers(0, members, (draws, processes, members))


def propagated_sigma(
    mixed: Float64[np.ndarray, "parameters weights"],
    covariance: Float64[np.ndarray, "parameters parameters"],
    weights: Float64[np.ndarray, "weights weights"],
) -> Float64[np.ndarray, " parameters"]:
    """Return the standard deviations that the covariance of the weights gives the fitted parameters.

    theta_hat moves by -H^-1 B dw with H the Hessian of -ln L and B its mixed derivatives; for one parameter that is
    sigma^2 A dw, so the variance is sigma^4 A^T C_w A (arXiv:2506.00113).

    Args:
        mixed: d^2 (-ln L) / d theta d w.
        covariance: of the parameters from the fit, the inverse of H; 0 for those that were held.
        weights: C_w.
    """
    moved = covariance @ mixed
    variance: Float64[np.ndarray, " parameters"] = np.sum((moved @ weights) * moved, axis=1)
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)))
