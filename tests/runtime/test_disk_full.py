"""A disk that fills up: exit code 6, nothing under a final name, and the run goes on when there is space again."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from run_folders import command, freeze, named, nothing_was_made, run_alone

from evercast.errors import EnvironmentUnfit
from evercast.runtime.execute import execute_unit
from workflow_documents import environment


def test_a_command_that_fills_the_disk(tmp_path: Path, small_disk: Path) -> None:
    stages = {"small": command("echo x > {outputs.out}"), "large": command("head -c 3000000 /dev/zero > {outputs.out}")}
    frozen = freeze(tmp_path, stages, results=small_disk / "results")
    execute_unit(frozen, named(frozen, "small"))
    with pytest.raises(EnvironmentUnfit) as caught:
        execute_unit(frozen, named(frozen, "large"))
    assert (caught.value.code, caught.value.exit_code) == ("disk.full", 6)
    assert nothing_was_made(frozen, named(frozen, "large"))
    assert execute_unit(frozen, named(frozen, "small")) is False


def test_a_disk_that_is_full_from_the_start(tmp_path: Path, small_disk: Path) -> None:
    frozen = freeze(tmp_path, {"small": command("echo x > {outputs.out}")}, results=small_disk / "results")
    unit = named(frozen, "small")
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as stream:
        os.posix_fallocate(stream.fileno(), 0, shutil.disk_usage(small_disk).free)
    done = subprocess.run(run_alone(frozen, unit), env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 6, done.stderr
    assert "error[disk.full]" in done.stderr
    assert not frozen.folder.unit(unit).exists()
    filler.unlink()
    assert execute_unit(frozen, unit) is True


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    frozen = freeze(tmp_path, {"large": command("head -c 300000 /dev/zero > {outputs.out}")})
    unit = named(frozen, "large")
    limited = ["bash", "-c", 'ulimit -f 100 && exec "$@"', "limited", *run_alone(frozen, unit)]  # kilobytes
    done = subprocess.run(limited, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 6, done.stderr
    assert "error[disk.full]" in done.stderr
    assert nothing_was_made(frozen, unit)
