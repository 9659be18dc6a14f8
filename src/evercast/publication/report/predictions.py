"""Binned predictions with their uncertainty, from a HistFactory workspace or from selected events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from evercast.artifacts.event_table import EventTable
from evercast.publication.plots.distributions import Component, Shape, Stack
from evercast.publication.report.processes import DrawnProcess
from evercast.publication.report.view import JsonView
from evercast.spec.model import Analysis, BinnedChannel

__all__ = ["event_edges", "event_shape", "event_stack", "workspace_stack"]

Bins = Float[np.ndarray, " bins"]


def workspace_stack(
    analysis: Analysis,
    channel: BinnedChannel,
    name: str,
    workspace: JsonView,
    processes: tuple[DrawnProcess, ...],
) -> Stack | None:
    """Return the channel `name` of a workspace at the nominal point, None where the workspace has no such channel.

    The uncertainty is linear in each nuisance parameter (half the distance from down to up): processes that share one
    are added with their signs, different parameters in quadrature, statistics of the templates in quadrature per bin.
    """
    body = next((entry for entry in workspace.entries("channels") if entry.text("name") == name), None)
    if body is None:
        return None
    samples = {sample.text("name") or "": sample for sample in body.entries("samples")}
    edges = np.array(channel.edges)
    shown = [p for p in processes if p.name in samples]
    components = tuple(
        Component(title=p.title, color=p.color, events=_scaled(samples[p.name].numbers("data"), p)) for p in shown
    )
    observed = next((o for o in workspace.entries("observations") if o.text("name") == name), None)
    bins = len(edges) - 1
    if not components or any(c.events.shape != (bins,) for c in components):
        return None
    observable = analysis.selection.observables[channel.observable]
    return Stack(
        edges=edges,
        components=components,
        uncertainty=_workspace_uncertainty([(samples[p.name], p.coefficient or 0.0) for p in shown], bins),
        observed=None if observed is None else observed.numbers("data"),
        axis=observable.label or channel.observable,
        unit=observable.unit,
    )


def _scaled(events: Bins, process: DrawnProcess) -> Bins:
    return events * (process.coefficient if process.coefficient is not None else 1.0)


def _workspace_uncertainty(samples: list[tuple[JsonView, float]], bins: int) -> Bins:
    by_parameter: dict[str, Bins] = defaultdict(lambda: np.zeros(bins))
    variance = np.zeros(bins)
    for sample, coefficient in samples:
        nominal = sample.numbers("data") * coefficient
        for modifier in sample.entries("modifiers"):
            kind, parameter = modifier.text("type"), modifier.text("name") or ""
            if kind == "normsys":
                high, low = modifier.number("data", "hi") or 1.0, modifier.number("data", "lo") or 1.0
                by_parameter[parameter] = by_parameter[parameter] + nominal * (high - low) / 2
            elif kind == "histosys":
                change = modifier.numbers("data", "hi_data") - modifier.numbers("data", "lo_data")
                by_parameter[parameter] = by_parameter[parameter] + coefficient * change / 2
            elif kind in ("staterror", "shapesys"):
                variance = variance + (coefficient * modifier.numbers("data")) ** 2
    return np.sqrt(variance + sum((shift**2 for shift in by_parameter.values()), np.zeros(bins)))


def event_edges(tables: list[EventTable], observable: str, *, bins: int = 20) -> Float[np.ndarray, " edges"]:
    """Return about `bins` equal bins of a round width over the central 99 % of the events."""
    values = [table.columns([observable])[:, 0] for table in tables if len(table)]
    everything = np.concatenate(values) if values else np.zeros(1)
    finite = everything[np.isfinite(everything)]
    low, high = np.quantile(finite, [0.005, 0.995]) if finite.size else (0.0, 1.0)
    if not high > low:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / bins
    step = next(width for width in _round_widths(rough) if width >= 0.95 * rough)
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    return np.arange(first, last + 0.5) * step


def _round_widths(rough: float) -> tuple[float, ...]:
    power = 10.0 ** np.floor(np.log10(rough))
    return tuple(float(power * factor) for factor in (1, 2, 2.5, 4, 5, 10, 20))


def event_stack(
    analysis: Analysis,
    observable: str,
    edges: Float[np.ndarray, " edges"],
    simulated: Mapping[str, EventTable],
    observed: EventTable | None,
    processes: tuple[DrawnProcess, ...],
) -> Stack:
    """Return the distribution of selected events, the processes at the nominal point.

    The uncertainty is that of the simulation statistics and of the normalisation systematics.

    Args:
        analysis: the document.
        observable: name of the observable.
        edges: (bins + 1,).
        simulated: sample -> its events in the region.
        observed: the data in the region.
        processes: in the order of the stack.
    """
    components, variance, contents = [], np.zeros(len(edges) - 1), {}
    for process in processes:
        if process.sample not in simulated:
            continue
        table = simulated[process.sample]
        factor = process.coefficient if process.coefficient is not None else 1.0
        values = table.columns([observable])[:, 0]
        events = factor * np.histogram(values, edges, weights=table.weight)[0]
        variance = variance + factor**2 * np.histogram(values, edges, weights=table.weight**2)[0]
        contents[process.name] = events
        components.append(Component(title=process.title, color=process.color, events=events))
    for systematic in analysis.systematics.values():
        affected = [contents[name] for name in systematic.processes if name in contents]
        shift = (systematic.up - systematic.down) / 2 * np.sum([np.zeros(len(edges) - 1), *affected], axis=0)
        variance = variance + shift**2
    description = analysis.selection.observables[observable]
    return Stack(
        edges=edges,
        components=tuple(components),
        uncertainty=np.sqrt(variance),
        observed=None
        if observed is None
        else np.histogram(observed.columns([observable])[:, 0], edges)[0].astype(np.float64),
        axis=description.label or observable,
        unit=description.unit,
    )


def event_shape(
    table: EventTable, observable: str, edges: Float[np.ndarray, " edges"], *, title: str, color: str
) -> Shape:
    """Return the distribution of the events normalised to unit area in the range of `edges`."""
    values = table.columns([observable])[:, 0]
    events = np.histogram(values, edges, weights=table.weight)[0]
    error = np.sqrt(np.histogram(values, edges, weights=table.weight**2)[0])
    total = float(events.sum())
    scale = 1 / total if total > 0 else 0.0
    return Shape(title=title, color=color, fraction=events * scale, error=error * scale)
