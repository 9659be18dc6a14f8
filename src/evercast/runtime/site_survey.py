"""What the SLURM of a site offers: partitions with limits and GPUs, accounts, limits of the user, shared disks."""

from __future__ import annotations

import getpass
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evercast.errors import EnvironmentUnfit
from evercast.runtime.slurm import ask_slurm, minutes_of, parse_pairs, parse_rows

__all__ = ["Partition", "Survey", "survey_site"]

_PATIENCE_SECONDS: Final = 20
"""For each answer: a controller that lives says these things at once."""
_GPU: Final = re.compile(r"gpu(?::(?P<type>[A-Za-z0-9_.-]+))?:(?P<count>\d+)")
_SHARED: Final = ("cvmfs", "gpfs", "lustre", "beegfs", "ceph", "panfs")
"""Kinds of mounted file systems, as far as their name or their type tells, that a stage may want to read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One partition.

    Args:
        is_default: whether jobs that name no partition go there.
        is_up: whether it takes jobs.
        cores: per node, of its smallest node.
        memory_mb: per node, of its smallest node, MB.
        longest_min: time limit, minutes; None where there is none.
        gpus: type -> GPUs per node; the type is empty where the site names none.
    """

    name: str
    is_default: bool
    is_up: bool
    nodes: int
    cores: int
    memory_mb: int
    longest_min: int | None
    gpus: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What SLURM and the machine said.

    Args:
        account: the user's default account; None where SLURM does not say.
        accounts: all accounts that the user may charge.
        most_jobs: jobs that the user may have queued and running at once; None where SLURM names no limit.
        longest_array: tasks of one array.
        kept_seconds: how long the controller knows a job that has ended, s.
        has_accounting: whether ``sacct`` has a database to ask.
        requeues: whether a job of a dead node is queued again.
        shared: mounted file systems of a kind that stages may want to read.
    """

    cluster: str
    version: str
    partitions: tuple[Partition, ...]
    account: str | None
    accounts: tuple[str, ...]
    most_jobs: int | None
    longest_array: int
    kept_seconds: int
    has_accounting: bool
    requeues: bool
    shared: tuple[str, ...]

    def partition(self, name: str) -> Partition | None:
        """Return the partition of this name; None where there is none."""
        return next((item for item in self.partitions if item.name == name), None)


def survey_site(*, observe: Callable[[str], None]) -> Survey:
    """Return what this site's SLURM says; the user's accounts are left out where only the administrator may ask.

    Args:
        observe: is told each question before it is asked.

    Raises:
        EnvironmentUnfit: ``slurm.missing``, ``slurm.silent``, or ``slurm.no-partition``.
    """

    def ask(what: str, program: str, *arguments: str) -> str:
        observe(f"asking SLURM for {what} ({program}, at most {_PATIENCE_SECONDS} s)")
        return ask_slurm(program, *arguments, patience=_PATIENCE_SECONDS)

    config = _configuration(ask("its configuration", "scontrol", "show", "config"))
    nodes = parse_rows(ask("its nodes", "sinfo", "--noheader", "--all", "--format=%R|%D|%c|%m|%G"), columns=5)
    lines = ask("its partitions", "scontrol", "--oneliner", "--all", "show", "partition").splitlines()
    partitions = tuple(_partition(parse_pairs(line), nodes) for line in lines if line.startswith("PartitionName="))
    if not partitions:
        raise EnvironmentUnfit("SLURM names no partition", code="slurm.no-partition", hint="ask the administrators")
    has_accounting = config.get("AccountingStorageType", "").endswith("slurmdbd")
    default, accounts, most_jobs = _user_limits(ask) if has_accounting else (None, (), None)
    return Survey(
        cluster=config.get("ClusterName", "cluster"),
        version=config.get("SLURM_VERSION", "unknown"),
        partitions=partitions,
        account=default,
        accounts=accounts,
        most_jobs=most_jobs,
        longest_array=max(_number(config.get("MaxArraySize", ""), default=1001) - 1, 0),
        kept_seconds=_number(config.get("MinJobAge", ""), default=300),
        has_accounting=has_accounting,
        requeues=config.get("JobRequeue") == "1",
        shared=_shared_mounts(Path("/proc/mounts")),
    )


def _configuration(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _number(text: str, *, default: int) -> int:
    found = re.match(r"\d+", text)
    return int(found.group()) if found else default


def _partition(pairs: Mapping[str, str], nodes: tuple[tuple[str, ...], ...]) -> Partition:
    name = pairs["PartitionName"]
    own = [row for row in nodes if row[0] == name]
    gpus: dict[str, int] = {}
    for row in own:
        for match in _GPU.finditer(row[4]):
            kind = match["type"] or ""
            gpus[kind] = max(gpus.get(kind, 0), int(match["count"]))
    return Partition(
        name=name,
        is_default=pairs.get("Default") == "YES",
        is_up=pairs.get("State") == "UP",
        nodes=sum(_number(row[1], default=0) for row in own),
        cores=min((_number(row[2], default=1) for row in own), default=1),
        memory_mb=min((_number(row[3], default=0) for row in own), default=0),
        longest_min=minutes_of(pairs.get("MaxTime", "UNLIMITED")),
        gpus=gpus,
    )


def _user_limits(ask: Callable[..., str]) -> tuple[str | None, tuple[str, ...], int | None]:
    """Return the default account, all accounts and the most jobs of this user, as far as SLURM tells."""
    try:
        answer = ask(
            "your accounts", "sacctmgr", "--noheader", "--parsable2", "show", "user", getpass.getuser(), "withassoc",
            "format=defaultaccount,account,maxsubmitjobs",
        )  # fmt: skip
    except EnvironmentUnfit:
        return None, (), None
    rows = parse_rows(answer, columns=3)
    default = next((row[0] for row in rows if row[0]), None)
    accounts = tuple(dict.fromkeys(row[1] for row in rows if row[1]))
    limits = [int(row[2]) for row in rows if row[2].isdigit()]
    return default, accounts, min(limits, default=None)


def _shared_mounts(table: Path) -> tuple[str, ...]:
    """Return where the file systems of `_SHARED` kinds are mounted; CVMFS by its repositories, others by their root."""
    try:
        lines = table.read_text(errors="replace").splitlines()
    except OSError:
        return ()
    rows = [line.split() for line in lines]
    places = [row[1] for row in rows if len(row) > 2 and any(kind in f"{row[0]} {row[1]} {row[2]}" for kind in _SHARED)]
    return tuple(dict.fromkeys(place for place in places if re.fullmatch(r"/[A-Za-z0-9._/+@-]+", place)))
