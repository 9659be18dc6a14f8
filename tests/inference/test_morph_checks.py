"""Morphs in plain numpy and the tests built on them, against closed forms for Gaussians."""

import numpy as np
import pytest

from evercast.inference.asimov import asimov_model
from evercast.inference.derivative_check import gradient_check, scattered_points
from evercast.inference.fit import fit
from evercast.inference.morph_checks import code4_log, log_intensity, morph_norm, pair_dependence
from evercast.inference.simulation_noise import simulation_noise
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import (
    AnchorMorph,
    Component,
    EventSet,
    LikelihoodModel,
    NormSys,
    ParameterModel,
    UnbinnedChannelModel,
)

SHIFTS = (0.2, 0.1)


def channel(n: int = 200_000) -> UnbinnedChannelModel:
    """One component, a unit Gaussian that is its own reference; two parameters shift its mean, log-linear anchors."""
    x = np.random.default_rng(1).normal(size=n)
    up = np.column_stack([d * x - d**2 / 2 for d in SHIFTS])
    down = np.column_stack([-d * x - d**2 / 2 for d in SHIFTS])
    events = EventSet(log_ratio=np.zeros((n, 1)), weight=np.ones(n), log_up=up, log_down=down)
    return UnbinnedChannelModel(
        name="c", components=(Component(process="B", yield_events=100.0),), events=events, reference=events,
        anchors=tuple(AnchorMorph(process="B", parameter=p, interpolation="log_linear") for p in ("a", "b")),
    )  # fmt: skip


def test_code4_meets_its_anchors_smoothly() -> None:
    up, down = np.array([0.3, -0.2]), np.array([-0.1, 0.4])
    np.testing.assert_allclose(code4_log(up, down, 1.0), up)
    np.testing.assert_allclose(code4_log(up, down, -1.0), down)
    np.testing.assert_allclose(code4_log(up, down, 0.0), 0.0, atol=1e-14)
    h = 1e-4
    for alpha, slope in ((1.0, up), (-1.0, -down)):
        inside = code4_log(up, down, alpha * (1 - h))
        # value, first and second derivative agree at the anchors: the difference is of third order
        np.testing.assert_allclose(inside, code4_log(up, down, alpha) - alpha * h * slope, atol=20 * h**3)


def test_the_norm_of_a_log_linear_shift_is_that_of_a_gaussian() -> None:
    found = morph_norm(channel(), "B", {"a": 2.0, "b": 1.0})
    # Z = exp((sum alpha d)^2 / 2 - sum |alpha| d^2 / 2)
    moved = 2 * SHIFTS[0] + SHIFTS[1]
    truth = np.exp(moved**2 / 2 - (2 * SHIFTS[0] ** 2 + SHIFTS[1] ** 2) / 2)
    assert abs(found.value - truth) < 4 * found.error
    assert found.error < 0.002


def test_two_shifts_of_one_mean_depend_on_each_other_by_their_product() -> None:
    found = pair_dependence(channel(), "B", ("a", "b"))
    # E[g_a g_b] / (E[g_a] E[g_b]) = exp(d_a d_b); the noise is about d_a d_b / sqrt(N) = 4e-5
    assert abs(found.value) == pytest.approx(np.exp(SHIFTS[0] * SHIFTS[1]) - 1, abs=1e-3)
    assert found.corner in {(1, 1), (-1, -1)}


def test_the_intensity_divides_the_norm_out() -> None:
    c = channel(1000)
    logs = log_intensity(c, c.events, np.array([100.0]), {"a": 1.5})
    assert np.mean(np.exp(logs)) == pytest.approx(100.0, rel=1e-12)


def simulated(seed: int, n: int) -> tuple[Likelihood, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = np.concatenate([rng.normal(1, 1, n), rng.normal(0, 1, n)])
    log_ratio = np.column_stack([x - 0.5, np.zeros_like(x)])
    weight = np.concatenate([np.full(n, 200 / n), np.full(n, 2000 / n)])
    events = EventSet(log_ratio=log_ratio, weight=weight)
    model = UnbinnedChannelModel(
        name="c", events=events, simulation=events,
        components=(
            Component(process="S", yield_events=200.0, coefficient="mu"),
            Component(
                process="B", yield_events=2000.0, modifiers=(NormSys(parameter="k", up=1.05, down=0.9, code="1"),)
            ),
        ),
    )  # fmt: skip
    parameters = (
        ParameterModel(name="mu", initial=1.0, bounds=(-5.0, 6.0), poi=True),
        ParameterModel(name="k", constraint="normal", bounds=(-5.0, 5.0)),
    )
    return Likelihood(LikelihoodModel(name="t", parameters=parameters, channels=(model,))), np.repeat([0, 1], n)


def test_the_noise_of_the_simulation_is_the_spread_over_simulations() -> None:
    values, noise = [], []
    for seed in range(30):
        likelihood, process = simulated(seed, 2000)
        result = fit(Likelihood(asimov_model(likelihood, likelihood.initial)))
        values.append(result.parameter("mu").value)
        noise.append(simulation_noise(likelihood, result, {"c": process})[0])
    # a standard deviation of 30 values is known to 13 %; three of these
    assert np.std(values, ddof=1) == pytest.approx(np.mean(noise), rel=0.4)
    assert np.mean(values) == pytest.approx(1.0, abs=4 * np.mean(noise) / np.sqrt(30))


def test_gradients_agree_with_differences_also_beside_the_kink_of_code_1() -> None:
    likelihood, _ = simulated(1, 2000)
    scale = np.array([0.2, 0.9])
    points = [likelihood.initial, *scattered_points(likelihood, likelihood.initial, scale=scale, count=2, seed=3)]
    for point in points:
        found = gradient_check(likelihood, point, scale=scale)
        assert found.directions == 2
        assert found.difference < 1e-6
