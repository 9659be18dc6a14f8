"""Models whose coverage is counted: the interference toy, and a mixture with ten nuisance parameters."""

from __future__ import annotations

from dataclasses import replace

import interference as toy
import numpy as np

from evercast.likelihood.model import (
    BinnedChannelModel,
    BinnedSample,
    Component,
    EventSet,
    HistoSys,
    LikelihoodModel,
    NormSys,
    ParameterModel,
    UnbinnedChannelModel,
)
from statistics_inputs import gaussian_mixture

COMPONENTS = (
    ("S", toy.signal, toy.LAMBDA_S, "mu - sqrt(mu)"),
    ("SBI", toy.interfering, toy.LAMBDA_SBI, "sqrt(mu)"),
    ("B", toy.background, toy.LAMBDA_B, "1 - sqrt(mu)"),
    ("NI", toy.other, toy.LAMBDA_NI, "1"),
)


def interference_model(*, n_grid: int = 30001) -> LikelihoodModel:
    """Return T2 with exact ratios; its simulation is the intensity on a fine grid, which events are drawn from."""
    x, step = np.linspace(-9.0, 9.0, n_grid, retstep=True)
    reference = np.mean([density(x) for _, density, _, _ in COMPONENTS], axis=0)
    log_ratio = np.stack([np.log(density(x) / reference) for _, density, _, _ in COMPONENTS], axis=1)
    simulation = EventSet(log_ratio=log_ratio, weight=toy.intensity(x, 1.0) * step)
    channel = UnbinnedChannelModel(
        name="SR",
        components=tuple(Component(process=p, yield_events=y, coefficient=c) for p, _, y, c in COMPONENTS),
        events=simulation,
        simulation=simulation,
    )
    parameter = ParameterModel(name="mu", initial=1.0, bounds=(0.0, 10.0), poi=True)
    return LikelihoodModel(name="T2", parameters=(parameter,), channels=(channel,))


def ten_parameters() -> LikelihoodModel:
    """Return T1 with ten yield systematics (code 4), five of which a control region of four bins measures by shape."""
    names = tuple(f"alpha{k}" for k in range(10))
    counts = np.array([500.0, 300.0, 200.0, 100.0])
    on_signal = tuple(NormSys(parameter=name, up=1.01 + 0.01 * (k % 3), down=0.99 - 0.01 * (k % 3)) for k, name in enumerate(names))  # fmt: skip # noqa: E501
    on_background = tuple(NormSys(parameter=name, up=1.02 + 0.02 * (k % 4), down=0.98 - 0.02 * (k % 4)) for k, name in enumerate(names) if k % 2 == 0)  # fmt: skip # noqa: E501
    tilt = 0.03 * np.array([1.0, -0.5, -0.5, -1.0])
    shapes = tuple(HistoSys(parameter=name, up=counts * (1 + tilt), down=counts * (1 - tilt)) for name in names[1::2])
    base = gaussian_mixture(n_grid=30001)
    signal, background = base.channels[0].components
    region = replace(
        base.channels[0],
        components=(replace(signal, modifiers=on_signal), replace(background, modifiers=on_background)),
    )
    sample = BinnedSample(name="B", nominal=counts, modifiers=(*on_background, *shapes))
    control = BinnedChannelModel(name="CR", samples=(sample,), observed=counts)
    constrained = (ParameterModel(name=name, bounds=(-5.0, 5.0), constraint="normal") for name in names)
    return LikelihoodModel(name="ten", parameters=(base.parameters[0], *constrained), channels=(region, control))
