"""All that is quoted of one likelihood on one data set: fit, scan, interval, significance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evercast.errors import NumericalFailure
from evercast.inference.asymptotics import Significance, significance
from evercast.inference.fit import FitResult, poi_of
from evercast.inference.outcome_json import (
    fit_to_json,
    guard_to_json,
    interval_to_json,
    scan_to_json,
    significance_to_json,
)
from evercast.inference.profile import Interval, Profile, Scan
from evercast.likelihood.diagnose import Positivity, simulated_positivity
from evercast.likelihood.evaluate import Likelihood
from evercast.spec.model import Inference

__all__ = ["Outcome", "compute_outcome", "outcome_to_json"]

_MAX_MINIMA = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """Results on one data set.

    Args:
        interval: None where it is open within the bounds searched; `problems` says so.
        asimov: how the data were made; None for observed data.
        problems: what a reader must know, in words; empty where there is nothing.
        positivity: of the total intensity at the best fit, on the simulated events of each unbinned channel.
    """

    poi: str
    fit: FitResult
    scan: Scan
    interval: Interval | None
    significance: Significance
    asimov: str | None
    problems: tuple[str, ...]
    positivity: tuple[Positivity, ...]

    @property
    def status(self) -> str:
        """``ok``, or ``at-bound`` where the best fit has parameters at their bounds."""
        return self.fit.status


def compute_outcome(likelihood: Likelihood, *, inference: Inference, poi: str | None = None) -> Outcome:
    """Return fit, profile scan, interval and significance, all relative to the same minimum.

    A conditional fit that turns out below the best fit replaces it (`evercast.inference.profile`); everything is then
    computed again from the new one, until it stands.

    Args:
        likelihood: with the data to be used.
        inference: points, range and confidence level.
        poi: parameter of interest; None takes the declared one.

    Raises:
        NumericalFailure: a fit failed; ``fit.unstable``, ever lower minima were found.
        InvalidInput: there is no parameter of interest.
    """
    profile = Profile(likelihood, poi_of(likelihood, poi))
    for _ in range(_MAX_MINIMA):
        best = profile.best
        outcome = _outcome_at(likelihood, profile, inference)
        if profile.best is best:
            return outcome
    message = f"ever lower minima of -2 ln L were found, the last at {profile.poi} = {profile.poi_hat:.6g}"
    raise NumericalFailure(message, code="fit.unstable", hint="look at a scan; give the parameters closer bounds")


def _outcome_at(likelihood: Likelihood, profile: Profile, inference: Inference) -> Outcome:
    """Return the results relative to the best fit as it is known; it is replaced where a lower one is met."""
    name = profile.poi
    test = significance(likelihood, profile=profile)
    low, high = inference.scan_range
    index = likelihood.index(name)
    points = np.linspace(low, high, inference.scan_points)
    points = points[(points >= likelihood.lower[index]) & (points <= likelihood.upper[index])]
    scan = profile.scan(points.tolist())
    problems: list[str] = [f"the fit at {name} = {value:.6g} failed: {reason}" for value, reason in scan.failed]
    interval = None
    try:
        interval = profile.interval(inference.confidence_level, scan=scan)
    except NumericalFailure as failure:
        problems.append(failure.message)
    problems += _remarks(profile.best, scan, interval)
    positivity = simulated_positivity(likelihood, profile.best.theta)
    problems += [_not_positive(entry) for entry in positivity if entry.n_not_positive]
    return Outcome(
        poi=name, fit=profile.best, scan=scan, interval=interval, significance=test,
        asimov=likelihood.model.asimov, problems=tuple(problems), positivity=positivity,
    )  # fmt: skip


def _not_positive(entry: Positivity) -> str:
    return (
        f"channel '{entry.channel}': at the best fit the total intensity is not positive for {entry.n_not_positive} of "
        f"{entry.n_events} simulated events"
    )


def _remarks(best: FitResult, scan: Scan, interval: Interval | None) -> list[str]:
    remarks = [f"{name} lies at its bound {best.parameter(name).value:.6g}" for name in best.guard.at_bound]
    if best.guard.second_optimiser:
        remarks.append(f"a second optimiser ({best.guard.second_optimiser}) was needed")
    if len(scan.minima) > 1:
        others = ", ".join(f"{value:.4g}" for value in scan.minima[1:])
        remarks.append(f"the scan of {scan.poi} has further minima near {others}")
    if interval is not None and len(interval.segments) > 1:
        remarks.append(f"the interval of {scan.poi} has {len(interval.segments)} parts")
    return remarks


def outcome_to_json(outcome: Outcome) -> dict[str, object]:
    """Return all results on one data set in JSON form."""
    return {
        "asimov": outcome.asimov,
        "status": outcome.status,
        "guard": guard_to_json(outcome.fit.guard, outcome.problems),
        "fit": fit_to_json(outcome.fit),
        "interval": None if outcome.interval is None else interval_to_json(outcome.interval),
        "scan": scan_to_json(outcome.scan),
        "significance": significance_to_json(outcome.significance),
        "positivity": {
            entry.channel: {"simulated_events": entry.n_events, "not_positive": entry.n_not_positive}
            for entry in outcome.positivity
        },
    }
