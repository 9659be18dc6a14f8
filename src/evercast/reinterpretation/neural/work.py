"""The work folder of a request: derived documents are planned, finished units taken from the archive, the rest run."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evercast.artifacts.files import atomic_write_bytes
from evercast.errors import EnvironmentUnfit, RunFailed
from evercast.plan import Unit
from evercast.plan.recipes import StageName
from evercast.reinterpretation.archived import ArchivedRun
from evercast.reinterpretation.copies import ancestors, import_unit, lay_out, merge_patch
from evercast.reinterpretation.neural.answers import Origin, UnitUse
from evercast.reinterpretation.replay import archive_environment, environment_set, require_signer, unit_seconds
from evercast.reinterpretation.requests.derived import Silent, Watch
from evercast.runtime.job_markers import marker_of
from evercast.runtime.plans import FrozenPlan, read_jobs
from evercast.runtime.pseudo import bring_sources
from evercast.runtime.receipts import is_finished
from evercast.runtime.run import prepare_run, run_plan, snakemake_command
from evercast.spec.reader import read_document

__all__ = ["DerivedRun", "WorkFolder", "opened_work"]


@dataclass(frozen=True, kw_only=True)
class DerivedRun:
    """A derived document with its plan.

    Args:
        document: the derived document.
        frozen: its plan; units have the same folder in all plans of a work folder.
        origins: unit id -> ``archive``, ``present`` or ``computed``, as it was when this call first met the unit.
    """

    document: Path
    frozen: FrozenPlan
    origins: Mapping[str, Origin]

    def unit(self, stage: StageName, name: str) -> Unit | None:
        """Return a unit by its name; None where the plan has none."""
        return next((unit for unit in self.frozen.plan.of_stage(stage) if unit.name == name), None)

    def folder(self, stage: StageName, name: str) -> Path:
        """Return the folder of a unit.

        Raises:
            RunFailed: ``request.unit``: the plan has no such unit.
        """
        unit = self.unit(stage, name)
        if unit is None:
            raise RunFailed(f"the derived run has no {stage} {name!r}", code="request.unit", where=str(self.document))
        return self.frozen.folder.unit(unit)

    def uses(self, *, only: Collection[str] | None = None) -> tuple[UnitUse, ...]:
        """Return the finished units and where they are from, `only` those with these ids."""
        found = []
        for unit in self.frozen.plan.units:
            wanted = only is None or unit.id in only
            if not wanted or not is_finished(unit, receipt_file=self.frozen.folder.receipt(unit)):
                continue
            origin = self.origins.get(unit.id, "computed")
            found.append(
                UnitUse(
                    id=unit.id, stage=unit.stage, name=unit.name, key=unit.key,
                    origin=origin,
                    seconds=unit_seconds(self.frozen, unit) if origin == "computed" else None,
                )
            )  # fmt: skip
        return tuple(found)


@dataclass(frozen=True, kw_only=True)
class WorkFolder:
    """The work folder of a request, laid out from its archive.

    Args:
        root: ``REQUEST/work``.
        document: the archived document, copied.
        profile: where jobs run; `cores` of this machine, None leaves it to the profile.
        watch: makes what is told how a run goes on.
        known: unit id -> where it was from when this call first met it.
    """

    root: Path
    archived: ArchivedRun
    document: Path
    profile: str
    cores: int | None
    watch: Watch | None = None
    known: dict[str, Origin] = field(default_factory=dict)

    def derive(self, name: str, change: Mapping[str, Any]) -> DerivedRun:
        """Write a derived document, plan it, and take from the archive what has the same key; nothing is run.

        Args:
            name: of the point; each has a document of its own, by which its bundle is made.
            change: of the archived document.

        Raises:
            InvalidInput: the change makes no valid document.
            IntegrityError: a file of the archive is not what it must be; ``replay.unsigned``.
            EnvironmentUnfit: the disk refuses.
        """
        body = merge_patch(read_document(self.document).value, change)
        document = self.document.with_name(f"{self.document.stem}-{name}.yaml")
        atomic_write_bytes(document, json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n")
        frozen = prepare_run(document, results=self.root / "run", pseudo=self.archived.version.record.pseudo_data)
        for unit in frozen.plan.units:
            if unit.id not in self.known:
                self.known[unit.id] = self._origin(frozen, unit)
        done = [unit.id for unit in frozen.plan.units if self.known[unit.id] != "computed"]
        require_signer(frozen.plan, self.archived, allow_unsigned=False, but=done)
        return DerivedRun(document=document, frozen=frozen, origins=self.known)

    def _origin(self, frozen: FrozenPlan, unit: Unit) -> Origin:
        """Return where a unit is from, after it was taken from the archive where that has it."""
        there = is_finished(unit, receipt_file=frozen.folder.receipt(unit))
        other = self.archived.side.plan.by_id().get(unit.id)
        archived = other is not None and other.key == unit.key
        if there:
            return "archive" if archived else "present"
        if not archived:
            return "computed"
        try:
            return "archive" if import_unit(unit, frozen.folder, self.archived) else "computed"
        except EnvironmentUnfit as err:
            if err.code != "replay.input-missing":
                raise
            return "computed"

    def run(self, derived: DerivedRun, *, stage: StageName | None = None, name: str = "") -> None:
        """Let Snakemake make the units of a derived run, or one of them with all that it rests on.

        Raises:
            EvercastError: the first error of a unit, with its exit code.
        """
        frozen = derived.frozen
        wanted = list(frozen.plan.units)
        extra = ["--directory", str(frozen.folder.root.resolve())]
        if stage is not None:
            wanted = [unit for unit in frozen.plan.of_stage(stage) if unit.name == name]
            identities = {unit.id for unit in wanted}
            jobs = [job for job in read_jobs(frozen.file) if identities & set(job.units)]
            extra = [*(str(marker_of(job, folder=frozen.folder)) for job in jobs), *extra]
        if all(is_finished(unit, receipt_file=frozen.folder.receipt(unit)) for unit in wanted):
            return
        needed = {unit.id for unit in wanted} | ancestors(frozen, wanted)
        if any(unit.stage == "fetch" and unit.id in needed for unit in frozen.plan.units):
            bring_sources(frozen)
        command = snakemake_command(
            frozen, document=derived.document, profile=self.profile, cores=self.cores, extra=extra
        )
        try:
            run_plan(frozen, command, observer=Silent() if self.watch is None else self.watch(frozen))
        except RunFailed as err:
            done = all(is_finished(unit, receipt_file=frozen.folder.receipt(unit)) for unit in wanted)
            if stage is None or err.code != "run.incomplete" or not done:
                raise


@contextmanager
def opened_work(
    root: Path, archived: ArchivedRun, *, profile: str, cores: int | None, watch: Watch | None = None
) -> Iterator[WorkFolder]:
    """Give the work folder of a request; in the block there is no network, and inputs are those of the archive.

    Raises:
        IntegrityError: ``replay.changed``: a file of the archive changed since it was verified.
        EnvironmentUnfit: the disk refuses.
    """
    document = lay_out(root, archived, change=None)
    with environment_set(archive_environment(root, archived)):
        yield WorkFolder(root=root, archived=archived, document=document, profile=profile, cores=cores, watch=watch)
