"""Unbinned likelihood and CLs against plain formulations in one run: equal results first, then ratios of CPU time.

Run: ``python benchmarks/likelihood.py [--events N] [--full] [--json]``. Ratios count, not times; below 1.3 are ties.

1. -2 ln L with gradient of 4 processes with 50 nuisance parameters, each with a code-4 morph of every process, against
   (a) the structure of public toolkits, rebuilt: float64, a map over samples of a scan over parameters, reverse mode
   over whole arrays; (b) the plain formulation in JAX, float32; (c) the value in numpy. Z is left out, as others do.
2. The Hessian, in units of a gradient, and against the forward derivative of the plain gradient.
3. Peak memory beyond the stores, each in a process of its own.
4. A minimisation over 51 parameters against Minuit with the gradient of evercast, and with numeric ones (``--full``).
5. A profile scan of 50 points against Minuit with the gradient of evercast, each point from the fit of the one before.
6. CLs of a workspace with per-bin statistical factors against pyhf with its numpy backend, SLSQP and Minuit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import click
import jax
import jax.numpy as jnp
import numpy as np
import pyhf
from iminuit import Minuit

from evercast.inference.asymptotics import cls
from evercast.inference.fit import fit
from evercast.inference.minimise import minimise
from evercast.inference.profile import Profile
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.histfactory import read_workspace
from evercast.likelihood.interpolation import polynomial_exponential_factor
from evercast.likelihood.model import (
    AnchorMorph,
    Component,
    EventSet,
    LikelihoodModel,
    NormSys,
    ParameterModel,
    UnbinnedChannelModel,
)

N_PARAMETERS = 50
YIELDS = np.array([400.0, 425.0, 300.0, 2000.0])
COEFFICIENTS = ("mu - sqrt(mu)", "sqrt(mu)", "1 - sqrt(mu)", "1")
TOLERANCE = 1e-3
"""In -2 ln L: what equal results are."""


def interleaved(*functions: Callable[[], object], rounds: int) -> list[float]:
    """Return the median CPU seconds of each, called in turn after one call each to warm up."""
    times: list[list[float]] = [[] for _ in functions]
    for function in functions:
        function()
    for _ in range(rounds):
        for function, kept in zip(functions, times, strict=True):
            start = time.process_time()
            function()
            kept.append(time.process_time() - start)
    return [float(np.median(kept)) for kept in times]


def aligned(shape: tuple[int, ...]) -> np.ndarray:
    """Return a float32 array at an address from which it is used in place."""
    size = 4 * int(np.prod(shape))
    raw = np.empty(size + 64, dtype=np.uint8)
    first = -raw.ctypes.data % 64
    return raw[first : first + size].view(np.float32).reshape(shape)


def events(n_events: int, weight: float, seed: int) -> EventSet:
    """Return events with log ratios of the size of those of a measurement: 2 % a parameter."""
    rng = np.random.default_rng(seed)
    log_ratio, log_up, log_down = (aligned((n_events, width)) for width in (4, 4 * N_PARAMETERS, 4 * N_PARAMETERS))
    for first in range(0, n_events, 8192):
        part = slice(first, min(first + 8192, n_events))
        shift = rng.normal(scale=0.02, size=log_up[part].shape)
        log_ratio[part] = rng.normal(scale=0.5, size=log_ratio[part].shape)
        log_up[part], log_down[part] = shift, -shift + rng.normal(scale=0.004, size=shift.shape)
    return EventSet(log_ratio=log_ratio, weight=np.full(n_events, weight), log_up=log_up, log_down=log_down)


def sizes() -> np.ndarray:
    """Return up and down of the yields, (processes, parameters, 2)."""
    rng = np.random.default_rng(3)
    return 1 + 0.02 * rng.uniform(0.5, 1.5, (4, N_PARAMETERS, 2)) * np.array([1.0, -1.0])


def model(n_events: int, *, normalised: bool = False) -> LikelihoodModel:
    """Return one channel with 4 processes and 50 nuisance parameters; with Z, over as many reference events."""
    names, size = [f"alpha_{k}" for k in range(N_PARAMETERS)], sizes()
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
        name="SR", components=components, events=events(n_events, YIELDS[1:].sum() / n_events, 1),
        anchors=tuple(AnchorMorph(process=f"p{j}", parameter=name) for j in range(4) for name in names),
        reference=events(n_events, 1.0, 2) if normalised else None, normalise_morphs=normalised,
    )  # fmt: skip
    return LikelihoodModel(name="bench", parameters=parameters, channels=(channel,))


def point() -> np.ndarray:
    """Return parameters off their nominal values, nuisance parameters within one standard deviation."""
    return np.array([0.7, *np.random.default_rng(5).uniform(-0.9, 0.9, N_PARAMETERS)])


def yields_at(theta: jax.Array) -> jax.Array:
    """Return the expected events of the processes."""
    mu, size = theta[0], jnp.asarray(sizes(), dtype=theta.dtype)
    factors = polynomial_exponential_factor(theta[1:][None, :], size[..., 0], size[..., 1])
    coefficients = jnp.stack([mu - jnp.sqrt(mu), jnp.sqrt(mu), 1 - jnp.sqrt(mu), jnp.ones_like(mu)])
    return coefficients * jnp.asarray(YIELDS, dtype=theta.dtype) * jnp.prod(factors, axis=1)


def peer_like(chosen: EventSet) -> Callable[[jax.Array], tuple[jax.Array, jax.Array]]:
    """Return -2 ln L in the structure of public toolkits: a map over samples of a scan over parameters, float64."""
    shape = (len(chosen.weight), 4, N_PARAMETERS)
    ratio = jnp.exp(jnp.asarray(chosen.log_ratio, dtype=jnp.float64).T)
    up, down = (
        jnp.exp(jnp.asarray(values, dtype=jnp.float64)).reshape(shape).transpose(1, 2, 0)
        for values in (chosen.log_up, chosen.log_down)
    )

    def value(theta: jax.Array, ratio: jax.Array, up: jax.Array, down: jax.Array, weight: jax.Array) -> jax.Array:
        def sample(up: jax.Array, down: jax.Array) -> jax.Array:
            def step(product: jax.Array, entry: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
                return product * polynomial_exponential_factor(*entry), None

            return jax.lax.scan(step, jnp.ones(up.shape[1]), (theta[1:], up, down))[0]

        nu = yields_at(theta)
        density = nu @ (ratio * jax.vmap(sample)(up, down)) / jnp.sum(nu)
        return 2 * (jnp.sum(nu) - jnp.sum(weight * jnp.log(jnp.sum(nu) * density))) + jnp.sum(theta[1:] ** 2)

    arrays = (ratio, up, down, jnp.asarray(chosen.weight))
    compiled = jax.jit(jax.value_and_grad(value))
    return lambda theta: compiled(theta, *arrays)


def plain(chosen: EventSet) -> Callable[[jax.Array], tuple[jax.Array, jax.Array]]:
    """Return -2 ln L as one writes it down: whole arrays of logarithms, float32."""
    shape = (len(chosen.weight), 4, N_PARAMETERS)

    def value(theta: jax.Array, *arrays: jax.Array) -> jax.Array:
        log_ratio, log_up, log_down, weight = arrays
        up, down = (jnp.exp(values).reshape(shape) for values in (log_up, log_down))
        small = theta.astype(jnp.float32)
        factor = jnp.prod(polynomial_exponential_factor(small[1:], up, down), axis=2)
        intensity = jnp.sum(yields_at(small) * jnp.exp(log_ratio) * factor, axis=1)
        total = jnp.sum(yields_at(theta)) - jnp.sum(weight * jnp.log(intensity.astype(jnp.float64)))
        return 2 * total + jnp.sum(theta[1:] ** 2)

    arrays = tuple(jnp.asarray(v) for v in (chosen.log_ratio, chosen.log_up, chosen.log_down, chosen.weight))
    compiled = jax.jit(jax.value_and_grad(value))
    return lambda theta: compiled(theta, *arrays)


def by_numpy(chosen: EventSet, theta: np.ndarray) -> float:
    """Return -2 ln L in numpy, float32 elements."""
    product = np.ones((len(chosen.weight), 4))
    basis = np.array([[15, -7, 1], [24, -9, 1], [-5, 5, -1], [-12, 7, -1], [3, -3, 1], [8, -5, 1]]) / np.array(
        [[8], [8], [4], [4], [8], [8]]
    )
    for k, alpha in enumerate(theta[1:].astype(np.float32)):
        ln_u, ln_d = chosen.log_up[:, k::N_PARAMETERS], chosen.log_down[:, k::N_PARAMETERS]
        u, d = np.exp(ln_u), np.exp(ln_d)
        s0, a0 = (u + d) / 2 - 1, (u - d) / 2
        s1, a1 = (u * ln_u - d * ln_d) / 2, (u * ln_u + d * ln_d) / 2
        s2, a2 = (u * ln_u**2 + d * ln_d**2) / 2, (u * ln_u**2 - d * ln_d**2) / 2
        powers = alpha ** np.arange(1, 7)
        odd, even = (powers[0::2] @ basis[0::2]).astype(np.float32), (powers[1::2] @ basis[1::2]).astype(np.float32)
        product *= 1 + odd[0] * a0 + odd[1] * s1 + odd[2] * a2 + even[0] * s0 + even[1] * a1 + even[2] * s2
    with jax.enable_x64(new_val=True):
        nu = np.asarray(yields_at(jnp.asarray(theta)))
    intensity = (np.exp(chosen.log_ratio) * product) @ nu
    return float(2 * (nu.sum() - np.sum(chosen.weight * np.log(intensity))) + np.sum(theta[1:] ** 2))


def gradients(n_events: int) -> dict[str, float]:
    """Return times of value and gradient, of the numpy value and of the Hessian, and their ratios."""
    built = model(n_events)
    chosen, theta = built.channels[0].events, point()
    ours = Likelihood(built)
    fast, constant = ours.fast, N_PARAMETERS * np.log(2 * np.pi)
    with jax.enable_x64(new_val=True):
        peer, simple = peer_like(chosen), plain(chosen)
        there = jnp.asarray(theta)
        expected, slope = peer(there)
        for value in (ours.twice_nll(theta), fast.twice_nll(theta), float(simple(there)[0]) + constant,
                      by_numpy(chosen, theta) + constant):  # fmt: skip
            np.testing.assert_allclose(value, float(expected) + constant, atol=TOLERANCE, rtol=0)
        np.testing.assert_allclose(fast.value_and_gradient(theta)[1], slope, rtol=1e-4, atol=2e-3)
        times = interleaved(
            lambda: fast.value_and_gradient(theta), lambda: ours.value_and_gradient(theta),
            lambda: jax.block_until_ready(peer(there)), lambda: jax.block_until_ready(simple(there)),
            lambda: by_numpy(chosen, theta), lambda: fast.expand(theta), rounds=3,
        )  # fmt: skip
    names = ("evercast", "evercast_float64", "toolkit_structure", "plain_float32", "numpy_value", "evercast_hessian")
    result = dict(zip(names, times, strict=True))
    return {"events": n_events} | {f"{name}_seconds": value for name, value in result.items()} | {
        "ratio_toolkit": result["toolkit_structure"] / times[0],
        "ratio_plain": result["plain_float32"] / times[0],
        "ratio_numpy_value": result["numpy_value"] / times[0],
        "hessian_in_gradients": result["evercast_hessian"] / times[0],
    }  # fmt: skip


def alone(n_events: int) -> dict[str, float]:
    """Return times of value and gradient and of the Hessian at a size at which the others run out of memory."""
    theta, fast = point(), Likelihood(model(n_events)).fast
    gradient, hessian = interleaved(lambda: fast.value_and_gradient(theta), lambda: fast.expand(theta), rounds=3)
    return {"events": n_events, "evercast_seconds": gradient, "evercast_hessian_seconds": hessian}


def hessians(n_events: int) -> dict[str, float]:
    """Return times of the Hessian (float64 at few events) and of forward over reverse mode, plain and float32."""
    built = model(n_events)
    theta, fast = point(), Likelihood(built).fast
    with jax.enable_x64(new_val=True):
        simple, there = plain(built.channels[0].events), jnp.asarray(theta)
        derivative = jax.jit(jax.jacfwd(lambda at: simple(at)[1]))
        expected, found = derivative(there), fast.expand(theta).hessian - 0.0
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=0.05)
        (ours,) = interleaved(lambda: fast.expand(theta), rounds=5)  # not in turn: the other frees gigabytes meanwhile
        (theirs,) = interleaved(lambda: jax.block_until_ready(derivative(there)), rounds=1)
    return {"events": n_events, "evercast_seconds": ours, "plain_seconds": theirs, "ratio": theirs / ours}


def peak_megabytes(which: str, n_events: int) -> float:
    """Return the growth of the peak memory of a process of its own, beyond its stores, in MB."""
    command = [sys.executable, __file__, "--events", str(n_events), "--memory-of", which]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def grow(which: str, n_events: int) -> float:
    """Evaluate gradient and Hessian (ours) or gradient (others) in this process; return the growth in MB."""
    chosen, theta = model(n_events), point()
    with jax.enable_x64(new_val=True):
        jax.block_until_ready(jnp.ones(2) + 1.0)
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew; that of getrusage is inherited
        before = peak_kilobytes()
        if which == "evercast":
            fast = Likelihood(chosen).fast
            fast.value_and_gradient(theta)
            fast.expand(theta)
        else:
            function = peer_like if which == "toolkit" else plain
            jax.block_until_ready(function(chosen.channels[0].events)(jnp.asarray(theta)))
    return (peak_kilobytes() - before) / 1024


def peak_kilobytes() -> int:
    """Return the largest resident memory of this process since the peak was reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def memory(n_events: int) -> dict[str, float]:
    """Return peak memory beyond the stores; what compilation takes, seen at few events, is subtracted."""
    result: dict[str, float] = {"events": n_events}
    small = 8192
    for which, many in (("evercast", n_events), ("toolkit", min(n_events, 50_000)), ("plain", min(n_events, 50_000))):
        growth = peak_megabytes(which, many) - peak_megabytes(which, small)
        result[f"{which}_megabytes"] = growth
        result[f"{which}_kilobytes_per_event"] = 1024 * growth / (many - small)
    return result


def minimisations(n_events: int, *, numeric: bool) -> dict[str, float]:
    """Return times of one minimisation each; the minima agree first."""
    likelihood = Likelihood(model(n_events, normalised=True))
    start = point() * np.where(np.arange(N_PARAMETERS + 1) == 0, 1.0, 0.5)
    box = {"lower": likelihood.lower, "upper": likelihood.upper, "free": ~likelihood.fixed}

    def newton() -> float:
        return minimise(likelihood, start=start, **box).value

    def minuit(*, with_gradient: bool) -> float:
        gradient = likelihood.gradient if with_gradient else None
        found = Minuit(likelihood.twice_nll, start, grad=gradient, name=likelihood.names)
        found.errordef, found.limits = Minuit.LEAST_SQUARES, list(zip(box["lower"], box["upper"], strict=True))
        found.migrad(ncall=100_000)
        return float(found.fval)

    newton()
    clocks, values = [], []
    for run in (
        newton,
        lambda: minuit(with_gradient=True),
        *([lambda: minuit(with_gradient=False)] if numeric else []),
    ):
        began = time.process_time()
        values.append(run())
        clocks.append(time.process_time() - began)
    np.testing.assert_allclose(values, values[0], atol=TOLERANCE, rtol=0)
    result = {"events": n_events, "evercast_seconds": clocks[0], "minuit_seconds": clocks[1],
              "ratio": clocks[1] / clocks[0], "minuit_above_evercast": values[1] - values[0]}  # fmt: skip
    if numeric:
        result |= {"minuit_numeric_seconds": clocks[2], "ratio_numeric": clocks[2] / clocks[0]}
    return result


def scans(n_events: int, *, n_points: int, n_minuit: int) -> dict[str, float]:
    """Return times a point of a profile scan of mu; Minuit does some of the points, each starting at the one before."""
    likelihood = Likelihood(model(n_events, normalised=True))
    best = fit(likelihood)
    values = np.linspace(best.theta[0] - 0.2, best.theta[0] + 0.2, n_points)
    began = time.process_time()
    found = Profile(likelihood, "mu", best=best).scan(values)
    ours = (time.process_time() - began) / n_points
    minuit = Minuit(likelihood.twice_nll, best.theta, grad=likelihood.gradient, name=likelihood.names)
    minuit.errordef, minuit.limits = Minuit.LEAST_SQUARES, list(zip(likelihood.lower, likelihood.upper, strict=True))
    minuit.fixed["mu"] = True
    chosen = np.argsort(np.abs(values - best.theta[0]), kind="stable")[:n_minuit]
    began, theirs = time.process_time(), []
    for value in values[chosen]:
        minuit.values["mu"] = value
        theirs.append(float(minuit.migrad(ncall=100_000).fval) - best.twice_nll)
    each = (time.process_time() - began) / n_minuit
    np.testing.assert_allclose(found.t[chosen], theirs, atol=TOLERANCE, rtol=0)
    return {"events": n_events, "points": n_points, "evercast_seconds_a_point": ours, "minuit_points": n_minuit,
            "minuit_seconds_a_point": each, "ratio": each / ours}  # fmt: skip


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
    fast, slow = interleaved(mine, theirs, rounds=3)
    return {"evercast_seconds": fast, "pyhf_seconds": slow, "ratio": slow / fast}


@click.command()
@click.option("--events", "n_events", type=int, default=20_000, show_default=True)
@click.option("--full", is_flag=True, help="Minuit with numeric gradients too: minutes")
@click.option("--memory-of", type=click.Choice(["evercast", "toolkit", "plain"]), hidden=True)
@click.option("--json", "as_json", is_flag=True)
def main(*, n_events: int, full: bool, memory_of: str | None, as_json: bool) -> None:
    """Compare evercast with plain formulations; the results are compared before the times."""
    if memory_of:
        click.echo(grow(memory_of, n_events))
        return
    document = workspace()
    few = min(n_events, 50_000)
    results = {
        "value and gradient, 4 processes x 50 parameters": gradients(few),
        **({"the same, evercast alone": alone(n_events)} if n_events > few else {}),
        "Hessian": hessians(min(n_events, 3000)),
        "peak memory beyond the stores": memory(n_events),
        "minimisation, 51 parameters": minimisations(min(n_events, 4000), numeric=full),
        "profile scan, 51 parameters": scans(min(n_events, 3000), n_points=50, n_minuit=50 if full else 3),
        "CLs, pyhf numpy + SLSQP": upper_tests(document, "scipy"),
        "CLs, pyhf numpy + Minuit": upper_tests(document, "minuit"),
    }
    if as_json:
        click.echo(json.dumps(results, indent=1))
        return
    for name, numbers in results.items():
        click.echo(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in numbers.items()))


if __name__ == "__main__":
    main()
