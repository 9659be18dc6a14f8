"""Sections on the selected events: cut flow, distributions, comparison of shapes with published histograms."""

from __future__ import annotations

from collections import Counter
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

__all__ = ["DrawnChannel", "Selected", "binned_channels", "distributions_section", "selection_section", "slug"]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnChannel:
    """A binned channel and the first likelihood that has it; `title` tells channels of one name apart."""

    name: str
    title: str
    likelihood: str
    channel: BinnedChannel


def binned_channels(analysis: Analysis) -> tuple[DrawnChannel, ...]:
    """Return the binned channels of all likelihoods; one that several likelihoods share stands once.

    Channels of one name that differ between likelihoods are shown with the name of their likelihood.
    """
    found: list[DrawnChannel] = []
    for likelihood, content in analysis.likelihoods.items():
        for name, channel in content.channels.items():
            if isinstance(channel, BinnedChannel) and not any((c.name, c.channel) == (name, channel) for c in found):
                found.append(DrawnChannel(name=name, title=name, likelihood=likelihood, channel=channel))
    names = Counter(drawn.name for drawn in found)
    return tuple(
        drawn if names[drawn.name] == 1 else replace(drawn, title=f"{drawn.name} of {drawn.likelihood}")
        for drawn in found
    )


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
        for drawn in binned_channels(analysis)
        if (drawing := _channel(analysis, selected, processes, drawn)) is not None
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
    analysis: Analysis, selected: Selected, processes: tuple[DrawnProcess, ...], drawn: DrawnChannel
) -> Drawing | None:
    channel, model = drawn.channel, selected.models.get(drawn.likelihood)
    used = tuple(process for process in processes if process.name in channel.processes)
    observable = analysis.selection.observables[channel.observable]
    stack = None if model is None else model_stack(observable, channel, model, drawn.name, used)
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
    rest = f"in channel {drawn.title}, {origin}:{observed} {stack.expected.sum():.1f} expected."
    caption = Markup("{} {} {}").format(to_html(stack.axis), rest, INTERVAL_NOTE)
    return figures.stack(f"channel-{slug(drawn.title)}", stack, selected.label, caption=caption)


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
    channels = (drawn.channel for drawn in binned_channels(analysis))
    known = [c.edges for c in channels if (c.region, c.observable) == (region, observable)]
    chosen = max(known, key=len, default=None)
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
