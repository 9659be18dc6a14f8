"""How the processes of one computation are found: in a SLURM job step, and by options."""

from __future__ import annotations

import pytest

from evercast.errors import UsageError
from evercast.runtime.job_processes import JobProcesses, first_host, processes_of_slurm

STEP = {"SLURM_PROCID": "2", "SLURM_STEP_NODELIST": "localhost", "SLURM_STEP_NUM_TASKS": "4", "SLURM_JOB_ID": "77"}


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("cn1", "cn1"), ("cn[1-3]", "cn1"), ("cn[07-12,3],gn1", "cn07"), ("gn2,cn[1-4]", "gn2"), ("r[2,4]n", "r2n")],
)
def test_process_0_is_on_the_first_node(nodes: str, first: str) -> None:
    assert first_host(nodes) == first


def test_a_job_step_says_all_and_its_processes_agree_on_the_port() -> None:
    found = [processes_of_slurm(STEP | {"SLURM_PROCID": str(number)}) for number in range(4)]
    assert [one.number for one in found if one] == [0, 1, 2, 3]
    assert {(one.host, one.port, one.count) for one in found if one} == {("localhost", 61440 + 2 * 31 * 77 % 4000, 4)}


def test_steps_and_jobs_side_by_side_have_ports_of_their_own() -> None:
    ports = set()
    for job in range(100, 110):
        for step in range(5):
            one = processes_of_slurm(STEP | {"SLURM_JOB_ID": str(job), "SLURM_STEP_ID": str(step)})
            assert one is not None
            assert 61440 <= one.port < 65535
            ports |= {one.port, one.port + 1}
    assert len(ports) == 100


def test_outside_of_a_job_step_there_are_none() -> None:
    assert processes_of_slurm({"SLURM_JOB_ID": "77"}) is None


def test_options_win_over_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in STEP.items():
        monkeypatch.setenv(name, value)
    assert JobProcesses.of_options(coordinator="n1:7000", count=2, number=1) == JobProcesses(
        host="n1", port=7000, count=2, number=1
    )
    assert JobProcesses.of_options(coordinator=None, count=None, number=None).number == 2
    with pytest.raises(UsageError, match="go together"):
        JobProcesses.of_options(coordinator="n1:7000", count=None, number=1)
