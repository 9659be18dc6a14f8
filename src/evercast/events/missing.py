"""Missing transverse momentum: what collections lack to a balanced event."""

from __future__ import annotations

import awkward as ak
import numpy as np
from vector.backends.awkward import behavior

from evercast.errors import InvalidInput
from evercast.events.evaluate import Formula, Scope, evaluate_number
from evercast.events.random_numbers import counter_normal
from evercast.spec.expressions import parse
from evercast.spec.model import MissingMomentum

__all__ = ["build_missing_momentum"]


def build_missing_momentum(name: str, missing: MissingMomentum, scope: Scope, *, seed: int, smear: bool) -> ak.Array:
    """Return the collection `name`: one item per event, without longitudinal momentum and mass.

    Args:
        name: of the new collection.
        missing: how it is made.
        scope: must hold the collections.
        seed: of the resolution; the numbers depend on seed, `name` and event alone.
        smear: whether the resolution is applied; not so for data.

    Raises:
        InvalidInput: ``sample.collection``, a collection is not there; ``sample.resolution``.
        ExpressionError: the resolution does not fit.
    """
    px, py, sum_pt = np.zeros(len(scope)), np.zeros(len(scope)), np.zeros(len(scope))
    for sign, names in ((1.0, missing.plus), (-1.0, missing.minus)):
        for source in names:
            items = _collection(name, source, scope)
            px += sign * _sum(items.px)
            py += sign * _sum(items.py)
            if sign < 0:
                sum_pt += _sum(items.pt)
    if missing.resolution is not None and smear:
        width = _width(name, missing.resolution, scope, {"pt": np.hypot(px, py), "sum_pt": sum_pt})
        px += width * counter_normal(seed, name, scope.event, np.zeros(len(scope), dtype=np.uint64))
        py += width * counter_normal(seed, name, scope.event, np.ones(len(scope), dtype=np.uint64))
    parts = {"px": px, "py": py, "pz": np.zeros(len(scope)), "energy": np.hypot(px, py)}
    one = ak.zip({key: ak.Array(part[:, np.newaxis]) for key, part in parts.items()})
    return ak.from_regular(ak.Array(one, with_name="Momentum4D", behavior=behavior))


def _collection(name: str, source: str, scope: Scope) -> ak.Array:
    items = scope.values.get(source)
    if items is None or not items.fields or items.ndim != 2:
        raise InvalidInput(
            f"missing_momentum.{name} needs the collection {source!r}, which the input has not",
            code="sample.collection",
            hint="declare it in selection.objects",
        )
    return items


def _sum(values: ak.Array) -> np.ndarray:
    return np.asarray(ak.to_numpy(ak.sum(values, axis=1)), dtype=np.float64)


def _width(name: str, text: str, scope: Scope, values: dict[str, np.ndarray]) -> np.ndarray:
    formula = Formula(what=f"resolution of {name!r}", text=text, tree=parse(text))
    width = evaluate_number(formula, scope.only({key: ak.Array(value) for key, value in values.items()}))
    if (width < 0).any():
        raise InvalidInput(
            f"{formula.what} is {width[width < 0][0]} in {int((width < 0).sum())} events; expected a number that is "
            f"not negative: {text}",
            code="sample.resolution",
        )
    return width
