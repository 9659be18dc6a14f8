"""Speed of evaluating an ensemble on one core: evercast against whole arrays in JAX, numpy and, if present, PyTorch.

    python benchmarks/evaluation.py --events 200000 --members 8

Row B1 of the table of speeds. The log ratios must agree before the times count. The clock is CPU time of the process;
contestants take turns, and the best turn of each counts.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from itertools import pairwise

os.environ["NPROC"] = "1"
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import equinox as eqx  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from evercast.networks.architecture import Architecture, Weights  # noqa: E402
from evercast.networks.evaluation import ensemble_log_ratio  # noqa: E402
from evercast.networks.mlp import Mlp  # noqa: E402

try:
    import torch
except ImportError:
    torch = None

INPUTS = 8


def ensemble(architecture: Architecture, members: int) -> Weights:
    rng = np.random.default_rng(1)
    sizes = architecture.sizes()
    pairs = list(pairwise(sizes))

    def draw(*shape: int) -> np.ndarray:
        return (rng.normal(size=(members, 1, *shape)) / np.sqrt(shape[-1])).astype(np.float32)

    return Weights(
        mean=np.zeros((members, 1, INPUTS), np.float32),
        scale=np.ones((members, 1, INPUTS), np.float32),
        weight=tuple(draw(out, into) for into, out in pairs),
        bias=tuple(draw(out) for _, out in pairs),
    )


def whole_arrays_jax(architecture: Architecture, weights: Weights) -> Callable[[np.ndarray], np.ndarray]:
    """Every member on all events at once."""
    networks = Mlp.from_weights(weights.reshape(-1), activation=architecture.activation)

    @eqx.filter_jit
    def run(networks: Mlp, x: jax.Array) -> jax.Array:
        return jnp.mean(eqx.filter_vmap(lambda network: network(x))(networks), axis=0)

    return lambda x: np.asarray(run(networks, jnp.asarray(x)))


def whole_arrays_numpy(weights: Weights) -> Callable[[np.ndarray], np.ndarray]:
    def one(x: np.ndarray, network: Weights) -> np.ndarray:
        hidden = x
        for layer, (weight, bias) in enumerate(zip(network.weight, network.bias, strict=True)):
            hidden = hidden @ weight.T + bias
            if layer < len(network.weight) - 1:
                hidden = hidden * (np.float32(1) / (np.float32(1) + np.exp(-hidden)))
        return hidden[:, 0]

    members = weights.axes()[0]
    return lambda x: np.mean([one(x, weights.at(member, 0)) for member in range(members)], axis=0)


def torch_chunks(weights: Weights, chunk: int | None) -> Callable[[np.ndarray], np.ndarray]:
    torch.set_num_threads(1)
    members = weights.axes()[0]
    layers = [
        [
            (torch.from_numpy(weight[member, 0]), torch.from_numpy(bias[member, 0]))
            for weight, bias in zip(weights.weight, weights.bias, strict=True)
        ]
        for member in range(members)
    ]

    def one(x: torch.Tensor, network: list[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
        for weight, bias in network[:-1]:
            x = torch.nn.functional.silu(torch.nn.functional.linear(x, weight, bias))
        return torch.nn.functional.linear(x, *network[-1])[:, 0]

    def run(x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            pieces = torch.from_numpy(x).split(chunk or len(x))
            return torch.cat([sum(one(piece, network) for network in layers) / members for piece in pieces]).numpy()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    names = tuple(f"x{i}" for i in range(INPUTS))
    architecture = Architecture(observables=names, width=arguments.width, depth=arguments.depth, activation="silu")
    weights = ensemble(architecture, arguments.members)
    x = np.random.default_rng(2).normal(size=(arguments.events, INPUTS)).astype(np.float32)
    fold = np.zeros(arguments.events, dtype=np.int64)
    contestants: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "evercast, chunks": lambda x: ensemble_log_ratio(architecture, weights, x, fold).log_ratio,
        "JAX, whole arrays": whole_arrays_jax(architecture, weights),
        "numpy, whole arrays": whole_arrays_numpy(weights),
    }
    if torch is not None:
        contestants["PyTorch, whole arrays"] = torch_chunks(weights, None)
        contestants["PyTorch, chunks"] = torch_chunks(weights, 2048)
    found = {name: run(x) for name, run in contestants.items()}
    for name, one in found.items():
        difference = float(np.max(np.abs(one - found["evercast, chunks"])))
        if difference > 1e-4:
            raise SystemExit(f"{name} differs by {difference:.2e}: no times")
    best = dict.fromkeys(contestants, float("inf"))
    for _ in range(arguments.turns):
        for name, run in contestants.items():
            start = time.process_time()
            run(x)
            best[name] = min(best[name], time.process_time() - start)
    first = best["evercast, chunks"]
    print(f"{'':24s} {'networks x events / s':>22s} {'time / evercast':>16s}")
    for name, seconds in best.items():
        print(f"{name:24s} {arguments.events * arguments.members / seconds:22,.0f} {seconds / first:16.2f}")


if __name__ == "__main__":
    main()
