"""A job over two devices, or over two processes of one machine: writes -2 ln L with derivatives as JSON.

Run: ``python shard_job.py devices`` or ``python shard_job.py PORT PROCESS``, PYTHONPATH with tests/likelihood.
"""

from __future__ import annotations

import json
import sys

import numpy as np
from test_morphs import POINTS, morphed_model

from evercast.inference.minimise import minimise
from evercast.likelihood.distributed import event_mesh, initialise, sharded_source
from evercast.likelihood.evaluate import Likelihood


def main(arguments: list[str]) -> None:
    """Evaluate and minimise."""
    if arguments[0] != "devices":
        initialise(coordinator=f"127.0.0.1:{arguments[0]}", n_processes=2, process=int(arguments[1]))
    mesh = event_mesh()
    likelihood = Likelihood(morphed_model(), make_source=sharded_source(mesh))
    found = likelihood.expand(np.array(POINTS[1]))
    minimum = minimise(
        likelihood, start=likelihood.initial, lower=likelihood.lower, upper=likelihood.upper, free=~likelihood.fixed
    )
    result = {
        "devices": mesh.size,
        "value": found.value,
        "gradient": found.gradient.tolist(),
        "hessian": found.hessian.tolist(),
        "minimum": minimum.value,
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
