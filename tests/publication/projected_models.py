"""Likelihoods in one observable x between 0 and 1 whose densities are known, linear and interfering."""

from __future__ import annotations

import numpy as np

from evercast.likelihood.model import (
    AnchorMorph,
    BinFactor,
    BinnedChannelModel,
    BinnedSample,
    Component,
    EventSet,
    LikelihoodModel,
    NormFactor,
    NormSys,
    ParameterModel,
    UnbinnedChannelModel,
)

GRID = 20_000
X = (np.arange(GRID) + 0.5) / GRID


def peak(x: np.ndarray) -> np.ndarray:
    """Density of the signal on 0 to 1: a Gaussian of width 0.1, normalised on the grid."""
    shape = np.exp(-0.5 * ((X - 0.6) / 0.1) ** 2)
    return np.exp(-0.5 * ((x - 0.6) / 0.1) ** 2) / shape.mean()


def draw(density: np.ndarray, total: float, *, seed: int) -> np.ndarray:
    """Events on the grid with this expectation, a Poisson number of them."""
    rng = np.random.default_rng(seed)
    return rng.choice(X, size=rng.poisson(total), p=density / density.sum())


def events(x: np.ndarray, densities: list[np.ndarray], weight: np.ndarray, *, shift: bool = False) -> EventSet:
    tilt = 0.1 * (x - 0.5)
    return EventSet(
        log_ratio=np.log(np.stack(densities, axis=1)),
        weight=weight,
        log_up=np.log1p(tilt)[:, None] if shift else None,
        log_down=np.log1p(-tilt)[:, None] if shift else None,
    )


def linear(*, shift: bool = False, blind: bool = False, seed: int = 3) -> LikelihoodModel:
    """50 signal events times mu on 400 flat ones, whose rate a control bin knows too; `shift` tilts the background."""

    def densities(x: np.ndarray) -> list[np.ndarray]:
        return [peak(x), np.ones_like(x)]

    total = 50.0 * peak(X) + 400.0
    data = draw(total, 450.0, seed=seed)
    rate = NormSys(parameter="rate", up=1.1, down=0.9)
    channel = UnbinnedChannelModel(
        name="SR",
        components=(
            Component(process="S", yield_events=50.0, coefficient="mu"),
            Component(process="B", yield_events=400.0, modifiers=(rate,)),
        ),
        events=events(data, densities(data), np.ones(len(data)), shift=shift),
        simulation=events(X, densities(X), total / GRID, shift=shift),
        reference=events(X, densities(X), np.full(GRID, 1.0 / GRID), shift=shift) if shift else None,
        anchors=(AnchorMorph(process="B", parameter="tilt"),) if shift else (),
        blind=blind,
    )
    factors = BinFactor(parameters=("mc_CR[0]",))
    control = BinnedChannelModel(
        name="CR",
        samples=(
            BinnedSample(name="S", nominal=np.array([2.0]), modifiers=(NormFactor(parameter="mu"), factors)),
            BinnedSample(name="B", nominal=np.array([300.0]), modifiers=(rate, factors)),
        ),
        observed=np.array([310.0]),
    )
    parameters = [
        ParameterModel(name="mu", initial=1.0, bounds=(0.0, 5.0), poi=True),
        ParameterModel(name="rate", bounds=(-5.0, 5.0), constraint="normal"),
        ParameterModel(
            name="mc_CR[0]", initial=1.0, bounds=(1e-10, 10.0), constraint="normal", global_observable=1.0, width=0.02
        ),
    ]
    if shift:
        parameters.append(ParameterModel(name="tilt", bounds=(-5.0, 5.0), constraint="normal"))
    return LikelihoodModel(name="linear", parameters=tuple(parameters), channels=(channel, control))


def interfering(*, seed: int = 5) -> LikelihoodModel:
    """|sqrt(mu) A_S + A_B|^2 with a destructive peak: coefficients mu - sqrt(mu), sqrt(mu) and 1 - sqrt(mu)."""
    amplitude = 0.5 * np.exp(-0.5 * ((X - 0.6) / 0.1) ** 2)
    parts = [amplitude**2, (amplitude - 1.0) ** 2, np.ones_like(X)]
    yields = [1000.0 * float(part.mean()) for part in parts]
    tables = [np.maximum(part / part.mean(), 1e-9) for part in parts]

    def densities(x: np.ndarray) -> list[np.ndarray]:
        places = np.clip((x * GRID).astype(int), 0, GRID - 1)
        return [table[places] for table in tables]

    total = yields[1] * tables[1]
    data = draw(total, float(total.mean()), seed=seed)
    channel = UnbinnedChannelModel(
        name="SR",
        components=(
            Component(process="S", yield_events=yields[0], coefficient="mu - sqrt(mu)"),
            Component(process="SBI", yield_events=yields[1], coefficient="sqrt(mu)"),
            Component(process="B", yield_events=yields[2], coefficient="1 - sqrt(mu)"),
        ),
        events=events(data, densities(data), np.ones(len(data))),
        simulation=events(X, densities(X), total / GRID),
    )
    parameter = ParameterModel(name="mu", initial=1.0, bounds=(0.0, 4.0), poi=True)
    return LikelihoodModel(name="interfering", parameters=(parameter,), channels=(channel,))
