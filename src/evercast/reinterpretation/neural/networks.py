"""The networks of an archived run, read from its units, at events of a requester."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from evercast.artifacts.bundle_ensembles import BundleNetworks
from evercast.artifacts.bundle_networks import RatioNetworks
from evercast.artifacts.event_table import EventTable
from evercast.artifacts.ratio_networks import (
    read_polynomial_networks,
    read_ratio_networks,
    read_variation_networks,
)
from evercast.errors import IntegrityError
from evercast.interop.evaluation import Evaluation, evaluate_networks, event_set
from evercast.likelihood.model import EventSet, UnbinnedChannelModel
from evercast.plan.recipes import SerializationRecipe
from evercast.reinterpretation.archived import ArchivedRun
from evercast.spec.model import Ensemble

__all__ = ["ArchivedNetworks"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ArchivedNetworks:
    """What the likelihoods of an archived run were made of."""

    archived: ArchivedRun

    @cached_property
    def recipe(self) -> SerializationRecipe:
        """What its likelihoods are."""
        return self._serialization[0]

    @cached_property
    def inputs(self) -> Mapping[str, Path]:
        """Name -> folder of a unit, as the serialization reads it."""
        return self._serialization[1]

    @property
    def likelihoods(self) -> Path:
        """Folder ``likelihood/`` of the serialization."""
        side = self.archived.side
        return side.folder(side.plan.of_stage("serialization")[0]) / "likelihood"

    @cached_property
    def _serialization(self) -> tuple[SerializationRecipe, Mapping[str, Path]]:
        side = self.archived.side
        unit = next(iter(side.plan.of_stage("serialization")), None)
        if unit is None or not isinstance(unit.recipe, SerializationRecipe):
            raise IntegrityError("the archive holds no likelihood", code="request.archive", where=str(side.units))
        units = side.plan.by_id()
        found = {name: side.folder(units[one]) for name, one in unit.inputs.items() if one in units}
        return unit.recipe, found

    def networks(self, name: str) -> BundleNetworks:
        """Return the networks of an ensemble.

        Raises:
            IntegrityError: a file is missing, or of another ensemble.
        """
        ensemble = self.recipe.ensembles[name]
        blocks = {process: self._blocks(f"block.{name}.{process}") for process in ensemble.processes}
        ratios = read_ratio_networks(
            self.inputs[f"evaluation_{name}"], ensemble=name, members=ensemble.members, blocks=blocks
        )
        ratios |= dict(self._variations(name, ensemble))
        polynomials = {}
        if f"polynomial.{name}" in self.inputs:
            parts = {process: self._blocks(f"polynomial_block.{name}.{process}") for process in ensemble.processes}
            polynomials = read_polynomial_networks(
                self.inputs[f"polynomial.{name}"], ensemble=name,
                members=ensemble.morphing.members or ensemble.members,
                blocks={process: files for process, files in parts.items() if files},
            )  # fmt: skip
        return BundleNetworks(
            name=name, observables=ensemble.observables, combine=ensemble.combine, ratios=ratios,
            polynomials={f"{process}.polynomial": one for process, one in polynomials.items()}, files={},
        )  # fmt: skip

    def _variations(self, name: str, ensemble: Ensemble) -> Iterator[tuple[str, RatioNetworks]]:
        prefix = f"variation.{name}."
        for parameter in [key.removeprefix(prefix) for key in self.inputs if key.startswith(prefix)]:
            blocks: dict[str, dict[str, list[Path]]] = {}
            for process in ensemble.processes:
                for side in ("up", "down"):
                    files = self._blocks(f"variation_block.{name}.{parameter}.{process}.{side}")
                    if files:
                        blocks.setdefault(process, {})[side] = files
            found = read_variation_networks(
                self.inputs[prefix + parameter], ensemble=name, parameter=parameter,
                members=ensemble.morphing.members or ensemble.members, blocks=blocks,
            )  # fmt: skip
            for process, sides in found.items():
                yield from ((f"{process}.{parameter}.{side}", one) for side, one in sides.items())

    def _blocks(self, prefix: str) -> list[Path]:
        """Return the weight files of the inputs ``PREFIX.0``, ``PREFIX.1``, ... as far as there are any."""
        found: list[Path] = []
        while (key := f"{prefix}.{len(found)}") in self.inputs:
            found.append(self.inputs[key] / "weights.safetensors")
        return found

    def events(self, channel: UnbinnedChannelModel, ensemble: str, table: EventTable) -> EventSet:
        """Return events that no network has seen as a channel needs them.

        Args:
            channel: of the likelihood.
            ensemble: whose networks it uses.
            table: weighted events in its region.

        Raises:
            InvalidInput: ``evaluate.process``: the channel follows something for which there are no networks.
            NumericalFailure: ``evaluation.not-finite``.
        """
        networks = self.networks(ensemble)
        inputs = table.columns(networks.observables)
        evaluation = Evaluation(
            channel=channel.name, ensemble=ensemble, observables=networks.observables, inputs=inputs,
            values=evaluate_networks(networks, inputs), domain=None, extrapolated=False, extrapolation_allowed=True,
        )  # fmt: skip
        return event_set(channel, evaluation, table.weight)
