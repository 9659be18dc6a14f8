"""Ten coherent nuisance parameters: without the normalisation of morphs the fit runs away, with it the answer is right.

A product of morphs does not integrate to 1. Three unit Gaussians at 1, 0 and -1 with 300 mu, 3000 and 1000 events; each
parameter shifts all means by at most 0.02 and all yields by at most 2 %. Weighted Asimov events at mu = 1.
"""

from __future__ import annotations

import numpy as np
import pytest

from evercast.inference.fit import fit
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.intensity import normalisation
from evercast.likelihood.model import (
    AnchorMorph,
    Component,
    EventSet,
    LikelihoodModel,
    NormSys,
    ParameterModel,
    UnbinnedChannelModel,
)

MEANS, YIELDS = np.array([1.0, 0.0, -1.0]), np.array([300.0, 3000.0, 1000.0])
N_PARAMETERS, N_DRAWN = 10, 5000


def runaway_model(*, normalised: bool, bound: float = np.inf) -> LikelihoodModel:
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(mean, 1.0, N_DRAWN) for mean in MEANS])
    density = np.exp(-0.5 * (x[:, None] - MEANS) ** 2)
    log_ratio = np.log(density / density.mean(axis=1, keepdims=True))
    shift = 0.02 * (np.arange(N_PARAMETERS) % 5 + 1) / 5
    up = [s * (x - mean) - s**2 / 2 for mean in MEANS for s in shift]
    down = [-s * (x - mean) - s**2 / 2 for mean in MEANS for s in shift]
    columns = {"log_ratio": log_ratio, "log_up": np.stack(up, axis=1), "log_down": np.stack(down, axis=1)}
    names = [f"alpha_{k}" for k in range(N_PARAMETERS)]
    size = 0.01 * (np.arange(N_PARAMETERS) % 3)
    modifiers = tuple(NormSys(parameter=n, up=1 + s, down=1 - s) for n, s in zip(names, size, strict=True))
    processes = ("S", "B1", "B2")
    components = tuple(
        Component(process=p, yield_events=y, coefficient="mu" if p == "S" else "1", modifiers=modifiers)
        for p, y in zip(processes, YIELDS, strict=True)
    )
    channel = UnbinnedChannelModel(
        name="SR",
        components=components,
        events=EventSet(weight=np.repeat(YIELDS / N_DRAWN, N_DRAWN), **columns),
        reference=EventSet(weight=np.ones(len(x)), **columns),
        anchors=tuple(AnchorMorph(process=p, parameter=n) for p in processes for n in names),
        normalise_morphs=normalised,
    )
    parameters = (ParameterModel(name="mu", initial=1.0, poi=True, bounds=(-np.inf, np.inf)),)
    parameters += tuple(ParameterModel(name=n, constraint="normal", bounds=(-bound, bound)) for n in names)
    return LikelihoodModel(name="runaway", parameters=parameters, channels=(channel,))


def test_with_the_normalisation_the_answer_is_right() -> None:
    """Two other implementations with the normalisation give 0.910 +- 0.284 and 0.909 +- 0.283."""
    result = fit(Likelihood(runaway_model(normalised=True)))
    mu = result.parameter("mu")
    assert mu.value == pytest.approx(0.9095, abs=1e-3)
    assert mu.uncertainty == pytest.approx(0.2835, abs=1e-3)
    assert np.max(np.abs(result.theta[1:])) < 0.5
    assert result.guard.reason is None


def test_without_it_the_fit_runs_away_and_nothing_but_the_normalisation_shows_it() -> None:
    """The runaway is a true minimum of that function: every check of the fit passes; E_ref[r g] is far from 1."""
    likelihood = Likelihood(runaway_model(normalised=False))
    result = fit(likelihood)
    assert result.parameter("mu").value > 1000
    assert result.twice_nll < likelihood.twice_nll(likelihood.initial) - 30_000
    assert result.guard.reason is None
    (channel,) = likelihood.model.channels
    found = normalisation(channel, likelihood.names, result.theta)
    assert all(abs(point.value - 1) > 0.5 for point in found)
    assert all(point.effective_events < 1000 for point in found)


def test_within_the_usual_bounds_the_runaway_ends_at_them() -> None:
    result = fit(Likelihood(runaway_model(normalised=False, bound=5.0)))
    assert result.status == "at-bound"
    assert len(result.guard.at_bound) >= 5
    assert abs(result.parameter("mu").value - 1) > 3 * 0.284
