"""A connection from each process of a job to process 0: whoever ends before the job is done ends all others.

The collective operations of a job wait for every process. Without this, the end of one of them would show late, and as
an error of the network in another one.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from evercast.errors import EnvironmentUnfit
from evercast.runtime.job_processes import JobProcesses

__all__ = ["Lifeline", "Lost"]

_DONE: Final = b"done"
_RETRY_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A process that ended too early, and its error where it could still say it."""

    number: int
    reason: str


class Lifeline:
    """One end of the connections; process 0 has one to each other process.

    Args:
        links: number of the process at the other end -> connection.
        when_lost: called once, in a thread of its own, with the process that was lost.
    """

    def __init__(self, links: Mapping[int, socket.socket], when_lost: Callable[[Lost], None]) -> None:
        self._links = dict(links)
        self._when_lost = when_lost
        self._ended = threading.Lock()
        self._quiet = False
        for number, link in self._links.items():
            threading.Thread(target=self._watch, args=(number, link), daemon=True).start()

    @classmethod
    def join(cls, own: JobProcesses, *, when_lost: Callable[[Lost], None], limit: float) -> Lifeline:
        """Return the end of this process when all have come; process 0 listens on the port after that of the job.

        Args:
            own: the processes.
            when_lost: as for `Lifeline`.
            limit: until all must have come, s.

        Raises:
            EnvironmentUnfit: ``distributed.incomplete``: process 0, or another one, did not come in time;
                ``distributed.port``: process 0 cannot listen.
        """
        address, end = (own.host, own.port + 1), time.monotonic() + limit
        if own.number > 0:
            return cls({0: _called(address, own, end)}, when_lost)
        links: dict[int, socket.socket] = {}
        _probe((own.host, own.port))
        try:
            with socket.create_server(address, backlog=own.count) as listener:
                while len(links) < own.count - 1:
                    listener.settimeout(max(0.01, end - time.monotonic()))
                    link, _ = listener.accept()
                    link.settimeout(limit)
                    links[int.from_bytes(_exactly(link, 4), "big")] = link
        except TimeoutError as err:
            missing = ", ".join(str(n) for n in range(1, own.count) if n not in links)
            raise _incomplete(f"of {own.count} processes did not come within {limit:g} s: {missing}") from err
        except OSError as err:
            raise _cannot_listen(address, err) from err
        return cls(links, when_lost)

    def fail(self, number: int, reason: str) -> None:
        """Tell the others that process `number` ends with an error."""
        self._tell(json.dumps({"number": number, "reason": reason}).encode())

    def done(self) -> None:
        """Tell the others that this process has all it needs; from now on anyone may end."""
        self._tell(_DONE)

    def _tell(self, message: bytes) -> None:
        with self._ended:
            if self._quiet:
                return
            self._quiet = True
        for link in self._links.values():
            with suppress(OSError):
                link.sendall(len(message).to_bytes(4, "big") + message)

    def _watch(self, number: int, link: socket.socket) -> None:
        link.settimeout(None)
        lost = Lost(number=number, reason="it ended without a word: killed, out of memory, or its node is gone")
        try:
            message = _exactly(link, int.from_bytes(_exactly(link, 4), "big"))
            if message == _DONE:
                return
            body = json.loads(message)
            lost = Lost(number=int(body["number"]), reason=str(body["reason"]))
        except (OSError, ValueError, KeyError):
            pass
        with self._ended:
            if self._quiet:
                return
        self.fail(lost.number, lost.reason)
        self._when_lost(lost)


def _exactly(link: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = link.recv(count - len(found))
        if not part:
            raise OSError("the connection was closed")
        found += part
    return found


def _called(address: tuple[str, int], own: JobProcesses, end: float) -> socket.socket:
    """Return a connection to process 0, which may start later."""
    while True:
        try:
            link = socket.create_connection(address, timeout=max(0.01, end - time.monotonic()))
            link.sendall(own.number.to_bytes(4, "big"))
        except OSError as err:
            if time.monotonic() > end:
                message = f"process 0 of {own.count} does not answer at {address[0]}:{address[1]}: {err}"
                raise _incomplete(message) from err
            time.sleep(_RETRY_SECONDS)
        else:
            return link


def _probe(address: tuple[str, int]) -> None:
    """Refuse a port for the library that joins the processes where something listens there: it would not say so.

    Raises:
        EnvironmentUnfit: ``distributed.port``.
    """
    try:
        socket.create_server(address).close()
    except OSError as err:
        raise _cannot_listen(address, err) from err


def _cannot_listen(address: tuple[str, int], err: OSError) -> EnvironmentUnfit:
    reason = err.strerror or str(err)
    return EnvironmentUnfit(
        f"process 0 cannot listen at {address[0]}:{address[1]}: {reason}",
        code="distributed.port",
        hint="give all processes another --coordinator HOST:PORT; HOST must be a name or an address of the machine of "
        "process 0, and both PORT and the next port must be free there",
    )


def _incomplete(message: str) -> EnvironmentUnfit:
    return EnvironmentUnfit(
        message,
        code="distributed.incomplete",
        hint="start all processes, each with the same --coordinator HOST:PORT and its own --process (with srun neither "
        "is needed); no firewall may be between them at PORT and the next port",
    )
