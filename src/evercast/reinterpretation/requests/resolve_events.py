"""Points that bring events or a card, checked against the preserved selection; their patches follow when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from evercast.errors import InvalidInput
from evercast.reinterpretation.requests.model import Events, NewPoint, Request, SignalPoint, Yields
from evercast.reinterpretation.wrapped.data import RecordData
from evercast.reinterpretation.wrapped.model import Regions, WrappedAnalysis
from evercast.spec.codec import to_json
from evercast.spec.model import Analysis

__all__ = ["EVENT_FORMS", "one_event", "point_of_events", "preserved_of"]

EVENT_FORMS: Final = frozenset({"events", "generate"})
"""Forms of a signal whose events the preserved selection selects."""


def preserved_of(request: Request, data: RecordData, likelihood: str, regions: Regions) -> Analysis | None:
    """Return the preserved document where a point brings events; None where none does.

    Raises:
        InvalidInput: ``request.no-selection``: the analysis preserves none for this likelihood.
        InvalidDocument: it is not valid.
        IntegrityError: it is another one than the analysis names.
    """
    asked = [name for name, point in request.signal.points.items() if point.form in EVENT_FORMS]
    if not asked:
        return None
    from evercast.reinterpretation.requests.preserved import preserved_selection, selection_of  # noqa: PLC0415 - heavy

    where = f"$.signal.points.{asked[0]}"
    if not set(selection_of(data.analysis, where=where).channels) & set(regions.fitted):
        message = f"the preserved selection fills no channel of the likelihood '{likelihood}'"
        raise InvalidInput(message, code="request.no-selection", where=where)
    return preserved_selection(data)


def point_of_events(
    request: Request, name: str, stated: NewPoint, analysis: WrappedAnalysis, selection: Analysis, folder: Path, *,
    remember: bool,
) -> SignalPoint:  # fmt: skip
    """Return a point whose events are selected when the request is run.

    Raises:
        InvalidInput: what is wrong with a file or a setting.
        IntegrityError: a file is not the one that the request names.
    """
    from evercast.reinterpretation.requests.declaring import declare_signal  # noqa: PLC0415 - heavy

    assert request.collision is not None  # noqa: S101 - by the checks of the document
    assert analysis.selection is not None  # noqa: S101 - there is a selection
    where = f"$.signal.points.{name}"
    signal = declare_signal(
        stated,
        selection,
        collision=request.collision,
        folder=folder,
        where=where,
        requires=analysis.selection.requires,
        remember=remember,
    )
    digest = signal.key(
        selection=analysis.selection.sha256, channels=to_json(analysis.selection.channels),
        luminosity_fb=analysis.metadata.luminosity_fb,
    )  # fmt: skip
    return SignalPoint(
        name=name, values=stated.values, origin="events" if stated.events is not None else "generate", patch=(),
        digest=digest, cross_section_pb=signal.cross_section_pb, events={}, signal=signal,
    )  # fmt: skip


def one_event(regions: Regions) -> Yields:
    """Return an event in every bin that is fitted, to ask the likelihood what it allows before any is selected."""
    return Yields(channels={name: Events(events=(1.0,) * bins) for name, bins in regions.fitted.items()})
