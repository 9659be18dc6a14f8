"""A request against its analysis: every signal becomes a patch that fits, or the request is refused with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evercast.errors import EvercastError, IntegrityError, InvalidInput
from evercast.likelihood.foreign import HS3_HINT, is_hs3
from evercast.likelihood.histfactory import apply_patch, read_workspace
from evercast.likelihood.model import LikelihoodModel
from evercast.reinterpretation.requests.model import NewPoint, PatchFile, Request, SignalPoint
from evercast.reinterpretation.requests.resolve_events import (
    EVENT_FORMS,
    one_event,
    point_of_events,
    preserved_of,
)
from evercast.reinterpretation.requests.side_files import read_side_file
from evercast.reinterpretation.requests.signals import patch_of_yields, signal_events
from evercast.reinterpretation.wrapped.data import RecordData, json_digest
from evercast.reinterpretation.wrapped.json_text import kind_of_document, parse_json
from evercast.reinterpretation.wrapped.model import Regions, WrappedAnalysis, analysis_digest
from evercast.spec.model import Analysis
from evercast.spec.report import did_you_mean

__all__ = ["Resolved", "refuse_negative", "resolve"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resolved:
    """A request that can be answered.

    Args:
        request: as it was read.
        analysis: that is asked.
        digest: identity of the analysis.
        likelihood: name of the set of regions.
        regions: of that name.
        background: the workspace without signal.
        points: in the order of the request.
        selection: the preserved document, where events are to be selected.
    """

    request: Request
    analysis: WrappedAnalysis
    digest: str
    likelihood: str
    regions: Regions
    background: Mapping[str, object]
    points: tuple[SignalPoint, ...]
    selection: Analysis | None = None


def resolve(request: Request, data: RecordData, *, folder: Path, remember: bool = False) -> Resolved:
    """Return what a request asks for, after everything it names was found, compared with its digest and tried out.

    Args:
        request: as it was read.
        data: of the analysis that it names.
        folder: of the request, where its files lie.
        remember: whether what files of events hold is written down there; else nothing is written.

    Raises:
        InvalidInput: the request does not fit the analysis.
        IntegrityError: a digest is another one: of the analysis, of a file, of the background of a patch.
        EnvironmentUnfit: data of the analysis are not to be had.
    """
    analysis = data.analysis
    digest = analysis_digest(analysis)
    if request.analysis.digest not in {None, digest}:
        message = f"the analysis {analysis.name} at hand has the digest {digest}; the request names another one"
        hint = f"asked for: {request.analysis.digest}"
        raise IntegrityError(message, code="request.analysis-digest", where=request.name, hint=hint)
    _check_collision(request, analysis)
    likelihood, regions = analysis.regions(request.analysis.likelihood)
    background = data.background(regions)
    selection = preserved_of(request, data, likelihood, regions)
    points = (
        *_published(request, data, regions, background),
        *_new(request, analysis, regions, background, folder, selection, remember=remember),
    )
    _refuse_same(points)
    _check_mu(request, points, regions, background)
    return Resolved(
        request=request, analysis=analysis, digest=digest, likelihood=likelihood, regions=regions,
        background=background, points=points, selection=selection,
    )  # fmt: skip


def _check_collision(request: Request, analysis: WrappedAnalysis) -> None:
    stated, metadata = request.collision, analysis.metadata
    if stated is None:
        return
    found = (stated.beams, stated.sqrt_s_tev)
    if found != (metadata.beams, metadata.sqrt_s_tev):
        message = (
            f"the signal is of {stated.beams} collisions at {stated.sqrt_s_tev:g} TeV; the analysis {analysis.name} "
            f"is of {metadata.beams} at {metadata.sqrt_s_tev:g} TeV"
        )
        raise InvalidInput(message, code="request.collision", where="$.collision")


def _published(
    request: Request, data: RecordData, regions: Regions, background: Mapping[str, object]
) -> Iterator[SignalPoint]:
    names = list(regions.patches) if request.signal.every else list(request.signal.published)
    for name in names:
        if name not in regions.patches:
            message = f"the record has no signal point '{name}'; it has {len(regions.patches)}"
            hint = did_you_mean(name, regions.patches) or f"e.g. {', '.join(list(regions.patches)[:3])}"
            message = f"{message}: {_ranges(data.analysis)}"
            raise InvalidInput(message, code="request.unknown-point", where="$.signal.published", hint=hint)
        patch = data.patch(regions.patches[name])
        point = data.analysis.points.get(name)
        yield SignalPoint(
            name=name, values=() if point is None else point.values, origin="published", patch=patch,
            digest=regions.patches[name].sha256, cross_section_pb=None if point is None else point.cross_section_pb,
            events=signal_events(_patched(background, patch, name), regions.poi),
        )  # fmt: skip


def _ranges(analysis: WrappedAnalysis) -> str:
    """Return the range of each axis over the published points, as text."""
    values = [point.values for point in analysis.points.values() if point.values]
    if not values:
        return "their names tell what they are"
    spans = zip(*values, strict=True)
    return ", ".join(
        f"{axis.name} {min(span):g} to {max(span):g} {'' if axis.unit == '1' else axis.unit}".rstrip()
        for axis, span in zip(analysis.axes, spans, strict=True)
    )


def _new(
    request: Request,
    analysis: WrappedAnalysis,
    regions: Regions,
    background: Mapping[str, object],
    folder: Path,
    selection: Analysis | None,
    *,
    remember: bool,
) -> Iterator[SignalPoint]:
    for name, stated in request.signal.points.items():
        where = f"$.signal.points.{name}"
        if stated.values and len(stated.values) != len(analysis.axes):
            message = f"the point has {len(stated.values)} values, the analysis has {len(analysis.axes)} axes"
            raise InvalidInput(message, code="request.multiplicity", where=where)
        try:
            if selection is not None and stated.form in EVENT_FORMS:
                yield point_of_events(request, name, stated, analysis, selection, folder, remember=remember)
                continue
            point = _new_point(name, stated, regions, background, folder, where=where)
        except EvercastError as err:
            err.where = where if err.where is None or err.where.startswith("$") else f"{where}: {err.where}"
            raise
        _check_events(point, stated, analysis, where=where)
        yield point


def _new_point(
    name: str, stated: NewPoint, regions: Regions, background: Mapping[str, object], folder: Path, *, where: str
) -> SignalPoint:
    patch: Sequence[object]
    generated = None
    if stated.yields is not None:
        patch = patch_of_yields(
            background, stated.yields, poi=regions.poi, where=where, validation=regions.validation or ()
        )
        generated = stated.yields.generated_events
    else:
        assert stated.patch is not None  # noqa: S101 - one of the two, by the checks of the document
        patch = _read_patch(stated.patch, regions, folder)
    events = refuse_negative(signal_events(_patched(background, patch, name), regions.poi), where=where)
    if not events:
        message = f"the patch adds no sample that scales with '{regions.poi}'"
        raise InvalidInput(message, code="request.no-poi", where=where)
    return SignalPoint(
        name=name, values=stated.values, origin="patch" if stated.yields is None else "yields", patch=patch,
        digest=json_digest(patch), events=events, generated_events=generated,
        cross_section_pb=None if stated.cross_section is None else stated.cross_section.effective_pb,
    )  # fmt: skip


def refuse_negative(events: dict[str, tuple[float, ...]], *, where: str) -> dict[str, tuple[float, ...]]:
    """Return the events of a signal, none of whose bins is negative.

    Raises:
        InvalidInput: ``request.negative-bin``.
    """
    negative = [(channel, number) for channel, bins in events.items() for number, n in enumerate(bins) if n < 0]
    if negative:
        channel, number = negative[0]
        message = f"the signal has {events[channel][number]:g} events in bin {number} of '{channel}'"
        raise InvalidInput(message, code="request.negative-bin", where=where, hint="a bin cannot expect fewer than 0")
    return events


def _read_patch(stated: PatchFile, regions: Regions, folder: Path) -> Sequence[object]:
    """Return the patch in a file of the requester.

    Raises:
        IntegrityError: ``request.background``, ``request.file-link``, ``request.file-size``, ``request.file-digest``.
        InvalidInput: ``request.no-file``, ``request.not-a-patch``.
    """
    if stated.background != regions.background.sha256:
        message = f"the patch was made for a background with digest {stated.background}; this one has "
        raise IntegrityError(message + regions.background.sha256, code="request.background", where=stated.path)
    content = read_side_file(folder, stated)
    value = parse_json(content, where=stated.path)
    kind = kind_of_document(value)
    if not isinstance(value, list) or kind != "patch":
        hint = HS3_HINT if is_hs3(value) else None
        raise InvalidInput(
            f"expected a JSON patch, found {kind}", code="request.not-a-patch", where=stated.path, hint=hint
        )
    return value


def _patched(background: Mapping[str, object], patch: Sequence[object], name: str) -> Mapping[str, object]:
    try:
        return apply_patch(background, patch)
    except EvercastError as err:
        err.where = err.where or name
        raise


def _check_events(point: SignalPoint, stated: NewPoint, analysis: WrappedAnalysis, *, where: str) -> None:
    """Refuse more selected events than the stated cross-section can give."""
    if stated.cross_section is None:
        return
    produced = stated.cross_section.effective_pb * 1000.0 * analysis.metadata.luminosity_fb
    most = produced * (1.0 + stated.cross_section.relative_uncertainty)
    if point.total_events > most:
        message = (
            f"the signal has {point.total_events:.6g} events in the channels; the stated cross-section gives "
            f"{produced:.6g} at {analysis.metadata.luminosity_fb:g}/fb ({most:.6g} with its uncertainty)"
        )
        hint = "is the cross-section in pb, and are all factors in it?"
        raise InvalidInput(message, code="request.cross-section", where=where, hint=hint)


def _refuse_same(points: Sequence[SignalPoint]) -> None:
    """Refuse two points with the same values, or the same signal under two names."""
    seen: dict[object, str] = {}
    for point in points:
        for what, key in (("values", point.values or None), ("signal", point.digest)):
            if key is not None and (other := seen.setdefault(key, point.name)) != point.name:
                message = f"the points '{other}' and '{point.name}' have the same {what}"
                raise InvalidInput(message, code="request.duplicate-point", where="$.signal")


def _check_mu(
    request: Request, points: Sequence[SignalPoint], regions: Regions, background: Mapping[str, object]
) -> None:
    """Refuse a tested value outside of the bounds that the record gives the parameter of interest."""
    if not points:
        raise InvalidInput("the analysis has no published signal point", code="request.no-signal")
    patch = points[0].patch or patch_of_yields(
        background, one_event(regions), poi=regions.poi, where="$.signal", validation=regions.validation or ()
    )
    model = read_workspace(apply_patch(background, patch), measurement=regions.measurement)
    low, high = _bounds(model, regions.poi)
    if not low <= request.wanted.mu <= high:
        message = f"mu {request.wanted.mu:g} lies outside of the bounds of '{regions.poi}', {low:g} to {high:g}"
        raise InvalidInput(message, code="request.mu", where="$.wanted.mu")


def _bounds(model: LikelihoodModel, poi: str) -> tuple[float, float]:
    for parameter in model.parameters:
        if parameter.name == poi:
            return parameter.bounds
    raise InvalidInput(f"the patched background has no parameter '{poi}'", code="request.no-poi")
