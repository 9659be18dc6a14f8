"""A wrapped analysis: the document of a published likelihood as frozen data (schema wrapped-analysis/1.0.0)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from evercast.artifacts.files import canonical_json
from evercast.errors import InvalidInput
from evercast.spec.codec import to_json

__all__ = [
    "SCHEMA", "Axis", "Binning", "DataFile", "Metadata", "Place", "Point", "PreservedSelection", "Published",
    "PublishedKind", "Regions", "WrappedAnalysis", "analysis_digest", "analysis_to_json",
]  # fmt: skip

SCHEMA = "wrapped-analysis/1.0.0"

PublishedKind = Literal[
    "cls_observed", "limit_observed", "limit_expected", "limit_cross_section_pb", "acceptance_efficiency",
    "excluded_from", "excluded_to", "cut_flow",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """Who published the record, and for which collisions it holds."""

    experiment: str
    beams: str
    sqrt_s_tev: float
    luminosity_fb: float
    license: str
    doi: str | None = None
    paper: str | None = None
    inspire_id: int | None = None
    citation: str | None = None
    signatures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A file of the record; `path` where it lies beside the document."""

    filename: str
    sha256: str
    size_bytes: int
    url: str | None = None
    doi: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A JSON document in a file; `sha256` is of its JSON text with sorted keys, not of its bytes."""

    file: str
    sha256: str
    member: str | None = None
    patch: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Regions:
    """One set of regions: a background, and patches that add a signal to it.

    Args:
        validation: channels of the background that are not fitted: its patches remove them, so do those of requests.
    """

    background: Place
    channels: Mapping[str, int]
    poi: str
    title: str | None = None
    measurement: str | None = None
    patches: Mapping[str, Place] = field(default_factory=dict)
    validation: tuple[str, ...] | None = None

    @property
    def fitted(self) -> Mapping[str, int]:
        """Channels that are fitted, and their bins; a signal can be in these alone."""
        return {name: bins for name, bins in self.channels.items() if name not in (self.validation or ())}


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One value of a signal point."""

    name: str
    title: str | None = None
    unit: str = "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Values of a signal point, and the cross-section of its patch with its relative uncertainty."""

    values: tuple[float, ...] = ()
    cross_section_pb: float | None = None
    cross_section_uncertainty: float | None = None
    cross_section_source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One number of the publication; see the schema."""

    kind: PublishedKind
    value: float
    tolerance: float
    source: str
    likelihood: str | None = None
    point: str | None = None
    channel: str | None = None
    bin: int | None = None
    step: str | None = None
    at: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Binning:
    """How the selected events of a region fill a channel; without an observable the channel has one bin."""

    region: str
    observable: str | None = None
    edges: tuple[float, ...] = ()
    overflow: bool = False

    @property
    def bins(self) -> int:
        """How many bins it fills."""
        return max(len(self.edges) - 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreservedSelection:
    """The analysis document that selects events, and the channels that they fill."""

    file: str
    sha256: str
    channels: Mapping[str, Binning]
    requires: tuple[Literal["b-hadrons"], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappedAnalysis:
    """A published likelihood; keys are those of the schema."""

    name: str
    title: str
    metadata: Metadata
    files: Mapping[str, DataFile]
    likelihoods: Mapping[str, Regions]
    axes: tuple[Axis, ...] = ()
    points: Mapping[str, Point] = field(default_factory=dict)
    published: tuple[Published, ...] = ()
    selection: PreservedSelection | None = None

    def regions(self, name: str | None) -> tuple[str, Regions]:
        """Return a set of regions with its name; the first one where None is asked for.

        Raises:
            InvalidInput: ``request.likelihood``.
        """
        chosen = next(iter(self.likelihoods)) if name is None else name
        if chosen not in self.likelihoods:
            message = f"the analysis {self.name} has no likelihood '{chosen}'; it has {', '.join(self.likelihoods)}"
            raise InvalidInput(message, code="request.likelihood")
        return chosen, self.likelihoods[chosen]


def analysis_to_json(analysis: WrappedAnalysis) -> dict[str, object]:
    """Return the canonical form: the keys that have a value."""
    body = {"schema": SCHEMA, **to_json(analysis)}
    return {key: _without_none(part) for key, part in body.items() if part is not None}


def analysis_digest(analysis: WrappedAnalysis) -> str:
    """Return the identity of an analysis: the sha256 of its canonical form; it covers the digests of all data."""
    return hashlib.sha256(canonical_json(analysis_to_json(analysis))).hexdigest()


def _without_none(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_none(part) for key, part in value.items() if part is not None}
    if isinstance(value, list):
        return [_without_none(part) for part in value]
    return value
