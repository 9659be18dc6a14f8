"""What response.json says of a new process, of the model elsewhere, and of other parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evercast.reinterpretation.neural.answers import (
    DomainShare,
    Fitted,
    Injected,
    Limits,
    ModelPointAnswer,
    ParametrisationAnswer,
    ProcessAnswer,
)
from evercast.reinterpretation.neural.point_parts import PointParts
from evercast.reinterpretation.neural.shapes import Distribution
from evercast.spec.codec import to_json

__all__ = ["limit_body", "model_point_body", "parametrisation_body", "process_body"]


def process_body(parts: PointParts) -> dict[str, object]:
    """Return what is said of a new process: fits, limits, domain, injection, closure, checks, shapes, bundle."""
    answer = parts.answer
    assert isinstance(answer, ProcessAnswer)  # noqa: S101 - the caller looked
    bundle = parts.bundle
    return {
        "likelihood": answer.likelihood, "process": answer.process, "parameter": answer.parameter,
        "coefficient": answer.coefficient, "nominal": answer.nominal, "expected_events": dict(answer.expected_events),
        "events": dict(answer.events), "domain": [_domain(share) for share in answer.domain],
        "observed": _fitted(answer.observed), "expected": _fitted(answer.expected),
        "scans": [
            {"data": scan.data, "values": list(scan.values), "twice_nll_ratio": list(scan.ratio)}
            for scan in parts.scans
        ],
        "limit_inside": limit_body(answer.inside),
        "neyman": None if answer.neyman is None else to_json(answer.neyman),
        "injection": [_injected(entry) for entry in answer.injection],
        "closure": [to_json(entry) for entry in answer.closure],
        "training_statistics": [to_json(entry) for entry in answer.training_statistics],
        "checks": _checks(parts), "distributions": _distributions(parts.shapes),
        "bundle": None if bundle is None else {
            "folder": parts.bundle_folder, "manifest": bundle.manifest, "disclosure": bundle.disclosure,
            "verified": True, "checked": list(bundle.checked),
        },
        "bundle_reason": None if bundle is not None else parts.bundle_reason or "the archive publishes none",
    }  # fmt: skip


def model_point_body(parts: PointParts) -> dict[str, object]:
    """Return what is said of a sample of the model at other values: closure, what the data say, shapes."""
    answer = parts.answer
    assert isinstance(answer, ModelPointAnswer)  # noqa: S101 - the caller looked
    return {
        "likelihood": answer.likelihood, "declared": dict(answer.declared),
        "expected_events": dict(answer.expected_events), "events": dict(answer.events),
        "domain": [_domain(share) for share in answer.domain], "model_events": dict(answer.model_events),
        "closure": _fitted(answer.closure), "pulls": dict(answer.pulls), "observed": _fitted(answer.observed),
        "twice_nll_ratio": answer.twice_nll_ratio, "p_value": answer.p_value, "checks": _checks(parts),
        "distributions": _distributions(parts.shapes),
    }  # fmt: skip


def parametrisation_body(answer: ParametrisationAnswer) -> dict[str, object]:
    """Return what is said of the model in other parameters."""
    return {
        "likelihood": answer.likelihood, "parameters": list(answer.parameters), "parameter": answer.parameter,
        "observed": _fitted(answer.observed), "expected": _fitted(answer.expected), "scans": [],
    }  # fmt: skip


def _domain(share: DomainShare) -> dict[str, object]:
    return {**to_json(share), "refused": share.refused}


def _fitted(found: Fitted | None) -> dict[str, object] | None:
    if found is None:
        return None
    parameters = {name: {"value": v, "uncertainty": error} for name, (v, error) in found.parameters.items()}
    return {**to_json(found), "parameters": parameters}


def _injected(entry: Injected) -> dict[str, Any]:
    coverage = [{"confidence_level": level, "share": share, "error": error} for level, share, error in entry.coverage]
    return {**to_json(entry), "coverage": coverage}


def _checks(parts: PointParts) -> list[Mapping[str, object]]:
    return [
        {
            "id": check.id, "name": check.name, "subject": check.subject, "outcome": check.status,
            "value": check.value, "message": check.message,
        }
        for check in parts.checks.checks
    ]  # fmt: skip


def _distributions(shapes: Sequence[Distribution]) -> list[Mapping[str, object]]:
    return [
        {
            "region": shape.region, "quantity": shape.quantity, "kind": shape.kind, "unit": shape.unit,
            "edges": shape.edges.tolist(),
            "curves": [
                {
                    "name": curve.name, "role": curve.role, "fraction": curve.fraction.tolist(),
                    "error": curve.error.tolist(),
                }
                for curve in shape.curves
            ],
        }
        for shape in shapes
    ]  # fmt: skip


def limit_body(limits: Limits | None) -> dict[str, object] | None:
    """Return an upper limit with its five expected values; None where there is none."""
    if limits is None or len(limits.expected) != 5:
        return None
    return {"observed": limits.observed, "expected": list(limits.expected)}
