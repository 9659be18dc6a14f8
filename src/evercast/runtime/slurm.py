"""Questions to the SLURM of a site, through its own programs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from typing import Final

from evercast.errors import EnvironmentUnfit

__all__ = ["ask_slurm", "minutes_of", "parse_pairs", "parse_rows"]

_PATIENCE_SECONDS: Final = 60.0


def ask_slurm(program: str, *arguments: str, patience: float = _PATIENCE_SECONDS) -> str:
    """Return what a program of SLURM says.

    Args:
        program: its name.
        arguments: of its command line.
        patience: how long to wait for the answer, s.

    Raises:
        EnvironmentUnfit: ``slurm.missing`` where there is no such program, ``slurm.silent`` where it fails or SLURM
            does not answer in time.
    """
    path = shutil.which(program)
    if path is None:
        raise EnvironmentUnfit(
            f"there is no {program} on this machine",
            code="slurm.missing",
            hint="run this on a login node of the cluster, or load the module that provides SLURM",
        )
    environment = os.environ | {"LC_ALL": "C", "SLURM_TIME_FORMAT": "%Y-%m-%dT%H:%M:%S"}
    try:
        answer = subprocess.run(  # noqa: S603 - a program of the site, with arguments of our own
            [path, *arguments], capture_output=True, text=True, errors="replace", timeout=patience,
            check=False, env=environment, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired as err:
        raise _silent(program, f"does not answer within {patience:.0f} s") from err
    if answer.returncode != 0:
        raise _silent(program, f"ended with exit code {answer.returncode}: {answer.stderr.strip() or 'no message'}")
    return answer.stdout


def _silent(program: str, reason: str) -> EnvironmentUnfit:
    named = os.environ.get("SLURM_CONF")
    place = "SLURM_CONF is not set, so /etc/slurm counts" if named is None else f"SLURM_CONF is {named}"
    return EnvironmentUnfit(
        f"{program} {reason}",
        code="slurm.silent",
        hint=f"see with `scontrol ping` whether the controller answers; {place}, which must name the configuration",
    )


def parse_pairs(line: str) -> Mapping[str, str]:
    """Return the pairs of one line of ``scontrol --oneliner``; a word without ``=`` belongs to the value before it.

    Example:
        >>> dict(parse_pairs("PartitionName=cpu State=UP Reason=too hot"))
        {'PartitionName': 'cpu', 'State': 'UP', 'Reason': 'too hot'}
    """
    pairs: dict[str, str] = {}
    last = None
    for word in line.split():
        name, separator, value = word.partition("=")
        if separator:
            pairs[name], last = value, name
        elif last is not None:
            pairs[last] += f" {word}"
    return pairs


def parse_rows(text: str, *, columns: int) -> tuple[tuple[str, ...], ...]:
    r"""Return the rows of a table whose columns are separated by ``|``; rows of another width are left out.

    Example:
        >>> parse_rows("cpu|3\ngpu|2\n", columns=2)
        (('cpu', '3'), ('gpu', '2'))
    """
    rows = (tuple(part.strip() for part in line.split("|")) for line in text.splitlines())
    return tuple(row for row in rows if len(row) == columns)


def minutes_of(limit: str) -> int | None:
    """Return a time limit of SLURM in whole minutes, rounded down; None where there is no limit.

    Args:
        limit: ``MM``, ``MM:SS``, ``HH:MM:SS``, ``D-HH``, ``D-HH:MM`` or ``D-HH:MM:SS``.

    Example:
        >>> minutes_of("1-12:00:00"), minutes_of("00:30:00"), minutes_of("UNLIMITED")
        (2160, 30, None)
    """
    days, dash, clock = limit.strip().rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in parts) or (dash and not days.isdigit()):
        return None
    numbers = [int(part) for part in parts]
    if dash:
        hours, minutes, _ = [*numbers, 0, 0][:3]
        return (int(days) * 24 + hours) * 60 + minutes
    if len(numbers) == 3:
        return numbers[0] * 60 + numbers[1]
    return numbers[0]
