"""Results of one likelihood in JSON form: what the stage ``fit`` writes as ``result.json``.

``result.json``::

    likelihood, poi     names
    status              "ok" | "at-bound" | "blinded" (no observed results: a channel is blind)
    guard               of the observed free fit (of the expected one where blinded): passed, problems, ...
    blinded             names of the blind channels whose data were not looked at; empty where all were
    observed            OUTCOME on the data, null where blinded
    expected            OUTCOME on Asimov data of the initial values, null where there is no simulation

    OUTCOME             asimov            null, or how the data were made: "binned", "simulation", "reference", "mixed"
                        status, guard     of the free fit
                        fit               {parameters: {NAME: {value, uncertainty, at_bound, fixed}}, twice_nll}
                        interval          {low, high, low_at_bound, high_at_bound, confidence_level, segments}; null
                        scan              {values, t, minima, failed}
                        significance      {q0, z, p}; null where there is no fit at 0
                        positivity        {CHANNEL: {simulated_events, not_positive}}
                        minima            [{value, t, parameters: {NAME: value}}], of the profile; the best fit first
                        limit             LIMIT, null where none was asked for or found (`guard.problems` says why)
                        impacts           [{parameter, pull, constraint, up, down, covariance, local, reason}], by size
                        correlation       {names, matrix} of the parameters that were varied
                        contours          [{parameters: [a, b], grid: {a: [...], b: [...]}, t: [[...]], best: [a, b],
                                            levels: [{confidence_level, t, lines: [[[a, b], ...], ...]}], failed}]
                        goodness_of_fit   {statistic, degrees_of_freedom, p, p_toys, toys, failed, seed, status,
                                           remarks, channels: {CHANNEL: {kind: "saturated" | "energy",
                                           statistic, p, size}}}

    LIMIT               {parameter, confidence_level, statistic: "q-tilde" | "q", method: "asymptotic" | "toys",
                         observed, error, expected: [-2 sd, -1 sd, median, +1 sd, +2 sd], asimov, status, remarks}

A number that was not computed is null; `interval` is null where it is open. In `impacts`, `up` and `down` are shifts of
the best-fit parameter of interest when the global observable moves by +- its standard deviation (arXiv:2307.04007);
null where a refit failed. `covariance` is V_mu,k / sigma_k, `local` the derivative of the best fit times that standard
deviation, `pull` is (best fit - global observable) / standard deviation of the constraint, and `constraint` the
uncertainty after the fit over it.
In `contours`, `t[i][k]` belongs to grid[a][i], grid[b][k]; null where the fit failed.
"""

from __future__ import annotations

import numpy as np

from evercast.inference.asymptotics import Significance
from evercast.inference.contours import Contour
from evercast.inference.fit import FitResult
from evercast.inference.goodness import GoodnessOfFit
from evercast.inference.guard import Guard
from evercast.inference.impacts import Correlation, Impact
from evercast.inference.limits import UpperLimit
from evercast.inference.minima import LocalMinimum
from evercast.inference.profile import Interval, Scan

__all__ = [
    "contour_to_json",
    "correlation_to_json",
    "fit_to_json",
    "goodness_to_json",
    "guard_to_json",
    "impact_to_json",
    "interval_to_json",
    "limit_to_json",
    "minimum_to_json",
    "scan_to_json",
    "significance_to_json",
]


def guard_to_json(guard: Guard, problems: tuple[str, ...] = ()) -> dict[str, object]:
    """Return the findings of the guard in JSON form."""
    return {
        "passed": guard.reason is None,
        "problems": list(problems),
        "distance_to_minimum": guard.distance,
        "scaled_gradient": guard.scaled_gradient,
        "hessian_positive_definite": guard.positive_definite,
        "at_bound": list(guard.at_bound),
        "at_kink": list(guard.at_kink),
        "second_optimiser": guard.second_optimiser,
        "second_gain": guard.second_gain,
        "evaluations": guard.n_evaluations,
    }


def fit_to_json(fit: FitResult) -> dict[str, object]:
    """Return best values, uncertainties and -2 ln L in JSON form."""
    return {
        "parameters": {
            entry.name: {
                "value": entry.value, "uncertainty": entry.uncertainty,
                "at_bound": entry.at_bound, "fixed": entry.fixed,
            }
            for entry in fit.parameters
        },
        "twice_nll": fit.twice_nll,
    }  # fmt: skip


def interval_to_json(interval: Interval) -> dict[str, object]:
    """Return an interval in JSON form."""
    return {
        "low": interval.low,
        "high": interval.high,
        "low_at_bound": interval.low_at_bound,
        "high_at_bound": interval.high_at_bound,
        "confidence_level": interval.confidence_level,
        "segments": [[segment.low, segment.high] for segment in interval.segments],
    }


def scan_to_json(scan: Scan) -> dict[str, object]:
    """Return a scan in JSON form."""
    return {
        "values": scan.values.tolist(),
        "t": scan.t.tolist(),
        "minima": list(scan.minima),
        "failed": [{"value": value, "reason": reason} for value, reason in scan.failed],
    }


def significance_to_json(test: Significance) -> dict[str, object]:
    """Return a significance in JSON form."""
    return {"q0": test.q0, "z": test.z, "p": test.p}


def minimum_to_json(minimum: LocalMinimum) -> dict[str, object]:
    """Return one of several minima in JSON form."""
    parameters = {entry.name: entry.value for entry in minimum.fit.parameters}
    return {"value": minimum.value, "t": minimum.t, "parameters": parameters}


def limit_to_json(limit: UpperLimit) -> dict[str, object]:
    """Return an upper limit in JSON form."""
    return {
        "parameter": limit.poi, "confidence_level": limit.confidence_level, "statistic": limit.statistic,
        "method": limit.method, "observed": limit.observed, "error": limit.error, "expected": list(limit.expected),
        "asimov": limit.asimov, "status": limit.status, "remarks": list(limit.remarks),
    }  # fmt: skip


def impact_to_json(impact: Impact) -> dict[str, object]:
    """Return what one nuisance parameter does, in JSON form."""
    return {
        "parameter": impact.parameter, "pull": impact.pull, "constraint": impact.constraint, "up": impact.up,
        "down": impact.down, "covariance": impact.covariance, "local": impact.local, "reason": impact.reason,
    }  # fmt: skip


def correlation_to_json(correlation: Correlation) -> dict[str, object]:
    """Return a correlation matrix in JSON form."""
    return {"names": list(correlation.names), "matrix": correlation.matrix.tolist()}


def contour_to_json(contour: Contour) -> dict[str, object]:
    """Return a grid in two parameters and its contours in JSON form."""
    first, second = contour.parameters
    grid = [[float(t) if np.isfinite(t) else None for t in row] for row in contour.t]
    levels = [
        {"confidence_level": level.confidence_level, "t": level.t, "lines": [line.tolist() for line in level.lines]}
        for level in contour.levels
    ]
    return {
        "parameters": [first, second], "grid": {first: contour.first.tolist(), second: contour.second.tolist()},
        "t": grid, "best": [contour.best.parameter(name).value for name in contour.parameters], "levels": levels,
        "failed": [{"value": [a, b], "reason": reason} for a, b, reason in contour.failed],
    }  # fmt: skip


def goodness_to_json(goodness: GoodnessOfFit) -> dict[str, object]:
    """Return a goodness of fit in JSON form."""
    channels = {
        name: {"kind": entry.kind, "statistic": entry.statistic, "p": entry.p, "size": entry.size}
        for name, entry in goodness.channels.items()
    }
    return {
        "statistic": goodness.statistic, "degrees_of_freedom": goodness.degrees_of_freedom, "p": goodness.p,
        "p_toys": goodness.p_toys, "toys": goodness.n_toys, "failed": goodness.n_failed, "seed": goodness.seed,
        "status": goodness.status, "remarks": list(goodness.remarks), "channels": channels,
    }  # fmt: skip
