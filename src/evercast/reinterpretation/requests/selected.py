"""What the preserved selection made of the events of a signal; responses show it, and patches are made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["CutStep", "FileRead", "SelectedBins", "SelectedSignal", "UnitUsed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CutStep:
    """A line of the cut flow: what is left after a step.

    Args:
        name: of the preselection or of the region; ``all`` before any.
        events: that are left.
        sum_of_weights: of them, in the scale of the files.
        expected: events at the stated cross-section and the luminosity of the analysis.
        region: whether it is a region: regions do not follow each other, each is cut out of the preselected events.
    """

    name: str
    events: int
    sum_of_weights: float
    expected: float
    region: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedBins:
    """Expected events in the bins of a channel, with the statistical uncertainty of the simulation."""

    events: tuple[float, ...]
    uncertainty: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRead:
    """A file of events that was read, by its digest; `path` as the request names it."""

    path: str
    sha256: str
    size_bytes: int
    events: int
    format: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitUsed:
    """A unit of the derived run: what it is, its key, and whether this submission computed it."""

    id: str
    stage: str
    key: str
    computed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedSignal:
    """A signal after the preserved selection.

    Args:
        cut_flow: in order; the regions last.
        bins: channel -> expected events and uncertainty.
        generated_events: before any cut.
        sum_of_weights: of them, in the scale of the files.
        effective_events: (sum w)^2 / sum w^2 of them.
        effective_selected: the same of the selected events; 0 where there are none.
        selected_events: that are in a bin of a channel, each counted once for every channel.
        luminosity_fb: to which `expected` and `bins` are normalised.
        cross_section_pb: likewise, with all factors.
        file_cross_section_pb: what the files say of it; None where they say nothing.
        files: that were read; empty for a card.
        units: of the derived run that belong to this point.
        remarks: in words, for the response.
    """

    cut_flow: tuple[CutStep, ...]
    bins: Mapping[str, SelectedBins]
    generated_events: int
    sum_of_weights: float
    effective_events: float
    effective_selected: float
    selected_events: int
    luminosity_fb: float
    cross_section_pb: float
    file_cross_section_pb: float | None = None
    files: tuple[FileRead, ...] = ()
    units: tuple[UnitUsed, ...] = ()
    remarks: tuple[str, ...] = field(default=())
