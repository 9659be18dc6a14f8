"""Who lost a unit to another process publishes nothing; every execution is counted; ends of SLURM jobs have codes."""

from __future__ import annotations

import json
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from run_folders import command, freeze, named, nothing_was_made, run_alone, wait_for

from evercast.errors import EnvironmentUnfit, RunFailed
from evercast.runtime.execute import execute_unit
from evercast.runtime.holding import holding_run, holding_unit, run_is_active, unit_is_worked_on
from evercast.runtime.job_ends import end_of_job
from evercast.runtime.leases import Lease
from evercast.runtime.locks import read_executions
from evercast.runtime.slurm_jobs import SlurmJob
from evercast.runtime.workers import this_worker
from workflow_documents import environment


def test_a_process_that_lost_its_unit_publishes_nothing_and_says_so(tmp_path: Path) -> None:
    go = tmp_path / "go"
    stage = command(f"touch '{tmp_path}/begun'; until test -e '{go}'; do sleep 0.1; done; echo x > {{outputs.out}}")
    frozen = freeze(tmp_path, {"hello": stage})
    unit, folder = named(frozen, "hello"), frozen.folder
    former = subprocess.Popen(run_alone(frozen, unit), env=environment(), stderr=subprocess.PIPE, text=True)
    wait_for((tmp_path / "begun").exists)
    (first,) = folder.unit_lease(unit).iterdir()
    follower = Lease(first.with_name("2.lease"), this_worker(), beat=10.0)
    assert follower.create()
    first.unlink()
    go.touch()
    _, words = former.communicate(timeout=60)
    assert former.returncode == 1
    assert "error[run.fenced]" in words
    assert nothing_was_made(frozen, unit)
    assert not folder.error(unit).exists(), "what is said of the unit is said by who holds it"
    follower.release()
    assert execute_unit(frozen, unit) is True
    assert [item["host"] for item in read_executions(folder.unit_lock(unit))] == [this_worker().host] * 2


def test_a_unit_that_is_held_is_worked_on_and_leaves_no_lease(tmp_path: Path) -> None:
    frozen = freeze(tmp_path, {"hello": command("echo x > {outputs.out}")})
    unit = named(frozen, "hello")
    with holding_unit(frozen.folder, unit):
        assert unit_is_worked_on(frozen.folder, unit)
        with pytest.raises(EnvironmentUnfit) as refused:
            execute_unit(frozen, unit)
        assert refused.value.code == "run.unit-locked"
    assert not unit_is_worked_on(frozen.folder, unit)
    assert not frozen.folder.unit_lease(unit).exists()


def test_a_job_waits_for_a_unit_of_another_machine_that_is_given_back(tmp_path: Path) -> None:
    frozen = freeze(tmp_path, {"hello": command("echo x > {outputs.out}")})
    unit = named(frozen, "hello")
    place = frozen.folder.unit_lease(unit)
    elsewhere = Lease(place / "1.lease", replace(this_worker(), host="elsewhere"), beat=10.0)
    assert elsewhere.create()
    threading.Timer(1.0, elsewhere.release).start()
    assert execute_unit(frozen, unit) is True


def test_a_run_folder_that_is_held_is_active(tmp_path: Path) -> None:
    folder = freeze(tmp_path).folder
    assert not run_is_active(folder)
    with holding_run(folder):
        assert run_is_active(folder)
        with pytest.raises(EnvironmentUnfit) as refused, holding_run(folder):
            pass
        assert refused.value.code == "run.locked"
    assert not run_is_active(folder)


@pytest.mark.parametrize(
    ("state", "code", "exit_code"),
    [
        ("TIMEOUT", "slurm.time-limit", 6),
        ("OUT_OF_MEMORY", "slurm.out-of-memory", 6),
        ("NODE_FAIL", "slurm.node-failed", 6),
        ("CANCELLED", "slurm.cancelled", 1),
        ("PREEMPTED", "slurm.preempted", 1),
        ("FAILED", "slurm.failed", 1),
    ],
)
def test_the_end_of_a_job_has_a_code_and_a_next_step(state: str, code: str, exit_code: int) -> None:
    error = end_of_job(SlurmJob(id="12", state=state), stage="training")
    assert error is not None
    assert (error.code, error.exit_code) == (code, exit_code)
    assert "12" in error.message
    assert error.hint


def test_a_job_that_ended_well_or_whose_unit_spoke_is_no_reason() -> None:
    assert end_of_job(SlurmJob(id="12", state="COMPLETED"), stage="fit") is None
    assert end_of_job(SlurmJob(id="12", state="FAILED"), stage="fit", before=RunFailed("why")) is None


def test_a_lease_says_who_holds_it(tmp_path: Path) -> None:
    folder = freeze(tmp_path).folder
    with holding_run(folder):
        (file,) = folder.run_lease.iterdir()
        body = json.loads(file.read_text())
        assert {"host", "boot", "pid", "born", "job", "token", "started", "beat"} <= body.keys()
