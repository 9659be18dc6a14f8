"""Expected events of unbinned components with derivatives: coefficient x yield x factors x normalisation variations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from evercast.likelihood.binned_factors import Programs, Systems, build_programs, build_systems
from evercast.likelihood.model import Component

__all__ = ["ComponentScales", "ScaleValues", "build_scales"]


class ScaleValues(NamedTuple):
    """Expected events of the components with derivatives in the parameters.

    Args:
        value: (points, components).
        gradient: (points, components, own).
        hessian: (points, components, own, own).
    """

    value: Float[np.ndarray, "points components"]
    gradient: Float[np.ndarray, "points components own"]
    hessian: Float[np.ndarray, "points components own own"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ComponentScales:
    """How the expected events of components follow the parameters.

    Args:
        yields: (components,) expected events at coefficient 1.
        programs: products of coefficients and normfactors.
        systems: normalisation variations.
    """

    yields: Float[np.ndarray, " components"]
    programs: Programs
    systems: Systems

    def value(self, own: Float[np.ndarray, "points own"]) -> Float[np.ndarray, "points components"]:
        """Return the expected events; NaN where a coefficient is undefined."""
        theta = np.concatenate([own, np.ones((len(own), 1))], axis=1)
        with np.errstate(all="ignore"):
            program = self.programs.evaluate(theta).value[:, self.programs.of_row]
            return np.asarray(self.yields * program * self.systems.evaluate(theta).factor)

    def evaluate(self, own: Float[np.ndarray, "points own"]) -> ScaleValues:
        """Return the expected events with derivatives; NaN where a coefficient is undefined."""
        points, n_own = own.shape
        theta = np.concatenate([own, np.ones((len(own), 1))], axis=1)
        with np.errstate(all="ignore"):
            used, systems = self.programs.evaluate(theta), self.systems.evaluate(theta)
            slope = np.zeros((points, len(self.yields), n_own))
            bend = np.zeros_like(slope)
            row, column = self.systems.row, self.systems.column
            slope[:, row, column] = systems.first
            bend[:, row, column] = systems.second - systems.first**2
            of_row, columns = self.programs.of_row, self.programs.columns
            first = np.zeros_like(slope)
            first[:, :, columns] = used.gradient[:, of_row]
            program = used.value[:, of_row]
            mixed = first[:, :, :, None] * slope[:, :, None, :]
            hessian = program[:, :, None, None] * slope[:, :, :, None] * slope[:, :, None, :]
            hessian += mixed + mixed.transpose(0, 1, 3, 2)
            diagonal = np.arange(n_own)
            hessian[:, :, diagonal, diagonal] += program[:, :, None] * bend
            hessian[:, :, columns[:, None], columns] += used.hessian[:, of_row]
            scale = self.yields * systems.factor
            gradient = scale[:, :, None] * (first + program[:, :, None] * slope)
            return ScaleValues(scale * program, gradient, scale[:, :, None, None] * hessian)


def build_scales(components: Sequence[Component], names: Sequence[str]) -> ComponentScales:
    """Return the scales of components.

    Args:
        components: of the channel.
        names: of the parameters, in the order of the vectors to come.

    Raises:
        InvalidInput: a coefficient is not a formula of the parameters.
    """
    position = {name: number for number, name in enumerate(names)}
    return ComponentScales(
        yields=np.array([component.yield_events for component in components], dtype=float),
        programs=build_programs(components, position, frozenset(names)),
        systems=build_systems([components], position),
    )
