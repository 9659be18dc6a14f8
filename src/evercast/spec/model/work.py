"""Extra stages, where stages run, and what is published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["BinnedPublication", "CommandStage", "Environment", "Publish", "Reduce", "Resources", "UnbinnedPublication"]


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
class BinnedPublication:
    """Write this likelihood as ``likelihood/workspace.json``; it must be expressible as HistFactory."""

    likelihood: str
    measurement: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnbinnedPublication:
    """Write this likelihood as the bundle ``likelihood/NAME``; disclosure says how much of the events is given away."""

    likelihood: str
    disclosure: Literal["events", "ratios", "networks"] = "networks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """What comes out of a run.

    Args:
        overrides: red check of ``diagnostics.json`` -> the written reason why the result is published all the same.
    """

    pyhf: BinnedPublication | None = None
    neural_likelihood: UnbinnedPublication | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)
