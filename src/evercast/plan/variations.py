"""Which densities vary: the processes and nuisance parameters for which an ensemble needs networks of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evercast.plan.recipes import Direction, LearnedVariation
from evercast.spec.model import Analysis, UnbinnedChannel
from evercast.spec.systematics import acts_in, changes_density, directions_of, parameter_of, processes_of

__all__ = ["DensityVariation", "by_parameter", "density_variations", "points_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DensityVariation:
    """The density of a process at +1 and -1 of a nuisance parameter.

    Args:
        systematic: the one that says how.
        directions: those for which there are events.
    """

    process: str
    parameter: str
    systematic: str
    directions: tuple[Direction, ...]


def density_variations(analysis: Analysis, ensemble: str) -> tuple[DensityVariation, ...]:
    """Return what varies in an ensemble, by systematic in the order of the document.

    A systematic whose effect is `normalisation`, or which acts in no channel of the ensemble, needs no networks.
    """
    channels = [
        name
        for likelihood in analysis.likelihoods.values()
        for name, channel in likelihood.channels.items()
        if isinstance(channel, UnbinnedChannel) and channel.ensemble == ensemble
    ]
    found: dict[tuple[str, str], DensityVariation] = {}
    for name, systematic in analysis.systematics.items():
        if changes_density(systematic) and acts_in(systematic, channels):
            for process in processes_of(systematic):
                if process in analysis.ensembles[ensemble].processes:
                    parameter = parameter_of(name, systematic)
                    variation = DensityVariation(
                        process=process, parameter=parameter, systematic=name, directions=directions_of(systematic)
                    )
                    found.setdefault((process, parameter), variation)
    return tuple(found.values())


def by_parameter(variations: tuple[DensityVariation, ...]) -> Mapping[str, tuple[DensityVariation, ...]]:
    """Return nuisance parameter -> the variations that follow it, in their order."""
    parameters = dict.fromkeys(item.parameter for item in variations)
    return {name: tuple(item for item in variations if item.parameter == name) for name in parameters}


def points_of(variations: tuple[DensityVariation, ...], process: str) -> tuple[LearnedVariation, ...]:
    """Return the points from which the polynomial of a process is learned."""
    return tuple(
        LearnedVariation(parameter=item.parameter, direction=direction)
        for item in variations
        if item.process == process
        for direction in item.directions
    )
