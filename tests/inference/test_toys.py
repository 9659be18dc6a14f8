"""Pseudo-experiments: their distribution, their seeds, and what cannot be thrown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evercast.errors import InvalidInput, NumericalFailure
from evercast.inference.fit import fit
from evercast.inference.toy_statistics import evaluate_toys, summary_of
from evercast.inference.toys import ToyGenerator, toy_seeds
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import (
    BinFactor,
    BinnedChannelModel,
    BinnedSample,
    EventSet,
    LikelihoodModel,
    NormFactor,
    ParameterModel,
)
from statistics_inputs import counting_model, gaussian_mixture


def bins_with_all_constraints() -> LikelihoodModel:
    parameters = (
        ParameterModel(name="mu", initial=1.0, bounds=(0.0, 10.0), poi=True),
        ParameterModel(name="normal", bounds=(-5.0, 5.0), constraint="normal"),
        ParameterModel(
            name="gamma", initial=1.0, bounds=(1e-10, 10.0), constraint="poisson", global_observable=25.0, factor=25.0
        ),
    )
    modifiers = (NormFactor(parameter="mu"), BinFactor(parameters=("gamma", None)))
    sample = BinnedSample(name="S", nominal=np.array([20.0, 5.0]), modifiers=modifiers)
    channel = BinnedChannelModel(name="SR", samples=(sample,), observed=np.array([20.0, 5.0]))
    return LikelihoodModel(name="bins", parameters=parameters, channels=(channel,))


def test_counts_and_global_observables_have_the_moments_of_their_distributions() -> None:
    likelihood = Likelihood(bins_with_all_constraints())
    generator = ToyGenerator(likelihood, np.array([1.5, 0.3, 1.2]))
    thrown = [generator.throw(seed) for seed in toy_seeds("moments", first=0, count=2000)]
    counts = np.array([model.channels[0].observed for model in thrown])
    measured = np.array([[parameter.global_observable for parameter in model.parameters] for model in thrown])
    rates = np.array([20.0 * 1.5 * 1.2, 5.0 * 1.5])
    np.testing.assert_allclose(counts.mean(axis=0), rates, atol=4 * np.sqrt(rates.max() / 2000))  # four sigma
    np.testing.assert_allclose(counts.var(axis=0), rates, rtol=0.15)  # sqrt(2 / 2000) = 3 %, four sigma and a half
    assert np.all(measured[:, 0] == 0.0)
    assert measured[:, 1].mean() == pytest.approx(0.3, abs=4 / np.sqrt(2000))
    assert measured[:, 1].std() == pytest.approx(1.0, abs=4 / np.sqrt(4000))
    assert measured[:, 2].mean() == pytest.approx(30.0, abs=4 * np.sqrt(30 / 2000))
    assert all(model.asimov == "toy" for model in thrown[:3])


def test_sums_over_drawn_events_have_mean_and_variance_of_the_weighted_simulation() -> None:
    likelihood = Likelihood(gaussian_mixture(n_grid=20001))
    generator = ToyGenerator(likelihood, np.array([2.0]))
    feature = np.array([[model.channels[0].events.log_ratio[:, 0].sum(), len(model.channels[0].events.weight)]
                        for model in map(generator.throw, toy_seeds("sums", first=0, count=1500))])  # fmt: skip
    mean_ratio, square = (400 * 0.5 + 2000 * -0.5), (400 * (0.25 + 1) + 2000 * (0.25 + 1))
    assert feature[:, 1].mean() == pytest.approx(2400, abs=4 * np.sqrt(2400 / 1500))
    assert feature[:, 1].var() == pytest.approx(2400, rel=4 * np.sqrt(2 / 1500))
    assert feature[:, 0].mean() == pytest.approx(mean_ratio, abs=4 * np.sqrt(square / 1500))
    assert feature[:, 0].var() == pytest.approx(square, rel=4 * np.sqrt(2 / 1500))


def test_a_block_redone_alone_gives_the_same_pseudo_experiments() -> None:
    generator = ToyGenerator(Likelihood(counting_model(width=0.1)), np.array([1.0, 0.0]))
    whole = evaluate_toys(generator, poi="mu", value=1.0, seeds=toy_seeds("a", 7, first=0, count=12))
    part = evaluate_toys(generator, poi="mu", value=1.0, seeds=toy_seeds("a", 7, first=5, count=4))
    np.testing.assert_array_equal(whole.seed[5:9], part.seed)
    np.testing.assert_allclose(whole.t[5:9], part.t, atol=1e-9)  # converged to 1e-12 from the same start
    assert set(toy_seeds("b", 7, first=0, count=12)).isdisjoint(whole.seed.tolist())


@pytest.mark.parametrize("kind", ["bins", "events"])
def test_fits_in_lockstep_are_those_of_the_single_minimiser(kind: str) -> None:
    model = bins_with_all_constraints() if kind == "bins" else gaussian_mixture(n_grid=20001)
    likelihood = Likelihood(model)
    generator = ToyGenerator(likelihood, likelihood.initial)
    seeds = toy_seeds("same", first=0, count=6)
    sample = evaluate_toys(generator, poi="mu", value=0.8, seeds=seeds)
    for row, seed in enumerate(seeds):
        toy = Likelihood(generator.throw(seed))
        best, held = fit(toy), fit(toy, fixed={"mu": 0.8})
        assert sample.poi_hat[row] == pytest.approx(best.theta[0], abs=1e-6)
        assert sample.t[row] == pytest.approx(held.twice_nll - best.twice_nll, abs=1e-6)
    assert sample.n_failed == 0


def test_test_statistics_of_limits_and_discovery_vanish_on_their_sides() -> None:
    generator = ToyGenerator(Likelihood(counting_model()), np.array([1.0]))
    seeds = toy_seeds("sides", first=0, count=200)
    by = {kind: evaluate_toys(generator, poi="mu", value=1.0, seeds=seeds, statistic=kind) for kind in ("t", "q-tilde")}
    above = by["t"].poi_hat > 1.0
    assert np.all(by["q-tilde"].t[above] == 0)
    np.testing.assert_allclose(by["q-tilde"].t[~above], by["t"].t[~above], atol=1e-9)
    discovery = evaluate_toys(generator, poi="mu", value=0.0, seeds=seeds, statistic="q0")
    assert np.all((discovery.t > 0) == (discovery.poi_hat > 1e-6))
    assert summary_of(discovery)["toys"] == 200


def test_negative_weights_are_replaced_by_the_reference_or_refused() -> None:
    base = gaussian_mixture(n_grid=20001)
    channel = base.channels[0]
    weight = channel.simulation.weight.copy()
    weight[::50] *= -1.0
    signed = replace(channel, simulation=replace(channel.simulation, weight=weight))
    refused = Likelihood(replace(base, channels=(signed,)))
    with pytest.raises(NumericalFailure, match="401 of 20001 simulated events") as caught:
        ToyGenerator(refused, refused.initial)
    assert caught.value.code == "toys.negative-weights"
    x = np.linspace(-9.0, 10.0, 20001)
    reference = EventSet(log_ratio=channel.events.log_ratio, weight=np.exp(-0.5 * x**2))  # p_ref is the background
    helped = Likelihood(replace(base, channels=(replace(signed, reference=reference),)))
    generator = ToyGenerator(helped, np.array([2.0]))
    assert generator.sources == {"SR": "reference"}
    sizes = [len(generator.throw(seed).channels[0].events.weight) for seed in toy_seeds("r", first=0, count=200)]
    assert np.mean(sizes) == pytest.approx(2400, abs=4 * np.sqrt(2400 / 200))


def test_too_few_independent_events_are_refused() -> None:
    base = gaussian_mixture(n_grid=401)
    likelihood = Likelihood(base)
    with pytest.raises(NumericalFailure, match="401 simulated events have an effective sample size of") as caught:
        ToyGenerator(likelihood, likelihood.initial)
    assert (caught.value.code, caught.value.exit_code) == ("toys.effective-sample-size", 7)


def test_a_channel_without_simulation_cannot_be_thrown() -> None:
    base = gaussian_mixture()
    likelihood = Likelihood(replace(base, channels=(replace(base.channels[0], simulation=None),)))
    with pytest.raises(InvalidInput, match="no simulated events"):
        ToyGenerator(likelihood, likelihood.initial)


def test_fits_that_fail_are_counted_and_too_many_are_a_failure() -> None:
    """A signal without influence: every free fit has a flat direction."""
    likelihood = Likelihood(counting_model(signal=0.0))
    generator = ToyGenerator(likelihood, likelihood.initial)
    sample = evaluate_toys(generator, poi="mu", value=1.0, seeds=toy_seeds("flat", first=0, count=3))
    assert sample.n_failed == 3
    assert np.all(np.isnan(sample.t))
    assert "flat direction: mu" in sample.reasons[0]
    with pytest.raises(NumericalFailure, match="3 of 3 pseudo-experiments could not be fitted"):
        sample.values()


def test_the_parameters_at_a_bound_are_counted_by_name() -> None:
    """The statistics of a template from a twentieth of an event: its auxiliary count is thrown as 0 nearly always."""
    base = counting_model(signal=10.0, background=50.0, observed=60.0)
    rare = ParameterModel(
        name="gamma", initial=1.0, bounds=(1e-10, 10.0), constraint="poisson", global_observable=0.05, factor=0.05
    )
    sample = BinnedSample(name="rare", nominal=np.array([0.1]), modifiers=(BinFactor(parameters=("gamma",)),))
    channel = replace(base.channels[0], samples=(*base.channels[0].samples, sample))
    likelihood = Likelihood(replace(base, parameters=(*base.parameters, rare), channels=(channel,)))
    generator = ToyGenerator(likelihood, likelihood.initial)
    seeds = toy_seeds("bound", first=0, count=40)
    sample_of_toys = evaluate_toys(generator, poi="mu", value=1.0, seeds=seeds)
    found = summary_of(sample_of_toys)
    counted = found["at_bound_parameters"]
    assert counted["gamma"] == 40  # a count of 0 puts it at its lower bound, of 1 at 1 / 0.05, beyond the upper one
    assert set(counted) <= {"gamma", "mu"}
    assert found["at_bound"] == 40


@pytest.mark.parametrize(("n_simulated", "shift"), [(30_000, None), (6_000, "0.61")])
def test_pseudo_experiments_of_few_simulated_events_share_a_shift_that_is_said(
    n_simulated: int, shift: str | None
) -> None:
    """2200 events are expected: 22 000 independent ones keep the shift below a third of a standard deviation."""
    base = gaussian_mixture(n_grid=20001)
    channel = base.channels[0]
    drawn = np.random.default_rng(3).integers(0, len(channel.simulation.weight), n_simulated)
    weight = np.full(n_simulated, 2200 / n_simulated)
    simulation = replace(channel.simulation, log_ratio=channel.simulation.log_ratio[drawn], weight=weight)
    likelihood = Likelihood(replace(base, channels=(replace(channel, simulation=simulation),)))
    remarks = ToyGenerator(likelihood, likelihood.initial).remarks
    assert list(remarks) == ([] if shift is None else [channel.name])
    assert shift is None or f"a shift of about {shift} standard deviations; 2.2e+04" in remarks[channel.name]
