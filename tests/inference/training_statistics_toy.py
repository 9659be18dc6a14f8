"""The toy that tells ensemble noise from training statistics (arXiv:2505.19156).

Signal N(1, 1), 200 events, on a background N(0, 1), 2000 events; the ratio of the two is learned by logistic
regression on (1, x, x^2) from 4000 events of each. `run` gives all numbers at any size; at full size (the defaults)
it takes some ten seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evercast.inference.training_statistics import Spread, drawn_members, spread_of_fits

SIGNAL, BACKGROUND = 200.0, 2000.0
GRID = np.linspace(-5.0, 6.0, 500)


def columns(x: np.ndarray) -> np.ndarray:
    """(..., 3): 1, x, x^2."""
    return np.stack([np.ones_like(x), x, x**2], axis=-1)


def density(mean: float) -> np.ndarray:
    """Of N(mean, 1) on the grid, with sum 1."""
    shape = np.exp(-0.5 * (GRID - mean) ** 2)
    return shape / shape.sum()


ASIMOV = SIGNAL * density(1.0) + BACKGROUND * density(0.0)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Events of both classes."""

    x: np.ndarray
    label: np.ndarray

    @classmethod
    def draw(cls, events: int, *, seed: int) -> Sample:
        rng = np.random.default_rng(seed)
        x = np.concatenate([rng.normal(1.0, 1.0, events), rng.normal(0.0, 1.0, events)])
        return cls(x=x, label=np.repeat([1.0, 0.0], events))


def balanced(label: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weights with sum 1/2 in each class."""
    sums = np.where(label > 0.5, np.sum(weight[label > 0.5]), np.sum(weight[label < 0.5]))
    return 0.5 * weight / sums


def logistic(sample: Sample, weight: np.ndarray) -> np.ndarray:
    """Coefficients of the regression with these weights, each class with the total 1/2, by Newton's method."""
    features, share, found = columns(sample.x), balanced(sample.label, weight), np.array([-0.5, 1.0, 0.0])
    for _ in range(12):
        score = 1.0 / (1.0 + np.exp(-(features @ found)))
        gradient = (share * (score - sample.label)) @ features
        step = np.linalg.solve((features * (share * score * (1.0 - score))[:, None]).T @ features, gradient)
        found = found - step
        if np.max(np.abs(step)) < 1e-9:
            break
    return found


def log_ratio(coefficients: np.ndarray) -> np.ndarray:
    """On the grid, of one or several regressions."""
    return coefficients @ columns(GRID).T


def mean_ratio(logs: np.ndarray) -> np.ndarray:
    """Log of the mean ratio of several members, (members, grid) -> (grid,)."""
    return np.log(np.mean(np.exp(logs), axis=0))


def signal_strength(log: np.ndarray) -> float:
    """Minimum of -ln L in mu on the exact Asimov data, the ratio normalised to E_B[r] = 1; Newton's method."""
    ratio = np.exp(log)
    ratio = ratio / np.sum(density(0.0) * ratio)
    mu = 1.0
    for _ in range(50):
        part = SIGNAL * ratio / (mu * SIGNAL * ratio + BACKGROUND)
        step = (SIGNAL - np.sum(ASIMOV * part)) / np.sum(ASIMOV * part**2)
        mu -= step
        if abs(step) < 1e-12:
            break
    return float(mu)


def data_sigma(log: np.ndarray) -> float:
    """From the second derivative of -ln L at mu = 1."""
    part = SIGNAL * np.exp(log) / (SIGNAL * np.exp(log) + BACKGROUND)
    return float(1.0 / np.sqrt(np.sum(ASIMOV * part**2)))


@dataclass(frozen=True, kw_only=True)
class Result:
    """Spread over training sets of the ensemble's fit, and the estimates from single sets, averaged over sets."""

    truth: Spread
    members_drawn: float
    single_members: float


def run(*, sets: int = 80, members: int = 50, events: int = 4000, draws: int = 200, seed: int = 1) -> Result:
    """Train `members` Poisson(1) replicas on each of `sets` training sets and fit them in the three ways."""
    fits, noise, single = [], [], []
    for number in range(sets):
        sample = Sample.draw(events, seed=seed * 100_000 + number)
        rng = np.random.default_rng([seed, number])
        logs = log_ratio(
            np.array([logistic(sample, rng.poisson(1.0, len(sample.x)).astype(float)) for _ in range(members)])
        )
        fits.append(signal_strength(mean_ratio(logs)))
        drawn = drawn_members(members, processes=1, draws=draws, seed=number)[:, 0]
        noise.append(
            spread_of_fits(
                lambda draw, logs=logs, drawn=drawn: signal_strength(mean_ratio(logs[drawn[draw]])), draws
            ).sigma
        )
        single.append(spread_of_fits(lambda member, logs=logs: signal_strength(logs[member]), members).sigma)
    truth = spread_of_fits(fits.__getitem__, sets)
    return Result(truth=truth, members_drawn=float(np.mean(noise)), single_members=float(np.mean(single)))
