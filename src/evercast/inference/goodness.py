"""Goodness of fit: the saturated model for bins and constraints, an energy test for unbinned channels.

Saturated: -2 ln of the likelihood ratio to a model that predicts every count and every global observable exactly (Baker
and Cousins, NIM 221 (1984) 437); chi2 for large counts. Energy test (Aslan and Zech, NIM A 537 (2005) 626): the mean
distance between data and fitted model, less the mean distances within each, in the log ratios of an event, which hold
all that the likelihood knows of it. Both get p-values from pseudo-experiments thrown at the best fit and fitted again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float
from scipy.special import chdtrc, xlogy

from evercast.errors import InvalidInput, NumericalFailure
from evercast.inference.energy import EnergyTest, split_support
from evercast.inference.fit import FitResult, fit
from evercast.inference.fit_many import fit_many
from evercast.inference.regime import low_counts
from evercast.inference.toys import Source, ToyGenerator, toy_seeds
from evercast.likelihood.batch import LikelihoodBatch
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import BinnedChannelModel, LikelihoodModel, UnbinnedChannelModel

__all__ = ["ChannelFit", "GoodnessOfFit", "GoodnessToys", "goodness_of_fit", "goodness_toys", "saturated", "with_toys"]

Point = Float[np.ndarray, " parameters"]

_BLOCK = 256
_CHOICE = 0
"""Seed of the halves of the simulation and of the events that the energy test takes: one likelihood, one statistic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFit:
    """How one channel fits.

    Args:
        kind: ``saturated`` or ``energy``.
        statistic: larger is worse.
        p: fraction of pseudo-experiments that fit worse; None without pseudo-experiments.
        size: bins, or events.
    """

    kind: str
    statistic: float
    p: float | None
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodnessOfFit:
    """Goodness of fit of a likelihood.

    Args:
        statistic: saturated, of all bins and constraints; None where no channel is binned.
        degrees_of_freedom: bins less unconstrained free parameters.
        p: probability of a worse fit from chi2; None where that has no meaning (no bins, or no degree of freedom).
        p_toys: the same from pseudo-experiments; None without.
        channels: each by itself.
        status: ``ok``, or ``low-counts``: chi2 does not hold, use pseudo-experiments.
        remarks: what a reader must know.
    """

    statistic: float | None
    degrees_of_freedom: int
    p: float | None
    p_toys: float | None
    channels: Mapping[str, ChannelFit]
    status: str
    n_toys: int = 0
    n_failed: int = 0
    seed: int | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GoodnessToys:
    """Test statistics of pseudo-experiments at the best fit; NaN where a fit failed.

    Args:
        statistic: (toys,) saturated, of all bins and constraints.
        channels: channel -> (toys,).
    """

    statistic: Float[np.ndarray, " toys"]
    channels: Mapping[str, Float[np.ndarray, " toys"]] = field(default_factory=dict)


def saturated(likelihood: Likelihood, model: LikelihoodModel, theta: Point) -> tuple[float, dict[str, float]]:
    """Return the saturated statistic of bins and constraints, and that of each binned channel.

    The constraint of a fixed parameter says nothing of the fit and is left out: a pseudo-experiment, in which its
    global observable is thrown, would have one degree of freedom more than the data.

    Args:
        likelihood: gives the expected events.
        model: gives counts and global observables.
        theta: (parameters,).
    """
    expected = likelihood.expected_events(theta)
    channels = {
        channel.name: _deviance(channel.observed, expected[channel.name])
        for channel in model.channels
        if isinstance(channel, BinnedChannelModel)
    }
    total = sum(channels.values(), start=0.0)
    for parameter, value in zip(model.parameters, theta, strict=True):
        measured = parameter.global_observable
        if parameter.fixed:
            continue
        if parameter.constraint == "normal":
            total += float((value - measured) / parameter.width) ** 2
        elif parameter.constraint == "poisson":
            total += _deviance(np.array([measured]), np.array([parameter.factor * value]))
    return total, channels


def _deviance(observed: Float[np.ndarray, " bins"], rate: Float[np.ndarray, " bins"]) -> float:
    ratio = np.divide(observed, rate, out=np.ones_like(rate), where=observed > 0)
    return max(float(2.0 * np.sum(rate - observed + xlogy(observed, ratio))), 0.0)


def goodness_of_fit(
    likelihood: Likelihood,
    *,
    best: FitResult | None = None,
    n_toys: int = 0,
    seed: int = 0,
    source: Source = "auto",
) -> GoodnessOfFit:
    """Return how well the fitted model describes the data.

    Args:
        likelihood: with the data.
        best: the free fit; None makes it.
        n_toys: pseudo-experiments; 0 gives chi2 probabilities of bins only.
        seed: of pseudo-experiments; the energy test takes the same events whatever it is.
        source: what events of unbinned channels are drawn from.

    Raises:
        NumericalFailure: the fit failed, or more than 2 % of the pseudo-experiments.
    """
    found = best if best is not None else fit(likelihood)
    model = likelihood.model
    binned = [channel for channel in model.channels if isinstance(channel, BinnedChannelModel)]
    total, parts = saturated(likelihood, model, found.theta)
    tests = _energy_tests(likelihood)
    channels = {
        channel.name: ChannelFit(kind="saturated", statistic=parts[channel.name], p=None, size=len(channel.observed))
        for channel in binned
    }
    failures: list[str] = []
    for name, test in tests.items():
        events = _channel(model, name).events
        try:
            statistic = test.statistic(likelihood, events, found.theta)
        except NumericalFailure as failure:
            failures.append(f"goodness of fit: {failure.message}")
            continue
        channels[name] = ChannelFit(kind="energy", statistic=statistic, p=None, size=len(events.weight))
    remarks = low_counts(likelihood, found.theta)
    n_free = sum(
        not entry.fixed and parameter.constraint == "none"
        for entry, parameter in zip(found.parameters, model.parameters, strict=True)
    )
    freedom = sum(len(channel.observed) for channel in binned) - n_free
    chi2 = binned and freedom > 0 and len(binned) == len(model.channels)
    result = GoodnessOfFit(
        statistic=total if binned else None, degrees_of_freedom=max(freedom, 0) if binned else 0,
        p=float(chdtrc(freedom, total)) if chi2 else None, p_toys=None, channels=channels,
        status="low-counts" if remarks else "ok", remarks=(*remarks, *failures),
    )  # fmt: skip
    if not n_toys:
        return result
    seeds = toy_seeds(seed, "goodness", first=0, count=n_toys)
    return with_toys(result, goodness_toys(likelihood, found, seeds=seeds, source=source), seed=seed)


def _channel(model: LikelihoodModel, name: str) -> UnbinnedChannelModel:
    return next(c for c in model.channels if isinstance(c, UnbinnedChannelModel) and c.name == name)


def _energy_tests(likelihood: Likelihood) -> dict[str, EnergyTest]:
    """Return a test per unbinned channel that holds simulated events."""
    return {
        channel.name: EnergyTest(channel, split_support(channel, seed=_CHOICE)[1], seed=_CHOICE)
        for channel in likelihood.model.channels
        if isinstance(channel, UnbinnedChannelModel) and channel.simulation is not None
    }


def goodness_toys(
    likelihood: Likelihood, best: FitResult, *, seeds: Sequence[int], source: Source = "auto"
) -> GoodnessToys:
    """Return the test statistics of pseudo-experiments thrown at the best fit, each fitted again.

    Args:
        likelihood: its model.
        best: the fit to the data.
        seeds: one per pseudo-experiment.
        source: what events of unbinned channels are drawn from.
    """
    tests = _energy_tests(likelihood)
    thrown_from = Likelihood(_first_halves(likelihood.model)) if tests else likelihood
    generator = ToyGenerator(thrown_from, best.theta, source=source)
    statistic = np.full(len(seeds), np.nan)
    channels: dict[str, Float[np.ndarray, " toys"]] = {
        channel.name: np.full(len(seeds), np.nan)
        for channel in likelihood.model.channels
        if isinstance(channel, BinnedChannelModel) or channel.name in tests
    }
    for first in range(0, len(seeds), _BLOCK):
        models = [generator.throw(seed) for seed in seeds[first : first + _BLOCK]]
        fits = fit_many(LikelihoodBatch(likelihood, models), start=np.tile(best.theta, (len(models), 1)))
        for row, model in enumerate(models):
            if fits.failed[row]:
                continue
            try:
                energies = {
                    name: test.statistic(likelihood, _channel(model, name).events, fits.theta[row])
                    for name, test in tests.items()
                }
            except NumericalFailure:  # counted among those that failed
                continue
            statistic[first + row], parts = saturated(likelihood, model, fits.theta[row])
            for name, value in {**parts, **energies}.items():
                channels[name][first + row] = value
    return GoodnessToys(statistic=statistic, channels=channels)


def _first_halves(model: LikelihoodModel) -> LikelihoodModel:
    """Return the model with the half of its simulation that the energy test does not use."""
    channels = tuple(
        replace(channel, simulation=split_support(channel, seed=_CHOICE)[0])
        if isinstance(channel, UnbinnedChannelModel) and channel.simulation is not None
        else channel
        for channel in model.channels
    )
    return replace(model, channels=channels)


def with_toys(result: GoodnessOfFit, toys: GoodnessToys, *, seed: int) -> GoodnessOfFit:
    """Return the result with p-values from pseudo-experiments.

    Raises:
        NumericalFailure: ``toys.failed``.
        InvalidInput: there are none.
    """
    n_toys = len(toys.statistic)
    if not n_toys:
        raise InvalidInput("no pseudo-experiment was thrown", code="toys.none")
    failed = int(np.sum(~np.isfinite(toys.statistic)))
    if failed > 0.02 * n_toys:
        raise NumericalFailure(f"{failed} of {n_toys} pseudo-experiments could not be fitted", code="toys.failed")

    def worse(values: Float[np.ndarray, " toys"], limit: float) -> float:
        good = values[np.isfinite(values)]
        return float((np.sum(good >= limit - 1e-9 * math.fabs(limit)) + 1) / (len(good) + 1))

    channels = {
        name: replace(entry, p=worse(toys.channels[name], entry.statistic)) for name, entry in result.channels.items()
    }
    overall = None if result.statistic is None else worse(toys.statistic, result.statistic)
    return replace(result, channels=channels, p_toys=overall, n_toys=n_toys, n_failed=failed, seed=seed)
