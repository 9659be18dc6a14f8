"""A likelihood fitted by four processes on two nodes of a real cluster, which find each other by what SLURM says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from evercast.likelihood.model import (
    AnchorMorph,
    Component,
    EventSet,
    LikelihoodModel,
    ParameterModel,
    UnbinnedChannelModel,
)
from indexed_likelihood import write_indexed

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.xdist_group("slurm")]

EVERCAST = [sys.executable, "-m", "evercast"]
ONE_THREAD = {"JAX_PLATFORMS": "cpu", "NPROC": "1", "OMP_NUM_THREADS": "1"}


def model(count: int = 4001) -> LikelihoodModel:
    rng = np.random.default_rng(8)

    def events(length: int) -> EventSet:
        ratio, up, down = (rng.normal(0.0, scale, (length, 2)).astype(np.float32) for scale in (0.7, 0.1, 0.1))
        return EventSet(log_ratio=ratio, weight=np.ones(length), log_up=up, log_down=down)

    channel = UnbinnedChannelModel(
        name="SR",
        components=(
            Component(process="S", coefficient="mu", yield_events=800.0),
            Component(process="B", coefficient="1", yield_events=count - 800.0),
        ),
        anchors=(AnchorMorph(process="S", parameter="a"), AnchorMorph(process="B", parameter="a")),
        events=events(count),
        reference=events(1500),
    )
    parameters = (
        ParameterModel(name="mu", initial=1.0, bounds=(0.0, 10.0), poi=True),
        ParameterModel(name="a", bounds=(-5.0, 5.0), constraint="normal"),
    )
    return LikelihoodModel(name="spread", parameters=parameters, channels=(channel,))


def test_four_processes_on_two_nodes_fit_as_one(open_folder: Path, cluster: None) -> None:
    folder = open_folder / "distributed"
    folder.mkdir()
    write_indexed(folder, model())
    environment = os.environ | ONE_THREAD
    alone = subprocess.run(
        [*EVERCAST, "fit", str(folder), "--json"], env=environment, capture_output=True, text=True, check=True
    )
    srun = ["srun", "--nodes=2", "--ntasks=4", "--time=10", "--mem-per-cpu=800", "--chdir", str(folder)]
    done = subprocess.run(
        [*srun, *EVERCAST, "fit", str(folder), "--json", "--distributed", "--process-timeout", "240"],
        env=environment, capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    together, expected = json.loads(done.stdout), json.loads(alone.stdout)
    assert together["twice_nll"] == pytest.approx(expected["twice_nll"], rel=1e-10)
    for one, other in zip(*(fit["parameters"].values() for fit in (together, expected)), strict=True):
        assert one["value"] == pytest.approx(other["value"], abs=1e-5 * other["uncertainty"])
