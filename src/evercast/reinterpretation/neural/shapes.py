"""The new signal beside what the archive has: observables and log ratios, as distributions of unit area."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from jaxtyping import Float

from evercast.publication.diagnostics.contents import RunContents
from evercast.publication.report.predictions import event_edges
from evercast.spec.model import Ensemble

__all__ = ["Curve", "Distribution", "distributions"]

Values = Float[np.ndarray, " events"]
Bins = Float[np.ndarray, " bins"]
_BINS: Final = 20
_OBSERVABLES: Final = 12
_RATIOS: Final = 12
"""Quantities of an ensemble that are drawn, at most."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """A distribution of unit area over the whole line; `fraction` and `error` are of the bins, (bins,) each.

    Args:
        name: of the process, ``reference`` or ``data``.
        role: what it is.
    """

    name: str
    role: Literal["signal", "process", "reference", "data"]
    fraction: Bins
    error: Bins


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Distribution:
    """One quantity in the region of an ensemble.

    Args:
        quantity: observable, or process whose log ratio to the reference it is.
        axis: title of the axis.
        edges: (bins + 1,); what lies outside is in the first and last bin.
    """

    region: str
    quantity: str
    kind: Literal["observable", "log_ratio"]
    axis: str
    unit: str
    edges: Float[np.ndarray, " edges"]
    curves: tuple[Curve, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sample:
    """Events of a sample in a region: a value each, and weights that add up to 1 over all."""

    name: str
    role: Literal["signal", "process", "reference", "data"]
    values: Values
    weight: Values


def distributions(contents: RunContents, *, likelihood: str, signal: str, observed: bool) -> tuple[Distribution, ...]:
    """Return observables and log ratios of the new sample, the archived processes and the reference.

    Args:
        contents: the derived run.
        likelihood: whose unbinned channels are looked at.
        signal: name of the new sample.
        observed: with the data, where the document does not blind them.

    Raises:
        IntegrityError: a table of events is damaged.
    """
    found: list[Distribution] = []
    for name in dict.fromkeys(contents.ensembles_of(likelihood).values()):
        ensemble = contents.analysis.ensembles[name]
        samples = _samples(contents, ensemble, signal, observed=observed)
        if not any(role == "signal" for _, role in samples):
            continue
        found += _observables(contents, ensemble, samples)
        found += _log_ratios(contents, name, ensemble, samples)
    return tuple(found)


def _samples(
    contents: RunContents, ensemble: Ensemble, signal: str, *, observed: bool
) -> Mapping[tuple[str, Literal["signal", "process", "data"]], str]:
    """Return (title, role) -> sample, of those that have events in the region."""
    analysis = contents.analysis
    chosen: dict[tuple[str, Literal["signal", "process", "data"]], str] = {("new signal", "signal"): signal}
    for process in ensemble.processes:
        sample = analysis.processes[process].sample
        if sample is not None and sample != signal:
            chosen[process, "process"] = sample
    data = next((name for name, sample in analysis.samples.items() if sample.role == "data"), None)
    if observed and data is not None and ensemble.region not in contents.blind_regions():
        chosen["data", "data"] = data
    return {
        key: sample
        for key, sample in chosen.items()
        if (table := contents.in_region(sample, ensemble.region)) is not None and table.weight.sum() > 0
    }


def _observables(
    contents: RunContents, ensemble: Ensemble, samples: Mapping[tuple[str, Literal["signal", "process", "data"]], str]
) -> Iterator[Distribution]:
    tables = {
        sample: contents.in_region(sample, ensemble.region) for sample in {*samples.values(), *ensemble.reference}
    }
    known = {sample: table for sample, table in tables.items() if table is not None and len(table)}
    for name in ensemble.observables[:_OBSERVABLES]:
        observable = contents.analysis.selection.observables[name]
        edges = event_edges(list(known.values()), name, bins=_BINS)
        values = {sample: (table.columns([name])[:, 0], table.weight) for sample, table in known.items()}
        yield Distribution(
            region=ensemble.region, quantity=name, kind="observable", axis=observable.label or name,
            unit=observable.unit, edges=edges, curves=_curves(values, samples, ensemble, edges),
        )  # fmt: skip


def _log_ratios(
    contents: RunContents,
    name: str,
    ensemble: Ensemble,
    samples: Mapping[tuple[str, Literal["signal", "process", "data"]], str],
) -> Iterator[Distribution]:
    arrays, weights = {}, {}
    for sample in {*samples.values(), *ensemble.reference}:
        array, table = contents.evaluated(name, sample, "log_ratio"), contents.in_region(sample, ensemble.region)
        if array is not None and table is not None and len(array) == len(table) and len(table):
            arrays[sample], weights[sample] = array, table.weight
    for column, process in enumerate(ensemble.processes[:_RATIOS]):
        values = {sample: (array[:, column], weights[sample]) for sample, array in arrays.items()}
        if not values:
            return
        low, high = np.quantile(np.concatenate([entry[0] for entry in values.values()]), [0.005, 0.995])
        edges = np.linspace(low, high, _BINS + 1) if high > low else np.linspace(low - 0.5, low + 0.5, _BINS + 1)
        yield Distribution(
            region=ensemble.region, quantity=process, kind="log_ratio", axis=f"log r, {process} : reference", unit="1",
            edges=edges, curves=_curves(values, samples, ensemble, edges),
        )  # fmt: skip


def _curves(
    values: Mapping[str, tuple[Values, Values]],
    samples: Mapping[tuple[str, Literal["signal", "process", "data"]], str],
    ensemble: Ensemble,
    edges: Float[np.ndarray, " edges"],
) -> tuple[Curve, ...]:
    found = [
        _curve(_normalised(title, role, *values[sample]), edges)
        for (title, role), sample in samples.items()
        if sample in values
    ]
    mixture = _reference(values, ensemble)
    return tuple([*found, _curve(mixture, edges)] if mixture is not None else found)


def _normalised(name: str, role: Literal["signal", "process", "data"], values: Values, weight: Values) -> _Sample:
    return _Sample(name=name, role=role, values=values, weight=weight / weight.sum())


def _reference(values: Mapping[str, tuple[Values, Values]], ensemble: Ensemble) -> _Sample | None:
    """Return the mixture that the networks compare with: each sample of unit area, times its share."""
    shares = {sample: share for sample, share in ensemble.reference.items() if sample in values}
    if len(shares) < len(ensemble.reference):
        return None
    total = sum(shares.values())
    parts = [
        (values[sample][0], values[sample][1] / values[sample][1].sum() * s / total) for sample, s in shares.items()
    ]
    return _Sample(
        name="reference", role="reference", values=np.concatenate([part[0] for part in parts]),
        weight=np.concatenate([part[1] for part in parts]),
    )  # fmt: skip


def _curve(sample: _Sample, edges: Float[np.ndarray, " edges"]) -> Curve:
    inside = np.clip(sample.values, edges[0], np.nextafter(edges[-1], edges[0]))
    return Curve(
        name=sample.name, role=sample.role, fraction=np.histogram(inside, edges, weights=sample.weight)[0],
        error=np.sqrt(np.histogram(inside, edges, weights=sample.weight**2)[0]),
    )  # fmt: skip
