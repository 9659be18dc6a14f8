"""What the analysis expects without a signal in each bin, and what it saw: beside it a signal is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from evercast.errors import NumericalFailure
from evercast.inference.fit import FitResult, fit
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.histfactory import apply_patch, read_workspace
from evercast.likelihood.model import BinnedChannelModel, BinnedSample, NormFactor
from evercast.reinterpretation.requests.frozen import FrozenRequest

__all__ = ["ChannelContent", "channel_contents"]

Bins = Float[np.ndarray, " bins"]
_STEP = 1e-3
"""Of a parameter, in its uncertainties: small enough that rates are linear, large enough for float64."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChannelContent:
    """A channel without signal.

    Args:
        name: of the channel.
        samples: background -> expected events, (bins,) each.
        uncertainty: (bins,) of their sum, events; None where nothing was fitted.
        observed: (bins,) counts; None where the data were left out.
    """

    name: str
    samples: Mapping[str, Bins]
    uncertainty: Bins | None
    observed: Bins | None

    @property
    def expected(self) -> Bins:
        """Events of all backgrounds together, (bins,)."""
        return np.asarray(np.sum(list(self.samples.values()), axis=0))


def channel_contents(frozen: FrozenRequest) -> tuple[ChannelContent, ...]:
    """Return the backgrounds of the channels in which a signal of the request expects events.

    Where the data are looked at, they are those of the fit at signal strength 0, whose covariance is carried to the
    bins linearly. Otherwise, and where that fit finds no minimum, they are as the workspace states them.

    Raises:
        IntegrityError: the copies of the request were changed.
        InvalidInput: the workspace is not valid.
    """
    point = next((entry for entry in frozen.points if not entry.is_empty), None)
    if point is None:
        return ()
    regions = frozen.analysis.likelihoods[frozen.likelihood]
    workspace = apply_patch(frozen.background(), frozen.patch(point))
    likelihood = Likelihood(read_workspace(workspace, measurement=regions.measurement))
    result = _fitted(likelihood, regions.poi) if frozen.wanted.observed else None
    theta = likelihood.initial if result is None else result.theta
    expected = _apart(likelihood).expected_events(theta)
    uncertainty = {} if result is None else _uncertainty(likelihood, result)
    shown = {name for entry in frozen.points for name, bins in entry.events.items() if any(bins)}
    return tuple(
        ChannelContent(
            name=channel.name,
            samples={
                sample.name: expected[_of_sample(number, place)]
                for place, sample in enumerate(channel.samples)
                if not _scales(sample, regions.poi)
            },
            uncertainty=uncertainty.get(channel.name),
            observed=np.asarray(channel.observed, dtype=float) if frozen.wanted.observed else None,
        )
        for number, channel in enumerate(likelihood.model.channels)
        if isinstance(channel, BinnedChannelModel) and channel.name in shown
    )


def _fitted(likelihood: Likelihood, poi: str) -> FitResult | None:
    try:
        return fit(likelihood, fixed={poi: 0.0})
    except NumericalFailure:
        return None


def _scales(sample: BinnedSample, poi: str) -> bool:
    return any(isinstance(entry, NormFactor) and entry.parameter == poi for entry in sample.modifiers)


def _of_sample(channel: int, sample: int) -> str:
    return f"{channel}.{sample}"


def _apart(likelihood: Likelihood) -> Likelihood:
    """Return the likelihood of a model with a channel for every sample: each has expected events of its own."""
    model = likelihood.model
    channels = tuple(
        replace(channel, name=_of_sample(number, place), samples=(sample,))
        for number, channel in enumerate(model.channels)
        if isinstance(channel, BinnedChannelModel)
        for place, sample in enumerate(channel.samples)
    )
    return Likelihood.checked(replace(model, channels=channels))


def _uncertainty(likelihood: Likelihood, result: FitResult) -> Mapping[str, Bins]:
    """Return channel -> uncertainty of its expected events, (bins,): the covariance of the fit in linear order."""
    sigma = np.sqrt(np.diag(result.covariance))
    slopes: dict[str, list[Bins]] = {channel.name: [] for channel in likelihood.model.channels}
    moved = np.flatnonzero(sigma > 0)
    for index in moved:
        step = np.zeros_like(sigma)
        step[index] = _STEP * sigma[index]
        up, down = (likelihood.expected_events(result.theta + sign * step) for sign in (1, -1))
        for name, rows in slopes.items():
            rows.append((up[name] - down[name]) / (2 * step[index]))
    covariance = result.covariance[np.ix_(moved, moved)]
    return {
        name: np.sqrt(np.einsum("ib,ij,jb->b", np.array(rows), covariance, np.array(rows)))
        for name, rows in slopes.items()
        if rows
    }
