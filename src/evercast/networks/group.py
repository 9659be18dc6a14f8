"""What the networks trained together share, and what differs between them and does not change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Int32

from evercast.networks.architecture import Activation, Precision
from evercast.networks.dataset import TrainingSet
from evercast.spec.model import Training

__all__ = ["Group", "Shared"]


class Shared(eqx.Module):
    """What all networks share: the events on the device and how a step is made.

    Args:
        observables: (rows, inputs).
        category: (rows,), as in `TrainingSet`.
        powers: (points, outputs), as in `TrainingSet`.
        validation: rows of a validation part with its padding.
        chunk: rows evaluated at once for the validation loss.
    """

    observables: Float32[Array, "rows inputs"]
    category: Int32[Array, " rows"]
    powers: Float32[Array, "points outputs"]
    validation: int = eqx.field(static=True)
    chunk: int = eqx.field(static=True)
    activation: Activation = eqx.field(static=True)
    optimiser: Literal["adamw", "nadam", "adam"] = eqx.field(static=True)
    weight_decay: float = eqx.field(static=True)
    precision: Precision = eqx.field(static=True)

    @classmethod
    def of(cls, events: TrainingSet, options: Training, *, activation: Activation, validation: int) -> Shared:
        """Return the shared part for `events`, with the longest validation part rounded up to whole chunks.

        Rows are added that no network reads, up to a number with five significant bits: so the replicas of a bootstrap,
        which differ a little in length, are trained by one compiled function.
        """
        chunk = min(4096, max(1, validation))
        spare = -len(events.weight) % (1 << max(0, len(events.weight).bit_length() - 5))
        return cls(
            observables=jnp.asarray(np.pad(events.observables, ((0, spare), (0, 0)))),
            category=jnp.asarray(np.pad(events.category, (0, spare))),
            powers=jnp.asarray(events.powers),
            validation=-(-validation // chunk) * chunk,
            chunk=chunk,
            activation=activation,
            optimiser=options.optimiser,
            weight_decay=options.weight_decay,
            precision=options.precision,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """What differs between networks and does not change; weights of padding are 0 and each part sums to 1."""

    mean: Float32[np.ndarray, "networks inputs"]
    scale: Float32[np.ndarray, "networks inputs"]
    training_rows: Int32[np.ndarray, "networks training"]
    training_weight: Float32[np.ndarray, "networks training"]
    validation_rows: Int32[np.ndarray, "networks validation"]
    validation_weight: Float32[np.ndarray, "networks validation"]
