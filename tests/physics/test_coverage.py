"""Coverage counted with pseudo-experiments: the interference toy, and ten nuisance parameters."""

from __future__ import annotations

import numpy as np
import pytest
from counted import interference_model, ten_parameters
from scipy.stats import chisquare

from evercast.inference.fit import fit
from evercast.inference.intervals import quantile
from evercast.inference.neyman import coverage_of, critical_value, neyman_interval
from evercast.inference.toy_statistics import ToySample, evaluate_toys
from evercast.inference.toys import ToyGenerator, toy_seeds
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import LikelihoodModel

LEVELS = (0.6827, 0.9545)


def thrown(model: LikelihoodModel, mu: float, *, count: int, label: str = "count") -> ToySample:
    likelihood = Likelihood(model)
    theta = likelihood.initial.copy()
    theta[0] = mu
    seeds = toy_seeds("coverage", label, f"{mu}", first=0, count=count)
    return evaluate_toys(ToyGenerator(likelihood, theta), poi="mu", value=mu, seeds=seeds)


def test_asymptotic_intervals_of_the_interference_toy_cover_where_there_is_one_minimum() -> None:
    for entry in coverage_of(1.0, thrown(interference_model(), 1.0, count=500), LEVELS):
        assert entry.n_failed == 0
        assert entry.asymptotic == pytest.approx(entry.confidence_level, abs=3 * entry.error)
        assert entry.neyman == pytest.approx(entry.confidence_level, abs=3 * entry.neyman_error)


def test_between_two_minima_chi2_does_not_hold_and_the_construction_does() -> None:
    """At mu = 0.2 both roots of the rate lie within reach: t is larger than chi2 says, its own quantile is not."""
    model, count = interference_model(), 400
    accepted, counted = (thrown(model, 0.2, count=count, label=label).values() for label in ("accept", "count"))
    for level in LEVELS:
        critical, _ = critical_value(accepted, level)
        spread = np.sqrt(level * (1 - level) / count)
        assert np.mean(counted <= critical) == pytest.approx(level, abs=3 * np.sqrt(2) * spread)
    assert critical_value(accepted, LEVELS[0])[0] > quantile(LEVELS[0])
    assert np.mean(counted <= quantile(LEVELS[0])) < LEVELS[0] - 2 * np.sqrt(LEVELS[0] * (1 - LEVELS[0]) / count)


def test_intervals_with_ten_nuisance_parameters_cover() -> None:
    for entry in coverage_of(1.0, thrown(ten_parameters(), 1.0, count=500), LEVELS):
        assert entry.n_failed == 0
        assert entry.asymptotic == pytest.approx(entry.confidence_level, abs=3 * entry.error)
        assert entry.neyman == pytest.approx(entry.confidence_level, abs=3 * entry.neyman_error)


def test_the_construction_covers_where_nuisance_parameters_are_not_nominal() -> None:
    """The whole prescription: each data set profiles its nuisance parameters, and is ranked among its own toys."""
    likelihood, n_data, n_toys = Likelihood(ten_parameters()), 60, 19
    theta = likelihood.initial.copy()
    theta[0], theta[1:] = 1.0, np.where(np.arange(10) % 2, -1.0, 1.0)
    generator = ToyGenerator(likelihood, theta)
    seeds = toy_seeds("coverage", "data", first=0, count=n_data)
    data = evaluate_toys(generator, poi="mu", value=1.0, seeds=seeds)
    ranks = []
    for number, seed in enumerate(seeds):
        own = Likelihood(generator.throw(seed))
        profiled = ToyGenerator(own, fit(own, fixed={"mu": 1.0}).theta)
        toys = toy_seeds("coverage", "own", first=n_toys * number, count=n_toys)
        ranks.append(np.sum(evaluate_toys(profiled, poi="mu", value=1.0, seeds=toys).values() < data.t[number]))
    counts = np.bincount(np.array(ranks) // 5, minlength=4)  # four groups of five ranks, each with a quarter
    assert chisquare(counts).pvalue > 0.003  # three standard deviations


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


def test_ends_between_tested_values_follow_the_profile_of_the_data() -> None:
    """A parabola of width 0.1 tested at three values: straight lines between them would give 0.98 to 1.02."""
    toys = np.random.default_rng(2).chisquare(1, 4000)
    sample = ToySample(t=toys, poi_hat=np.zeros(4000), status=np.zeros(4000, dtype=int), seed=np.arange(4000))

    def profile(value: float) -> float:
        return ((value - 1.0) / 0.1) ** 2

    samples = dict.fromkeys((0.5, 1.0, 1.5), sample)
    observed = {value: profile(value) for value in samples}
    found = neyman_interval(samples, confidence_level=0.6827, observed=observed, profile=profile)
    critical = found.points[0].critical
    half = 0.1 * critical**0.5
    assert found.segments == (pytest.approx((1 - half, 1 + half), abs=1e-4),)
    assert found.asymptotic_segments == (pytest.approx((0.9, 1.1), abs=1e-4),)
    assert (found.open_low, found.open_high) == (False, False)
