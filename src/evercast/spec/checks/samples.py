"""Samples, generators, histograms: inputs that exist, and normalisations that are declared and never guessed."""

from __future__ import annotations

from evercast.spec.checks.context import Context, check_increasing, check_reference
from evercast.spec.checks.stages import check_stage_output
from evercast.spec.model import EventFile, Normalisation, Sample
from evercast.spec.report import Path, Report

__all__ = ["check_samples"]


def check_samples(context: Context, report: Report) -> None:
    """Check samples with their files and normalisation, generators and histograms."""
    for name, sample in context.analysis.samples.items():
        _check_sample(context, report, name, sample)
    roles = [sample.role for sample in context.analysis.samples.values()]
    if roles.count("data") != 1 and context.is_whole("samples"):
        report.add(
            ("samples",),
            "spec.data-sample",
            "a likelihood needs exactly one sample with role data",
            found=str(roles.count("data")),
            expected="1",
            key=True,
        )
    for name, generator in context.analysis.generators.items():
        if generator.events % generator.jobs:
            message = f"{generator.events} events cannot be divided by {generator.jobs} jobs"
            report.add(("generators", name, "jobs"), "spec.not-divisible", message)
        if generator.output == "hepmc3" and (generator.truth or generator.keep_pdg):
            message = "a HepMC record is written whole: its history is in it and nothing is left out"
            key = "truth" if generator.truth else "keep_pdg"
            report.add(("generators", name, key), "spec.whole-record", message, hint=f"leave out {key}")
    _check_histograms(context, report)


def _check_sample(context: Context, report: Report, name: str, sample: Sample) -> None:
    for place, file in enumerate(sample.files):
        _check_file(context, report, ("samples", name, "files", place), file)
    path: Path = ("samples", name, "normalisation")
    used = any(process.sample == name for process in context.analysis.processes.values())
    if sample.role == "data":
        for key, value in (("normalisation", sample.normalisation), ("weight", sample.weight)):
            if value is not None:
                message = f"observed events have no {key}"
                report.add(
                    ("samples", name, key), "spec.data-sample", message, hint="remove it, or set role: simulation"
                )
    elif sample.normalisation is not None:
        _check_normalisation(context, report, path, sample.normalisation)
    elif used and "normalisation" not in context.body["samples"][name]:
        report.add(
            ("samples", name),
            "spec.normalisation",
            "a simulated sample of a process needs a normalisation",
            expected="one of cross_section_pb, yield_events, histogram; it is never guessed from the files",
            key=True,
        )


def _check_file(context: Context, report: Report, path: Path, file: EventFile) -> None:
    if file.source is not None:
        check_reference(report, (*path, "source"), file.source, "source", context.declared("sources"))
    if file.generator is not None:
        check_reference(report, (*path, "generator"), file.generator, "generator", context.declared("generators"))
    if file.stage is not None:
        check_stage_output(context, report, (*path, "stage"), file.stage)
    if file.sha256 is not None and file.path is None:
        message = "sha256 stands with 'path' only; sources have their own, and the rest is tracked by the plan"
        report.add((*path, "sha256"), "spec.needless-key", message, hint="remove it")
    if file.tree is not None and file.format not in {"auto", "root"}:
        message = f"'tree' is for ROOT files, the format is {file.format}"
        report.add((*path, "tree"), "spec.needless-key", message, hint="remove it")
    for name, properties in file.collections.items():
        _check_collection(
            report, (*path, "collections", name), {key: len(columns) for key, columns in properties.items()}
        )


def _check_collection(report: Report, path: Path, lengths: dict[str, int]) -> None:
    """Check that all properties name the same number of items, and that they make four-vectors."""
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{key} {length}" for key, length in lengths.items())
        report.add(path, "spec.columns", "all properties need the same number of columns", found=listed)
    keys = set(lengths)
    cartesian = {"px", "py", "pz"} <= keys
    polar = {"pt", "eta", "phi"} <= keys
    if not (cartesian or polar) or not keys & {"energy", "mass"}:
        report.add(
            path,
            "spec.columns",
            "the properties do not make four-vectors",
            found=", ".join(lengths),
            expected="px, py, pz or pt, eta, phi; with energy or mass",
        )


def _check_normalisation(context: Context, report: Report, path: Path, normalisation: Normalisation) -> None:
    histogram = normalisation.histogram
    if histogram is not None:
        check_reference(report, (*path, "histogram"), histogram, "histogram", context.declared("histograms"))
    if normalisation.region is not None:
        regions = context.declared("selection", "regions")
        check_reference(report, (*path, "region"), normalisation.region, "region", regions)
    elif (
        normalisation.cross_section_pb is None
        and "region" not in context.body["samples"][str(path[1])]["normalisation"]
    ):
        message = "the region in which the events are counted is missing"
        report.add(path, "spec.normalisation", message, expected="region: NAME", key=True)
    _check_companions(context, report, path, normalisation)
    calibration = normalisation.calibration
    if calibration is not None:
        place = (*path, "calibration")
        check_increasing(report, (*place, "edges"), calibration.edges, "edges")
        observables = context.declared("selection", "observables")
        known = check_reference(report, (*place, "observable"), calibration.observable, "observable", observables)
        shape = calibration.shape_of if calibration.shape_of is not None else histogram
        if calibration.shape_of is not None:
            check_reference(
                report, (*place, "shape_of"), calibration.shape_of, "histogram", context.declared("histograms")
            )
        declared = context.analysis.histograms.get(shape or "")
        if known and declared is not None and declared.observable != calibration.observable:
            wanted = declared.observable
            message = f"the histogram '{shape}' is of the observable '{wanted}'"
            report.add((*place, "observable"), "spec.mismatch", message, found=calibration.observable, expected=wanted)


def _check_companions(context: Context, report: Report, path: Path, normalisation: Normalisation) -> None:
    """Check that keys stand only with the kind of normalisation they belong to."""
    given = context.body["samples"][str(path[1])]["normalisation"]
    by_cross_section = normalisation.cross_section_pb is not None
    needless = {
        "region": by_cross_section,
        "generated_sum_of_weights": not by_cross_section,
        "k_factor": not by_cross_section and normalisation.k_factor != 1,
        "calibration": normalisation.histogram is None,
    }
    for key, is_needless in needless.items():
        if is_needless and key in given:
            owner = "'yield_events' or 'histogram'" if key == "region" else "'cross_section_pb'"
            owner = "'histogram'" if key == "calibration" else owner
            message = f"'{key}' has no meaning here; it belongs to {owner}"
            report.add((*path, key), "spec.needless-key", message, hint="remove it")


def _check_histograms(context: Context, report: Report) -> None:
    for name, histogram in context.analysis.histograms.items():
        path: Path = ("histograms", name)
        observables = context.declared("selection", "observables")
        check_reference(report, (*path, "observable"), histogram.observable, "observable", observables)
        for place, term in enumerate(histogram.terms):
            sources = context.declared("sources")
            check_reference(report, (*path, "terms", place, "source"), term.source, "source", sources)
