"""Simulated events at other parameters with the weights of their own generators, for which no ratio is learned.

Asimov data and pseudo-experiments away from the initial values weight all simulated events by the ratio of two total
intensities, which is learned. A test of what was learned must not: here each event keeps its process, and its weight
follows the expected events of that process alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Int

from evercast.errors import InvalidInput, NumericalFailure
from evercast.inference.asimov import Point, Supports
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import EventSet, UnbinnedChannelModel

__all__ = ["Origins", "generated_supports"]

Origins = Mapping[str, Int[np.ndarray, " _events"]]
"""Unbinned channel -> index of the component whose sample each simulated event is from."""


def generated_supports(likelihood: Likelihood, theta: Point, origins: Origins) -> Supports:
    """Return the simulated events of every unbinned channel, weighted by w nu_j(theta) / nu_j(initial).

    Args:
        likelihood: its model.
        theta: (parameters,) at the initial values wherever a density follows a parameter.
        origins: of the events.

    Raises:
        InvalidInput: ``asimov.no-simulation``; ``injection.origins``, nothing says which process the events are of;
            ``injection.density``, a density differs from that of the simulation at `theta`.
        NumericalFailure: ``injection.no-weight``, a process expects events and its simulated ones have no weight;
            ``toys.negative-weights``.
    """
    events: dict[str, EventSet] = {}
    for channel in likelihood.model.channels:
        if isinstance(channel, UnbinnedChannelModel):
            events[channel.name] = _weighted(likelihood, channel, theta, origins.get(channel.name))
    return Supports(events=events, sources=dict.fromkeys(events, "generators"))


def _weighted(
    likelihood: Likelihood, channel: UnbinnedChannelModel, theta: Point, origin: Int[np.ndarray, " events"] | None
) -> EventSet:
    simulation = channel.simulation
    if simulation is None:
        message = f"channel '{channel.name}' holds no simulated events: nothing can be put in"
        raise InvalidInput(message, code="asimov.no-simulation")
    if origin is None or len(origin) != len(simulation.weight):
        message = f"nothing says which processes the simulated events of channel '{channel.name}' are of"
        raise InvalidInput(message, code="injection.origins", hint="the likelihood of a run says it")
    _require_nominal(likelihood, channel, theta)
    before, after = (likelihood.expected_events(point)[channel.name] for point in (likelihood.initial, theta))
    for component, old, new in zip(channel.components, before, after, strict=True):
        if old == 0.0 and new != 0.0:
            message = (
                f"process '{component.process}' expects {new:.4g} events in channel '{channel.name}', and its "
                "simulated ones have no weight at the initial values of the parameters"
            )
            hint = "give the parameters initial values at which the process has events"
            raise NumericalFailure(message, code="injection.no-weight", hint=hint)
    factor = np.divide(after, before, out=np.ones(len(before)), where=np.asarray(before) != 0.0)
    weight = np.asarray(simulation.weight, dtype=float) * factor[np.asarray(origin)]
    if np.any(weight < 0.0):
        message = f"{int(np.sum(weight < 0.0))} simulated events of channel '{channel.name}' have negative weights"
        raise NumericalFailure(message, code="toys.negative-weights", hint="they cannot be drawn")
    return replace(simulation, weight=weight)


def _require_nominal(likelihood: Likelihood, channel: UnbinnedChannelModel, theta: Point) -> None:
    """Refuse parameters that densities follow at other than their initial values."""
    followed = {anchor.parameter for anchor in channel.anchors}
    followed |= {name for morph in channel.polynomials for term in morph.terms for name, _ in term}
    moved = [
        name for name in sorted(followed) if theta[likelihood.index(name)] != likelihood.initial[likelihood.index(name)]
    ]
    if moved:
        message = f"the densities of channel '{channel.name}' follow '{moved[0]}', which is not at its initial value"
        raise InvalidInput(message, code="injection.density", hint="inject at nominal nuisance parameters")
