"""Profile scans and intervals: closed forms, bounds, two minima."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq

from evercast.errors import InvalidInput, NumericalFailure
from evercast.inference.profile import Profile, quantile, scan_range
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import (
    BinnedSample,
    Component,
    EventSet,
    LikelihoodModel,
    NormFactor,
    ParameterModel,
    UnbinnedChannelModel,
)
from statistics_inputs import counting_model


def t_counting(mu: float, *, signal: float = 10.0, background: float = 50.0, observed: float = 62.0) -> float:
    nu = mu * signal + background
    return 2 * (nu - observed + observed * np.log(observed / nu))


def test_t_and_the_interval_of_a_counting_experiment_are_exact() -> None:
    profile = Profile(Likelihood(counting_model()), "mu")
    scan = profile.scan([0.0, 0.5, 1.2, 3.0])
    np.testing.assert_allclose(scan.t, [t_counting(mu) for mu in (0.0, 0.5, 1.2, 3.0)], atol=1e-9)
    interval = profile.interval(0.6827, scan=scan)
    limit = quantile(0.6827)
    assert interval.low == pytest.approx(brentq(lambda mu: t_counting(mu) - limit, 0.0, 1.2), abs=1e-7)
    assert interval.high == pytest.approx(brentq(lambda mu: t_counting(mu) - limit, 1.2, 4.0), abs=1e-7)
    assert not interval.low_at_bound
    assert len(interval.segments) == 1
    assert scan.minima == (profile.poi_hat,)


def test_an_interval_that_reaches_a_bound_is_flagged() -> None:
    interval = Profile(Likelihood(counting_model(observed=47.0)), "mu").interval(0.95)
    assert (interval.low, interval.low_at_bound, interval.high_at_bound) == (0.0, True, False)
    assert interval.high == pytest.approx(
        brentq(lambda mu: t_counting(mu, observed=47.0) - t_counting(0, observed=47.0) - quantile(0.95), 0, 5), abs=1e-7
    )


def test_a_profiled_nuisance_parameter_widens_the_interval_as_its_closed_form_says() -> None:
    """nu = mu s + b (1 + 0.1 theta) near theta = 0: sigma^2 = (n + (0.1 b)^2) / s^2 by the Hessian."""
    profile = Profile(Likelihood(counting_model(observed=60.0, width=0.1)), "mu")
    sigma = profile.best.parameter("mu").uncertainty
    slope = 0.5 * (0.1 + 1 - 1 / 1.1) * 50.0  # code 4 at 0 for up 1.1, down 1/1.1 is that of exp(alpha ln 1.1)
    assert sigma == pytest.approx(np.sqrt(60.0 + slope**2) / 10.0, rel=2e-3)


def test_two_minima_are_found_and_reported() -> None:
    """A rate of (mu - 2)^2 x 10 + 20 with 30 observed is met at mu = 1 and at mu = 3."""
    model = counting_model(observed=30.0)
    samples = (
        BinnedSample(name="S", nominal=np.array([10.0]), coefficient="(mu - 2)**2"),
        BinnedSample(name="B", nominal=np.array([20.0])),
    )
    model = replace(model, channels=(replace(model.channels[0], samples=samples),))
    profile = Profile(Likelihood(model), "mu")
    scan = profile.scan(np.linspace(0.0, 4.0, 33).tolist())
    assert sorted(round(value, 2) for value in scan.minima) == [1.0, 3.0]
    interval = profile.interval(0.1, scan=scan)
    assert len(interval.segments) == 2
    first, second = interval.segments
    assert first.low + second.high == pytest.approx(4.0, abs=1e-6)
    assert first.high + second.low == pytest.approx(4.0, abs=1e-6)
    assert any(segment.low == interval.low for segment in interval.segments)


@pytest.mark.parametrize(("initial", "nearest"), [(0.5, 1.0), (3.5, 3.0)])
def test_of_two_minima_just_as_deep_the_one_nearest_to_the_initial_value_is_the_best_fit(
    initial: float, nearest: float
) -> None:
    """Rounding alone would choose between mu = 1 and mu = 3."""
    model = counting_model(observed=30.0)
    samples = (
        BinnedSample(name="S", nominal=np.array([10.0]), coefficient="(mu - 2)**2"),
        BinnedSample(name="B", nominal=np.array([20.0])),
    )
    parameter = replace(model.parameters[0], initial=initial)
    model = replace(model, parameters=(parameter,), channels=(replace(model.channels[0], samples=samples),))
    assert Profile(Likelihood(model), "mu").poi_hat == pytest.approx(nearest, abs=1e-5)


def test_a_deeper_minimum_met_in_the_scan_replaces_the_free_fit() -> None:
    model = counting_model(observed=33.0)
    samples = (
        BinnedSample(name="S", nominal=np.array([10.0]), coefficient="2 - cos(3*mu) - 0.05*mu"),
        BinnedSample(name="B", nominal=np.array([20.0])),
    )
    likelihood = Likelihood(
        replace(model, channels=(replace(model.channels[0], samples=samples, observed=np.array([25.0])),))
    )
    profile = Profile(likelihood, "mu")
    wrong = profile.best.theta.copy()
    wrong[0] = 0.0
    shallow = replace(profile.best, theta=wrong, twice_nll=likelihood.twice_nll(wrong))
    started_wrong = Profile(likelihood, "mu", best=shallow)
    scan = started_wrong.scan(np.linspace(0.0, 10.0, 81).tolist())
    assert started_wrong.best.twice_nll <= profile.best.twice_nll + 1e-9
    assert np.all(scan.t >= 0)
    assert scan.t.min() == pytest.approx(0.0, abs=0.05)


def test_points_where_the_model_is_undefined_are_left_out_and_named() -> None:
    model = counting_model()
    samples = (
        replace(model.channels[0].samples[0], modifiers=(), coefficient="sqrt(mu)"),
        model.channels[0].samples[1],
    )
    parameter = ParameterModel(name="mu", initial=1.0, bounds=(-1.0, 10.0), poi=True)
    likelihood = Likelihood(
        replace(model, parameters=(parameter,), channels=(replace(model.channels[0], samples=samples),))
    )
    scan = Profile(likelihood, "mu").scan([-0.5, 0.5, 1.0])
    assert scan.values.tolist() == [0.5, 1.0]
    ((value, reason),) = scan.failed
    assert value == -0.5
    assert "is undefined at mu = -0.5" in reason


def test_an_interval_is_found_where_the_first_step_leaves_the_domain() -> None:
    """10 mu + 5 expected with 6 events that tell nothing: a count, undefined below mu = -0.5."""
    channel = UnbinnedChannelModel(
        name="SR",
        components=(
            Component(process="S", yield_events=10.0, coefficient="mu"),
            Component(process="B", yield_events=5.0),
        ),
        events=EventSet(log_ratio=np.zeros((6, 2)), weight=np.ones(6)),
    )
    parameter = ParameterModel(name="mu", initial=1.0, bounds=(-10.0, 10.0), poi=True)
    profile = Profile(Likelihood(LikelihoodModel(name="count", parameters=(parameter,), channels=(channel,))), "mu")
    assert profile.poi_hat - 0.245 * np.sqrt(quantile(0.999999)) < -0.5
    interval = profile.interval(0.999999)

    def excess(mu: float) -> float:
        return t_counting(mu, background=5.0, observed=6.0) - quantile(0.999999)

    assert interval.low == pytest.approx(brentq(excess, -0.5 + 1e-9, 0.1), abs=1e-7)
    assert interval.high == pytest.approx(brentq(excess, 0.1, 10.0), abs=1e-7)
    assert not interval.low_at_bound


def test_an_unlimited_parameter_has_no_interval() -> None:
    model = counting_model()
    flat = ParameterModel(name="mu", initial=1.0, poi=True)
    modifier = NormFactor(parameter="mu")
    samples = (
        BinnedSample(name="S", nominal=np.array([10.0]), coefficient="tanh(mu)", modifiers=()),
        BinnedSample(name="B", nominal=np.array([50.0])),
    )
    assert modifier.parameter == "mu"
    channel = replace(model.channels[0], samples=samples, observed=np.array([55.0]))
    likelihood = Likelihood(replace(model, parameters=(flat,), channels=(channel,)))
    with pytest.raises(NumericalFailure, match="does not reach"):
        Profile(likelihood, "mu").interval(0.95)


def test_levels_and_ranges_are_checked() -> None:
    assert quantile(0.6827) == pytest.approx(1.0, abs=1e-4)
    with pytest.raises(InvalidInput, match="between 0 and 1, found 95"):
        quantile(95.0)
    likelihood = Likelihood(counting_model())
    low, high = scan_range(Profile(likelihood, "mu"), likelihood)
    assert low == 0.0
    assert high == pytest.approx(1.2 + 3 * np.sqrt(62) / 10, rel=1e-6)
