"""Events of two toy measurements whose densities are known in closed form, and those densities.

``interference`` (category 0): amplitudes of a signal and a background, A_S = sqrt(mu 400 N(x; 1, 0.8)) and
A_B = exp(i phi) sqrt(300 N(x; -0.2, 1)) with cos phi = -0.5, and 2000 events N(x; -0.5, 1.3) of another process.
Simulated at mu = 0, 1 and 4; every other mu is a combination of those three.

``pair`` (category 1): mu x 200 signal events N(x; 1, 1) on 2000 background events N(x; 0, 1), and the background with
everything that may be wrong with it: another mean, another width, another model.

All seeds are fixed, so the files are the same on every machine.

    python make_events.py --beside observed.csv
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

Density = Callable[[np.ndarray], np.ndarray]

SIMULATED_EVENTS = {"background": 120_000, "other": 80_000, "signal": 40_000, "mu": 40_000, "background_": 80_000}
"""By the beginning of the name, first match of the longest."""
RATE_S, RATE_B, RATE_OTHER, COS_PHI = 400.0, 300.0, 2000.0, -0.5
RATE_SIGNAL, RATE_BACKGROUND = 200.0, 2000.0
SUPPORT = (-9.0, 9.0)


def gauss(x: np.ndarray, mean: float, width: float) -> np.ndarray:
    return np.exp(-0.5 * ((x - mean) / width) ** 2) / (width * np.sqrt(2 * np.pi))


def intensity(x: np.ndarray, mu: float) -> np.ndarray:
    """Expected events per unit of x of signal, background and their interference."""
    s, b = mu * RATE_S * gauss(x, 1.0, 0.8), RATE_B * gauss(x, -0.2, 1.0)
    return s + b + 2 * COS_PHI * np.sqrt(s * b)


def rate(mu: float) -> float:
    """Expected events of signal, background and their interference: the overlap of two square roots of Gaussians."""
    variance = 0.8**2 + 1.0**2
    overlap = np.sqrt(2 * 0.8 * 1.0 / variance) * np.exp(-(1.2**2) / (4 * variance))
    return mu * RATE_S + RATE_B + 2 * COS_PHI * np.sqrt(mu * RATE_S * RATE_B) * float(overlap)


def other_model(x: np.ndarray) -> np.ndarray:
    """The background of another model: a twelfth of it is narrower and shifted."""
    return 0.92 * gauss(x, 0.0, 1.0) + 0.08 * gauss(x, 0.4, 0.9)


INTERFERENCE: Mapping[str, tuple[float, Density]] = {
    "mu0": (rate(0.0), lambda x: intensity(x, 0.0) / rate(0.0)),
    "mu1": (rate(1.0), lambda x: intensity(x, 1.0) / rate(1.0)),
    "mu4": (rate(4.0), lambda x: intensity(x, 4.0) / rate(4.0)),
    "other": (RATE_OTHER, lambda x: gauss(x, -0.5, 1.3)),
}
PAIR: Mapping[str, tuple[float, Density]] = {
    "signal": (RATE_SIGNAL, lambda x: gauss(x, 1.0, 1.0)),
    "background": (RATE_BACKGROUND, lambda x: gauss(x, 0.0, 1.0)),
    "background_mean_up": (1.02 * RATE_BACKGROUND, lambda x: gauss(x, 0.03, 1.0)),
    "background_mean_down": (0.985 * RATE_BACKGROUND, lambda x: gauss(x, -0.03, 1.0)),
    "background_width_up": (RATE_BACKGROUND, lambda x: gauss(x, 0.0, 1.03)),
    "background_width_down": (RATE_BACKGROUND, lambda x: gauss(x, 0.0, 0.975)),
    "background_model": (RATE_BACKGROUND, other_model),
}
"""Sample -> expected events and normalised density."""


def draw(density: Density, *, events: int, generator: np.random.Generator) -> np.ndarray:
    """Return `events` values of x by acceptance and rejection under a broad Gaussian."""
    grid = np.linspace(*SUPPORT, 20_001)
    highest = 1.02 * float(np.max(density(grid) / gauss(grid, 0.2, 2.0)))
    kept = np.zeros(0)
    while len(kept) < events:
        x = generator.normal(0.2, 2.0, size=2 * events)
        accepted = generator.random(len(x)) * highest * gauss(x, 0.2, 2.0) < density(x)
        kept = np.concatenate([kept, x[accepted & (np.abs(x) < SUPPORT[1])]])
    return kept[:events]


def simulated(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return x and category of the events of a simulated sample."""
    samples = [*INTERFERENCE, *PAIR]
    _, density = {**INTERFERENCE, **PAIR}[name]
    events = SIMULATED_EVENTS[max((key for key in SIMULATED_EVENTS if name.startswith(key)), key=len)]
    x = draw(density, events=events, generator=np.random.default_rng([7, samples.index(name)]))
    return x, np.full(len(x), float(name in PAIR))


def observed() -> tuple[np.ndarray, np.ndarray]:
    """Return x and category of the observed events: mu = 1, nothing wrong with the simulation."""
    generator = np.random.default_rng([7, 1000])
    values, categories = [], []
    for category, (table, names) in enumerate(((INTERFERENCE, ("mu1", "other")), (PAIR, ("signal", "background")))):
        for name in names:
            mean, density = table[name]
            values.append(draw(density, events=generator.poisson(mean), generator=generator))
            categories.append(np.full(len(values[-1]), float(category)))
    order = generator.permutation(sum(map(len, values)))
    return np.concatenate(values)[order], np.concatenate(categories)[order]


def write(path: Path, x: np.ndarray, category: np.ndarray) -> None:
    rows = (f"{value!r},{kind:.0f}\n" for value, kind in zip(x.tolist(), category.tolist(), strict=True))
    path.write_text("x_reco,category\n" + "".join(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", type=Path, required=True, help="all files are written to the folder of this one")
    folder = parser.parse_args().beside.parent
    for name in (*INTERFERENCE, *PAIR):
        write(folder / f"{name}.csv", *simulated(name))
    write(folder / "observed.csv", *observed())


if __name__ == "__main__":
    main()
