"""How the binned projection compares with the likelihood it is of, and with what pyhf makes of its file."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Any, Final

import numpy as np
from jaxtyping import Float64

from evercast.errors import EvercastError
from evercast.inference.asimov import asimov_model
from evercast.inference.outcome import compute_outcome, outcome_to_json
from evercast.likelihood.coefficients import evaluate_coefficient
from evercast.likelihood.evaluate import Likelihood
from evercast.publication.pyhf_workspace import Export
from evercast.publication.report.view import JsonView
from evercast.spec.expressions import parse_coefficient
from evercast.spec.model import Inference

__all__ = ["compare_with_likelihood", "compare_with_pyhf"]

_KEYS: Final = ("value", "uncertainty", "low", "high", "z")


def compare_with_likelihood(
    projected: Likelihood, result: Mapping[str, object], *, inference: Inference
) -> dict[str, object]:
    """Return best value, uncertainty, interval and significance of both, on the data and on Asimov data.

    Args:
        projected: the projection, with the observed counts.
        result: the likelihood's own, as in ``fit.json``.
        inference: confidence level and scan of the document.

    Raises:
        NumericalFailure: a fit failed.
        InvalidInput: there is no parameter of interest.
    """
    asked = replace(inference, limit=None, impacts=False, contours=())
    found: dict[str, object] = {"confidence_level": inference.confidence_level}
    expected = Likelihood(asimov_model(projected, projected.initial))
    for kind, likelihood in (("expected", expected), ("observed", projected)):
        own = _numbers(JsonView(dict(result)).at(kind), str(result.get("poi")))
        if own is None:
            continue
        outcome = outcome_to_json(compute_outcome(likelihood, inference=asked))
        other = _numbers(JsonView(outcome), str(result.get("poi")))
        found[kind] = {"unbinned": own, "projection": other, **_ratios(own, other or {})}
    return found


def _numbers(outcome: JsonView, poi: str) -> dict[str, float | None] | None:
    value = outcome.number("fit", "parameters", poi, "value")
    if value is None:
        return None
    numbers = (
        value,
        outcome.number("fit", "parameters", poi, "uncertainty"),
        outcome.number("interval", "low"),
        outcome.number("interval", "high"),
        outcome.number("significance", "z"),
    )
    return dict(zip(_KEYS, numbers, strict=True))


def _ratios(own: Mapping[str, float | None], other: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return the lengths of the intervals and the distance of the best values, in units of the likelihood's own."""
    lengths = [_difference(side.get("high"), side.get("low")) for side in (own, other)]
    sigma = own["uncertainty"] or (None if lengths[0] is None else lengths[0] / 2)
    shift = _difference(other.get("value"), own["value"])
    ratio = None if not lengths[0] or lengths[1] is None else lengths[1] / lengths[0]
    return {
        "interval_length_ratio": ratio,
        "shift_in_uncertainties": None if not sigma or shift is None else shift / sigma,
    }


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def compare_with_pyhf(
    projected: Likelihood, export: Export, points: Mapping[str, Float64[np.ndarray, " n"]]
) -> dict[str, object]:
    """Return the largest difference of -2 ln L between pyhf, reading the workspace, and this program.

    Args:
        projected: the projection.
        export: its workspace and formulas.
        points: name -> parameter vector.

    Raises:
        EvercastError: pyhf does not read it, which the checks before refuse.
    """
    import pyhf  # noqa: PLC0415 - takes a second to import

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="jsonschema.RefResolver", category=DeprecationWarning)
        workspace = pyhf.Workspace(export.workspace)
        poi = workspace.get_measurement()["config"]["poi"]
        model = workspace.model(poi_name=poi or None)
    data, formulas = workspace.data(model), _formulas(export)
    missing = [name for name in model.config.par_names if name not in {*projected.names, *formulas}]
    if missing:
        raise EvercastError(f"the workspace has a parameter {missing[0]!r} that the likelihood has not")
    largest = 0.0
    for theta in points.values():
        values = {name: float(value) for name, value in zip(projected.names, theta, strict=True)}
        known = values | {
            name: evaluate_coefficient(parse_coefficient(text), values) for name, text in formulas.items()
        }
        parameters = [known[name] for name in model.config.par_names]
        log_density: Any = model.logpdf(parameters, data)
        largest = max(largest, abs(-2.0 * float(log_density[0]) - projected.twice_nll(theta)))
    return {"version": version("pyhf"), "points": list(points), "largest_difference_twice_nll": largest}


def _formulas(export: Export) -> Mapping[str, str]:
    """Return factor of the workspace -> formula."""
    body = export.parametrisation or {}
    coefficients = body.get("coefficients")
    found = coefficients if isinstance(coefficients, Mapping) else {}
    return {f"c_{process}": str(formula) for process, formula in found.items()}
