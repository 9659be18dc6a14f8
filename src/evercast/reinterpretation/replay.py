"""Runs an archived analysis again, from the archive alone, and compares.

The folder of a replay: ``replay-of.json`` (which archive, what was asked), ``document/`` (copied), ``cache/`` (input
files by digest), ``images/``, ``run/`` (the run folder), and at the end ``replay.json`` and ``replay.html``. The
archive is read only; a replay that was interrupted goes on when it is asked for again.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from evercast.artifacts.files import (
    atomic_write_bytes,
    atomic_write_json,
    disk_errors,
    make_folder,
    read_json,
    sha256_file,
)
from evercast.errors import EnvironmentUnfit, InvalidInput, RunFailed
from evercast.events.sources import search_path_from_environment
from evercast.plan import Unit
from evercast.plan.recipes import FetchRecipe, StageName
from evercast.reinterpretation.archived import ArchivedRun, running_code
from evercast.reinterpretation.compare import Comparison, compare_runs
from evercast.reinterpretation.sides import side_of_run
from evercast.runtime.folders import RECEIPT, RunFolder
from evercast.runtime.job_markers import marker_of
from evercast.runtime.machine import machine_facts, statistics_defaults
from evercast.runtime.plans import FrozenPlan, read_jobs
from evercast.runtime.pseudo import bring_sources
from evercast.runtime.receipts import is_finished
from evercast.runtime.run import Observer, prepare_run, run_plan, snakemake_command
from evercast.spec.reader import read_document

__all__ = ["Replay", "ReplayRequest", "merge_patch", "replay_archive"]

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
    """

    output: Path
    stage: StageName | None = None
    profile: str = "default"
    cores: int | None = None
    change: Path | None = None
    containers: bool = True


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
        IntegrityError: a file is not what it must be.
        EvercastError: the first error of a unit, with its exit code.
    """
    output = request.output.absolute()
    _claim(output, archived, request)
    document = _lay_out(output, archived, request)
    with _variables(_environment(output, archived)):
        frozen = prepare_run(document, results=output / "run", pseudo=archived.version.record.pseudo_data)
        wanted = _wanted(frozen, request.stage)
        imported = _import(frozen, wanted, archived, stage=request.stage)
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


def merge_patch(body: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document with changes merged in, as RFC 7396 says: what is null goes, mappings are merged.

    Example:
        >>> merge_patch({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "c": None}})
        {'a': {'b': 3}}
    """
    result = dict(body)
    for key, change in changes.items():
        before = result.get(key)
        if change is None:
            result.pop(key, None)
        elif isinstance(change, Mapping):
            result[key] = merge_patch(before if isinstance(before, Mapping) else {}, change)
        else:
            result[key] = change
    return result


def _claim(output: Path, archived: ArchivedRun, request: ReplayRequest) -> None:
    """Take a folder for a replay; one that has begun the same replay is gone on with."""
    make_folder(output)
    body = {
        "schema": _SCHEMA,
        "archive": archived.version.bag.id,
        "name": archived.version.record.name,
        "stage": request.stage,
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


def _lay_out(output: Path, archived: ArchivedRun, request: ReplayRequest) -> Path:
    """Copy document and inputs out of the archive, and return the document to run, changed where that was asked."""
    bag = archived.version.bag
    for name in bag.under("data/document"):
        _copy(bag.root / name, output / "document" / name.removeprefix("data/document/"), expected=bag.files[name])
    for entry in archived.version.record.inputs:
        if entry.url is not None and entry.file is not None:
            _copy(bag.root / entry.file, output / "cache" / "sha256" / entry.sha256, expected=entry.sha256)
    _bring_others(output, archived)
    document = output / "document" / Path(archived.version.record.document).relative_to("data/document")
    if request.change is None:
        return document
    body = merge_patch(read_document(document).value, read_document(request.change).value)
    changed = document.with_name(f"{document.stem}-changed.yaml")
    atomic_write_bytes(changed, json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n")
    return changed


def _bring_others(output: Path, archived: ArchivedRun) -> None:
    """Take input files that the archive names but does not hold from the cache of this user, where they are there."""
    known = search_path_from_environment(os.environ)
    for entry in archived.version.record.inputs:
        cached = known.cache / "sha256" / entry.sha256
        if entry.url is not None and entry.file is None and cached.is_file():
            _copy(cached, output / "cache" / "sha256" / entry.sha256, expected=entry.sha256)


def _copy(source: Path, target: Path, *, expected: str) -> None:
    """Copy a file, unless it is there with the content it must have; the copy appears whole."""
    if target.is_file() and sha256_file(target) == expected:
        return
    make_folder(target.parent)
    temporary = target.with_name(f".{target.name}.copy")
    with disk_errors(target):
        shutil.copyfile(source, temporary)
        temporary.replace(target)


def _environment(output: Path, archived: ArchivedRun) -> dict[str, str]:
    """Return the variables under which a replay runs: no network, the input files of the archive, its images."""
    variables = {"EVERCAST_OFFLINE": "1", "EVERCAST_CACHE": str(output / "cache")}
    if any(image.file is not None for image in archived.version.record.images):
        from evercast.reinterpretation.images import place_images  # noqa: PLC0415 - few archives hold images

        variables["EVERCAST_IMAGES"] = str(place_images(archived.version, output / "images"))
    return variables


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
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


def _import(
    frozen: FrozenPlan, wanted: Sequence[Unit], archived: ArchivedRun, *, stage: StageName | None
) -> tuple[Unit, ...]:
    """Copy the finished units that the wanted ones rest on out of the archive, those with the same key; return them."""
    if stage is None:
        return ()
    chosen = _ancestors(frozen, wanted) - {unit.id for unit in wanted}
    before = (unit for unit in frozen.plan.units if unit.id in chosen)
    return tuple(unit for unit in before if _import_unit(unit, frozen.folder, archived))


def _ancestors(frozen: FrozenPlan, wanted: Sequence[Unit]) -> set[str]:
    """Return the ids of all units that some units rest on."""
    units, seen = frozen.plan.by_id(), set[str]()
    pending = [item for unit in wanted for item in unit.needs()]
    while pending:
        identity = pending.pop()
        if identity not in seen:
            seen.add(identity)
            pending += units[identity].needs()
    return seen


def _import_unit(unit: Unit, folder: RunFolder, archived: ArchivedRun) -> bool:
    """Copy one unit out of the archive; return whether it is there, under this key, and whole."""
    source = archived.side.folder(unit)
    if not is_finished(unit, receipt_file=source / RECEIPT):
        return False
    if is_finished(unit, receipt_file=folder.receipt(unit)):
        return True
    target, attempt = folder.unit(unit), folder.attempt(unit.id)
    with disk_errors(target):
        shutil.copytree(source, attempt)
        target.parent.mkdir(parents=True, exist_ok=True)
        for name, file in _fetched(unit, archived).items():
            shutil.copyfile(file, attempt / name)
        attempt.rename(target)
    return True


def _fetched(unit: Unit, archived: ArchivedRun) -> Mapping[str, Path]:
    """Return the files of a fetch, which an archive holds among its inputs."""
    receipt = archived.side.receipt(unit) if isinstance(unit.recipe, FetchRecipe) else None
    if receipt is None:
        return {}
    inputs = archived.folder / "data" / "inputs" / "sha256"
    files = {name: inputs / digest.sha256 for name, digest in receipt.files.items()}
    missing = next((file for file in files.values() if not file.is_file()), None)
    if missing is not None:
        raise EnvironmentUnfit(
            f"the archive names the input {unit.name} (sha256 {missing.name}) and does not hold it",
            code="replay.input-missing",
            hint="give it in a folder named by EVERCAST_DATA and replay without --stage",
        )
    return files


def _plan_text(frozen: FrozenPlan, wanted: Sequence[Unit], imported: Sequence[Unit]) -> str:
    text = f"{frozen.plan.name}: {len(wanted)} units to be made anew"
    if imported:
        text += f", {len(imported)} taken from the archive"
    chosen = {unit.id for unit in (*wanted, *imported)}
    others = _ancestors(frozen, wanted) - chosen
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
