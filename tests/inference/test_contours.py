"""Two parameters at once: contours of a Gaussian, several minima, grids with points that fail."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.special import chdtri

from evercast.errors import InvalidInput
from evercast.inference.contours import contour
from evercast.inference.fit import fit
from evercast.inference.minima import find_minima
from evercast.inference.profile import Profile
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import BinnedChannelModel, BinnedSample, LikelihoodModel, NormFactor, ParameterModel
from statistics_inputs import counting_model

sys.path.insert(0, str(Path(__file__).parents[1] / "physics"))
import interference as toy


def two_scales() -> Likelihood:
    """Two bins of 1e6 events, the second fed by both parameters: a tilted ellipse."""
    names = ("a", "b")
    samples = tuple(
        BinnedSample(name=name, nominal=nominal, modifiers=(NormFactor(parameter=name),))
        for name, nominal in zip(names, (np.array([1e6, 5e5]), np.array([0.0, 5e5])), strict=True)
    )
    parameters = tuple(ParameterModel(name=name, initial=1.0, bounds=(0.5, 1.5), poi=name == "a") for name in names)
    channel = BinnedChannelModel(name="SR", samples=samples, observed=np.array([1e6, 1e6]))
    return Likelihood(LikelihoodModel(name="two", parameters=parameters, channels=(channel,)))


def test_contours_of_a_gaussian_are_its_ellipses() -> None:
    likelihood = two_scales()
    best = fit(likelihood)
    found = contour(likelihood, "a", "b", best=best, points=41)
    covariance = best.covariance
    assert [level.confidence_level for level in found.levels] == [0.68, 0.95]
    for level in found.levels:
        assert level.t == pytest.approx(chdtri(2, 1 - level.confidence_level))
        (line,) = level.lines
        np.testing.assert_allclose(line[0], line[-1])
        away = line - best.theta
        distance = np.einsum("pi,ij,pj->p", away, np.linalg.inv(covariance), away)
        np.testing.assert_allclose(distance, level.t, rtol=0.03)  # lines are straight between 41 points in 7 sigma
    assert found.t[20, 20] == pytest.approx(0.0, abs=1e-9)
    assert found.failed == ()


def test_a_contour_of_a_profiled_model_agrees_with_the_scan_of_one_parameter() -> None:
    likelihood = Likelihood(counting_model(width=0.1))
    found = contour(likelihood, "mu", "norm", ranges=((0.0, 3.0), (-2.0, 2.0)), points=9)
    for i in (0, 4, 8):
        held = fit(likelihood, fixed={"mu": found.first[i], "norm": found.second[3]})
        assert found.t[i, 3] == pytest.approx(held.twice_nll - found.best.twice_nll, abs=1e-8)


def test_unknown_and_equal_parameters_are_refused() -> None:
    likelihood = two_scales()
    with pytest.raises(InvalidInput, match="'c' is not a free parameter"):
        contour(likelihood, "a", "c")
    with pytest.raises(InvalidInput, match="'a' twice"):
        contour(likelihood, "a", "a")


def test_two_values_of_mu_of_the_same_rate_are_both_found() -> None:
    """sqrt(mu') = -lambda_I / lambda_S - sqrt(mu): with destructive interference the rate alone cannot tell."""
    formulas = (("S", toy.LAMBDA_S, "mu - sqrt(mu)"), ("SBI", toy.LAMBDA_SBI, "sqrt(mu)"))
    formulas += (("B", toy.LAMBDA_B, "1 - sqrt(mu)"), ("NI", toy.LAMBDA_NI, "1"))
    samples = tuple(BinnedSample(name=p, nominal=np.array([y]), coefficient=c) for p, y, c in formulas)
    parameter = ParameterModel(name="mu", initial=0.5, bounds=(0.0, 10.0), poi=True)
    channel = BinnedChannelModel(name="SR", samples=samples, observed=np.array([toy.rate(0.3)]))
    likelihood = Likelihood(LikelihoodModel(name="rate", parameters=(parameter,), channels=(channel,)))
    profile = Profile(likelihood, "mu")
    scan = profile.scan(np.linspace(0.0, 1.0, 41).tolist())
    minima = find_minima(likelihood, profile, scan.minima)
    twin = (-toy.LAMBDA_I / toy.LAMBDA_S - np.sqrt(0.3)) ** 2
    assert sorted(entry.value for entry in minima) == pytest.approx(sorted([0.3, twin]), abs=1e-5)
    assert [entry.t for entry in minima] == pytest.approx([0.0, 0.0], abs=1e-8)
