"""A request as frozen data (schema request/1.0.0), and what it becomes once it is checked against its analysis."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from evercast.artifacts.files import canonical_json
from evercast.spec.codec import to_json

if TYPE_CHECKING:
    from evercast.reinterpretation.requests.declared import DeclaredSignal

__all__ = [
    "SCHEMA", "Analysis", "Collision", "CrossSection", "EventSample", "Events", "Generation", "NewPoint", "NewProcess",
    "PatchFile", "Request", "SampleFile", "SideFile", "Signal", "SignalPoint", "Wanted", "Weights", "Yields",
    "point_key", "request_to_json",
]  # fmt: skip

SCHEMA = "request/1.0.0"

Weights = Literal["unit", "relative", "sum", "mean"]


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
class SideFile:
    """A file beside the request."""

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleFile:
    """A file of events beside the request; see the schema."""

    path: str
    sha256: str
    size_bytes: int
    events: int
    format: Literal["auto", "root", "parquet", "csv", "hepmc", "lhe", "zarr"] = "auto"
    tree: str | None = None
    collections: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSample:
    """Files of events, and what their weights mean; `weights` is None where all of them must be 1."""

    files: tuple[SampleFile, ...]
    weights: Weights | None = None
    weight: str | None = None
    systematic: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """The card of a generator."""

    program: Literal["pythia8"]
    settings: tuple[str, ...]
    events: int
    seed: int
    slha: SideFile | None = None
    jobs: int = 1
    systematic: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewProcess:
    """A process that an archived model lacks; `coefficient` is the parameter itself where it is None."""

    parameter: str = "mu_new"
    coefficient: str | None = None
    bounds: tuple[float, float] = (0.0, 20.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPoint:
    """A signal of the requester: one of a patch, yields, events, and a card; and what it is in an archived model."""

    values: tuple[float, ...] = ()
    cross_section: CrossSection | None = None
    patch: PatchFile | None = None
    yields: Yields | None = None
    events: EventSample | None = None
    generate: Generation | None = None
    process: NewProcess | None = None
    model_point: Mapping[str, float] = field(default_factory=dict)

    @property
    def form(self) -> str:
        """Which of the forms it has; the first where it has several."""
        named = {"patch": self.patch, "yields": self.yields, "events": self.events, "generate": self.generate}
        return next((name for name, part in named.items() if part is not None), "neither")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """Points of the record, every one of them or those named, and new ones."""

    published: tuple[str, ...] = ()
    every: bool = False
    points: Mapping[str, NewPoint] = field(default_factory=dict)
    parametrisation: SideFile | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is computed of each signal; `toys` and what follows are of archived runs only."""

    mu: float = 1.0
    limits: bool = True
    confidence_level: float = 0.95
    observed: bool = True
    toys: int = 0
    injection: tuple[float, ...] = ()
    neyman: bool = False
    training_statistics: bool = False
    largest_share_outside: float | None = None


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
        signal: events that are yet to be selected; then there is no patch yet, and `digest` is that of the signal.
    """

    name: str
    values: tuple[float, ...]
    origin: Literal["published", "patch", "yields", "events", "generate"]
    patch: Sequence[object]
    digest: str
    cross_section_pb: float | None
    events: Mapping[str, tuple[float, ...]]
    generated_events: int | None = None
    signal: DeclaredSignal | None = None

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
        "wanted": {key: getattr(wanted, key) for key in ("mu", "limits", "confidence_level", "observed")},
        "evercast": version,
    }  # fmt: skip
    return hashlib.sha256(canonical_json(body)).hexdigest()
