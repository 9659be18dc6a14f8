"""A run as the checks see it: units, event tables, log ratios and likelihoods, read when first asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64, Int

from evercast.artifacts.arrays import read_arrays
from evercast.artifacts.event_table import EventTable, read_event_table
from evercast.artifacts.likelihood_file import EVENTS_FILE
from evercast.artifacts.likelihood_folder import open_likelihood, read_index
from evercast.artifacts.weights import read_tensors
from evercast.likelihood.evaluate import Likelihood
from evercast.publication.report.systematics import blind_regions
from evercast.publication.report.units import Unit, of_stage
from evercast.publication.report.view import JsonView, read_view
from evercast.publication.results import LikelihoodResult, read_result
from evercast.spec.model import Analysis, UnbinnedChannel

__all__ = ["RunContents"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContents:
    """What a run left.

    Args:
        analysis: the document.
        units: all finished units.
    """

    analysis: Analysis
    units: tuple[Unit, ...]
    _tables: dict[str, EventTable] = field(default_factory=dict)
    _likelihoods: dict[str, Likelihood] = field(default_factory=dict)

    def unit(self, stage: str, name: str) -> Unit | None:
        """Return a unit by name, None where the run has none."""
        return next((unit for unit in of_stage(self.units, stage) if unit.name == name), None)

    def table(self, sample: str) -> EventTable | None:
        """Return the selected events of a sample, None where it was not selected.

        Raises:
            IntegrityError: the table is damaged.
        """
        if sample not in self._tables:
            unit = self.unit("selection", sample)
            if unit is None:
                return None
            self._tables[sample] = read_event_table(unit.folder / "events.zarr")
        return self._tables[sample]

    def in_region(self, sample: str, region: str) -> EventTable | None:
        """Return the selected events of a sample in a region."""
        table = self.table(sample)
        return None if table is None else table.in_region(region)

    def pseudo(self) -> bool:
        """Return whether the data were drawn from simulation."""
        data = (name for name, sample in self.analysis.samples.items() if sample.role == "data")
        return any(table.drawn for name in data if (table := self.table(name)) is not None)

    def evaluated(self, ensemble: str, sample: str, name: str) -> Float64[np.ndarray, "events columns"] | None:
        """Return an array of the evaluation of an ensemble, None where the sample was not evaluated.

        Args:
            ensemble: name of the evaluation unit.
            sample: whose events.
            name: ``log_ratio`` or ``member_spread``.
        """
        unit = self.unit("evaluation", ensemble)
        folder = None if unit is None else unit.folder / f"{sample}.zarr"
        return (
            None if folder is None or not folder.is_dir() else np.asarray(read_arrays(folder)[name], dtype=np.float64)
        )

    def likelihood(self, name: str) -> Likelihood | None:
        """Return a likelihood with its observed data, compiled; None where the run serialized none.

        Raises:
            IntegrityError: a file of it is damaged.
        """
        if name not in self._likelihoods:
            unit = next(iter(of_stage(self.units, "serialization")), None)
            if unit is None:
                return None
            self._likelihoods[name] = Likelihood(open_likelihood(unit.folder / "likelihood", name))
        return self._likelihoods[name]

    def simulated_processes(self, name: str) -> Mapping[str, Int[np.ndarray, " simulated"]]:
        """Return unbinned channel -> component of each simulated event of a likelihood; empty where it is not said.

        Raises:
            IntegrityError: a file of the likelihood is damaged.
        """
        unit = next(iter(of_stage(self.units, "serialization")), None)
        entry = None if unit is None else read_index(unit.folder / "likelihood").likelihoods.get(name)
        if unit is None or entry is None or entry.kind != "folder":
            return {}
        arrays = read_tensors(unit.folder / "likelihood" / entry.path / EVENTS_FILE).arrays
        end = ".asimov.process"
        return {key.removesuffix(end): np.asarray(array) for key, array in arrays.items() if key.endswith(end)}

    def results(self) -> tuple[LikelihoodResult, ...]:
        """Return the result of every fit.

        Raises:
            IntegrityError: a result is not JSON.
        """
        return tuple(
            read_result(unit.name, read_view(unit.folder / "result.json")) for unit in of_stage(self.units, "fit")
        )

    def result_view(self, likelihood: str) -> JsonView:
        """Return the whole ``result.json`` of a fit, a view of None where there is none."""
        unit = self.unit("fit", likelihood)
        return JsonView() if unit is None else read_view(unit.folder / "result.json")

    def blind(self, likelihood: str) -> bool:
        """Return whether observed numbers of a likelihood may not be computed."""
        if self.analysis.inference.unblind:
            return False
        return any(channel.blind for channel in self.analysis.likelihoods[likelihood].channels.values())

    def blind_regions(self) -> frozenset[str]:
        """Return the regions whose data may not be looked at."""
        return blind_regions(self.analysis)

    def ensembles_of(self, likelihood: str) -> Mapping[str, str]:
        """Return channel -> ensemble of the unbinned channels of a likelihood."""
        channels = self.analysis.likelihoods[likelihood].channels
        return {name: channel.ensemble for name, channel in channels.items() if isinstance(channel, UnbinnedChannel)}
