"""Overlap removal: items near to an item of another collection."""

from __future__ import annotations

import awkward as ak
import numpy as np

from evercast.events.evaluate import Formula, Scope, evaluate_items
from evercast.events.momenta import item_properties
from evercast.spec.expressions import parse
from evercast.spec.model import Overlap

__all__ = ["without_near"]


def without_near(name: str, step: Overlap, items: ak.Array, others: ak.Array, scope: Scope) -> ak.Array:
    """Return the items that are not near to any of `others`; distances are in pseudorapidity and azimuth.

    Raises:
        ExpressionError: the distance or the condition does not fit.
    """
    values = scope.only(item_properties(items))
    distance = _formula(f"delta_r of {name!r} to {step.collection!r}", step.delta_r)
    largest = evaluate_items(distance, values, like=items, condition=False)
    turn = items.phi[:, :, np.newaxis] - others.phi[:, np.newaxis, :]
    away = items.eta[:, :, np.newaxis] - others.eta[:, np.newaxis, :]
    found = np.hypot(away, np.arctan2(np.sin(turn), np.cos(turn)))
    near = ak.any(found < largest[:, :, np.newaxis], axis=2)
    if step.when is not None:
        condition = _formula(f"condition of {name!r} near {step.collection!r}", step.when)
        near = near & evaluate_items(condition, values, like=items, condition=True)
    return items[~near]


def _formula(what: str, text: str) -> Formula:
    return Formula(what=what, text=text, tree=parse(text))
