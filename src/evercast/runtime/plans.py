"""Frozen plans: a run works on copies made when it starts, whatever happens to the document meanwhile."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from evercast.artifacts.files import atomic_write_bytes, atomic_write_json, disk_errors, make_folder, read_json
from evercast.errors import IntegrityError, InvalidInput
from evercast.plan import Plan, Unit, make_plan, plan_from_json, plan_to_json
from evercast.plan.jobs import Job, jobs_of
from evercast.runtime.folders import RunFolder
from evercast.spec import load_analysis
from evercast.spec.codec import from_json, to_json
from evercast.spec.containers import image_names
from evercast.spec.model import Analysis
from evercast.spec.report import did_you_mean

__all__ = [
    "FrozenPlan",
    "freeze_plan",
    "named_images",
    "plan_document",
    "ran_with_pseudo_data",
    "read_jobs",
    "read_plan",
]

_PLACE = "place.json"
_JOBS = "jobs.json"
_JOBS_SCHEMA = "jobs/1.0.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenPlan:
    """A plan with the run folder it belongs to.

    Args:
        file: the frozen ``plan.json``.
        document_folder: where the files beside the document are.
    """

    plan: Plan
    file: Path
    folder: RunFolder
    document_folder: Path

    def unit(self, identity: str) -> Unit:
        """Return the unit with this id.

        Raises:
            IntegrityError: ``plan.unknown-unit``.
        """
        unit = self.plan.by_id().get(identity)
        if unit is None:
            raise IntegrityError(
                f"the plan has no unit {identity!r}",
                code="plan.unknown-unit",
                where=str(self.file),
                hint="the ids of the units are listed by evercast status DOCUMENT --json",
            )
        return unit


def plan_document(document: Path, *, pseudo: bool) -> tuple[Analysis, Plan]:
    """Return the checked document and its plan.

    Raises:
        InvalidInput: the document is not valid, or `make_plan` refuses.
    """
    analysis = load_analysis(document)
    images = named_images(analysis, folder=document.parent)
    return analysis, make_plan(analysis, document_folder=document.parent, pseudo=pseudo, images=images)


def named_images(analysis: Analysis, *, folder: Path) -> dict[str, str]:
    """Return image name -> sha256 for the names in a document, whether or not the images are at hand.

    Args:
        analysis: the document.
        folder: its folder, whose ``images.yaml`` is looked into first.

    Raises:
        InvalidInput: ``image.unknown-name``.
    """
    places = image_names(analysis)
    if not places:
        return {}
    from evercast.runtime.images import find_record  # noqa: PLC0415 - jobs read plans, few documents name images

    found = {}
    for name, place in places.items():
        try:
            found[name] = find_record(name, folder).sha256
        except InvalidInput as err:
            err.where = place
            err.hint = did_you_mean(name, tuple(analysis.environments)) or err.hint
            raise
    return found


def freeze_plan(plan: Plan, *, analysis: Analysis, document: Path, folder: RunFolder) -> FrozenPlan:
    """Write the copies that the jobs of a run read, and return them; what is there already stays.

    Raises:
        EnvironmentUnfit: the disk refuses.
    """
    target = folder.plan(plan.digest)
    place = {"document_folder": os.path.relpath(document.parent.resolve(), target.resolve())}
    make_folder(target)
    with disk_errors(target):
        if not (target / "analysis.yaml").exists():
            atomic_write_bytes(target / "analysis.yaml", document.read_bytes())
            atomic_write_json(target / "analysis.json", to_json(analysis))
    if not (target / _PLACE).exists() or read_json(target / _PLACE) != place:
        atomic_write_json(target / _PLACE, place)
    if not (target / "plan.json").exists():
        atomic_write_json(target / "plan.json", plan_to_json(plan))
    if not (target / _JOBS).exists():
        jobs = [to_json(job) for job in jobs_of(plan.units)]
        atomic_write_json(target / _JOBS, {"schema": _JOBS_SCHEMA, "jobs": jobs})
    return FrozenPlan(plan=plan, file=target / "plan.json", folder=folder, document_folder=document.parent)


def read_plan(file: Path, *, only: Collection[str] | None = None) -> FrozenPlan:
    """Return the frozen plan in `file`.

    Args:
        file: ``plan.json``.
        only: ids of the units wanted; the plan then holds these and those they need, since to build thousands of
            recipes takes longer than a small job. None: all units.

    Raises:
        IntegrityError: it is missing or damaged.
        InvalidInput: a recipe in it has another structure.
    """
    place = read_json(file.parent / _PLACE)
    if not isinstance(place, Mapping) or not isinstance(place.get("document_folder"), str):
        raise IntegrityError("the place of the document is not recorded", code="plan.damaged", where=str(file))
    return FrozenPlan(
        plan=plan_from_json(read_json(file), only=only),
        file=file,
        folder=RunFolder.of_plan(file),
        document_folder=Path(os.path.normpath(file.parent.resolve() / place["document_folder"])),
    )


def read_jobs(plan_file: Path) -> tuple[Job, ...]:
    """Return the jobs of a frozen plan; the plan itself, which is much larger, is not read.

    Raises:
        IntegrityError: they are missing, damaged or of another schema version.
        InvalidInput: ``json.structure``.
    """
    file = plan_file.parent / _JOBS
    body = read_json(file)
    if not isinstance(body, dict) or body.get("schema") != _JOBS_SCHEMA:
        raise IntegrityError(f"these are no jobs of schema {_JOBS_SCHEMA}", code="plan.damaged", where=str(file))
    return tuple(from_json(Job, job) for job in body["jobs"])


def ran_with_pseudo_data(folder: RunFolder) -> bool:
    """Return whether the last run in a folder drew its observed events from simulation; False where there was none."""
    if not folder.current.exists():
        return False
    body = read_json(folder.current)
    return isinstance(body, Mapping) and body.get("pseudo") is True
