"""Where a new signal lies with respect to the training of archived networks, before anything else is done with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64

from evercast.artifacts.event_table import EventTable, read_event_table
from evercast.artifacts.validity import Domain, EnsembleDomain, Examined, examine
from evercast.errors import InvalidInput
from evercast.publication.validity import OUTSIDE, ensemble_domain
from evercast.reinterpretation.archived import ArchivedRun
from evercast.reinterpretation.neural.answers import DomainShare, ObservableShare
from evercast.reinterpretation.neural.asked import unbinned_ensembles
from evercast.spec.model import Analysis

__all__ = ["ArchivedDomains", "largest_share", "require_inside"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ArchivedDomains:
    """The domains of the ensembles of a likelihood, from the selected events that its networks learned from."""

    archived: ArchivedRun
    likelihood: str

    @property
    def analysis(self) -> Analysis:
        """The archived document."""
        return self.archived.side.analysis

    @cached_property
    def ensembles(self) -> Mapping[str, tuple[EnsembleDomain, np.ndarray]]:
        """Ensemble -> its domain and the points of its support."""
        side = self.archived.side
        selections: dict[str, Path] = {unit.name: side.folder(unit) for unit in side.plan.of_stage("selection")}
        found = {}
        for name in unbinned_ensembles(self.analysis, self.likelihood):
            domain, points = ensemble_domain(name, self.analysis, selections, with_ranges=True, with_points=True)
            nothing = np.zeros((0, len(domain.observables)), dtype=np.float32)
            found[name] = (domain, nothing if points is None else points)
        return found

    def outside(self, ensemble: str, table: EventTable) -> Bool[np.ndarray, "events tests"]:
        """Return (events, 2): beyond the range of an observable, far from all reference events.

        Args:
            ensemble: whose domain it is.
            table: events in its region.
        """
        found = self._examined(ensemble, table)
        return np.stack([(found.below | found.above).any(axis=1), found.far], axis=1)

    def _examined(self, ensemble: str, table: EventTable) -> Examined:
        domain, points = self.ensembles[ensemble]
        metadata = self.analysis.metadata
        whole = Domain(
            schema="validity/1.0.0", experiment=metadata.experiment, sqrt_s_tev=metadata.sqrt_s_tev,
            luminosity_fb=metadata.luminosity_fb, parameters={}, ensembles={ensemble: domain}, outside=OUTSIDE,
        )  # fmt: skip
        return examine(whole, ensemble, points, table.columns(self.analysis.ensembles[ensemble].observables))

    def shares(self, selection: Path, *, largest: float) -> tuple[DomainShare, ...]:
        """Return the weighted shares of a selected signal outside of each domain.

        Args:
            selection: folder with its selected events.
            largest: above which it is refused.

        Raises:
            IntegrityError: events are damaged.
        """
        table = read_event_table(selection / "events.zarr")
        return tuple(self._share(name, table, largest) for name in self.ensembles)

    def _share(self, name: str, table: EventTable, largest: float) -> DomainShare:
        spec, (domain, _) = self.analysis.ensembles[name], self.ensembles[name]
        own = table.in_region(spec.region)
        size = np.abs(own.weight)
        found = self._examined(name, own)
        observables = tuple(
            ObservableShare(
                name=one.name, unit=one.unit, low=one.low, high=one.high,
                below=_weighted(found.below[:, column], size), above=_weighted(found.above[:, column], size),
            )
            for column, one in enumerate(domain.observables)
        )  # fmt: skip
        beyond = (found.below | found.above).any(axis=1)
        total = float(np.sum(size**2))
        support = domain.support
        return DomainShare(
            ensemble=name, region=spec.region, events=len(own),
            effective_events=float(size.sum()) ** 2 / total if total else 0.0,
            outside=_weighted(found.outside, size), outside_range=_weighted(beyond, size),
            outside_support=_weighted(found.far, size),
            expected_rate=None if support is None else support.false_positive.rate, largest=largest,
            observables=observables,
        )  # fmt: skip


def largest_share(analysis: Analysis, asked: float | None) -> float:
    """Return the share above which a signal is refused: that of the document, or a smaller one that is asked for."""
    published = analysis.publish.neural_likelihood
    declared = 0.05 if published is None else published.largest_share_outside
    return declared if asked is None else min(declared, asked)


def require_inside(shares: Sequence[DomainShare], *, where: str) -> None:
    """Refuse a signal of which too much lies outside.

    Raises:
        InvalidInput: ``request.outside-domain`` with the shares, overall and by observable.
    """
    refused = [share for share in shares if share.refused]
    if not refused:
        return
    worst = max(refused, key=lambda share: share.outside)
    beyond = sorted(worst.observables, key=lambda one: -(one.below + one.above))
    named = [
        f"{one.name} {100 * (one.below + one.above):.3g} % outside of [{one.low:.4g}, {one.high:.4g}]"
        for one in beyond[:3]
        if one.below + one.above > 0.0
    ]
    message = (
        f"{100 * worst.outside:.3g} % of the signal in {worst.region} lies where the networks of '{worst.ensemble}' "
        f"were not trained; at most {100 * worst.largest:.3g} % may. Beyond the range of an observable: "
        f"{', '.join(named) or 'none'}; far from all reference events: {100 * worst.outside_support:.3g} %"
    )
    hint = "the archived networks say nothing of such events; ask a binned likelihood of the archive"
    raise InvalidInput(message, code="request.outside-domain", where=where, hint=hint)


def _weighted(found: Bool[np.ndarray, " events"], size: Float64[np.ndarray, " events"]) -> float:
    total = float(size.sum())
    return float(size[found].sum()) / total if total > 0.0 else 0.0
