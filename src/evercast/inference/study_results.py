"""What follows from the pseudo-experiments of a study, in JSON form.

``result.json`` of the stage ``study``::

    format           "study/1.0.0"
    study, purpose, likelihood, poi, seed, nuisance
    blinded          names of the blind channels; the data are then Asimov data of the initial values
    data             "observed", or the kind of the Asimov data
    toys, failed     pseudo-experiments in all, and those that could not be fitted
    reasons          of the failures
    simulation       unbinned channel -> {expected_events, effective_sample_size} where the latter is scarcest
    status, reason   "ok" and null; "failed" and why there are no results (a fit of the data, or more than 2 % failed)

    neyman           intervals: [{confidence_level, segments: [[low, high]], asymptotic_segments, open_low, open_high,
                     points: [{value, critical, error, asymptotic, t, p, toys, failed}]}]
    injection        injection: [{value, mean, error, spread, median, at_bound, toys, failed,
                     coverage: [{confidence_level, share, error}]}]; of the recovered values
    coverage         coverage: [{value, confidence_level, asymptotic, error, neyman, neyman_error, toys, failed}]
    limit            limit: {confidence_level, observed, error, expected}, points: [{value, cls_obs, cls_obs_error,
                     cls_exp}]; observed is null where blinded, a limit that no value reaches is null
    goodness_of_fit  goodness_of_fit: as in ``result.json`` of the stage fit
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from evercast.inference.asymptotics import q_tilde
from evercast.inference.fit import fit
from evercast.inference.goodness import GoodnessToys, goodness_of_fit, with_toys
from evercast.inference.intervals import quantile
from evercast.inference.neyman import coverage_of, neyman_interval
from evercast.inference.outcome_json import goodness_to_json
from evercast.inference.profile import Profile
from evercast.inference.studies import StudyData
from evercast.inference.toy_limits import crossing
from evercast.inference.toy_statistics import FAILED, ToySample
from evercast.inference.toy_tests import combine_cls
from evercast.spec.model import ToyStudy

__all__ = ["coverage_study", "goodness_study", "injection_study", "limit_study", "neyman_study"]


def neyman_study(data: StudyData, spec: ToyStudy, samples: Mapping[float, ToySample]) -> dict[str, object]:
    """Return the intervals of the Neyman construction at each level.

    Raises:
        NumericalFailure: a fit of the data, or too many pseudo-experiments failed.
        InvalidInput: too few values or pseudo-experiments.
    """
    profile = Profile(data.likelihood, data.poi)
    for value in samples:
        profile.conditional(value)
    observed = {value: profile.t(value) for value in samples}
    intervals = [
        neyman_interval(samples, confidence_level=level, observed=observed, profile=profile.t)
        for level in spec.confidence_levels
    ]
    return {"best": profile.poi_hat, "intervals": [_renamed(asdict(interval)) for interval in intervals]}


def _renamed(interval: dict[str, object]) -> dict[str, object]:
    points = interval["points"]
    if isinstance(points, list | tuple):
        interval["points"] = [_counts(point) for point in points]
    for name in ("segments", "asymptotic_segments"):
        parts = interval[name]
        interval[name] = [list(part) for part in parts] if isinstance(parts, list | tuple) else []
    return interval


def _counts(entry: dict[str, object]) -> dict[str, object]:
    rest = {name: value for name, value in entry.items() if name not in {"n_toys", "n_failed"}}
    return {**rest, "toys": entry["n_toys"], "failed": entry["n_failed"]}


def coverage_study(spec: ToyStudy, samples: Mapping[float, ToySample]) -> dict[str, object]:
    """Return how often intervals hold the true value, at each value and level.

    Raises:
        NumericalFailure: too many pseudo-experiments failed.
        InvalidInput: too few pseudo-experiments.
    """
    found = [
        _counts(asdict(entry))
        for value in sorted(samples)
        for entry in coverage_of(value, samples[value], spec.confidence_levels)
    ]
    return {"coverage": found}


def injection_study(
    spec: ToyStudy, samples: Mapping[float, ToySample], bounds: tuple[float, float]
) -> dict[str, object]:
    """Return what the fits recover of each value that was put in, and how often asymptotic intervals hold it.

    Args:
        spec: for the levels.
        samples: value -> its pseudo-experiments (statistic ``t``).
        bounds: of the parameter of interest.

    Raises:
        NumericalFailure: too many pseudo-experiments failed.
    """
    return {"injection": [_recovered(value, samples[value], spec, bounds) for value in sorted(samples)]}


def _recovered(value: float, sample: ToySample, spec: ToyStudy, bounds: tuple[float, float]) -> dict[str, object]:
    t = sample.values()
    found = sample.poi_hat[sample.status != FAILED]
    spread = float(found.std(ddof=1)) if len(found) > 1 else 0.0
    low, high = bounds
    edge = 1e-6 * max(abs(value), spread)
    levels = [
        {
            "confidence_level": level, "share": float(np.mean(t <= quantile(level))),
            "error": float(np.sqrt(level * (1.0 - level) / len(t))),
        }
        for level in spec.confidence_levels
    ]  # fmt: skip
    return {
        "value": value, "mean": float(found.mean()), "error": spread / float(np.sqrt(len(found))), "spread": spread,
        "median": float(np.median(found)), "at_bound": float(np.mean((found <= low + edge) | (found >= high - edge))),
        "toys": len(sample.t), "failed": sample.n_failed, "coverage": levels,
    }  # fmt: skip


def limit_study(
    data: StudyData,
    signal: Mapping[float, ToySample],
    background: Mapping[float, ToySample],
    *,
    confidence_level: float,
) -> dict[str, object]:
    """Return CLs at each value, and the upper limit where the values reach it.

    Raises:
        NumericalFailure: a fit of the data, or too many pseudo-experiments failed.
    """
    values = sorted(signal)
    points = []
    for value in values:
        q = None if data.blinded else q_tilde(data.likelihood, value, poi=data.poi)[0]
        points.append(combine_cls(signal[value], background[value], q=q))
    size, grid = 1.0 - confidence_level, np.array(values)
    expected = [crossing(grid, np.array([point[2][band] for point in points]), None, size=size) for band in range(5)]
    observed = None
    if not data.blinded:
        cls, errors = (np.array([point[part] for point in points], dtype=float) for part in range(2))
        observed = crossing(grid, cls, errors, size=size)
    limit = {
        "confidence_level": confidence_level, "observed": None if observed is None else observed.value,
        "error": None if observed is None else observed.error,
        "expected": [None if entry is None else entry.value for entry in expected],
    }  # fmt: skip
    return {
        "limit": limit,
        "points": [
            {"value": value, "cls_obs": point[0], "cls_obs_error": point[1], "cls_exp": list(point[2])}
            for value, point in zip(values, points, strict=True)
        ],
    }


def goodness_study(
    data: StudyData, spec: ToyStudy, statistic: np.ndarray, channels: Mapping[str, np.ndarray]
) -> dict[str, object]:
    """Return the goodness of fit with p-values from the pseudo-experiments.

    Raises:
        NumericalFailure: the fit of the data, or too many pseudo-experiments failed.
    """
    result = goodness_of_fit(data.likelihood, best=fit(data.likelihood), seed=spec.seed)
    toys = GoodnessToys(statistic=statistic, channels=channels)
    return {"goodness_of_fit": goodness_to_json(with_toys(result, toys, seed=spec.seed))}
