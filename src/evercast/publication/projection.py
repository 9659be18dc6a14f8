"""The binned projection of a neural likelihood: histograms of the learned optimal observable, which pyhf can read.

The observable of an event is ln lambda(x | high) / lambda(x | low), with the intensities of the published likelihood at
two values of the parameter of interest on either side of the reference point: the score there, up to a factor. Where
the intensity is linear in the parameter it orders events as the ratio of signal to background does, at any value;
where it is not, it is the best single observable near the reference point only.

Templates are made of the published simulated events, weighted to each component by the learned ratios, so that the
projection is one of the published likelihood and not another analysis. Bins are chosen on these events alone. What the
projection has that the likelihood itself has not: the statistical uncertainty of the templates in each bin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from evercast.errors import InvalidInput, NumericalFailure
from evercast.inference.binned_comparison import Discriminant, histogram_channel, scores
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import (
    BinFactor,
    BinnedChannelModel,
    BinnedSample,
    ChannelModel,
    HistoSys,
    LikelihoodModel,
    ParameterModel,
    UnbinnedChannelModel,
)
from evercast.publication.projection_bins import Binning, choose_bins, effective_events

__all__ = ["Projection", "project", "project_into"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Projection:
    """A likelihood whose unbinned channels became histograms.

    Args:
        model: binned channels only; coefficients are still formulas.
        discriminant: the two hypotheses whose log likelihood ratio is the observable.
        bins: channel that was unbinned -> its bins.
        dropped: what the histograms cannot follow, in words.
    """

    model: LikelihoodModel
    discriminant: Discriminant
    bins: Mapping[str, Binning]
    dropped: tuple[str, ...]


def project(model: LikelihoodModel, *, uncertainty: float) -> Projection:
    """Return the binned projection of a likelihood.

    Args:
        model: with simulated events in each unbinned channel.
        uncertainty: expected standard deviation of the parameter of interest: the hypotheses lie that far from its
            initial value on both sides, or at a bound.

    Raises:
        InvalidInput: ``projection.no-channel``, nothing is unbinned; ``projection.poi``, there is no parameter of
            interest; ``projection.blind``; ``diagnostics.no-simulation``.
        NumericalFailure: ``projection.empty``, ``projection.negative-bin``.
    """
    discriminant = _discriminant(model, uncertainty)
    blind = [channel.name for channel in model.channels if channel.blind]
    if blind:
        raise InvalidInput(
            f"the channels {', '.join(blind)} are blind: a workspace would show their counts", code="projection.blind"
        )
    likelihood = Likelihood(model)
    bins: dict[str, Binning] = {}
    for channel in model.channels:
        if isinstance(channel, UnbinnedChannelModel):
            score, weight = _simulated(likelihood, channel, discriminant)
            bins[channel.name] = choose_bins(score, weight, width=discriminant.high - discriminant.low)
    projected = _projected(likelihood, discriminant, bins)
    return Projection(model=projected, discriminant=discriminant, bins=bins, dropped=tuple(_dropped(model)))


def project_into(
    model: LikelihoodModel, discriminant: Discriminant, edges: Mapping[str, Float64[np.ndarray, " edges"]]
) -> LikelihoodModel:
    """Return the binned projection of a likelihood into bins that are known: what a published one must be.

    Args:
        model: with simulated events in each unbinned channel.
        discriminant: the two hypotheses.
        edges: unbinned channel -> inner edges of its bins, increasing.

    Raises:
        InvalidInput: ``diagnostics.no-simulation``.
        NumericalFailure: ``projection.empty``, a bin has no simulated events; ``projection.negative-bin``.
    """
    likelihood = Likelihood(model)
    bins: dict[str, Binning] = {}
    for channel in model.channels:
        if isinstance(channel, UnbinnedChannelModel):
            score, weight = _simulated(likelihood, channel, discriminant)
            effective = effective_events(score, weight, edges[channel.name])
            if not np.all(effective > 0):
                raise NumericalFailure("a bin has no simulated events", code="projection.empty", where=channel.name)
            bins[channel.name] = Binning(
                edges=edges[channel.name], information=np.nan, unbinned=np.nan, effective=effective
            )
    return _projected(likelihood, discriminant, bins)


def _projected(likelihood: Likelihood, discriminant: Discriminant, bins: Mapping[str, Binning]) -> LikelihoodModel:
    """Return the likelihood with histograms in place of unbinned channels, and factors of their statistics."""
    model = likelihood.model
    channels: list[ChannelModel] = []
    parameters = list(model.parameters)
    for channel in model.channels:
        if isinstance(channel, BinnedChannelModel):
            channels.append(channel)
            continue
        made, factors = _histogram(likelihood, channel, discriminant, bins[channel.name])
        channels.append(made)
        parameters += factors
    return replace(model, channels=tuple(channels), parameters=tuple(parameters))


def _simulated(
    likelihood: Likelihood, channel: UnbinnedChannelModel, discriminant: Discriminant
) -> tuple[Float64[np.ndarray, " events"], Float64[np.ndarray, " events"]]:
    """Return observable and weight of the simulated events of a channel."""
    simulation = channel.simulation
    if simulation is None:
        raise InvalidInput(f"channel '{channel.name}' holds no simulated events", code="diagnostics.no-simulation")
    weight = np.asarray(simulation.weight, dtype=np.float64)
    return scores(likelihood, channel, simulation, discriminant), weight


def _discriminant(model: LikelihoodModel, uncertainty: float) -> Discriminant:
    if not any(isinstance(channel, UnbinnedChannelModel) for channel in model.channels):
        raise InvalidInput("the likelihood has no unbinned channel to project", code="projection.no-channel")
    poi = model.poi
    if poi is None:
        raise InvalidInput("the likelihood has no parameter of interest to project on", code="projection.poi")
    low, high = max(poi.initial - uncertainty, poi.bounds[0]), min(poi.initial + uncertainty, poi.bounds[1])
    if not low < high:
        raise InvalidInput(
            f"no two values of '{poi.name}' lie within {uncertainty:.4g} of {poi.initial:.4g}", code="projection.poi"
        )
    return Discriminant(poi=poi.name, low=low, high=high)


def _histogram(
    likelihood: Likelihood, channel: UnbinnedChannelModel, discriminant: Discriminant, binning: Binning
) -> tuple[BinnedChannelModel, list[ParameterModel]]:
    """Return the channel in its bins, and one factor per bin for the statistics of its templates."""
    made = histogram_channel(likelihood, channel, discriminant, edges=binning.edges)
    _require_not_negative(made)
    name = f"mcstat_{channel.name}"
    factors = [
        ParameterModel(
            name=f"{name}[{number}]", initial=1.0, bounds=(1e-10, 10.0), constraint="normal", global_observable=1.0,
            width=float(1.0 / np.sqrt(effective)),
        )
        for number, effective in enumerate(binning.effective)
    ]  # fmt: skip
    together = BinFactor(parameters=tuple(factor.name for factor in factors))
    samples = tuple(_with(sample, together) for sample in made.samples)
    return replace(made, samples=samples), factors


def _with(sample: BinnedSample, factor: BinFactor) -> BinnedSample:
    return BinnedSample(
        name=sample.name, nominal=sample.nominal, modifiers=(*sample.modifiers, factor), coefficient=sample.coefficient
    )


def _require_not_negative(channel: BinnedChannelModel) -> None:
    for sample in channel.samples:
        shown: dict[str, Float64[np.ndarray, " bins"]] = {"nominal": sample.nominal}
        for modifier in sample.modifiers:
            if isinstance(modifier, HistoSys):
                shown |= {f"{modifier.parameter} up": modifier.up, f"{modifier.parameter} down": modifier.down}
        for kind, values in shown.items():
            bad = np.flatnonzero(~(values >= 0))
            if bad.size:
                found = f"is {values[bad[0]]:.4g} in bin {bad[0]}"
                raise NumericalFailure(
                    f"the template of '{sample.name}' ({kind}) {found}; expected 0 or more",
                    code="projection.negative-bin",
                    where=f"channel {channel.name}",
                )


def _dropped(model: LikelihoodModel) -> list[str]:
    """Return what templates at +-1 of one parameter at a time cannot hold."""
    found = []
    for channel in model.channels:
        if not isinstance(channel, UnbinnedChannelModel):
            continue
        pairs = {
            " and ".join(sorted({name for name, _ in term}))
            for polynomial in channel.polynomials
            for term in polynomial.terms
            if len({name for name, _ in term}) > 1
        }
        found += [
            f"channel {channel.name}: the effect on densities that {pair} have together" for pair in sorted(pairs)
        ]
        if channel.anchors or channel.polynomials:
            found.append(
                f"channel {channel.name}: effects on densities between and beyond +-1 follow HistFactory code 4p"
            )
    return found
