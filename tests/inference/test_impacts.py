"""Impacts, pulls, constraints and correlations against closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evercast.inference.fit import fit
from evercast.inference.impacts import correlation_of, impacts_of
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.histfactory import read_workspace
from evercast.likelihood.model import (
    BinFactor,
    BinnedChannelModel,
    BinnedSample,
    HistoSys,
    LikelihoodModel,
    NormFactor,
    ParameterModel,
)
from statistics_inputs import synthetic_workspace

SIGNAL, BACKGROUND, SHIFTS = 1e6, 1e8, (3e3, -5e3)


def linear_model(*, measured: tuple[float, float] = (0.0, 0.0)) -> LikelihoodModel:
    """One bin, Gaussian by its many events, with two linear nuisance parameters, and one that measures a free scale."""
    sides = [
        HistoSys(
            parameter=f"alpha{k}", code="0", up=np.array([BACKGROUND + shift, 1e6]),
            down=np.array([BACKGROUND - shift, 1e6]),
        )
        for k, shift in enumerate(SHIFTS)
    ]  # fmt: skip
    samples = (
        BinnedSample(name="S", nominal=np.array([SIGNAL, 0.0]), modifiers=(NormFactor(parameter="mu"),)),
        BinnedSample(name="B", nominal=np.array([BACKGROUND, 1e6]), modifiers=(*sides, NormFactor(parameter="norm"))),
    )
    parameters = (
        ParameterModel(name="mu", initial=1.0, bounds=(-5.0, 10.0), poi=True),
        *(
            ParameterModel(name=f"alpha{k}", bounds=(-5.0, 5.0), constraint="normal", global_observable=measured[k])
            for k in range(2)
        ),
        ParameterModel(name="norm", initial=1.0, bounds=(0.5, 1.5)),
    )
    channel = BinnedChannelModel(name="SR", samples=samples, observed=np.array([BACKGROUND + SIGNAL, 1e6]))
    return LikelihoodModel(name="linear", parameters=parameters, channels=(channel,))


def test_shifted_global_observables_give_the_linear_shifts_of_all_kinds() -> None:
    likelihood = Likelihood(linear_model())
    best = fit(likelihood)
    impacts = {impact.parameter: impact for impact in impacts_of(likelihood, best, poi="mu")}
    assert list(impacts) == ["norm", "alpha1", "alpha0"]  # 0.1, 0.005, 0.003
    for k, shift in enumerate(SHIFTS):
        found = impacts[f"alpha{k}"]
        expected = -shift / SIGNAL  # a larger background leaves less for the signal
        for value in (found.up, -found.down, found.covariance, found.local):
            assert value == pytest.approx(expected, rel=1e-3)  # the counts curve the likelihood by shift / background
        assert found.pull == pytest.approx(0.0, abs=1e-6)
        assert found.constraint == pytest.approx(1.0, abs=1e-6)
    free = impacts["norm"]
    assert free.up is None
    assert free.pull is None
    assert free.covariance == pytest.approx(-BACKGROUND / SIGNAL * 1e-3, rel=1e-3)  # 1e6 events measure norm to 1e-3


def test_impacts_add_in_quadrature_to_the_systematic_uncertainty() -> None:
    likelihood = Likelihood(linear_model())
    total = fit(likelihood).parameter("mu").uncertainty
    held = fit(likelihood, fixed={"alpha0": 0.0, "alpha1": 0.0}).parameter("mu").uncertainty
    impacts = impacts_of(likelihood, fit(likelihood), poi="mu")
    systematic = sum(impact.up**2 for impact in impacts if impact.up is not None)
    assert total**2 - held**2 == pytest.approx(systematic, rel=1e-3)


def test_a_shifted_global_observable_pulls() -> None:
    likelihood = Likelihood(linear_model(measured=(1.0, 0.0)))
    best = fit(likelihood)
    impacts = {impact.parameter: impact for impact in impacts_of(likelihood, best, poi="mu")}
    assert best.parameter("alpha0").value == pytest.approx(1.0, abs=1e-3)
    assert impacts["alpha0"].pull == pytest.approx(0.0, abs=1e-3)
    assert best.parameter("mu").value == pytest.approx(1.0 - SHIFTS[0] / SIGNAL, rel=1e-3)


def test_poisson_constraints_shift_by_the_root_of_their_counts() -> None:
    """A factor on the background known from 400 auxiliary events: 5 % of the background, up and down."""
    base = linear_model()
    gamma = ParameterModel(
        name="gamma", initial=1.0, bounds=(1e-3, 10.0), constraint="poisson", global_observable=400.0, factor=400.0
    )
    signal, background = base.channels[0].samples
    factor = BinFactor(parameters=("gamma", None))
    channel = replace(base.channels[0], samples=(signal, replace(background, modifiers=(factor,))))
    likelihood = Likelihood(replace(base, parameters=(base.parameters[0], gamma), channels=(channel,)))
    (found,) = impacts_of(likelihood, fit(likelihood), poi="mu")
    assert found.up == pytest.approx(-0.05 * BACKGROUND / SIGNAL, rel=1e-4)
    assert found.down == pytest.approx(0.05 * BACKGROUND / SIGNAL, rel=1e-4)
    assert found.local == pytest.approx(found.up, rel=1e-3)
    assert found.constraint == pytest.approx(1.0, rel=1e-3)


def test_refits_in_lockstep_are_single_refits() -> None:
    model = read_workspace(synthetic_workspace(seed=1))
    likelihood = Likelihood(model)
    best = fit(likelihood)
    impacts = {impact.parameter: impact for impact in impacts_of(likelihood, best, poi="mu")}
    sizes = [impact.size for impact in impacts.values()]
    assert sizes == sorted(sizes, reverse=True)
    for name in ("jes", "other_stat[0]"):
        index = likelihood.index(name)
        parameter = model.parameters[index]
        spread = 1.0 if parameter.constraint == "normal" else np.sqrt(parameter.global_observable)
        parameters = list(model.parameters)
        parameters[index] = replace(parameter, global_observable=parameter.global_observable + spread)
        again = fit(Likelihood(replace(model, parameters=tuple(parameters))), start=best.theta)
        shift = again.parameter("mu").value - best.parameter("mu").value
        assert impacts[name].up == pytest.approx(shift, abs=1e-6)


def test_correlations_are_those_of_the_covariance() -> None:
    found = correlation_of(fit(Likelihood(linear_model())))
    assert found.names == ("mu", "alpha0", "alpha1", "norm")
    np.testing.assert_allclose(np.diag(found.matrix), 1.0)
    np.testing.assert_allclose(found.matrix, found.matrix.T, atol=1e-12)
    shifts = np.array([SHIFTS[0], SHIFTS[1], BACKGROUND * 1e-3])
    spread = np.sqrt(np.sum(shifts**2) + BACKGROUND + SIGNAL)
    np.testing.assert_allclose(found.matrix[0, 1:], -shifts / spread, rtol=2e-3)
