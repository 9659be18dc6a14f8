"""Fits of a likelihood with other log ratios in its unbinned channels, all else as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from jaxtyping import Float, Float64

from evercast.errors import IntegrityError
from evercast.inference.fit import FitResult, fit
from evercast.inference.training_statistics import propagated_sigma
from evercast.inference.weighted_members import WeightedMembers
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import EventSet, LikelihoodModel, UnbinnedChannelModel
from evercast.stages.training_statistics.ensembles import EnsembleRatios, SampleRatios

__all__ = ["DataKind", "Refits"]

DataKind = Literal["observed", "simulation"]

_MODES: Final = "training_statistics_"
"""How the names of nuisance parameters begin that stand for training statistics; they are held while it is measured."""

_STEP: Final = 0.02
"""Of a weight, for central differences: log ratios are a few units, so the error is below 1e-3 of the derivative."""

_ROUNDING: Final = 1e-4
"""Largest difference of stored log ratios and those they were taken from: both are float32."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Refits:
    """A likelihood with one kind of data.

    Args:
        model: with these data; for ``simulation`` the Asimov data made of the simulated events.
        data: which events of the channels are the data.
        ensembles: channel -> the ensemble of its log ratios.
        data_sample: name of the sample of observed events.
        poi: the parameter of interest.
        start: (parameters,) best fit with the nominal ratios.
    """

    model: LikelihoodModel
    data: DataKind
    ensembles: Mapping[str, EnsembleRatios]
    data_sample: str
    poi: str
    start: Float64[np.ndarray, " parameters"]

    @classmethod
    def of(
        cls,
        model: LikelihoodModel,
        data: DataKind,
        *,
        ensembles: Mapping[str, EnsembleRatios],
        data_sample: str,
        poi: str,
    ) -> Refits:
        """Return the likelihood ready for refits, after a check that the nominal ratios are those that it holds.

        Raises:
            IntegrityError: ``training-statistics.events``.
            NumericalFailure: the nominal fit fails.
        """
        held = tuple(replace(one, fixed=True) if one.name.startswith(_MODES) else one for one in model.parameters)
        model = replace(model, parameters=held)
        initial = Likelihood(model).initial
        made = cls(model=model, data=data, ensembles=ensembles, data_sample=data_sample, poi=poi, start=initial)
        nominal = {name: one.nominal for name, one in ensembles.items()}
        _check_same(model, made.changed(nominal))
        return replace(made, start=fit(Likelihood(model)).theta)

    def changed(self, ratios: Mapping[str, SampleRatios]) -> LikelihoodModel:
        """Return the model with other log ratios: channel -> sample -> (events, processes)."""
        channels = tuple(
            self._channel(channel, ratios[channel.name]) if isinstance(channel, UnbinnedChannelModel) else channel
            for channel in self.model.channels
        )
        return replace(self.model, channels=channels)

    def _channel(self, channel: UnbinnedChannelModel, ratios: SampleRatios) -> UnbinnedChannelModel:
        ensemble = self.ensembles[channel.name]
        simulated = np.concatenate([ratios[sample] for sample in ensemble.process_samples.values()])
        events = ratios[self.data_sample] if self.data == "observed" else simulated
        reference = np.concatenate([ratios[sample] for sample in ensemble.spec.reference])
        return replace(
            channel,
            events=_with(channel.events, events),
            simulation=None if channel.simulation is None else _with(channel.simulation, simulated),
            reference=None if channel.reference is None else _with(channel.reference, reference),
        )

    def fit(self, ratios: Mapping[str, SampleRatios]) -> FitResult:
        """Return the fit with these ratios, started at the nominal one.

        Raises:
            NumericalFailure: no fit passes the guard.
        """
        return fit(Likelihood(self.changed(ratios)), start=self.start)

    def poi_value(self, ratios: Mapping[str, SampleRatios]) -> float:
        """Return the fitted parameter of interest with these ratios; errors as `fit`."""
        return self.fit(ratios).parameter(self.poi).value

    def weighted_members_sigma(self, weighted: Mapping[str, WeightedMembers]) -> tuple[FitResult, float]:
        """Return the fit with weighted members, and what the covariance of their weights adds to the parameter.

        Args:
            weighted: channel -> its members; channels of one ensemble share one.
        """
        ratios = {name: self.ensembles[name].of_weights(one) for name, one in weighted.items()}
        best = self.fit(ratios)
        groups = {id(one): one for one in weighted.values()}
        variance = 0.0
        for key, one in groups.items():
            mixed = np.stack(
                [
                    self._moved(best, ratios, {name for name, own in weighted.items() if id(own) == key}, one, column)
                    for column in range(one.weights.size)
                ],
                axis=1,
            )
            sigma = propagated_sigma(mixed, best.covariance, one.covariance)
            variance += float(sigma[best.names.index(self.poi)]) ** 2
        return best, float(np.sqrt(variance))

    def _moved(
        self,
        best: FitResult,
        ratios: Mapping[str, SampleRatios],
        channels: set[str],
        weighted: WeightedMembers,
        column: int,
    ) -> Float64[np.ndarray, " parameters"]:
        """Return d^2 (-ln L) / d theta d w for one weight of the members of some channels."""
        slopes = []
        for sign in (1.0, -1.0):
            weights = weighted.weights.copy()
            weights.ravel()[column] += sign * _STEP
            other = replace(weighted, weights=weights)
            moved = {
                name: self.ensembles[name].of_weights(other) if name in channels else one
                for name, one in ratios.items()
            }
            slopes.append(Likelihood(self.changed(moved)).gradient(best.theta) / 2.0)
        return np.asarray((slopes[0] - slopes[1]) / (2.0 * _STEP))


def _with(events: EventSet, log_ratio: Float[np.ndarray, "events processes"]) -> EventSet:
    if log_ratio.shape != events.log_ratio.shape:
        raise _other_events(f"log ratios of shape {events.log_ratio.shape}; those of the samples are {log_ratio.shape}")
    return replace(events, log_ratio=log_ratio)


def _check_same(model: LikelihoodModel, nominal: LikelihoodModel) -> None:
    """Refuse ensembles whose nominal log ratios are not those of the likelihood."""
    for one, two in zip(model.channels, nominal.channels, strict=True):
        if not isinstance(one, UnbinnedChannelModel) or not isinstance(two, UnbinnedChannelModel):
            continue
        pairs = ((one.events, two.events), (one.simulation, two.simulation), (one.reference, two.reference))
        for stored, made in pairs:
            if stored is None or made is None:
                continue
            difference = np.abs(np.asarray(stored.log_ratio, dtype=float) - made.log_ratio)
            if difference.size and float(difference.max()) > _ROUNDING * (1.0 + float(np.abs(made.log_ratio).max())):
                raise _other_events(f"channel {one.name!r}: log ratios that differ by up to {difference.max():.3g}")


def _other_events(found: str) -> IntegrityError:
    return IntegrityError(
        f"the likelihood holds other events than the evaluated samples: {found}",
        code="training-statistics.events",
        hint="evaluate and serialize again",
    )
