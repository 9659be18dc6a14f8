"""What a plan holds: units of work with their keys, and how many networks they train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from evercast.plan.recipes import Recipe, StageName

__all__ = ["FILE_PREFIX", "IMAGE_PREFIX", "STAGES", "NetworkCount", "Plan", "Unit", "UnitResources"]

STAGES: Final[tuple[StageName, ...]] = (
    "fetch", "generation", "command", "selection", "training", "evaluation", "serialization", "fit", "toys", "study",
    "training_statistics", "diagnostics", "report",
)  # fmt: skip
"""Every stage, in the order of the pipeline."""

FILE_PREFIX: Final = "file:"
"""An input that starts with it is a file beside the document, with its path relative to the document's folder."""


IMAGE_PREFIX: Final = "image:"
"""An input that starts with it is an image by name: ``image:NAME@sha256:DIGEST``, with what the name stood for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitResources:
    """What one job is expected to need; asked of the scheduler, so rather too much than too little.

    Args:
        memory_mb: resident memory, MB.
        disk_mb: size of the output, MB.
        runtime_min: wall-clock limit, minutes.
        seconds: expected device time, s.
        start_seconds: the part of it that units of one job pay once: to start and to compile.
        gpu: number of GPUs; 0 means that the job runs on a CPU.
    """

    cores: int = 1
    memory_mb: int = 500
    disk_mb: float = 10
    runtime_min: int = 10
    seconds: float = 5.0
    start_seconds: float = 0.0
    gpu: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One job: a recipe, where its inputs come from, and the key that is the hash of both.

    Args:
        id: ``name-`` and the first twelve digits of the key; the folder of the unit has this name.
        inputs: name -> id of the unit that makes it, ``id:relative path`` for one file of that unit, or ``file:path``
            for a file beside the document, or ``image:NAME@sha256:DIGEST``.
        networks: number of networks that this unit trains.
    """

    id: str
    stage: StageName
    name: str
    key: str
    recipe: Recipe
    inputs: Mapping[str, str] = field(default_factory=dict)
    resources: UnitResources = field(default_factory=UnitResources)
    networks: int = 0

    def needs(self) -> tuple[str, ...]:
        """Return the ids of the units that must be done before, each once, in the order of the inputs."""
        no_unit = (FILE_PREFIX, IMAGE_PREFIX)
        made = (value.split(":", 1)[0] for value in self.inputs.values() if not value.startswith(no_unit))
        return tuple(dict.fromkeys(made))


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkCount:
    """The networks of one ensemble: ``processes x (1 + 2 systematics) x members x folds``, and replicas.

    Args:
        systematics: nuisance parameters with networks of their own (up and down); a normalisation needs none.
        members_per_block: most members trained by one job.
        blocks: number of training jobs.
        variations: triples of process, nuisance parameter and direction, each with networks of its own; where every
            parameter acts on every process both ways these are ``processes x 2 systematics``.
        polynomials: processes with networks that follow all nuisance parameters at once.
        variation_members: members of variations and polynomials.
        replicas: bootstrap replicas of the simulation.
        replica_members: members per replica.
    """

    ensemble: str
    processes: int
    systematics: int
    members: int
    folds: int
    members_per_block: int
    blocks: int
    variations: int = 0
    polynomials: int = 0
    variation_members: int = 0
    replicas: int = 0
    replica_members: int = 0

    @property
    def networks(self) -> int:
        """Number of networks."""
        morphs = (self.variations + self.polynomials) * self.variation_members
        return self.folds * (self.processes * (self.members + self.replicas * self.replica_members) + morphs)

    def formula(self) -> str:
        """Return the count with its numbers, for people to check.

        Example:
            >>> NetworkCount(
            ...     ensemble="r", processes=4, systematics=0, members=8, folds=5, members_per_block=4, blocks=8
            ... ).formula()
            '160 networks = 4 processes x (1 + 2 x 0 systematics) x 8 members x 5 folds'
        """
        folds, processes = f"{self.folds} folds", f"{self.processes} processes"
        everywhere = self.variations == 2 * self.systematics * self.processes
        if everywhere and (self.variations == 0 or self.variation_members == self.members):
            terms = [f"{processes} x (1 + 2 x {self.systematics} systematics) x {self.members} members x {folds}"]
        else:
            terms = [f"{processes} x {self.members} members x {folds}"]
            varied = f"{self.variations} variations of {self.systematics} systematics"
            terms.append(f"{varied} x {self.variation_members} members x {folds}")
        if self.polynomials:
            terms.append(f"{self.polynomials} polynomials x {self.variation_members} members x {folds}")
        if self.replicas:
            terms.append(f"{self.replicas} replicas x {processes} x {self.replica_members} members x {folds}")
        return f"{self.networks} networks = {' + '.join(terms)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything a run will do, each unit after the units it needs.

    Args:
        name: of the analysis; the run folder is named after it.
        pseudo: observed events are simulated, because the public ones are not used.
        digest: sha256 of the whole plan.
        units: in an order in which they can be done.
        networks: one entry for each ensemble.
        files: files beside the document -> sha256.
    """

    name: str
    pseudo: bool
    digest: str
    units: tuple[Unit, ...]
    networks: tuple[NetworkCount, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    def of_stage(self, stage: StageName) -> tuple[Unit, ...]:
        """Return the units of one stage, in the order of the plan."""
        return tuple(unit for unit in self.units if unit.stage == stage)

    def stages(self) -> tuple[StageName, ...]:
        """Return the stages that have units, in the order of the pipeline."""
        present = {unit.stage for unit in self.units}
        return tuple(stage for stage in STAGES if stage in present)

    def by_id(self) -> Mapping[str, Unit]:
        """Return id -> unit."""
        return {unit.id: unit for unit in self.units}
