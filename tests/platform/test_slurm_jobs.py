"""What SLURM and its accounting say of jobs, asked of the cluster of these tests."""

from __future__ import annotations

import os
import pwd
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from evercast.runtime.slurm_jobs import SlurmJob, cancel_runs, job_is_over, jobs_of_runs, states_of
from platform_programs import OrdinaryUser

pytestmark = [pytest.mark.slow, pytest.mark.slurm, pytest.mark.xdist_group("slurm")]


def submit(name: str, words: str) -> str:
    comment = "rule_fit_wildcards_binned-0123456789ab"
    command = ["sbatch", "--parsable", "--job-name", name, "--comment", comment, "--mem=50", "--output=/dev/null"]
    return (
        subprocess.run([*command, "--wrap", words], capture_output=True, text=True, check=True)
        .stdout.split(";")[0]
        .strip()
    )


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.3)


def test_jobs_are_found_by_name_with_state_and_comment_and_cancelled_by_name(cluster: None) -> None:
    name = str(uuid.uuid4())
    quick, failing, long = submit(name, "true"), submit(name, "exit 3"), submit(name, "sleep 600")
    other = submit(f"{name}-other", "sleep 600")

    def found() -> dict[str, SlurmJob]:
        return {job.id: job for job in jobs_of_runs([name])}

    wait_for(lambda: [found()[job].state for job in (quick, failing, long)] == ["COMPLETED", "FAILED", "RUNNING"])
    assert set(found()) == {quick, failing, long}
    assert found()[quick].comment == "rule_fit_wildcards_binned-0123456789ab"
    config = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, check=True).stdout
    cluster_name = next(line.split("=")[1].strip() for line in config.splitlines() if line.startswith("ClusterName"))
    assert job_is_over(quick, cluster=cluster_name)
    assert not job_is_over(long, cluster=cluster_name)
    assert not job_is_over(quick, cluster="another")
    assert cancel_runs([name]) == 1
    assert found()[long].state == "CANCELLED"
    assert cancel_runs([name]) == 0
    wait_for(lambda: states_of([other]) == {other: "RUNNING"})
    assert cancel_runs([f"{name}-other"]) == 1


def test_jobs_of_another_user_are_left_alone_and_their_owner_is_named(
    cluster: None, ordinary_user: OrdinaryUser
) -> None:
    me = pwd.getpwuid(os.geteuid()).pw_name
    assert ordinary_user.name != me, "two users are needed"
    name = str(uuid.uuid4())
    job = submit(name, "sleep 600")
    words = f"from evercast.runtime.slurm_jobs import cancel_runs\ncancel_runs([{name!r}], patience=10)"
    done = ordinary_user.run([ordinary_user.python, "-P", "-c", words], cwd=Path("/"))
    assert done.returncode == 1
    said = done.stderr.splitlines()[-1]
    assert f"was started by user '{me}' and still has 1 jobs in SLURM, first {job}" in said
    assert f"{ordinary_user.name!r} may not cancel" in said
    assert states_of([job])[job] in ("PENDING", "RUNNING")
    assert cancel_runs([name]) == 1


def test_a_name_that_nobody_has_is_no_job(cluster: None) -> None:
    assert jobs_of_runs([str(uuid.uuid4())]) == ()
    assert cancel_runs([str(uuid.uuid4())]) == 0
    assert states_of(["999999999"]) == {}
