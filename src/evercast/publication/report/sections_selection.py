"""Sections on the selected events: cut flow, distributions, comparison of shapes with published histograms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from markupsafe import Markup

from evercast.artifacts.event_table import EventTable
from evercast.likelihood.model import LikelihoodModel
from evercast.publication.plots.figure import Label
from evercast.publication.report import figures
from evercast.publication.report.blocks import Block, Cell, Gallery, Section, Table
from evercast.publication.report.figures import Drawing
from evercast.publication.report.mathtext import to_html, to_plain
from evercast.publication.report.predictions import event_edges, event_stack, model_stack
from evercast.publication.report.processes import DrawnProcess
from evercast.publication.report.systematics import VariedEvents
from evercast.publication.report.view import JsonView
from evercast.spec.model import Analysis, BinnedChannel, UnbinnedChannel

__all__ = ["Selected", "binned_channels", "distributions_section", "selection_section", "slug"]

INTERVAL_NOTE = "Data with central 68\u00a0% Poisson intervals; empty bins are left out."


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """What the selection left.

    Args:
        tables: sample -> its selected events.
        summaries: sample -> its ``summary.json``.
        models: likelihood -> the model that was fitted, for likelihoods with binned channels.
        label: line above each figure.
        observed_title: the data in legends.
        varied: events of the varied samples.
        blind: regions of blind channels: their data are not shown.
    """

    tables: Mapping[str, EventTable]
    summaries: Mapping[str, JsonView]
    models: Mapping[str, LikelihoodModel]
    label: Label
    observed_title: str
    varied: VariedEvents = field(default_factory=VariedEvents)
    blind: frozenset[str] = frozenset()

    def simulated(self, region: str) -> dict[str, EventTable]:
        """Return the events of each simulated sample in a region."""
        return {name: t.in_region(region) for name, t in self.tables.items() if t.role == "simulation"}

    def observed(self, region: str) -> EventTable | None:
        """Return the data in a region without the events of blind regions; None without data or in a blind region."""
        data = self.data()
        return None if data is None or region in self.blind else data.in_region(region)

    def data(self) -> EventTable | None:
        """Return the data without the events of blind regions, None without data."""
        data = next((table for table in self.tables.values() if table.role == "data"), None)
        if data is None or not self.blind:
            return data
        hidden = [index for index, name in enumerate(data.region_names) if name in self.blind]
        return data.take(np.flatnonzero(~data.regions[:, hidden].any(axis=1)))


def binned_channels(analysis: Analysis) -> dict[str, BinnedChannel]:
    """Return the binned channels of all likelihoods, by name, each once."""
    return {
        name: channel
        for likelihood in analysis.likelihoods.values()
        for name, channel in likelihood.channels.items()
        if isinstance(channel, BinnedChannel)
    }


def selection_section(analysis: Analysis, selected: Selected) -> Section:
    """Return the cut flow of every sample and the content of every region."""
    blocks: list[Block] = [_cut_flow(selected, kind="events"), _cut_flow(selected, kind="sum_of_weights_expected")]
    blocks = [block for block in blocks if isinstance(block, Table) and block.rows]
    blocks.append(_regions(analysis, selected))
    blocks.append(_inputs(selected))
    lead = "Raw counts first, then the events expected at the luminosity of the data. Data are counted, not weighted."
    if selected.blind:
        lead += f" Data are left out: {', '.join(sorted(selected.blind))} is blind."
    return Section(anchor="selection", title="Selection", lead=lead, blocks=tuple(blocks))


def _cut_flow(selected: Selected, *, kind: str) -> Table:
    flows = {
        sample: {entry.text("step") or "?": entry.number(kind) for entry in summary.entries("cut_flow")}
        for sample, summary in selected.summaries.items()
        if not (selected.blind and summary.text("role") == "data")
    }
    steps = list(dict.fromkeys(step for flow in flows.values() for step in flow))
    raw = kind == "events"
    rows = tuple(
        (Cell(step), *(Cell(_count(flow.get(step), raw=raw), "number") for flow in flows.values())) for step in steps
    )
    title = "Cut flow, events" if raw else "Cut flow, expected events"
    return Table(title=title, headers=("step", *flows), rows=rows)


def _count(value: float | None, *, raw: bool) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}".replace(",", "\u202f") if raw else f"{value:.4g}"


def _regions(analysis: Analysis, selected: Selected) -> Table:
    rows = []
    for sample, summary in selected.summaries.items():
        if selected.blind and summary.text("role") == "data":
            continue
        for region, body in summary.items("regions"):
            weights, squares = body.number("sum_of_weights"), body.number("sum_of_weights_squared")
            error = "" if squares is None or summary.text("role") == "data" else f" ± {np.sqrt(squares):.2g}"
            rows.append((
                Cell(region, "code"),
                Cell(analysis.selection.regions[region].cut if region in analysis.selection.regions else "–", "code"),
                Cell(sample, "code"),
                Cell(_count(body.number("events"), raw=True), "number"),
                Cell("–" if weights is None else f"{weights:.4g}{error}", "number"),
                Cell(_count(body.number("effective_sample_size"), raw=True), "number"),
            ))  # fmt: skip
    headers = ("region", "cut", "sample", "events", "expected", "effective size")
    return Table(title="Regions", headers=headers, rows=tuple(rows))


def _inputs(selected: Selected) -> Table:
    rows = tuple(
        (
            Cell(sample, "code"),
            Cell((entry.text("file") or "–").rsplit("/", 1)[-1]),
            Cell(entry.text("format") or "–"),
            Cell(_count(entry.number("n_events"), raw=True), "number"),
        )
        for sample, summary in selected.summaries.items()
        if not (selected.blind and summary.text("role") == "data")
        for entry in summary.entries("input")
    )
    return Table(title="Files read", headers=("sample", "file", "format", "events"), rows=rows, folded=True)


def distributions_section(
    analysis: Analysis, selected: Selected, processes: tuple[DrawnProcess, ...]
) -> Section | None:
    """Return the binned channels and the other observables with data and prediction, None where there is nothing."""
    main = [
        drawing
        for name, channel in binned_channels(analysis).items()
        if (drawing := _channel(analysis, selected, processes, name, channel)) is not None
    ]
    blocks: list[Block] = [Gallery(drawings=tuple(main))] if main else []
    for region, observables in _regions_drawn(analysis).items():
        drawings = tuple(_observable(analysis, selected, processes, region, name) for name in observables)
        text = analysis.selection.regions[region].label or region
        if selected.tables and drawings:
            blocks.append(Gallery(drawings=drawings, title=f"Observables in {region} ({to_plain(text)})"))
    if not blocks:
        return None
    lead = "Predictions at the initial parameter values, before any fit. The hatched band is the total uncertainty."
    return Section(anchor="distributions", title="Data and prediction", lead=lead, blocks=tuple(blocks))


def _channel(
    analysis: Analysis, selected: Selected, processes: tuple[DrawnProcess, ...], name: str, channel: BinnedChannel
) -> Drawing | None:
    used = tuple(process for process in processes if process.name in channel.processes)
    observable = analysis.selection.observables[channel.observable]
    stacks = (model_stack(observable, channel, model, name, used) for model in selected.models.values())
    stack = next((found for found in stacks if found is not None), None)
    if stack is not None and channel.region in selected.blind:
        stack = replace(stack, observed=None)
    origin = "as in the likelihood"
    if stack is None:
        if not selected.tables:
            return None
        origin = "from the selected events"
        stack = event_stack(
            analysis, channel.observable, np.array(channel.edges), selected.simulated(channel.region),
            selected.observed(channel.region), used, varied=selected.varied, region=channel.region,
        )  # fmt: skip
    hidden = " the data are blind," if channel.region in selected.blind else ""
    observed = hidden if stack.observed is None else f" {stack.observed.sum():.0f} events observed,"
    rest = f"in channel {name}, {origin}:{observed} {stack.expected.sum():.1f} expected."
    caption = Markup("{} {} {}").format(to_html(stack.axis), rest, INTERVAL_NOTE)
    return figures.stack(f"channel-{slug(name)}", stack, selected.label, caption=caption)


def _regions_drawn(analysis: Analysis) -> dict[str, tuple[str, ...]]:
    regions: dict[str, tuple[str, ...]] = {}
    for likelihood in analysis.likelihoods.values():
        for channel in likelihood.channels.values():
            if isinstance(channel, UnbinnedChannel):
                ensemble = analysis.ensembles[channel.ensemble]
                regions[ensemble.region] = tuple(
                    dict.fromkeys([*regions.get(ensemble.region, ()), *ensemble.observables])
                )
    return regions


def _observable(
    analysis: Analysis, selected: Selected, processes: tuple[DrawnProcess, ...], region: str, observable: str
) -> Drawing:
    simulated, observed = selected.simulated(region), selected.observed(region)
    known = (c.edges for c in binned_channels(analysis).values() if (c.region, c.observable) == (region, observable))
    chosen = next(known, None)
    tables = [*simulated.values(), *([observed] if observed else [])]
    edges = event_edges(tables, observable) if chosen is None else np.array(chosen)
    stack = event_stack(
        analysis, observable, edges, simulated, observed, processes, varied=selected.varied, region=region
    )
    caption = Markup("{}: selected events with their weights.").format(to_html(stack.axis))
    name = f"observable-{slug(region)}-{slug(observable)}"
    return figures.stack(name, stack, selected.label, caption=caption, small=True)


def slug(name: str) -> str:
    """Return a name as part of an identifier in the page."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in name)
