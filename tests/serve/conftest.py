"""A real server on the loopback, with a catalogue of its own and an analysis small enough to be asked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, open_browser
from client import Client
from served import Server, evercast, start

from small_record import OPTIONS, PATTERN, write_record


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """The folder of a user who knows one analysis."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        place = Path(name)
        write_record(place / "record")
        words = ["wrap", "record", "--name", "small-search", *OPTIONS, *PATTERN, "--keep-files"]
        evercast(place, *words, "--output", "preserved/small-search")
        evercast(place, "catalogue", "add", "preserved")
        yield place


@pytest.fixture(scope="session")
def server(home: Path) -> Iterator[Server]:
    """A running server."""
    running = start(home)
    yield running
    running.stop()


@pytest.fixture
def client(server: Server) -> Client:
    """A client of that server."""
    return server.client()


@pytest.fixture(scope="session")
def chromium_browser() -> Iterator[Browser]:
    """A running Chromium."""
    with open_browser() as running:
        yield running
