"""Entries of what lies in the places of a catalogue, whatever it is."""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path

from evercast.artifacts.files import canonical_json
from evercast.errors import EvercastError
from evercast.reinterpretation.catalogue.archive_entries import archive_entries, bundle_entry
from evercast.reinterpretation.catalogue.model import Entry, Kind
from evercast.reinterpretation.catalogue.places import Found
from evercast.reinterpretation.wrapped.model import WrappedAnalysis, analysis_digest
from evercast.reinterpretation.wrapped.read import read_wrapped

__all__ = ["entries_of_place"]


def entries_of_place(found: Found) -> list[Entry]:
    """Return the entries of a place, looked at anew; several for an archive of several versions.

    Args:
        found: anything but an index.
    """
    if found.form == "archive":
        return archive_entries(found.path)
    if found.form == "bundle":
        return [bundle_entry(found.path)]
    kind: Kind = "wrapped likelihood" if found.form == "wrapped" else "analysis document"
    try:
        if found.form == "wrapped":
            return [_wrapped(found.path, read_wrapped(found.path))]
        return [_document(found.path)]
    except EvercastError as err:
        name = found.path.parent.name
        return [Entry(path=found.path, kind=kind, name=name, problem=str(err), exit_code=err.exit_code)]


def _wrapped(path: Path, analysis: WrappedAnalysis) -> Entry:
    counts = [f"{len(regions.patches)} signal points ({name})" for name, regions in analysis.likelihoods.items()]
    digest, metadata = analysis_digest(analysis), analysis.metadata
    name = f"{analysis.name}@{digest[:8]}"
    selected = getattr(analysis, "selection", None) is not None
    facts = (
        ("collisions", f"{metadata.beams} at {metadata.sqrt_s_tev:g} TeV, {metadata.luminosity_fb:g}/fb"),
        ("axes", ", ".join(f"{axis.name} [{axis.unit}]" for axis in analysis.axes)),
        ("doi", metadata.doi or ""),
        ("paper", metadata.paper or ""),
        ("licence", metadata.license),
        ("published numbers", str(len(analysis.published)) if analysis.published else ""),
    )
    inputs: tuple[str, ...] = ("JSON patches", "expected events in the bins")
    if any(regions.patches for regions in analysis.likelihoods.values()):
        inputs = ("signal points of the record", *inputs)
    return Entry(
        path=path, kind="wrapped likelihood", name=analysis.name, title=analysis.title, digest=digest,
        experiment=metadata.experiment, signatures=metadata.signatures,
        disclosure=f"full binned likelihood; {'; '.join(counts)}",
        inputs=(*inputs, "simulated events", "the card of a generator") if selected else inputs,
        facts=tuple((what, text) for what, text in facts if text),
        commands=(
            ("ask it: is my signal excluded?", f"evercast request new MY-REQUEST --analysis {name}"),
            ("compare every file and patch", f"evercast catalogue check {name}"),
        ),
        replayed="nothing to replay: every request computes its numbers anew",
    )  # fmt: skip


def _document(path: Path) -> Entry:
    from evercast.spec import analysis_to_json, load_analysis  # noqa: PLC0415 - with this kind only

    analysis = load_analysis(path, check_files=False)
    titles = dict.fromkeys(process.title or name for name, process in analysis.processes.items())
    metadata = analysis.metadata
    energies = " and ".join(f"{energy:g}" for energy in metadata.sqrt_s_tev)
    facts = (
        ("collisions", f"{energies} TeV, {metadata.luminosity_fb:g}/fb"),
        ("likelihoods", ", ".join(analysis.likelihoods)),
        ("description", metadata.description or ""),
        ("licence", metadata.license),
    )
    return Entry(
        path=path, kind="analysis document", name=analysis.name, title=analysis.title,
        digest=hashlib.sha256(canonical_json(analysis_to_json(analysis))).hexdigest(),
        experiment=metadata.experiment, signatures=tuple(titles)[:20],
        inputs=("none: its archive is asked, once it was run",),
        disclosure="document only; run it to make its likelihood",
        facts=tuple((what, text) for what, text in facts if text),
        commands=(
            ("run it and publish", f"evercast run {shlex.quote(str(path))}"),
            ("what a run would do", f"evercast plan {shlex.quote(str(path))}"),
        ),
        replayed="nothing to replay: it was not run",
    )  # fmt: skip
