"""``index.html`` of a published bundle: what it is, its use, where it holds, what was found; it loads nothing."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

from evercast.artifacts.files import atomic_write_bytes, sha256_file
from evercast.publication.authors import author_line, origin_of
from evercast.publication.bundle_context import BundleContext
from evercast.publication.licences import LICENCES
from evercast.publication.page_domain import domain_section
from evercast.publication.page_figures import score_drawing
from evercast.publication.page_usage import usage_section
from evercast.publication.plots.figure import Label
from evercast.publication.report.blocks import Block, Cell, Gallery, Page, Paragraph, Section, Table
from evercast.publication.report.mathtext import to_html
from evercast.publication.report.page import PSEUDO_BANNER, label_of, render_page, without_marks
from evercast.publication.report.processes import drawn_processes
from evercast.publication.report.sections_results import headlines, result_sentence, results_section
from evercast.publication.report.view import JsonView
from evercast.publication.results import LikelihoodResult, read_result

__all__ = ["add_page"]

_PAGE: Final = "index.html"
_DISCLOSURE: Final = {
    "ratios": "Level ratios: the log density ratios of the observed events are given, no observable of any event and "
    "no network. L(θ) can be computed for every θ; nobody can evaluate events of their own.",
    "networks": "Level networks: beside the log density ratios of the observed events the networks are given. L(θ) can "
    "be computed for every θ, and the ratios of events of your own. Observables of observed events are kept back.",
    "events": "Level events: everything is given, the observables of the observed events too.",
}
_FILES: Final = {
    "manifest.json": "what the bundle is: observables, processes, conventions, digests",
    "manifest-sha256.txt": "the digests of all files, for sha256sum -c",
    "likelihood.json": "parameters, constraints, channels, yields, coefficients",
    "events.safetensors": "log ratios of the observed and of simulated events",
    "reference_vectors.json": "what every program that reads the bundle must reproduce",
    "validity.json": "domain: ranges, support, parameters, rule",
    "support.safetensors": "reference points of the support test",
    "architecture.json": "the networks, layer by layer, with formulas",
    "results.json": "fits, intervals, limits",
    "diagnostics.json": "checks of networks, likelihood and fits",
    "workspace.json": "pyhf workspace of the same run",
    "projection.json": "binned projection of this likelihood, for pyhf",
    "model.onnx": "copy of the networks for onnxruntime",
    "model.stablehlo": "copy of the networks for XLA",
    "read_numpy.py": "reader in numpy alone",
    "read_onnx.py": "reader with onnxruntime",
    "projection_parametrisation.json": "formulas of the factors in the projection",
    "read_projection.py": "evaluates the projection with pyhf",
    "report.html": "report of the whole analysis",
    "README.md": "the same as this page in short",
    "LICENSE.txt": "licence",
    "CITATION.cff": "how to cite",
}


def add_page(folder: Path, context: BundleContext) -> Mapping[str, object]:
    """Write ``index.html`` from what stands in the folder; call it last.

    Raises:
        EnvironmentUnfit: the disk is full or read-only.
    """
    html = without_marks(render_page(_page(folder, context)))
    atomic_write_bytes(folder / _PAGE, html.encode())
    return {"file": _PAGE, "readme": "README.md"}


def _page(folder: Path, context: BundleContext) -> Page:
    manifest: Mapping[str, Any] = context.manifest
    analysis, metadata = context.analysis, context.analysis.metadata
    result = read_result(context.likelihood, JsonView(dict(context.result)))
    pseudo = context.pseudo
    label = label_of(analysis, pseudo=pseudo)
    observed = sum(one["observed_events"] for one in manifest["channels"].values())
    sections = (
        _about(manifest),
        usage_section(folder, manifest, context.model),
        domain_section(folder, manifest),
        _found(context, result, label),
        _inside(manifest),
        _files(folder),
        _terms(context),
    )
    energies = ", ".join(f"{energy:g}" for energy in metadata.sqrt_s_tev)
    return Page(
        title=str(manifest["title"]),
        name="Neural likelihood",
        facts=(
            origin_of(analysis, pseudo=pseudo), f"{energies} TeV", f"{metadata.luminosity_fb:g} fb⁻¹", metadata.license,
            f"run {manifest['run_id']}",
        ),
        banners=(PSEUDO_BANNER,) if pseudo else (),
        sentence=result_sentence(analysis, (result,), n_observed=observed, pseudo=pseudo),
        headlines=headlines(analysis, (result,)),
        verdicts=(),
        sections=sections,
        footer=f"Written by evercast {version('evercast')}; the page needs no network and no program.",
    )  # fmt: skip


def _about(manifest: Mapping[str, Any]) -> Section:
    networks = sum(one["members"] * one["folds"] * len(one["processes"]) for one in manifest["ensembles"].values())
    channels = ", ".join(
        f"{name} ({one['observed_events']} observed events)" for name, one in manifest["channels"].items()
    )
    rows = [
        ("unbinned channels", channels),
        ("observables", ", ".join(one["name"] for one in manifest["observables"])),
        ("networks", f"{networks}, {_members(manifest)}"),
        ("disclosure", _DISCLOSURE[manifest["disclosure"]]),
    ]
    text = (
        "This folder is a complete statistical model: give it values of the parameters, and it returns −2 ln L of the "
        "observed events, with nothing lost to binning. Neural networks have learned, from simulation, how much more "
        "probable each event is under each process than under a reference; their answers for the observed events are "
        "stored here as log density ratios."
    )
    blocks: list[Block] = [
        Paragraph(text=text),
        Table(title="In short", headers=("", ""), rows=tuple((Cell(name), Cell(value)) for name, value in rows)),
    ]
    if manifest["metadata"]["description"]:
        blocks.insert(0, Paragraph(text=manifest["metadata"]["description"]))
    return Section(anchor="about", title="What this is", blocks=tuple(blocks))


def _members(manifest: Mapping[str, Any]) -> str:
    """Return how many networks answer for each density."""
    return "; ".join(
        f"{name}: {one['members']} members in {one['folds']} folds for each of {len(one['processes'])} processes"
        for name, one in manifest["ensembles"].items()
    )


def _found(context: BundleContext, result: LikelihoodResult, label: Label) -> Section:
    """Return the results of the analysis with this likelihood, and the events as it sees them."""
    section = results_section(context.analysis, (result,), label, {})
    drawing = score_drawing(context.core, context.model, drawn_processes(context.analysis), label)
    blocks = section.blocks if drawing is None else (*section.blocks, Gallery(drawings=(drawing,)))
    lead = f"{section.lead} The same numbers stand in results.json; whoever uses the likelihood must get them again."
    return Section(anchor="results", title="What was found", lead=lead, blocks=blocks)


def _inside(manifest: Mapping[str, Any]) -> Section:
    """Return processes and conventions: what the numbers in the files mean."""
    yields = {
        process: f"{name}: {number:.4g}"
        for name, channel in manifest["channels"].items()
        for process, number in channel["yields"].items()
    }
    processes = Table(
        title="Processes",
        headers=("process", "", "coefficient", "expected events at coefficient 1"),
        rows=tuple(
            (
                Cell(name, "code"),
                Cell((one["title"] or "").replace("->", "→")),
                Cell(one["coefficient"], "code"),
                Cell(yields.get(name, "–"), "number"),
            )
            for name, one in manifest["processes"].items()
        ),
    )
    observables = Table(
        title="Observables, in the order in which the networks take them",
        headers=("name", "symbol", "unit", "definition"),
        rows=tuple(
            (
                Cell(one["name"], "code"),
                Cell(to_html(one["label"] or one["name"])),
                Cell(one["unit"]),
                Cell(one["expression"], "code"),
            )
            for one in manifest["observables"]
        ),
        note="Definitions are expressions of the objects under selection in manifest.json; momenta and masses in GeV.",
    )
    conventions = Table(
        title="Conventions",
        headers=("quantity", "meaning"),
        rows=tuple((Cell(key.replace("_", " ")), Cell(text)) for key, text in manifest["conventions"].items()),
        folded=True,
    )
    return Section(anchor="inside", title="What the numbers mean", blocks=(processes, observables, conventions))


def _files(folder: Path) -> Section:
    rows = tuple(
        (
            Cell(path.name, "code"),
            Cell(_FILES.get(path.name, "weights of networks" if path.suffix == ".safetensors" else "")),
            Cell(_size(path.stat().st_size), "number"),
            Cell(sha256_file(path), "code"),
        )
        for path in sorted(folder.iterdir())
        if path.name != _PAGE
    )
    table = Table(
        title="Files when this page was written", headers=("file", "", "size", "sha256"), rows=rows, folded=True
    )
    lead = (
        "Every file is named with its digest in manifest.json; sha256sum -c manifest-sha256.txt compares all of them."
    )
    return Section(anchor="files", title="Files", lead=lead, blocks=(table,))


def _size(number: int) -> str:
    return f"{number / 1e6:.1f} MB" if number >= 1e6 else f"{number / 1e3:.1f} kB"


def _terms(context: BundleContext) -> Section:
    metadata = context.analysis.metadata
    known = LICENCES.get(metadata.license)
    rows = [(Cell("licence"), Cell(metadata.license if known is None else known.name, link=known and known.url))]
    if known is not None:
        rows.append((Cell("which means"), Cell(known.meaning)))
    rows.append((Cell("published by"), Cell(author_line(context.analysis))))
    rows.append((Cell("whose data"), Cell(origin_of(context.analysis, pseudo=context.pseudo))))
    rows += [(Cell("contact"), Cell(contact)) for contact in metadata.contacts]
    for reference in metadata.references:
        link = (
            f"https://doi.org/{reference.doi}" if reference.doi
            else f"https://arxiv.org/abs/{reference.arxiv}" if reference.arxiv else reference.url
        )  # fmt: skip
        rows.append((Cell("reference"), Cell(reference.title, link=link)))
    rows.append((Cell("to cite"), Cell("CITATION.cff", "code")))
    return Section(
        anchor="licence",
        title="Licence, contact, citation",
        blocks=(Table(title=Markup(""), headers=("", ""), rows=tuple(rows)),),
    )
