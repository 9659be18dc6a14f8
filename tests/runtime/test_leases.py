"""Leases: one holder at a time, dead ones followed, fenced ones stopped; the other holder is a real process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from evercast.errors import EnvironmentUnfit, RunFailed
from evercast.runtime import leases
from evercast.runtime.leases import Lease, join_lease, lease_holder, take_lease
from evercast.runtime.workers import Worker, has_ended, this_worker

BEAT = 0.2

HOLDER = f"""
import sys, time
from pathlib import Path
from evercast.runtime.leases import take_lease
lease = take_lease(Path(sys.argv[1]), what="the thing", code="test.held", beat={BEAT})
with lease.kept(on_loss=lambda: Path(sys.argv[1] + ".lost").touch()):
    print("held", flush=True)
    while not Path(sys.argv[1] + ".publish").exists():
        time.sleep(0.02)
    try:
        lease.check("the thing")
    except Exception as err:
        print(err.code, flush=True)
    else:
        print("published", flush=True)
"""


def take(folder: Path, *, patience: float = 0.0) -> Lease:
    return take_lease(folder, what="the thing", code="test.held", patience=patience, beat=BEAT)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "lease"


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a process that takes the lease; before it, words of a program that starts it elsewhere."""
    started: list[subprocess.Popen[str]] = []

    def begin(*before: str) -> subprocess.Popen[str]:
        holder = subprocess.Popen(
            [*before, sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        started.append(holder)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        return holder

    yield begin
    for holder in started:
        if holder.poll() is None:
            os.killpg(holder.pid, signal.SIGKILL)
        holder.communicate()


OTHER_MACHINE = ("unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh")
"""To the lease a host of another name is another machine: its processes cannot be looked at from here."""


def said(holder: subprocess.Popen[str], folder: Path) -> str:
    Path(f"{folder}.publish").touch()
    words, _ = holder.communicate(timeout=60)
    return words.strip()


def test_a_lease_is_taken_once_and_given_back(folder: Path) -> None:
    lease = take(folder)
    with pytest.raises(EnvironmentUnfit, match=f"the thing is in use by process {os.getpid()} on ") as refused:
        take(folder)
    assert refused.value.code == "test.held"
    lease.release()
    assert not folder.exists()
    take(folder).release()


def test_of_many_who_try_at_once_one_gets_it(folder: Path) -> None:
    got: list[Lease] = []

    def compete() -> None:
        with suppress(EnvironmentUnfit):
            got.append(take(folder))

    threads = [threading.Thread(target=compete) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    assert got[0].is_ours()


def test_that_of_a_killed_process_of_this_machine_is_taken_at_once(
    folder: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    holder = start()
    assert lease_holder(folder) is not None
    with pytest.raises(EnvironmentUnfit):
        take(folder)
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert lease_holder(folder) is None
    assert take(folder).path.name == "2.lease"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a process another host name")
def test_that_of_a_dead_machine_is_taken_when_it_was_silent(
    folder: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    holder = start(*OTHER_MACHINE)
    os.killpg(holder.pid, signal.SIGKILL)
    holder.wait()
    with pytest.raises(EnvironmentUnfit, match="on elsewhere"):
        take(folder)
    lease = take(folder, patience=60)
    assert lease.path.name == "2.lease"
    assert lease.is_ours()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a process another host name")
@pytest.mark.parametrize("shift", [-10_000_000, 10_000_000])
def test_a_living_holder_keeps_it_whatever_the_clocks_say(
    folder: Path, start: Callable[..., subprocess.Popen[str]], shift: float
) -> None:
    holder = start(*OTHER_MACHINE)
    lying = threading.Event()

    def lie() -> None:
        while not lying.wait(BEAT / 20):
            for path in folder.glob("*.lease"):
                os.utime(path, (time.time() + shift, time.time() + shift))

    liar = threading.Thread(target=lie)
    liar.start()
    try:
        with pytest.raises(EnvironmentUnfit):
            take(folder, patience=8 * BEAT)
    finally:
        lying.set()
        liar.join()
    assert said(holder, folder) == "published"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a process another host name")
def test_who_was_thought_dead_publishes_nothing_and_is_told(
    folder: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    holder = start(*OTHER_MACHINE)
    os.killpg(holder.pid, signal.SIGSTOP)
    lease = take(folder, patience=60)
    os.killpg(holder.pid, signal.SIGCONT)
    assert said(holder, folder) == "run.fenced"
    assert lease.is_ours()
    with pytest.raises(EnvironmentUnfit):
        take(folder)
    lease.release()
    assert not folder.exists()


def test_a_removed_lease_is_lost(folder: Path) -> None:
    lease = take(folder)
    lease.path.unlink()
    with pytest.raises(RunFailed) as lost:
        lease.check("unit x")
    assert lost.value.code == "run.fenced"
    again = take(folder)
    assert not lease.is_ours()
    lease.release()
    assert again.is_ours()


def test_a_judgement_that_took_long_follows_nobody_when_the_numbers_began_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = take(folder)
    (folder / "5.lease").write_bytes(first.path.read_bytes())
    living: list[Lease] = []

    def ended(worker: Worker, *, ask: bool = True) -> bool:
        if living:
            return has_ended(worker, ask=ask)
        (folder / "5.lease").unlink()  # somebody else followed, has finished, and a third one began
        first.path.unlink()
        living.append(Lease(folder / "1.lease", this_worker(), beat=60))
        assert living[0].create()
        return True

    monkeypatch.setattr(leases, "has_ended", ended)
    with pytest.raises(EnvironmentUnfit, match="in use"):
        take(folder)
    assert living[0].is_ours()
    assert [path.name for path in folder.iterdir()] == ["1.lease"]


def test_a_half_written_lease_belongs_to_somebody_until_it_was_silent(folder: Path) -> None:
    folder.mkdir()
    (folder / "1.lease").write_text('{"beat": 1, "ho')
    with pytest.raises(EnvironmentUnfit, match="another process"):
        take(folder)
    assert take(folder, patience=60).path.name == "2.lease"


def test_a_second_process_of_a_run_keeps_its_lease_alive(folder: Path) -> None:
    lease = take(folder)
    helper = join_lease(folder)
    assert helper is not None
    before = json.loads(lease.path.read_text())
    ended = helper.keep(on_loss=lambda: None)
    end = time.monotonic() + 30
    while json.loads(lease.path.read_text()) == before and time.monotonic() < end:
        time.sleep(BEAT / 4)
    ended.set()
    assert json.loads(lease.path.read_text()) != before
    assert lease.is_ours()
