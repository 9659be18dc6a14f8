"""How an unbinned channel follows its parameters: what the sums over events need, and what is made of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from evercast.likelihood.component_scales import ComponentScales, ScaleValues
from evercast.likelihood.morph_factors import anchor_table, coordinates, monomials
from evercast.likelihood.morph_layout import MorphLayout
from evercast.likelihood.terms import Expansion
from evercast.likelihood.unbinned_chain import differentiate
from evercast.likelihood.unbinned_kernel import At
from evercast.likelihood.unbinned_sums import HostSums

__all__ = ["Form", "chain"]

Own = Float[np.ndarray, " own"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Form:
    """The static side of a channel.

    Args:
        scales: expected events of the components.
        layout: of the morphs.
    """

    scales: ComponentScales
    layout: MorphLayout

    def at(self, own: Float[np.ndarray, "points own"], expected: Float[np.ndarray, "points components"]) -> At:
        """Return what the sums need at (points, own) parameters."""
        return At(expected, anchor_table(self.layout, own), monomials(self.layout.terms, own))


def chain(
    form: Form, own: Own, scales: ScaleValues, reference: HostSums, data: HostSums, n_counted: int, order: int
) -> Expansion:
    """Return value and derivatives from the sums, at one point."""
    with np.errstate(all="ignore"):
        along = coordinates(form.layout, own)
        found = differentiate(form.layout, scales, along, reference, data, n_counted=n_counted, order=order)
    return Expansion(found.value, _finite(found.gradient), _finite(found.hessian))


def _finite(values: np.ndarray) -> np.ndarray:
    """Return derivatives, 0 where they are not finite: there the value is infinite."""
    return np.where(np.isfinite(values), values, 0.0)
