"""What a workspace says of parameters, and the formulas that it cannot say, as a document beside it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Final

import numpy as np
from jaxtyping import Float64

from evercast.errors import NumericalFailure
from evercast.likelihood.coefficients import evaluate_coefficient
from evercast.likelihood.model import ParameterModel
from evercast.spec.expressions import Binary, Name, Node, Number, parse_coefficient
from evercast.spec.expressions import names as names_in

__all__ = ["formula_names", "formula_span", "parameter_setting", "parametrisation_of", "product_of"]

_GRID: Final = 9


def formula_names(formulas: Mapping[str, str]) -> frozenset[str]:
    """Return the parameters that formulas use."""
    return frozenset(name for formula in formulas.values() for name in names_in(parse_coefficient(formula)))


def formula_span(formula: str, parameters: Mapping[str, ParameterModel]) -> tuple[float, float, float]:
    """Return a formula at the initial values, and its range within the bounds of its parameters, with a margin."""
    node = parse_coefficient(formula)
    names = sorted(names_in(node))
    found: list[float] = []
    for point in itertools.product(*(_axis(parameters[name]) for name in names)):
        try:
            found.append(evaluate_coefficient(node, dict(zip(names, map(float, point), strict=True))))
        except NumericalFailure:
            continue  # undefined there
    start = evaluate_coefficient(node, {name: parameters[name].initial for name in names})
    low, high = min(start, *found), max(start, *found)
    margin = 0.5 * (high - low) or 1.0
    return start, low - margin, high + margin


def parametrisation_of(
    formulas: Mapping[str, str], parameters: Mapping[str, ParameterModel]
) -> Mapping[str, object] | None:
    """Return the parametrisation document with the formulas; None where there are none.

    Args:
        formulas: process -> coefficient.
        parameters: all of the likelihood; those of formulas have no constraint or a unit Gaussian one.
    """
    if not formulas:
        return None
    entries = {}
    for name in sorted(formula_names(formulas), key=list(parameters).index):
        parameter = parameters[name]
        entry: dict[str, object] = {"initial": parameter.initial, "poi": parameter.poi, "unit": parameter.unit}
        if all(math.isfinite(bound) for bound in parameter.bounds):
            entry["bounds"] = list(parameter.bounds)
        if parameter.constraint != "none":
            entry["constraint"] = parameter.constraint
        if parameter.label is not None:
            entry["label"] = parameter.label
        entries[name] = entry
    return {"schema": "parametrisation/1.0.0", "parameters": entries, "coefficients": dict(formulas)}


def parameter_setting(parameter: ParameterModel) -> dict[str, object]:
    """Return the entry of a parameter in a measurement; what is the default of its kind is left out."""
    entry: dict[str, object] = {"name": parameter.name}
    alpha = parameter.constraint == "normal" and parameter.name != "lumi"
    if not alpha or parameter.initial != 0.0:
        entry["inits"] = [parameter.initial]
    if all(math.isfinite(bound) for bound in parameter.bounds) and not (alpha and parameter.bounds == (-5.0, 5.0)):
        entry["bounds"] = [list(parameter.bounds)]
    if parameter.constraint == "normal" and (not alpha or parameter.global_observable != 0.0):
        entry["auxdata"] = [parameter.global_observable]
    if parameter.name == "lumi" and parameter.constraint == "normal":
        entry["sigmas"] = [parameter.width]
    if parameter.fixed:
        entry["fixed"] = True
    return entry


def _axis(parameter: ParameterModel) -> Float64[np.ndarray, " grid"]:
    low, high = (bound if math.isfinite(bound) else parameter.initial + side for bound, side in
                 zip(parameter.bounds, (-10.0, 10.0), strict=True))  # fmt: skip
    axis: Float64[np.ndarray, " grid"] = np.linspace(low, high, _GRID)
    return axis


def product_of(node: Node) -> tuple[float, tuple[str, ...]] | None:
    """Return a formula as a number times different parameters; None where it is something else."""
    match node:
        case Number(value=value):
            return float(value), ()
        case Name(name=name):
            return 1.0, (name,)
        case Binary(op="*", left=left, right=right):
            first, second = product_of(left), product_of(right)
            if first is None or second is None or set(first[1]) & set(second[1]):
                return None
            return first[0] * second[0], first[1] + second[1]
        case _:
            return None
