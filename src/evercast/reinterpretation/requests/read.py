"""Requests read from their documents, and what must hold in them before any analysis is looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from evercast.reinterpretation.checked import read_checked
from evercast.reinterpretation.requests.model import NewPoint, Request
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
    if not signal.points and not signal.published and not signal.every:
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
    if (point.patch is None) == (point.yields is None):
        message = "a signal is either a `patch` or `yields`"
        report.add(place, "request.signal-form", message, found="both" if point.patch else "neither")
    if point.patch is not None and (reason := unsafe_reason(point.patch.path)) is not None:
        report.add(
            (*place, "patch", "path"), "spec.unsafe-path", f"the path is not allowed: {reason}",
            found=shown(point.patch.path), expected="a path below the folder of the request",
        )  # fmt: skip
    if point.yields is None:
        return
    if point.cross_section is None:
        message = "the cross-section to which the events are normalised is missing; it cannot be inferred"
        hint = "add cross_section: {value_pb, relative_uncertainty}"
        report.add(place, "request.no-cross-section", message, hint=hint)
