"""The kernel counts what wanted a network that is not there; shown in a namespace without one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from evercast.runtime.network_attempts import counted_command, counted_in, network_attempts

CUT_OFF = ["unshare", "--user", "--map-root-user", "--net"]
TRIES = """
import socket
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    with socket.socket(socket.AF_INET, kind) as one:
        try:
            one.connect(("192.0.2.1", 80))
        except OSError:
            pass
"""


def cut_off() -> bool:
    """Whether this machine lets a user make a namespace without a network."""
    made = shutil.which("unshare") and subprocess.run([*CUT_OFF, "true"], capture_output=True, check=False)
    return bool(made) and made.returncode == 0


def counted(program: str, file: Path) -> tuple[int, int | None]:
    """Exit code and attempts of a Python program without a network."""
    command = counted_command([sys.executable, "-c", program], file)
    done = subprocess.run([*CUT_OFF, *command], capture_output=True, check=False, env=dict(os.environ))
    return done.returncode, counted_in(file)


def test_attempts_are_counted_and_the_exit_code_is_kept(tmp_path: Path) -> None:
    if not cut_off():
        assert network_attempts() is not None
        return
    assert counted("pass", tmp_path / "quiet") == (0, 0)
    assert counted(TRIES, tmp_path / "loud") == (0, 2)
    assert counted(f"{TRIES}\nraise SystemExit(7)", tmp_path / "failed") == (7, 2)


def test_arguments_reach_the_command_as_they_are(tmp_path: Path) -> None:
    words = ["a b", "$HOME", "'", '"', "*", ""]
    command = counted_command([sys.executable, "-c", "import sys; print(sys.argv[1:])", *words], tmp_path / "x")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(words)


def test_a_signal_shows_in_the_exit_code(tmp_path: Path) -> None:
    command = counted_command(["bash", "-c", "kill -9 $$"], tmp_path / "x")
    assert subprocess.run(command, capture_output=True, check=False).returncode == 128 + 9


@pytest.mark.parametrize("text", ["", "Ip: OutNoRoutes\n", "Ip: OutNoRoutes\nIp: many\n", "nonsense"])
def test_what_is_no_table_is_not_known(tmp_path: Path, text: str) -> None:
    (tmp_path / "x").write_text(text)
    assert counted_in(tmp_path / "x") is None
    assert counted_in(tmp_path / "absent") is None


def test_both_versions_of_the_protocol_are_added(tmp_path: Path) -> None:
    lines = ["Ip: Forwarding OutNoRoutes", "Ip: 2 3", "Udp: InDatagrams NoPorts", "Udp: 9 4", "Ip6OutNoRoutes \t5"]
    (tmp_path / "x").write_text("\n".join([*lines, "Udp6NoPorts 6", "UdpLite6NoPorts 7", ""]))
    assert counted_in(tmp_path / "x") == 3 + 4 + 5 + 6
