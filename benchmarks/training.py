"""Speed of training on one core: evercast against a plain Equinox loop and, where it is installed, a PyTorch loop.

    python benchmarks/training.py --width 128 --depth 4 --batch 1024

Rows A1, A3 and, with ``--device gpu``, A4 of the table of speeds. Each contestant trains the same networks on the same
events for as many epochs, one thread, with a validation loss after each epoch, and must reach the same one before its
time counts. The clock is CPU time of the process (wall time on a GPU); contestants take turns, and the best turn of
each counts. Nothing is compiled while the clock runs. Peak memory is that of a fresh process for each contestant.

    python benchmarks/training.py --cores 2

Row A2: the same networks on one part of the CPU and on as many as there are cores, by wall time; the losses must be
equal bit by bit. Without other work on the machine only.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path

os.environ.setdefault("NPROC", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
if "--cores" in sys.argv:
    parts_of_cpu = sys.argv[sys.argv.index("--cores") + 1]
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={parts_of_cpu}"
if "gpu" not in sys.argv:
    os.environ.setdefault("JAX_PLATFORMS", "cpu")

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from evercast.networks.architecture import Architecture
from evercast.networks.dataset import Events, TrainingSet, training_set
from evercast.networks.folds import CrossFitting
from evercast.networks.splitting import split, standardisation
from evercast.networks.training import NetworkName, train_networks
from evercast.spec.model import Training

try:
    import torch
except ImportError:
    torch = None

INPUTS = 8
FOLDS = CrossFitting(folds=2, seed=1)


def events(count: int) -> TrainingSet:
    rng = np.random.default_rng(1)

    def draw(mean: float, first: int) -> Events:
        event = np.arange(first, first + count, dtype=np.uint64)
        return Events(observables=rng.normal(mean, 1.0, (count, INPUTS)), weight=np.ones(count), event=event)

    return training_set(draw(0.15, 0), draw(-0.15, count), names=[f"x{i}" for i in range(INPUTS)])


def parts(
    data: TrainingSet, name: NetworkName, options: Training
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """Standardised inputs, labels and weights of the training and the validation part of a network."""
    part = split(data, FOLDS, fold=name.fold, seed=name.seed, validation_fraction=options.validation_fraction)
    mean, scale = standardisation(data, part)

    def take(rows: np.ndarray, balance: np.ndarray) -> tuple[np.ndarray, ...]:
        label = data.label[rows]
        weight = (data.weight[rows] * balance[label.astype(int)]).astype(np.float32)
        return (data.observables[rows] - mean) / scale, label, weight

    return take(part.training, part.balance), take(part.validation, part.validation_balance)


def run_evercast(
    data: TrainingSet, names: list[NetworkName], architecture: Architecture, options: Training, strategy: str
) -> float:
    networks = train_networks(
        data, names, architecture=architecture, options=options, cross_fitting=FOLDS, strategy=strategy
    )
    return float(np.mean([network.validation_loss[-1] for network in networks]))


def bare_loss(model: eqx.nn.MLP, x: jax.Array, y: jax.Array, w: jax.Array) -> jax.Array:
    z = jax.vmap(model)(x)[:, 0]
    return jnp.sum(w * (jax.nn.softplus(z) - y * z))


evaluate_bare = eqx.filter_jit(bare_loss)


@cache
def equinox_step(learning_rate: float, steps: int) -> tuple[optax.GradientTransformation, Callable[..., object]]:
    """One compiled step for all networks, so that compiling is not counted."""
    rule = optax.adamw(optax.cosine_decay_schedule(learning_rate, steps), weight_decay=0.0)

    @eqx.filter_jit
    def step(model, state, x, y, w):
        slope = eqx.filter_grad(bare_loss)(model, x, y, w)
        change, state = rule.update(slope, state, eqx.filter(model, eqx.is_array))
        return eqx.apply_updates(model, change), state

    return rule, step


def run_equinox(data: TrainingSet, names: list[NetworkName], architecture: Architecture, options: Training) -> float:
    """The usual way: an Equinox MLP, one jitted step, a Python loop over whole batches sliced from numpy."""
    losses = []
    for name in names:
        training, validation = parts(data, name, options)
        steps = len(training[0]) // options.batch
        rule, step = equinox_step(options.learning_rate, steps * options.epochs)
        key = jax.random.key(name.seed)
        model = eqx.nn.MLP(INPUTS, 1, architecture.width, architecture.depth, jax.nn.silu, key=key)
        state = rule.init(eqx.filter(model, eqx.is_array))
        rng = np.random.default_rng(name.seed)
        for _ in range(options.epochs):
            order = rng.permutation(len(training[0]))[: steps * options.batch]
            for rows in np.split(order, steps):
                x, y, w = (array[rows] for array in training)
                model, state = step(model, state, x, y, w * np.float32(steps))
            last = float(evaluate_bare(model, *validation))
        losses.append(last)
    return float(np.mean(losses))


def run_torch(
    data: TrainingSet, names: list[NetworkName], architecture: Architecture, options: Training, *, loader: bool
) -> float:
    """A PyTorch loop over slices of resident tensors, or the usual one over a DataLoader."""
    torch.set_num_threads(1)
    losses = []
    for name in names:
        training, validation = (
            [torch.from_numpy(np.ascontiguousarray(array)) for array in part] for part in parts(data, name, options)
        )
        torch.manual_seed(name.seed)
        sizes = architecture.sizes()
        layers: list[torch.nn.Module] = []
        for into, out in pairwise(sizes):
            layers += [torch.nn.Linear(into, out), torch.nn.SiLU()]
        model = torch.nn.Sequential(*layers[:-1])
        steps = -(-len(training[0]) // options.batch)
        rule = torch.optim.AdamW(model.parameters(), lr=options.learning_rate, weight_decay=0.0)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(rule, steps * options.epochs)

        def loss(x: torch.Tensor, y: torch.Tensor, w: torch.Tensor, model: torch.nn.Module = model) -> torch.Tensor:
            z = model(x)[:, 0]
            return (w * (torch.nn.functional.softplus(z) - y * z)).sum()

        batches = torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(*training), batch_size=options.batch, shuffle=True
        )
        for _ in range(options.epochs):
            order = torch.randperm(len(training[0]))
            sliced = ([array[rows] for array in training] for rows in torch.tensor_split(order, steps))
            for x, y, w in batches if loader else sliced:
                rule.zero_grad(set_to_none=True)
                loss(x, y, w * steps).backward()
                rule.step()
                schedule.step()
            with torch.no_grad():
                last = float(loss(*validation))
        losses.append(last)
    return float(np.mean(losses))


def run_torch_vmap(data: TrainingSet, names: list[NetworkName], architecture: Architecture, options: Training) -> float:
    """All networks at once by torch.func: stacked weights, one optimiser, slices of resident tensors."""
    torch.set_num_threads(1)
    sets = [parts(data, name, options) for name in names]
    length = min(len(training[0]) for training, _ in sets)
    steps = -(-length // options.batch)
    stacked = [torch.from_numpy(np.stack([training[k][:length] for training, _ in sets])) for k in range(3)]
    models = []
    for name in names:
        torch.manual_seed(name.seed)
        layers: list[torch.nn.Module] = []
        for into, out in pairwise(architecture.sizes()):
            layers += [torch.nn.Linear(into, out), torch.nn.SiLU()]
        models.append(torch.nn.Sequential(*layers[:-1]))
    weights, buffers = torch.func.stack_module_state(models)
    rule = torch.optim.AdamW(weights.values(), lr=options.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(rule, steps * options.epochs)
    base = models[0]

    def loss(own, rest, x, y, w):
        z = torch.func.functional_call(base, (own, rest), (x,))[:, 0]
        return (w * (torch.nn.functional.softplus(z) - y * z)).sum()

    for _ in range(options.epochs):
        order = torch.stack([torch.randperm(length) for _ in names])
        for rows in torch.tensor_split(order, steps, dim=1):
            x, y, w = (torch.stack([one[r] for one, r in zip(array, rows, strict=True)]) for array in stacked)
            rule.zero_grad(set_to_none=True)
            torch.func.vmap(loss)(weights, buffers, x, y, w * steps).sum().backward()
            rule.step()
            schedule.step()
        with torch.no_grad():
            last = []
            for index, (_, validation) in enumerate(sets):
                own, rest = ({key: array[index] for key, array in group.items()} for group in (weights, buffers))
                last.append(float(loss(own, rest, *(torch.from_numpy(array) for array in validation))))
    return float(np.mean(last))


def arguments_of(command: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=50_000, help="of each class")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--members", type=int, default=1, help="times two folds")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--cores", type=int, help="compare one core with so many")
    parser.add_argument("--memory-of", help="run one contestant once and print the peak memory of the process")
    return parser.parse_args(command)


def contestants_of(arguments: argparse.Namespace) -> tuple[dict[str, Callable[[], float]], float]:
    """Return the contestants and their work: floating-point operations of the matrix products."""
    data = events(arguments.events)
    architecture = Architecture(observables=data.names, width=arguments.width, depth=arguments.depth, activation="silu")
    options = Training(epochs=arguments.epochs, batch=arguments.batch, patience=None)
    names = [
        NetworkName(member=member, fold=fold, seed=10 * member + fold)
        for member in range(arguments.members)
        for fold in range(FOLDS.folds)
    ]
    contestants: dict[str, Callable[[], float]] = {
        "evercast (map)": lambda: run_evercast(data, names, architecture, options, "map"),
        "evercast (vmap)": lambda: run_evercast(data, names, architecture, options, "vmap"),
        "Equinox, Python loop": lambda: run_equinox(data, names, architecture, options),
    }
    if torch is not None and arguments.device == "cpu":
        contestants["PyTorch, slices"] = lambda: run_torch(data, names, architecture, options, loader=False)
        contestants["PyTorch, vmap"] = lambda: run_torch_vmap(data, names, architecture, options)
        contestants["PyTorch, DataLoader"] = lambda: run_torch(data, names, architecture, options, loader=True)
    return contestants, _work(data, names, options)


def _work(data: TrainingSet, names: list[NetworkName], options: Training) -> float:
    return float(options.epochs * sum(len(parts(data, name, options)[0][0]) for name in names))


def products_per_event(arguments: argparse.Namespace) -> float:
    """Floating-point operations of the matrix products of one step for one event: forward and twice that backward."""
    sizes = [INPUTS, *[arguments.width] * arguments.depth, 1]
    return 3.0 * sum(2.0 * into * out for into, out in pairwise(sizes))


def matmul_peak(arguments: argparse.Namespace) -> float:
    """Floating-point operations per second of products of the shape that the hidden layers have, float32."""
    x = jnp.ones((arguments.batch, arguments.width), jnp.float32)
    w = jnp.full((arguments.width, arguments.width), 1.0 / arguments.width, jnp.float32)
    many = jax.jit(lambda x, w: jax.lax.fori_loop(0, 300, lambda _, y: y @ w, x))
    many(x, w).block_until_ready()
    best = float("inf")
    for _ in range(5):
        start = clock(arguments)
        many(x, w).block_until_ready()
        best = min(best, clock(arguments) - start)
    return 300 * 2.0 * arguments.batch * arguments.width**2 / best


def clock(arguments: argparse.Namespace) -> float:
    return time.process_time() if arguments.device == "cpu" else time.perf_counter()


def peak_memory(name: str) -> float:
    """Peak memory in MB of a fresh process that runs one contestant once."""
    command = [sys.executable, __file__, *sys.argv[1:], "--memory-of", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1]) / 1024.0


def compare_cores(arguments: argparse.Namespace) -> None:
    """Print the wall time of training on one and on several parts of the CPU, after comparing the losses."""
    data = events(arguments.events)
    architecture = Architecture(observables=data.names, width=arguments.width, depth=arguments.depth, activation="silu")
    options = Training(epochs=arguments.epochs, batch=arguments.batch, patience=None)
    names = [
        NetworkName(member=member, fold=fold, seed=10 * member + fold)
        for member in range(max(arguments.members, arguments.cores))
        for fold in range(FOLDS.folds)
    ]

    def run(count: int) -> list[float]:
        networks = train_networks(
            data, names, architecture=architecture, options=options, cross_fitting=FOLDS, strategy="map",
            devices=jax.local_devices()[:count],
        )  # fmt: skip
        return [network.validation_loss[-1] for network in networks]

    if run(1) != run(arguments.cores):
        raise SystemExit("the losses differ: not the same work, so no times")
    best = {1: float("inf"), arguments.cores: float("inf")}
    for _ in range(arguments.turns):
        for count, before in best.items():
            start = time.perf_counter()
            run(count)
            best[count] = min(before, time.perf_counter() - start)
    work = _work(data, names, options)
    for count, seconds in best.items():
        print(f"{count} cores: {work / seconds:,.0f} networks x events / s (wall)")
    print(f"ratio {best[1] / best[arguments.cores]:.2f}, losses of {len(names)} networks equal bit by bit")


def main() -> None:
    arguments = arguments_of()
    if arguments.cores:
        compare_cores(arguments)
        return
    contestants, work = contestants_of(arguments)
    if arguments.memory_of:
        contestants[arguments.memory_of]()
        lines = Path("/proc/self/status").read_text().splitlines()
        print(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
        return
    losses = {name: run() for name, run in contestants.items()}
    spread = max(losses.values()) - min(losses.values())
    print(f"validation losses: {losses}")
    if spread > 0.005:
        raise SystemExit(f"the losses differ by {spread:.4f}: not the same work, so no times")
    best, peak = dict.fromkeys(contestants, float("inf")), 0.0
    for _ in range(arguments.turns):
        peak = max(peak, matmul_peak(arguments))
        for name, run in contestants.items():
            start = clock(arguments)
            run()
            best[name] = min(best[name], clock(arguments) - start)
    first = best["evercast (map)" if arguments.device == "cpu" else "evercast (vmap)"]
    print(f"matrix products alone: {peak / 1e9:.0f} GFLOP/s")
    titles = ("networks x events / s", "time / evercast", "of the products", "peak memory")
    print(f"{'':24s} {titles[0]:>22s} {titles[1]:>16s} {titles[2]:>16s} {titles[3]:>12s}")
    for name, seconds in best.items():
        share = work * products_per_event(arguments) / seconds / peak
        memory = peak_memory(name)
        print(f"{name:24s} {work / seconds:22,.0f} {seconds / first:16.2f} {share:15.0%} {memory:9.0f} MB")


if __name__ == "__main__":
    main()
