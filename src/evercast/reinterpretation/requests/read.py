"""Requests read from their documents, and what must hold in them before any analysis is looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from evercast.reinterpretation.checked import read_checked
from evercast.reinterpretation.requests.model import EventSample, Generation, NewPoint, NewProcess, Request
from evercast.spec.checks.files import unsafe_reason
from evercast.spec.report import Path as Place
from evercast.spec.report import Report, shown

__all__ = ["MAX_POINTS", "read_request"]

MAX_POINTS: Final = 5000
"""Points of one request: a larger grid is asked in several."""


def read_request(path: Path) -> Request:
    """Return the request in a document.

    Raises:
        InvalidDocument: with every problem of syntax, of the schema and of the cross-checks; `UnsafeDocument` where a
            path leaves the folder or there are too many points.
    """
    return read_checked(path, "request", Request, _check, prepare=_long_form)


def _long_form(body: dict[str, Any]) -> dict[str, Any]:
    """Write ``published: all`` out as the flag that it is."""
    signal = body["signal"]
    if isinstance(signal.get("published"), str):
        return {**body, "signal": {**signal, "published": [], "every": True}}
    return body


def _check(request: Request, report: Report) -> None:
    signal = request.signal
    count = len(signal.points) + len(signal.published)
    if count > MAX_POINTS:
        message = f"the request has {count} points; one request may have {MAX_POINTS}"
        report.add(("signal",), "spec.limit", message, hint="ask for the grid in several requests")
        return
    if signal.parametrisation is not None:
        _check_path(signal.parametrisation.path, ("signal", "parametrisation", "path"), report)
    elif not signal.points and not signal.published and not signal.every:
        report.add(("signal",), "request.no-signal", "there is no signal point")
    if signal.points and request.collision is None:
        message = "a request with signals of its own must say for which collisions they were computed"
        report.add(("signal", "points"), "request.no-collision", message, hint="add collision: {beams, sqrt_s_tev}")
    named: set[str] = set()
    for number, name in enumerate(signal.published):
        if name in named:
            message = f"the point {shown(name)} stands twice"
            report.add(("signal", "published", number), "request.duplicate-point", message)
        named.add(name)
    seen: dict[tuple[float, ...], str] = {}
    for name, point in signal.points.items():
        place: Place = ("signal", "points", name)
        _check_point(point, place, report)
        if name in named:
            report.add(place, "request.duplicate-point", "a published point has the same name", key=True)
        if point.values and (other := seen.setdefault(point.values, name)) != name:
            message = f"the point {shown(other)} has the same values"
            report.add((*place, "values"), "request.duplicate-point", message)


def _check_point(point: NewPoint, place: Place, report: Report) -> None:
    forms = {"patch": point.patch, "yields": point.yields, "events": point.events, "generate": point.generate}
    stated = [name for name, part in forms.items() if part is not None]
    if len(stated) != 1:
        message = "a signal is exactly one of `patch`, `yields`, `events` and `generate`"
        found = " and ".join(stated) or "neither"
        report.add(place, "request.signal-form", message, found=found)
    if point.patch is not None:
        _check_path(point.patch.path, (*place, "patch", "path"), report)
    if point.events is not None:
        _check_sample(point.events, (*place, "events"), report)
    if point.generate is not None:
        _check_generation(point.generate, (*place, "generate"), report)
    if point.cross_section is None and any(name != "patch" for name in stated):
        message = "the cross-section to which the events are normalised is missing; it cannot be inferred"
        hint = "add cross_section: {value_pb, relative_uncertainty}"
        report.add(place, "request.no-cross-section", message, hint=hint)
    _check_meaning(point, place, report)


def _check_meaning(point: NewPoint, place: Place, report: Report) -> None:
    """What the events are in an archived model."""
    if point.process is not None and point.model_point:
        message = "events are either a new process or of the same model at a `model_point`"
        report.add(place, "request.signal-form", message, found="both")
    if (point.process is not None or point.model_point) and point.events is None and point.generate is None:
        message = "a process or a model point needs events: `events` or `generate`"
        report.add(place, "request.signal-form", message)
    if point.process is not None:
        _check_process(point.process, (*place, "process"), report)


def _check_process(process: NewProcess, place: Place, report: Report) -> None:
    low, high = process.bounds
    if not low < high:
        report.add((*place, "bounds"), "request.bounds", "the bounds are not in order", found=f"{low:g}, {high:g}")


def _check_sample(sample: EventSample, place: Place, report: Report) -> None:
    seen: dict[str, int] = {}
    for number, file in enumerate(sample.files):
        _check_path(file.path, (*place, "files", number, "path"), report)
        if (other := seen.setdefault(file.sha256, number)) != number:
            message = f"file {other} has the same content: its events would count twice"
            report.add((*place, "files", number, "sha256"), "request.duplicate-events", message)


def _check_generation(card: Generation, place: Place, report: Report) -> None:
    if card.events % card.jobs:
        message = f"{card.events} events cannot be made in {card.jobs} equal parts"
        report.add((*place, "jobs"), "request.parts", message)
    if card.slha is not None:
        _check_path(card.slha.path, (*place, "slha", "path"), report)


def _check_path(path: str, place: Place, report: Report) -> None:
    reason = unsafe_reason(path)
    if reason is not None:
        report.add(
            place, "spec.unsafe-path", f"the path is not allowed: {reason}", found=shown(path),
            expected="a path below the folder of the request",
        )  # fmt: skip
