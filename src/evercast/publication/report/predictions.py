"""Binned predictions with their uncertainty, from a binned likelihood or from selected events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float

from evercast.artifacts.event_table import EventTable
from evercast.likelihood.model import (
    BinFactor,
    BinnedChannelModel,
    HistoSys,
    LikelihoodModel,
    Modifier,
    NormFactor,
    NormSys,
    ParameterModel,
)
from evercast.publication.plots.distributions import Component, Shape, Stack
from evercast.publication.report.processes import DrawnProcess, drawn_processes
from evercast.publication.report.systematics import VariedEvents, parameter_of, processes_of, varied_templates
from evercast.spec.model import Analysis, BinnedChannel, Observable

__all__ = ["event_edges", "event_shape", "event_stack", "model_stack"]

Bins = Float[np.ndarray, " bins"]


def model_stack(
    observable: Observable,
    channel: BinnedChannel,
    model: LikelihoodModel,
    name: str,
    processes: tuple[DrawnProcess, ...],
) -> Stack | None:
    """Return the binned channel `name` of a likelihood at the nominal point, None where it has no such channel.

    The uncertainty is linear in each constrained parameter (half the distance from down to up): samples that share one
    are added with their signs, different parameters in quadrature.
    """
    found = next((c for c in model.channels if isinstance(c, BinnedChannelModel) and c.name == name), None)
    if found is None:
        return None
    samples = {sample.name: sample for sample in found.samples}
    shown = [(process, samples[process.name]) for process in processes if process.name in samples]
    widths = {p.name: _width(p) for p in model.parameters}
    shifts: dict[str, Bins] = defaultdict(lambda: np.zeros(len(found.observed)))
    components = []
    for process, sample in shown:
        nominal = _scaled(sample.nominal, process)
        components.append(Component(title=process.title, color=process.color, events=nominal))
        for modifier in sample.modifiers:
            for parameter, shift in _shifts(modifier, nominal, widths):
                shifts[parameter] = shifts[parameter] + shift
    return Stack(
        edges=np.array(channel.edges),
        components=tuple(components),
        uncertainty=np.sqrt(sum((shift**2 for shift in shifts.values()), np.zeros(len(found.observed)))),
        observed=found.observed,
        axis=observable.label or channel.observable,
        unit=observable.unit,
    )


def _width(parameter: ParameterModel) -> float:
    if parameter.constraint == "normal":
        return parameter.width
    return 1 / np.sqrt(parameter.factor) if parameter.constraint == "poisson" and parameter.factor > 0 else 0.0


def _shifts(modifier: Modifier, nominal: Bins, widths: Mapping[str, float]) -> Iterator[tuple[str, Bins]]:
    match modifier:
        case NormSys(parameter=parameter, up=up, down=down):
            yield parameter, nominal * (up - down) / 2
        case HistoSys(parameter=parameter, up=up, down=down):
            yield parameter, (up - down) / 2
        case NormFactor(parameter=parameter):
            yield parameter, nominal * widths.get(parameter, 0.0)
        case BinFactor(parameters=parameters):
            for index, name in enumerate(parameters):
                if name is not None:
                    yield name, np.where(np.arange(len(nominal)) == index, nominal * widths.get(name, 0.0), 0.0)


def _scaled(events: Bins, process: DrawnProcess) -> Bins:
    return events * (process.coefficient if process.coefficient is not None else 1.0)


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
    *,
    varied: VariedEvents,
    region: str,
) -> Stack:
    """Return the distribution of selected events, the processes at the nominal point.

    The uncertainty is that of the simulation statistics and of all systematics: half the distance from down to up,
    summed with signs over what shares a parameter, different parameters in quadrature.

    Args:
        analysis: the document.
        observable: name of the observable.
        edges: (bins + 1,).
        simulated: sample -> its events in the region.
        observed: the data in the region.
        processes: in the order of the stack.
        varied: events of the varied samples.
        region: the region in which all of them are.
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
    for shift in _systematic_shifts(analysis, observable, edges, contents, varied, region).values():
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


def _systematic_shifts(
    analysis: Analysis, observable: str, edges: Float[np.ndarray, " edges"], contents: Mapping[str, Bins],
    varied: VariedEvents, region: str,
) -> Mapping[str, Bins]:  # fmt: skip
    """Return parameter -> half the distance from down to up, summed over processes: (bins,)."""
    shifts: dict[str, Bins] = defaultdict(lambda: np.zeros(len(edges) - 1))
    coefficients = {process.name: process.coefficient for process in drawn_processes(analysis)}
    for name, systematic in analysis.systematics.items():
        for process in processes_of(systematic):
            if process not in contents:
                continue
            tables = [varied.side(name, process, side, region) for side in ("up", "down")]
            factor = coefficients.get(process)
            filled = [
                None if t is None else _filled(t, observable, edges) * (1.0 if factor is None else factor)
                for t in tables
            ]
            up, down = varied_templates(systematic, contents[process], filled[0], filled[1])
            if up is not None and down is not None:
                shifts[parameter_of(name, systematic)] += (up - down) / 2
    return shifts


def _filled(table: EventTable, observable: str, edges: Float[np.ndarray, " edges"]) -> Bins:
    return np.histogram(table.columns([observable])[:, 0], edges, weights=table.weight)[0]


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
