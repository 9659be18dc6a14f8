"""How often something wanted the network where there is none, as the kernel counts it.

In a namespace without any network but its own loopback, every attempt to reach an address outside ends at once for want
of a route, and the kernel counts that; a question to a name server on the loopback finds nobody there, and is counted
too. The counters must be read before the last process of the namespace ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

__all__ = ["counted_command", "counted_in", "network_attempts"]

_TABLES: Final = (Path("/proc/net/snmp"), Path("/proc/net/snmp6"))
_VERSION_4: Final = {"Ip": "OutNoRoutes", "Udp": "NoPorts"}
_VERSION_6: Final = re.compile(r"^(?:Ip6OutNoRoutes|Udp6NoPorts)\s+(\d+)$", re.MULTILINE)
_WRAPPED: Final = (
    'file=$1; shift; "$@"; code=$?; for table in /proc/net/snmp /proc/net/snmp6; do '
    'while IFS= read -r line; do printf "%s\\n" "$line"; done < "$table"; done > "$file" 2> /dev/null; exit "$code"'
)
"""Runs the words after the first, and copies the counters into the file that the first one names; a shell is enough."""


def network_attempts() -> int | None:
    """Return how often something in the network namespace of this process has found no way out; None where unknown."""
    try:
        return _count("\n".join(table.read_text() for table in _TABLES if table.exists()))
    except OSError:
        return None


def counted_command(command: Sequence[str], file: Path) -> list[str]:
    """Return a command that runs another one, copies the counters into a file, and ends with the code of that one.

    Args:
        command: program and arguments, for a container whose network is its own.
        file: gets the counters; to be read by `counted_in`.
    """
    return ["bash", "-c", _WRAPPED, "bash", str(file), *command]


def counted_in(file: Path) -> int | None:
    """Return what `network_attempts` would have returned at the end of a counted command; None where unknown."""
    try:
        return _count(file.read_text(errors="replace"))
    except OSError:
        return None


def _count(text: str) -> int | None:
    tables = _pairs(line.split() for line in text.splitlines())
    found = [tables[protocol][name] for protocol, name in _VERSION_4.items() if name in tables.get(protocol, {})]
    found += [int(value) for value in _VERSION_6.findall(text)]
    return sum(found) if found else None


def _pairs(rows: Iterable[Sequence[str]]) -> dict[str, dict[str, int]]:
    """Return protocol -> counter -> value; a line of names is followed by one of numbers."""
    names: dict[str, Sequence[str]] = {}
    tables: dict[str, dict[str, int]] = {}
    for row in rows:
        if not row or not row[0].endswith(":"):
            continue
        protocol = row[0].removesuffix(":")
        if protocol not in names:
            names[protocol] = row[1:]
        elif len(row) - 1 == len(names[protocol]) and all(value.lstrip("-").isdigit() for value in row[1:]):
            tables[protocol] = dict(zip(names[protocol], map(int, row[1:]), strict=True))
    return tables
