"""Checks with a threshold: each gives a quantity, what it should be, and a verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from evercast.publication.report.units import Unit, of_stage
from evercast.publication.report.view import JsonView, read_view
from evercast.publication.results import LikelihoodResult
from evercast.spec.model import Expected
from evercast.spec.quantities import OUTCOMES

__all__ = ["Check", "Verdict", "all_checks", "verdict_of"]

Verdict = Literal["good", "look", "bad"]

SMALL_P, TINY_P = 0.01, 1e-4
SMALL_SHARE, LARGE_SHARE = 0.02, 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check: `value` and `wanted` as text, with the verdict."""

    group: str
    subject: str
    quantity: str
    value: str
    wanted: str
    verdict: Verdict


def verdict_of(value: float, *, good: float, look: float) -> Verdict:
    """Return ``good`` up to `good`, ``look`` up to `look`, ``bad`` beyond; NaN is bad.

    Example:
        >>> verdict_of(2.0, good=3, look=5), verdict_of(4.0, good=3, look=5), verdict_of(float("nan"), good=3, look=5)
        ('good', 'look', 'bad')
    """
    if value <= good:
        return "good"
    return "look" if value <= look else "bad"


def all_checks(
    units: tuple[Unit, ...],
    results: tuple[LikelihoodResult, ...],
    *,
    nominal: Mapping[str, float],
    declared: Mapping[str, Expected],
) -> tuple[Check, ...]:
    """Return every check of the run: selections, networks, fits.

    Args:
        units: all finished units.
        results: of the fits.
        nominal: parameter -> the value at which Asimov data are made.
        declared: ``LIKELIHOOD.QUANTITY`` -> the number the document says a run must give.

    Raises:
        IntegrityError: a file of a unit is absent or not JSON.
    """
    found: list[Check] = []
    for unit in of_stage(units, "selection"):
        found += _selection_checks(unit.name, read_view(unit.folder / "summary.json"))
    for unit in of_stage(units, "evaluation"):
        for process, body in read_view(unit.folder / "diagnostics.json").items("processes"):
            found += _network_checks(f"{unit.name}: {process}", body)
    for result in results:
        found += _fit_checks(result, nominal.get(result.poi))
    found += [_declared_check(key, number, results) for key, number in declared.items()]
    return tuple(found)


def _declared_check(key: str, declared: Expected, results: tuple[LikelihoodResult, ...]) -> Check:
    """Return the comparison with a number of the document; what was not computed is to be looked at."""
    likelihood, _, quantity = key.partition(".")
    result = next((r for r in results if r.name == likelihood and r.trusted), None)
    found = None if result is None else _quantities(result).get(quantity)
    tolerance = declared.abs if declared.abs is not None else abs((declared.rel or 0.0) * declared.value)
    close = found is not None and abs(found - declared.value) <= tolerance
    return Check(
        group="fits", subject=likelihood, quantity=f"{quantity}, as declared in the document",
        value="not computed" if found is None else f"{found:.4g}", wanted=f"{declared.value:g} ± {tolerance:g}",
        verdict="look" if found is None else "good" if close else "bad",
    )  # fmt: skip


def _quantities(result: LikelihoodResult) -> Mapping[str, float | None]:
    """Return the numbers that a document may declare, by name (`evercast.spec.quantities`)."""
    found: dict[str, float | None] = {}
    for prefix, outcome in zip(OUTCOMES, (result.observed, result.expected), strict=True):
        if outcome is not None:
            found |= {f"{prefix}{name}_hat": item.value for name, item in outcome.parameters.items()}
            found |= {f"{prefix}{name}_uncertainty": item.uncertainty for name, item in outcome.parameters.items()}
            found |= {
                f"{prefix}significance": outcome.z,
                f"{prefix}interval_low": outcome.low,
                f"{prefix}interval_high": outcome.high,
                f"{prefix}limit": outcome.limit,
            }
    return found


def _selection_checks(sample: str, summary: JsonView) -> Iterator[Check]:
    if summary.text("role") == "data":
        return
    for region, body in summary.items("regions"):
        size = body.number("effective_sample_size")
        if size is not None:
            yield Check(
                group="selection", subject=f"{sample} in {region}", quantity="effective sample size",
                value=f"{size:.0f}", wanted="above 100; not below 10",
                verdict=verdict_of(-size, good=-100, look=-10),
            )  # fmt: skip


def _network_checks(subject: str, body: JsonView) -> Iterator[Check]:
    mean, error = body.number("normalisation", "mean"), body.number("normalisation", "error") or 0.0
    if mean is not None:
        away = abs(mean - 1)
        yield Check(
            group="networks", subject=subject, quantity="E_ref[r] as learned", value=f"{mean:.4f} ± {error:.4f}",
            wanted="1 within 3 errors or 0.02; 5 or 0.10",
            verdict="good" if away <= max(3 * error, 0.02) else verdict_of(away, good=0, look=max(5 * error, 0.10)),
        )  # fmt: skip
    yield from _sizes(subject, body)
    yield from _calibration_check(subject, body.at("calibration"))
    for observable, closure in body.items("closure"):
        misplaced = float(np.abs(closure.numbers("target") - closure.numbers("reweighted")).sum() / 2)
        chi2, bins = closure.number("chi2"), closure.number("bins")
        if chi2 is not None and bins:
            yield _agreement(subject, f"closure in {observable}", chi2, bins, misplaced)
    saturated = body.number("saturated_fraction")
    if saturated is not None:
        yield Check(
            group="networks", subject=subject, quantity="log ratio beyond ±15", value=f"{100 * saturated:.2g} %",
            wanted="below 1 %; below 20 %", verdict=verdict_of(saturated, good=0.01, look=0.2),
        )  # fmt: skip


def _sizes(subject: str, body: JsonView) -> Iterator[Check]:
    for kind in ("process", "reference"):
        size = body.number("effective_sample_size", kind)
        if size is not None:
            yield Check(
                group="networks", subject=subject, quantity=f"effective sample size, {kind}", value=f"{size:.0f}",
                wanted="above 1000; not below 100", verdict=verdict_of(-size, good=-1000, look=-100),
            )  # fmt: skip


def _calibration_check(subject: str, body: JsonView) -> Iterator[Check]:
    score, fraction, error = body.numbers("score"), body.numbers("fraction"), body.numbers("error")
    if not score.shape == fraction.shape == error.shape:
        return
    filled = np.isfinite(fraction) & (error > 0)
    if filled.any():
        distance = np.abs(fraction - score)[filled]
        chi2 = float(((distance / error[filled]) ** 2).sum())
        weighted = float(np.average(distance, weights=1 / error[filled] ** 2))
        yield _agreement(subject, "calibration of the score", chi2, float(filled.sum()), weighted)


def _agreement(subject: str, quantity: str, chi2: float, bins: float, misplaced: float) -> Check:
    """Return the check of two distributions: equal within statistics, or unequal by too little to matter."""
    p_value = float(stats.chi2.sf(chi2, bins))
    good = p_value > SMALL_P or misplaced < SMALL_SHARE
    look = p_value > TINY_P or misplaced < LARGE_SHARE
    return Check(
        group="networks", subject=subject, quantity=quantity,
        value=f"χ² / bins = {chi2:.1f} / {bins:.0f}, p = {p_value:.2g}, {100 * misplaced:.1f} % misplaced",
        wanted=f"p > {SMALL_P} or < {100 * SMALL_SHARE:.0f} %; p > {TINY_P} or < {100 * LARGE_SHARE:.0f} %",
        verdict="good" if good else "look" if look else "bad",
    )  # fmt: skip


def _fit_checks(result: LikelihoodResult, nominal: float | None) -> Iterator[Check]:
    yield Check(
        group="fits", subject=result.name, quantity="fit guard",
        value="; ".join((result.status, *result.guard)), wanted="passed", verdict="good" if result.trusted else "bad",
    )  # fmt: skip
    if not result.trusted or result.observed is None:
        return
    bound = [name for name, parameter in result.observed.parameters.items() if parameter.at_bound]
    yield Check(
        group="fits", subject=result.name, quantity="parameters at a bound", value=", ".join(bound) or "none",
        wanted="none", verdict="look" if bound else "good",
    )  # fmt: skip
    observed, expected = result.observed, result.expected
    if expected is None or expected.value is None or not expected.uncertainty:
        return
    if nominal is not None:
        bias = abs(expected.value - nominal) / expected.uncertainty
        yield Check(
            group="fits", subject=result.name, quantity=f"Asimov closure, {result.poi} = {nominal:g} put in",
            value=f"{expected.value:.3f}, {bias:.2f} expected errors away", wanted="below 0.2; below 0.5",
            verdict=verdict_of(bias, good=0.2, look=0.5),
        )  # fmt: skip
    if observed.value is not None:
        distance = abs(observed.value - expected.value) / expected.uncertainty
        yield Check(
            group="fits", subject=result.name, quantity="distance of observed from expected",
            value=f"{distance:.1f} expected errors", wanted="below 3; below 5",
            verdict=verdict_of(distance, good=3, look=5),
        )  # fmt: skip
