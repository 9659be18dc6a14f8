"""The server on the loopback, from its start to its end."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import create_server

from evercast.artifacts.files import make_folder
from evercast.errors import EnvironmentUnfit
from evercast.serve.app import Application
from evercast.serve.folders import Requests
from evercast.serve.jobs import Jobs
from evercast.serve.security import Gate
from evercast.serve.site import Site
from evercast.serve.uploads import Limits

__all__ = ["serve"]

_HOST: Final = "127.0.0.1"
_THREADS: Final = 8
_BODY_ROOM: Final = 32_000_000
"""Bytes of a form beside the file in it."""
_LOG: Final = logging.getLogger(__name__)


def serve(
    *, port: int, folder: Path, limits: Limits, options: Sequence[str], environ: Mapping[str, str],
    ready: Callable[[str], None],
) -> None:  # fmt: skip
    """Serve the pages until the process is asked to stop; then stop what was begun here, and nothing else.

    Args:
        port: on 127.0.0.1; 0 takes a free one.
        folder: where requests lie; made where it is missing.
        limits: of uploads.
        options: further words for the command of a run.
        environ: variables of the process.
        ready: told the address once it answers.

    Raises:
        EnvironmentUnfit: ``serve.port``: the port is not to be had; the disk refuses.
    """
    make_folder(folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        message = f"requests cannot be kept in {folder}: it is not writable"
        raise EnvironmentUnfit(message, code="disk.read-only", where=str(folder), hint="name another one with --folder")
    listening = _listening(port)
    gate = Gate(token=secrets.token_urlsafe(24), port=listening.getsockname()[1])
    jobs = Jobs(options)
    site = Site(gate=gate, requests=Requests(folder.resolve()), jobs=jobs, limits=limits, environ=environ)
    server = create_server(
        Application(site), sockets=[listening], threads=_THREADS, ident=None, clear_untrusted_proxy_headers=True,
        max_request_body_size=limits.file_bytes + _BODY_ROOM, max_request_header_size=32768, channel_timeout=120,
    )  # fmt: skip
    server.channel_class = _channel(gate)
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        ready(f"http://{_HOST}:{gate.port}/?token={gate.token}")
        server.run()
    finally:
        signal.signal(signal.SIGTERM, before)
        jobs.close()
        server.close()


def _stop(number: int, frame: object) -> None:  # noqa: ARG001
    raise KeyboardInterrupt


def _listening(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((_HOST, port))
        listening.listen(128)
    except OSError as err:
        listening.close()
        message = f"port {port} of {_HOST} is not to be had: {(err.strerror or str(err)).lower()}"
        hint = "leave --port out and a free one is taken, or name another one"
        raise EnvironmentUnfit(message, code="serve.port", hint=hint) from err
    return listening


def _channel(gate: Gate) -> type[Any]:
    """Return the class of connections that read the body of a request only from those who may ask."""

    class Parser(HTTPRequestParser):  # type: ignore[misc]
        """Refuses a body by the headers before it."""

        def parse_header(self, header_plus: bytes) -> None:
            """Read the headers."""
            super().parse_header(header_plus)
            if self.content_length > 0 or self.chunked:
                headers = {key.lower().replace("_", "-"): value for key, value in self.headers.items()}
                problem = gate.problem(headers, changes=True)
                if problem is not None:
                    _LOG.info("refused: %s", problem)
                    raise ParsingError(problem)

    class Channel(HTTPChannel):  # type: ignore[misc]
        """A connection."""

        parser_class = Parser

    return Channel
