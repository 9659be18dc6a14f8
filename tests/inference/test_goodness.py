"""Goodness of fit: chi2 in its limit, good and bad models, pseudo-experiments."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2

from evercast.inference.fit import fit
from evercast.inference.goodness import goodness_of_fit
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import (
    BinnedChannelModel,
    BinnedSample,
    EventSet,
    LikelihoodModel,
    NormFactor,
    ParameterModel,
)
from statistics_inputs import counting_model, gaussian_mixture

NOMINAL = np.array([400.0, 900.0, 1600.0, 2500.0])


def bins(observed: np.ndarray) -> Likelihood:
    """Four bins, one free scale."""
    parameter = ParameterModel(name="mu", initial=1.0, bounds=(0.0, 5.0), poi=True)
    sample = BinnedSample(name="S", nominal=NOMINAL, modifiers=(NormFactor(parameter="mu"),))
    channel = BinnedChannelModel(name="SR", samples=(sample,), observed=observed)
    return Likelihood(LikelihoodModel(name="bins", parameters=(parameter,), channels=(channel,)))


def test_the_saturated_statistic_of_bins_is_chi2() -> None:
    observed = NOMINAL + np.array([20.0, -30.0, 40.0, -50.0])
    likelihood = bins(observed)
    mu = observed.sum() / NOMINAL.sum()
    by_hand = np.sum((observed - mu * NOMINAL) ** 2 / (mu * NOMINAL))
    found = goodness_of_fit(likelihood, n_toys=300, seed=4)
    assert found.degrees_of_freedom == 3
    assert found.statistic == pytest.approx(by_hand, rel=0.03)  # Pearson's form differs by (n - nu)^3 / nu^2
    assert found.p == pytest.approx(chi2.sf(found.statistic, 3))
    assert found.p_toys == pytest.approx(found.p, abs=4 * np.sqrt(0.25 / 300))
    assert (found.status, found.remarks) == ("ok", ())


def test_a_model_that_does_not_fit_has_a_small_p_value() -> None:
    found = goodness_of_fit(bins(NOMINAL[::-1].copy()), n_toys=50, seed=1)
    assert found.p < 1e-6
    assert found.p_toys == pytest.approx(1 / 51)
    assert found.channels["SR"].p == found.p_toys


def test_low_counts_are_flagged() -> None:
    found = goodness_of_fit(Likelihood(counting_model(signal=1.0, background=1.0, observed=1.0)))
    assert found.status == "low-counts"
    assert "channel 'SR' expects 1 events" in found.remarks[0]
    assert found.degrees_of_freedom == 0
    assert found.p is None


def events_of(mean: float, *, seed: int) -> Likelihood:
    """T1 with 2,500 events drawn with the signal at `mean` instead of 1."""
    rng = np.random.default_rng(seed)
    x = np.concatenate([rng.normal(mean, 1.0, 500), rng.normal(0.0, 1.0, 2000)])
    base = gaussian_mixture(n_grid=40001)
    log_ratio = np.stack([x - 0.5, np.zeros_like(x)], axis=1)
    channel = replace(base.channels[0], events=EventSet(log_ratio=log_ratio, weight=np.ones(len(x))))
    return Likelihood(replace(base, channels=(channel,)))


def test_the_energy_test_tells_a_wrong_density_from_the_right_one() -> None:
    good, bad = (goodness_of_fit(events_of(mean, seed=6), n_toys=30, seed=2).channels["SR"] for mean in (1.0, 4.0))
    assert good.kind == "energy"
    assert good.p > 0.05
    assert bad.p == pytest.approx(1 / 31)
    assert bad.statistic > good.statistic


def test_p_values_of_the_true_model_are_uniform() -> None:
    """Mean of 4 uniform numbers: 0.5 with standard deviation 0.14."""
    p = [goodness_of_fit(events_of(1.0, seed=seed), n_toys=20, seed=seed).channels["SR"].p for seed in range(4)]
    assert np.mean(p) == pytest.approx(0.5, abs=0.45)
    assert goodness_of_fit(events_of(1.0, seed=1), best=fit(events_of(1.0, seed=1))).channels["SR"].p is None


def test_an_exact_fit_with_an_empty_bin_has_p_of_one() -> None:
    """Rounding leaves a sum of -1e-24, and nothing is expected or seen in the first bin."""
    sample = BinnedSample(name="S", nominal=np.array([0.0, 5.0]), modifiers=(NormFactor(parameter="mu"),))
    channel = BinnedChannelModel(name="SR", samples=(sample,), observed=np.array([0.0, 6.0]))
    parameter = ParameterModel(name="mu", initial=1.0, bounds=(0.0, 5.0), poi=True)
    found = goodness_of_fit(Likelihood(LikelihoodModel(name="bins", parameters=(parameter,), channels=(channel,))))
    assert found.statistic == pytest.approx(0.0, abs=1e-12)
    assert found.p == pytest.approx(1.0)


def test_the_constraint_of_a_fixed_parameter_is_no_degree_of_freedom() -> None:
    """As luminosity in many workspaces: thrown in pseudo-experiments, but never fitted."""
    base = bins(NOMINAL + np.array([20.0, -30.0, 40.0, -50.0])).model
    lumi = ParameterModel(
        name="lumi", initial=1.0, bounds=(0.5, 1.5), fixed=True, constraint="normal", global_observable=1.0, width=0.02
    )
    found = goodness_of_fit(Likelihood(replace(base, parameters=(*base.parameters, lumi))), n_toys=300, seed=4)
    assert found.p_toys == pytest.approx(found.p, abs=4 * np.sqrt(0.25 / 300))  # binomial
    plain = goodness_of_fit(Likelihood(base))
    assert (found.statistic, found.degrees_of_freedom) == (plain.statistic, plain.degrees_of_freedom)


def test_the_energy_test_takes_the_same_events_whatever_the_seed() -> None:
    likelihood = events_of(1.0, seed=3)
    first, second = (goodness_of_fit(likelihood, seed=seed).channels["SR"].statistic for seed in (0, 1))
    assert first == second
