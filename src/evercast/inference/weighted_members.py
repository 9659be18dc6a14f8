"""Combinations of the members of ensembles with weights fitted on held-out events, and what these are worth.

log r_j = sum_i w_ji f_ji + c_j (w_i f_i, arXiv:2506.00113), f_ji the log ratios of the members of process j.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Float64

from evercast.errors import NumericalFailure

__all__ = ["HeldOut", "WeightedMembers", "fit_weighted_members"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldOut:
    """Events of one sample with the log ratios that members give them which did not train on them.

    Args:
        features: (processes, events, members), natural logarithms.
        weight: (events,), any sign, positive sum.
        share: of the sample in the reference mixture, all shares together 1; 0 where it is no part of it.
        processes: positions of the processes whose sample this is.
    """

    features: Float[np.ndarray, "processes events members"]
    weight: Float64[np.ndarray, " events"]
    share: float
    processes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WeightedMembers:
    """log r_j = sum_i w_ji f_ji + c_j for every process j.

    Args:
        weights: (processes, members + 1), the constant last.
        covariance: (weights, weights) of all processes together, in the order of ``weights.ravel()``.
    """

    weights: Float64[np.ndarray, "processes columns"]
    covariance: Float64[np.ndarray, "weights weights"]

    def log_ratio(self, process: int, features: Float[np.ndarray, "events members"]) -> Float64[np.ndarray, " events"]:
        """Return the log ratio of a process from the log ratios of its members."""
        own = self.weights[process]
        combined: Float64[np.ndarray, " events"] = features.astype(np.float64) @ own[:-1] + own[-1]
        return combined


_STEPS: Final = 50
_CONVERGED: Final = 1e-10
"""Largest change of the logit of an event in the last step of Newton's method."""


def fit_weighted_members(samples: Sequence[HeldOut], *, processes: int) -> WeightedMembers:
    """Return the weights that minimise the weighted cross entropy of each process against the reference.

    With both classes of weight 1/2, the loss of process j is (E_ref[log(1 + e^z)] + E_j[log(1 + e^-z)]) / 2, z the log
    ratio. The covariance is the sandwich H^-1 V H^-1 (arXiv:2506.00113): H is the matrix of second derivatives, V the
    covariance of the gradient over the events. An event that stands in several classes, or in those of several
    processes, counts as one event there, so the processes are correlated.

    Args:
        samples: each sample once; events of different samples are independent.
        processes: their number.

    Raises:
        NumericalFailure: ``training-statistics.weights`` where Newton's method does not converge.
    """
    length = samples[0].features.shape[2] + 1
    weights = np.array([_minimise(samples, process, length) for process in range(processes)])
    hessian = np.zeros((processes * length, processes * length))
    for process in range(processes):
        block = slice(process * length, (process + 1) * length)
        hessian[block, block] = _derivatives(samples, process, weights[process])[1]
    inverse = np.linalg.pinv(hessian, rcond=1e-12, hermitian=True)
    scores = np.sum([_score_covariance(sample, weights) for sample in samples], axis=0)
    return WeightedMembers(weights=weights, covariance=inverse @ scores @ inverse)


def _columns(sample: HeldOut, process: int) -> Float64[np.ndarray, "events columns"]:
    features = sample.features[process].astype(np.float64)
    return np.concatenate([features, np.ones((len(features), 1))], axis=1)


def _shares(sample: HeldOut, process: int) -> tuple[Float64[np.ndarray, " events"], float, float]:
    """Return the normalised weights of a sample and its part in the reference and in the process."""
    normalised = sample.weight / np.sum(sample.weight)
    return normalised, 0.5 * sample.share, 0.5 if process in sample.processes else 0.0


def _derivatives(
    samples: Sequence[HeldOut], process: int, weights: Float64[np.ndarray, " columns"]
) -> tuple[Float64[np.ndarray, " columns"], Float64[np.ndarray, "columns columns"]]:
    gradient, hessian = np.zeros(len(weights)), np.zeros((len(weights), len(weights)))
    for sample in samples:
        columns = _columns(sample, process)
        normalised, reference, own = _shares(sample, process)
        score = 0.5 * (1.0 + np.tanh(0.5 * (columns @ weights)))
        gradient += (normalised * (reference * score - own * (1.0 - score))) @ columns
        curvature = normalised * (reference + own) * score * (1.0 - score)
        hessian += (columns * curvature[:, None]).T @ columns
    return gradient, hessian


def _minimise(samples: Sequence[HeldOut], process: int, length: int) -> Float64[np.ndarray, " columns"]:
    """Return the minimum by Newton's method, from the mean of the members, steps of more than 1 in the logit cut."""
    weights = np.append(np.full(length - 1, 1.0 / (length - 1)), 0.0)
    for _ in range(_STEPS):
        gradient, hessian = _derivatives(samples, process, weights)
        step = np.linalg.pinv(hessian, rcond=1e-12, hermitian=True) @ gradient
        change = max(float(np.max(np.abs(_columns(sample, process) @ step))) for sample in samples)
        weights = weights - step / max(1.0, change)
        if change < _CONVERGED:
            return np.asarray(weights)
    raise NumericalFailure(
        f"the weights of the members of process {process} do not converge: the logit still changes by {change:.3g}",
        code="training-statistics.weights",
        hint="are there enough held-out events for so many members?",
    )


def _score_covariance(
    sample: HeldOut, weights: Float64[np.ndarray, "processes columns"]
) -> Float64[np.ndarray, "weights weights"]:
    """Return what the events of one sample add to the covariance of the gradients of all processes.

    A class is normalised to its own sum of weights, so the mean over it has the variance of sum w (g - mean) / sum w.
    """
    scores = []
    for process, own_weights in enumerate(weights):
        columns = _columns(sample, process)
        normalised, reference, own = _shares(sample, process)
        score = 0.5 * (1.0 + np.tanh(0.5 * (columns @ own_weights)))
        each = (reference * score - own * (1.0 - score))[:, None] * columns
        scores.append(normalised[:, None] * (each - normalised @ each))
    joined = np.concatenate(scores, axis=1)
    return np.asarray(joined.T @ joined)
