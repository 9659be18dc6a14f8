"""The reference semantics of a network: its evaluation written out in numpy, in float64.

Everything else that evaluates a network (JAX here, any other program elsewhere) has to agree with this: the float32
evaluation to 1e-5 + 1e-5 |logit| for inputs within the range of the training.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from jaxtyping import Float, Float64

from evercast.networks.architecture import Activation, Architecture, Weights

__all__ = ["numpy_logits", "numpy_outputs"]


def numpy_logits(
    architecture: Architecture, network: Weights, observables: Float[np.ndarray, "events inputs"]
) -> Float64[np.ndarray, " events"]:
    """Return the logits of one network, natural logarithm of the density ratio before combination and calibration.

    Args:
        architecture: its declared form.
        network: its numbers, without leading axes.
        observables: in the order and units of ``architecture.observables``; rounded to float32 first, as everywhere.
    """
    return numpy_outputs(architecture, network, observables)[:, 0]


def numpy_outputs(
    architecture: Architecture, network: Weights, observables: Float[np.ndarray, "events inputs"]
) -> Float64[np.ndarray, "events outputs"]:
    """Return all outputs of one network: its logit, or the coefficients of ``architecture.terms``.

    Args:
        architecture: its declared form.
        network: its numbers, without leading axes.
        observables: as for `numpy_logits`.
    """
    activation = _ACTIVATIONS[architecture.activation]
    hidden = observables.astype(np.float32).astype(np.float64)
    hidden = (hidden - network.mean.astype(np.float64)) / network.scale.astype(np.float64)
    last = len(network.weight) - 1
    for layer, (weight, bias) in enumerate(zip(network.weight, network.bias, strict=True)):
        hidden = hidden @ weight.astype(np.float64).T + bias.astype(np.float64)
        if layer < last:
            hidden = activation(hidden)
    return hidden


_Values = Float64[np.ndarray, "events units"]


def _silu(z: _Values) -> _Values:
    activated: _Values = z * (1.0 + np.tanh(0.5 * z)) / 2.0
    return activated


def _relu(z: _Values) -> _Values:
    activated: _Values = np.maximum(z, 0.0)
    return activated


def _gelu(z: _Values) -> _Values:
    activated: _Values = 0.5 * z * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (z + 0.044715 * z**3)))
    return activated


def _tanh(z: _Values) -> _Values:
    activated: _Values = np.tanh(z)
    return activated


_ACTIVATIONS: Final[dict[Activation, Callable[[_Values], _Values]]] = {
    "silu": _silu,
    "relu": _relu,
    "gelu": _gelu,
    "tanh": _tanh,
}
