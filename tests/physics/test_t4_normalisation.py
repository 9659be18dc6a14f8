"""T4: the normalisation of morphs of a unit Gaussian in closed form, as the engine computes and divides it out."""

from __future__ import annotations

import numpy as np
import pytest

from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.intensity import normalisation
from evercast.likelihood.model import (
    AnchorMorph,
    Component,
    EventSet,
    LikelihoodModel,
    ParameterModel,
    PolynomialMorph,
    UnbinnedChannelModel,
)

X = np.linspace(-12.0, 12.0, 4801)
UNIT = np.exp(-0.5 * X**2) / np.sqrt(2 * np.pi) * (X[1] - X[0])
DELTA = np.array([0.3, 0.5])


def shifted_gaussian(kind: str) -> LikelihoodModel:
    """Return 100 events of N(0, 1), whose mean two parameters shift by DELTA each; the grid is data and reference."""
    up, down = DELTA * X[:, None] - DELTA**2 / 2, -DELTA * X[:, None] - DELTA**2 / 2
    exact = np.stack([DELTA[0] * X, np.full_like(X, -(DELTA[0] ** 2) / 2), DELTA[1] * X,
                      np.full_like(X, -(DELTA[1] ** 2) / 2)], axis=1)  # fmt: skip
    columns = {"log_up": up, "log_down": down} if kind == "log_linear" else {"coefficients": exact}
    grid = EventSet(log_ratio=np.zeros((len(X), 1)), weight=100 * UNIT, **columns)
    terms = ((("a", 1),), (("a", 2),), (("b", 1),), (("b", 2),))
    channel = UnbinnedChannelModel(
        name="SR", components=(Component(process="S", yield_events=100.0),), events=grid, reference=grid,
        anchors=tuple(AnchorMorph(process="S", parameter=name, interpolation="log_linear") for name in "ab")
        if kind == "log_linear" else (),
        polynomials=() if kind == "log_linear" else (PolynomialMorph(process="S", terms=terms),),
    )  # fmt: skip
    return LikelihoodModel(name="T4", parameters=tuple(ParameterModel(name=n) for n in "ab"), channels=(channel,))


@pytest.mark.parametrize("alpha", [(0.3, 0.8), (1.7, 0.9), (2.0, 1.1)])
@pytest.mark.parametrize("kind", ["log_linear", "exact"])
def test_the_normalisation_is_that_of_the_closed_form(kind: str, alpha: tuple[float, float]) -> None:
    """Exact shifts: ln Z = a b delta_a delta_b; u^alpha: ln Z = ((sum alpha delta)^2 - sum alpha delta^2) / 2."""
    model, theta = shifted_gaussian(kind), np.array(alpha)
    shift = theta * DELTA
    exact = shift[0] * shift[1]
    expected = exact if kind == "exact" else (shift.sum() ** 2 - np.sum(theta * DELTA**2)) / 2
    (point,) = normalisation(model.channels[0], ("a", "b"), theta)
    assert np.log(point.value) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", ["log_linear", "exact"])
def test_minus_two_ln_l_of_shifted_gaussians_is_a_parabola_in_the_shift(kind: str) -> None:
    """Once Z is divided out both morphs are N(shift, 1): -2 ln L rises by 100 x shift^2 from data without shift."""
    likelihood = Likelihood(shifted_gaussian(kind))
    for alpha in ((0.4, 0.3), (1.5, 0.2)):
        theta = np.array(alpha)
        shift = float(np.sum(theta * DELTA))
        rise = likelihood.twice_nll(theta) - likelihood.twice_nll(np.zeros(2))
        assert rise == pytest.approx(100 * shift**2, rel=1e-9)
        np.testing.assert_allclose(likelihood.gradient(theta), 200 * shift * DELTA, rtol=1e-9)
        np.testing.assert_allclose(likelihood.hessian(theta), 200 * np.outer(DELTA, DELTA), rtol=1e-8, atol=1e-7)
