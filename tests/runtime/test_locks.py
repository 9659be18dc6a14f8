from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from evercast.errors import EnvironmentUnfit
from evercast.runtime.folders import RunFolder
from evercast.runtime.locks import acquire_run_lock, is_held, locked, read_holder

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


def test_an_unreadable_signature_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("not json")
    assert read_holder(path) is None
    with locked(path, code="test", what="it"):
        assert read_holder(path) is not None
