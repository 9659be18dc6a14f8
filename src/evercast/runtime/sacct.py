"""Questions to SLURM's accounting: what jobs used, how they ended, where they ran."""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from evercast.errors import EnvironmentUnfit
from evercast.runtime.slurm import ask_slurm, parse_rows

__all__ = ["SlurmUse", "ask_sacct", "read_sacct"]

_FIELDS: Final = (
    "JobID", "State", "ElapsedRaw", "TotalCPU", "MaxRSS", "NodeList", "ReqMem", "TimelimitRaw", "AllocCPUS", "Comment",
)  # fmt: skip
_AT_ONCE: Final = 500
"""Jobs of one question: their ids stand on its command line."""
_SCALE: Final = {"": 1 / 1_048_576, "K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1_048_576.0}
"""To the megabytes in which memory is asked for: powers of 1024, as SLURM counts."""
_RULE: Final = re.compile(r"(?:rule|group)_([A-Za-z_]+?)(?:_wildcards_.*)?")
_BATCH: Final = "batch"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmUse:
    """What SLURM says of one job.

    Args:
        job: its id, ``123`` or ``123_4``.
        rule: of Snakemake; ``unknown`` where the site does not keep comments.
        state: one word, such as COMPLETED, TIMEOUT, OUT_OF_MEMORY.
        seconds: elapsed time, s.
        cpu_seconds: of all its processes, s.
        memory_mb: largest resident memory, MB: of the job script and of its largest step together; None where no
            sample was taken.
        asked_memory_mb: the request, MB; None where it named none.
        asked_min: run time asked for, minutes.
        cores: cores given.
        node: name of the node, or a list of several.
    """

    job: str
    rule: str
    state: str
    seconds: float
    cpu_seconds: float
    memory_mb: float | None
    asked_memory_mb: float | None
    asked_min: int | None
    cores: int
    node: str


def ask_sacct(
    jobs: Sequence[str], *, since: str, until: str, names: Iterable[str] = ()
) -> dict[str, SlurmUse] | None:  # fmt: skip
    """Return id -> what SLURM's accounting says of these jobs and of all jobs with these names; None without one.

    Clusters give an id again after some time, so only jobs count that were there between two times.

    Args:
        jobs: ids, ``123`` or ``123_4``, of the cluster that this machine talks to.
        since: UTC, ISO 8601: the first of the jobs had begun.
        until: UTC, ISO 8601: the last of them had begun.
        names: of Snakemake's SLURM runs, whose jobs are named after them.
    """
    window = (f"--starttime={_ago(since, margin=1)}", f"--endtime={_ago(until, margin=-1)}")
    shape = ("--noheader", "--parsable2", f"--format={','.join(_FIELDS)}")
    found: dict[str, SlurmUse] = {}
    try:
        for start in range(0, len(jobs), _AT_ONCE):
            found |= read_sacct(
                ask_slurm("sacct", *shape, *window, f"--jobs={','.join(jobs[start : start + _AT_ONCE])}")
            )
        for name in names:
            found |= read_sacct(ask_slurm("sacct", *shape, "--starttime=now-30days", f"--name={name}"))
    except EnvironmentUnfit:
        return None
    return found


def _ago(moment: str, *, margin: int) -> str:
    """Return a moment as sacct reads it on any machine, whatever its time zone: so many minutes before now.

    Args:
        moment: UTC, ISO 8601.
        margin: minutes more.
    """
    seconds = time.time() - calendar.timegm(time.strptime(moment, "%Y-%m-%dT%H:%M:%SZ"))
    minutes = int(seconds // 60) + margin
    return f"now-{minutes}minutes" if minutes > 0 else "now"


def read_sacct(text: str) -> dict[str, SlurmUse]:
    """Return id -> what a table of jobs and their steps says, one row each.

    A job that was queued again has several rows of one id: the last one is kept.
    """
    jobs: dict[str, tuple[str, ...]] = {}
    steps: dict[str, dict[str, float]] = {}
    for row in parse_rows(text, columns=len(_FIELDS)):
        identity, _, step = row[0].partition(".")
        if not step:
            jobs[identity] = row
        elif (memory := _megabytes(row[4])) is not None:
            steps.setdefault(identity, {})[step] = memory
    return {identity: _use(row, steps.get(identity, {})) for identity, row in jobs.items()}


def _use(row: tuple[str, ...], steps: dict[str, float]) -> SlurmUse:
    identity, state, elapsed, cpu, _, node, asked, limit, cores, comment = row
    rule = _RULE.fullmatch(comment)
    largest = max((memory for step, memory in steps.items() if step != _BATCH), default=0.0)
    return SlurmUse(
        job=identity,
        rule=rule[1] if rule else "unknown",
        state=state.split()[0] if state else "UNKNOWN",
        seconds=float(elapsed) if elapsed.isdigit() else 0.0,
        cpu_seconds=_seconds(cpu),
        memory_mb=round(steps.get(_BATCH, 0.0) + largest, 1) if steps else None,
        asked_memory_mb=_megabytes(asked.rstrip("nc")),
        asked_min=int(limit) if limit.isdigit() else None,
        cores=int(cores) if cores.isdigit() else 0,
        node=node,
    )


def _megabytes(text: str) -> float | None:
    """Return an amount of memory such as ``180604K`` in MB; None where there is none."""
    match = re.fullmatch(r"([0-9.]+)([KMGT]?)", text)
    return round(float(match[1]) * _SCALE[match[2]], 1) if match and float(match[1]) > 0 else None


def _seconds(text: str) -> float:
    """Return a time such as ``1-02:03:04`` or ``00:03.418`` in seconds; 0 where there is none."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)", text)
    if match is None:
        return 0.0
    days, hours, minutes = (int(part or 0) for part in match.groups()[:3])
    return round(((days * 24 + hours) * 60 + minutes) * 60 + float(match[4]), 3)
