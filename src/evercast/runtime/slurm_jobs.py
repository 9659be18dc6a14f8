"""What SLURM says of jobs, and how they are cancelled; everything is silent where there is no SLURM."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from evercast.errors import EnvironmentUnfit

__all__ = [
    "SlurmJob", "cancel_runs", "has_slurm", "job_is_over", "jobs_of_runs", "own_cluster", "own_job", "states_of",
    "this_cluster",
]  # fmt: skip

_ACTIVE: Final = frozenset({
    "PENDING", "RUNNING", "SUSPENDED", "CONFIGURING", "COMPLETING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED",
    "RESIZING", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED", "RESV_DEL_HOLD",
})  # fmt: skip
_MEMORY: Final = "OUT_OF_MEMORY"
_CALL_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmJob:
    """A job as SLURM tells of it.

    Args:
        id: ``123``, or ``123_4`` for a task of an array.
        state: ``RUNNING``, ``TIMEOUT``, ...; one word.
        comment: what Snakemake wrote: the rule and the wildcards; empty where it is not kept.
        user: whose it is; empty where that was not asked.
    """

    id: str
    state: str
    comment: str = ""
    user: str = ""

    @property
    def is_active(self) -> bool:
        """Whether it waits, runs, or its processes are being ended."""
        return self.state in _ACTIVE


def has_slurm() -> bool:
    """Return whether the programs of SLURM are here."""
    return shutil.which("squeue") is not None and shutil.which("scancel") is not None


def own_job() -> str | None:
    """Return the SLURM job that this process belongs to; None outside."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def jobs_of_runs(names: Iterable[str]) -> tuple[SlurmJob, ...]:
    """Return the jobs with these names, those of the accounting too where there is one; () without SLURM.

    Args:
        names: of Snakemake's SLURM runs; all jobs of a run have its name.

    Raises:
        EnvironmentUnfit: ``slurm.unreachable``.
    """
    wanted = ",".join(names)
    if not wanted or not has_slurm():
        return ()
    found = {job.id: job for job in _accounted("--name", wanted)}
    for job in _queued("--name", wanted):
        known = found.get(job.id)
        found[job.id] = job if known is None or known.state != _MEMORY else known
    return tuple(found.values())


def states_of(ids: Iterable[str]) -> dict[str, str]:
    """Return id -> state of the jobs that SLURM knows; {} without SLURM, or where it does not answer."""
    wanted = ",".join(ids)
    if not wanted or not has_slurm():
        return {}
    try:
        queued = _queued("--jobs", wanted)
    except EnvironmentUnfit:
        queued = []
    return {job.id: job.state for job in [*_accounted("--jobs", wanted), *queued]}


def own_cluster() -> str | None:
    """Return the name of the cluster whose job this process is; None outside."""
    return os.environ.get("SLURM_CLUSTER_NAME")


def job_is_over(job: str, *, cluster: str | None) -> bool:
    """Return whether SLURM answers, and says that no process of this job is at work any more.

    Args:
        job: its id.
        cluster: the cluster it belongs to; of one of another cluster nobody here can tell.
    """
    if not has_slurm() or cluster is None or cluster not in (own_cluster(), this_cluster()):
        return False
    answer = _ask(["squeue", "--noheader", "--states=all", "--jobs", job, "--format=%T"])
    if answer.returncode != 0:
        return "Invalid job id" in answer.stderr
    return not any(SlurmJob(id=job, state=state).is_active for state in answer.stdout.split())


def this_cluster() -> str | None:
    """Return the name of the cluster that this machine talks to; None without."""
    if not has_slurm():
        return None
    for line in _ask(["scontrol", "show", "config"]).stdout.splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "ClusterName":
            return value.strip()
    return None


def cancel_runs(names: Sequence[str], *, patience: float = 120.0) -> int:
    """Cancel all jobs with these names and wait until they are gone; return how many there were.

    Args:
        names: of Snakemake's SLURM runs.
        patience: how long to wait, s.

    Raises:
        EnvironmentUnfit: ``slurm.missing``: this machine cannot reach the jobs; ``slurm.unreachable``: the controller
            does not answer; ``slurm.other-user``: they are of another user, and only that one may cancel them;
            ``slurm.jobs-stay``: they do not end.
    """
    if not names:
        return 0
    if not has_slurm():
        raise EnvironmentUnfit(
            "the last run in this folder had jobs in SLURM, whose programs are not on this machine",
            code="slurm.missing",
            hint="run where squeue and scancel are, or remove slurm_runs from work/current.json if no job is left",
        )
    active = [job for job in _queued("--name", ",".join(names)) if job.is_active]
    first = len(active)
    end = time.monotonic() + patience
    while active:
        if any(job.state != "COMPLETING" for job in active):
            for name in names:
                answer = _ask(["scancel", "--name", name])
                if answer.returncode != 0:
                    _refuse_others(active, said=answer.stderr)
                    _answered(answer)
        if time.monotonic() > end:
            _refuse_others(active, said="")
            raise EnvironmentUnfit(
                f"{len(active)} SLURM jobs of an earlier run do not end: {', '.join(job.id for job in active[:5])}",
                code="slurm.jobs-stay",
                hint="look at them with squeue; run again when they are gone",
            )
        time.sleep(_POLL_SECONDS)
        active = [job for job in _queued("--name", ",".join(names)) if job.is_active]
    return first


def _refuse_others(jobs: Sequence[SlurmJob], *, said: str) -> None:
    """Refuse to go on where jobs that this process could not cancel are of another user.

    Raises:
        EnvironmentUnfit: ``slurm.other-user``.
    """
    with suppress(KeyError):  # a user of the cluster that this machine has no name for
        me = pwd.getpwuid(os.geteuid()).pw_name
        others = [job for job in jobs if job.user not in ("", me)]
        if others:
            reason = f": {said.strip().splitlines()[-1]}" if said.strip() else ""
            raise EnvironmentUnfit(
                f"the last run in this folder was started by user {others[0].user!r} and still has {len(others)} jobs "
                f"in SLURM, first {others[0].id}, which {me!r} may not cancel{reason}",
                code="slurm.other-user",
                hint=f"wait until they have ended, or ask {others[0].user} to cancel them with scancel",
            )


def _queued(*which: str) -> list[SlurmJob]:
    """Return the jobs that the controller still knows.

    Raises:
        EnvironmentUnfit: ``slurm.unreachable``.
    """
    answer = _ask(["squeue", "--noheader", "--array", "--states=all", "--format=%i|%T|%u|%k", *which])
    if "Invalid job id" in answer.stderr:
        return []
    return _jobs(_answered(answer))


def _accounted(*which: str) -> list[SlurmJob]:
    """Return the jobs that the accounting knows; none where there is no accounting.

    A job one of whose steps was over its memory was so itself: SLURM calls it failed where its script caught that.
    """
    if shutil.which("sacct") is None:
        return []
    words = ["--starttime=now-30days", "--endtime=now"] if which[0] == "--name" else []
    answer = _ask(
        ["sacct", "--noheader", "--parsable2", "--format=JobID,State,User,Comment", *which, *words]
    )  # fmt: skip
    rows = _jobs(answer.stdout) if answer.returncode == 0 else []
    over = {row.id.partition(".")[0] for row in rows if row.state == _MEMORY}
    return [replace(row, state=_MEMORY) if row.id in over else row for row in rows if "." not in row.id]


def _jobs(text: str) -> list[SlurmJob]:
    rows = [line.split("|", 3) for line in text.splitlines() if line.count("|") >= 3]
    return [
        SlurmJob(
            id=number, state=state.split()[0].rstrip("+"), comment="" if comment == "(null)" else comment, user=user
        )
        for number, state, user, comment in rows
        if state.strip()
    ]


def _answered(answer: subprocess.CompletedProcess[str]) -> str:
    if answer.returncode != 0:
        raise EnvironmentUnfit(
            f"SLURM does not answer: {answer.stderr.strip()[-300:] or 'no reason given'}",
            code="slurm.unreachable",
            hint="wait until the controller is back (scontrol ping), then run again",
        )
    return answer.stdout


def _ask(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command of SLURM; a time-out counts as no answer."""
    try:
        return subprocess.run(  # noqa: S603 - programs of SLURM
            command, capture_output=True, text=True, check=False, timeout=_CALL_SECONDS, stdin=subprocess.DEVNULL
        )
    except (subprocess.TimeoutExpired, OSError) as err:
        return subprocess.CompletedProcess(command, returncode=124, stdout="", stderr=str(err))
