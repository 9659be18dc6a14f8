"""What the likelihoods of the toy analysis say when the densities are exact: no network, no simulated events.

Densities come from make_events.py, integrals from the trapezoidal rule on a fine grid, minima from scipy, and nothing
from evercast. Asimov results use the expected intensity at mu = 1, observed ones the observed events.

    python truth.py                            # the numbers that stand under `expected` in analysis.yaml
    python truth.py --parameters mean tilt     # the same with fewer nuisance parameters

The model of a nuisance parameter a: yields and densities at a = +1 and -1 are those of the varied samples; between and
beyond they follow HistFactory code 4, but for the densities of the likelihood ``polynomial``, which follow the
exponential of the parabola through the logs. The density of the background is divided by its integral at every a.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from make_events import INTERFERENCE, PAIR, RATE_OTHER, SUPPORT, Density, intensity, observed, rate
from scipy.optimize import brentq, minimize

Morph = Callable[[np.ndarray, np.ndarray, float], np.ndarray]

CUT = -1.0
BIN_EDGES = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 9.0)
RATE_S, RATE_B = (1.08, 0.95), (1.05, 0.96)
SHAPE_ONLY = ("width", "model")
BOUNDS_MU, BOUNDS_NUISANCE = (1e-14, 10.0), (-5.0, 5.0)


def code_1(up: float, down: float, a: float) -> float:
    return float(up**a if a >= 0 else down**-a)


def code_4(up: np.ndarray, down: np.ndarray, a: float) -> np.ndarray:
    """u^a above 1, d^-a below -1, between a polynomial with the same value and two derivatives (CERN-OPEN-2012-016)."""
    if a >= 1:
        return up**a
    if a <= -1:
        return down**-a
    lu, ld = np.log(up), np.log(down)
    s0, a0 = (up + down) / 2, (up - down) / 2
    s1, a1 = (up * lu - down * ld) / 2, (up * lu + down * ld) / 2
    s2, a2 = (up * lu**2 + down * ld**2) / 2, (up * lu**2 - down * ld**2) / 2
    coefficients = (
        (15 * a0 - 7 * s1 + a2) / 8,
        (-24 + 24 * s0 - 9 * a1 + s2) / 8,
        (-5 * a0 + 5 * s1 - a2) / 4,
        (12 - 12 * s0 + 7 * a1 - s2) / 4,
        (3 * a0 - 3 * s1 + a2) / 8,
        (-8 + 8 * s0 - 5 * a1 + s2) / 8,
    )
    return 1 + sum(c * a ** (n + 1) for n, c in enumerate(coefficients))


def code_4p(up: np.ndarray, down: np.ndarray, a: float) -> np.ndarray:
    """Shift of a bin: straight lines outside of +-1 with a polynomial between, as pyhf does histosys."""
    if abs(a) >= 1:
        return a * up if a > 0 else -a * down
    return 0.5 * (up - down) * a + (up + down) / 16 * (3 * a**6 - 10 * a**4 + 15 * a**2)


def parabola(up: np.ndarray, down: np.ndarray, a: float) -> np.ndarray:
    """exp of the parabola through ln d, 0 and ln u at a = -1, 0 and 1."""
    return np.exp((np.log(up) - np.log(down)) / 2 * a + (np.log(up) + np.log(down)) / 2 * a**2)


def background() -> Density:
    return PAIR["background"][1]


def varied(name: str) -> tuple[tuple[float, Density], tuple[float, Density]]:
    """Return expected events and density of the background at +1 and -1 of a parameter, in all of x."""
    if name == "tilt":
        return tuple(
            (PAIR["background"][0], lambda x, s=sign: background()(x) * (1 + s * 0.05 * np.tanh(x))) for sign in (1, -1)
        )
    if name == "model":
        return PAIR["background_model"], PAIR["background"]
    return PAIR[f"background_{name}_up"], PAIR[f"background_{name}_down"]


@dataclass(frozen=True)
class Grid:
    """An interval of x with the weights of the trapezoidal rule."""

    x: np.ndarray
    step: np.ndarray

    @staticmethod
    def between(low: float, high: float, points: int = 2001) -> Grid:
        x = np.linspace(low, high, points)
        step = np.full(points, x[1] - x[0])
        step[[0, -1]] /= 2
        return Grid(x, step)

    def of(self, sample: tuple[float, Density]) -> float:
        """Return the expected events of a sample in the interval."""
        return float(sample[0] * (sample[1](self.x) @ self.step))


SR, CR = Grid.between(CUT, SUPPORT[1]), Grid.between(SUPPORT[0], CUT)


def yield_ratios(name: str, region: Grid) -> tuple[float, float]:
    """Return the expected events at +1 and -1 over nominal ones; shape parameters leave every channel's yield alone."""
    if name in SHAPE_ONLY:
        return 1.0, 1.0
    up, down = (region.of(sample) / region.of(PAIR["background"]) for sample in varied(name))
    return up, down


def density_ratios(name: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return p(x | +-1) / p(x | 0) of the background, both normalised in SR."""
    nominal = background()(x) * PAIR["background"][0] / SR.of(PAIR["background"])
    up, down = (events * density(x) / SR.of((events, density)) / nominal for events, density in varied(name))
    return up, down


class Pair:
    """-2 ln L of the unbinned signal region and the counted control region, at theta = (mu, rate_s, rate_b, *names)."""

    def __init__(
        self, names: tuple[str, ...], morph: Morph, *, x: np.ndarray, weight: np.ndarray, count: float
    ) -> None:
        self.names, self.morph, self.weight, self.count = names, morph, weight, count
        self.parameters = ("mu", "rate_s", "rate_b", *names)
        self.signal = PAIR["signal"][1](x) / (SR.of(PAIR["signal"]) / PAIR["signal"][0])
        self.background = background()(x) / (SR.of(PAIR["background"]) / PAIR["background"][0])
        self.on_events = {name: density_ratios(name, x) for name in names}
        self.on_grid = {name: density_ratios(name, SR.x) for name in names}
        self.grid_density = background()(SR.x) / (SR.of(PAIR["background"]) / PAIR["background"][0])
        self.yields = {
            region: {name: yield_ratios(name, grid) for name in names} for region, grid in (("SR", SR), ("CR", CR))
        }

    def rates(self, theta: np.ndarray, region: str) -> tuple[float, float]:
        """Return the expected events of signal and background in a region."""
        grid, alpha = SR if region == "SR" else CR, dict(zip(self.parameters, theta, strict=True))
        signal = alpha["mu"] * grid.of(PAIR["signal"]) * code_1(*RATE_S, alpha["rate_s"])
        factors = [code_4(np.float64(u), np.float64(d), alpha[name]) for name, (u, d) in self.yields[region].items()]
        factors.append(code_4(np.float64(RATE_B[0]), np.float64(RATE_B[1]), alpha["rate_b"]))
        return signal, float(grid.of(PAIR["background"]) * np.prod(factors))

    def __call__(self, theta: np.ndarray) -> float:
        alpha = dict(zip(self.parameters, theta, strict=True))
        signal, other = self.rates(theta, "SR")
        morphed, z = self.background, self.grid_density
        for name in self.names:
            morphed = morphed * self.morph(*self.on_events[name], alpha[name])
            z = z * self.morph(*self.on_grid[name], alpha[name])
        density = signal * self.signal + other * morphed / float(z @ SR.step)
        control = sum(self.rates(theta, "CR"))
        value = signal + other - self.weight @ np.log(density) + control - self.count * np.log(control)
        return 2 * float(value) + float(np.sum(np.square(theta[1:])))


class Interference:
    """-2 ln L of the interference, at theta = (mu,)."""

    parameters = ("mu",)

    def __init__(self, *, x: np.ndarray, weight: np.ndarray) -> None:
        self.x, self.weight = x, weight

    def __call__(self, theta: np.ndarray) -> float:
        mu = float(theta[0])
        density = intensity(self.x, mu) + RATE_OTHER * INTERFERENCE["other"][1](self.x)
        return 2 * (rate(mu) + RATE_OTHER - float(self.weight @ np.log(density)))


class Binned:
    """-2 ln L of bins of SR and of the control region, templates without statistical uncertainty."""

    def __init__(self, names: tuple[str, ...], counts: np.ndarray | None = None) -> None:
        self.parameters = ("mu", "rate_s", "rate_b", *names)
        self.names = names
        self.grids = [CR, *(Grid.between(a, b, 401) for a, b in pairwise(BIN_EDGES))]
        self.signal, self.background = (self._bins(PAIR[name]) for name in ("signal", "background"))
        self.shifts = {name: tuple(self._shift(name, sample) for sample in varied(name)) for name in names}
        self.counts = self.signal + self.background if counts is None else counts

    def _bins(self, sample: tuple[float, Density]) -> np.ndarray:
        return np.array([grid.of(sample) for grid in self.grids])

    def _shift(self, name: str, sample: tuple[float, Density]) -> np.ndarray:
        template = self._bins(sample)
        if name in SHAPE_ONLY:  # every channel keeps its sum
            template[0] = self.background[0]
            template[1:] *= self.background[1:].sum() / template[1:].sum()
        return template - self.background

    def __call__(self, theta: np.ndarray) -> float:
        alpha = dict(zip(self.parameters, theta, strict=True))
        shifted = self.background + sum(code_4p(*self.shifts[name], alpha[name]) for name in self.names)
        background_ = shifted * code_4(np.float64(RATE_B[0]), np.float64(RATE_B[1]), alpha["rate_b"])
        rates = alpha["mu"] * self.signal * code_1(*RATE_S, alpha["rate_s"]) + background_
        return 2 * float(np.sum(rates - self.counts * np.log(rates))) + float(np.sum(np.square(theta[1:])))


def best(nll: Callable[[np.ndarray], float], size: int, *, mu: float | None = None) -> tuple[float, np.ndarray]:
    """Return the least -2 ln L and where it is, with mu free or fixed."""
    start = np.zeros(size)
    start[0] = 1.0 if mu is None else mu
    bounds = [BOUNDS_MU if mu is None else (mu, mu)] + [BOUNDS_NUISANCE] * (size - 1)
    found = minimize(
        nll, start, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-13, "gtol": 1e-7, "maxiter": 500}
    )
    return float(found.fun), found.x


def summary(nll: Callable[[np.ndarray], float], parameters: tuple[str, ...]) -> dict[str, float]:
    """Return the best fit, the interval where t < 1, and the significance sqrt(t(0))."""
    least, theta = best(nll, len(parameters))

    def t(mu: float) -> float:
        return best(nll, len(parameters), mu=mu)[0] - least

    hat = float(theta[0])
    low = brentq(lambda mu: t(mu) - 1, max(hat - 0.6, 1e-6), hat, xtol=1e-5) if t(max(hat - 0.6, 1e-6)) > 1 else 0.0
    high = brentq(lambda mu: t(mu) - 1, hat, hat + 0.6, xtol=1e-5)
    result = {f"{name}_hat": float(value) for name, value in zip(parameters, theta, strict=True)}
    return {**result, "interval_low": low, "interval_high": high, "significance": float(np.sqrt(t(1e-14)))}


def observed_in(category: float, low: float, high: float) -> np.ndarray:
    x, kinds = observed()
    return x[(kinds == category) & (x > low) & (x <= high)]


def interference(*, asimov: bool) -> Interference:
    grid = Grid.between(*SUPPORT, 6001)
    if asimov:
        other = RATE_OTHER * INTERFERENCE["other"][1](grid.x)
        return Interference(x=grid.x, weight=(intensity(grid.x, 1.0) + other) * grid.step)
    x = observed_in(0.0, *SUPPORT)
    return Interference(x=x, weight=np.ones(len(x)))


def pair(names: tuple[str, ...], morph: Morph, *, asimov: bool) -> Pair:
    if asimov:
        intensities = sum(events * density(SR.x) for events, density in (PAIR["signal"], PAIR["background"]))
        count = CR.of(PAIR["signal"]) + CR.of(PAIR["background"])
        return Pair(names, morph, x=SR.x, weight=intensities * SR.step, count=count)
    x = observed_in(1.0, CUT, SUPPORT[1])
    return Pair(names, morph, x=x, weight=np.ones(len(x)), count=len(observed_in(1.0, SUPPORT[0], CUT)))


def binned(names: tuple[str, ...], *, asimov: bool) -> Binned:
    if asimov:
        return Binned(names)
    counts, _ = np.histogram(observed_in(1.0, *SUPPORT), [SUPPORT[0], *BIN_EDGES])
    return Binned(names, counts=counts.astype(float))


ALL = ("mean", "width", "tilt", "model")
ONE_SIDED = ("model",)


def truth(names: tuple[str, ...] = ALL) -> dict[str, dict[str, float]]:
    """Return likelihood -> quantity -> value; those of Asimov data begin with ``expected_``."""
    both_sided = tuple(name for name in names if name not in ONE_SIDED)
    results: dict[str, dict[str, float]] = {}
    for asimov in (True, False):
        models = {
            "amplitudes": interference(asimov=asimov),
            "anchors": pair(names, code_4, asimov=asimov),
            "polynomial": pair(both_sided, parabola, asimov=asimov),
            "binned": binned(names, asimov=asimov),
        }
        for name, model in models.items():
            found = summary(model, model.parameters)
            prefix = "expected_" if asimov else ""
            results.setdefault(name, {}).update({f"{prefix}{key}": value for key, value in found.items()})
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parameters", choices=ALL, nargs="+", default=list(ALL))
    names = parser.parse_args().parameters
    print(json.dumps(truth(tuple(name for name in ALL if name in names)), indent=1))


if __name__ == "__main__":
    main()
