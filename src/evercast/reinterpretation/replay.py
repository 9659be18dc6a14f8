"""Runs an archived analysis again, from the archive alone, and compares.

The folder of a replay: ``replay-of.json`` (which archive, what was asked), ``document/`` (copied), ``cache/`` (input
files by digest), ``images/``, ``run/`` (the run folder), and at the end ``replay.json`` and ``replay.html``. The
archive is read only; a replay that was interrupted goes on when it is asked for again.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from evercast.artifacts.files import atomic_write_json, make_folder, read_json, sha256_file
from evercast.errors import IntegrityError, InvalidInput, RunFailed
from evercast.plan import Plan, Unit
from evercast.plan.recipes import IMAGE_INPUT, CommandRecipe, StageName
from evercast.reinterpretation.archived import ArchivedRun, running_code
from evercast.reinterpretation.compare import Comparison, compare_runs
from evercast.reinterpretation.copies import ancestors, import_units, lay_out
from evercast.reinterpretation.sides import side_of_run
from evercast.runtime.job_markers import marker_of
from evercast.runtime.machine import machine_facts, statistics_defaults
from evercast.runtime.plans import FrozenPlan, read_jobs
from evercast.runtime.pseudo import bring_sources
from evercast.runtime.receipts import is_finished
from evercast.runtime.run import Observer, prepare_run, run_plan, snakemake_command

__all__ = [
    "Replay", "ReplayRequest", "archive_environment", "environment_set", "replay_archive", "require_signer",
    "unit_seconds",
]  # fmt: skip

_REQUEST: Final = "replay-of.json"
_SCHEMA: Final = "replay-of/1.0.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRequest:
    """What to run again.

    Args:
        output: folder of the replay.
        stage: only the units of this stage, from archived inputs; None: everything.
        profile: where jobs run, as for ``evercast run``.
        cores: of this machine; None leaves it to the profile.
        change: a document of changes, merged into the archived one; None: none.
        containers: whether units that were computed in a container are so again.
        allow_unsigned: whether programs and images of an archive are run that nobody who is trusted signed.
    """

    output: Path
    stage: StageName | None = None
    profile: str = "default"
    cores: int | None = None
    change: Path | None = None
    containers: bool = True
    allow_unsigned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A replay that ended.

    Args:
        archive: id of the version that was replayed.
        name: of the analysis.
        ran: number of units that were made anew; imported: that were taken from the archive.
    """

    archive: str
    name: str
    request: ReplayRequest
    comparison: Comparison
    ran: int
    imported: int
    seconds: float


class ReplayObserver(Observer, Protocol):
    """Is told how a replay goes on."""

    def say(self, text: str) -> None:
        """What is done now."""


def replay_archive(archived: ArchivedRun, request: ReplayRequest, *, observer: ReplayObserver) -> Replay:
    """Run an archived analysis again in a folder of its own, and return the comparison with the archive.

    Raises:
        InvalidInput: ``replay.other``: the folder is that of another replay; ``replay.no-stage``; a change that makes
            no valid document.
        EnvironmentUnfit: an input file or an image is neither in the archive nor on this machine; the disk refuses.
        IntegrityError: ``replay.unsigned``: it would run what nobody who is trusted signed; ``replay.changed``: a file
            is not what it must be.
        EvercastError: the first error of a unit, with its exit code.
    """
    require_signer(archived.side.plan, archived, allow_unsigned=request.allow_unsigned)
    output = request.output.absolute()
    _claim(output, archived, request)
    document = lay_out(output, archived, change=request.change)
    with environment_set(archive_environment(output, archived)):
        frozen = prepare_run(document, results=output / "run", pseudo=archived.version.record.pseudo_data)
        require_signer(
            frozen.plan, archived, allow_unsigned=request.allow_unsigned
        )  # what the document asks for is what is run
        wanted = _wanted(frozen, request.stage)
        imported = import_units(frozen, wanted, archived, stage=request.stage)
        observer.say(_plan_text(frozen, wanted, imported))
        seconds = _run(frozen, wanted, archived, request, document=document, observer=observer)
    observer.say("comparing")
    new = side_of_run(frozen, machine=machine_facts(), defaults=statistics_defaults(), code=running_code())
    stages = None if request.stage is None else (request.stage,)
    return Replay(
        archive=archived.version.bag.id, name=archived.version.record.name, request=request,
        comparison=compare_runs(archived.side, new, stages=stages), ran=len(wanted), imported=len(imported),
        seconds=seconds,
    )  # fmt: skip


def require_signer(plan: Plan, archived: ArchivedRun, *, allow_unsigned: bool, but: Collection[str] = ()) -> None:
    """Refuse to run commands outside of containers, and images, of an archive that nobody who is trusted signed.

    Args:
        plan: what is to be run.
        archived: what it comes from.
        allow_unsigned: run it all the same.
        but: ids of units that are not run.

    Raises:
        IntegrityError: ``replay.unsigned``.
    """
    if archived.trusted or allow_unsigned:
        return
    commands = {
        unit.recipe.name: unit for unit in plan.units if isinstance(unit.recipe, CommandRecipe) and unit.id not in but
    }
    runs = [f"{_what_runs(unit)} of stage {name!r}" for name, unit in sorted(commands.items())]
    runs += [f"the image {image.name!r}" for image in archived.version.record.images]
    if runs:
        raise IntegrityError(
            f"this archive is signed by {archived.signed_by}, and a replay would run {runs[0]}",
            code="replay.unsigned",
            where=str(archived.folder),
            hint="demand the signature of who made it with --key KEY.pub, or trust that key: evercast keys trust; "
            "where you know what it runs: --allow-unsigned",
        )


def _what_runs(unit: Unit) -> str:
    contained = isinstance(unit.recipe, CommandRecipe) and unit.recipe.container is not None
    return "the image" if contained or IMAGE_INPUT in unit.inputs else "the commands"


def _claim(output: Path, archived: ArchivedRun, request: ReplayRequest) -> None:
    """Take a folder for a replay; one that has begun the same replay is gone on with."""
    make_folder(output)
    body = {
        "schema": _SCHEMA,
        "archive": archived.version.bag.id,
        "name": archived.version.record.name,
        "stage": request.stage,
        "profile": request.profile,
        "containers": request.containers,
        "change": None if request.change is None else sha256_file(request.change),
    }
    place = output / _REQUEST
    if place.exists():
        found = read_json(place)
        if found != body:
            other = [key for key in body if not isinstance(found, Mapping) or found.get(key) != body[key]]
            raise InvalidInput(
                f"this folder holds another replay: {', '.join(other)} differ",
                code="replay.other",
                where=str(place),
                hint="give another folder with --output",
            )
        return
    if any(output.iterdir()):
        raise InvalidInput(
            "the folder of a new replay must be empty", code="replay.other", where=str(output),
            hint="give another folder with --output",
        )  # fmt: skip
    atomic_write_json(place, body)


def archive_environment(output: Path, archived: ArchivedRun) -> dict[str, str]:
    """Return the variables under which a replay runs: no network, the input files of the archive, its images."""
    variables = {"EVERCAST_OFFLINE": "1", "EVERCAST_CACHE": str(output / "cache")}
    if any(image.file is not None for image in archived.version.record.images):
        from evercast.reinterpretation.images import place_images  # noqa: PLC0415 - few archives hold images

        variables["EVERCAST_IMAGES"] = str(place_images(archived.version, output / "images"))
    return variables


@contextmanager
def environment_set(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process, and of those it starts, in the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _wanted(frozen: FrozenPlan, stage: StageName | None) -> tuple[Unit, ...]:
    """Return the units that are to be made anew.

    Raises:
        InvalidInput: ``replay.no-stage``.
    """
    wanted = frozen.plan.units if stage is None else frozen.plan.of_stage(stage)
    if not wanted:
        raise InvalidInput(
            f"the analysis has no stage {stage!r}",
            code="replay.no-stage",
            hint=f"it has {', '.join(frozen.plan.stages())}",
        )
    return wanted


def _plan_text(frozen: FrozenPlan, wanted: Sequence[Unit], imported: Sequence[Unit]) -> str:
    text = f"{frozen.plan.name}: {len(wanted)} units to be made anew"
    if imported:
        text += f", {len(imported)} taken from the archive"
    chosen = {unit.id for unit in (*wanted, *imported)}
    others = ancestors(frozen, wanted) - chosen
    return f"{text}; {len(others)} before them, which the archive has not so, are made too" if others else text


def _run(
    frozen: FrozenPlan, wanted: Sequence[Unit], archived: ArchivedRun, request: ReplayRequest, *,
    document: Path, observer: ReplayObserver,
) -> float:  # fmt: skip
    """Let Snakemake run the wanted units and return the time it took, s."""
    extra = ["--directory", str(frozen.folder.root.resolve())]
    if request.containers and any(_was_contained(unit, archived) for unit in wanted):
        extra += ["--software-deployment-method", "apptainer"]
    if request.stage is not None:
        identities = {unit.id for unit in wanted}
        jobs = [job for job in read_jobs(frozen.file) if identities & set(job.units)]
        extra = [*(str(marker_of(job, folder=frozen.folder)) for job in jobs), *extra]
    command = snakemake_command(frozen, document=document, profile=request.profile, cores=request.cores, extra=extra)
    if request.stage in (None, "fetch"):
        bring_sources(frozen)
    try:
        return run_plan(frozen, command, observer=observer).seconds
    except RunFailed as err:
        done = all(is_finished(unit, receipt_file=frozen.folder.receipt(unit)) for unit in wanted)
        if request.stage is None or err.code != "run.incomplete" or not done:
            raise
        return sum(unit_seconds(frozen, unit) for unit in wanted)


def unit_seconds(frozen: FrozenPlan, unit: Unit) -> float:
    """Return the wall-clock time of a finished unit, s."""
    body = read_json(frozen.folder.receipt(unit))
    return float(body["seconds"]) if isinstance(body, Mapping) else 0.0


def _was_contained(unit: Unit, archived: ArchivedRun) -> bool:
    """Return whether the archived unit of this name was computed in a container that no document declares for it."""
    other = archived.side.by_name.get((unit.stage, unit.name))
    receipt = None if other is None else archived.side.receipt(other)
    return receipt is not None and receipt.container is not None and unit.stage != "command"
