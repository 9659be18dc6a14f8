"""The page: gathered from the units of a run, rendered by a template with automatic escaping."""

from __future__ import annotations

import re
from importlib.metadata import version
from importlib.resources import files
from typing import Final

import numpy as np
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from evercast.artifacts.event_table import read_event_table
from evercast.artifacts.likelihood_folder import open_likelihood
from evercast.likelihood.model import LikelihoodModel
from evercast.publication.plots.figure import Label
from evercast.publication.report.blocks import Light, Page, Section
from evercast.publication.report.checks import Diagnostics, read_diagnostics
from evercast.publication.report.diagnostic_figures import FigureStyle
from evercast.publication.report.processes import DrawnProcess, drawn_processes, poi_name
from evercast.publication.report.provenance import provenance_section
from evercast.publication.report.sections_diagnostics import TONES, diagnostics_section
from evercast.publication.report.sections_inference import inference_section
from evercast.publication.report.sections_inputs import analysis_section, workflow_section
from evercast.publication.report.sections_networks import networks_section
from evercast.publication.report.sections_results import headlines, result_sentence, results_section
from evercast.publication.report.sections_selection import Selected, distributions_section, selection_section
from evercast.publication.report.sections_shapes import shapes_section
from evercast.publication.report.sections_studies import studies_section, training_statistics_section
from evercast.publication.report.sections_systematics import systematics_section
from evercast.publication.report.systematics import blind_regions, regions_used, varied_events
from evercast.publication.report.units import Unit, of_stage
from evercast.publication.report.view import JsonView, read_view
from evercast.publication.results import LikelihoodResult, read_result
from evercast.spec.model import Analysis, BinnedChannel

__all__ = ["add_section", "fit_document", "label_of", "make_page", "read_results", "render_page", "without_marks"]

PSEUDO_BANNER = (
    "Simulated pseudo-data: the public collision data could not be fetched, so the events called observed below were "
    "drawn from simulation. No number on this page is a measurement."
)

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""What no text of a report may hold: controls, and marks that turn the direction of writing."""


_LATER: Final = {
    "section": Markup("<!-- evercast: a later section -->"),
    "link": Markup("<!-- evercast: its link -->"),
}
"""Comments that mark where a section is added after the page was written; no text can hold them, it is escaped."""

_TEMPLATES = files("evercast.publication") / "templates"


def fit_document(units: tuple[Unit, ...]) -> dict[str, object]:
    """Return the content of ``fit.json``: the result of every likelihood under its name.

    Raises:
        IntegrityError: a result is absent or not JSON.
    """
    results = {unit.name: read_view(unit.folder / "result.json").value for unit in of_stage(units, "fit")}
    return {"schema": "fit/1.0.0", "results": results}


def read_results(units: tuple[Unit, ...]) -> tuple[LikelihoodResult, ...]:
    """Return the result of every fit.

    Raises:
        IntegrityError: a result is absent or not JSON.
    """
    return tuple(read_result(unit.name, read_view(unit.folder / "result.json")) for unit in of_stage(units, "fit"))


def make_page(analysis: Analysis, units: tuple[Unit, ...], *, pseudo: bool) -> Page:
    """Return the content of the report.

    Args:
        analysis: the document.
        units: all finished units.
        pseudo: the observed events were drawn from simulation.

    Raises:
        IntegrityError: a file of a unit is absent or damaged.
    """
    selected = _selected(analysis, units, pseudo=pseudo)
    processes = drawn_processes(analysis)
    results = read_results(units)
    diagnostics = read_diagnostics(units)
    sections: list[Section | None] = [
        results_section(analysis, results, selected.label, _training_statistics(units)) if results else None,
        inference_section(analysis, results, selected.label),
        training_statistics_section(analysis, units),
        studies_section(analysis, units, selected.label),
        distributions_section(analysis, selected, processes),
        systematics_section(analysis, selected),
        networks_section(analysis, units, selected, processes),
        shapes_section(analysis, units, selected, processes),
        selection_section(analysis, selected) if selected.summaries else None,
        diagnostics_section(diagnostics, _figure_style(analysis, processes)),
        analysis_section(analysis),
        workflow_section(units),
        provenance_section(units),
    ]
    return Page(
        title=analysis.title,
        name=analysis.name,
        facts=_facts(analysis),
        banners=_banners(diagnostics, pseudo=pseudo),
        sentence=result_sentence(analysis, results, n_observed=_n_observed(analysis, selected), pseudo=pseudo),
        headlines=headlines(analysis, results),
        verdicts=tuple(
            Light(tone=TONES[status], text=f"{count} {status.replace('-', ' ')}")
            for status in TONES
            if (count := diagnostics.count(status))
        ),
        sections=tuple(section for section in sections if section is not None),
        footer=f"Written by evercast {version('evercast')} from document {analysis.name} ({analysis.schema}).",
    )


def render_page(page: Page) -> str:
    """Return the page as one HTML document that loads nothing; control characters of any text are replaced."""
    style = Markup((_TEMPLATES / "report.css").read_text(encoding="utf-8"))  # noqa: S704 - a file of this package
    html = _environment().get_template("report.html.j2").render(page=page, style=style, later=_LATER)
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", html)


def add_section(html: str, section: Section) -> str:
    """Return a rendered page with one more section at its end, in the place that every page keeps for it.

    A page that has the section already, or was written without that place, is returned as it is.
    """
    part = str(_environment().get_template("blocks.html.j2").module.part(section))  # type: ignore[attr-defined]
    link = str(Markup('<a href="#{}">{}</a>').format(section.anchor, section.title))
    full = html.replace(str(_LATER["section"]), part, 1).replace(str(_LATER["link"]), link, 1)
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", full)


def without_marks(html: str) -> str:
    """Return a page without the comments that keep the place of later sections: it is finished."""
    for mark in _LATER.values():
        html = html.replace(f"{mark}\n", "").replace(str(mark), "")
    return html


def _environment() -> Environment:
    return Environment(
        loader=FunctionLoader(lambda name: (_TEMPLATES / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _banners(diagnostics: Diagnostics, *, pseudo: bool) -> tuple[str, ...]:
    banners = [PSEUDO_BANNER] if pseudo else []
    if diagnostics.document.flag("publication", "allowed") is False:
        banners.append("Not to be published: there are red checks for which the document gives no reason.")
    return tuple(banners)


def _training_statistics(units: tuple[Unit, ...]) -> dict[str, JsonView]:
    return {unit.name: read_view(unit.folder / "result.json") for unit in of_stage(units, "training_statistics")}


def _figure_style(analysis: Analysis, processes: tuple[DrawnProcess, ...]) -> FigureStyle:
    colors = {process.name: process.color for process in processes}
    poi = poi_name(analysis)
    label = analysis.parameters[poi].label if poi is not None else None
    return FigureStyle(
        colors={
            f"{name}: {process}": colors[process]
            for name, ensemble in analysis.ensembles.items()
            for process in ensemble.processes
            if process in colors
        },
        axes={name: observable.label or name for name, observable in analysis.selection.observables.items()},
        poi=label or poi or "parameter",
    )  # fmt: skip


def label_of(analysis: Analysis, *, pseudo: bool) -> Label:
    """Return what stands above the axes of figures: whose data, and that they are open data or simulated ones.

    Args:
        analysis: the document.
        pseudo: the observed events were drawn from simulation.
    """
    public = any(file.source for s in analysis.samples.values() if s.role == "data" for file in s.files)
    return Label(
        experiment=analysis.metadata.experiment,
        text="Pseudo-data" if pseudo else "Open Data" if public else "",
        sqrt_s_tev=analysis.metadata.sqrt_s_tev,
        luminosity_fb=analysis.metadata.luminosity_fb,
    )


def _selected(analysis: Analysis, units: tuple[Unit, ...], *, pseudo: bool) -> Selected:
    selections = of_stage(units, "selection")
    nominal = [unit for unit in selections if unit.name in analysis.samples]
    return Selected(
        tables={u.name: read_event_table(u.folder / "events.zarr") for u in nominal},
        summaries={u.name: read_view(u.folder / "summary.json") for u in nominal},
        varied=varied_events(analysis, selections),
        blind=blind_regions(analysis),
        models=_binned_models(analysis, units),
        label=label_of(analysis, pseudo=pseudo),
        observed_title="Pseudo-data" if pseudo else "Data",
    )


def _binned_models(analysis: Analysis, units: tuple[Unit, ...]) -> dict[str, LikelihoodModel]:
    return {
        name: open_likelihood(unit.folder / "likelihood", name)
        for unit in of_stage(units, "serialization")
        for name, likelihood in analysis.likelihoods.items()
        if any(isinstance(channel, BinnedChannel) for channel in likelihood.channels.values())
    }


def _facts(analysis: Analysis) -> tuple[str, ...]:
    metadata = analysis.metadata
    energies = ", ".join(f"{energy:g}" for energy in metadata.sqrt_s_tev)
    return (
        metadata.experiment,
        f"√s = {energies} TeV",
        f"{metadata.luminosity_fb:g} fb⁻¹",
        f"licence {metadata.license}",
    )


def _n_observed(analysis: Analysis, selected: Selected) -> int | None:
    """Return the number of data events in the regions of all likelihoods, blind ones apart; None without data."""
    regions = set(regions_used(analysis)) - selected.blind
    data = selected.data()
    if data is None or not regions:
        return None
    used = [index for index, name in enumerate(data.region_names) if name in regions]
    return int(np.count_nonzero(data.regions[:, used].any(axis=1)))
