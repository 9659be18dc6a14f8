"""The columns by which the densities of an unbinned channel follow nuisance parameters, for events of any sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32

from evercast.artifacts.event_table import EventTable
from evercast.artifacts.ratios import PolynomialColumn, read_coefficients, read_replicas, read_variations
from evercast.errors import InvalidInput
from evercast.likelihood.assembly_inputs import acts_on
from evercast.likelihood.assembly_modes import TrainingModes, principal_modes
from evercast.likelihood.model import AnchorMorph, PolynomialMorph
from evercast.spec.model import Ensemble, NormalisationSystematic, Systematic, TwoPointSystematic, UnbinnedChannel
from evercast.spec.systematics import changes_density, parameter_of
from evercast.stages.serialization.tables import Tables

__all__ = ["MorphColumns", "Morphs", "mode_parameter"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MorphColumns:
    """What an `EventSet` holds of the morphs; None where the channel has none of a kind."""

    log_up: Float32[np.ndarray, "events anchors"] | None
    log_down: Float32[np.ndarray, "events anchors"] | None
    coefficients: Float32[np.ndarray, "events terms"] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """A process that follows a nuisance parameter in the channel."""

    process: str
    parameter: str
    systematic: Systematic


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Morphs:
    """The morphs of one channel.

    Args:
        shapes: what anchors follow.
        columns: of the polynomials, as far as they act in the channel.
        modes: of the training statistics.
    """

    tables: Tables
    ensemble: str
    interpolation: Literal["code4", "log_linear"]
    shapes: tuple[_Shape, ...]
    columns: tuple[PolynomialColumn, ...]
    modes: TrainingModes | None

    @classmethod
    def of_channel(cls, tables: Tables, name: str, channel: UnbinnedChannel) -> Morphs:
        """Return the morphs that the systematics and the training statistics give a channel.

        Raises:
            InvalidInput: ``systematic.one-sided``, a polynomial cannot follow it; ``training-statistics.modes``.
            IntegrityError: an evaluation is damaged or does not go with the others.
        """
        ensemble = tables.task.recipe.ensembles[channel.ensemble]
        shapes = tuple(_shapes(tables, name, ensemble))
        parametric = ensemble.morphing.kind == "parametric" and bool(shapes)
        return cls(
            tables=tables,
            ensemble=channel.ensemble,
            interpolation=channel.interpolation,
            shapes=() if parametric else shapes,
            columns=_polynomial_columns(tables, name, channel.ensemble, shapes) if parametric else (),
            modes=_modes(tables, channel) if channel.training_statistics else None,
        )

    def __bool__(self) -> bool:
        return bool(self.shapes or self.columns or self.modes is not None)

    @property
    def mode_parameters(self) -> tuple[str, ...]:
        """Nuisance parameters of the training statistics."""
        count = 0 if self.modes is None else len(self.modes.explained)
        return tuple(mode_parameter(self.ensemble, number) for number in range(count))

    def anchors(self) -> tuple[AnchorMorph, ...]:
        """Return the morphs by anchors, in the order of the columns."""
        made = [
            AnchorMorph(process=shape.process, parameter=shape.parameter, interpolation=self.interpolation)
            for shape in self.shapes
        ]
        made += [
            AnchorMorph(process=process, parameter=parameter, interpolation="log_linear")
            for parameter in self.mode_parameters
            for process in self._ensemble.processes
        ]
        return tuple(made)

    def polynomials(self) -> tuple[PolynomialMorph, ...]:
        """Return the polynomials, in the order of the columns."""
        return tuple(
            PolynomialMorph(
                process=process, terms=tuple(column.powers for column in self.columns if column.process == process)
            )
            for process in dict.fromkeys(column.process for column in self.columns)
        )

    def of(self, sample: str, table: EventTable) -> MorphColumns:
        """Return the columns of the events of a sample.

        Raises:
            IntegrityError: an evaluation is damaged, or of other events.
        """
        pairs = [*self._anchor_columns(sample, table), *self._mode_columns(sample, table)]
        stack = np.column_stack
        coefficients = None
        if self.columns:
            unit = self.tables.input(f"polynomial.{self.ensemble}")
            there, values = read_coefficients(unit, sample, table=table)
            coefficients = np.ascontiguousarray(values[:, [there.index(column) for column in self._ordered()]])
        return MorphColumns(
            log_up=stack([up for up, _ in pairs]) if pairs else None,
            log_down=stack([down for _, down in pairs]) if pairs else None,
            coefficients=coefficients,
        )

    @property
    def _ensemble(self) -> Ensemble:
        return self.tables.task.recipe.ensembles[self.ensemble]

    def _ordered(self) -> list[PolynomialColumn]:
        """Return the columns of each process together, as `polynomials` has them."""
        processes = dict.fromkeys(column.process for column in self.columns)
        return [column for process in processes for column in self.columns if column.process == process]

    def _anchor_columns(
        self, sample: str, table: EventTable
    ) -> Iterator[tuple[Float32[np.ndarray, " events"], Float32[np.ndarray, " events"]]]:
        found: dict[tuple[str, str], tuple[Float32[np.ndarray, " events"], Float32[np.ndarray, " events"]]] = {}
        for parameter in dict.fromkeys(shape.parameter for shape in self.shapes):
            processes = [shape.process for shape in self.shapes if shape.parameter == parameter]
            unit = self.tables.input(f"variation.{self.ensemble}.{parameter}")
            up, down = read_variations(unit, sample, table=table, processes=processes)
            found |= {
                (process, parameter): (up[:, column], down[:, column]) for column, process in enumerate(processes)
            }
        for shape in self.shapes:
            up, down = found[shape.process, shape.parameter]
            if isinstance(shape.systematic, TwoPointSystematic):
                down = -up if shape.systematic.symmetrise else np.zeros_like(up)
            yield up, down

    def _mode_columns(
        self, sample: str, table: EventTable
    ) -> Iterator[tuple[Float32[np.ndarray, " events"], Float32[np.ndarray, " events"]]]:
        if self.modes is None:
            return
        unit = self.tables.input(f"replicas.{self.ensemble}")
        change = self.modes.of(read_replicas(unit, sample, table=table, processes=self._ensemble.processes))
        for mode in range(change.shape[2]):
            for process in range(change.shape[1]):
                yield change[:, process, mode], -change[:, process, mode]


def mode_parameter(ensemble: str, number: int) -> str:
    """Return the name of the nuisance parameter of a mode of the training statistics."""
    return f"training_statistics_{ensemble}_{number}"


def _shapes(tables: Tables, channel: str, ensemble: Ensemble) -> Iterator[_Shape]:
    seen: set[tuple[str, str]] = set()
    for process in ensemble.processes:
        for key, systematic in tables.task.recipe.systematics.items():
            if isinstance(systematic, NormalisationSystematic) or not changes_density(systematic):
                continue
            if not acts_on(systematic, process=process, channel=channel):
                continue
            parameter = parameter_of(key, systematic)
            if (process, parameter) in seen:
                raise InvalidInput(
                    f"parameter {parameter!r} changes the density of process {process!r} through more than one "
                    f"systematic; {key!r} is the second",
                    code="systematic.repeated",
                    where=f"channel {channel}",
                    hint="give them parameters of their own, or make one variation of both",
                )
            seen.add((process, parameter))
            if isinstance(systematic, TwoPointSystematic) and not systematic.symmetrise:
                _check_one_sided(key, channel, ensemble)
            yield _Shape(process=process, parameter=parameter, systematic=systematic)


def _check_one_sided(key: str, channel: str, ensemble: Ensemble) -> None:
    if ensemble.morphing.kind == "parametric":
        raise InvalidInput(
            f"the two-point systematic {key!r} changes nothing below 0, and a polynomial in its parameter cannot do so",
            code="systematic.one-sided",
            where=f"channel {channel}",
            hint="symmetrise it, or use morphing kind anchor",
        )


def _polynomial_columns(
    tables: Tables, channel: str, ensemble: str, shapes: tuple[_Shape, ...]
) -> tuple[PolynomialColumn, ...]:
    """Return the terms whose parameters all act on the process in this channel."""
    recipe = tables.task.recipe
    region = recipe.ensembles[ensemble].region
    table = tables.sample(recipe.data_sample, region)
    there, _ = read_coefficients(tables.input(f"polynomial.{ensemble}"), recipe.data_sample, table=table)
    active = {(shape.process, shape.parameter) for shape in shapes}
    chosen = tuple(
        column for column in there if all((column.process, parameter) in active for parameter, _ in column.powers)
    )
    found = {(column.process, parameter) for column in chosen for parameter, _ in column.powers}
    if active - found:
        process, parameter = sorted(active - found)[0]
        raise InvalidInput(
            f"the polynomial of process {process!r} has no term of parameter {parameter!r}",
            code="systematic.missing",
            where=f"channel {channel}",
            hint="train the polynomials again, with the variations of all systematics",
        )
    return chosen


def _modes(tables: Tables, channel: UnbinnedChannel) -> TrainingModes:
    """Return the modes of the training statistics, from the events of the reference."""
    ensemble = tables.task.recipe.ensembles[channel.ensemble]
    unit = tables.input(f"replicas.{channel.ensemble}")
    ratios, weights = [], []
    for sample, share in ensemble.reference.items():
        table = tables.sample(sample, ensemble.region)
        ratios.append(read_replicas(unit, sample, table=table, processes=ensemble.processes))
        weights.append(share * table.weight / table.weight.sum())
    return principal_modes(np.concatenate(ratios), np.concatenate(weights), count=channel.training_statistics)
