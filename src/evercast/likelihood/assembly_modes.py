"""Training statistics as nuisance parameters: principal components of log ratios over bootstrap replicas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64

from evercast.errors import InvalidInput, NumericalFailure

__all__ = ["TrainingModes", "principal_modes"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingModes:
    """Directions in which log ratios scatter from one training sample to another, largest first.

    Args:
        loadings: (replicas, modes); mode k of an event is sum_r loadings_rk log_ratio_r, one standard deviation long.
        explained: (modes,) share of the variance over the reference that each mode holds.
    """

    loadings: Float64[np.ndarray, "replicas modes"]
    explained: Float64[np.ndarray, " modes"]

    def of(
        self, log_ratio: Float[np.ndarray, "events processes replicas"]
    ) -> Float32[np.ndarray, "events processes modes"]:
        """Return the change of the log ratio of each event and process at +1 of each mode."""
        return np.asarray(log_ratio.astype(np.float64) @ self.loadings, dtype=np.float32)


def principal_modes(
    log_ratio: Float[np.ndarray, "events processes replicas"], weight: Float[np.ndarray, " events"], *, count: int
) -> TrainingModes:
    """Return the principal components of the replicas' log ratios, jointly over processes, weighted by the events.

    With d_r = log ratio of replica r minus the mean of all, the covariance over replicas of the log ratios is
    C(x, x') = sum_r d_r(x) d_r(x') / (R - 1). Its eigenfunctions under the weights are sum_r v_rk d_r / sqrt(R - 1),
    v_k the eigenvectors of the R x R matrix G_rs = sum_x w(x) d_r(x) d_s(x) (the method of snapshots): their outer
    products sum to C. The sign of a mode makes the largest of its loadings positive.

    Args:
        log_ratio: of reference events.
        weight: of the reference.
        count: modes to keep, below the number of replicas.

    Raises:
        InvalidInput: ``training-statistics.modes``, there are not as many.
        NumericalFailure: ``training-statistics.not-finite``.
    """
    replicas = log_ratio.shape[2]
    if not 1 <= count < replicas:
        raise InvalidInput(
            f"{count} modes are asked of {replicas} bootstrap replicas; there are at most {replicas - 1}",
            code="training-statistics.modes",
            hint="lower training_statistics of the channel, or declare more replicas",
        )
    deviation = log_ratio.astype(np.float64)
    deviation = deviation - deviation.mean(axis=2, keepdims=True)
    gram = np.einsum("epr,eps,e->rs", deviation, deviation, weight / weight.sum(), optimize=True)
    if not np.isfinite(gram).all():
        raise NumericalFailure("log ratios of replicas are not finite", code="training-statistics.not-finite")
    values, vectors = np.linalg.eigh(gram)
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
    total = float(np.trace(gram))
    if not values[-1] > 1e-12 * total:
        raise InvalidInput(
            f"{count} modes are asked of the training statistics; the replicas differ in "
            f"{int((values > 1e-12 * total).sum())} directions only",
            code="training-statistics.modes",
            hint="are the replicas different? lower training_statistics of the channel",
        )
    centred = vectors - vectors.mean(axis=0)  # so that the mean over replicas need not be taken from other events
    largest = vectors[np.argmax(np.abs(vectors), axis=0), np.arange(count)]
    return TrainingModes(loadings=centred * np.sign(largest) / np.sqrt(replicas - 1), explained=values / total)
