"""Networks with all that turns their outputs to log ratios and morphs, evaluated as a reference in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64
from scipy.special import logsumexp

from evercast.artifacts.weights import EnsembleWeights
from evercast.networks.calibration import HistogramCalibration
from evercast.networks.numpy_evaluate import numpy_logits, numpy_outputs

__all__ = ["PolynomialNetworks", "RatioNetworks", "reference_coefficients", "reference_log_ratio", "reference_outputs"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RatioNetworks:
    """What turns observables to the log ratio of a process.

    Args:
        log_norm: subtracted from the combined (and calibrated) log ratio so that E_ref[r] = 1.
        calibration: applied to the combined logit first.
    """

    networks: EnsembleWeights
    log_norm: float = 0.0
    calibration: HistogramCalibration | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PolynomialNetworks:
    """What turns observables to the coefficients of the polynomial ln g(x | alpha) of a process.

    Args:
        constants: (terms,), subtracted from the combined coefficients so that E_nominal[g] = 1 at the base points.
    """

    networks: EnsembleWeights
    constants: Float64[np.ndarray, " terms"]


def reference_log_ratio(
    ratio: RatioNetworks, observables: Float[np.ndarray, "events observables"], *, combine: str
) -> Float64[np.ndarray, " events"]:
    """Return the log ratio of events that no network has seen, by the reference evaluation in float64.

    Logits are combined over members within each fold, then over folds as the mean ratio, then calibrated, then
    normalised (`evercast.networks.evaluation`).

    Args:
        ratio: networks of a process.
        observables: in the order of the ensemble.
        combine: ``mean_log_ratio`` or ``mean_ratio``.
    """
    networks = ratio.networks
    members, folds = networks.weights.axes()
    logits = np.array(
        [
            [
                numpy_logits(networks.architecture, networks.weights.at(member, fold), observables)
                for fold in range(folds)
            ]
            for member in range(members)
        ]
    )
    by_fold = logits.mean(axis=0) if combine == "mean_log_ratio" else logsumexp(logits, axis=0) - np.log(members)
    combined = logsumexp(by_fold, axis=0) - np.log(folds)
    calibrated = combined if ratio.calibration is None else ratio.calibration(combined)
    log_ratio: Float64[np.ndarray, " events"] = calibrated - ratio.log_norm
    return log_ratio


def reference_coefficients(
    polynomial: PolynomialNetworks, observables: Float[np.ndarray, "events observables"]
) -> Float64[np.ndarray, "events terms"]:
    """Return the coefficients of the terms for events that no network has seen: the mean over members and folds.

    Args:
        polynomial: networks of a process.
        observables: in the order of the ensemble.
    """
    networks = polynomial.networks
    members, folds = networks.weights.axes()
    outputs = [
        numpy_outputs(networks.architecture, networks.weights.at(member, fold), observables)
        for member in range(members)
        for fold in range(folds)
    ]
    coefficients: Float64[np.ndarray, "events terms"] = np.mean(outputs, axis=0) - polynomial.constants
    return coefficients


def reference_outputs(
    networks: EnsembleWeights, observables: Float[np.ndarray, "events observables"]
) -> Float64[np.ndarray, "members folds events outputs"]:
    """Return the outputs of every single network, before anything is combined.

    Args:
        networks: of a process.
        observables: in the order of the ensemble.
    """
    members, folds = networks.weights.axes()
    outputs: Float64[np.ndarray, "members folds events outputs"] = np.array(
        [
            [
                numpy_outputs(networks.architecture, networks.weights.at(member, fold), observables)
                for fold in range(folds)
            ]
            for member in range(members)
        ]
    )
    return outputs
