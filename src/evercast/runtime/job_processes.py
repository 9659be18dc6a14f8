"""Which processes compute one thing together: as SLURM started them, or as the command line says."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from evercast.errors import UsageError

__all__ = ["JobProcesses", "first_host", "processes_of_slurm"]

_FIRST_PORT = 61440
_PORTS = 4000
"""Above the ports that systems hand out by themselves; two are used, this one and the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProcesses:
    """One of several processes.

    Args:
        host, port: where process 0 is waited for.
        count: of the processes.
        number: of this one.
    """

    host: str
    port: int
    count: int
    number: int

    @classmethod
    def of_options(cls, *, coordinator: str | None, count: int | None, number: int | None) -> JobProcesses:
        """Return what the command line says, or else SLURM.

        Raises:
            UsageError: ``distributed.processes``: only a part of it is said, or nothing and this is no SLURM job step.
        """
        if coordinator is None and count is None and number is None:
            found = processes_of_slurm(os.environ)
            if found is None:
                raise UsageError(
                    "--distributed needs the processes: this is no step of a SLURM job",
                    code="distributed.processes",
                    hint="use srun -n N, or --coordinator HOST:PORT --processes N --process I in each of them",
                )
            return found
        host, colon, port = (coordinator or "").rpartition(":")
        if not (host and colon and port.isdigit() and 0 < int(port) < 1 << 16) or count is None or number is None:
            raise UsageError(
                "--coordinator HOST:PORT, --processes N and --process I go together", code="distributed.processes"
            )
        if not 0 <= number < count:
            raise UsageError(f"--process is {number}; expected 0 to {count - 1}", code="distributed.processes")
        return cls(host=host, port=int(port), count=count, number=number)


def processes_of_slurm(environment: Mapping[str, str]) -> JobProcesses | None:
    """Return this process of a SLURM job step; None where there is none."""
    number, nodes = environment.get("SLURM_PROCID"), environment.get("SLURM_STEP_NODELIST")
    count = environment.get("SLURM_STEP_NUM_TASKS") or environment.get("SLURM_NTASKS")
    if number is None or nodes is None or count is None:
        return None
    job, step = int(environment.get("SLURM_JOB_ID", "0")), environment.get("SLURM_STEP_ID", "0")
    turn = 2 * (31 * job + (int(step) if step.isdigit() else 0)) % _PORTS
    return JobProcesses(host=_address(first_host(nodes)), port=_FIRST_PORT + turn, count=int(count), number=int(number))


def first_host(nodes: str) -> str:
    """Return the first name of a SLURM list of nodes, on which process 0 is.

    Example:
        >>> first_host("cn[07-12,3],gn1"), first_host("gn1,cn2")
        ('cn07', 'gn1')
    """
    match = re.match(r"([^,\[]+)(?:\[([0-9]+)[^\]]*\])?([^,]*)", nodes)
    return nodes if match is None else f"{match[1]}{match[2] or ''}{match[3]}"


def _address(host: str) -> str:
    """Return a name under which a node is reached: its own, or the address that SLURM has for it."""
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        program = shutil.which("scontrol")
        if program is None:
            return host
        command = [program, "show", "node", "-o", host]
        told = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a program of SLURM
        match = re.search(r"\bNodeAddr=(\S+)", told.stdout)
        return host if match is None else match[1]
    return host
