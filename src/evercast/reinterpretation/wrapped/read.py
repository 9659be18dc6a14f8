"""Wrapped analyses read from their documents, and what must hold in them beyond the schema."""

from __future__ import annotations

from pathlib import Path

from evercast.reinterpretation.checked import read_checked
from evercast.reinterpretation.wrapped.model import Binning, Place, PreservedSelection, Published, WrappedAnalysis
from evercast.spec.checks.files import unsafe_reason
from evercast.spec.report import Path as Place_
from evercast.spec.report import Report, shown

__all__ = ["read_wrapped"]


def read_wrapped(path: Path) -> WrappedAnalysis:
    """Return the wrapped analysis in a document.

    Raises:
        InvalidDocument: with every problem of syntax, of the schema and of the cross-checks.
    """
    return read_checked(path, "wrapped-analysis", WrappedAnalysis, _check)


def _check(analysis: WrappedAnalysis, report: Report) -> None:
    for name, file in analysis.files.items():
        reason = None if file.path is None else unsafe_reason(file.path)
        if reason is not None:
            message = f"the path is not allowed: {reason}"
            report.add(("files", name, "path"), "spec.unsafe-path", message, found=shown(file.path))
    for name, regions in analysis.likelihoods.items():
        _check_place(analysis, regions.background, ("likelihoods", name, "background"), report)
        for number, channel in enumerate(regions.validation or ()):
            if channel not in regions.channels:
                where = ("likelihoods", name, "validation", number)
                report.add(where, "wrapped.unknown-channel", "the likelihood has no such channel", found=shown(channel))
        if not regions.fitted:
            report.add(
                ("likelihoods", name, "validation"), "wrapped.nothing-fitted", "no channel is left that is fitted"
            )
        for point, place in regions.patches.items():
            _check_place(analysis, place, ("likelihoods", name, "patches", point), report)
    _check_points(analysis, report)
    for number, entry in enumerate(analysis.published):
        _check_published(analysis, entry, ("published", number), report)
    if analysis.selection is not None:
        _check_selection(analysis, analysis.selection, report)


def _check_place(analysis: WrappedAnalysis, place: Place, path: Place_, report: Report) -> None:
    if place.file not in analysis.files:
        report.add((*path, "file"), "wrapped.unknown-file", "no such file is declared", found=shown(place.file))
    if place.member is not None and (reason := unsafe_reason(place.member)) is not None:
        message = f"the path is not allowed: {reason}"
        report.add((*path, "member"), "spec.unsafe-path", message, found=shown(place.member))


def _check_points(analysis: WrappedAnalysis, report: Report) -> None:
    count = len(analysis.axes)
    known = {name for regions in analysis.likelihoods.values() for name in regions.patches}
    seen: dict[tuple[float, ...], str] = {}
    for name, point in analysis.points.items():
        place = ("points", name)
        if name not in known:
            report.add(place, "wrapped.no-patch", "no likelihood has a patch of this name", key=True)
        if point.values and len(point.values) != count:
            message = f"the point has {len(point.values)} values, the analysis has {count} axes"
            report.add((*place, "values"), "wrapped.multiplicity", message)
        elif point.values and (other := seen.setdefault(point.values, name)) != name:
            report.add((*place, "values"), "wrapped.duplicate-point", f"'{other}' has the same values")


def _check_published(analysis: WrappedAnalysis, entry: Published, path: Place_, report: Report) -> None:
    name = entry.likelihood if entry.likelihood is not None else next(iter(analysis.likelihoods))
    regions = analysis.likelihoods.get(name)
    if regions is None:
        report.add((*path, "likelihood"), "wrapped.unknown-likelihood", "no such likelihood", found=shown(name))
        return
    if entry.kind.startswith("excluded"):
        if len(entry.at) != len(analysis.axes) - 1:
            message = f"{len(entry.at)} values for the other axes; there are {max(len(analysis.axes) - 1, 0)}"
            report.add((*path, "at"), "wrapped.multiplicity", message)
        return
    if entry.point is None or (entry.point not in regions.patches and entry.kind != "cut_flow"):
        report.add(path, "wrapped.no-patch", f"the likelihood '{name}' has no point {shown(entry.point)}")
        return
    if entry.kind == "cut_flow" and entry.step is None:
        report.add(path, "wrapped.no-step", "events of a cut flow need the step after which they are counted")
    priced = entry.kind in {"limit_cross_section_pb", "acceptance_efficiency"}
    point = analysis.points.get(entry.point)
    if priced and (point is None or point.cross_section_pb is None):
        report.add(path, "wrapped.no-cross-section", f"the point {entry.point} has no cross_section_pb")
    if entry.kind == "acceptance_efficiency":
        bins = regions.channels.get(entry.channel or "")
        if bins is None or entry.bin is None or entry.bin >= bins:
            report.add(path, "wrapped.no-bin", "an acceptance times efficiency needs a channel and a bin of it")


def _check_selection(analysis: WrappedAnalysis, selection: PreservedSelection, report: Report) -> None:
    reason = unsafe_reason(selection.file)
    if reason is not None:
        message = f"the path is not allowed: {reason}"
        report.add(("selection", "file"), "spec.unsafe-path", message, found=shown(selection.file))
    channels = {name: bins for regions in analysis.likelihoods.values() for name, bins in regions.channels.items()}
    for name, binning in selection.channels.items():
        path = ("selection", "channels", name)
        if name not in channels:
            report.add(path, "wrapped.unknown-channel", "no likelihood has such a channel", found=shown(name), key=True)
        else:
            _check_binning(binning, channels[name], path, report)


def _check_binning(binning: Binning, bins: int, path: Place_, report: Report) -> None:
    if (binning.observable is None) != (not binning.edges):
        report.add(path, "wrapped.binning", "a binning needs both an observable and its edges, or neither")
    elif any(low >= high for low, high in zip(binning.edges, binning.edges[1:], strict=False)):
        report.add((*path, "edges"), "wrapped.binning", "the edges do not increase")
    elif binning.bins != bins:
        message = f"the region fills {binning.bins} bins; the channel has {bins}"
        report.add(path, "wrapped.binning", message)
