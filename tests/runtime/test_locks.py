from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from evercast.errors import EnvironmentUnfit
from evercast.runtime.folders import RunFolder
from evercast.runtime.locks import acquire, acquire_run_lock, is_held, locked, read_holder

HOLD = (
    "import sys, time; from pathlib import Path; from evercast.runtime.folders import RunFolder;"
    "from evercast.runtime.locks import acquire_run_lock;"
    "acquire_run_lock(RunFolder(Path(sys.argv[1]))); print('held', flush=True); time.sleep(100)"
)


def test_a_second_run_is_refused_with_process_and_host_and_a_dead_one_is_not_in_the_way(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(EnvironmentUnfit, match=f"process {holder.pid} on ") as caught:
        acquire_run_lock(folder)
    assert (caught.value.code, caught.value.exit_code) == ("run.locked", 6)
    holder.kill()
    holder.wait()
    holder.stdout.close()
    handle = acquire_run_lock(folder)
    held = read_holder(folder.lock)
    os.close(handle)
    assert held is not None
    assert held.pid == os.getpid()


def test_a_lock_ends_with_its_block(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "lock"
    assert not is_held(path)
    with locked(path, code="test", what="it"):
        assert is_held(path)
    assert not is_held(path)


def test_a_lock_that_a_child_inherited_outlives_its_parent(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path, code="test", what="it") as handle:
        child = subprocess.Popen(["sleep", "100"], pass_fds=(handle,))
    assert is_held(path)
    child.kill()
    child.wait()
    assert not is_held(path)


PARENT = (
    "import subprocess, sys; from pathlib import Path; from evercast.runtime.locks import acquire;"
    "handle = acquire(Path(sys.argv[1]), code='test', what='it');"
    "quiet = {'stdout': subprocess.DEVNULL, 'stderr': subprocess.DEVNULL};"
    "print(subprocess.Popen(['sleep', '100'], pass_fds=(handle,), **quiet).pid, flush=True)"
)


def test_jobs_that_a_killed_run_left_behind_are_named(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    done = subprocess.run([sys.executable, "-c", PARENT, str(path)], capture_output=True, text=True, check=True)
    orphan = int(done.stdout)
    with pytest.raises(EnvironmentUnfit, match=f"it has ended, but its jobs work on .process {orphan}") as caught:
        acquire(path, code="test", what="it")
    assert caught.value.hint is not None
    assert f"kill {orphan}" in caught.value.hint
    os.kill(orphan, signal.SIGKILL)


def test_a_snakemake_that_outlived_its_run_is_named_with_what_it_does_and_how_to_end_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    command = [sys.executable, "-c", PARENT, str(folder.lock)]
    orphan = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    with pytest.raises(EnvironmentUnfit, match=f"its Snakemake works on .process {orphan}") as caught:
        acquire_run_lock(folder)
    assert caught.value.code == "run.locked"
    assert caught.value.hint is not None
    assert "finishes the run" in caught.value.hint
    assert f"kill -9 {orphan}" in caught.value.hint
    os.kill(orphan, signal.SIGKILL)


def test_an_unreadable_signature_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("not json")
    assert read_holder(path) is None
    with locked(path, code="test", what="it"):
        assert read_holder(path) is not None


def _look(path: Path, looked: threading.Event) -> None:
    while True:
        is_held(path)
        looked.set()


def test_looking_at_a_lock_never_keeps_anybody_from_taking_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    spawn = multiprocessing.get_context("spawn")
    looked = spawn.Event()
    watcher = spawn.Process(target=_look, args=(path, looked), daemon=True)
    watcher.start()
    assert looked.wait(60)
    for _ in range(2000):
        with locked(path, code="test", what="it"):
            pass
    watcher.kill()
    watcher.join()


def test_two_who_look_at_once_see_no_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    handle = os.open(path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)
    assert not is_held(path)
    os.close(handle)


def test_a_lock_held_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    handle = os.open(path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)
    threading.Timer(0.2, os.close, [handle]).start()
    with locked(path, code="test", what="it"):
        assert is_held(path)


def _refusing_to(flag: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make opening files fail as for another user; the tests may run as root, whom no mode of a file stops."""
    system = os.open

    def refuse(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_ACCMODE == flag:
            raise PermissionError(13, "Permission denied", str(path))
        return system(path, flags, mode)

    monkeypatch.setattr(os, "open", refuse)


def test_a_reader_who_may_not_write_sees_whether_a_lock_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    with locked(path, code="test", what="it"):
        _refusing_to(os.O_RDWR, monkeypatch)
        assert is_held(path)
    assert not is_held(path)


def test_a_lock_that_may_not_be_read_is_an_error_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    path.touch()
    _refusing_to(os.O_RDONLY, monkeypatch)
    with pytest.raises(EnvironmentUnfit) as caught:
        is_held(path)
    assert caught.value.code == "run.lock-unreadable"
