"""What the jobs of a run cost: from the receipts of the units, and from SLURM's accounting where there is one.

It is made when the results are published, when every job but the publishing one has ended. It enters no key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from evercast.artifacts.files import atomic_write_json, read_json
from evercast.errors import EvercastError, InvalidInput
from evercast.plan.jobs import jobs_of
from evercast.plan.model import UnitResources
from evercast.runtime.plans import FrozenPlan
from evercast.runtime.receipts import Receipt, read_receipt
from evercast.runtime.sacct import SlurmUse, ask_sacct
from evercast.runtime.settings import read_settings
from evercast.runtime.slurm_jobs import this_cluster
from evercast.spec.codec import from_json, to_json

__all__ = ["Accounting", "JobCost", "StageCost", "account_run", "write_accounting"]

SCHEMA: Final = "accounting/1.0.0"
FILE: Final = "accounting.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCost:
    """One job: the units that it finished, and what they took.

    Args:
        stages: of its units; a group of rules has several. Of a job that finished none, as far as SLURM knows it.
        units: ids, in the order of the plan; empty for a job that finished none.
        seconds: wall-clock time, s: of the job where SLURM tells, else of its units.
        cpu_seconds: of all processes of the job, s; None where SLURM does not tell.
        memory_mb: largest resident memory, MB: of the job where SLURM tells, else of its largest unit.
        asked_memory_mb: the request, MB: of the job where SLURM tells, else the estimate of the plan.
        asked_min: run time asked for, minutes, likewise.
        cores: cores given, likewise.
        node: where it ran.
        state: the last word of SLURM, such as COMPLETED or TIMEOUT; None where there was no SLURM.
        slurm_job: id of the SLURM job; None where there was none.
        started: UTC, ISO 8601, of the first unit; None for a job that finished none.
    """

    stages: tuple[str, ...]
    units: tuple[str, ...]
    seconds: float
    cpu_seconds: float | None = None
    memory_mb: float | None = None
    asked_memory_mb: float | None = None
    asked_min: int | None = None
    cores: int | None = None
    node: str = ""
    state: str | None = None
    slurm_job: str | None = None
    started: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCost:
    """All jobs of a stage, or of the stages that shared jobs.

    Args:
        stage: its name; of several, joined by ``+``.
        units: number of units finished.
        jobs: number of jobs, also of those that finished none.
        seconds: wall-clock time of all jobs, s.
        cpu_seconds: of all jobs, s; None where one of them is not known.
        memory_mb: the largest of any job, MB.
        asked_memory_mb: what the job asked for that came closest to its request, MB.
        memory_fraction: largest memory over request of any job.
        nodes: names of the nodes.
        states: state -> number of jobs; empty without SLURM.
    """

    stage: str
    units: int
    jobs: int
    seconds: float
    cpu_seconds: float | None
    memory_mb: float | None
    asked_memory_mb: float | None
    memory_fraction: float | None
    nodes: tuple[str, ...]
    states: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounting:
    """The content of ``accounting.json``.

    Args:
        plan: digest of the plan.
        scheduler: ``slurm`` where units ran as SLURM jobs, else ``local``.
        database: whether SLURM's accounting was asked with success; where not, times and memory are those of receipts.
        network_attempts: id -> how often the unit wanted the network, for those that did; no container has any.
    """

    schema: str = SCHEMA
    plan: str
    scheduler: str
    database: bool
    stages: tuple[StageCost, ...]
    jobs: tuple[JobCost, ...]
    network_attempts: Mapping[str, int] = field(default_factory=dict)


def account_run(frozen: FrozenPlan) -> Accounting:
    """Return what the jobs of a finished run cost.

    What is in the published file already is kept where it tells of the same units, so that publishing again asks
    nothing and changes nothing.

    Raises:
        IntegrityError: a unit has no receipt, or a damaged one.
    """
    receipts = tuple(read_receipt(frozen.folder.receipt(unit)) for unit in frozen.plan.units)
    known = _published(frozen.folder.root / FILE)
    if known is not None and known.plan == frozen.plan.digest and _marks(known.jobs) == _marks(_jobs(receipts, {}, {})):
        return known
    used = _used(receipts, names=read_settings(frozen.folder).slurm_runs)
    jobs = _jobs(receipts, used or {}, _asked(frozen))
    by_slurm = any(receipt.slurm_job for receipt in receipts)
    return Accounting(
        plan=frozen.plan.digest, scheduler="slurm" if by_slurm else "local", database=used is not None,
        stages=_stages(jobs), jobs=jobs, network_attempts=_network_attempts(receipts),
    )  # fmt: skip


def _network_attempts(receipts: Iterable[Receipt]) -> dict[str, int]:
    return {
        receipt.unit: receipt.container.network_attempts
        for receipt in receipts
        if receipt.container is not None and receipt.container.network_attempts
    }


def _used(receipts: Iterable[Receipt], *, names: Iterable[str]) -> dict[str, SlurmUse] | None:
    """Return id -> what SLURM says of the jobs of this cluster; of others, with ids of their own, it is mute."""
    here = this_cluster()
    asked = [receipt for receipt in receipts if receipt.slurm_job and receipt.slurm_cluster in (None, here)]
    if not asked:
        return None
    ids = tuple(dict.fromkeys(receipt.slurm_job for receipt in asked if receipt.slurm_job))
    since, until = min(receipt.started for receipt in asked), max(receipt.ended for receipt in asked)
    found = ask_sacct(ids, since=since, until=until, names=names)
    other = {receipt.slurm_job for receipt in receipts if receipt.slurm_job and receipt not in asked}
    return None if found is None else {job: use for job, use in found.items() if job not in other}


def write_accounting(accounting: Accounting, *, folder: Path) -> Path | None:
    """Publish the accounting; return the file, or None where it says the same already.

    Raises:
        EnvironmentUnfit: the disk refuses.
    """
    if _published(folder / FILE) == accounting:
        return None
    atomic_write_json(folder / FILE, to_json(accounting))
    return folder / FILE


def _published(file: Path) -> Accounting | None:
    try:
        return from_json(Accounting, read_json(file))
    except (EvercastError, InvalidInput):
        return None


def _marks(jobs: Iterable[JobCost]) -> set[tuple[str, str | None]]:
    """Return which execution of which unit the jobs tell of."""
    return {(unit, job.slurm_job or job.started) for job in jobs for unit in job.units}


def _asked(frozen: FrozenPlan) -> dict[str, UnitResources]:
    """Return unit -> what the plan asked for its job."""
    return {unit: job.resources for job in jobs_of(frozen.plan.units) for unit in job.units}


def _jobs(
    receipts: Sequence[Receipt], used: Mapping[str, SlurmUse], asked: Mapping[str, UnitResources]
) -> tuple[JobCost, ...]:
    groups: dict[tuple[str | None, str], list[Receipt]] = {}
    for receipt in receipts:
        groups.setdefault((receipt.slurm_cluster, receipt.slurm_job or receipt.unit), []).append(receipt)
    jobs = [_job(group, used.get(group[0].slurm_job or ""), asked.get(group[0].unit)) for group in groups.values()]
    known = {receipt.slurm_job for receipt in receipts}
    lost = [use for identity, use in used.items() if identity not in known]
    return (*jobs, *(_lost(use) for use in lost))


def _job(group: Sequence[Receipt], use: SlurmUse | None, asked: UnitResources | None) -> JobCost:
    first, peak = group[0], max(receipt.max_rss_mb for receipt in group)
    told = JobCost(
        stages=tuple(dict.fromkeys(receipt.stage for receipt in group)),
        units=tuple(receipt.unit for receipt in group),
        seconds=round(sum(receipt.seconds for receipt in group), 3),
        memory_mb=peak,
        asked_memory_mb=asked.memory_mb if asked else None,
        asked_min=asked.runtime_min if asked else None,
        cores=asked.cores if asked else None,
        node=first.host,
        slurm_job=first.slurm_job,
        started=min(receipt.started for receipt in group),
    )
    if use is None:
        return told
    return replace(
        told, seconds=use.seconds, cpu_seconds=use.cpu_seconds, memory_mb=max(peak, use.memory_mb or 0.0),
        asked_memory_mb=use.asked_memory_mb, asked_min=use.asked_min, cores=use.cores, node=use.node, state=use.state,
    )  # fmt: skip


def _lost(use: SlurmUse) -> JobCost:
    return JobCost(
        stages=(use.rule,), units=(), seconds=use.seconds, cpu_seconds=use.cpu_seconds, memory_mb=use.memory_mb,
        asked_memory_mb=use.asked_memory_mb, asked_min=use.asked_min, cores=use.cores, node=use.node, state=use.state,
        slurm_job=use.job,
    )  # fmt: skip


def _stages(jobs: Iterable[JobCost]) -> tuple[StageCost, ...]:
    groups: dict[str, list[JobCost]] = {}
    for job in jobs:
        groups.setdefault("+".join(job.stages), []).append(job)
    return tuple(_stage(name, group) for name, group in groups.items())


def _stage(name: str, jobs: Sequence[JobCost]) -> StageCost:
    times = [job.cpu_seconds for job in jobs if job.cpu_seconds is not None]
    filled = [
        (job.memory_mb / job.asked_memory_mb, job.asked_memory_mb)
        for job in jobs
        if job.memory_mb is not None and job.asked_memory_mb
    ]
    fullest = max(filled, default=None)
    states = [job.state for job in jobs if job.state]
    return StageCost(
        stage=name,
        units=sum(len(job.units) for job in jobs),
        jobs=len(jobs),
        seconds=round(sum(job.seconds for job in jobs), 3),
        cpu_seconds=round(sum(times), 3) if len(times) == len(jobs) else None,
        memory_mb=max((job.memory_mb for job in jobs if job.memory_mb is not None), default=None),
        asked_memory_mb=fullest[1] if fullest else None,
        memory_fraction=round(fullest[0], 3) if fullest else None,
        nodes=tuple(sorted({job.node for job in jobs if job.node})),
        states={state: states.count(state) for state in dict.fromkeys(states)},
    )
