"""Shape morphs of unbinned channels: value against the formulas in numpy, derivatives, invariances."""

from __future__ import annotations

import numpy as np
import pytest

from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import (
    AnchorMorph,
    Component,
    EventSet,
    LikelihoodModel,
    NormSys,
    ParameterModel,
    PolynomialMorph,
    UnbinnedChannelModel,
)

COMPONENTS = (
    Component(process="S", yield_events=40.0, coefficient="mu - sqrt(mu)"),
    Component(
        process="SBI", yield_events=50.0, coefficient="sqrt(mu)", modifiers=(NormSys(parameter="a", up=1.1, down=0.85),)
    ),
    Component(process="B", yield_events=300.0, modifiers=(NormSys(parameter="b", up=1.05, down=0.97),)),
)  # fmt: skip
ANCHORS = (
    AnchorMorph(process="B", parameter="a"),
    AnchorMorph(process="S", parameter="a"),
    AnchorMorph(process="B", parameter="b"),
    AnchorMorph(process="SBI", parameter="b", interpolation="log_linear"),
    AnchorMorph(process="S", parameter="c"),
)
POLYNOMIALS = (
    PolynomialMorph(process="SBI", terms=((("a", 1),), (("c", 2),), (("a", 1), ("c", 1)))),
    PolynomialMorph(process="B", terms=((("c", 1),),)),
)
NAMES = ("mu", "a", "b", "c")


def events(rng: np.random.Generator, n_events: int, dtype: type) -> EventSet:
    up = rng.normal(scale=0.15, size=(n_events, len(ANCHORS)))
    return EventSet(
        log_ratio=rng.normal(scale=0.6, size=(n_events, 3)).astype(dtype),
        weight=rng.uniform(0.5, 1.5, n_events),
        log_up=up.astype(dtype),
        log_down=(-up + rng.normal(scale=0.05, size=up.shape)).astype(dtype),
        coefficients=rng.normal(scale=0.1, size=(n_events, 4)).astype(dtype),
    )


def morphed_model(
    n_events: int = 900, *, seed: int = 4, normalised: bool = True, dtype: type = np.float32
) -> LikelihoodModel:
    rng = np.random.default_rng(seed)
    channel = UnbinnedChannelModel(
        name="SR", components=COMPONENTS, anchors=ANCHORS, polynomials=POLYNOMIALS, normalise_morphs=normalised,
        events=events(rng, n_events, dtype), reference=events(rng, 700, dtype),
    )  # fmt: skip
    parameters = (ParameterModel(name="mu", initial=1.0, bounds=(0.0, 10.0), poi=True),)
    parameters += tuple(ParameterModel(name=name, bounds=(-5.0, 5.0), constraint="normal") for name in NAMES[1:])
    return LikelihoodModel(name="morphed", parameters=parameters, channels=(channel,))


def code_4(alpha: float, up: np.ndarray, down: np.ndarray) -> np.ndarray:
    """PHYSICS: CERN-OPEN-2012-016; coefficients from the six conditions at +-1, solved here."""
    if abs(alpha) >= 1:
        return up**alpha if alpha > 0 else down**-alpha
    powers = np.arange(1, 7)
    rows, values = [], []
    for sign, factor in ((1.0, up), (-1.0, down)):
        log = np.log(factor)
        rows += [sign**powers, powers * sign ** (powers - 1), powers * (powers - 1) * sign ** (powers - 2.0)]
        values += [factor - 1, sign * factor * log, factor * log**2]
    coefficients = np.linalg.solve(np.array(rows), np.stack(values).reshape(6, -1))
    return (1 + coefficients.T @ alpha**powers).reshape(up.shape)


def morphs(chosen: EventSet, theta: np.ndarray) -> np.ndarray:
    """Return r_ij g_ij in float64."""
    _, a, b, c = theta
    up, down = np.exp(chosen.log_up.astype(float)), np.exp(chosen.log_down.astype(float))
    delta = chosen.coefficients.astype(float)
    g = np.ones_like(chosen.log_ratio, dtype=float)
    g[:, 0] *= code_4(a, up[:, 1], down[:, 1]) * code_4(c, up[:, 4], down[:, 4])
    g[:, 1] *= up[:, 3] ** b if b > 0 else down[:, 3] ** -b
    g[:, 1] *= np.exp(delta[:, 0] * a + delta[:, 1] * c**2 + delta[:, 2] * a * c)
    g[:, 2] *= code_4(a, up[:, 0], down[:, 0]) * code_4(b, up[:, 2], down[:, 2]) * np.exp(delta[:, 3] * c)
    return np.exp(chosen.log_ratio.astype(float)) * g


def by_numpy(model: LikelihoodModel, theta: np.ndarray) -> float:
    channel = model.channels[0]
    mu, a, b, c = theta
    scalar = {
        name: code_4(x, np.array([u]), np.array([d]))[0]
        for name, x, u, d in (("a", a, 1.1, 0.85), ("b", b, 1.05, 0.97))
    }
    nu = np.array([40 * (mu - np.sqrt(mu)), 50 * np.sqrt(mu) * scalar["a"], 300 * scalar["b"]])
    z = np.ones(3)
    if channel.normalise_morphs:
        weight = channel.reference.weight / channel.reference.weight.sum()
        z = weight @ morphs(channel.reference, theta)
    intensity = morphs(channel.events, theta) @ (nu / z)
    constraint = a**2 + b**2 + c**2 + 3 * np.log(2 * np.pi)
    return float(2 * (nu.sum() - np.sum(channel.events.weight * np.log(intensity))) + constraint)


POINTS = [(1.0, 0.0, 0.0, 0.0), (0.4, 0.7, -0.3, 0.9), (2.5, -1.3, 1.7, -0.2), (0.2, -0.4, -2.0, 1.4)]


@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("point", POINTS)
def test_the_value_is_that_of_the_formulas(point: tuple[float, ...], normalised: bool) -> None:
    model, theta = morphed_model(normalised=normalised), np.array(point)
    assert Likelihood(model).twice_nll(theta) == pytest.approx(by_numpy(model, theta), rel=1e-12)


@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("point", POINTS[1:])
def test_gradient_and_hessian_equal_finite_differences(point: tuple[float, ...], normalised: bool) -> None:
    likelihood, step = Likelihood(morphed_model(normalised=normalised)), 1e-4
    theta = np.array(point)
    found = likelihood.expand(theta)
    for i, unit in enumerate(np.eye(4)):
        five = [likelihood.twice_nll(theta + k * step * unit) for k in (-2, -1, 1, 2)]
        slope = (five[0] - 8 * five[1] + 8 * five[2] - five[3]) / (12 * step)  # fourth order: error step^4
        assert found.gradient[i] == pytest.approx(slope, rel=1e-7, abs=1e-5)
        four = [likelihood.gradient(theta + k * step * unit) for k in (-2, -1, 1, 2)]
        row = (four[0] - 8 * four[1] + 8 * four[2] - four[3]) / (12 * step)
        np.testing.assert_allclose(found.hessian[i], row, rtol=1e-7, atol=1e-5)
    np.testing.assert_allclose(found.hessian, found.hessian.T, rtol=1e-11, atol=1e-9)
    np.testing.assert_allclose(likelihood.gradient(theta), found.gradient, rtol=1e-12, atol=1e-11)
    assert likelihood.twice_nll(theta) == pytest.approx(found.value, rel=1e-14)
