"""One unbinned channel as a term of a likelihood."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int

from evercast.errors import InvalidInput
from evercast.likelihood.component_scales import ComponentScales, ScaleValues, build_scales
from evercast.likelihood.event_arrays import column_counts, padded_length, resident
from evercast.likelihood.event_source import EventSource, MakeSource, local_source
from evercast.likelihood.model import EventSet, LikelihoodModel, ParameterModel, UnbinnedChannelModel
from evercast.likelihood.morph_factors import anchor_table, coordinates, is_within, monomials
from evercast.likelihood.morph_layout import MorphLayout, build_layout
from evercast.likelihood.terms import Expansion, Expansions
from evercast.likelihood.unbinned_chain import differentiate, log_normalisation, twice_nll
from evercast.likelihood.unbinned_kernel import At, Chunk
from evercast.likelihood.unbinned_sums import HostSums, Kind, sums_at, sums_of, to_sums
from evercast.spec.expressions import names as names_in
from evercast.spec.expressions import parse_coefficient

__all__ = ["UnbinnedBatch", "UnbinnedTerm"]

Own = Float[np.ndarray, " own"]

_LARGE = 1 << 20
"""Numbers in columns above which it pays to compile a function per order, and to have float32 elements."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Form:
    """How the channel follows its parameters."""

    scales: ComponentScales
    layout: MorphLayout

    def at(self, own: Float[np.ndarray, "points own"], expected: Float[np.ndarray, "points components"]) -> At:
        """Return what the sums need at (points, own) parameters."""
        numbers = (expected, anchor_table(self.layout, own), monomials(self.layout.terms, own))
        with jax.enable_x64(new_val=True):
            return At(*(jnp.asarray(values) for values in numbers))


class UnbinnedTerm:
    """2 [nu - sum_i w_i ln(lambda(x_i) / p_ref(x_i))] of one channel (arXiv:2412.01600); terms of p_ref are left out.

    Attributes:
        index: positions of the parameters the channel depends on.
        rounding: absolute noise of the value: 0 with float64 elements.

    Args:
        parameters: all of the likelihood.
        channel: components, morphs and events.
        make_source: where the sums over events are made.
    """

    def __init__(
        self,
        parameters: Sequence[ParameterModel],
        channel: UnbinnedChannelModel,
        make_source: MakeSource = local_source,
    ) -> None:
        used = _used(channel)
        self.index = np.array([i for i, p in enumerate(parameters) if p.name in used], dtype=np.int64)
        names = [parameters[i].name for i in self.index]
        self._channel = channel
        self._form = _Form(scales=build_scales(channel.components, names), layout=build_layout(channel, names))
        self._data = make_source(channel.events, 1.0)
        self._reference: EventSource | None = None
        if channel.reference is not None and self._form.layout.normalises:
            self._reference = make_source(channel.reference, 1.0 / float(np.sum(channel.reference.weight)))
        self._n_counted = int(np.count_nonzero(channel.events.weight))
        self._dtype = "float64"
        self.rounding = 0.0
        self._is_large = _n_numbers(channel) >= _LARGE
        self._fast: UnbinnedTerm | None = None
        if self._is_large and _is_single(channel.events):
            self._fast = copy.copy(self)
            self._fast._dtype, self._fast.rounding = "float32", _rounding(self._form.layout, channel)

    @property
    def fast(self) -> UnbinnedTerm:
        """The same term with float32 elements, about twice as fast, where there are many float32 columns; or itself."""
        return self._fast or self

    def _kind(self, own: Own, order: int) -> Kind:
        """Return the sums to make; one compiled function serves all orders and points of small sets."""
        layout = self._form.layout
        within = self._is_large and is_within(layout, own)
        order = order if self._is_large else 2
        return Kind(layout=layout, order=order, reference=False, dtype=self._dtype, within=within)

    def _sums(self, own: Own, expected: Float[np.ndarray, " components"], order: int) -> tuple[HostSums, HostSums]:
        """Return the sums of the reference and of the data."""
        at = At(*(values[0] for values in self._form.at(own[None], expected[None])))
        kind = self._kind(own, order)
        of_reference = replace(kind, reference=True)
        with jax.enable_x64(new_val=True):
            reference = of_reference.nothing()
            if self._reference is not None:
                reference = to_sums(of_reference, self._reference.sums(of_reference, at))
                with np.errstate(invalid="ignore"):
                    scale = np.exp(-log_normalisation(kind.layout, reference))
                at = at._replace(expected=at.expected * scale)
            return reference, to_sums(kind, self._data.sums(kind, at))

    def value(self, own: Own) -> float:
        """Return the value; infinite where an intensity is not positive."""
        expected = self._form.scales.value(own[None])[0]
        _, data = self._sums(own, expected, 0)
        return twice_nll(expected, data, n_counted=self._n_counted)

    def value_and_gradient(self, own: Own) -> tuple[float, Own]:
        """Return the value and its gradient."""
        found = self._expand(own, 1)
        return found.value, found.gradient

    def expand(self, own: Own) -> Expansion:
        """Return value, gradient and Hessian in one evaluation."""
        return self._expand(own, 2)

    def _expand(self, own: Own, order: int) -> Expansion:
        scales = self._form.scales.evaluate(own[None])
        reference, data = self._sums(own, scales.value[0], order)
        return _chain(self._form, own, scales, reference, data, self._n_counted, order)

    def expected(self, own: Own) -> Mapping[str, Float[np.ndarray, " n"]]:
        """Return the expected events of each component."""
        return {self._channel.name: self._form.scales.value(own[None])[0]}

    def batch(self, models: Sequence[LikelihoodModel]) -> UnbinnedBatch:
        """Return the term on the events of each model."""
        sets = [_events_of(model, self._channel.name) for model in models] or [self._channel.events]
        length = padded_length(max(len(entry.weight) for entry in sets))
        with jax.enable_x64(new_val=True):
            data = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(resident(entry, length=length) for entry in sets))
        counted = tuple(int(np.count_nonzero(entry.weight)) for entry in sets)
        reference = None
        if self._reference is not None and self._channel.reference is not None:
            scale = 1.0 / float(np.sum(self._channel.reference.weight))
            reference = resident(self._channel.reference, scale=scale)
        return UnbinnedBatch(self._form, reference, data, counted)


def _n_numbers(channel: UnbinnedChannelModel) -> int:
    """Return how many numbers the columns of data and reference hold."""
    sets = [channel.events] if channel.reference is None else [channel.events, channel.reference]
    return sum(len(entry.weight) * sum(column_counts(entry)) for entry in sets)


def _is_single(events: EventSet) -> bool:
    columns = (events.log_up, events.log_down, events.coefficients)
    return all(values is None or values.dtype == np.float32 for values in columns)


def _rounding(layout: MorphLayout, channel: UnbinnedChannelModel) -> float:
    """Return the noise of the value with float32 elements.

    A morph is a product of as many rounded factors as a component has columns; the errors of events are independent.
    """
    longest = max(group.n_columns for group in layout.groups)
    error = np.finfo(np.float32).eps * np.sqrt(2.0 * longest)
    return float(2.0 * error * np.sqrt(np.sum(np.asarray(channel.events.weight, dtype=float) ** 2)))


def _chain(
    form: _Form, own: Own, scales: ScaleValues, reference: HostSums, data: HostSums, n_counted: int, order: int
) -> Expansion:
    with np.errstate(all="ignore"):
        along = coordinates(form.layout, own)
        found = differentiate(form.layout, scales, along, reference, data, n_counted=n_counted, order=order)
    return Expansion(found.value, _finite(found.gradient), _finite(found.hessian))


@partial(jax.jit, static_argnums=0)
def _batch_sums(
    kind: Kind, reference: Chunk | None, data: Chunk, rows: Int[Array, " points"], at: At
) -> tuple[Array, Array]:
    """Return the sums of the reference and of the chosen data set at each point, one vector a point."""

    def one(pair: tuple[Array, At]) -> tuple[Array, Array]:
        row, point = pair
        of_reference, logs = jnp.zeros(0), jnp.zeros(kind.layout.n_components)
        if reference is not None:
            sums = sums_of(replace(kind, reference=True), reference, point)
            of_reference = ravel_pytree(sums)[0]
            moved = np.array(kind.layout.moved)
            logs = logs.at[moved].set(jnp.log(sums.component[moved]))
        point = point._replace(expected=point.expected * jnp.exp(-logs))
        chosen = Chunk(*(leaf[row] for leaf in data))
        return of_reference, sums_at(kind, chosen, point)

    of_reference, of_data = jax.lax.map(one, (rows, at))
    return of_reference, of_data


@dataclass(frozen=True, slots=True, eq=False)
class UnbinnedBatch:
    """An unbinned channel on many data sets.

    Args:
        reference: of the channel.
        data: with a leading axis of data sets, filled with weight 0 to one length.
        n_counted: events with weight, per data set.
    """

    form: _Form
    reference: Chunk | None
    data: Chunk
    n_counted: tuple[int, ...]

    @property
    def n_values(self) -> int:
        """Numbers that one data set and one Hessian occupy."""
        return sum(int(np.prod(leaf.shape[1:])) for leaf in self.data)

    def expand(self, own: Float[np.ndarray, "points own"], rows: Int[np.ndarray, " points"]) -> Expansions:
        """Return value, gradient and Hessian at each point."""
        kind = Kind(layout=self.form.layout, order=2, reference=False, dtype="float64", within=False)
        of_reference = replace(kind, reference=True)
        scales = self.form.scales.evaluate(own)
        with jax.enable_x64(new_val=True):
            found = _batch_sums(kind, self.reference, self.data, jnp.asarray(rows), self.form.at(own, scales.value))
            references, sets = np.asarray(found[0]), np.asarray(found[1])
        parts = [
            _chain(
                self.form,
                point,
                ScaleValues(*(entry[number, None] for entry in scales)),
                of_reference.nothing() if self.reference is None else to_sums(of_reference, reference),
                to_sums(kind, numbers),
                self.n_counted[row],
                2,
            )
            for number, (point, row, reference, numbers) in enumerate(zip(own, rows, references, sets, strict=True))
        ]
        return Expansions(
            np.array([part.value for part in parts]),
            np.array([part.gradient for part in parts]),
            np.array([part.hessian for part in parts]),
        )


def _finite(values: np.ndarray) -> np.ndarray:
    """Return derivatives, 0 where they are not finite: there the value is infinite."""
    return np.where(np.isfinite(values), values, 0.0)


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
