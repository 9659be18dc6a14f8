"""Speed on a GPU: networks trained and evaluated together, the likelihood, and how they agree with the CPU.

    python benchmarks/gpu.py                                  # on a machine with a GPU
    python benchmarks/gpu.py --devices 2 --members 4 --small  # here: parts of the CPU stand in for devices

Row A4 of the table of speeds. What is timed is compared with the CPU of the same process first: where results differ by
more than their rounding, no time is printed. The clock is the wall. The first line says what it ran on; with forced
host devices the figures say that the code path works and what spreading costs, nothing of a GPU.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

if "--devices" in sys.argv:
    count = sys.argv[sys.argv.index("--devices") + 1]
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={count} " + os.environ.get("XLA_FLAGS", "")
    os.environ.setdefault("NPROC", count)

import jax
import jax.numpy as jnp
import numpy as np

from evercast.likelihood.distributed import event_mesh, sharded_source
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import (
    AnchorMorph,
    Component,
    EventSet,
    LikelihoodModel,
    ParameterModel,
    UnbinnedChannelModel,
)
from evercast.networks.architecture import Architecture, Weights
from evercast.networks.dataset import Events, TrainingSet, training_set
from evercast.networks.evaluation import ensemble_log_ratio
from evercast.networks.folds import CrossFitting
from evercast.networks.training import NetworkName, TrainedNetwork, train_networks
from evercast.spec.model import Training

try:
    import torch
except ImportError:
    torch = None

INPUTS = 8
FOLDS = CrossFitting(folds=2, seed=1)


@dataclass(frozen=True)
class Size:
    """What is computed."""

    events: int
    width: int
    depth: int
    batch: int
    epochs: int
    members: int
    likelihood_events: int
    parameters: int


def training_events(count: int) -> TrainingSet:
    rng = np.random.default_rng(1)

    def draw(mean: float, first: int) -> Events:
        event = np.arange(first, first + count, dtype=np.uint64)
        return Events(observables=rng.normal(mean, 1.0, (count, INPUTS)), weight=np.ones(count), event=event)

    return training_set(draw(0.15, 0), draw(-0.15, count), names=[f"x{i}" for i in range(INPUTS)])


def likelihood_model(size: Size) -> LikelihoodModel:
    rng = np.random.default_rng(2)
    names = [f"a{k}" for k in range(size.parameters)]
    processes = ("S", "B", "C", "D")

    def events(count: int) -> EventSet:
        columns = [(0.5, 4), (0.02, 4 * len(names)), (0.02, 4 * len(names))]
        ratio, up, down = (rng.normal(0.0, scale, (count, width)).astype(np.float32) for scale, width in columns)
        return EventSet(log_ratio=ratio, weight=np.ones(count), log_up=up, log_down=down)

    channel = UnbinnedChannelModel(
        name="SR",
        components=tuple(
            Component(process=name, coefficient="mu" if name == "S" else "1", yield_events=size.likelihood_events / 4)
            for name in processes
        ),
        anchors=tuple(AnchorMorph(process=process, parameter=name) for process in processes for name in names),
        events=events(size.likelihood_events),
        reference=events(size.likelihood_events // 4),
    )
    poi = ParameterModel(name="mu", initial=1.0, bounds=(0.0, 10.0), poi=True)
    others = tuple(ParameterModel(name=name, bounds=(-5.0, 5.0), constraint="normal") for name in names)
    return LikelihoodModel(name="benchmark", parameters=(poi, *others), channels=(channel,))


def seconds(run: Callable[[], object], *, turns: int = 3) -> float:
    """Best wall time of a few turns; what is compiled was compiled before."""
    best = float("inf")
    for _ in range(turns):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def peak(devices: list[jax.Device]) -> float:
    """Floating-point operations per second of large float32 products at full precision on all devices."""
    length = 4096 if devices[0].platform != "cpu" else 768
    parts = [jax.device_put(jnp.full((length, length), 1.0 / length, jnp.float32), device) for device in devices]
    product = jax.jit(lambda x: jax.lax.fori_loop(0, 10, lambda _, y: y @ x, x))

    def run() -> None:
        for done in [product(part) for part in parts]:
            done.block_until_ready()

    run()
    return 10 * 2.0 * length**3 * len(devices) / seconds(run)


def flops_per_event(architecture: Architecture) -> float:
    return 3.0 * sum(2.0 * into * out for into, out in pairwise(architecture.sizes()))


def train(
    data: TrainingSet, names: list[NetworkName], size: Size, strategy: str, devices: list[jax.Device]
) -> list[TrainedNetwork]:
    options = Training(epochs=size.epochs, batch=size.batch, patience=None)
    return train_networks(
        data, names, architecture=architecture_of(size), options=options, cross_fitting=FOLDS, strategy=strategy,
        devices=devices, threads=os.cpu_count() or 1,
    )  # fmt: skip


def architecture_of(size: Size) -> Architecture:
    names = tuple(f"x{i}" for i in range(INPUTS))
    return Architecture(observables=names, width=size.width, depth=size.depth, activation="silu")


def weights_of(networks: list[TrainedNetwork]) -> Weights:
    return Weights.stack([one.weights for one in networks]).reshape(-1, FOLDS.folds)


def losses_of(networks: list[TrainedNetwork]) -> np.ndarray:
    return np.array([one.validation_loss[-1] for one in networks])


def agree(what: str, difference: float, allowed: float) -> None:
    print(f"{what}: differs by {difference:.1e}, allowed {allowed:.0e}")
    if not difference <= allowed:
        raise SystemExit("not the same result, so no times")


def training_row(size: Size, devices: list[jax.Device], host: list[jax.Device]) -> Weights:
    data = training_events(size.events)
    names = [NetworkName(member=m, fold=f, seed=10 * m + f) for m in range(size.members) for f in range(FOLDS.folds)]
    together = train(data, names, size, "vmap", devices)
    on_cpu = train(data, names[:2], replace(size), "map", host[:1])
    few = losses_of(together)[:2] - losses_of(on_cpu)
    agree("training, validation loss against the CPU", float(np.max(np.abs(few))), 2e-3)
    rows = size.events * 2 * (1 - 1 / FOLDS.folds) * 0.85
    work = size.epochs * rows * len(names)
    all_at_once = seconds(lambda: train(data, names, size, "vmap", devices))
    one = seconds(lambda: train(data, names[:1], size, "vmap", devices[:1]), turns=2) * len(names)
    speed = work * flops_per_event(architecture_of(size)) / all_at_once
    print(f"training of {len(names)} networks together: {work / all_at_once:,.0f} networks x events / s")
    print(
        f"  one by one takes {one / all_at_once:.1f} times as long; {speed / peak(devices):.0%} of the products alone"
    )
    if torch is not None and torch.cuda.is_available():
        ratio = torch_seconds(data, size) * len(names) / all_at_once
        print(f"  torch on the same GPU, one by one, takes {ratio:.1f} times as long")
    else:
        print("  torch with a GPU is not installed: no ratio to it")
    return weights_of(together)


def torch_seconds(data: TrainingSet, size: Size) -> float:
    """Time to train one network by a plain loop over slices of tensors on the GPU."""
    x, y = (torch.as_tensor(array, device="cuda") for array in (data.observables, data.label))
    rows = int(size.events * 2 * (1 - 1 / FOLDS.folds) * 0.85)
    layers: list[object] = []
    for into, out in pairwise(architecture_of(size).sizes()):
        layers += [torch.nn.Linear(into, out), torch.nn.SiLU()]
    model = torch.nn.Sequential(*layers[:-1]).cuda()
    rule = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)

    def run() -> None:
        for _ in range(size.epochs):
            order = torch.randperm(rows, device="cuda")
            for chosen in order.split(size.batch):
                rule.zero_grad(set_to_none=True)
                torch.nn.functional.binary_cross_entropy_with_logits(model(x[chosen])[:, 0], y[chosen]).backward()
                rule.step()
        torch.cuda.synchronize()

    run()
    return seconds(run)


def evaluation_row(size: Size, weights: Weights, devices: list[jax.Device], host: list[jax.Device]) -> None:
    architecture = architecture_of(size)
    events = np.random.default_rng(3).normal(size=(4 * size.events, INPUTS))
    fold = FOLDS.fold_of(np.arange(len(events), dtype=np.uint64))

    def run(strategy: str, some: list[jax.Device], count: int) -> np.ndarray:
        chosen = fold[:count]
        found = ensemble_log_ratio(architecture, weights, events[:count], chosen, strategy=strategy, devices=some)
        return found.log_ratio

    part = 5000
    agree(
        "evaluation, log ratio against the CPU",
        float(np.max(np.abs(run("vmap", devices, part) - run("map", host[:1], part)))),
        1e-4,
    )
    run("vmap", devices, len(events))
    taken = seconds(lambda: run("vmap", devices, len(events)))
    members = weights.axes()[0]
    print(f"evaluation of {members} members: {len(events) * members / taken:,.0f} networks x events / s")


def likelihood_row(size: Size, devices: list[jax.Device]) -> None:
    model = likelihood_model(size)
    plain = Likelihood(model)
    spread = Likelihood(model, make_source=sharded_source(event_mesh(devices)))
    theta = plain.initial + 0.1
    expected, found = plain.value_and_gradient(theta), spread.value_and_gradient(theta)
    agree("-2 ln L on all devices, relative", abs(found[0] - expected[0]) / abs(expected[0]), 1e-10)
    agree("its gradient, largest component", float(np.max(np.abs(found[1] - expected[1]))), 1e-6 * len(theta))
    taken = seconds(lambda: spread.fast.value_and_gradient(theta))
    taken = min(taken, seconds(lambda: spread.fast.value_and_gradient(theta)))
    text = f"{size.likelihood_events} events and {len(theta)} parameters"
    print(f"value and gradient of -2 ln L of {text}: {1e3 * taken:.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, help="parts of the CPU that stand in for devices")
    parser.add_argument("--members", type=int, default=32, help="times two folds")
    parser.add_argument("--small", action="store_true", help="small networks and few events, for a CPU")
    arguments = parser.parse_args()
    devices, host = jax.devices(), jax.devices("cpu")
    jax.config.update("jax_default_matmul_precision", "highest")
    real = devices[0].platform != "cpu"
    size = Size(50_000, 128, 4, 1024, 3, arguments.members, 200_000, 50)
    if arguments.small or not real:
        size = Size(3_000, 32, 2, 256, 2, arguments.members, 5_000, 5)
    print(
        f"{len(devices)} x {devices[0].device_kind}" + ("" if real else ": no GPU, parts of a CPU stand in for devices")
    )
    weights = training_row(size, devices, host)
    evaluation_row(size, weights, devices, host)
    likelihood_row(size, devices)


if __name__ == "__main__":
    main()
