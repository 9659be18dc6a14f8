"""Coverage counted with pseudo-experiments: the interference toy, and ten nuisance parameters."""

from __future__ import annotations

import numpy as np
import pytest
from counted import interference_model, ten_parameters

from evercast.inference.intervals import quantile
from evercast.inference.neyman import coverage_of, critical_value, neyman_interval
from evercast.inference.toy_statistics import ToySample, evaluate_toys
from evercast.inference.toys import ToyGenerator, toy_seeds
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import LikelihoodModel

LEVELS = (0.6827, 0.9)


def thrown(model: LikelihoodModel, mu: float, *, count: int, label: str = "count") -> ToySample:
    likelihood = Likelihood(model)
    theta = likelihood.initial.copy()
    theta[0] = mu
    seeds = toy_seeds("coverage", label, f"{mu}", first=0, count=count)
    return evaluate_toys(ToyGenerator(likelihood, theta), poi="mu", value=mu, seeds=seeds)


def test_asymptotic_intervals_of_the_interference_toy_cover_where_there_is_one_minimum() -> None:
    for entry in coverage_of(1.0, thrown(interference_model(), 1.0, count=220), LEVELS):
        assert entry.n_failed == 0
        assert entry.asymptotic == pytest.approx(entry.confidence_level, abs=3 * entry.error)


def test_between_two_minima_chi2_does_not_hold_and_the_construction_does() -> None:
    """At mu = 0.2 both roots of the rate lie within reach: t is larger than chi2 says, its own quantile is not."""
    model = interference_model()
    accepted, counted = (thrown(model, 0.2, count=200, label=label) for label in ("accept", "count"))
    critical, _ = critical_value(accepted.values(), LEVELS[0])
    assert critical > quantile(LEVELS[0])
    spread = np.sqrt(LEVELS[0] * (1 - LEVELS[0]) / 200)
    assert np.mean(counted.values() <= quantile(LEVELS[0])) < LEVELS[0] - spread
    assert np.mean(counted.values() <= critical) == pytest.approx(LEVELS[0], abs=3 * np.sqrt(2) * spread)


def test_intervals_with_ten_nuisance_parameters_cover() -> None:
    for entry in coverage_of(1.0, thrown(ten_parameters(), 1.0, count=220), LEVELS):
        assert entry.n_failed == 0
        assert entry.asymptotic == pytest.approx(entry.confidence_level, abs=3 * entry.error)


def test_a_construction_has_the_parts_that_its_acceptance_leaves() -> None:
    """Quantiles of t made by hand: accepted where t of the data lies below, with ends interpolated."""
    rng = np.random.default_rng(1)

    def sample(scale: float) -> ToySample:
        t = scale * rng.chisquare(1, 4000)
        return ToySample(t=t, poi_hat=np.zeros(4000), status=np.zeros(4000, dtype=int), seed=np.arange(4000))

    samples = {0.0: sample(1.0), 1.0: sample(1.0), 2.0: sample(4.0), 3.0: sample(1.0)}
    observed = {0.0: 0.5, 1.0: 3.0, 2.0: 3.0, 3.0: 3.0}
    found = neyman_interval(samples, confidence_level=0.6827, observed=observed)
    assert found.open_low
    assert not found.open_high
    assert len(found.segments) == 2
    assert found.segments[0] == pytest.approx((0.0, 0.2), abs=0.04)  # from t - 1 = -0.5 to 2, errors of 0.05 in t
    assert found.segments[1] == pytest.approx((1 + 2 / 3, 2 + 1 / 3), abs=0.05)
    assert found.asymptotic_segments == (pytest.approx((0.0, 0.2), abs=1e-4),)
    assert found.points[1].p == pytest.approx(0.0833, abs=0.02)  # P(chi2 > 3)
