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
                        significance      {q0, z, p}
                        positivity        {CHANNEL: {simulated_events, not_positive}}
                        minima            [{value, t, parameters: {NAME: value}}], of the profile; the best fit first
                        limit             LIMIT, null where none was asked for or found (`guard.problems` says why)
                        impacts           [{parameter, pull, constraint, up, down, covariance, local}], largest first
                        correlation       {names, matrix} of the parameters that were varied
                        contours          [{parameters: [a, b], grid: {a: [...], b: [...]}, t: [[...]], best: [a, b],
                                            levels: [{confidence_level, t, lines: [[[a, b], ...], ...]}], failed}]
                        goodness_of_fit   {statistic, degrees_of_freedom, p, status, channels: {CHANNEL: {...}}}

    LIMIT               {parameter, confidence_level, statistic: "q-tilde", method: "asymptotic",
                         observed, expected: [-2 sd, -1 sd, median, +1 sd, +2 sd], status, remarks}

A number that was not computed is null; `interval` is null where it is open. In `impacts`, `up` and `down` are shifts of
the best-fit parameter of interest when the global observable moves by +- its standard deviation (arXiv:2307.04007);
null where a refit failed. `covariance` is V_mu,k / sigma_k, `local` the derivative of the best fit times that standard
deviation, `pull` is (best fit - global observable) / standard deviation of the constraint, and `constraint` the
uncertainty after the fit over it.
In `contours`, `t[i][k]` belongs to grid[a][i], grid[b][k]; null where the fit failed.
"""

from __future__ import annotations

from evercast.inference.asymptotics import Significance
from evercast.inference.fit import FitResult
from evercast.inference.guard import Guard
from evercast.inference.profile import Interval, Scan

__all__ = [
    "fit_to_json",
    "guard_to_json",
    "interval_to_json",
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
