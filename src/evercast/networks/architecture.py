"""The declared form of a network and its weights as plain arrays.

A network maps the observables x of an event to one logit, the natural logarithm of a density ratio, or to the
coefficients of a polynomial in nuisance parameters whose value is one::

    h_0 = (x - mean) / scale
    h_i = activation(weight_i h_{i-1} + bias_i)        i = 1 ... depth
    output = weight_{depth+1} h_depth + bias_{depth+1}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float32

from evercast.errors import IntegrityError

__all__ = ["Activation", "Architecture", "Precision", "Term", "Weights", "concatenate_members"]

Activation = Literal["silu", "relu", "tanh", "gelu"]

Precision = Literal["float32", "mixed-bfloat16"]
"""In what type the products of a training are taken; it is no part of a network, which is evaluated in float32."""

Term = tuple[tuple[str, int], ...]
"""A product of powers of nuisance parameters: pairs (parameter, power)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A multi-layer perceptron: `depth` hidden layers of `width`, one output or one per term.

    Args:
        observables: names of the inputs, in order.
        width: length of each hidden layer.
        depth: number of hidden layers.
        activation: ``silu`` z / (1 + exp(-z)), ``relu`` max(z, 0), ``tanh``, or ``gelu`` in its tanh form,
            z (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))) / 2.
        terms: of a polynomial in nuisance parameters whose coefficients the network gives, in order; empty for a
            network that gives a logit.
    """

    observables: tuple[str, ...]
    width: int
    depth: int
    activation: Activation
    terms: tuple[Term, ...] = ()

    @property
    def outputs(self) -> int:
        """Length of the output."""
        return max(1, len(self.terms))

    def sizes(self) -> tuple[int, ...]:
        """Return the lengths of all layers: inputs, hidden layers, outputs."""
        return (len(self.observables), *(self.width for _ in range(self.depth)), self.outputs)

    def to_json(self) -> dict[str, object]:
        """Return the architecture as JSON."""
        return {
            "kind": "mlp",
            "observables": list(self.observables),
            "width": self.width,
            "depth": self.depth,
            "activation": self.activation,
            **({"output": "coefficients", "terms": _term_lists(self.terms)} if self.terms else {"output": "logit"}),
        }

    @classmethod
    def from_json(cls, body: object) -> Architecture:
        """Return the architecture that `to_json` wrote.

        Raises:
            IntegrityError: ``weights.architecture`` where a key is unknown or missing, or a value is not allowed.
        """
        if not isinstance(body, Mapping):
            raise _not_an_architecture("it is not an object")
        names, width, depth, activation = (body.get(key) for key in ("observables", "width", "depth", "activation"))
        try:
            made = cls(
                observables=_texts(names),
                width=_length(width),
                depth=_length(depth),
                activation=_activation(activation),
                terms=_terms(body["terms"]) if "terms" in body else (),
            )
        except ValueError as err:
            raise _not_an_architecture(str(err)) from err
        if made.to_json() != dict(body):
            raise _not_an_architecture(f"found {dict(body)}; expected {made.to_json()}")
        return made


def _texts(value: object) -> tuple[str, ...]:
    names = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else ()
    if not names or len(set(names)) != len(names) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"observables are {value!r}; expected different names")
    return names


def _length(value: object) -> int:
    if type(value) is not int or not 1 <= value <= 1 << 16:
        raise ValueError(f"width or depth is {value!r}; expected an integer from 1 to 65536")
    return value


def _activation(value: object) -> Activation:
    for name in get_args(Activation):
        if name == value:
            found: Activation = name
            return found
    raise ValueError(f"activation is {value!r}; expected one of {', '.join(get_args(Activation))}")


def _term_lists(terms: tuple[Term, ...]) -> list[list[list[str | int]]]:
    return [[[name, power] for name, power in term] for term in terms]


def _terms(value: object) -> tuple[Term, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(term, list) and term for term in value):
        raise ValueError(f"terms are {value!r}; expected lists of pairs [parameter, power]")
    return tuple(tuple(_factor(factor) for factor in term) for term in value)


def _factor(value: object) -> tuple[str, int]:
    match value:
        case [str(name), int(power)] if type(power) is int and 1 <= power <= 16:
            return name, power
    raise ValueError(f"a factor of a term is {value!r}; expected [parameter, power], power from 1 to 16")


def _not_an_architecture(problem: str) -> IntegrityError:
    return IntegrityError(f"the architecture cannot be read: {problem}", code="weights.architecture")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weights:
    """The numbers of one network, or of many with leading axes such as (member, fold).

    Args:
        mean: (..., inputs), subtracted from the observables, in their units.
        scale: (..., inputs), positive, divides them.
        weight: for each layer (..., out, in).
        bias: for each layer (..., out).
    """

    mean: Float32[np.ndarray, "*axes inputs"]
    scale: Float32[np.ndarray, "*axes inputs"]
    weight: tuple[Float32[np.ndarray, "*axes _out _into"], ...]
    bias: tuple[Float32[np.ndarray, "*axes _out"], ...]

    def axes(self) -> tuple[int, ...]:
        """Return the lengths of the leading axes."""
        return self.mean.shape[:-1]

    def at(self, *index: int | slice) -> Weights:
        """Return the networks at an index of the leading axes."""
        return Weights(
            mean=self.mean[index],
            scale=self.scale[index],
            weight=tuple(array[index] for array in self.weight),
            bias=tuple(array[index] for array in self.bias),
        )

    def named(self) -> Iterator[tuple[str, Float32[np.ndarray, "*shape"]]]:
        """Yield the arrays under their names in files."""
        yield "standardise.mean", self.mean
        yield "standardise.scale", self.scale
        for layer, (weight, bias) in enumerate(zip(self.weight, self.bias, strict=True)):
            yield f"layers.{layer}.weight", weight
            yield f"layers.{layer}.bias", bias

    @classmethod
    def stack(cls, networks: Sequence[Weights]) -> Weights:
        """Return the networks along a new first axis."""
        return cls(
            mean=np.stack([one.mean for one in networks]),
            scale=np.stack([one.scale for one in networks]),
            weight=tuple(np.stack(layers) for layers in zip(*(one.weight for one in networks), strict=True)),
            bias=tuple(np.stack(layers) for layers in zip(*(one.bias for one in networks), strict=True)),
        )

    def reshape(self, *axes: int) -> Weights:
        """Return the same networks with other leading axes."""
        old = len(self.axes())
        return Weights(
            mean=self.mean.reshape(*axes, *self.mean.shape[old:]),
            scale=self.scale.reshape(*axes, *self.scale.shape[old:]),
            weight=tuple(array.reshape(*axes, *array.shape[old:]) for array in self.weight),
            bias=tuple(array.reshape(*axes, *array.shape[old:]) for array in self.bias),
        )


def concatenate_members(blocks: Sequence[Weights]) -> Weights:
    """Return the networks of several training blocks along their first axis, the members."""
    return Weights(
        mean=np.concatenate([one.mean for one in blocks]),
        scale=np.concatenate([one.scale for one in blocks]),
        weight=tuple(np.concatenate(layers) for layers in zip(*(one.weight for one in blocks), strict=True)),
        bias=tuple(np.concatenate(layers) for layers in zip(*(one.bias for one in blocks), strict=True)),
    )
