"""The multi-layer perceptron as an Equinox module."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from evercast.networks.architecture import Activation, Architecture, Precision, Weights

__all__ = ["Layers", "Mlp", "activation_function", "initial_layers"]


class Layers(eqx.Module):
    """What is trained: for each layer weight (in, out) and bias (out,); float32 except in checks.

    The weights lie transposed to those in files: so they go through the matrix products of a step 5 % faster on a CPU.
    """

    weight: tuple[Float[Array, "*axes _into _out"], ...]
    bias: tuple[Float[Array, "*axes _out"], ...]


class Mlp(eqx.Module):
    """A network with its standardisation inside; see `evercast.networks.architecture` for the formula.

    Args:
        precision: of the products between hidden layers; those with the observables and of the output are always taken
            in the type of the weights, as they are small and what is learned goes through them.
    """

    mean: Float[Array, "*axes inputs"]
    scale: Float[Array, "*axes inputs"]
    layers: Layers
    activation: Activation = eqx.field(static=True)
    precision: Precision = eqx.field(static=True, default="float32")

    def __call__(self, observables: Float[Array, "events inputs"]) -> Float[Array, " events"]:
        """Return the logits of the events: the first output."""
        return self.outputs(observables)[:, 0]

    def outputs(self, observables: Float[Array, "events inputs"]) -> Float[Array, "events outputs"]:
        """Return all outputs of the events."""
        activation = _ACTIVATIONS[self.activation]
        hidden = (observables - self.mean) / self.scale
        last = len(self.layers.weight) - 1
        for layer, (weight, bias) in enumerate(zip(self.layers.weight, self.layers.bias, strict=True)):
            mixed = self.precision == "mixed-bfloat16" and 0 < layer < last
            hidden = (_mixed_product(hidden, weight) if mixed else hidden @ weight) + bias
            if layer < last:
                hidden = activation(hidden)
        return hidden

    @classmethod
    def from_weights(cls, weights: Weights, *, activation: Activation) -> Mlp:
        """Return the module with the numbers `weights` and their leading axes."""
        return cls(
            mean=jnp.asarray(weights.mean),
            scale=jnp.asarray(weights.scale),
            layers=Layers(
                weight=tuple(jnp.asarray(np.swapaxes(array, -1, -2)) for array in weights.weight),
                bias=tuple(jnp.asarray(array) for array in weights.bias),
            ),
            activation=activation,
        )

    def to_weights(self) -> Weights:
        """Return the numbers as plain arrays."""
        return Weights(
            mean=np.asarray(self.mean),
            scale=np.asarray(self.scale),
            weight=tuple(np.swapaxes(np.asarray(array), -1, -2) for array in self.layers.weight),
            bias=tuple(np.asarray(array) for array in self.layers.bias),
        )


def initial_layers(architecture: Architecture, *, seed: int) -> Layers:
    """Return random layers: weights normal with variance 2 / in (tanh and the output: 1 / in), biases 0.

    The factor 2 keeps the variance through rectifier-like activations (K. He et al., arXiv:1502.01852, eq. 10).
    """
    sizes = architecture.sizes()
    keys = jax.random.split(jax.random.key(seed), len(sizes) - 1)
    weight = []
    for layer, (into, out) in enumerate(pairwise(sizes)):
        gain = 1.0 if architecture.activation == "tanh" or layer == len(sizes) - 2 else 2.0
        draw = jax.random.normal(keys[layer], (out, into), dtype=jnp.float32)
        weight.append(draw.T * np.float32(np.sqrt(gain / into)))
    bias = tuple(jnp.zeros((out,), dtype=jnp.float32) for out in sizes[1:])
    return Layers(weight=tuple(weight), bias=bias)


@jax.custom_vjp
def _mixed_product(
    hidden: Float[Array, "events _into"], weight: Float[Array, "_into _out"]
) -> Float[Array, "events _out"]:
    """Return the product of both rounded to bfloat16 (8 significant bits, the range of float32), summed in float32."""
    return _rounded_product(hidden, weight)


def _mixed_product_forward(hidden: Array, weight: Array) -> tuple[Array, tuple[Array, Array]]:
    rounded = hidden.astype(jnp.bfloat16), weight.astype(jnp.bfloat16)
    return _rounded_product(*rounded), rounded


def _mixed_product_backward(rounded: tuple[Array, Array], slope: Array) -> tuple[Array, Array]:
    hidden, weight = rounded
    return _rounded_product(slope, weight.T), _rounded_product(hidden.T, slope)


def _rounded_product(one: Array, other: Array) -> Array:
    rounded = one.astype(jnp.bfloat16), other.astype(jnp.bfloat16)
    return jnp.matmul(*rounded, precision=jax.lax.Precision.DEFAULT, preferred_element_type=jnp.float32)


_mixed_product.defvjp(_mixed_product_forward, _mixed_product_backward)


def _gelu(z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return jax.nn.gelu(z, approximate=True)


@jax.custom_jvp
def _silu(z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return z / (1 + exp(-z)), with a derivative that takes no second exponential."""
    return z * (0.5 * jnp.tanh(0.5 * z) + 0.5)


@_silu.defjvp
def _silu_jvp(
    primals: tuple[Float[Array, "*shape"]], tangents: tuple[Float[Array, "*shape"]]
) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    (z,), (direction,) = primals, tangents
    score = 0.5 * jnp.tanh(0.5 * z) + 0.5
    value = z * score
    return value, direction * (score + value * (1.0 - score))


_ACTIVATIONS: Final[dict[Activation, Callable[[Float[Array, "*shape"]], Float[Array, "*shape"]]]] = {
    "silu": _silu,
    "relu": jax.nn.relu,
    "gelu": _gelu,
    "tanh": jnp.tanh,
}


def activation_function(name: Activation) -> Callable[[Float[Array, "*shape"]], Float[Array, "*shape"]]:
    """Return an activation as a function of arrays; the formulas are those of `evercast.networks.architecture`."""
    return _ACTIVATIONS[name]
