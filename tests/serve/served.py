"""A server as a process of its own, for a user that exists for the tests alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from client import Client

__all__ = ["LIMIT_MB", "Server", "environment", "evercast", "start"]

LIMIT_MB = 1
"""Largest upload of the server in tests."""


@dataclass
class Server:
    """A server that runs.

    Args:
        home: folder of its user.
        process: of it.
        address: that it printed.
    """

    home: Path
    process: subprocess.Popen[str]
    address: str
    requests: Path = field(init=False)

    def __post_init__(self) -> None:
        self.requests = self.home / "data" / "evercast" / "requests"

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.address.split(":")[2].split("/")[0])

    def client(self) -> Client:
        """Return a client that opened the printed address."""
        return Client.opened(self.port, self.address)

    def draft(self, name: str) -> str:
        """Make a request as `evercast request new` makes it and return the address of its pages."""
        pristine = self.home / "pristine"
        if not pristine.exists():
            evercast(self.home, "request", "new", str(pristine), "--analysis", "small-search")
        shutil.copytree(pristine, self.requests / name)
        return f"/requests/{name}"

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it and return its exit code; SIGINT is not heeded by what was begun in the background of a shell."""
        self.process.send_signal(number)
        code = self.process.wait(timeout=240)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def environment(home: Path) -> dict[str, str]:
    """Return the variables of a user that exists for these tests."""
    own = {
        "HOME": str(home), "XDG_DATA_HOME": str(home / "data"), "EVERCAST_CONFIG": str(home / "config"),
        "EVERCAST_CACHE": str(home / "cache"), "EVERCAST_DATA": "", "EVERCAST_OFFLINE": "1", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    return {key: value for key, value in os.environ.items() if not key.startswith("EVERCAST_")} | own


def evercast(home: Path, *words: str) -> str:
    """Run a command as that user and return what it said."""
    command = [sys.executable, "-m", "evercast", *words]
    ended = subprocess.run(command, cwd=home, env=environment(home), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def start(home: Path, *words: str) -> Server:
    """Start a server and wait for its address."""
    command = [sys.executable, "-m", "evercast", "serve", "--json", "--cores", "1", "--upload-limit", str(LIMIT_MB)]
    process = subprocess.Popen(
        [*command, *words],
        cwd=home,
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"the server ended with {process.wait()}"
    return Server(home=home, process=process, address=json.loads(line)["address"])
