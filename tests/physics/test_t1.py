"""T1, the Gaussian pair: the precision of mu is that of the Fisher information."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad

from evercast.inference.asymptotics import significance
from evercast.inference.fit import fit
from evercast.inference.profile import Profile
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import EventSet, LikelihoodModel
from statistics_inputs import gaussian_mixture


def fisher_sigma() -> float:
    """Return 1 / sqrt(integral of s(x)^2 / (s + b)), the Fisher information of an extended likelihood at mu = 1."""

    def density(x: float, mean: float) -> float:
        return float(np.exp(-0.5 * (x - mean) ** 2) / np.sqrt(2 * np.pi))

    def information(x: float) -> float:
        signal, background = 200 * density(x, 1.0), 2000 * density(x, 0.0)
        return signal**2 / (signal + background)

    return 1.0 / np.sqrt(quad(information, -9, 10, epsabs=1e-12, epsrel=1e-12, limit=200)[0])


def test_the_uncertainty_of_mu_is_that_of_the_fisher_information() -> None:
    result = fit(Likelihood(gaussian_mixture()))
    assert result.theta[0] == pytest.approx(1.0, abs=1e-6)
    assert result.parameter("mu").uncertainty == pytest.approx(fisher_sigma(), rel=1e-6)
    assert round(result.parameter("mu").uncertainty, 4) == 0.1669


def test_the_profile_interval_encloses_the_same_precision() -> None:
    """t is a parabola up to its third derivative, which moves the ends by about 2 % of sigma."""
    interval = Profile(Likelihood(gaussian_mixture()), "mu").interval(0.682689492137086)
    assert (interval.high - interval.low) / 2 == pytest.approx(0.1669, rel=5e-3)
    assert interval.high - 1.0 == pytest.approx(0.1669, rel=0.03)
    assert 1.0 - interval.low == pytest.approx(0.1669, rel=0.03)


def test_events_drawn_from_the_model_scatter_mu_by_as_much() -> None:
    """60 toys: the spread has a relative error of 1/sqrt(120) = 9 %, the mean one of sigma/sqrt(60)."""
    rng = np.random.default_rng(20)
    base = gaussian_mixture()
    estimates = []
    for _ in range(60):
        x = np.concatenate([rng.normal(1.0, 1.0, rng.poisson(200)), rng.normal(0.0, 1.0, rng.poisson(2000))])
        x = np.pad(x, (0, 2600 - len(x)), constant_values=0.0)
        used = np.arange(2600) < np.count_nonzero(x)
        ratio = np.stack([x - 0.5, np.zeros_like(x)], axis=1).astype(np.float32)
        estimates.append(fit(Likelihood(with_events(base, ratio, used.astype(float)))).theta[0])
    assert np.mean(estimates) == pytest.approx(1.0, abs=3 * 0.1669 / np.sqrt(60))
    assert np.std(estimates) == pytest.approx(0.1669, rel=3 / np.sqrt(120))


def with_events(model: LikelihoodModel, log_ratio: np.ndarray, weight: np.ndarray) -> LikelihoodModel:
    return replace(model, channels=(replace(model.channels[0], events=EventSet(log_ratio=log_ratio, weight=weight)),))


def test_the_expected_significance_is_that_of_the_likelihood_ratio_integral() -> None:
    """q0 on Asimov data is 2 (integral of (s + b) ln((s + b) / b) - s)."""

    def integrand(x: float) -> float:
        signal = 200 * np.exp(-0.5 * (x - 1.0) ** 2) / np.sqrt(2 * np.pi)
        background = 2000 * np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)
        return float((signal + background) * np.log1p(signal / background))

    q0 = 2 * (quad(integrand, -9, 10, epsabs=1e-10, limit=200)[0] - 200)
    assert significance(Likelihood(gaussian_mixture())).q0 == pytest.approx(q0, rel=1e-6)
