"""The likelihood made ready for evaluation: -2 ln L, its gradient and its exact Hessian at a point."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from evercast.likelihood.binned_term import BinnedTerm
from evercast.likelihood.checks import check_model
from evercast.likelihood.coefficients import is_linear, read_coefficient
from evercast.likelihood.constraints import ConstraintTerm
from evercast.likelihood.event_source import MakeSource, local_source
from evercast.likelihood.model import BinnedChannelModel, LikelihoodModel, UnbinnedChannelModel
from evercast.likelihood.terms import Expansion, Sum, Term
from evercast.likelihood.unbinned_term import UnbinnedTerm
from evercast.spec.expressions import names as names_in

__all__ = ["Expansion", "Likelihood", "build_terms"]

Point = Float[np.ndarray, " parameters"]


def build_terms(
    model: LikelihoodModel, *, binned_term: BinnedTerm | None = None, make_source: MakeSource = local_source
) -> tuple[Term, ...]:
    """Return the constraint terms, one term for all binned channels, and one for each unbinned channel.

    Args:
        model: parameters, channels and data.
        binned_term: that of a model whose binned channels differ in their counts only; it is built anew without.
        make_source: where the sums over events of unbinned channels are made.
    """
    terms: list[Term] = []
    if any(parameter.constraint != "none" for parameter in model.parameters):
        terms.append(ConstraintTerm(model.parameters))
    binned = [channel for channel in model.channels if isinstance(channel, BinnedChannelModel)]
    if binned:
        terms.append(binned_term.with_counts(binned) if binned_term else BinnedTerm(model.parameters, binned))
    unbinned = [channel for channel in model.channels if isinstance(channel, UnbinnedChannelModel)]
    return (*terms, *(UnbinnedTerm(model.parameters, channel, make_source) for channel in unbinned))


def _nonlinear(model: LikelihoodModel) -> frozenset[str]:
    names = frozenset(model.parameter_names)
    found: frozenset[str] = frozenset()
    for channel in model.channels:
        rows = channel.samples if isinstance(channel, BinnedChannelModel) else channel.components
        for formula in {row.coefficient for row in rows}:
            node = read_coefficient(formula, parameters=names, where=model.name)
            found |= frozenset() if is_linear(node) else names_in(node)
    return found


class Likelihood:
    """A likelihood model made ready for evaluation, as a sum of terms.

    Functions are compiled once per structure and shape, not per object: another data set or another patch of the same
    family is evaluated by the same compiled code. What the methods return is computed in float64.

    Attributes:
        names, initial, lower, upper, fixed: per parameter, in the order of parameter vectors.
        nonlinear: parameters that a coefficient holds in another form than linear: there may be several minima.
        terms: the summands of -2 ln L.
        rounding: absolute noise of `twice_nll` beyond that of float64 sums: 0.
        fast: the same function, faster and with a `rounding` above 0, for all but the last steps of a minimisation.

    Args:
        model: parameters, channels and data.
        make_source: where sums over events are made; `evercast.likelihood.distributed.sharded_source` spreads them over
            devices and processes, and then checks the values of events as it reads them.
        like: another whose templates are in part the same objects (patches of one workspace): those are not checked
            again.

    Raises:
        InvalidInput: the model is not valid.
        NumericalFailure: log ratios are not finite.
    """

    model: LikelihoodModel

    def __init__(
        self, model: LikelihoodModel, *, make_source: MakeSource = local_source, like: Likelihood | None = None
    ) -> None:
        check_model(model, checked=like.model if like else None, values=make_source is local_source)
        self._take(model, build_terms(model, make_source=make_source), make_source)

    @classmethod
    def checked(cls, model: LikelihoodModel, *, binned_term: BinnedTerm | None = None) -> Likelihood:
        """Return the likelihood of a model that passed `check_model`; its binned term may be at hand."""
        result = cls.__new__(cls)
        result._take(model, build_terms(model, binned_term=binned_term), local_source)
        return result

    def _take(self, model: LikelihoodModel, terms: tuple[Term, ...], make_source: MakeSource) -> None:
        self.model = model
        self.names = model.parameter_names
        self.initial = np.array([parameter.initial for parameter in model.parameters], dtype=float)
        self.lower = np.array([parameter.bounds[0] for parameter in model.parameters], dtype=float)
        self.upper = np.array([parameter.bounds[1] for parameter in model.parameters], dtype=float)
        self.fixed = np.array([parameter.fixed for parameter in model.parameters], dtype=bool)
        self.nonlinear = _nonlinear(model)
        self._make_source = make_source
        self._sum = Sum(terms=terms, n_parameters=len(self.names))

    def with_data(self, model: LikelihoodModel) -> Likelihood:
        """Return the likelihood of a model that differs in counts, events and global observables only."""
        other = copy.copy(self)
        other.model = model
        known = next((term for term in self.terms if isinstance(term, BinnedTerm)), None)
        terms = build_terms(model, binned_term=known, make_source=self._make_source)
        other._sum = Sum(terms=terms, n_parameters=len(self.names))
        return other

    @property
    def terms(self) -> tuple[Term, ...]:
        """The summands of -2 ln L."""
        return tuple(self._sum.terms)

    @property
    def rounding(self) -> float:
        """Absolute noise of -2 ln L beyond that of float64 sums."""
        return self._sum.rounding

    @property
    def fast(self) -> Likelihood | Sum:
        """The likelihood with float32 elements where that is faster; itself where it is not."""
        terms = self.terms
        fast = tuple(term.fast for term in terms)
        if all(one is other for one, other in zip(terms, fast, strict=True)):
            return self
        return Sum(terms=fast, n_parameters=len(self.names))

    def index(self, name: str) -> int:
        """Return the position of a parameter in parameter vectors."""
        return self.names.index(name)

    def twice_nll(self, theta: Point) -> float:
        """Return -2 ln L; infinite where the model is undefined or a total intensity is not positive."""
        return self._sum.twice_nll(theta)

    def value_and_gradient(self, theta: Point) -> tuple[float, Point]:
        """Return -2 ln L and its gradient."""
        return self._sum.value_and_gradient(theta)

    def gradient(self, theta: Point) -> Point:
        """Return the gradient of -2 ln L."""
        return self.value_and_gradient(theta)[1]

    def expand(self, theta: Point) -> Expansion:
        """Return -2 ln L, gradient and Hessian in one evaluation."""
        return self._sum.expand(theta)

    def hessian(self, theta: Point) -> Float[np.ndarray, "parameters parameters"]:
        """Return the matrix of second derivatives of -2 ln L."""
        return self.expand(theta).hessian

    def expected_events(self, theta: Point) -> Mapping[str, Float[np.ndarray, " n"]]:
        """Return per channel the expected events: per bin (binned) or per component (unbinned)."""
        found = self._sum.expected(theta)
        return {channel.name: found[channel.name] for channel in self.model.channels}
