"""One check: a number, its thresholds, the outcome, and the numbers of its plot."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

__all__ = [
    "NUMBERED",
    "Check",
    "Limits",
    "Status",
    "Topic",
    "agreement",
    "check_id",
    "finite",
    "judged",
    "not_applicable",
    "shared_out",
    "status_of",
    "topic",
    "worst",
]

Status = Literal["green", "amber", "red", "not-applicable"]

NUMBERED: Final[Mapping[int, str]] = {
    1: "training and holdout",
    2: "calibration",
    3: "reweighting closure",
    4: "normalisation of densities and morphs",
    5: "tails, weights and sample sizes",
    6: "convergence of the ensemble",
    7: "Asimov closure",
    8: "gradient",
    9: "binned against unbinned",
    10: "recovery of injected shifts",
    11: "coverage",
    12: "export parity",
    13: "positivity",
    14: "factorisation",
}
"""The kinds of checks."""

_ORDER: Final[Mapping[Status, int]] = {"red": 3, "amber": 2, "green": 1, "not-applicable": 0}
_SLUG: Final = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Green below `amber`, amber below `red`, red from there on.

    Args:
        p_green: a difference at least as large is expected with a probability above this where nothing is wrong: then
            the check is green, however large the number. None: only the number counts.
        p_amber: the same for amber.
    """

    amber: float
    red: float
    p_green: float | None = None
    p_amber: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A check as it stands in ``diagnostics.json``.

    Args:
        id: unique; key of `publish.overrides`.
        number: kind, 1 to 14; None for checks of inputs and fits beside them.
        subject: ensemble, process or likelihood.
        value: what is compared with the thresholds; None where nothing was.
        figure: numbers of the plot, with the kind of the plot under ``kind``; empty where there is none.
    """

    id: str
    name: str
    number: int | None
    subject: str
    status: Status
    message: str
    value: float | None = None
    threshold_amber: float | None = None
    threshold_red: float | None = None
    figure: Mapping[str, object] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Return the check in JSON form."""
        return {
            "id": self.id, "name": self.name, "number": self.number, "subject": self.subject, "status": self.status,
            "value": self.value, "threshold_amber": self.threshold_amber, "threshold_red": self.threshold_red,
            "message": self.message, "figure": finite(self.figure) if self.figure else None,
        }  # fmt: skip


def check_id(*parts: str) -> str:
    """Return the id of a check from its parts; what an id may not hold becomes an underscore.

    Example:
        >>> check_id("calibration", "ratios", "gg -> H")
        'calibration.ratios.gg_-_H'
    """
    return ".".join(_SLUG.sub("_", part) or "_" for part in parts)[:200]


def status_of(value: float, limits: Limits, *, p: float | None = None) -> Status:
    """Return the outcome for a value; NaN is red.

    Args:
        value: larger is worse.
        limits: thresholds.
        p: probability of a value at least as large where nothing is wrong.

    Example:
        >>> limits = Limits(amber=0.02, red=0.05, p_green=0.01, p_amber=1e-4)
        >>> [status_of(0.06, limits, p=p) for p in (0.5, 1e-3, 1e-9)], status_of(0.01, limits, p=1e-9)
        (['green', 'amber', 'red'], 'green')
    """
    if value < limits.amber or (p is not None and limits.p_green is not None and p > limits.p_green):
        return "green"
    if value < limits.red or (p is not None and limits.p_amber is not None and p > limits.p_amber):
        return "amber"
    return "red"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """What a check is about; the fields are those of `Check`."""

    id: str
    name: str
    number: int | None
    subject: str


def topic(number: int, what: str | None, subject: str, *identity: str) -> Topic:
    """Return the topic of a numbered check.

    Args:
        number: 1 to 14.
        what: said after the name of the kind; None for nothing.
        subject: ensemble, process or likelihood.
        identity: parts of the id.
    """
    name = NUMBERED[number] if what is None else f"{NUMBERED[number]}: {what}"
    return Topic(id=check_id(*identity), name=name, number=number, subject=subject)


def judged(
    about: Topic, value: float, limits: Limits, message: str,
    *, p: float | None = None, figure: Mapping[str, object] | None = None,
) -> Check:  # fmt: skip
    """Return a check whose status follows from its value and its limits."""
    known = math.isfinite(value)
    return Check(
        id=about.id, name=about.name, number=about.number, subject=about.subject,
        status=status_of(value, limits, p=p), message=message if known else f"{message}; the value is not a number",
        value=value if known else None, threshold_amber=limits.amber,
        threshold_red=limits.red if math.isfinite(limits.red) else None, figure=figure or {},
    )  # fmt: skip


def not_applicable(about: Topic, reason: str) -> Check:
    """Return a check that could not be made, with the reason."""
    return Check(
        id=about.id, name=about.name, number=about.number, subject=about.subject, status="not-applicable",
        message=reason,
    )  # fmt: skip


def worst(statuses: tuple[Status, ...]) -> Status:
    """Return the worst outcome; ``not-applicable`` where there is none."""
    return max(statuses, key=lambda status: _ORDER[status], default="not-applicable")


def shared_out(limits: Limits, count: int) -> Limits:
    """Return limits for the worst of `count` comparisons: the probabilities are divided by it (Bonferroni)."""
    parts = [None if p is None else p / max(count, 1) for p in (limits.p_green, limits.p_amber)]
    return Limits(amber=limits.amber, red=limits.red, p_green=parts[0], p_amber=parts[1])


def agreement(distance: float, p: float) -> str:
    """Return a distance in per cent with its probability, as messages have it."""
    return f"{100 * distance:.2g} %, p = {p:.2g}"


def finite(value: object) -> object:
    """Return a JSON value in which numbers that are not finite are null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
