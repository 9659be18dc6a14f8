"""Combinations: sums of -2 ln L, closed forms, and definitions that do not agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evercast.errors import InvalidInput
from evercast.inference.asimov import asimov_model
from evercast.inference.fit import fit
from evercast.likelihood.combination import combine
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.histfactory import read_workspace
from evercast.likelihood.model import (
    AnchorMorph,
    BinnedChannelModel,
    BinnedSample,
    LikelihoodModel,
    NormFactor,
    ParameterModel,
    PolynomialMorph,
)
from evercast.likelihood.renaming import renamed
from evercast.likelihood.reparametrise import used_parameters
from statistics_inputs import counting_model, gaussian_mixture, synthetic_workspace


def test_a_workspace_with_itself_under_other_names_is_the_sum() -> None:
    model = read_workspace(synthetic_workspace())
    others = {name.split("[")[0] for name in model.parameter_names} - {"mu"}
    both = combine({"a": model, "b": model}, rename={"b": {name: f"b_{name}" for name in others}})
    assert {channel.name for channel in both.channels} == {"a_SR", "a_CR", "b_SR", "b_CR"}
    assert both.poi is not None
    assert both.poi.name == "mu"
    one, two = Likelihood(model), Likelihood(both)
    rng = np.random.default_rng(1)
    for _ in range(5):
        first, second = (one.initial + rng.uniform(-0.05, 0.05, len(one.names)) for _ in range(2))
        second[one.index("mu")] = first[one.index("mu")]
        theta = np.array([
            second[one.index(name.removeprefix("b_"))] if name.startswith("b_") else first[one.index(name)]
            for name in two.names
        ])  # fmt: skip
        assert two.twice_nll(theta) == pytest.approx(one.twice_nll(first) + one.twice_nll(second), rel=1e-13)


def test_a_shared_constraint_counts_once() -> None:
    model = counting_model(width=0.1)
    both = combine({"a": model, "b": replace(model, channels=tuple(replace(c, name="other") for c in model.channels))})
    assert both.parameter_names == ("mu", "norm")
    one, two = Likelihood(model), Likelihood(both)
    theta = np.array([1.2, 0.7])
    constraint = 0.7**2 + np.log(2 * np.pi)
    assert two.twice_nll(theta) == pytest.approx(2 * one.twice_nll(theta) - constraint, rel=1e-13)


def test_two_counting_experiments_weigh_as_their_inverse_variances() -> None:
    """Asimov data of mu = 1: sigma^2 = n / s^2 in each, and 1 / sigma^2 adds up."""
    models = {
        "a": counting_model(signal=100.0, background=900.0, observed=1000.0),
        "b": counting_model(signal=30.0, background=70.0, observed=100.0),
    }
    result = fit(Likelihood(combine(models)))
    expected = (100.0**2 / 1000.0 + 30.0**2 / 100.0) ** -0.5
    assert result.parameter("mu").value == pytest.approx(1.0, abs=1e-6)
    assert result.parameter("mu").uncertainty == pytest.approx(expected, rel=1e-6)


def test_binned_and_unbinned_channels_combine() -> None:
    """T1 beside a counting channel: both curvatures add up."""
    mixture, counting = gaussian_mixture(), counting_model(signal=100.0, background=900.0, observed=1000.0)
    sharp = replace(mixture.parameters[0], bounds=(0.0, 10.0))
    mixture = replace(mixture, parameters=(sharp,))
    together = fit(Likelihood(combine({"shape": mixture, "count": counting})))
    parts = [fit(Likelihood(model)).parameter("mu").uncertainty for model in (mixture, counting)]
    expected = sum(part**-2 for part in parts if part is not None) ** -0.5
    assert together.parameter("mu").uncertainty == pytest.approx(expected, rel=1e-6)


def channel(name: str, *, coefficient: str, signal: float, background: float, observed: float) -> BinnedChannelModel:
    samples = (
        BinnedSample(name="S", nominal=np.array([signal]), coefficient=coefficient),
        BinnedSample(name="B", nominal=np.array([background])),
    )
    return BinnedChannelModel(name=name, samples=samples, observed=np.array([observed]))


def test_on_shell_and_off_shell_give_the_width() -> None:
    """mu_off = R mu_on: the best R is the ratio of the two strengths, at the same minimum."""
    on = LikelihoodModel(
        name="on",
        parameters=(ParameterModel(name="mu_on", initial=1.0, bounds=(0.1, 5.0)),),
        channels=(channel("SR", coefficient="mu_on", signal=200.0, background=50.0, observed=270.0),),
    )
    off = LikelihoodModel(
        name="off",
        parameters=(
            ParameterModel(name="R", initial=1.0, bounds=(0.0, 20.0), poi=True),
            ParameterModel(name="strength", initial=1.0, bounds=(0.1, 5.0)),
        ),
        channels=(channel("SR", coefficient="R*strength", signal=20.0, background=50.0, observed=80.0),),
    )
    both = combine({"on": on, "off": off}, rename={"off": {"strength": "mu_on"}})
    assert both.parameter_names == ("mu_on", "R")
    result = fit(Likelihood(both))
    assert result.parameter("R").value == pytest.approx((30 / 20) / (220 / 200), rel=1e-6)


def test_every_disagreement_is_named_with_both_values() -> None:
    one = LikelihoodModel(
        name="one",
        parameters=(
            ParameterModel(name="mu", initial=1.0, bounds=(0.0, 10.0), poi=True),
            ParameterModel(name="lumi", initial=1.0, bounds=(0.0, 2.0), constraint="normal", width=0.02,
                           global_observable=1.0),
            ParameterModel(name="mass", initial=125.0, unit="GeV"),
            ParameterModel(name="free", initial=1.0),
            ParameterModel(name="held", initial=1.0, fixed=True),
        ),
        channels=(channel("SR", coefficient="mu", signal=1.0, background=1.0, observed=1.0),),
    )  # fmt: skip
    changed = {
        "mu": {"bounds": (-5.0, 10.0)},
        "lumi": {"width": 0.03, "global_observable": 0.9},
        "mass": {"unit": "TeV"},
        "free": {"constraint": "normal", "initial": 0.5},
        "held": {"fixed": False},
    }
    other = tuple(replace(parameter, **changed[parameter.name]) for parameter in one.parameters)
    with pytest.raises(InvalidInput) as failure:
        combine({"A": one, "B": replace(one, parameters=other)})
    assert failure.value.code == "combination.disagree"
    for part in (
        "'mu': lower bound 0 in A, -5 in B",
        "'lumi': width 0.02 in A, 0.03 in B; global observable 1 in A, 0.9 in B",
        "'mass': unit 'GeV' in A, 'TeV' in B",
        "'free': initial value 1 in A, 0.5 in B; constraint none in A, normal in B",
        "'held': state fixed in A, free in B",
    ):
        assert part in failure.value.message
    assert "rename" in (failure.value.hint or "")


def test_uncorrelated_parameters_stay_apart() -> None:
    model = counting_model(width=0.1)
    both = combine({"a": model, "b": model}, uncorrelate=["norm"])
    assert both.parameter_names == ("mu", "a_norm", "b_norm")


def test_different_parameters_of_interest_must_be_chosen_from() -> None:
    model = counting_model()
    parts = {"a": model, "b": renamed(model, {"mu": "kappa"})}
    with pytest.raises(InvalidInput, match="'mu' in a, 'kappa' in b") as failure:
        combine(parts)
    assert failure.value.code == "combination.poi"
    chosen = combine(parts, poi="kappa")
    assert [parameter.name for parameter in chosen.parameters if parameter.poi] == ["kappa"]
    with pytest.raises(InvalidInput, match="'nu' is in no part"):
        combine(parts, poi="nu")


@pytest.mark.parametrize(
    ("rename", "uncorrelate", "code", "message"),
    [
        ({"c": {"mu": "x"}}, (), "combination.unknown-parameter", "part 'c'"),
        ({"a": {"nu": "x"}}, (), "combination.unknown-parameter", "'nu' of part 'a'"),
        ({}, ("nu",), "combination.unknown-parameter", "'nu' of any part"),
        ({"a": {"norm": "mu"}}, (), "combination.rename", "both be called 'mu'"),
    ],
)
def test_a_renaming_that_cannot_work_is_named(rename, uncorrelate, code: str, message: str) -> None:
    model = counting_model(width=0.1)
    with pytest.raises(InvalidInput, match=message) as failure:
        combine({"a": model, "b": model}, rename=rename, uncorrelate=uncorrelate)
    assert failure.value.code == code


def test_a_name_that_no_formula_can_hold_is_refused_there_only() -> None:
    with pytest.raises(InvalidInput, match=r"'mu\[0\]' cannot stand in a formula"):
        combine({"a": gaussian_mixture()}, rename={"a": {"mu": "mu[0]"}})
    assert combine({"a": counting_model()}, rename={"a": {"mu": "mu[0]"}}).parameter_names == ("mu[0]",)


def test_observed_and_asimov_data_do_not_combine() -> None:
    model = counting_model()
    likelihood = Likelihood(model)
    parts = {"a": model, "b": asimov_model(likelihood, likelihood.initial)}
    with pytest.raises(InvalidInput, match="a: observed, b: Asimov") as failure:
        combine(parts)
    assert failure.value.code == "combination.data"


def test_a_renaming_reaches_formulas_modifiers_and_morphs() -> None:
    model = gaussian_mixture()
    (unbinned,) = model.channels
    first = replace(
        unbinned.components[0], coefficient="mu - sqrt(mu)*kappa", modifiers=(NormFactor(parameter="lumi"),)
    )
    morphed = replace(
        unbinned,
        components=(first, unbinned.components[1]),
        anchors=(AnchorMorph(process="S", parameter="jes"),),
        polynomials=(PolynomialMorph(process="B", terms=((("tes", 2), ("jes", 1)),)),),
    )
    names = ("mu", "kappa", "lumi", "jes", "tes")
    full = replace(model, parameters=tuple(ParameterModel(name=name) for name in names), channels=(morphed,))
    changed = renamed(full, {name: f"x_{name}" for name in names})
    assert changed.parameter_names == tuple(f"x_{name}" for name in names)
    assert used_parameters(changed.channels) == {f"x_{name}" for name in names}
    assert changed.channels[0].components[0].coefficient == "x_mu - (sqrt(x_mu) * x_kappa)"


def test_statistics_of_templates_are_shared_only_where_that_is_asked_for() -> None:
    """Two workspaces may both call them mcstat_SR; their simulated events are not the same for that."""
    body = synthetic_workspace()
    parts = {"a": read_workspace(body, name="a"), "b": read_workspace(body, name="b")}
    factors = {
        name.partition("[")[0]
        for name in parts["a"].parameter_names
        if "[" in name and not name.startswith(("free", "shapefactor"))
    }
    assert factors
    with pytest.raises(InvalidInput, match="single bins") as caught:
        combine(parts)
    assert caught.value.code == "combination.statistics"
    assert all(name in str(caught.value) for name in factors)
    apart = combine(parts, uncorrelate=sorted(factors))
    shared = combine(parts, rename={part: {name: f"{name}_both" for name in factors} for part in parts})
    n_bins = sum(name.partition("[")[0] in factors for name in parts["a"].parameter_names)
    assert len(apart.parameters) - len(shared.parameters) == n_bins
