"""What a job computes with: GPUs that are not there, the fall-back, flags, the record; each in a fresh process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evercast.runtime.device import common_device
from evercast.spec.model import Device

JOB = """
import json, sys
from pathlib import Path
from evercast.errors import EvercastError
from evercast.runtime.device import configure_device, device_record
from evercast.networks.device import network_devices, network_strategy
from evercast.spec.model import Device
gpus, threads, kind, fallback = sys.argv[2:]
try:
    configure_device(
        threads=int(threads), cache=Path(sys.argv[1]), gpus=int(gpus),
        device=Device(kind=kind, cpu_fallback=fallback == "yes"),
    )
    print(json.dumps({**device_record(), "devices": len(network_devices()), "strategy": network_strategy()}))
except EvercastError as err:
    print(json.dumps(err.to_json()))
"""


def job(
    folder: Path, *, gpus: int = 0, threads: int = 1, kind: str = "any", fallback: bool = False, **env: str
) -> dict:
    environment = {key: value for key, value in os.environ.items() if key not in {"XLA_FLAGS", "CUDA_VISIBLE_DEVICES"}}
    done = subprocess.run(
        [sys.executable, "-c", JOB, str(folder), str(gpus), str(threads), kind, "yes" if fallback else "no"],
        env=environment | {"JAX_PLATFORMS": "cpu"} | env, capture_output=True, text=True, check=True, timeout=240,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_gpus_that_are_given_and_not_seen_stop_the_job(tmp_path: Path) -> None:
    found = job(tmp_path, gpus=2, CUDA_VISIBLE_DEVICES="1,3")
    assert (found["code"], found["exit_code"]) == ("device.no-gpu", 6)
    assert found["message"] == "the job was given 2 GPUs (CUDA_VISIBLE_DEVICES is '1,3') and JAX sees none"
    assert "cpu_fallback: true" in found["hint"]


def test_a_document_that_needs_a_gpu_stops_a_job_without_one(tmp_path: Path) -> None:
    found = job(tmp_path, kind="gpu")
    assert (found["code"], found["exit_code"]) == ("device.no-gpu", 6)
    assert "the job was given none" in found["message"]


@pytest.mark.parametrize("gpus", [0, 1])
def test_a_fall_back_that_the_document_allows_is_recorded(tmp_path: Path, gpus: int) -> None:
    found = job(tmp_path, gpus=gpus, kind="gpu", fallback=True)
    assert found["platform"] == "cpu"
    assert found["gpus_given"] == str(gpus)
    assert "stand in for a missing GPU" in found["fallback"]
    assert found["strategy"] == "map"


def test_a_job_without_gpus_records_a_cpu_and_no_flags_of_gpus(tmp_path: Path) -> None:
    found = job(tmp_path)
    assert found == {
        "platform": "cpu", "kind": "cpu", "count": "1", "matmul_precision": "highest", "gpus_given": "0", "devices": 1,
        "strategy": "map",
    }  # fmt: skip


def test_a_document_that_wants_the_cpu_leaves_given_gpus_alone(tmp_path: Path) -> None:
    found = job(tmp_path, gpus=1, kind="cpu")
    assert found["platform"] == "cpu"
    assert found["gpus_given"] == "1"
    assert "fallback" not in found
    assert "XLA_FLAGS" not in found


def test_xla_is_told_to_be_deterministic_where_gpus_are_given_and_knows_the_flags(tmp_path: Path) -> None:
    """XLA ends a process whose flags it does not know, on a CPU too."""
    found = job(tmp_path, gpus=1, fallback=True)
    assert found["XLA_FLAGS"] == "--xla_gpu_deterministic_ops=true --xla_gpu_autotune_level=0"
    assert found["CUDA_VISIBLE_DEVICES"] == "0"


def test_flags_of_the_user_are_kept(tmp_path: Path) -> None:
    found = job(tmp_path, gpus=1, fallback=True, XLA_FLAGS="--xla_gpu_autotune_level=4")
    assert found["XLA_FLAGS"] == "--xla_gpu_autotune_level=4 --xla_gpu_deterministic_ops=true"


def test_a_job_with_several_cores_has_a_device_for_each(tmp_path: Path) -> None:
    found = job(tmp_path, threads=2)
    assert (found["devices"], found["count"]) == (2, "2")


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ([Device()], Device()),
        ([Device(kind="cpu"), Device(kind="gpu", cpu_fallback=True)], Device(kind="gpu", cpu_fallback=True)),
        ([Device(), Device(kind="gpu", cpu_fallback=True)], Device(kind="gpu")),
        ([Device(kind="cpu"), Device(kind="cpu")], Device(kind="cpu", cpu_fallback=True)),
        ([Device(kind="cpu"), Device(cpu_fallback=True)], Device(cpu_fallback=True)),
    ],
)
def test_a_job_of_several_ensembles_needs_what_one_needs_and_may_what_all_may(
    declared: list[Device], expected: Device
) -> None:
    assert common_device(declared) == expected
