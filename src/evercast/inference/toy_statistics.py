"""Test statistics of pseudo-experiments: each is thrown, fitted freely and at the tested value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from evercast.errors import NumericalFailure
from evercast.inference.fit_many import Fits, fit_many, lower_of
from evercast.inference.toys import ToyGenerator
from evercast.likelihood.batch import LikelihoodBatch
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import LikelihoodModel

__all__ = [
    "FAILED",
    "STATUS_CODES",
    "Statistic",
    "ToySample",
    "concatenate",
    "evaluate_toys",
    "free_bounds",
    "statistic_of",
    "summary_of",
]

Point = Float[np.ndarray, " parameters"]
Statistic = Literal["t", "q", "q-tilde", "q0"]
"""Equations 8, 14, 16 and 12 of arXiv:1007.1727."""

OK, AT_BOUND, FAILED = 0, 1, 2
STATUS_CODES = {"0": "fine", "1": "a parameter of the free fit lies at a bound", "2": "a fit failed"}
_BLOCK = 256
_MOST_FAILED = 0.02


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ToySample:
    """Pseudo-experiments with their test statistics.

    Args:
        t: (toys,) test statistic, not negative; NaN where a fit failed.
        poi_hat: (toys,) best fit of the parameter of interest; NaN where the fit failed.
        status: (toys,) 0 fine, 1 a parameter of the free fit lies at its bound, 2 a fit failed.
        seed: (toys,) from which each was thrown.
        reasons: of the failures, each once.
        at_bound: parameter -> in how many free fits it lies at a bound.
    """

    t: Float[np.ndarray, " toys"]
    poi_hat: Float[np.ndarray, " toys"]
    status: Int[np.ndarray, " toys"]
    seed: Int[np.ndarray, " toys"]
    reasons: tuple[str, ...] = ()
    at_bound: Mapping[str, int] = field(default_factory=dict)

    @property
    def n_failed(self) -> int:
        """Pseudo-experiments without a result."""
        return int(np.sum(self.status == FAILED))

    def values(self) -> Float[np.ndarray, " good"]:
        """Return the test statistics of those that did not fail.

        Raises:
            NumericalFailure: ``toys.failed``, more than 2 % failed.
        """
        if self.n_failed > _MOST_FAILED * len(self.t):
            message = f"{self.n_failed} of {len(self.t)} pseudo-experiments could not be fitted: {self.reasons[0]}"
            raise NumericalFailure(message, code="toys.failed", hint="look at the bounds and at empty regions")
        return np.asarray(self.t[self.status != FAILED])


def concatenate(samples: Sequence[ToySample]) -> ToySample:
    """Return the samples as one."""
    reasons = tuple(dict.fromkeys(reason for sample in samples for reason in sample.reasons))
    at_bound = sum((Counter(sample.at_bound) for sample in samples), start=Counter[str]())
    return ToySample(
        t=np.concatenate([sample.t for sample in samples]),
        poi_hat=np.concatenate([sample.poi_hat for sample in samples]),
        status=np.concatenate([sample.status for sample in samples]),
        seed=np.concatenate([sample.seed for sample in samples]),
        reasons=reasons,
        at_bound=dict(at_bound.most_common()),
    )


def free_bounds(likelihood: Likelihood, poi: str, value: float, statistic: Statistic) -> dict[str, tuple[float, float]]:
    """Return the bounds of the free fit where they are not those of the model: q-tilde asks for [0, upper]."""
    index = likelihood.index(poi)
    low, high = float(likelihood.lower[index]), float(likelihood.upper[index])
    return {poi: (0.0 if statistic == "q-tilde" else min(low, value), max(high, value))}


def statistic_of(
    statistic: Statistic,
    *,
    value: float,
    poi_hat: Float[np.ndarray, " toys"],
    conditional: Float[np.ndarray, " toys"],
    best: Float[np.ndarray, " toys"],
) -> Float[np.ndarray, " toys"]:
    """Return the test statistics from -2 ln L of the conditional and the free fits."""
    t = np.maximum(conditional - best, 0.0)
    if statistic in {"q", "q-tilde"}:
        t = np.where(poi_hat > value, 0.0, t)
    if statistic == "q0":
        t = np.where(poi_hat <= value, 0.0, t)
    return np.asarray(t)


def evaluate_toys(
    generator: ToyGenerator,
    *,
    poi: str,
    value: float,
    seeds: Sequence[int],
    statistic: Statistic = "t",
) -> ToySample:
    """Throw a pseudo-experiment for each seed and return its test statistic at a value of the parameter of interest.

    Args:
        generator: throws them.
        poi: parameter of interest.
        value: tested; not necessarily the true one.
        seeds: one each.
        statistic: ``t`` (two-sided), ``q`` and ``q-tilde`` (for upper limits), ``q0`` (for discovery, `value` 0).
    """
    samples = []
    for first in range(0, len(seeds), _BLOCK):
        block = seeds[first : first + _BLOCK]
        models = [generator.throw(seed) for seed in block]
        samples.append(_evaluate(generator.likelihood, models, generator.theta, poi, value, statistic, block))
    return concatenate(samples)


def _evaluate(
    likelihood: Likelihood,
    models: Sequence[LikelihoodModel],
    start: Point,
    poi: str,
    value: float,
    statistic: Statistic,
    seeds: Sequence[int],
) -> ToySample:
    batch = LikelihoodBatch(likelihood, models)
    index = likelihood.index(poi)
    points = np.tile(start, (len(models), 1))
    bounds = free_bounds(likelihood, poi, value, statistic)
    best = fit_many(batch, start=points, bounds=bounds, explore=True)
    held = np.where(np.isfinite(best.theta), best.theta, points)
    held[:, index] = value
    conditional = fit_many(batch, start=held, fixed=(poi,))
    best = lower_of(batch, best, conditional, bounds=bounds)
    counted = _at_bound(likelihood.names, best)
    return replace(_sample(best, conditional, index, value, statistic, seeds), at_bound=counted)


def _at_bound(names: Sequence[str], best: Fits) -> dict[str, int]:
    counts = best.at_bound[~best.failed].sum(axis=0).tolist()
    return {name: count for name, count in zip(names, counts, strict=True) if count}


def _sample(
    best: Fits, conditional: Fits, index: int, value: float, statistic: Statistic, seeds: Sequence[int]
) -> ToySample:
    poi_hat = best.theta[:, index]
    t = statistic_of(statistic, value=value, poi_hat=poi_hat, conditional=conditional.twice_nll, best=best.twice_nll)
    failed = best.failed | conditional.failed
    status = np.where(failed, FAILED, np.where(best.at_bound.any(axis=1), AT_BOUND, OK))
    reasons = (*best.reasons.values(), *conditional.reasons.values())
    return ToySample(
        t=np.where(failed, np.nan, t), poi_hat=np.where(best.failed, np.nan, poi_hat), status=status.astype(np.int64),
        seed=np.array(seeds, dtype=np.int64), reasons=tuple(dict.fromkeys(reasons)),
    )  # fmt: skip


def summary_of(sample: ToySample) -> dict[str, object]:
    """Return counts, moments of the best fit and quantiles of the test statistic, in JSON form.

    Raises:
        NumericalFailure: ``toys.failed``, more than 2 % failed.
    """
    t = sample.values()
    poi_hat = sample.poi_hat[sample.status != FAILED]
    levels = (0.5, 0.6827, 0.9, 0.95, 0.9545)
    return {
        "toys": len(sample.t), "failed": sample.n_failed, "reasons": list(sample.reasons),
        "at_bound": int(np.sum(sample.status == AT_BOUND)), "at_bound_parameters": dict(sample.at_bound),
        "status_codes": STATUS_CODES, "poi_mean": float(poi_hat.mean()),
        "poi_deviation": float(poi_hat.std()),
        "quantiles": {f"{level:g}": float(np.quantile(t, level)) for level in levels},
    }  # fmt: skip
