"""All that is quoted of one likelihood on one data set: fit, scan, interval, significance, limit, impacts, contours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from evercast.errors import InvalidInput, NumericalFailure
from evercast.inference.asymptotics import Significance, significance
from evercast.inference.contours import Contour, contour, contour_range
from evercast.inference.fit import FitResult, poi_of
from evercast.inference.goodness import GoodnessOfFit, goodness_of_fit
from evercast.inference.impacts import Correlation, Impact, correlation_of, impacts_of
from evercast.inference.limits import UpperLimit, upper_limit
from evercast.inference.minima import LocalMinimum, find_minima
from evercast.inference.outcome_json import (
    contour_to_json,
    correlation_to_json,
    fit_to_json,
    goodness_to_json,
    guard_to_json,
    impact_to_json,
    interval_to_json,
    limit_to_json,
    minimum_to_json,
    scan_to_json,
    significance_to_json,
)
from evercast.inference.profile import Interval, Profile, Scan
from evercast.likelihood.diagnose import Positivity, simulated_positivity
from evercast.likelihood.evaluate import Likelihood
from evercast.spec.model import Inference

__all__ = ["Outcome", "compute_outcome", "outcome_to_json", "settled"]

_MAX_MINIMA = 10
_BELOW_CONTOURS = 6.0  # t of the line at 95 % in two parameters

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """Results on one data set, all relative to the same minimum.

    Args:
        interval: None where it is open within the bounds searched; `problems` says so.
        significance: None where there is no fit at 0, e.g. of a width; `problems` says so.
        asimov: how the data were made; None for observed data.
        problems: what a reader must know, in words; empty where there is nothing.
        positivity: of the total intensity at the best fit, on the simulated events of each unbinned channel.
        minima: all that were found, the lowest first.
        limit: None where none was asked for, or where it failed; `problems` says so.
        impacts: largest first; empty where none were asked for.
        correlation: of the parameters varied.
        contours: those asked for that did not fail.
    """

    poi: str
    fit: FitResult
    scan: Scan
    interval: Interval | None
    significance: Significance | None
    asimov: str | None
    problems: tuple[str, ...]
    positivity: tuple[Positivity, ...]
    minima: tuple[LocalMinimum, ...]
    limit: UpperLimit | None
    impacts: tuple[Impact, ...]
    correlation: Correlation
    contours: tuple[Contour, ...]
    goodness_of_fit: GoodnessOfFit

    @property
    def status(self) -> str:
        """``ok``, or ``at-bound`` where the best fit has parameters at their bounds."""
        return self.fit.status


def settled(profile: Profile, compute: Callable[[], T]) -> T:
    """Return what `compute` gives relative to a best fit that it leaves as it is.

    A conditional fit that turns out below the best fit replaces it (`evercast.inference.profile`); everything is then
    computed again from the new one, until it stands.

    Raises:
        NumericalFailure: ``fit.unstable``, ever lower minima were found; or what `compute` raises.
    """
    for _ in range(_MAX_MINIMA):
        best = profile.best
        found = compute()
        if profile.best is best:
            return found
    message = f"ever lower minima of -2 ln L were found, the last at {profile.poi} = {profile.poi_hat:.6g}"
    raise NumericalFailure(message, code="fit.unstable", hint="look at a scan; give the parameters closer bounds")


def compute_outcome(likelihood: Likelihood, *, inference: Inference, poi: str | None = None) -> Outcome:
    """Return fit, profile scan, interval, significance and what else is asked for, all relative to the same minimum.

    Args:
        likelihood: with the data to be used.
        inference: points, range, confidence levels, and what is computed.
        poi: parameter of interest; None takes the declared one.

    Raises:
        NumericalFailure: a fit failed; ``fit.unstable``, ever lower minima were found.
        InvalidInput: there is no parameter of interest, or a contour of unknown parameters.
    """
    profile = Profile(likelihood, poi_of(likelihood, poi))
    return settled(profile, lambda: _outcome_at(likelihood, profile, inference))


def _outcome_at(likelihood: Likelihood, profile: Profile, inference: Inference) -> Outcome:
    """Return the results relative to the best fit as it is known; it is replaced where a lower one is met."""
    name = profile.poi
    problems: list[str] = []
    test = _or_problem(lambda: significance(likelihood, profile=profile), problems, f"significance against {name} = 0")
    low, high = inference.scan_range
    index = likelihood.index(name)
    points = np.linspace(low, high, inference.scan_points)
    points = points[(points >= likelihood.lower[index]) & (points <= likelihood.upper[index])]
    scan = profile.scan(points.tolist())
    problems += [f"the fit at {name} = {value:.6g} failed: {reason}" for value, reason in scan.failed]
    minima = find_minima(likelihood, profile, scan.minima)
    places = [entry.value for entry in minima]
    interval = _or_problem(lambda: profile.interval(inference.confidence_level, scan=scan, minima=places), problems)
    contours = _contours(likelihood, profile, inference, minima, problems)
    limit = None
    if inference.limit is not None:
        limit = _or_problem(lambda: _limit(likelihood, name, inference.limit), problems)
    goodness = goodness_of_fit(likelihood, best=profile.best)
    positivity = simulated_positivity(likelihood, profile.best.theta)
    problems += [*_remarks(profile.best, scan, interval), *goodness.remarks]
    problems += [_not_positive(entry) for entry in positivity if entry.n_not_positive]
    return Outcome(
        poi=name, fit=profile.best, scan=scan, interval=interval, significance=test,
        asimov=likelihood.model.asimov, problems=tuple(problems), positivity=positivity, minima=minima, limit=limit,
        impacts=impacts_of(likelihood, profile.best, poi=name) if inference.impacts else (),
        correlation=correlation_of(profile.best), contours=contours, goodness_of_fit=goodness,
    )  # fmt: skip


def _limit(likelihood: Likelihood, poi: str, level: float | None) -> UpperLimit | None:
    if level is None:
        return None
    return upper_limit(likelihood, poi=poi, confidence_level=level, observed=likelihood.model.asimov is None)


def _or_problem(compute: Callable[[], T], problems: list[str], what: str = "") -> T | None:
    """Return what is computed, or None with the reason among the problems, after `what`."""
    try:
        return compute()
    except (NumericalFailure, InvalidInput) as failure:
        problems.append(f"{what}: {failure.message}" if what else failure.message)
        return None


def _contours(
    likelihood: Likelihood, profile: Profile, inference: Inference, minima: Sequence[LocalMinimum], problems: list[str]
) -> tuple[Contour, ...]:
    found: list[Contour] = []
    for pair in inference.contours:
        entry = _or_problem(lambda pair=pair: _contour(likelihood, profile, pair, minima), problems)  # type: ignore[misc]
        if entry is None:
            continue
        if entry.best is not profile.best:
            profile.best = entry.best
        found.append(entry)
    return tuple(found)


def _contour(
    likelihood: Likelihood, profile: Profile, pair: tuple[str, str], minima: Sequence[LocalMinimum]
) -> Contour:
    """Return the contour on a grid that has every minimum inside that lies below its lines."""
    fits = [one.fit for one in minima if one.t < _BELOW_CONTOURS] if len(minima) > 1 else []
    if not fits or any(name not in likelihood.names for name in pair):
        return contour(likelihood, *pair, best=profile.best)
    spans = [[contour_range(likelihood, one, name) for one in (profile.best, *fits)] for name in pair]
    first, second = ((min(low for low, _ in span), max(high for _, high in span)) for span in spans)
    return contour(likelihood, *pair, best=profile.best, ranges=(first, second))


def _not_positive(entry: Positivity) -> str:
    return (
        f"channel '{entry.channel}': at the best fit the total intensity is not positive for {entry.n_not_positive} of "
        f"{entry.n_events} simulated events"
    )


def _remarks(best: FitResult, scan: Scan, interval: Interval | None) -> Sequence[str]:
    remarks = [f"{name} lies at its bound {best.parameter(name).value:.6g}" for name in best.guard.at_bound]
    remarks += [f"{name} lies at 0, where the slope of its interpolation jumps" for name in best.guard.at_kink]
    if best.guard.second_optimiser:
        remarks.append(f"a second optimiser ({best.guard.second_optimiser}) was needed")
    if len(scan.minima) > 1:
        others = ", ".join(f"{value:.4g}" for value in scan.minima[1:])
        remarks.append(f"the scan of {scan.poi} has further minima near {others}")
    if interval is not None and len(interval.segments) > 1:
        remarks.append(f"the interval of {scan.poi} has {len(interval.segments)} parts")
    return remarks


def outcome_to_json(outcome: Outcome) -> dict[str, object]:
    """Return all results on one data set in JSON form (`evercast.inference.outcome_json`)."""
    return {
        "asimov": outcome.asimov,
        "status": outcome.status,
        "guard": guard_to_json(outcome.fit.guard, outcome.problems),
        "fit": fit_to_json(outcome.fit),
        "interval": None if outcome.interval is None else interval_to_json(outcome.interval),
        "scan": scan_to_json(outcome.scan),
        "significance": None if outcome.significance is None else significance_to_json(outcome.significance),
        "positivity": {
            entry.channel: {"simulated_events": entry.n_events, "not_positive": entry.n_not_positive}
            for entry in outcome.positivity
        },
        "minima": [minimum_to_json(entry) for entry in outcome.minima],
        "limit": None if outcome.limit is None else limit_to_json(outcome.limit),
        "impacts": [impact_to_json(entry) for entry in outcome.impacts],
        "correlation": correlation_to_json(outcome.correlation),
        "contours": [contour_to_json(entry) for entry in outcome.contours],
        "goodness_of_fit": goodness_to_json(outcome.goodness_of_fit),
    }
