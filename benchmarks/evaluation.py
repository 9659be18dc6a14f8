"""Speed of evaluating an ensemble on one core: evercast against whole arrays in JAX, numpy and, if present, PyTorch.

    python benchmarks/evaluation.py --events 200000 --members 8

Rows B1 and B3 of the table of speeds. The log ratios must agree before the times count. The clock is CPU time of the
process; contestants take turns, and the best turn of each counts. Peak memory is that of a fresh process for each.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

os.environ["NPROC"] = "1"
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import equinox as eqx  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from evercast.artifacts.arrays import read_arrays, write_arrays  # noqa: E402
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


def from_zarr_to_zarr(
    architecture: Architecture, weights: Weights, events: int, folder: Path
) -> Callable[[np.ndarray], np.ndarray]:
    """Observables are read with their digests checked, log ratios are written with theirs, each time anew."""
    write_arrays(folder / "events.zarr", {"observables": inputs(events)}, {})
    fold = np.zeros(events, dtype=np.int64)

    def run(_: np.ndarray) -> np.ndarray:
        observables = read_arrays(folder / "events.zarr")["observables"]
        found = ensemble_log_ratio(architecture, weights, observables, fold).log_ratio
        target = Path(tempfile.mkdtemp(dir=folder)) / "ratios.zarr"
        write_arrays(target, {"log_ratio": found.astype(np.float32)[:, None]}, {})
        return found

    return run


def inputs(events: int) -> np.ndarray:
    return np.random.default_rng(2).normal(size=(events, INPUTS)).astype(np.float32)


def arguments_of() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--memory-of", help="run one contestant once and print the peak memory of the process")
    return parser.parse_args()


def contestants_of(arguments: argparse.Namespace, folder: Path) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    names = tuple(f"x{i}" for i in range(INPUTS))
    architecture = Architecture(observables=names, width=arguments.width, depth=arguments.depth, activation="silu")
    weights = ensemble(architecture, arguments.members)
    fold = np.zeros(arguments.events, dtype=np.int64)
    contestants: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "evercast, chunks": lambda x: ensemble_log_ratio(architecture, weights, x, fold).log_ratio,
        "evercast, zarr to zarr": from_zarr_to_zarr(architecture, weights, arguments.events, folder),
        "JAX, whole arrays": whole_arrays_jax(architecture, weights),
        "numpy, whole arrays": whole_arrays_numpy(weights),
    }
    if torch is not None:
        contestants["PyTorch, whole arrays"] = torch_chunks(weights, None)
        contestants["PyTorch, chunks"] = torch_chunks(weights, 2048)
    return contestants


def matmul_peak(width: int) -> float:
    """Floating-point operations per second of products of the shape that the hidden layers have, float32."""
    x, w = jnp.ones((2048, width), jnp.float32), jnp.full((width, width), 1.0 / width, jnp.float32)
    many = jax.jit(lambda x, w: jax.lax.fori_loop(0, 200, lambda _, y: y @ w, x))
    many(x, w).block_until_ready()
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        many(x, w).block_until_ready()
        best = min(best, time.process_time() - start)
    return 200 * 2.0 * 2048 * width**2 / best


def peak_memory(name: str) -> float:
    """Peak memory in MB of a fresh process that runs one contestant once."""
    command = [sys.executable, __file__, *sys.argv[1:], "--memory-of", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1]) / 1024.0


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        compare(arguments_of(), Path(folder))


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    contestants = contestants_of(arguments, folder)
    x = inputs(arguments.events)
    if arguments.memory_of:
        contestants[arguments.memory_of](x)
        lines = Path("/proc/self/status").read_text().splitlines()
        print(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
        return
    found = {name: run(x) for name, run in contestants.items()}
    for name, one in found.items():
        difference = float(np.max(np.abs(one - found["evercast, chunks"])))
        if difference > 1e-4:
            raise SystemExit(f"{name} differs by {difference:.2e}: no times")
    best, peak = dict.fromkeys(contestants, float("inf")), 0.0
    for _ in range(arguments.turns):
        peak = max(peak, matmul_peak(arguments.width))
        for name, run in contestants.items():
            start = time.process_time()
            run(x)
            best[name] = min(best[name], time.process_time() - start)
    first = best["evercast, chunks"]
    sizes = [INPUTS, *[arguments.width] * arguments.depth, 1]
    products = sum(2.0 * into * out for into, out in pairwise(sizes))
    work = arguments.events * arguments.members
    print(f"matrix products alone: {peak / 1e9:.0f} GFLOP/s")
    titles = ("networks x events / s", "time / evercast", "of the products", "peak memory")
    print(f"{'':24s} {titles[0]:>22s} {titles[1]:>16s} {titles[2]:>16s} {titles[3]:>12s}")
    for name, seconds in best.items():
        share = work * products / seconds / peak
        print(f"{name:24s} {work / seconds:22,.0f} {seconds / first:16.2f} {share:15.0%} {peak_memory(name):9.0f} MB")


if __name__ == "__main__":
    main()
