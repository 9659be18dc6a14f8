"""T2, the interference toy with exact ratios: every number of the specification, and quadrature to 1e-6."""

from __future__ import annotations

import interference as toy
import numpy as np
import pytest

from evercast.inference.fit import fit
from evercast.inference.profile import Profile, quantile
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import (
    BinnedChannelModel,
    BinnedSample,
    Component,
    EventSet,
    LikelihoodModel,
    ParameterModel,
    UnbinnedChannelModel,
)

COMPONENTS = (
    ("S", toy.signal, toy.LAMBDA_S, "mu - sqrt(mu)"),
    ("SBI", toy.interfering, toy.LAMBDA_SBI, "sqrt(mu)"),
    ("B", toy.background, toy.LAMBDA_B, "1 - sqrt(mu)"),
    ("NI", toy.other, toy.LAMBDA_NI, "1"),
)
ONE_SIGMA = 0.682689492137086
MU = ParameterModel(name="mu", initial=1.3, bounds=(0.0, 10.0), poi=True)


def model(*, dtype: type = np.float64, n_grid: int = 4001) -> LikelihoodModel:
    """Return the toy on Asimov data of mu = 1: the intensity times the step of a fine grid."""
    x, step = np.linspace(-9.0, 9.0, n_grid, retstep=True)
    reference = np.mean([density(x) for _, density, _, _ in COMPONENTS], axis=0)
    channel = UnbinnedChannelModel(
        name="SR",
        components=tuple(Component(process=p, yield_events=y, coefficient=c) for p, _, y, c in COMPONENTS),
        events=EventSet(
            log_ratio=np.stack([np.log(density(x) / reference) for _, density, _, _ in COMPONENTS], axis=1).astype(
                dtype
            ),
            weight=toy.intensity(x, 1.0) * step,
        ),
    )
    return LikelihoodModel(name="T2", parameters=(MU,), channels=(channel,))


@pytest.fixture(scope="module")
def profile() -> Profile:
    return Profile(Likelihood(model()), "mu")


def test_the_yields_are_those_of_the_amplitudes() -> None:
    assert round(toy.OVERLAP, 6) == 0.793058
    assert round(toy.LAMBDA_I, 4) == -274.7235
    assert round(toy.LAMBDA_SBI, 4) == 425.2765


def test_the_best_fit_is_the_truth(profile: Profile) -> None:
    assert profile.poi_hat == pytest.approx(1.0, abs=1e-6)
    assert profile.best.status == "ok"


@pytest.mark.parametrize(("mu", "printed"), [(0.0, 52.500), (0.5, 21.440), (2.0, 75.874)])
def test_t_is_that_of_quadrature(profile: Profile, mu: float, printed: float) -> None:
    assert profile.t(mu) == pytest.approx(toy.t(mu), rel=1e-6)
    assert round(profile.t(mu), 3) == printed


def test_the_interval_is_that_of_quadrature(profile: Profile) -> None:
    scan = profile.scan(np.linspace(0.0, 3.0, 31).tolist())
    interval = profile.interval(ONE_SIGMA, scan=scan)
    assert quantile(ONE_SIGMA) == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose((interval.low, interval.high), toy.interval(), rtol=1e-6)
    assert (round(interval.low, 5), round(interval.high, 5)) == (0.89162, 1.10933)
    assert len(interval.segments) == 1


def test_ratios_in_single_precision_cost_less_than_a_thousandth(profile: Profile) -> None:
    single = Profile(Likelihood(model(dtype=np.float32)), "mu")
    for mu in (0.0, 0.5, 2.0):
        assert single.t(mu) == pytest.approx(profile.t(mu), abs=1e-3)  # rounding of 6e-8 in each ratio, random in sign


@pytest.mark.parametrize(("mu", "printed"), [(0.0, 6.703), (0.5, 6.093)])
def test_the_rate_alone_sees_far_less_and_cannot_tell_two_values_apart(mu: float, printed: float) -> None:
    samples = tuple(BinnedSample(name=p, nominal=np.array([y]), coefficient=c) for p, _, y, c in COMPONENTS)
    channel = BinnedChannelModel(name="SR", samples=samples, observed=np.array([toy.rate(1.0)]))
    rate = Profile(Likelihood(LikelihoodModel(name="rate", parameters=(MU,), channels=(channel,))), "mu")
    assert rate.t(mu) == pytest.approx(toy.t_rate(mu), rel=1e-6)
    assert round(rate.t(mu), 3) == printed


def test_every_start_leads_to_the_global_minimum() -> None:
    """A signal of the same rate at two values of mu: sqrt(mu') = -lambda_I / lambda_S - sqrt(mu)."""
    for initial in (0.0, 0.01, 0.3, 5.0, 9.9):
        parameter = ParameterModel(name="mu", initial=initial, bounds=(0.0, 10.0), poi=True)
        likelihood = Likelihood(LikelihoodModel(name="T2", parameters=(parameter,), channels=model().channels))
        assert fit(likelihood).theta[0] == pytest.approx(1.0, abs=1e-5)


def test_data_of_pure_background_end_at_the_bound_of_mu() -> None:
    """At mu = 0 the slope of sqrt(mu) is infinite; with destructive interference the fit may leave it or stay."""
    x, step = np.linspace(-9.0, 9.0, 2001, retstep=True)
    base = model(n_grid=2001)
    channel = UnbinnedChannelModel(
        name="SR",
        components=base.channels[0].components,
        events=EventSet(log_ratio=base.channels[0].events.log_ratio, weight=toy.intensity(x, 0.0) * step),
    )
    result = fit(Likelihood(LikelihoodModel(name="T2 at 0", parameters=(MU,), channels=(channel,))))
    assert result.theta[0] == pytest.approx(0.0, abs=1e-9)
    assert (result.status, result.guard.at_bound) == ("at-bound", ("mu",))
