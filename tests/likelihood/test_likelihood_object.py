"""Channels of both kinds together, and that data are arguments of the compiled functions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evercast.errors import InvalidInput
from evercast.likelihood import unbinned_sums
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.histfactory import read_workspace
from evercast.likelihood.model import (
    BinnedChannelModel,
    BinnedSample,
    HistoSys,
    LikelihoodModel,
    NormFactor,
    NormSys,
    ParameterModel,
)
from statistics_inputs import counting_model, gaussian_mixture, synthetic_workspace


def both() -> LikelihoodModel:
    binned, unbinned = counting_model(width=0.1), gaussian_mixture()
    channels = (replace(unbinned.channels[0], name="unbinned"), binned.channels[0])
    return LikelihoodModel(name="both", parameters=binned.parameters, channels=channels)


def test_channels_of_both_kinds_add_up_and_share_parameters() -> None:
    binned, unbinned = Likelihood(counting_model(width=0.1)), Likelihood(gaussian_mixture())
    together = Likelihood(both())
    for mu, norm in ((0.5, 0.0), (2.0, 1.4)):
        expected = binned.twice_nll(np.array([mu, norm])) + unbinned.twice_nll(np.array([mu]))
        assert together.twice_nll(np.array([mu, norm])) == pytest.approx(expected, rel=1e-13)


def test_the_hessian_of_every_modifier_type_equals_finite_differences() -> None:
    likelihood = Likelihood(read_workspace(synthetic_workspace(seed=5)))
    rng = np.random.default_rng(0)
    theta = likelihood.initial + 0.05 * rng.normal(size=len(likelihood.names))
    found, step = likelihood.expand(theta), 1e-5
    for i, unit in enumerate(np.eye(len(theta))):
        plus, minus = theta + step * unit, theta - step * unit
        slope = (likelihood.twice_nll(plus) - likelihood.twice_nll(minus)) / (2 * step)
        assert found.gradient[i] == pytest.approx(slope, rel=1e-6, abs=1e-5)
        row = (likelihood.gradient(plus) - likelihood.gradient(minus)) / (2 * step)
        np.testing.assert_allclose(found.hessian[i], row, rtol=1e-5, atol=1e-4)


def test_expected_events_are_given_per_bin_and_per_component() -> None:
    expected = Likelihood(both()).expected_events(np.array([0.5, 0.0]))
    np.testing.assert_allclose(expected["SR"], [55.0])
    np.testing.assert_allclose(expected["unbinned"], [100.0, 2000.0])


def test_other_data_of_the_same_shape_need_no_new_compilation() -> None:
    model = gaussian_mixture()
    theta = np.array([1.0])
    Likelihood(model).expand(theta)
    compiled = unbinned_sums.sums_at._cache_size()
    channel = model.channels[0]
    for scale in (0.5, 1.5):
        events = replace(channel.events, weight=scale * channel.events.weight)
        components = tuple(replace(entry, yield_events=scale * entry.yield_events) for entry in channel.components)
        changed = replace(model, channels=(replace(channel, events=events, components=components),))
        Likelihood(changed).expand(theta)
    assert unbinned_sums.sums_at._cache_size() == compiled


def test_a_bin_without_expectation_is_allowed_only_without_counts() -> None:
    model = counting_model(background=0.0, observed=0.0)
    assert Likelihood(model).twice_nll(np.array([0.0])) == 0.0
    assert Likelihood(counting_model(background=0.0, observed=3.0)).twice_nll(np.array([0.0])) == np.inf


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        (ParameterModel(name="mu", initial=2.0, bounds=(0.0, 1.0)), "initial value 2.0 lies outside"),
        (ParameterModel(name="mu", initial=0.0, bounds=(1.0, -1.0)), "not in order"),
        (ParameterModel(name="mu", constraint="normal", width=0.0), "normal constraint"),
        (ParameterModel(name="mu", constraint="poisson", factor=-1.0), "poisson constraint"),
        (ParameterModel(name="mu", initial=float("nan")), "initial value nan"),
        (ParameterModel(name="nu"), "uses parameter 'mu', which is not declared"),
    ],
)
def test_a_wrong_parameter_is_refused(parameter: ParameterModel, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Likelihood(replace(counting_model(), parameters=(parameter,)))


def test_names_must_be_unique_and_there_is_one_parameter_of_interest() -> None:
    model = counting_model()
    with pytest.raises(InvalidInput, match="parameter 'mu' stands twice"):
        Likelihood(replace(model, parameters=model.parameters * 2))
    with pytest.raises(InvalidInput, match="channel 'SR' stands twice"):
        Likelihood(replace(model, channels=model.channels * 2))
    second = ParameterModel(name="kappa", poi=True)
    with pytest.raises(InvalidInput, match="found mu, kappa"):
        Likelihood(replace(model, parameters=(*model.parameters, second)))


def sided(up: float, down: float, *, fixed: bool = False) -> LikelihoodModel:
    """One bin, whose background is `up` at +1 and `down` at -1 by a template, and nominal times 1 by a factor."""
    background = np.array([50.0])
    modifiers = (
        HistoSys(parameter="jes", up=up * background, down=down * background),
        NormSys(parameter="jes", up=1.0, down=1.0),
    )
    samples = (
        BinnedSample(name="S", nominal=np.array([10.0]), modifiers=(NormFactor(parameter="mu"),)),
        BinnedSample(name="B", nominal=background, modifiers=modifiers),
    )
    parameters = (
        ParameterModel(name="mu", initial=1.0, bounds=(0.0, 10.0), poi=True),
        ParameterModel(name="jes", bounds=(-5.0, 5.0), constraint="normal", fixed=fixed),
    )
    channel = BinnedChannelModel(name="SR", samples=samples, observed=np.array([60.0]))
    return LikelihoodModel(name="sided", parameters=parameters, channels=(channel,))


def test_a_nuisance_parameter_without_a_sign_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"'jes' are identical wherever it acts, e.g. on 'B' in .* 'SR'") as caught:
        Likelihood(sided(1.1, 1.1))
    assert caught.value.code == "systematic.identical"
    for model in (sided(1.1, 0.9), sided(1.1, 1.0), sided(1.0, 1.0), sided(1.1, 1.1, fixed=True)):
        assert np.isfinite(Likelihood(model).twice_nll(np.array([1.0, 0.0])))
