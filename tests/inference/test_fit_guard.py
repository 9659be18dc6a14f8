"""Fits and their guard: no number without a minimum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from iminuit import Minuit

from evercast.errors import InvalidInput, NumericalFailure
from evercast.inference import fit as fit_module
from evercast.inference.fit import fit, not_above, poi_of
from evercast.inference.minimise import minimise
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.histfactory import read_workspace
from evercast.likelihood.model import NormFactor, ParameterModel
from statistics_inputs import counting_model, published_workspace, synthetic_workspace


def at_once(minimiser):
    """A minimiser in the form that fits call it in: one that asks for nothing."""

    def steps(objective, *, first=None, **options):
        return minimiser(objective, **options)
        yield

    return steps


def test_a_counting_experiment_has_its_closed_form_result() -> None:
    result = fit(Likelihood(counting_model(signal=10.0, background=50.0, observed=62.0)))
    mu = result.parameter("mu")
    assert mu.value == pytest.approx(1.2, abs=1e-6)
    assert mu.uncertainty == pytest.approx(np.sqrt(62.0) / 10.0, rel=1e-6)
    assert (result.status, result.guard.at_bound, result.guard.second_optimiser) == ("ok", (), None)


def test_a_deficit_ends_at_the_bound_and_says_so() -> None:
    result = fit(Likelihood(counting_model(observed=40.0)))
    mu = result.parameter("mu")
    assert (result.status, result.guard.at_bound) == ("at-bound", ("mu",))
    assert (mu.value, mu.uncertainty, mu.at_bound) == (0.0, None, True)


def test_every_parameter_agrees_with_iminuit() -> None:
    workspace = published_workspace("sbottom", "900_250_60") or synthetic_workspace(seed=3)
    likelihood = Likelihood(read_workspace(workspace))
    result = fit(likelihood)
    minuit = Minuit(likelihood.twice_nll, likelihood.initial, grad=likelihood.gradient, name=likelihood.names)
    minuit.strategy, minuit.tol = 2, 1e-4
    for i, name in enumerate(likelihood.names):
        minuit.limits[name], minuit.fixed[name] = (likelihood.lower[i], likelihood.upper[i]), bool(likelihood.fixed[i])
    minuit.migrad(ncall=20_000)
    assert result.twice_nll <= minuit.fval + 1e-7
    assert result.twice_nll == pytest.approx(minuit.fval, abs=2e-3)
    for entry in result.parameters:
        scale = entry.uncertainty or 1.0
        assert entry.value == pytest.approx(minuit.values[entry.name], abs=0.05 * scale)  # EDM 1e-3: 3 % of sigma


def test_a_parameter_without_influence_is_named_not_quoted() -> None:
    model = counting_model()
    channel = model.channels[0]
    background = replace(channel.samples[1], modifiers=(NormFactor(parameter="scale"),))
    free = ParameterModel(name="scale", initial=1.0, bounds=(0.0, 10.0))
    degenerate = replace(
        model,
        parameters=(*model.parameters, free),
        channels=(replace(channel, samples=(channel.samples[0], background)),),
    )
    with pytest.raises(NumericalFailure, match=r"not positive definite; flat direction: .*(mu|scale)") as failure:
        fit(Likelihood(degenerate))
    assert failure.value.exit_code == 7


def test_a_likelihood_that_is_nowhere_defined_says_why() -> None:
    model = counting_model(signal=0.0, background=0.0, observed=3.0)
    with pytest.raises(
        NumericalFailure, match=r"1 bins have no positive expectation, first bin 0 .* at mu = 1"
    ) as failure:
        fit(Likelihood(model))
    assert failure.value.code == "fit.undefined"


def test_on_doubt_the_second_optimiser_is_asked_and_the_better_result_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    likelihood = Likelihood(counting_model(width=0.1))
    truth = fit(likelihood)

    def stops_early(objective, **options):
        real = minimise(objective, **options)
        start = options["start"]
        return replace(real, theta=start, expansion=objective.expand(start), distance=5.0, reason="stopped early")

    monkeypatch.setattr(fit_module, "minimise_steps", at_once(stops_early))
    result = fit(likelihood)
    assert result.guard.second_optimiser == "iminuit"
    assert result.guard.second_gain > 0
    np.testing.assert_allclose(result.theta, truth.theta, atol=1e-5)


def test_without_a_better_second_result_no_number_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(objective, **options):
        start = options["start"]
        real = minimise(objective, **options)
        return replace(real, theta=start, expansion=objective.expand(start), distance=np.inf, reason="stopped early")

    monkeypatch.setattr(fit_module, "minimise_steps", at_once(never))
    monkeypatch.setattr("evercast.inference.guard.minimise", never)
    with pytest.raises(NumericalFailure, match="failed: stopped early; estimated distance to the minimum inf"):
        fit(Likelihood(counting_model()))


def test_two_optimisers_that_disagree_give_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first stops without convergence, the second converges 1 above it in -2 ln L."""

    def stops(objective, **options):
        return replace(minimise(objective, **options), distance=5.0, reason="stopped early")

    def ends_higher(objective, **options):
        real = minimise(objective, **options)
        return replace(real, expansion=real.expansion._replace(value=real.value + 1.0))

    monkeypatch.setattr(fit_module, "minimise_steps", at_once(stops))
    monkeypatch.setattr("evercast.inference.guard.minimise", ends_higher)
    with pytest.raises(NumericalFailure, match=r"disagree by 1 in -2 ln L, .* no minimum: stopped early"):
        fit(Likelihood(counting_model()))


def test_a_minimum_above_a_point_that_another_start_reached_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several starts the one that ended lowest counts, even where another one converged."""
    model = counting_model(observed=30.0)
    signal = replace(model.channels[0].samples[0], nominal=np.array([10.0]), coefficient="(mu - 2)**2", modifiers=())
    background = replace(model.channels[0].samples[1], nominal=np.array([20.0]))
    likelihood = Likelihood(replace(model, channels=(replace(model.channels[0], samples=(signal, background)),)))
    calls = []

    def first_lower(objective, **options):
        real = minimise(objective, **options)
        calls.append(real)
        if len(calls) > 1:
            return real
        return replace(real, expansion=real.expansion._replace(value=real.value - 1.0), distance=5.0, reason="stopped")

    monkeypatch.setattr(fit_module, "minimise_steps", at_once(first_lower))
    with pytest.raises(NumericalFailure, match="disagree by 1 in"):
        fit(likelihood)
    assert len(calls) > 1


def test_a_free_fit_above_a_conditional_one_is_repeated_from_there() -> None:
    likelihood = Likelihood(counting_model(width=0.1))
    good = fit(likelihood)
    bad = replace(good, theta=np.array([3.0, 0.0]), twice_nll=likelihood.twice_nll(np.array([3.0, 0.0])))
    conditional = fit(likelihood, fixed={"mu": 1.3})
    assert conditional.twice_nll < bad.twice_nll
    np.testing.assert_allclose(not_above(likelihood, bad, conditional).theta, good.theta, atol=1e-6)
    assert not_above(likelihood, good, conditional) is good
    impossible = replace(conditional, twice_nll=good.twice_nll - 1.0)
    with pytest.raises(NumericalFailure, match="lies 1 below the free fit"):
        not_above(likelihood, good, impossible)


def test_the_parameter_of_interest_must_exist_and_be_free() -> None:
    model = counting_model(width=0.1)
    likelihood = Likelihood(model)
    assert poi_of(likelihood) == "mu"
    assert poi_of(likelihood, "norm") == "norm"
    with pytest.raises(InvalidInput, match="unknown parameter 'nrm'; parameters: mu, norm"):
        poi_of(likelihood, "nrm")
    fixed = replace(model, parameters=(replace(model.parameters[0], fixed=True), model.parameters[1]))
    with pytest.raises(InvalidInput, match="'mu' is fixed"):
        poi_of(Likelihood(fixed))
    none = replace(model, parameters=(replace(model.parameters[0], poi=False), model.parameters[1]))
    with pytest.raises(InvalidInput, match="no parameter of interest is declared; parameters: mu, norm"):
        poi_of(Likelihood(none))
