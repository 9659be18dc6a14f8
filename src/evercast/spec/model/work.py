"""Extra stages, where stages run, and what is published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "BinnedPublication",
    "CommandStage",
    "Environment",
    "HepdataRecord",
    "Publish",
    "Reduce",
    "Resources",
    "SignalPoint",
    "SignalPoints",
    "UnbinnedPublication",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where stages run; `container` None means the image ``evercast``, or its Python environment without containers."""

    container: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Requested per job; the plan estimates what is not given."""

    cores: int = 1
    memory_mb: int = 1000
    runtime_min: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduce:
    """Runs once after all jobs of the matrix; ``{all.NAME}`` is the list of the outputs NAME of every job."""

    run: str
    outputs: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandStage:
    """An extra stage: any program. ``{inputs.x}``, ``{outputs.y}``, ``{matrix.z}`` are replaced, quoted for the shell.

    Args:
        inputs: name -> file: ``path/relative/to/document``, ``source:NAME``, ``stage:STAGE.OUTPUT``.
        outputs: name -> file name inside the output folder of the job.
        matrix: axis -> values; one job for each point of the cartesian product.
    """

    run: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str]
    matrix: Mapping[str, tuple[str | int | float, ...]] = field(default_factory=dict)
    reduce: Reduce | None = None
    resources: Resources = field(default_factory=Resources)
    container: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalPoint:
    """One signal hypothesis of a patchset: a binned likelihood that has its signal beside the common background.

    Args:
        values: one per label of the patchset, e.g. masses.
    """

    likelihood: str
    values: tuple[str | int | float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalPoints:
    """Likelihoods that differ in their signal only: a workspace of what they share, and one patch for each.

    Args:
        labels: names of the values.
        points: name of the patch -> its likelihood.
    """

    labels: tuple[str, ...]
    points: Mapping[str, SignalPoint]


@dataclass(frozen=True, slots=True, kw_only=True)
class BinnedPublication:
    """Write this likelihood as ``likelihood/workspace.json``; it must be expressible as HistFactory.

    Args:
        signal_points: published as a workspace of what they share and a patchset.
    """

    likelihood: str
    measurement: str
    signal_points: SignalPoints | None = field(default=None, metadata={"key": "unless default"})


@dataclass(frozen=True, slots=True, kw_only=True)
class HepdataRecord:
    """The record of the publication that the result belongs to.

    Args:
        inspire_id: number of the publication on INSPIRE.
        url: where the published folder can be had.
    """

    inspire_id: int
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnbinnedPublication:
    """Write this likelihood as the bundle ``likelihood/NAME``.

    Args:
        disclosure: how much of the events is given away.
        support: whether the domain of published networks is given with simulated events, or with ranges alone.
        largest_share_outside: of a new signal, by weight, that may lie outside of the training of the networks; a
            request with more is refused.
    """

    likelihood: str
    disclosure: Literal["events", "ratios", "networks"] = "networks"
    support: Literal["points", "ranges"] = field(default="points", metadata={"key": "unless default"})
    largest_share_outside: float = field(default=0.05, metadata={"key": "never"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """What comes out of a run.

    Args:
        overrides: red check of ``diagnostics.json`` -> the written reason why the result is published all the same.
    """

    pyhf: BinnedPublication | None = None
    neural_likelihood: UnbinnedPublication | None = None
    hepdata: HepdataRecord | None = field(default=None, metadata={"key": "never"})
    overrides: Mapping[str, str] = field(default_factory=dict)
