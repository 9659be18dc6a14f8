"""T4, nuisance toys: exact morphs of unit Gaussians, their normalisation, and yields with code-4 factors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evercast.inference.fit import fit
from evercast.inference.profile import Profile
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.interpolation import exponential_factor, polynomial_exponential_factor
from evercast.likelihood.model import (
    Component,
    EventSet,
    LikelihoodModel,
    NormSys,
    ParameterModel,
    UnbinnedChannelModel,
)

X = np.linspace(-12.0, 12.0, 24_001)
UNIT = np.exp(-0.5 * X**2) / np.sqrt(2 * np.pi) * (X[1] - X[0])


@pytest.mark.parametrize("alpha", [(0.3, -0.8), (1.7, 0.9), (-2.0, -1.1)])
def test_the_product_of_exact_shifts_has_the_normalisation_of_its_closed_form(alpha: tuple[float, float]) -> None:
    """g_m = exp(alpha_m delta_m x - (alpha_m delta_m)^2 / 2), Z = exp(sum of alpha_m alpha_n delta_m delta_n)."""
    delta = np.array([0.3, 0.5])
    shift = np.array(alpha) * delta
    morphs = [np.exp(s * X - s**2 / 2) for s in shift]
    assert [np.sum(UNIT * g) for g in morphs] == pytest.approx([1.0, 1.0], abs=1e-10)
    assert np.sum(UNIT * morphs[0] * morphs[1]) == pytest.approx(np.exp(shift[0] * shift[1]), rel=1e-10)


@pytest.mark.parametrize("alpha", [0.4, 1.0, -2.3])
def test_log_linear_anchors_have_the_normalisation_of_their_closed_form(alpha: float) -> None:
    """Anchors g(+1), g(-1) interpolated as u^alpha, d^-alpha: Z = exp((alpha delta)^2/2 - |alpha| delta^2/2)."""
    delta = 0.4
    up, down = np.exp(delta * X - delta**2 / 2), np.exp(-delta * X - delta**2 / 2)
    with jax.enable_x64(new_val=True):
        morph = np.asarray(exponential_factor(jnp.full(X.shape, alpha), jnp.asarray(up), jnp.asarray(down)))
    expected = np.exp(0.5 * (alpha * delta) ** 2 - 0.5 * abs(alpha) * delta**2)
    assert np.sum(UNIT * morph) == pytest.approx(expected, rel=1e-9)


def test_code_4_meets_the_exact_shift_at_its_anchors_and_differs_between_them() -> None:
    delta = 0.4
    up, down = np.exp(delta * X - delta**2 / 2), np.exp(-delta * X - delta**2 / 2)
    with jax.enable_x64(new_val=True):
        for alpha, tolerance in ((1.0, 1e-10), (-1.0, 1e-10), (0.0, 1e-10), (0.5, 2e-2)):
            values = polynomial_exponential_factor(jnp.full(X.shape, alpha), jnp.asarray(up), jnp.asarray(down))
            exact = np.exp(alpha * delta * X - (alpha * delta) ** 2 / 2)
            inner = np.abs(X) < 3
            assert np.max(np.abs(np.asarray(values) / exact - 1)[inner]) < tolerance


def two_gaussians(*, up: float, down: float, pulled: float = 0.0) -> LikelihoodModel:
    """Return N(1, 1) x 200 mu + N(0, 1) x 2000 with a normalisation uncertainty on the background."""
    x, step = np.linspace(-9.0, 10.0, 4001, retstep=True)
    signal, background = (np.exp(-0.5 * (x - mean) ** 2) / np.sqrt(2 * np.pi) * step for mean in (1.0, 0.0))
    channel = UnbinnedChannelModel(
        name="SR",
        components=(
            Component(process="S", yield_events=200.0, coefficient="mu"),
            Component(process="B", yield_events=2000.0, modifiers=(NormSys(parameter="norm", up=up, down=down),)),
        ),
        events=EventSet(
            log_ratio=np.stack([x - 0.5, np.zeros_like(x)], axis=1), weight=200 * signal + 2000 * background
        ),
    )
    parameters = (
        ParameterModel(name="mu", initial=1.2, bounds=(-5.0, 10.0), poi=True),
        ParameterModel(name="norm", bounds=(-5.0, 5.0), constraint="normal", global_observable=pulled),
    )
    return LikelihoodModel(name="T4", parameters=parameters, channels=(channel,))


def information() -> np.ndarray:
    """Return the Fisher information in (mu, background yield / 2000)."""
    x, step = np.linspace(-9.0, 10.0, 20_001, retstep=True)
    signal, background = (np.exp(-0.5 * (x - mean) ** 2) / np.sqrt(2 * np.pi) for mean in (1.0, 0.0))
    parts = np.stack([200 * signal, 2000 * background])
    return (parts / parts.sum(axis=0)) @ parts.T * step


@pytest.mark.parametrize("size", [0.01, 0.05, 0.5])
def test_a_normalisation_uncertainty_adds_to_the_error_as_linear_algebra_says(size: float) -> None:
    """With up = e^size, down = e^-size code 4 is exp(size alpha), whose slope at 0 is `size`."""
    matrix = information() * np.outer([1, size], [1, size])
    matrix[1, 1] += 1.0
    expected = np.sqrt(np.linalg.inv(matrix)[0, 0])
    result = fit(Likelihood(two_gaussians(up=np.exp(size), down=np.exp(-size))))
    np.testing.assert_allclose(result.theta, [1.0, 0.0], atol=1e-5)
    assert result.parameter("mu").uncertainty == pytest.approx(expected, rel=2e-3)  # code 4 is exp to third order only
    fixed = fit(Likelihood(two_gaussians(up=np.exp(size), down=np.exp(-size))), fixed={"norm": 0.0})
    assert fixed.parameter("mu").uncertainty == pytest.approx(0.1669, abs=5e-5)


def test_the_global_observable_pulls_the_parameter_by_its_share_of_the_information() -> None:
    """One parameter measured by the data with variance v and by the constraint with 1: the pull is v / (1 + v)."""
    size, pulled = 0.05, 0.4
    matrix = information() * np.outer([1, size], [1, size])
    variance = np.linalg.inv(matrix)[1, 1]
    result = fit(Likelihood(two_gaussians(up=np.exp(size), down=np.exp(-size), pulled=pulled)))
    assert result.parameter("norm").value == pytest.approx(pulled * variance / (1 + variance), rel=0.02)


def test_profiling_never_narrows_the_interval() -> None:
    likelihood = Likelihood(two_gaussians(up=1.1, down=0.9))
    profiled = Profile(likelihood, "mu").interval(0.6827)
    held = Likelihood(
        LikelihoodModel(
            name="held",
            parameters=(likelihood.model.parameters[0], ParameterModel(name="norm", fixed=True)),
            channels=likelihood.model.channels,
        )
    )
    fixed = Profile(held, "mu").interval(0.6827)
    assert profiled.low < fixed.low
    assert profiled.high > fixed.high
