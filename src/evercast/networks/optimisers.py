"""Optimisers and schedules of the learning rate."""

from __future__ import annotations

import math
from typing import Literal

import jax
import numpy as np
import optax
from jaxtyping import Array, Float32

from evercast.errors import InvalidInput

__all__ = ["learning_rates", "optimiser"]


def optimiser(name: Literal["adamw", "nadam", "adam"], *, weight_decay: float) -> optax.GradientTransformation:
    """Return the direction of a step, to be multiplied by minus the learning rate.

    Adam (arXiv:1412.6980), its Nesterov form nadam, and adamw with decoupled decay (arXiv:1711.05101) of the weights
    but not of the biases. nadam takes the decay in the same way.

    Raises:
        InvalidInput: ``training.weight-decay`` for adam with a decay, which is adamw.
    """
    if name == "adam" and weight_decay > 0.0:
        raise InvalidInput(
            f"weight_decay is {weight_decay} with the optimiser adam",
            code="training.weight-decay",
            hint="adam with weight decay is adamw",
        )
    direction = optax.scale_by_adam(nesterov=name == "nadam")
    if weight_decay > 0.0:
        return optax.chain(direction, optax.add_decayed_weights(weight_decay, mask=_is_matrix))
    return direction


def _is_matrix(tree: optax.Params) -> optax.Params:
    return jax.tree.map(_has_two_axes, tree)


def _has_two_axes(array: Array) -> bool:
    return array.ndim == 2


def learning_rates(
    name: Literal["cosine", "step", "exponential", "constant"], *, initial: float, epochs: int, steps: int
) -> Float32[np.ndarray, "epochs steps"]:
    """Return the learning rate of every step of every epoch.

    With t from 0 to 1 over the whole training: ``cosine`` (1 + cos(pi t)) / 2, ``step`` 1, 1/10, 1/100 in its thirds,
    ``exponential`` 10^(-3 t), ``constant`` 1, each times `initial`.
    """
    t = np.arange(epochs * steps, dtype=np.float64) / (epochs * steps)
    match name:
        case "cosine":
            factor = 0.5 * (1.0 + np.cos(math.pi * t))
        case "step":
            factor = 10.0 ** (-np.floor(3.0 * t))
        case "exponential":
            factor = 10.0 ** (-3.0 * t)
        case "constant":
            factor = np.ones_like(t)
    return (initial * factor).astype(np.float32).reshape(epochs, steps)
