"""The same likelihood on one device, on two devices, and in two processes that talk over the loopback."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_morphs import POINTS, morphed_model

from evercast.inference.minimise import minimise
from evercast.likelihood.distributed import event_mesh, sharded_source
from evercast.likelihood.evaluate import Likelihood

JOB = Path(__file__).with_name("shard_job.py")


def start(*arguments: str, n_devices: int) -> subprocess.Popen[str]:
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={n_devices}",
        "PYTHONPATH": str(JOB.parent),
    }
    return subprocess.Popen(
        [sys.executable, str(JOB), *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answer(process: subprocess.Popen[str]) -> dict[str, object]:
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def check(found: dict[str, object]) -> None:
    """Compare with one device: sums in another order differ by rounding of float64."""
    likelihood = Likelihood(morphed_model())
    expected = likelihood.expand(np.array(POINTS[1]))
    assert found["devices"] == 2
    assert found["value"] == pytest.approx(expected.value, rel=1e-12)
    np.testing.assert_allclose(found["gradient"], expected.gradient, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found["hessian"], expected.hessian, rtol=1e-10, atol=1e-9)
    minimum = minimise(
        likelihood, start=likelihood.initial, lower=likelihood.lower, upper=likelihood.upper, free=~likelihood.fixed
    )
    assert found["minimum"] == pytest.approx(minimum.value, rel=1e-10)


def test_two_devices_of_one_process_give_the_same() -> None:
    check(answer(start("devices", n_devices=2)))


def test_two_processes_give_the_same_and_agree_to_the_last_bit() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    processes = [start(port, str(number), n_devices=1) for number in range(2)]
    one, other = (answer(process) for process in processes)
    check(one)
    assert one == other


def test_one_device_needs_no_job() -> None:
    theta = np.array(POINTS[2])
    spread = Likelihood(morphed_model(), make_source=sharded_source(event_mesh()))
    assert spread.twice_nll(theta) == pytest.approx(Likelihood(morphed_model()).twice_nll(theta), rel=1e-13)
