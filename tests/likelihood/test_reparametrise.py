"""Another parametrisation after training: the same maximum, the transformed interval; mistakes are named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evercast.errors import InvalidInput
from evercast.inference.asimov import asimov_model
from evercast.inference.profile import Profile
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.histfactory import read_workspace
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
from evercast.likelihood.reparametrise import Parametrisation, reparametrise
from evercast.spec.model import Parameter
from statistics_inputs import counting_model, gaussian_mixture, synthetic_workspace

KAPPA = Parametrisation(
    parameters={"kappa": Parameter(initial=1.0, bounds=(0.0, 4.0), poi=True)}, coefficients={"S": "kappa**2"}
)


def interval(model: LikelihoodModel, poi: str) -> tuple[float, float, float, float]:
    """Return best fit, both ends of the 68.27 % interval, and -2 ln L at the best fit."""
    profile = Profile(Likelihood(model), poi)
    found = profile.interval(0.6827)
    return profile.poi_hat, found.low, found.high, profile.best.twice_nll


@pytest.mark.parametrize("model", [gaussian_mixture(mu=1.3), counting_model(width=0.1)], ids=["unbinned", "binned"])
def test_a_strength_becomes_the_square_of_a_coupling(model: LikelihoodModel) -> None:
    hat, low, high, minimum = interval(model, "mu")
    changed = reparametrise(model, KAPPA)
    assert "mu" not in changed.parameter_names
    assert changed.poi is not None
    kappa, kappa_low, kappa_high, same = interval(changed, "kappa")
    assert same == pytest.approx(minimum, abs=1e-7)  # both minima are found within 1e-12 of their own bottom
    assert [kappa**2, kappa_low**2, kappa_high**2] == pytest.approx([hat, low, high], rel=1e-5)


def test_interference_keeps_its_two_roots() -> None:
    """mu - sqrt(mu), sqrt(mu), 1 - sqrt(mu) at kappa >= 0 is kappa**2 - kappa, kappa, 1 - kappa."""
    x = np.linspace(-4.0, 4.0, 401)
    densities = np.exp(-0.5 * ((x[:, None] - np.array([1.0, 0.4, 0.0])) / np.array([0.7, 0.8, 1.2])) ** 2)
    densities /= densities.sum(axis=0)
    yields = (300.0, 200.0, 250.0)
    components = tuple(
        Component(process=name, yield_events=size, coefficient=formula)
        for name, size, formula in zip(
            ("S", "SBI", "B"), yields, ("mu - sqrt(mu)", "sqrt(mu)", "1 - sqrt(mu)"), strict=True
        )
    )
    events = EventSet(log_ratio=np.log(densities / densities.mean(axis=1, keepdims=True)), weight=200 * densities[:, 1])
    channel = UnbinnedChannelModel(name="SR", components=components, events=events, simulation=events)
    mu = ParameterModel(name="mu", initial=1.0, bounds=(0.0, 3.0), poi=True)
    model = LikelihoodModel(name="toy", parameters=(mu,), channels=(channel,))
    changed = reparametrise(
        model,
        Parametrisation(
            parameters={"kappa": Parameter(initial=1.0, bounds=(0.0, 1.7), poi=True)},
            coefficients={"S": "kappa**2 - kappa", "SBI": "kappa", "B": "1 - kappa"},
        ),
    )
    old, new = Likelihood(model), Likelihood(changed)
    for value in (0.05, 0.4, 1.0, 2.0):
        assert new.twice_nll(np.array([value**0.5])) == pytest.approx(old.twice_nll(np.array([value])), rel=1e-13)
    assert new.nonlinear == {"kappa"}


def test_off_shell_over_on_shell_becomes_a_width() -> None:
    """mu_off / mu_on = R, the width over its prediction, with mu_on profiled: R and mu_off have the same profile."""
    parameters = (
        ParameterModel(name="mu_off", initial=1.0, bounds=(0.0, 20.0), poi=True),
        ParameterModel(name="mu_on", initial=1.0, bounds=(0.1, 5.0)),
    )

    def channel(name: str, parameter: str, signal: float, observed: float) -> BinnedChannelModel:
        sample = BinnedSample(
            name=f"S_{name}", nominal=np.array([signal]), modifiers=(NormFactor(parameter=parameter),)
        )
        other = BinnedSample(name="B", nominal=np.array([50.0]))
        return BinnedChannelModel(name=name, samples=(sample, other), observed=np.array([observed]))

    channels = (channel("off", "mu_off", 20.0, 80.0), channel("on", "mu_on", 200.0, 270.0))
    model = LikelihoodModel(name="width", parameters=parameters, channels=channels)
    width = Parametrisation(
        parameters={"R": Parameter(initial=1.0, bounds=(0.0, 20.0), poi=True)}, coefficients={"S_off": "R*mu_on"}
    )
    changed = reparametrise(model, width)
    assert changed.parameter_names == ("mu_on", "R")
    hat, low, high, minimum = interval(changed, "R")
    assert hat == pytest.approx((30 / 20) / (220 / 200), rel=1e-6)
    assert minimum == pytest.approx(interval(model, "mu_off")[3], abs=1e-9)
    old = Likelihood(model)

    def profiled(ratio: float) -> float:
        grid = np.linspace(0.6, 1.7, 22001)
        return min(old.twice_nll(np.array([ratio * on, on])) for on in grid[::10]) - minimum

    assert [profiled(low), profiled(high)] == pytest.approx([1.0, 1.0], abs=2e-4)  # grid: (0.0005 / 0.08)^2


def test_simulated_events_follow_the_new_initial_values() -> None:
    """Asimov data of the new model at kappa = 1.2 are those of the old one at mu = 1.44."""
    model = gaussian_mixture()
    shifted = replace(KAPPA, parameters={"kappa": Parameter(initial=1.4, bounds=(0.0, 4.0), poi=True)})
    changed = reparametrise(model, shifted)
    new, old = Likelihood(changed), Likelihood(model)
    mine = asimov_model(new, np.array([1.2])).channels[0]
    theirs = asimov_model(old, np.array([1.44])).channels[0]
    np.testing.assert_allclose(mine.events.weight, theirs.events.weight, rtol=1e-12)


def test_a_workspace_keeps_what_is_not_named() -> None:
    model = read_workspace(synthetic_workspace())
    parametrisation = replace(KAPPA, coefficients={"signal": "kappa**2"})
    changed = reparametrise(model, parametrisation)
    old, new = Likelihood(model), Likelihood(changed)
    assert set(new.names) == {*old.names, "kappa"} - {"mu"}
    theta = new.initial.copy()
    theta[new.index("kappa")] = 1.5
    theta[new.index("jes")] = 0.7
    before = np.array([2.25 if name == "mu" else theta[new.index(name)] for name in old.names])
    assert new.twice_nll(theta) == pytest.approx(old.twice_nll(before), rel=1e-13)


MISTAKES = {
    "unknown process": ({}, {"X": "mu"}, "reparametrise.process", "unknown process 'X'; processes: B, S"),
    "undefined parameter": (
        {"kappa": Parameter(initial=1.0, poi=True)}, {"S": "kappa*cv"}, "reparametrise.undefined", "uses 'cv'",
    ),
    "no parameter of interest": (
        {"kappa": Parameter(initial=1.0)}, {"S": "kappa"}, "reparametrise.poi", "'mu' is gone",
    ),
    "two parameters of interest": (
        {"a": Parameter(poi=True), "b": Parameter(poi=True)}, {"S": "a + b"}, "reparametrise.poi", "found a, b",
    ),
    "nothing uses it": (
        {"kappa": Parameter(initial=1.0, poi=True), "idle": Parameter()}, {"S": "kappa"}, "reparametrise.unused",
        "'idle'",
    ),
    "a constraint is lost": ({"norm": Parameter()}, {}, "reparametrise.constraint", "'norm' has the constraint"),
    "several at once": ({"norm": Parameter()}, {"X": "mu"}, "reparametrise.invalid", "'X'.*'norm'"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_a_parametrisation_is_named(name: str) -> None:
    parameters, coefficients, code, message = MISTAKES[name]
    with pytest.raises(InvalidInput, match=message) as failure:
        reparametrise(counting_model(width=0.1), Parametrisation(parameters=parameters, coefficients=coefficients))
    assert failure.value.code == code


def test_a_constrained_factor_stays_where_a_coefficient_is_renewed() -> None:
    """The luminosity is no coefficient: it survives, as do normalisation systematics."""
    model = read_workspace(synthetic_workspace())
    changed = reparametrise(model, replace(KAPPA, coefficients={"signal": "kappa**2"}))
    (signal,) = [s for c in changed.channels for s in c.samples if s.name == "signal"]
    kinds = [type(modifier) for modifier in signal.modifiers]
    assert NormSys in kinds
    assert [m.parameter for m in signal.modifiers if isinstance(m, NormFactor)] == ["lumi"]
