"""One unbinned channel as a term of a likelihood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from evercast.errors import InvalidInput
from evercast.likelihood.component_scales import ScaleFormulas, ScaleTensors, build_scales, component_scales
from evercast.likelihood.event_arrays import empty_chunk, padded_length, resident
from evercast.likelihood.model import EventSet, LikelihoodModel, ParameterModel, UnbinnedChannelModel
from evercast.likelihood.morph_layout import MorphLayout, build_layout
from evercast.likelihood.terms import Expansion, Expansions
from evercast.likelihood.unbinned_chain import differentiate, divided, prepare, twice_nll
from evercast.likelihood.unbinned_kernel import Chunk, Sums
from evercast.likelihood.unbinned_sums import sum_data, sum_reference
from evercast.spec.expressions import names as names_in
from evercast.spec.expressions import parse_coefficient

__all__ = ["UnbinnedBatch", "UnbinnedTerm"]

Own = Float[np.ndarray, " own"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What is compiled in: formulas, morphs, and the type of the elements."""

    formulas: ScaleFormulas
    layout: MorphLayout
    dtype: str


class Inputs(NamedTuple):
    """What is passed as arguments."""

    tensors: ScaleTensors
    data: Chunk
    reference: Chunk
    n_counted: Array


def _sums(form: Form, own: Array, inputs: Inputs, order: int) -> tuple[Array, Sums, Sums]:
    expected, factors = prepare(form.formulas, form.layout, own, inputs.tensors)
    dtype = jnp.dtype(form.dtype)
    reference = sum_reference(form.layout, inputs.reference, factors, order=order, dtype=dtype)
    scaled = divided(form.layout, expected, reference)
    return expected, reference, sum_data(form.layout, inputs.data, scaled, factors, order=order, dtype=dtype)


@partial(jax.jit, static_argnums=0)
def _value(form: Form, own: Array, inputs: Inputs) -> Array:
    expected, _, data = _sums(form, own, inputs, 0)
    return twice_nll(expected, data, inputs.n_counted)


@partial(jax.jit, static_argnums=(0, 3))
def _expand(form: Form, own: Array, inputs: Inputs, order: int) -> tuple[Array, Array, Array]:
    _, reference, data = _sums(form, own, inputs, order)
    return differentiate(
        form.formulas, form.layout, own, inputs.tensors, reference, data, inputs.n_counted, order=order
    )


@partial(jax.jit, static_argnums=0)
def _expand_batch(form: Form, own: Array, rows: Array, inputs: Inputs, sets: Inputs) -> tuple[Array, Array, Array]:
    def one(pair: tuple[Array, Array]) -> tuple[Array, Array, Array]:
        point, row = pair
        chosen = jax.tree.map(lambda leaf: leaf[row], (sets.data, sets.n_counted))
        value, slope, hessian = _expand(form, point, inputs._replace(data=chosen[0], n_counted=chosen[1]), 2)
        return value, slope, hessian

    value, slope, hessian = jax.lax.map(one, (own, rows))
    return value, slope, hessian


_expected = jax.jit(component_scales, static_argnums=0)


class UnbinnedTerm:
    """2 [nu - sum_i w_i ln(lambda(x_i) / p_ref(x_i))] of one channel (arXiv:2412.01600); terms of p_ref are left out.

    Args:
        parameters: all of the likelihood.
        channel: components, morphs and events.
    """

    def __init__(self, parameters: Sequence[ParameterModel], channel: UnbinnedChannelModel) -> None:
        used = _used(channel)
        self.index = np.array([i for i, p in enumerate(parameters) if p.name in used], dtype=np.int64)
        names = [parameters[i].name for i in self.index]
        formulas, tensors = build_scales(channel.components, names, where=channel.name)
        layout = build_layout(channel, names)
        reference = channel.reference
        self._channel = channel
        self._form = Form(formulas=formulas, layout=layout, dtype="float64")
        self._inputs = Inputs(
            tensors=tensors,
            data=resident(channel.events),
            reference=empty_chunk(len(channel.components))
            if reference is None or not layout.normalises
            else resident(reference, normalised=True),
            n_counted=_counted(channel.events),
        )
        self.rounding = 0.0

    def value(self, own: Own) -> float:
        """Return the value; infinite where an intensity is not positive."""
        with jax.enable_x64(new_val=True):
            return float(_value(self._form, jnp.asarray(own), self._inputs))

    def value_and_gradient(self, own: Own) -> tuple[float, Own]:
        """Return the value and its gradient."""
        with jax.enable_x64(new_val=True):
            value, slope, _ = _expand(self._form, jnp.asarray(own), self._inputs, 1)
            return float(value), _finite(slope)

    def expand(self, own: Own) -> Expansion:
        """Return value, gradient and Hessian in one evaluation."""
        with jax.enable_x64(new_val=True):
            value, slope, hessian = _expand(self._form, jnp.asarray(own), self._inputs, 2)
            return Expansion(float(value), _finite(slope), _finite(hessian))

    def expected(self, own: Own) -> Mapping[str, Float[np.ndarray, " n"]]:
        """Return the expected events of each component."""
        with jax.enable_x64(new_val=True):
            scales = _expected(self._form.formulas, jnp.asarray(own), self._inputs.tensors)
            return {self._channel.name: np.asarray(scales)}

    def batch(self, models: Sequence[LikelihoodModel]) -> UnbinnedBatch:
        """Return the term on the events of each model."""
        sets = [_events_of(model, self._channel.name) for model in models] or [self._channel.events]
        length = padded_length(max(len(entry.weight) for entry in sets))
        with jax.enable_x64(new_val=True):
            data = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(resident(entry, length=length) for entry in sets))
            counted = jnp.stack([_counted(entry) for entry in sets])
        stacked = self._inputs._replace(data=data, n_counted=counted)
        return UnbinnedBatch(self._form, self._inputs, stacked)


@dataclass(frozen=True, slots=True, eq=False)
class UnbinnedBatch:
    """An unbinned channel on many data sets.

    Args:
        inputs: of the term.
        sets: data and numbers of events with a leading axis of data sets, filled with weight 0 to one length.
    """

    form: Form
    inputs: Inputs
    sets: Inputs

    @property
    def n_values(self) -> int:
        """Numbers that one data set and one Hessian occupy."""
        return sum(int(np.prod(leaf.shape[1:])) for leaf in self.sets.data)

    def expand(self, own: Float[np.ndarray, "points own"], rows: Int[np.ndarray, " points"]) -> Expansions:
        """Return value, gradient and Hessian at each point."""
        with jax.enable_x64(new_val=True):
            found = _expand_batch(self.form, jnp.asarray(own), jnp.asarray(rows), self.inputs, self.sets)
            return Expansions(np.asarray(found[0]), _finite(found[1]), _finite(found[2]))


def _finite(values: Array) -> np.ndarray:
    """Return derivatives, 0 where they are not finite: there the value is infinite."""
    found = np.asarray(values)
    return np.where(np.isfinite(found), found, 0.0)


def _counted(events: EventSet) -> Array:
    with jax.enable_x64(new_val=True):
        return jnp.asarray(float(np.count_nonzero(events.weight)))


def _events_of(model: LikelihoodModel, channel: str) -> EventSet:
    found = next(entry for entry in model.channels if entry.name == channel)
    if not isinstance(found, UnbinnedChannelModel):
        message = f"channel '{channel}' is binned in a data set, unbinned in the model"
        raise InvalidInput(message, code="likelihood.batch")
    return found.events


def _used(channel: UnbinnedChannelModel) -> set[str]:
    """Return the names of the parameters that the channel depends on."""
    used: set[str] = set()
    for component in channel.components:
        used |= names_in(parse_coefficient(component.coefficient))
        used.update(modifier.parameter for modifier in component.modifiers)
    used.update(anchor.parameter for anchor in channel.anchors)
    for morph in channel.polynomials:
        used.update(name for term in morph.terms for name, _ in term)
    return used
