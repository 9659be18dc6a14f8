"""A request as frozen data (schema request/1.0.0), and what it becomes once it is checked against its analysis."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from evercast.artifacts.files import canonical_json
from evercast.spec.codec import to_json

__all__ = [
    "SCHEMA", "Analysis", "Collision", "CrossSection", "Events", "NewPoint", "PatchFile", "Request", "Signal",
    "SignalPoint", "Wanted", "Yields", "point_key", "request_to_json",
]  # fmt: skip

SCHEMA = "request/1.0.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """Which preserved analysis is asked."""

    name: str
    digest: str | None = None
    likelihood: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collision:
    """For which collisions the signal was computed."""

    beams: str
    sqrt_s_tev: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossSection:
    """Stated by the requester."""

    value_pb: float
    relative_uncertainty: float
    k_factor: float = 1.0
    filter_efficiency: float = 1.0

    @property
    def effective_pb(self) -> float:
        """With all factors, pb."""
        return self.value_pb * self.k_factor * self.filter_efficiency


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchFile:
    """A JSON patch beside the request; `background` is the digest that it was made for."""

    path: str
    sha256: str
    size_bytes: int
    background: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """Expected events in the bins of a channel, with the statistical uncertainty of their simulation."""

    events: tuple[float, ...]
    uncertainty: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Yields:
    """Expected signal events in the channels."""

    channels: Mapping[str, Events]
    systematic: float = 0.0
    generated_events: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPoint:
    """A signal of the requester: a patch, or events."""

    values: tuple[float, ...] = ()
    cross_section: CrossSection | None = None
    patch: PatchFile | None = None
    yields: Yields | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """Points of the record, every one of them or those named, and new ones."""

    published: tuple[str, ...] = ()
    every: bool = False
    points: Mapping[str, NewPoint] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is computed of each signal."""

    mu: float = 1.0
    limits: bool = True
    confidence_level: float = 0.95
    observed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A question to a preserved analysis; keys are those of the schema."""

    name: str
    analysis: Analysis
    signal: Signal
    title: str | None = None
    requester: str | None = None
    collision: Collision | None = None
    wanted: Wanted = field(default_factory=Wanted)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SignalPoint:
    """A signal that was checked: its patch fits the background.

    Args:
        name: of the point.
        values: one for each axis; empty where it has no place in the plane.
        origin: whose signal it is.
        patch: JSON patch of the background.
        digest: of the patch.
        cross_section_pb: to which its events are normalised, pb; None where nobody said.
        events: channel -> expected signal events in its bins.
        generated_events: that were simulated; None where nobody said.
    """

    name: str
    values: tuple[float, ...]
    origin: Literal["published", "patch", "yields"]
    patch: Sequence[object]
    digest: str
    cross_section_pb: float | None
    events: Mapping[str, tuple[float, ...]]
    generated_events: int | None = None

    @property
    def total_events(self) -> float:
        """Expected signal events in all channels."""
        return sum(sum(bins) for bins in self.events.values())


def request_to_json(request: Request) -> dict[str, object]:
    """Return the canonical form of a request, with every default written out."""
    body = {"schema": SCHEMA, **to_json(request)}
    signal = body["signal"]
    every = signal.pop("every")
    body["signal"] = {**signal, "published": "all" if every else signal["published"]}
    return body


def point_key(*, background: str, patch: str, poi: str, measurement: str | None, wanted: Wanted, version: str) -> str:
    """Return the key of a point's result: a digest of all that it depends on, and of nothing else.

    Args:
        background: digest of the workspace.
        patch: digest of the JSON patch.
        poi: parameter of interest.
        measurement: of the workspace.
        wanted: what is computed.
        version: of evercast.
    """
    body = {
        "kind": "point/1.0.0", "background": background, "patch": patch, "poi": poi, "measurement": measurement,
        "wanted": to_json(wanted), "evercast": version,
    }  # fmt: skip
    return hashlib.sha256(canonical_json(body)).hexdigest()
