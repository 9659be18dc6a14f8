"""What response.json says of one point of a request to an archived run."""

from __future__ import annotations

import hashlib
import math

from evercast.artifacts.files import canonical_json, read_json
from evercast.publication.report.view import JsonView
from evercast.reinterpretation.neural.answers import (
    ClsAt,
    ModelPointAnswer,
    ParametrisationAnswer,
    ProcessAnswer,
)
from evercast.reinterpretation.neural.asked import coefficient_at, process_of
from evercast.reinterpretation.neural.frozen import FrozenNeural
from evercast.reinterpretation.neural.point_parts import AnyAnswer, PointParts
from evercast.reinterpretation.neural.response_terms import (
    limit_body,
    model_point_body,
    parametrisation_body,
    process_body,
)
from evercast.reinterpretation.requests.answers import efficiency_limit
from evercast.reinterpretation.requests.model import NewPoint
from evercast.spec.expressions import names as names_in
from evercast.spec.expressions import parse_coefficient
from evercast.spec.model import Analysis

__all__ = ["point_body"]


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
    signal = frozen.signals.get(answer.name)
    if signal is not None and signal.effective_events is not None:
        generated = max(math.floor(signal.effective_events), 1)  # as many equal events say as much
    limits = None if isinstance(answer, ModelPointAnswer) else answer.limits
    new = isinstance(answer, ProcessAnswer)
    return {
        "name": answer.name, "values": [], "origin": _origin(asked), "status": answer.status, "excluded": excluded,
        "cls": _cls(answer), "limit": limit_body(limits), "cross_section_pb": sigma,
        "limit_pb": _limit_pb(answer, asked, analysis, sigma),
        "events": {name: [value] for name, value in events.items()},
        "efficiency": sum(events.values()) / produced if new and produced and events else None,
        "efficiency_limit": efficiency_limit(generated, wanted.confidence_level)
        if answer.status == "no-events" else None,
        "guard": None, "remarks": [*(signal.remarks if signal is not None else ()), *_remarks(answer)],
        "failure": _failure(answer), "patch_sha256": None,
        "key": _key(answer), "computed": any(unit.origin == "computed" for unit in answer.units),
        "selection": _selection(parts, asked),
        "process": process_body(parts) if isinstance(answer, ProcessAnswer) else None,
        "model_point": model_point_body(parts) if isinstance(answer, ModelPointAnswer) else None,
        "parametrisation": parametrisation_body(answer) if isinstance(answer, ParametrisationAnswer) else None,
    }  # fmt: skip


def _limit_pb(answer: AnyAnswer, asked: NewPoint | None, analysis: Analysis, sigma: float | None) -> float | None:
    """Return the cross-section at the limit: the stated one times the coefficient there.

    Returns:
        None without a number, and where the coefficient follows fitted parameters too.
    """
    if not isinstance(answer, ProcessAnswer) or answer.limits is None or asked is None or sigma is None:
        return None
    seen, process = answer.limits.observed, process_of(asked)
    alone = names_in(parse_coefficient(answer.coefficient)) == {process.parameter}
    coefficient = coefficient_at(process, seen, analysis) if alone and seen is not None else None
    return None if coefficient is None else coefficient * sigma


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
