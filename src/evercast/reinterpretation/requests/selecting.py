"""From the units of a derived run to the signal of a point: cut flow, expected events, and the yields of its patch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from evercast.artifacts.event_table import EventTable, read_event_table
from evercast.artifacts.files import read_json
from evercast.errors import IntegrityError
from evercast.events.normalise import effective_sample_size, place_in_bins
from evercast.reinterpretation.requests.declared import DeclaredSignal
from evercast.reinterpretation.requests.derived import DerivedRun, unit_of, units_of
from evercast.reinterpretation.requests.model import Events, Yields
from evercast.reinterpretation.requests.selected import CutStep, FileRead, SelectedBins, SelectedSignal, UnitUsed
from evercast.reinterpretation.wrapped.model import Binning, PreservedSelection

__all__ = ["selected_signal", "yields_of"]

_ALL: Final = "all events"
_REGION: Final = "region "
_CANCELS: Final = 1e-12
"""Sum of weights over that of their sizes that is but rounding."""


def selected_signal(
    run: DerivedRun, signal: DeclaredSignal, selection: PreservedSelection, *, luminosity_fb: float
) -> SelectedSignal:
    """Return what the selection made of a signal.

    Args:
        run: that is finished.
        signal: one of its samples.
        selection: says which regions fill which channels.
        luminosity_fb: to which the events are normalised.

    Raises:
        IntegrityError: a unit is not what its digests say.
    """
    unit = unit_of(run.frozen, signal.sample)
    folder = run.frozen.folder.unit(unit)
    summary, table = _summary(folder), read_event_table(folder / "events.zarr")
    flow = tuple(_step(entry) for entry in summary["cut_flow"])
    bins = {name: _filled(table, binning) for name, binning in selection.channels.items()}
    generated = int(summary["n_read"])
    made = _stated(summary) if signal.generator is not None else None
    return SelectedSignal(
        cut_flow=flow, bins=bins, generated_events=generated, sum_of_weights=flow[0].sum_of_weights,
        effective_events=float(generated) if signal.effective_events is None else signal.effective_events,
        effective_selected=effective_sample_size(table.weight), selected_events=len(table), luminosity_fb=luminosity_fb,
        cross_section_pb=signal.cross_section_pb,
        file_cross_section_pb=signal.file_cross_section_pb if signal.generator is None else made,
        files=tuple(
            FileRead(
                path=entry.path, sha256=entry.sha256, size_bytes=entry.size_bytes, events=entry.events,
                format=entry.format,
            )
            for entry in signal.inputs
        ),
        units=tuple(
            UnitUsed(id=one.id, stage=one.stage, key=one.key, computed=one.id not in run.finished)
            for one in units_of(run.frozen, unit)
        ),
        remarks=(*signal.remarks, *_remark_of_card(made, signal)),
    )  # fmt: skip


def _remark_of_card(made: float | None, signal: DeclaredSignal) -> tuple[str, ...]:
    if made is None:
        return ()
    stated = f"the request states {signal.cross_section_pb:.4g} pb with all its factors"
    return (f"the generator finds a cross-section of {made:.4g} pb at its order; {stated}, which is used",)


def yields_of(signal: SelectedSignal, *, systematic: float) -> Yields:
    """Return the yields that make the patch; for the limit on the efficiency count the equal events of the sample."""
    return Yields(
        channels={name: Events(events=bins.events, uncertainty=bins.uncertainty) for name, bins in signal.bins.items()},
        systematic=systematic, generated_events=max(math.floor(signal.effective_events), 1),
    )  # fmt: skip


def _summary(folder: Path) -> Mapping[str, Any]:
    body = read_json(folder / "summary.json")
    if not isinstance(body, dict) or not body.get("cut_flow"):
        raise IntegrityError("the summary of the selection cannot be read", code="request.result", where=str(folder))
    return body


def _step(entry: Mapping[str, Any]) -> CutStep:
    name = str(entry["step"])
    region = name.startswith(_REGION)
    return CutStep(
        name="all" if name == _ALL else name.removeprefix(_REGION) if region else name, events=int(entry["events"]),
        sum_of_weights=float(entry["sum_of_weights"]), expected=float(entry["sum_of_weights_expected"]), region=region,
    )  # fmt: skip


def _filled(table: EventTable, binning: Binning) -> SelectedBins:
    """Return sum and root of the sum of squares of the weights in each bin."""
    rows = table.in_region(binning.region)
    weight = rows.weight
    if binning.observable is None:
        place = np.zeros(len(weight), dtype=np.int64)
    else:
        values = rows.columns([binning.observable])[:, 0]
        place = place_in_bins(values, np.asarray(binning.edges, dtype=np.float64))
        if binning.overflow:
            place = np.minimum(place, binning.bins - 1)
    inside = (place >= 0) & (place < binning.bins)
    place, weight = place[inside], weight[inside]
    events = np.bincount(place, weights=weight, minlength=binning.bins)
    squares = np.bincount(place, weights=weight**2, minlength=binning.bins)
    sizes = np.bincount(place, weights=np.abs(weight), minlength=binning.bins)
    events[np.abs(events) < _CANCELS * sizes] = 0.0
    return SelectedBins(events=tuple(events.tolist()), uncertainty=tuple(np.sqrt(squares).tolist()))


def _stated(summary: Mapping[str, Any]) -> float | None:
    """Return the cross-section that the generator found: of its parts by their events."""
    stated = [
        (file["facts"]["cross_section_pb"], file["n_events"])
        for file in summary["input"]
        if file["facts"]["cross_section_pb"] is not None
    ]
    total = sum(number for _, number in stated)
    return sum(value * number for value, number in stated) / total if total else None
