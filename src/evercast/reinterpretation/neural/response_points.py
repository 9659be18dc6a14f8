"""What response.json says of one point of a request to an archived run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from evercast.artifacts.event_table import read_event_table
from evercast.artifacts.files import canonical_json, read_json
from evercast.publication.diagnostics.contents import RunContents
from evercast.publication.report.checks import Diagnostics
from evercast.publication.report.view import JsonView
from evercast.reinterpretation.neural.answers import (
    ClsAt,
    DomainShare,
    Fitted,
    Injected,
    Limits,
    ModelPointAnswer,
    ParametrisationAnswer,
    ProcessAnswer,
)
from evercast.reinterpretation.neural.contents import checks_of, run_contents
from evercast.reinterpretation.neural.frozen import FrozenNeural
from evercast.reinterpretation.neural.shapes import Distribution, distributions
from evercast.reinterpretation.neural.updated import UpdatedBundle
from evercast.reinterpretation.requests.answers import efficiency_limit
from evercast.reinterpretation.requests.model import NewPoint
from evercast.spec.codec import to_json
from evercast.spec.model import Analysis

__all__ = ["PointParts", "Scan", "point_body", "point_parts"]

AnyAnswer = ProcessAnswer | ModelPointAnswer | ParametrisationAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """-2 ln of the profile likelihood ratio: values of the parameter, and the ratio there, None where a fit failed."""

    data: str
    values: tuple[float, ...]
    ratio: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PointParts:
    """An answer with what its derived run says beside it.

    Args:
        answer: to one point.
        sample: name of the new sample; None without one.
        contents: the derived run; None where there is none.
        checks: of the new term.
        shapes: the signal beside what the archive has.
        scans: of the parameter of interest.
        bundle: the updated one; `bundle_folder` below the response; `bundle_reason` why there is none.
    """

    answer: AnyAnswer
    sample: str | None = None
    contents: RunContents | None = None
    checks: Diagnostics = field(default_factory=Diagnostics)
    shapes: tuple[Distribution, ...] = ()
    scans: tuple[Scan, ...] = ()
    bundle: UpdatedBundle | None = None
    bundle_folder: str | None = None
    bundle_reason: str | None = None

    def with_bundle(self, made: UpdatedBundle | str, *, folder: str) -> PointParts:
        """Return the parts with a bundle, or with why there is none."""
        if isinstance(made, str):
            return replace(self, bundle_reason=made)
        return replace(self, bundle=made, bundle_folder=folder)


def point_parts(answer: AnyAnswer, frozen: FrozenNeural) -> PointParts:
    """Return an answer with its checks, shapes and scans, read from the derived run.

    Raises:
        IntegrityError: a file of the run is damaged.
    """
    if isinstance(answer, ParametrisationAnswer):
        return PointParts(answer=answer)
    sample = None if answer.selection is None else read_event_table(answer.selection / "events.zarr").sample
    if answer.plan is None or answer.status not in {"ok", "at-bound"}:
        reason = "the signal was not added to the likelihood" if isinstance(answer, ProcessAnswer) else None
        return PointParts(answer=answer, sample=sample, bundle_reason=reason)
    contents = run_contents(answer.plan)
    wanted = frozen.asked().wanted
    names = {answer.likelihood, *([sample] if sample else [])}
    if isinstance(answer, ProcessAnswer):
        names.add(answer.process)
    shapes = (
        distributions(contents, likelihood=answer.likelihood, signal=sample, observed=wanted.observed) if sample else ()
    )
    scans = _scans(contents.result_view(answer.likelihood)) if isinstance(answer, ProcessAnswer) else ()
    return PointParts(
        answer=answer, sample=sample, contents=contents, checks=checks_of(contents, names), shapes=shapes, scans=scans,
        bundle_reason="the derived run is not at hand" if answer.run is None else None,
    )  # fmt: skip


def _scans(result: JsonView) -> tuple[Scan, ...]:
    found = []
    for side in ("observed", "expected"):
        values, ratio = result.numbers(side, "scan", "values"), result.numbers(side, "scan", "t")
        if values.size > 1 and values.shape == ratio.shape:
            data = "observed" if side == "observed" else result.text(side, "asimov") or "expected"
            finite = tuple(float(value) if np.isfinite(value) else None for value in ratio)
            found.append(Scan(data=data, values=tuple(values.tolist()), ratio=finite))
    return tuple(found)


def point_body(
    parts: PointParts, frozen: FrozenNeural, analysis: Analysis, *, excluded: bool | None
) -> dict[str, object]:
    """Return one entry of ``points`` of response.json."""
    answer, wanted = parts.answer, frozen.asked().wanted
    asked = frozen.asked().signal.points.get(answer.name)
    stated = None if asked is None else asked.cross_section
    sigma = None if stated is None else stated.effective_pb
    events = {} if isinstance(answer, ParametrisationAnswer) else answer.expected_events
    produced = None if sigma is None else sigma * 1000.0 * analysis.metadata.luminosity_fb
    generated = None if isinstance(answer, ParametrisationAnswer) else answer.generated_events
    limits = None if isinstance(answer, ModelPointAnswer) else answer.limits
    seen = None if limits is None else limits.observed
    new = isinstance(answer, ProcessAnswer)
    return {
        "name": answer.name, "values": [], "origin": _origin(asked), "status": answer.status, "excluded": excluded,
        "cls": _cls(answer), "limit": _limit(limits), "cross_section_pb": sigma,
        "limit_pb": seen * sigma if new and seen is not None and sigma is not None else None,
        "events": {name: [value] for name, value in events.items()},
        "efficiency": sum(events.values()) / produced if new and produced and events else None,
        "efficiency_limit": efficiency_limit(generated, wanted.confidence_level)
        if answer.status == "no-events" else None,
        "guard": None, "remarks": _remarks(answer), "failure": _failure(answer), "patch_sha256": None,
        "key": _key(answer), "computed": any(unit.origin == "computed" for unit in answer.units),
        "selection": _selection(parts, asked),
        "process": _process(parts) if isinstance(answer, ProcessAnswer) else None,
        "model_point": _model_point(parts) if isinstance(answer, ModelPointAnswer) else None,
        "parametrisation": _parametrisation(answer) if isinstance(answer, ParametrisationAnswer) else None,
    }  # fmt: skip


def _origin(asked: NewPoint | None) -> str:
    if asked is None:
        return "parametrisation"
    return "generate" if asked.generate is not None else "events"


def _cls(answer: AnyAnswer) -> dict[str, object] | None:
    found: ClsAt | None = None if isinstance(answer, ParametrisationAnswer) else answer.cls
    if found is None or len(found.expected) != 5:
        return None
    best = answer.observed.value if answer.observed is not None and found.observed is not None else None
    return {"mu": found.value, "observed": found.observed, "expected": list(found.expected), "mu_hat": best}


def _limit(limits: Limits | None) -> dict[str, object] | None:
    if limits is None or len(limits.expected) != 5:
        return None
    return {"observed": limits.observed, "expected": list(limits.expected)}


def _remarks(answer: AnyAnswer) -> list[str]:
    limits = None if isinstance(answer, ModelPointAnswer) else answer.limits
    said = [*(limits.remarks if limits else ()), *(answer.observed.problems if answer.observed else ())]
    return list(dict.fromkeys(said))


def _failure(answer: AnyAnswer) -> dict[str, str] | None:
    if answer.status not in {"failed", "refused"}:
        return None
    code = "request.domain" if answer.status == "refused" else "request.failed"
    return {"code": code, "message": answer.reason or "no reason is known"}


def _key(answer: AnyAnswer) -> str:
    """Return the digest of the keys of all units that the answer depends on."""
    return hashlib.sha256(canonical_json([answer.kind, answer.name, *sorted(u.key for u in answer.units)])).hexdigest()


def _selection(parts: PointParts, asked: NewPoint | None) -> dict[str, object] | None:
    answer = parts.answer
    if asked is None or isinstance(answer, ParametrisationAnswer):
        return None
    files = () if asked.events is None else asked.events.files
    cuts, total = _cut_flow(answer)
    effective = max((share.effective_events for share in answer.domain), default=None)
    return {
        "files": [
            {"name": file.path, "sha256": file.sha256, "size_bytes": file.size_bytes, "events": file.events}
            for file in files
        ],
        "generated_events": answer.generated_events, "sum_of_weights": total, "effective_events": effective,
        "cut_flow": cuts,
        "bins": {name: {"events": [value], "uncertainty": []} for name, value in answer.expected_events.items()},
    }  # fmt: skip


def _cut_flow(answer: ProcessAnswer | ModelPointAnswer) -> tuple[list[dict[str, object]], float | None]:
    """Return what is left after each step of the selection unit, and the sum of all weights."""
    place = None if answer.selection is None else answer.selection / "summary.json"
    if place is None or not place.is_file():
        return [], None
    view = JsonView(read_json(place))
    steps = list(view.entries("cut_flow"))
    cuts: list[dict[str, object]] = [
        {
            "name": step.text("step") or "", "events": step.whole("events") or 0,
            "sum_of_weights": step.number("sum_of_weights"), "expected": step.number("sum_of_weights_expected"),
            "published": None, "ratio": None,
        }
        for step in steps
    ]  # fmt: skip
    return cuts, steps[0].number("sum_of_weights") if steps else None


def _process(parts: PointParts) -> dict[str, object]:
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
        "limit_inside": _limit(answer.inside),
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


def _model_point(parts: PointParts) -> dict[str, object]:
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


def _parametrisation(answer: ParametrisationAnswer) -> dict[str, object]:
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
