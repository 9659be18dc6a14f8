"""The checks of a run as ``diagnostics.json`` has them: the one truth of every verdict in the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from evercast.publication.report.units import Unit, of_stage
from evercast.publication.report.view import JsonView, read_view

__all__ = ["Diagnostics", "ReportedCheck", "Status", "read_diagnostics"]

Status = Literal["green", "amber", "red", "not-applicable"]

_STATUSES: tuple[Status, ...] = ("green", "amber", "red", "not-applicable")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedCheck:
    """One check; what the file does not hold is None or empty."""

    id: str
    name: str
    number: int | None
    subject: str
    status: Status
    message: str
    value: float | None
    amber: float | None
    red: float | None
    figure: JsonView


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostics:
    """All checks and what they mean for publication.

    Args:
        document: the whole ``diagnostics.json``.
        overridden: red check -> reason.
    """

    document: JsonView = field(default_factory=JsonView)
    checks: tuple[ReportedCheck, ...] = ()
    overridden: Mapping[str, str] = field(default_factory=dict)

    def count(self, status: Status) -> int:
        """Return the number of checks with an outcome."""
        return sum(check.status == status for check in self.checks)


def read_diagnostics(units: tuple[Unit, ...]) -> Diagnostics:
    """Return the checks of a run, none where it has no diagnostics.

    Raises:
        IntegrityError: ``diagnostics.json`` is absent or not JSON.
    """
    unit = next(iter(of_stage(units, "diagnostics")), None)
    if unit is None:
        return Diagnostics()
    body = read_view(unit.folder / "diagnostics.json")
    reasons = {name: view.text() or "" for name, view in body.items("publication", "overridden")}
    return Diagnostics(
        document=body, overridden=reasons, checks=tuple(_check(entry) for entry in body.entries("checks"))
    )


def _check(entry: JsonView) -> ReportedCheck:
    found = entry.text("status")
    known: Status = next((status for status in _STATUSES if status == found), "red")
    return ReportedCheck(
        id=entry.text("id") or "?", name=entry.text("name") or "?", number=entry.whole("number"),
        subject=entry.text("subject") or "–", status=known, message=entry.text("message") or "",
        value=entry.number("value"), amber=entry.number("threshold_amber"), red=entry.number("threshold_red"),
        figure=entry.at("figure"),
    )  # fmt: skip
