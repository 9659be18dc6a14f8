"""Likelihood and CLs against plain formulations in the same process: equal results first, then the ratio of CPU times.

Run: ``python benchmarks/likelihood.py [--events N] [--json]``. Ratios count, not times; those below 1.3 are ties.

1. Unbinned -2 ln L with its gradient, 4 processes with 12 normalisation uncertainties: ours (chunks, derivatives in the
   same pass) against the plain one (whole arrays of log ratios, logarithm of a sum of exponentials, reverse mode).
2. CLs of a workspace with per-bin statistical factors: ours (Newton, exact Hessian, compiled once) against pyhf with
   its numpy backend, SLSQP (its default) and Minuit.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import click
import jax
import jax.numpy as jnp
import numpy as np
import pyhf

from evercast.inference.asymptotics import cls
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.histfactory import read_workspace
from evercast.likelihood.interpolation import polynomial_exponential_factor
from evercast.likelihood.model import (
    Component,
    EventSet,
    LikelihoodModel,
    NormSys,
    ParameterModel,
    UnbinnedChannelModel,
)

N_SYSTEMATICS = 12
YIELDS = np.array([400.0, 425.0, 300.0, 2000.0])
COEFFICIENTS = ("mu - sqrt(mu)", "sqrt(mu)", "1 - sqrt(mu)", "1")


def interleaved(first: Callable[[], object], second: Callable[[], object], *, rounds: int) -> tuple[float, float]:
    """Return the median CPU seconds of both, called in turn after one call each to warm up."""
    first(), second()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for function, kept in zip((first, second), times, strict=True):
            start = time.process_time()
            function()
            kept.append(time.process_time() - start)
    return float(np.median(times[0])), float(np.median(times[1]))


def unbinned(n_events: int) -> dict[str, float]:
    """Return times and their ratio for value and gradient."""
    rng = np.random.default_rng(1)
    log_ratio = rng.normal(scale=0.6, size=(n_events, 4)).astype(np.float32)
    weight = np.full(n_events, YIELDS[1:].sum() / n_events)
    names = [f"alpha_{k}" for k in range(N_SYSTEMATICS)]
    size = 1 + 0.02 * rng.uniform(0.5, 1.5, (4, N_SYSTEMATICS, 2)) * np.array([1.0, -1.0])
    components = tuple(
        Component(
            process=f"p{j}", yield_events=YIELDS[j], coefficient=COEFFICIENTS[j],
            modifiers=tuple(NormSys(parameter=n, up=size[j, k, 0], down=size[j, k, 1]) for k, n in enumerate(names)),
        )
        for j in range(4)
    )  # fmt: skip
    parameters = (ParameterModel(name="mu", initial=1.0, bounds=(0.0, 10.0), poi=True),)
    parameters += tuple(ParameterModel(name=name, bounds=(-5.0, 5.0), constraint="normal") for name in names)
    channel = UnbinnedChannelModel(
        name="SR", components=components, events=EventSet(log_ratio=log_ratio, weight=weight)
    )
    ours = Likelihood(LikelihoodModel(name="bench", parameters=parameters, channels=(channel,)))
    theta = np.array([0.7, *rng.normal(scale=0.5, size=N_SYSTEMATICS)])
    with jax.enable_x64(new_val=True):
        plain = plain_value_and_gradient(log_ratio.astype(np.float64), weight, size)
        theirs = jax.block_until_ready(plain(jnp.asarray(theta)))
        mine = ours.value_and_gradient(theta)
        np.testing.assert_allclose(mine[0], theirs[0] + N_SYSTEMATICS * np.log(2 * np.pi), rtol=1e-11)
        np.testing.assert_allclose(mine[1], theirs[1], rtol=1e-8, atol=1e-7)
        fast, slow = interleaved(
            lambda: ours.value_and_gradient(theta), lambda: jax.block_until_ready(plain(jnp.asarray(theta))), rounds=15
        )
    return {"events": n_events, "evercast_seconds": fast, "plain_seconds": slow, "ratio": slow / fast}


def plain_value_and_gradient(log_ratio: np.ndarray, weight: np.ndarray, size: np.ndarray) -> Callable[..., object]:
    """Return the straightforward formulation, compiled; its events are arguments as ours are."""

    def value(theta: jax.Array, log_ratio: jax.Array, weight: jax.Array) -> jax.Array:
        mu, alpha = theta[0], theta[1:]
        root = jnp.sqrt(mu)
        factors = polynomial_exponential_factor(alpha[None, :], jnp.asarray(size[..., 0]), jnp.asarray(size[..., 1]))
        coefficients = jnp.stack([mu - root, root, 1 - root, jnp.ones(())])
        nu = coefficients * jnp.asarray(YIELDS) * jnp.prod(factors, axis=1)
        largest = jnp.max(log_ratio, axis=1)
        intensity = jnp.sum(nu * jnp.exp(log_ratio - largest[:, None]), axis=1)
        return 2 * (jnp.sum(nu) - jnp.sum(weight * (largest + jnp.log(intensity)))) + jnp.sum(alpha**2)

    compiled = jax.jit(jax.value_and_grad(value))
    events = jnp.asarray(log_ratio), jnp.asarray(weight)
    return lambda theta: compiled(theta, *events)


def workspace(n_bins: int = 12) -> dict[str, object]:
    """Return one channel: a signal and two backgrounds, shape, normalisation and per-bin statistical uncertainties."""
    rng = np.random.default_rng(7)
    position = np.linspace(0, 1, n_bins)
    templates = {
        "signal": 30 * np.exp(-(((position - 0.6) / 0.15) ** 2)) / n_bins * 4,
        "smooth": 400 * np.exp(-2 * position) / n_bins,
        "rising": 150 * (0.4 + position) / n_bins,
    }  # fmt: skip
    samples = []
    for index, (name, nominal) in enumerate(templates.items()):
        shift = 0.08 * nominal * np.sin(3 * position + index)
        varied = {"hi_data": list(nominal + shift), "lo_data": list(nominal - shift)}
        modifiers: list[dict[str, object]] = [
            {"name": "scale", "type": "histosys", "data": varied},
            {"name": f"norm_{name}", "type": "normsys", "data": {"hi": 1.1, "lo": 0.92}},
        ]  # fmt: skip
        modifiers.append(
            {"name": "mu", "type": "normfactor", "data": None} if name == "signal"
            else {"name": "stat", "type": "staterror", "data": list(0.06 * nominal)}
        )  # fmt: skip
        samples.append({"name": name, "data": list(nominal), "modifiers": modifiers})
    background = templates["smooth"] + templates["rising"]
    observed = rng.poisson(background + 0.3 * templates["signal"]).astype(float).tolist()
    return {
        "channels": [{"name": "SR", "samples": samples}],
        "observations": [{"name": "SR", "data": observed}],
        "measurements": [{"name": "fit", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }  # fmt: skip


def upper_tests(document: dict[str, object], optimiser: str) -> dict[str, float]:
    """Return times and their ratio for one CLs, model building included on both sides."""
    chosen = (
        pyhf.optimize.minuit_optimizer(tolerance=1e-3) if optimiser == "minuit" else pyhf.optimize.scipy_optimizer()
    )
    pyhf.set_backend("numpy", chosen)

    def theirs() -> float:
        peer = pyhf.Workspace(document)
        model = peer.model()
        return float(pyhf.infer.hypotest(1.0, peer.data(model), model))

    def mine() -> float:
        found = cls(Likelihood(read_workspace(document)), 1.0).cls_obs
        return float("nan") if found is None else found

    np.testing.assert_allclose(mine(), theirs(), atol=2e-4)
    fast, slow = interleaved(mine, theirs, rounds=5)
    return {"evercast_seconds": fast, "pyhf_seconds": slow, "ratio": slow / fast}


@click.command()
@click.option("--events", type=int, default=200_000, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(*, events: int, as_json: bool) -> None:
    """Compare evercast with plain formulations; the results are compared before the times."""
    document = workspace()
    results = {
        "unbinned value and gradient, plain JAX": unbinned(events),
        "CLs, pyhf numpy + SLSQP": upper_tests(document, "scipy"),
        "CLs, pyhf numpy + Minuit": upper_tests(document, "minuit"),
    }
    if as_json:
        click.echo(json.dumps(results, indent=1))
        return
    for name, numbers in results.items():
        click.echo(f"{name}: {numbers['ratio']:.1f} times the CPU time of evercast")


if __name__ == "__main__":
    main()
