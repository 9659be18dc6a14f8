"""Pseudo-experiments: counts, events and global observables as they would be measured at given parameters.

Bins are Poisson. Events of an unbinned channel are drawn from its simulation, with the weights of the intensity at the
parameters: the number of times an event is drawn is Poisson distributed about its weight, so that every sum over events
has the mean and the variance of the model. That needs weights that are not negative; where simulated ones are, events
of the reference are drawn instead, by lambda / p_ref, which is positive. Every pseudo-experiment has a seed of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float

from evercast.errors import NumericalFailure
from evercast.inference.asimov import Supports, asimov_supports
from evercast.likelihood.drawn_events import drawn
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import (
    BinnedChannelModel,
    ChannelModel,
    EventSet,
    LikelihoodModel,
    ParameterModel,
    UnbinnedChannelModel,
)
from evercast.plan.seeds import derive_seed

__all__ = ["Source", "ToyGenerator", "toy_seeds"]

Point = Float[np.ndarray, " parameters"]
Source = Literal["auto", "simulation", "reference"]

_LEAST_EVENTS = 100.0
_SAFE_RATIO = 10.0
"""Effective events per expected one: the shift that all pseudo-experiments share is then below a third of a standard
deviation, and an interval of 68 % covers at least 65.9 % of them."""


def toy_seeds(*parts: str | int, first: int, count: int) -> tuple[int, ...]:
    """Return the seeds of pseudo-experiments `first` to `first + count - 1`; each follows from its number alone."""
    return tuple(derive_seed("toys", *parts, number) for number in range(first, first + count))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Draw:
    """Events of an unbinned channel and the cumulative weights to draw them with."""

    events: EventSet
    cumulative: Float[np.ndarray, " events"]
    effective_sample_size: float


class ToyGenerator:
    """Throws pseudo-experiments of a likelihood at one point.

    Attributes:
        theta: (parameters,) the true values.
        effective_sample_size: unbinned channel -> (sum w)^2 / sum w^2 of the events drawn from.
        expected: channel -> expected events in all.
        sources: unbinned channel -> ``simulation`` or ``reference``.
        remarks: unbinned channel -> what fewer than ten independent events per expected one do.

    Args:
        likelihood: its model.
        theta: (parameters,) true values of all parameters, nuisance parameters included.
        source: where the events of unbinned channels are drawn from; ``auto``: the simulation, or the reference where
            simulated weights are negative.
        supports: the events of unbinned channels themselves, in the place of `source`.

    Raises:
        InvalidInput: an unbinned channel has no simulated events.
        NumericalFailure: ``toys.negative-weights``; ``toys.effective-sample-size``: fewer independent events than a
            pseudo-experiment needs; ``asimov.negative``: an expectation is negative.
    """

    def __init__(
        self, likelihood: Likelihood, theta: Point, *, source: Source = "auto", supports: Supports | None = None
    ) -> None:
        self.likelihood = likelihood
        self.theta = theta.copy()
        self._rates = _rates(likelihood, theta)
        if supports is None:
            supports = asimov_supports(likelihood, theta, source=source, signed=False)
        self._draws = {name: _draw(name, events) for name, events in supports.events.items()}
        self.sources: dict[str, str] = dict(supports.sources)
        self.effective_sample_size = {name: draw.effective_sample_size for name, draw in self._draws.items()}
        self.expected = {name: float(np.sum(rates)) for name, rates in self._rates.items()}
        self.expected |= {name: float(draw.cumulative[-1]) for name, draw in self._draws.items()}
        remarks = {name: _shared_shift(name, draw) for name, draw in self._draws.items()}
        self.remarks = {name: remark for name, remark in remarks.items() if remark is not None}

    def throw(self, seed: int) -> LikelihoodModel:
        """Return the model with one pseudo-experiment as its data."""
        rng = np.random.Generator(np.random.Philox(seed))
        model = self.likelihood.model
        parameters = tuple(
            _thrown(entry, float(value), rng) for entry, value in zip(model.parameters, self.theta, strict=True)
        )
        channels = tuple(self._thrown_channel(channel, rng) for channel in model.channels)
        return replace(model, parameters=parameters, channels=channels, asimov="toy")

    def _thrown_channel(self, channel: ChannelModel, rng: np.random.Generator) -> ChannelModel:
        if isinstance(channel, BinnedChannelModel):
            return replace(channel, observed=rng.poisson(self._rates[channel.name]).astype(float))
        draw = self._draws[channel.name]
        total = float(draw.cumulative[-1])
        places = np.sort(rng.random(rng.poisson(total))) * total
        return replace(channel, events=drawn(draw.events, np.searchsorted(draw.cumulative, places, side="right")))


def _rates(likelihood: Likelihood, theta: Point) -> dict[str, Float[np.ndarray, " bins"]]:
    expected = likelihood.expected_events(theta)
    rates: dict[str, Float[np.ndarray, " bins"]] = {}
    for channel in likelihood.model.channels:
        if isinstance(channel, UnbinnedChannelModel):
            continue
        found = expected[channel.name]
        if not np.all(found >= 0):
            position = int(np.flatnonzero(~(found >= 0))[0])
            message = f"bin {position} of channel '{channel.name}' expects {found[position]:.6g} events"
            raise NumericalFailure(message, code="asimov.negative")
        rates[channel.name] = found
    return rates


def _draw(name: str, events: EventSet) -> _Draw:
    weight = np.asarray(events.weight, dtype=float)
    total = float(weight.sum())
    size = total**2 / float(np.sum(weight**2)) if total > 0 else 0.0
    if total > 0 and size < max(_LEAST_EVENTS, total):
        message = (
            f"channel '{name}': {len(weight)} simulated events have an effective sample size of {size:.4g} where "
            f"{total:.4g} events are expected; at least {max(_LEAST_EVENTS, total):.4g} are needed"
        )
        hint = "simulate more events, or choose parameters nearer to those of the simulation"
        raise NumericalFailure(message, code="toys.effective-sample-size", hint=hint)
    return _Draw(events=events, cumulative=np.cumsum(weight), effective_sample_size=size)


def _shared_shift(name: str, draw: _Draw) -> str | None:
    """Return what few simulated events do to all pseudo-experiments at once; None where there are enough."""
    total = float(draw.cumulative[-1])
    if total == 0 or draw.effective_sample_size >= _SAFE_RATIO * total:
        return None
    shift = (total / draw.effective_sample_size) ** 0.5
    return (
        f"channel '{name}': pseudo-experiments of {total:.4g} events are drawn from simulated events worth "
        f"{draw.effective_sample_size:.4g}: their best fits share a shift of about {shift:.2g} standard deviations; "
        f"{_SAFE_RATIO * total:.4g} keep it below a third"
    )


def _thrown(parameter: ParameterModel, value: float, rng: np.random.Generator) -> ParameterModel:
    """Return the parameter with its global observable thrown about its true value."""
    if parameter.constraint == "none":
        return parameter
    if parameter.constraint == "poisson":
        return parameter.measured(float(rng.poisson(parameter.factor * value)))
    return parameter.measured(float(rng.normal(value, parameter.width)))
