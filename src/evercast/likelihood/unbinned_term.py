"""One unbinned channel as a term of a likelihood."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

import jax
import numpy as np
from jaxtyping import Float

from evercast.errors import InvalidInput
from evercast.likelihood.component_scales import build_scales
from evercast.likelihood.event_arrays import column_counts
from evercast.likelihood.event_source import EventSource, MakeSource, Resident, local_source
from evercast.likelihood.model import EventSet, LikelihoodModel, ParameterModel, UnbinnedChannelModel
from evercast.likelihood.morph_factors import is_within
from evercast.likelihood.morph_layout import MorphLayout, build_layout
from evercast.likelihood.terms import BatchTerm, Expansion
from evercast.likelihood.unbinned_batch import PointByPoint, make_batch
from evercast.likelihood.unbinned_chain import log_normalisation, twice_nll
from evercast.likelihood.unbinned_form import Form, chain
from evercast.likelihood.unbinned_kernel import At
from evercast.likelihood.unbinned_sums import HostSums, Kind, to_sums
from evercast.spec.expressions import names as names_in
from evercast.spec.expressions import parse_coefficient

__all__ = ["UnbinnedTerm"]

Own = Float[np.ndarray, " own"]

_LARGE = 1 << 20
"""Numbers in columns above which it pays to compile a function per order, and to have float32 elements."""


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
        self._form = Form(scales=build_scales(channel.components, names), layout=build_layout(channel, names))
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
        return chain(self._form, own, scales, reference, data, self._n_counted, order)

    def expected(self, own: Own) -> Mapping[str, Float[np.ndarray, " n"]]:
        """Return the expected events of each component."""
        return {self._channel.name: self._form.scales.value(own[None])[0]}

    def batch(self, models: Sequence[LikelihoodModel]) -> BatchTerm:
        """Return the term on the events of each model."""
        sets = [_events_of(model, self._channel.name) for model in models] or [self._channel.events]
        if not models and (self._is_large or not isinstance(self._data, Resident)):
            return PointByPoint(self)
        reference = self._channel.reference if self._reference is not None else None
        return make_batch(self._form, reference, sets)


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
