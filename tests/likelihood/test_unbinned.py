"""The unbinned term: value against numpy, derivatives against finite differences, signs, chunks, the binned limit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evercast.errors import InvalidInput, NumericalFailure
from evercast.inference.fit import fit
from evercast.likelihood.diagnose import simulated_positivity, why_undefined
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import (
    BinnedChannelModel,
    BinnedSample,
    Component,
    EventSet,
    LikelihoodModel,
    NormFactor,
    NormSys,
    ParameterModel,
    UnbinnedChannelModel,
)
from statistics_inputs import gaussian_mixture

PARAMETERS = (
    ParameterModel(name="mu", initial=1.0, bounds=(0.0, 10.0), poi=True),
    ParameterModel(name="norm", bounds=(-5.0, 5.0), constraint="normal", global_observable=0.3, width=0.8),
)


def interference_model(n_events: int, *, seed: int = 3, dtype: type = np.float32) -> LikelihoodModel:
    rng = np.random.default_rng(seed)
    channel = UnbinnedChannelModel(
        name="SR",
        components=(
            Component(process="S", yield_events=40.0, coefficient="mu - sqrt(mu)"),
            Component(process="SBI", yield_events=50.0, coefficient="sqrt(mu)"),
            Component(process="B", yield_events=30.0, coefficient="1 - sqrt(mu)"),
            Component(process="NI", yield_events=500.0, modifiers=(NormSys(parameter="norm", up=1.1, down=0.85),)),
        ),
        events=EventSet(
            log_ratio=rng.normal(scale=0.7, size=(n_events, 4)).astype(dtype), weight=rng.uniform(0.5, 1.5, n_events)
        ),
    )
    return LikelihoodModel(name="toy", parameters=PARAMETERS, channels=(channel,))


def code_4(alpha: float, up: float, down: float) -> float:
    """The factor for |alpha| >= 1, where it is a plain power."""
    return up**alpha if alpha > 0 else down**-alpha


def by_numpy(model: LikelihoodModel, mu: float, norm: float) -> float:
    channel = model.channels[0]
    nu = np.array([40 * (mu - np.sqrt(mu)), 50 * np.sqrt(mu), 30 * (1 - np.sqrt(mu)), 500 * code_4(norm, 1.1, 0.85)])
    intensity = np.exp(channel.events.log_ratio.astype(float)) @ nu
    term = 2 * (nu.sum() - np.sum(channel.events.weight * np.log(intensity)))
    return term + ((norm - 0.3) / 0.8) ** 2 + 2 * np.log(0.8) + np.log(2 * np.pi)


@pytest.mark.parametrize("n_events", [0, 1, 255, 4096, 4097, 10_000])
@pytest.mark.parametrize("point", [(0.0, 1.5), (0.3, -2.0), (4.0, 1.0)])
def test_the_value_is_that_of_the_formula(n_events: int, point: tuple[float, float]) -> None:
    model = interference_model(n_events)
    assert Likelihood(model).twice_nll(np.array(point)) == pytest.approx(by_numpy(model, *point), rel=1e-12)


def test_log_ratios_far_from_zero_neither_overflow_nor_vanish() -> None:
    model = interference_model(300, dtype=np.float64)
    channel = model.channels[0]
    shift = np.linspace(-3000.0, 3000.0, 300)
    shifted = replace(
        model,
        channels=(
            replace(channel, events=replace(channel.events, log_ratio=channel.events.log_ratio + shift[:, None])),
        ),
    )
    theta = np.array([0.5, 0.2])
    expected = Likelihood(model).twice_nll(theta) - 2 * np.sum(channel.events.weight * shift)
    assert Likelihood(shifted).twice_nll(theta) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("point", [(0.4, 0.7), (2.5, -1.3)])
def test_gradient_and_hessian_equal_finite_differences(point: tuple[float, float]) -> None:
    likelihood = Likelihood(interference_model(2000))
    theta, step = np.array(point), 1e-4
    found = likelihood.expand(theta)
    for i, unit in enumerate(np.eye(2)):
        five = [likelihood.twice_nll(theta + k * step * unit) for k in (-2, -1, 1, 2)]
        slope = (five[0] - 8 * five[1] + 8 * five[2] - five[3]) / (12 * step)  # fourth order: error step^4
        assert found.gradient[i] == pytest.approx(slope, rel=1e-7, abs=1e-5)
        plus, minus = (likelihood.gradient(theta + side * step * unit) for side in (1, -1))
        np.testing.assert_allclose(found.hessian[i], (plus - minus) / (2 * step), rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(found.hessian, found.hessian.T, rtol=1e-12)


def test_a_component_may_be_negative_but_not_the_total() -> None:
    model = interference_model(2000)
    likelihood = Likelihood(model)
    assert np.isfinite(likelihood.twice_nll(np.array([0.25, 0.0])))  # mu - sqrt(mu) is -0.25 there
    channel = model.channels[0]
    components = (replace(channel.components[0], coefficient="-12*mu"), *channel.components[1:])
    negative = Likelihood(replace(model, channels=(replace(channel, components=components),)))
    theta = np.array([1.0, 0.0])
    assert negative.twice_nll(theta) == np.inf
    nu = np.array([-480.0, 50.0, 0.0, 500.0])
    bad = np.flatnonzero(np.exp(channel.events.log_ratio.astype(float)) @ nu <= 0)
    text = why_undefined(negative, theta)
    assert text is not None
    assert f"not positive for {len(bad)} of 2000 events, first event {bad[0]} (S -0.85, NI +0.14" in text
    assert text.endswith("at mu = 1, norm = 0")


def wide_signal(n_events: int) -> Likelihood:
    """10 mu signal events on 5 of background, where the ratio of the signal is 1e-4 at each observed event."""
    channel = UnbinnedChannelModel(
        name="SR",
        components=(
            Component(process="S", yield_events=10.0, coefficient="mu"),
            Component(process="B", yield_events=5.0),
        ),
        events=EventSet(log_ratio=np.tile(np.array([-9.0, 0.0]), (n_events, 1)), weight=np.ones(n_events)),
    )
    parameter = ParameterModel(name="mu", initial=1.0, bounds=(-10.0, 10.0), poi=True)
    return Likelihood(LikelihoodModel(name="wide", parameters=(parameter,), channels=(channel,)))


@pytest.mark.parametrize("n_events", [0, 3])
def test_the_total_of_the_expected_events_may_not_be_negative(n_events: int) -> None:
    """mu = -10 has a positive intensity at every event and -95 events expected in all."""
    likelihood = wide_signal(n_events)
    found = likelihood.expand(np.array([-10.0]))
    assert found.value == np.inf
    assert not np.isnan(found.gradient).any()
    assert not np.isnan(found.hessian).any()
    text = why_undefined(likelihood, np.array([-10.0])) or ""
    assert f"add up to -95, with {n_events} events observed, at mu = -10" in text
    assert np.isfinite(likelihood.twice_nll(np.array([-0.499])))
    assert why_undefined(likelihood, np.array([-0.499])) is None


def test_a_total_of_zero_is_allowed_only_without_events() -> None:
    zero = np.array([-0.5])
    assert wide_signal(0).twice_nll(zero) == 0.0
    assert why_undefined(wide_signal(0), zero) is None
    assert wide_signal(3).twice_nll(zero) == np.inf
    assert "add up to 0, with 3 events" in (why_undefined(wide_signal(3), zero) or "")


@pytest.mark.parametrize("n_events", [0, 3])
def test_a_likelihood_that_falls_up_to_the_edge_of_its_domain_gives_no_number(n_events: int) -> None:
    with pytest.raises(NumericalFailure, match=r"beyond, .* add up to -.* at mu = -0\.5 ") as failure:
        fit(wide_signal(n_events))
    assert failure.value.code == "fit.undefined"


def test_simulated_events_without_a_positive_intensity_are_counted() -> None:
    """At mu = -1 the total is negative where S / B of the ratios is above 1 / 2; nu = 5 - 1."""
    likelihood = wide_signal(0)
    channel = likelihood.model.channels[0]
    simulated = np.stack([np.log([0.1, 4.9, 5.0, 5.1, 90.0]), np.zeros(5)], axis=1)
    components = (replace(channel.components[0], yield_events=1.0), channel.components[1])
    changed = replace(
        channel, components=components, simulation=EventSet(log_ratio=simulated + 800.0, weight=np.zeros(5))
    )
    with_simulation = Likelihood(replace(likelihood.model, channels=(changed,)))
    (found,) = simulated_positivity(with_simulation, np.array([-1.0]))
    assert (found.channel, found.n_events) == ("SR", 5)
    assert found.n_not_positive in (2, 3)  # the one at 5.0 is zero up to rounding
    assert simulated_positivity(likelihood, np.array([-1.0])) == ()


def test_an_event_without_weight_is_not_asked_for_a_positive_intensity() -> None:
    model = interference_model(50)
    channel = model.channels[0]
    log_ratio = channel.events.log_ratio.copy()
    log_ratio[7] = [8.0, -8.0, -8.0, -8.0]  # the total is negative there for mu < 1
    weight = channel.events.weight.copy()
    weight[7] = 0.0
    changed = Likelihood(
        replace(model, channels=(replace(channel, events=EventSet(log_ratio=log_ratio, weight=weight)),))
    )
    theta = np.array([0.3, 0.0])
    assert np.isfinite(changed.twice_nll(theta))
    assert why_undefined(changed, theta) is None
    with_weight = Likelihood(
        replace(model, channels=(replace(channel, events=replace(channel.events, log_ratio=log_ratio)),))
    )
    assert with_weight.twice_nll(theta) == np.inf


def test_an_undefined_coefficient_makes_the_likelihood_infinite_and_is_named() -> None:
    parameters = (replace(PARAMETERS[0], bounds=(-1.0, 10.0)), PARAMETERS[1])
    likelihood = Likelihood(replace(interference_model(20), parameters=parameters))
    theta = np.array([-0.5, 0.0])
    assert likelihood.twice_nll(theta) == np.inf
    assert "is undefined at mu = -0.5" in (why_undefined(likelihood, theta) or "")


def test_bins_become_the_unbinned_likelihood_as_they_shrink() -> None:
    """T1 data in n bins: the difference in -2 ln L between two values of mu tends to the unbinned one as 1/n^2."""
    exact = Likelihood(gaussian_mixture())
    reference = exact.twice_nll(np.array([0.5])) - exact.twice_nll(np.array([1.0]))
    errors = []
    for n_bins in (25, 50, 100):
        edges = np.linspace(-9.0, 10.0, n_bins + 1)
        grid = np.linspace(-9.0, 10.0, 190_001)
        cumulative = {}
        for name, mean in (("S", 1.0), ("B", 0.0)):
            density = np.exp(-0.5 * (grid - mean) ** 2) / np.sqrt(2 * np.pi)
            steps = 0.5 * (density[1:] + density[:-1]) * np.diff(grid)
            cumulative[name] = np.diff(np.interp(edges, grid, np.concatenate([[0.0], np.cumsum(steps)])))
        signal, background = 200 * cumulative["S"], 2000 * cumulative["B"]
        samples = (
            BinnedSample(name="S", nominal=signal, modifiers=(NormFactor(parameter="mu"),)),
            BinnedSample(name="B", nominal=background),
        )
        channel = BinnedChannelModel(name="SR", samples=samples, observed=signal + background)
        parameter = ParameterModel(name="mu", initial=1.0, bounds=(-2.0, 10.0))
        binned = Likelihood(LikelihoodModel(name="binned", parameters=(parameter,), channels=(channel,)))
        errors.append(abs(binned.twice_nll(np.array([0.5])) - binned.twice_nll(np.array([1.0])) - reference))
    assert errors[2] < 0.005 * reference
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(4.0, rel=0.1)


def test_log_ratios_that_are_not_finite_are_counted_and_refused() -> None:
    model = interference_model(40)
    log_ratio = model.channels[0].events.log_ratio.copy()
    log_ratio[[3, 9], 1] = np.nan, np.inf
    with pytest.raises(NumericalFailure, match=r"2 of 40 events .* first: 3, 9"):
        Likelihood(
            replace(
                model,
                channels=(replace(model.channels[0], events=replace(model.channels[0].events, log_ratio=log_ratio)),),
            )
        )


@pytest.mark.parametrize(
    ("component", "message"),
    [
        (Component(process="NI", yield_events=-1.0), "yield of -1.0 events"),
        (Component(process="S", yield_events=1.0), "process 'S' stands twice"),
        (Component(process="NI", yield_events=1.0, coefficient="mu*kappa"), "uses 'kappa'"),
        (Component(process="NI", yield_events=1.0, modifiers=(NormFactor(parameter="k"),)), "uses parameter 'k'"),
    ],
)
def test_a_wrong_component_is_refused(component: Component, message: str) -> None:
    model = interference_model(10)
    components = (*model.channels[0].components[:3], component)
    with pytest.raises(InvalidInput, match=message):
        Likelihood(replace(model, channels=(replace(model.channels[0], components=components),)))
