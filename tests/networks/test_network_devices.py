"""Networks on several devices (parts of a CPU here) are those of one device; how many fit on one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from toys import ARCHITECTURE, OPTIONS, toy

from evercast.networks.architecture import Architecture
from evercast.networks.epoch import _epoch_of_many, start
from evercast.networks.folds import CrossFitting
from evercast.networks.group import Group, Shared
from evercast.networks.memory import free_memory, networks_together, rows_together, training_bytes
from evercast.networks.training import NetworkName, train_networks

JOB = Path(__file__).with_name("device_job.py")


def run(strategy: str, *, devices: int) -> dict[str, float]:
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu", "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "PYTHONPATH": str(JOB.parent),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, str(JOB), strategy], env=environment, capture_output=True, text=True, check=True, timeout=500
    )
    return json.loads(done.stdout)


def test_networks_one_by_one_on_three_devices_have_the_bits_of_one_device() -> None:
    found = run("map", devices=3)
    assert found["devices"] == 3
    assert found["interrupted"]
    assert found["moved"] > 0.01
    assert found["spread"] > 0.01
    assert (found["training"], found["resumed"], found["evaluation"]) == (0.0, 0.0, 0.0)


def test_networks_together_on_two_devices_agree_with_one_device() -> None:
    """Five networks as three and two; sums of other group sizes may round otherwise: float32, over some 70 steps."""
    found = run("vmap", devices=2)
    assert found["interrupted"]
    assert found["moved"] > 0.01
    assert found["training"] < 2e-3
    assert found["resumed"] == 0.0
    assert found["evaluation"] < 1e-5


@pytest.mark.parametrize(
    ("count", "each", "free", "devices", "expected"),
    [
        (10, 100, 10_000, 1, 10),  # all fit
        (100, 100, 5_000, 1, 34),  # 40 fit: three groups of about the same size
        (100, 100, 5_000, 4, 100),
        (5, 100, 10_000, 4, 8),  # a multiple of the devices
        (3, 100, 50, 1, 1),  # less than one fits: one is tried
        (200, 100, None, 1, 100),  # not known
    ],
)
def test_as_many_networks_as_fit_in_even_groups(
    count: int, each: int, free: int | None, devices: int, expected: int
) -> None:
    assert networks_together(count, each=each, shared=0, free=free, devices=devices) == expected


def test_a_cpu_does_not_say_how_much_memory_is_free() -> None:
    assert free_memory(jax.devices()) is None


def test_fewer_events_at_once_where_memory_is_short() -> None:
    assert rows_together(ARCHITECTURE, networks=4, free=None) == 4096
    assert rows_together(ARCHITECTURE, networks=4, free=1 << 36) == 65536
    wide = replace(ARCHITECTURE, width=1024)
    assert rows_together(wide, networks=256, free=1 << 36) == 1 << 14


@pytest.mark.parametrize(
    ("width", "depth", "batch", "networks"), [(128, 4, 1024, 16), (32, 2, 256, 8), (256, 3, 4096, 4)]
)
def test_the_memory_of_a_network_is_about_what_the_compiler_lays_out(
    width: int, depth: int, batch: int, networks: int
) -> None:
    """Arguments, results and scratch of the compiled epoch, beside the events: never less, at most 3.5 times."""
    architecture = Architecture(observables=("x", "y"), width=width, depth=depth, activation="silu")
    options = replace(OPTIONS, batch=batch)
    shared = Shared.of(toy(events=6000), options, activation="silu", validation=1024)
    steps, rng = 4, np.random.default_rng(1)
    rows = rng.integers(0, 12_000, (networks, steps, batch)).astype(np.int32)
    some = rng.integers(0, 12_000, (networks, 1024)).astype(np.int32)
    group = Group(
        mean=np.zeros((networks, 2), np.float32), scale=np.ones((networks, 2), np.float32),
        training_rows=rows.reshape(networks, -1), training_weight=np.ones((networks, steps * batch), np.float32),
        validation_rows=some, validation_weight=np.ones(some.shape, np.float32),
    )  # fmt: skip
    state = start(architecture, group, seeds=range(networks), options=options).state
    fixed = (group.mean, group.scale, group.validation_rows, group.validation_weight)
    weight, rates = np.ones(rows.shape, np.float32), np.full(steps, 1e-3, np.float32)
    laid_out = _epoch_of_many.lower(shared, fixed, state, rows, weight, rates).compile().compiled.memory_analysis()
    events = sum(leaf.nbytes for leaf in jax.tree.leaves(shared))
    real = laid_out.argument_size_in_bytes + laid_out.output_size_in_bytes + laid_out.temp_size_in_bytes - events
    guess = networks * training_bytes(architecture, batch=batch, rows=(steps * batch) + 1024, chunk=1024)
    assert real < guess < 3.5 * real


def test_groups_that_memory_forces_apart_are_trained_like_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten networks of which four fit: three groups, the last one filled up; over 4 epochs they agree to rounding."""
    names = [NetworkName(member=member, fold=0, seed=member) for member in range(10)]

    def train() -> list[tuple[int, float]]:
        networks = train_networks(
            toy(events=300), names, architecture=ARCHITECTURE, options=OPTIONS,
            cross_fitting=CrossFitting(folds=2, seed=3), strategy="vmap",
        )  # fmt: skip
        return [(network.name.member, network.validation_loss[-1]) for network in networks]

    whole = train()
    each = 1_000_000
    monkeypatch.setattr("evercast.networks.training.training_bytes", lambda *_, **__: each)
    monkeypatch.setattr("evercast.networks.training.free_memory", lambda _: int(4.1 * each / 0.8))
    parts = train()
    assert [member for member, _ in parts] == list(range(10)) == [member for member, _ in whole]
    np.testing.assert_allclose([loss for _, loss in parts], [loss for _, loss in whole], rtol=1e-4)
