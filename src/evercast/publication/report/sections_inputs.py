"""Sections on what was analysed and how the work was divided."""

from __future__ import annotations

from markupsafe import Markup

from evercast.publication.report.blocks import Block, Cell, Graph, Paragraph, Section, Table
from evercast.publication.report.graph import draw_graph
from evercast.publication.report.mathtext import to_html
from evercast.publication.report.processes import coefficient_formulas
from evercast.publication.report.units import Unit
from evercast.spec.model import Analysis, EventFile, Normalisation, Reference

__all__ = ["analysis_section", "workflow_section"]


def analysis_section(analysis: Analysis) -> Section:
    """Return what the document says: the description, references, samples, model and public sources."""
    blocks: list[Block] = []
    if analysis.metadata.description:
        blocks.append(Paragraph(text=analysis.metadata.description))
    blocks += [table for table in _tables(analysis) if table.rows]
    return Section(anchor="analysis", title="What was analysed", blocks=tuple(blocks))


def workflow_section(units: tuple[Unit, ...]) -> Section:
    """Return the graph of the stages."""
    seconds = [value for unit in units if (value := unit.receipt.number("seconds")) is not None]
    text = f"{len(units)} units of work"
    if seconds:
        text += f", {sum(seconds):.0f} s of computing in all"
    caption = f"{text}. An arrow is a recorded input; units that differ in a number only are drawn as one box."
    graph = Graph(svg=Markup(draw_graph(units)), caption=caption)  # noqa: S704 - every text in it is escaped
    return Section(anchor="workflow", title="How it was made", blocks=(graph,))


def _tables(analysis: Analysis) -> tuple[Table, ...]:
    return (_references(analysis), _samples(analysis), _processes(analysis), _sources(analysis))


def _references(analysis: Analysis) -> Table:
    rows = tuple(
        (Cell(reference.title), Cell(_identifier(reference), link=_address(reference)))
        for reference in analysis.metadata.references
    )
    return Table(title="References", headers=("title", "identifier"), rows=rows)


def _identifier(reference: Reference) -> str:
    if reference.doi:
        return f"doi:{reference.doi}"
    return f"arXiv:{reference.arxiv}" if reference.arxiv else reference.url or "–"


def _address(reference: Reference) -> str | None:
    if reference.doi:
        return f"https://doi.org/{reference.doi}"
    return f"https://arxiv.org/abs/{reference.arxiv}" if reference.arxiv else reference.url


def _samples(analysis: Analysis) -> Table:
    rows = tuple(
        (
            Cell(name, "code"),
            Cell(to_html(sample.title or "–")),
            Cell(sample.role),
            Cell(_origins(sample.files)),
            Cell(_normalisation(sample.normalisation)),
        )
        for name, sample in analysis.samples.items()
    )
    return Table(title="Samples", headers=("sample", "title", "role", "events from", "normalised to"), rows=rows)


def _origins(files: tuple[EventFile, ...]) -> str:
    kinds = {"public source": 0, "generator": 0, "stage": 0, "file": 0}
    for file in files:
        if file.source:
            kinds["public source"] += 1
        elif file.generator:
            kinds["generator"] += 1
        else:
            kinds["stage" if file.stage else "file"] += 1
    generators = sorted({file.generator for file in files if file.generator})
    texts = [f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in kinds.items() if count]
    return ", ".join(texts) + (f" ({', '.join(generators)})" if generators else "")


def _normalisation(norm: Normalisation | None) -> str:
    if norm is None:
        return "–"
    where = f" in {norm.region}" if norm.region else ""
    if norm.cross_section_pb is not None:
        factor = "" if norm.k_factor == 1 else f" × {norm.k_factor:g}"
        return f"cross-section {norm.cross_section_pb:g} pb{factor}"
    if norm.yield_events is not None:
        return f"{norm.yield_events:g} events{where}"
    shape = (
        f"; shape of {norm.calibration.observable} in {len(norm.calibration.edges) - 1} bins"
        + (f" from {norm.calibration.shape_of}" if norm.calibration.shape_of else "")
        if norm.calibration
        else ""
    )
    return f"histogram {norm.histogram}{where}{shape}"


def _processes(analysis: Analysis) -> Table:
    formulas = coefficient_formulas(analysis)
    rows = tuple(
        (
            Cell(name, "code"),
            Cell(to_html(process.title or "–")),
            Cell(process.sample, "code"),
            Cell(formulas[name], "code"),
        )
        for name, process in analysis.processes.items()
    )
    labels = [
        Markup("{} = {:g}{}").format(
            to_html(parameter.label or name),
            parameter.initial,
            "" if parameter.bounds is None else f" in [{parameter.bounds[0]:g}, {parameter.bounds[1]:g}]",
        )
        for name, parameter in analysis.parameters.items()
    ]
    return Table(
        title="Model: expected density = sum of coefficient × yield × density",
        headers=("process", "title", "sample", "coefficient"),
        rows=rows,
        note=Markup("Parameters and initial values: {}.").format(Markup(", ").join(labels)) if labels else None,
    )


def _sources(analysis: Analysis) -> Table:
    rows = tuple(
        (
            Cell(name, "code"),
            Cell(source.filename or source.url.rsplit("/", 1)[-1], link=source.url),
            Cell(f"{source.size_bytes}", "number"),
            Cell(source.sha256, "code"),
            Cell(source.license),
            Cell(source.doi or "–"),
        )
        for name, source in analysis.sources.items()
    )
    headers = ("source", "file", "bytes", "sha256", "licence", "DOI")
    return Table(title=f"Public sources ({len(rows)})", headers=headers, rows=rows, folded=len(rows) > 6)
