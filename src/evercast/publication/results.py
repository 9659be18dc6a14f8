"""Fit results as frozen objects, read from ``result.json`` or ``fit.json``, and numbers as people write them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from evercast.publication.report.view import JsonView

__all__ = [
    "BLINDED",
    "FittedParameter",
    "LikelihoodResult",
    "Outcome",
    "UpperLimit",
    "observed_text",
    "quantity_of",
    "read_result",
    "with_errors",
    "with_interval",
    "with_limit",
]

BLINDED = "blinded"
"""What stands where an observed number is not computed."""

SIGNIFICANT = 2
_GOOD = ("ok", "at-bound", "blinded")


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedParameter:
    """Best value and Hessian uncertainty; the uncertainty of a fixed parameter or one at a bound may be None."""

    value: float
    uncertainty: float | None = None
    at_bound: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UpperLimit:
    """A CLs upper limit; `band` are the expected ones from -2 to +2 standard deviations, empty where not computed."""

    confidence_level: float
    observed: float | None
    band: Float[np.ndarray, " five"]
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one data set, observed or Asimov, says. What was not computed is None or empty.

    Args:
        low: lower end of the profile interval; None where it is open or was not computed.
        high: upper end.
        scan_values: (points,) values of the parameter of interest.
        scan_t: (points,) t = -2 ln of the profile likelihood ratio.
        z: significance of the parameter of interest against 0, in standard deviations.
        limit: CLs upper limit on these data; None where none was asked for or found.
        view: all that the file holds: impacts, correlation, contours, minima, goodness of fit.
    """

    parameters: Mapping[str, FittedParameter] = field(default_factory=dict)
    value: float | None = None
    uncertainty: float | None = None
    low: float | None = None
    high: float | None = None
    confidence_level: float | None = None
    scan_values: Float[np.ndarray, " points"] = field(default_factory=lambda: np.zeros(0))
    scan_t: Float[np.ndarray, " points"] = field(default_factory=lambda: np.zeros(0))
    z: float | None = None
    p: float | None = None
    limit: UpperLimit | None = None
    view: JsonView = field(default_factory=JsonView)


@dataclass(frozen=True, slots=True, kw_only=True)
class LikelihoodResult:
    """The result of one likelihood.

    Args:
        name: name of the likelihood in the document.
        status: ``ok``, or what went wrong; no number is shown where it is not ok.
        guard: messages of the fit guard, empty where it had none.
        expected_kind: how the Asimov data of `expected` were made.
        blinded: blind channels whose data were not looked at; there is no observed result then.
    """

    name: str
    poi: str
    status: str
    guard: tuple[str, ...] = ()
    trusted: bool = True
    observed: Outcome | None = None
    expected: Outcome | None = None
    expected_kind: str | None = None
    blinded: tuple[str, ...] = ()


def read_result(name: str, body: JsonView) -> LikelihoodResult:
    """Return a fit result from its JSON form; what the form does not hold is None.

    Args:
        name: name of the likelihood.
        body: content of ``result.json``.
    """
    poi = body.text("poi") or "mu"
    status = body.text("status") or "unknown"
    messages = tuple(_guard_messages(body.at("guard")))
    passed = body.at("guard").first("passed", "ok", "trusted").flag()
    trusted = status in _GOOD and not messages if passed is None else passed
    expected = body.at("expected")
    return LikelihoodResult(
        name=body.text("likelihood") or name,
        poi=poi,
        status=status,
        guard=messages,
        trusted=trusted,
        observed=None if status == BLINDED else _outcome(body.at("observed"), poi),
        expected=_outcome(expected, poi),
        expected_kind=expected.first("asimov", "kind", "asimov_kind").text() or body.text("asimov"),
        blinded=tuple(text for entry in body.entries("blinded") if (text := entry.text()))
        or (("?",) if status == BLINDED else ()),
    )


def quantity_of(result: JsonView, quantity: str) -> float | None:
    """Return a number of a fit result by its name in `evercast.spec.quantities`; None where it was not computed.

    Args:
        result: content of ``result.json``, or the entry of a likelihood in ``fit.json``.
        quantity: such as ``mu_hat`` or ``expected_significance``.

    Example:
        >>> quantity_of(JsonView({"expected": {"interval": {"low": 0.4}}}), "expected_interval_low")
        0.4
    """
    outcome = result.at("expected" if quantity.startswith("expected_") else "observed")
    name = quantity.removeprefix("expected_")
    if name in _PLACES:
        return outcome.number(*_PLACES[name])
    parameter, _, kind = name.rpartition("_")
    return outcome.number("fit", "parameters", parameter, "value" if kind == "hat" else "uncertainty")


_PLACES = {
    "significance": ("significance", "z"),
    "interval_low": ("interval", "low"),
    "interval_high": ("interval", "high"),
    "limit": ("limit", "observed"),
}


def _guard_messages(guard: JsonView) -> list[str]:
    found: list[str] = []
    for key in ("problems", "messages", "warnings", "doubts"):
        found += [text for entry in guard.entries(key) if (text := entry.text() or entry.text("message"))]
    message = guard.first("reason", "message").text()
    return [*found, message] if message else found


def _outcome(body: JsonView, poi: str) -> Outcome | None:
    if body.value is None:
        return None
    parameters = {
        name: FittedParameter(
            value=value, uncertainty=item.number("uncertainty"), at_bound=bool(item.at("at_bound").value)
        )
        for name, item in body.items("fit", "parameters")
        if (value := item.number("value")) is not None
    }
    best = parameters.get(poi)
    return Outcome(
        parameters=parameters,
        value=best.value if best else None,
        uncertainty=best.uncertainty if best else None,
        low=body.number("interval", "low"),
        high=body.number("interval", "high"),
        confidence_level=body.number("interval", "confidence_level"),
        scan_values=body.numbers("scan", "values"),
        scan_t=body.numbers("scan", "t"),
        z=body.number("significance", "z"),
        p=body.number("significance", "p"),
        limit=_limit(body.at("limit")),
        view=body,
    )


def _limit(body: JsonView) -> UpperLimit | None:
    level = body.number("confidence_level")
    if level is None:
        return None
    return UpperLimit(
        confidence_level=level, observed=body.number("observed"), band=body.numbers("expected"),
        method=body.text("method") or "asymptotic",
    )  # fmt: skip


def observed_text(result: LikelihoodResult) -> str:
    """Return the observed best value with its interval, ``blinded`` where it was not computed, a dash without trust."""
    if not result.trusted:
        return "–"
    return BLINDED if result.blinded else with_interval(result.observed)


def with_limit(limit: UpperLimit | None) -> str:
    """Return an upper limit as ``< 2.31``, a dash where there is none.

    Example:
        >>> with_limit(UpperLimit(confidence_level=0.95, observed=2.314, band=np.zeros(0), method="asymptotic"))
        '< 2.31'
    """
    return "–" if limit is None or limit.observed is None else f"< {limit.observed:.3g}".replace("-", "−")


def with_errors(value: float | None, up: float | None, down: float | None) -> str:
    """Return ``0.90 +0.42 -0.38`` with two significant digits of the smaller error; ``–`` for what is not known.

    Example:
        >>> with_errors(0.9, 0.421, 0.379)
        '0.90 +0.42 −0.38'
        >>> with_errors(None, None, None)
        '–'
    """
    if value is None:
        return "–"
    sizes = [abs(error) for error in (up, down) if error is not None and error > 0]
    digits = decimals(min(sizes)) if sizes else 2
    high = f"+{up:.{digits}f}" if up is not None else "+?"
    low = f"−{abs(down):.{digits}f}" if down is not None else "−?"
    return f"{value:.{digits}f} {high} {low}".replace("-", "−") if sizes else f"{value:.{digits}f}".replace("-", "−")


def with_interval(outcome: Outcome | None) -> str:
    """Return the best value with the distances to the ends of its interval, else with the Hessian uncertainty."""
    if outcome is None or outcome.value is None:
        return "–"
    if outcome.low is None and outcome.high is None:
        error = outcome.uncertainty
        return with_errors(outcome.value, error, error)
    up = None if outcome.high is None else outcome.high - outcome.value
    down = None if outcome.low is None else outcome.value - outcome.low
    return with_errors(outcome.value, up, down)


def decimals(size: float) -> int:
    """Return the decimals that show two significant digits of `size`, between 0 and 6.

    Example:
        >>> decimals(0.40), decimals(12.0), decimals(0.0123)
        (2, 0, 3)
    """
    if not size > 0 or not math.isfinite(size):
        return SIGNIFICANT
    return int(min(6, max(0, SIGNIFICANT - 1 - math.floor(math.log10(size)))))
