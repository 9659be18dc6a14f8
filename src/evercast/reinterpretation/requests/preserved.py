"""The selection that a published analysis preserves: its document read, checked, and ready for signals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from evercast.artifacts.files import sha256_file
from evercast.errors import IntegrityError, InvalidInput
from evercast.reinterpretation.wrapped.data import RecordData
from evercast.reinterpretation.wrapped.model import PreservedSelection, WrappedAnalysis
from evercast.spec.checks.context import Context
from evercast.spec.checks.names import check_names
from evercast.spec.checks.samples import check_samples
from evercast.spec.checks.selection import check_selection
from evercast.spec.checks.stages import check_stages
from evercast.spec.codec import from_json
from evercast.spec.model import Analysis
from evercast.spec.reader import Document, read_document
from evercast.spec.report import Report, invalid_document
from evercast.spec.structure import violations

__all__ = ["preserved_selection", "selection_of"]

_KEPT: Final = ("environments", "sources", "stages", "histograms", "selection")
_ABSENT: Final = ("samples", "parameters", "processes", "likelihoods", "inference", "metadata", "title")
"""What a document that only selects events may leave out."""
_NO_INFERENCE: Final = {"scan_range": [0.0, 1.0]}


def selection_of(analysis: WrappedAnalysis, *, where: str) -> PreservedSelection:
    """Return the selection that an analysis preserves.

    Raises:
        InvalidInput: ``request.no-selection``.
    """
    if analysis.selection is None:
        message = f"the analysis {analysis.name} preserves no selection: its signals are patches or yields"
        raise InvalidInput(message, code="request.no-selection", where=where)
    return analysis.selection


def preserved_selection(data: RecordData) -> Analysis:
    """Return the document that selects events, without samples; luminosity and energy are those of the record.

    Of the document count its `selection`, and what that needs: environments, sources, stages and histograms.

    Raises:
        IntegrityError: ``wrapped.selection``: it is missing, a link, or another one.
        InvalidDocument: it is not valid.
        InvalidInput: ``wrapped.binning``: a region or an observable of the binning is not in it.
    """
    analysis = data.analysis
    selection = selection_of(analysis, where="$.selection")
    document = read_document(_checked(data, selection))
    body = document.value
    found = _without_absent(document)
    if found or document.problems:
        report = Report(document, document.bad_paths)
        for item in found:
            report.add(item.path, item.code, item.message, found=item.found, expected=item.expected, hint=item.hint)
        raise invalid_document([*document.problems, *report.problems])
    parsed = from_json(Analysis, _completed(body, analysis))
    _cross_check(document, parsed)
    for channel, binning in selection.channels.items():
        _check_name(binning.region, parsed.selection.regions, f"region of the channel '{channel}'")
        if binning.observable is not None:
            _check_name(binning.observable, parsed.selection.observables, f"observable of the channel '{channel}'")
    return parsed


def _checked(data: RecordData, selection: PreservedSelection) -> Path:
    place = (data.folder or Path()) / selection.file
    if place.is_symlink() or not place.is_file():
        raise IntegrityError("the preserved selection is missing", code="wrapped.selection", where=str(place))
    found = sha256_file(place)
    if found != selection.sha256:
        message = f"the preserved selection has sha256 {found}; the analysis names {selection.sha256}"
        raise IntegrityError(message, code="wrapped.selection", where=str(place))
    return place


def _without_absent(document: Document) -> list[Any]:
    """Return what the schema forbids, but for what only a whole analysis needs."""
    return [
        item
        for item in violations(document, "analysis")
        if not (item.path == () and item.missing in _ABSENT) and not (item.path and item.path[0] in _ABSENT)
    ]


def _completed(body: dict[str, Any], analysis: WrappedAnalysis) -> dict[str, Any]:
    metadata = analysis.metadata
    return {
        "schema": "analysis/1.0.0", "name": analysis.name, "title": analysis.title,
        "metadata": {
            "experiment": metadata.experiment, "sqrt_s_tev": [metadata.sqrt_s_tev],
            "luminosity_fb": metadata.luminosity_fb, "license": metadata.license,
        },
        **{key: body[key] for key in _KEPT if key in body},
        "samples": {}, "parameters": {}, "processes": {}, "likelihoods": {}, "inference": _NO_INFERENCE,
    }  # fmt: skip


def _cross_check(document: Document, analysis: Analysis) -> None:
    """Check what the selection says of itself; that there are observed events is no matter of it."""
    report = Report(document, document.bad_paths)
    body: dict[str, Any] = {**document.value, "samples": {}, "processes": {}}
    context = Context(analysis=analysis, body=body, folder=None, broken=frozenset({("samples",)}))
    for check in (check_names, check_stages, check_samples, check_selection):
        check(context, report)
    if report.problems:
        raise invalid_document(report.problems)


def _check_name(name: str, known: Any, what: str) -> None:
    if name not in known:
        message = f"the {what}, {json.dumps(name)}, is not in the preserved selection; it has {', '.join(known)}"
        raise InvalidInput(message, code="wrapped.binning", where="$.selection.channels")
