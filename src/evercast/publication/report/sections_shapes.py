"""The section that compares simulated samples with published histograms of the same process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from markupsafe import Markup

from evercast.artifacts.event_table import EventTable
from evercast.events.histograms import BinnedYield, read_histogram
from evercast.publication.plots.distributions import Shape
from evercast.publication.plots.figure import INK, MUTED
from evercast.publication.report import figures
from evercast.publication.report.blocks import Gallery, Section
from evercast.publication.report.figures import Drawing
from evercast.publication.report.mathtext import to_html
from evercast.publication.report.predictions import event_shape
from evercast.publication.report.processes import DrawnProcess
from evercast.publication.report.sections_selection import Selected, slug
from evercast.publication.report.units import Unit, of_stage
from evercast.spec.model import Analysis, Calibration

__all__ = ["shapes_section"]


def shapes_section(
    analysis: Analysis, units: tuple[Unit, ...], selected: Selected, processes: tuple[DrawnProcess, ...]
) -> Section | None:
    """Return every sample that is normalised to a histogram against that histogram, None where there is none.

    Raises:
        InvalidInput: a fetched histogram is damaged.
    """
    files = {unit.name: unit.path for unit in of_stage(units, "fetch")}
    colors = {process.sample: process.color for process in processes}
    drawings = tuple(
        drawing
        for sample in analysis.samples
        if (drawing := _shape(analysis, sample, selected, files, colors.get(sample, MUTED))) is not None
    )
    if not drawings:
        return None
    return Section(
        anchor="shapes",
        title="Simulation against published histograms",
        lead="Simulated events against the published histogram that normalises them, all of unit area.",
        blocks=(Gallery(drawings=drawings),),
    )


def _shape(analysis: Analysis, name: str, selected: Selected, files: Mapping[str, Path], color: str) -> Drawing | None:
    sample = analysis.samples[name]
    norm = sample.normalisation
    if norm is None or norm.histogram is None or norm.region is None or name not in selected.tables:
        return None
    histogram = analysis.histograms[norm.histogram]
    if any(term.source not in files for term in histogram.terms):
        return None
    published = read_histogram(histogram, [files[term.source] for term in histogram.terms])
    table = selected.tables[name].in_region(norm.region)
    shapes = [_published(published, color)]
    note = ""
    factors = selected.summaries[name].numbers("normalisation", "bin_factors")
    if norm.calibration is not None and factors.size:
        before = _uncalibrated(table, norm.calibration, factors)
        shapes.append(
            _simulated(before, histogram.observable, published.edges, title="before calibration", color=MUTED)
        )
        target = f"the histogram {norm.calibration.shape_of}" if norm.calibration.shape_of else "this histogram"
        note = f" The weights were calibrated to {target} in wider bins; grey points show the shape before."
    shapes.append(_simulated(table, histogram.observable, published.edges, title="simulated here", color=INK))
    observable = analysis.selection.observables[histogram.observable]
    axis = observable.label or histogram.observable
    caption = Markup("{}: {}, published histogram as area.{}").format(
        to_html(sample.title or name), to_html(axis), note
    )
    return figures.shapes(
        f"shape-{slug(name)}", published.edges, tuple(shapes), selected.label, axis=axis, unit=observable.unit,
        caption=caption,
    )  # fmt: skip


def _published(published: BinnedYield, color: str) -> Shape:
    total = float(published.values.sum()) or 1.0
    return Shape(
        title="published", color=color, fraction=published.values / total, error=np.sqrt(published.variances) / total
    )


def _simulated(
    table: EventTable, observable: str, edges: Float[np.ndarray, " edges"], *, title: str, color: str
) -> Shape:
    return event_shape(table, observable, edges, title=title, color=color)


def _uncalibrated(table: EventTable, calibration: Calibration, factors: Float[np.ndarray, " factors"]) -> EventTable:
    values = table.columns([calibration.observable])[:, 0]
    index = np.clip(np.searchsorted(calibration.edges, values, side="right") - 1, 0, len(factors) - 1)
    factor = np.where(factors[index] > 0, factors[index], 1.0)
    return replace(table, weight=table.weight / factor)
