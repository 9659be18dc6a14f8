"""The binned term: derivatives against those of automatic differentiation, and against finite differences."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evercast.errors import InvalidInput
from evercast.likelihood.binned_term import BinnedTerm
from evercast.likelihood.coefficients import coefficient_value
from evercast.likelihood.histfactory import read_workspace
from evercast.likelihood.interpolation import FACTOR_CODES, SHIFT_CODES, interpolated_factor, interpolated_shift
from evercast.likelihood.model import (
    BinFactor,
    BinnedChannelModel,
    BinnedSample,
    HistoSys,
    LikelihoodModel,
    NormFactor,
    NormSys,
    ParameterModel,
)
from evercast.spec.expressions import parse_coefficient
from statistics_inputs import synthetic_workspace


def factor(modifier, values: dict[str, jax.Array]) -> jax.Array:
    if isinstance(modifier, NormFactor):
        return values[modifier.parameter]
    code = jnp.asarray(FACTOR_CODES.index(modifier.code))
    up, down = jnp.asarray(modifier.up), jnp.asarray(modifier.down)
    return interpolated_factor(values[modifier.parameter], up, down, code, codes=(modifier.code,))


def shift(modifier: HistoSys, nominal: np.ndarray, values: dict[str, jax.Array]) -> jax.Array:
    code = jnp.full(nominal.shape, SHIFT_CODES.index(modifier.code))
    up, down = jnp.asarray(modifier.up - nominal), jnp.asarray(nominal - modifier.down)
    return interpolated_shift(values[modifier.parameter], up, down, code, codes=(modifier.code,))


def plain_twice_nll(model: LikelihoodModel, theta: jax.Array) -> jax.Array:
    """The definition, sample by sample, for automatic differentiation; without the factorials."""
    values = {name: theta[i] for i, name in enumerate(model.parameter_names)}
    total = jnp.zeros(())
    for channel in model.channels:
        rates = jnp.zeros(len(channel.observed))
        for sample in channel.samples:
            template = jnp.asarray(sample.nominal)
            scale = coefficient_value(parse_coefficient(sample.coefficient), values)
            for modifier in sample.modifiers:
                if isinstance(modifier, HistoSys):
                    template = template + shift(modifier, sample.nominal, values)
                elif isinstance(modifier, BinFactor):
                    scale = scale * jnp.stack([values[n] if n else jnp.ones(()) for n in modifier.parameters])
                else:
                    scale = scale * factor(modifier, values)
            rates = rates + scale * template
        total = total + 2.0 * jnp.sum(rates - jnp.asarray(channel.observed) * jnp.log(rates))
    return total


def random_model(seed: int) -> LikelihoodModel:
    """Channels of different length, all modifiers and codes, formulas, repeated and shared parameters."""
    rng = np.random.default_rng(seed)
    names = ["mu", "kappa", "lumi", "free[0]", "free[1]", *(f"alpha{i}" for i in range(5))]
    channels = []
    for number, bins in enumerate((1, 3, 3, 2)):
        samples = []
        for k in range(int(rng.integers(2, 5))):
            nominal = rng.uniform(5.0, 30.0, bins)
            modifiers: list[object] = [NormFactor(parameter="lumi")] if rng.random() < 0.5 else []
            for i in rng.choice(5, 3, replace=False):
                up, down = rng.uniform(0.8, 1.3, 2)
                code = str(rng.choice(["0", "1", "4"]))
                modifiers.append(NormSys(parameter=f"alpha{i}", up=float(up), down=float(down), code=code))
            for i in rng.choice(5, 3, replace=False):
                up, down = nominal * rng.uniform(0.8, 1.2, (2, bins))
                code = str(rng.choice(["0", "2", "4p"]))
                modifiers.append(HistoSys(parameter=f"alpha{i}", up=up, down=down, code=code))
            modifiers.append(NormSys(parameter="alpha0", up=1.1, down=0.95))
            if number < 3:
                factors = tuple(f"stat{number}[{b}]" for b in range(bins))
                modifiers.append(BinFactor(parameters=factors))
                if k == 1:
                    modifiers.append(BinFactor(parameters=(*(f"own{number}[{b}]" for b in range(bins - 1)), None)))
            elif k == 0:
                modifiers.append(BinFactor(parameters=("free[0]", "free[1]")))
            coefficient = str(rng.choice(["1", "mu", "mu*kappa", "mu - 0.1*sqrt(mu)*kappa + 2", "exp(0.1*kappa)"]))
            if k == 0:
                coefficient = "mu"
                modifiers.append(NormFactor(parameter="kappa"))
            samples.append(
                BinnedSample(name=f"s{k}", nominal=nominal, modifiers=tuple(modifiers), coefficient=coefficient)
            )
        total = sum(sample.nominal for sample in samples)
        channels.append(
            BinnedChannelModel(name=f"c{number}", samples=tuple(samples), observed=rng.poisson(total).astype(float))
        )
    shared = BinFactor(parameters=("free[1]", "free[0]", None))  # the same factors in another channel
    last = channels[1].samples[0]
    changed = replace(last, modifiers=(*last.modifiers, shared))
    channels[1] = replace(channels[1], samples=(changed, *channels[1].samples[1:]))
    for number, bins in enumerate((1, 3, 3)):
        names += [f"stat{number}[{b}]" for b in range(bins)]
        names += [f"own{number}[{b}]" for b in range(bins - 1)]
    parameters = tuple(ParameterModel(name=name, initial=1.0) for name in names)
    return LikelihoodModel(name="random", parameters=parameters, channels=tuple(channels))


def random_point(model: LikelihoodModel, rng: np.random.Generator) -> np.ndarray:
    theta = rng.uniform(0.6, 1.4, len(model.parameters))
    for i, name in enumerate(model.parameter_names):
        if name.startswith("alpha"):
            theta[i] = rng.uniform(-1.8, 1.8)
    return theta


def differences(function, theta: np.ndarray) -> np.ndarray:
    """Return central differences of fourth order: relative accuracy 1e-10 at steps of 1e-3 and functions of order 1."""
    rows = []
    for i in range(len(theta)):
        step = np.zeros(len(theta))
        step[i] = 1e-3
        near, far = (function(theta + k * step) - function(theta - k * step) for k in (1, 2))
        rows.append((8 * near - far) / 12e-3)
    return np.stack(rows)


@pytest.mark.parametrize("seed", range(2))
def test_the_value_is_the_definition_and_derivatives_are_those_of_differences(seed: int) -> None:
    model = random_model(seed)
    term = BinnedTerm(model.parameters, model.channels)
    rng = np.random.default_rng(100 + seed)
    offsets = []
    for theta in (random_point(model, rng) for _ in range(2)):
        with jax.enable_x64(new_val=True):
            expected = float(plain_twice_nll(model, jnp.asarray(theta)))
        own = theta[term.index]
        found = term.expand(own)
        offsets.append(found.value - expected)
        np.testing.assert_allclose(found.gradient, differences(term.value, own), atol=1e-8 * abs(found.gradient).max())
        slopes = differences(lambda point: term.value_and_gradient(point)[1], own)
        np.testing.assert_allclose(found.hessian, slopes, atol=1e-8 * np.abs(found.hessian).max())
        assert term.value(own) == pytest.approx(found.value, rel=1e-14)
        np.testing.assert_array_equal(term.value_and_gradient(own)[1], found.gradient)
    assert np.ptp(offsets) < 1e-9  # the factorials, the same at every point


def test_the_information_is_the_hessian_on_expected_counts() -> None:
    """On counts equal to the rates their second derivatives have weight zero, and J^T (2 / rate) J is left."""
    model = random_model(3)
    theta = random_point(model, np.random.default_rng(9))
    term = BinnedTerm(model.parameters, model.channels)
    expected = term.expected(theta[term.index])
    channels = [replace(channel, observed=expected[channel.name]) for channel in model.channels]
    found = term.with_counts(channels).expand(theta[term.index])
    assert found.information is not None
    information = found.information()
    np.testing.assert_allclose(information, found.hessian, atol=1e-10 * np.abs(information).max())
    other = term.expand(theta[term.index])
    assert other.information is not None
    np.testing.assert_allclose(other.information(), information, rtol=1e-12)
    assert np.linalg.eigvalsh(information)[0] > -1e-10 * np.abs(information).max()


def test_many_points_and_data_sets_are_those_one_by_one() -> None:
    model = random_model(7)
    term = BinnedTerm(model.parameters, model.channels)
    rng = np.random.default_rng(2)
    thrown = [
        replace(
            model,
            channels=tuple(replace(c, observed=rng.poisson(c.observed).astype(float)) for c in model.channels),
        )
        for _ in range(3)
    ]
    points = np.stack([random_point(model, rng) for _ in range(5)])[:, term.index]
    rows = np.array([2, 0, 1, 1, 0])
    found = term.batch(thrown).expand(points, rows)
    for i, row in enumerate(rows):
        alone = BinnedTerm(model.parameters, thrown[row].channels).expand(points[i])
        assert found.value[i] == pytest.approx(alone.value, rel=1e-13)
        np.testing.assert_allclose(found.gradient[i], alone.gradient, rtol=1e-10, atol=1e-9)
        np.testing.assert_allclose(found.hessian[i], alone.hessian, rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("zero", ["mu", "alpha0"])
def test_a_factor_of_zero_has_finite_derivatives(zero: str) -> None:
    """mu = 0 takes the signal away; a linear variation (code 0) with down = 2 is 0 at -1."""
    samples = (
        BinnedSample(
            name="S", nominal=np.array([3.0, 4.0]),
            modifiers=(
                NormFactor(parameter="mu"), NormSys(parameter="alpha0", up=1.2, down=0.0, code="0"),
                NormSys(parameter="alpha1", up=1.1, down=0.9),
            ),
        ),
        BinnedSample(
            name="B", nominal=np.array([10.0, 9.0]), modifiers=(NormSys(parameter="alpha1", up=1.3, down=0.8),)
        ),
    )  # fmt: skip
    channel = BinnedChannelModel(name="c", samples=samples, observed=np.array([11.0, 12.0]))
    parameters = tuple(ParameterModel(name=name) for name in ("mu", "alpha0", "alpha1"))
    theta = np.array([0.0, 0.3, 0.4]) if zero == "mu" else np.array([1.2, -1.0, 0.4])
    term = BinnedTerm(parameters, [channel])
    found = term.expand(theta)
    slopes = differences(lambda point: term.value_and_gradient(point)[1], theta)
    np.testing.assert_allclose(found.gradient, differences(term.value, theta), atol=1e-7)
    np.testing.assert_allclose(found.hessian, slopes, atol=1e-7)


def test_a_rate_that_is_impossible_is_infinite() -> None:
    model = read_workspace(synthetic_workspace())
    term = BinnedTerm(model.parameters, model.channels)
    names = [model.parameter_names[i] for i in term.index]
    start = np.array([p.initial for p in model.parameters])[term.index]
    assert np.isfinite(term.value(start))
    for name, value in (("mu", -50.0), ("mu", np.nan), ("lumi", -1.0)):
        theta = start.copy()
        theta[names.index(name)] = value
        assert term.value(theta) == np.inf
        assert term.expand(theta).value == np.inf


def test_no_rate_and_no_count_is_possible() -> None:
    sample = BinnedSample(name="S", nominal=np.array([0.0, 2.0]), modifiers=(NormFactor(parameter="mu"),))
    channel = BinnedChannelModel(name="c", samples=(sample,), observed=np.array([0.0, 3.0]))
    term = BinnedTerm([ParameterModel(name="mu")], [channel])
    found = term.expand(np.array([1.5]))
    assert found.value == pytest.approx(2 * (3.0 - 3.0 * np.log(3.0) + np.log(6.0)), rel=1e-14)
    assert found.gradient[0] == pytest.approx(2 * (2.0 - 3.0 / 1.5), abs=1e-14)
    with_count = BinnedTerm([ParameterModel(name="mu")], [replace(channel, observed=np.array([1.0, 3.0]))])
    assert with_count.value(np.array([1.5])) == np.inf


def test_a_bin_factor_twice_in_a_sample_is_refused() -> None:
    twice = BinFactor(parameters=("gamma",))
    sample = BinnedSample(name="S", nominal=np.array([1.0]), modifiers=(twice, twice))
    channel = BinnedChannelModel(name="c", samples=(sample,), observed=np.array([1.0]))
    with pytest.raises(InvalidInput, match="twice in sample 'S' of channel 'c'"):
        BinnedTerm([ParameterModel(name="gamma")], [channel])
