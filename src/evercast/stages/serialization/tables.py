"""Selected events as the likelihoods need them: by sample and region, varied and not, with something in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from evercast.artifacts.event_table import EventTable, read_event_table
from evercast.errors import IntegrityError, InvalidInput
from evercast.likelihood.assembly import Physics
from evercast.likelihood.morphing_basis import basis_coefficients
from evercast.plan.recipes import Direction, SerializationRecipe, Task

__all__ = ["Tables", "physics_of", "same_events"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The event tables among the inputs of the stage; nominal ones are kept, varied ones are many and used once."""

    task: Task[SerializationRecipe]
    _read: dict[str, EventTable] = field(default_factory=dict)

    def input(self, name: str) -> Path:
        """Return the input of that name.

        Raises:
            IntegrityError: ``serialization.input``.
        """
        if name not in self.task.inputs:
            raise IntegrityError(
                f"the stage was not given the input {name!r}",
                code="serialization.input",
                hint="plan again: the plan is of another document",
            )
        return self.task.inputs[name]

    def sample(self, name: str, region: str) -> EventTable:
        """Return the events of a sample in a region."""
        key = f"sample_{name}"
        if key not in self._read:
            self._read[key] = read_event_table(self.input(key) / "events.zarr")
        return self._read[key].in_region(region)

    def simulated(self, process: str, region: str, *, channel: str) -> EventTable:
        """Return the simulated events of a process in a region.

        Raises:
            InvalidInput: ``likelihood.empty-channel``.
        """
        sample = self.task.recipe.processes[process].sample
        table = self.sample(sample, region)
        total = float(table.weight.sum())
        if len(table) == 0 or total <= 0:
            raise InvalidInput(
                f"process {process!r} has {len(table)} simulated events of sample {sample!r} in region {region!r}, sum "
                f"of weights {total:.6g}; the sum must be positive",
                code="likelihood.empty-channel",
                where=f"channel {channel}",
                hint="look at the cut flow of the sample, or leave the process out of the channel",
            )
        return table

    def varied(self, systematic: str, process: str, direction: Direction, region: str, *, channel: str) -> EventTable:
        """Return the events of a process at +1 or -1 of a systematic.

        Raises:
            InvalidInput: ``systematic.missing``, there are none; ``systematic.empty``, none of them is in the region.
        """
        where = f"channel {channel}, process {process}"
        name = f"varied.{systematic}.{process}.{direction}"
        if name not in self.task.inputs:
            raise InvalidInput(
                f"systematic {systematic!r} has no events of process {process!r} for its direction {direction}",
                code="systematic.missing",
                where=where,
                hint="give it up and down of every process it acts on, or leave the process out of it",
            )
        table = read_event_table(self.input(name) / "events.zarr").in_region(region)
        total = float(table.weight.sum())
        if len(table) == 0 or total <= 0:
            raise InvalidInput(
                f"systematic {systematic!r}, {direction}: process {process!r} has {len(table)} events in region "
                f"{region!r}, sum of weights {total:.6g}; the sum must be positive",
                code="systematic.empty",
                where=where,
                hint="look at the cut flow of the varied selection",
            )
        return table


def same_events(first: EventTable, second: EventTable) -> bool:
    """Return whether two tables hold the same events with the same weights and observables."""
    parts = ("event", "weight", "observables")
    return all(np.array_equal(getattr(first, part), getattr(second, part)) for part in parts)


def physics_of(recipe: SerializationRecipe) -> Physics:
    """Return what all likelihoods share; processes of a morphing basis get the coefficients that follow from it.

    Raises:
        InvalidInput: ``morphing.singular``, ``morphing.points``.
    """
    coefficients: dict[str, str] = {}
    for name, basis in recipe.morphing_bases.items():
        coefficients |= basis_coefficients(basis, where=f"$.morphing_bases.{name}")
    return Physics(
        parameters=recipe.parameters,
        processes=recipe.processes,
        systematics=recipe.systematics,
        coefficients=coefficients,
    )
