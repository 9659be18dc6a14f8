"""T2 with learned ratios: networks learn S, B, the interfering sum SBI and NI against a reference, and give t(mu).

Measured with fold seeds 7, 8, 9: mu_hat 1.0007, 1.0029, 1.0056, largest difference in t where t < 4 0.05, 0.11, 0.22.
What is left is the noise of the optimisation; one per mille of coherent shift in the ratio of NI moves mu_hat by 0.004.
"""

from collections.abc import Callable
from dataclasses import dataclass

import interference as toy
import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar

from evercast.networks.architecture import Architecture, Weights
from evercast.networks.calibration import Normalisation, normalisation
from evercast.networks.dataset import Events, mixture, training_set
from evercast.networks.evaluation import ensemble_log_ratio
from evercast.networks.folds import CrossFitting
from evercast.networks.training import NetworkName, train_networks
from evercast.plan.seeds import derive_seed
from evercast.spec.model import Training

pytestmark = pytest.mark.slow

EVENTS = 100_000
MEMBERS = 4
FOLDS = CrossFitting(folds=4, seed=7)
ARCHITECTURE = Architecture(observables=("x",), width=32, depth=2, activation="silu")
OPTIONS = Training(epochs=8, batch=2048, learning_rate=1e-2, patience=None, validation_fraction=0.05)
DENSITIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "S": toy.signal, "B": toy.background, "SBI": toy.interfering, "NI": toy.other
}  # fmt: skip
REFERENCE = {"NI": 1.0}  # the widest density: every ratio to it is bounded
# basis S, SBI, B of arXiv:2412.01600: mu S + sqrt(mu) I + B with I = SBI - S - B
COEFFICIENTS: dict[str, Callable[[float], float]] = {
    "S": lambda mu: mu - np.sqrt(mu), "SBI": np.sqrt, "B": lambda mu: 1.0 - np.sqrt(mu), "NI": lambda _: 1.0
}  # fmt: skip
YIELDS = {"S": toy.LAMBDA_S, "SBI": toy.LAMBDA_SBI, "B": toy.LAMBDA_B, "NI": toy.LAMBDA_NI}


def drawn(density: Callable[[np.ndarray], np.ndarray], *, sample: int) -> Events:
    """Events at equal steps of the cumulative distribution: the sample itself has next to no statistical error."""
    grid = np.linspace(-9.0, 9.0, 200_001)
    steps = 0.5 * (density(grid)[1:] + density(grid)[:-1])
    cumulative = np.concatenate([[0.0], np.cumsum(steps)]) / np.sum(steps)
    x = np.interp((np.arange(EVENTS) + 0.5) / EVENTS, cumulative, grid)
    event = np.arange(EVENTS, dtype=np.uint64) + np.uint64(sample << 32)
    return Events(observables=x[:, None], weight=np.ones(EVENTS), event=event)


@dataclass(frozen=True, kw_only=True)
class Learned:
    """Log ratio of a process on the Asimov points and on fresh events of the reference; its mean over the reference."""

    log_ratio: np.ndarray
    fresh: np.ndarray
    normalisation: Normalisation


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    return np.linspace(-8.0, 8.0, 4001)


@pytest.fixture(scope="module")
def fresh() -> np.ndarray:
    """Events of the reference, drawn at random, that no network has seen."""
    return np.random.default_rng(17).normal(-0.5, 1.3, 50_000)


@pytest.fixture(scope="module")
def learned(points: np.ndarray, fresh: np.ndarray) -> dict[str, Learned]:
    samples = {name: drawn(density, sample=index) for index, (name, density) in enumerate(DENSITIES.items())}
    reference = mixture(samples, REFERENCE)
    found = {}
    for process in DENSITIES:
        events = training_set(samples[process], reference, names=("x",))
        names = [
            NetworkName(member=member, fold=fold, seed=derive_seed("T2", process, member, fold))
            for member in range(MEMBERS)
            for fold in range(FOLDS.folds)
        ]
        networks = train_networks(
            events, names, architecture=ARCHITECTURE, options=OPTIONS, cross_fitting=FOLDS, strategy="map"
        )
        weights = Weights.stack([network.weights for network in networks]).reshape(MEMBERS, FOLDS.folds)
        own = ensemble_log_ratio(ARCHITECTURE, weights, reference.observables, FOLDS.fold_of(reference.event))
        norm = normalisation(own.log_ratio, reference.weight)
        data, other = (
            ensemble_log_ratio(ARCHITECTURE, weights, x[:, None], None).log_ratio - np.log(norm.mean)
            for x in (points, fresh)
        )
        found[process] = Learned(log_ratio=data, fresh=other, normalisation=norm)
    return found


@pytest.fixture(scope="module")
def twice_nll(points: np.ndarray, learned: dict[str, Learned]) -> Callable[[float], float]:
    """-2 ln L(mu) with learned ratios on exact Asimov data of mu = 1: points that weigh as much as their step."""
    weight = toy.intensity(points, 1.0) * (points[1] - points[0])

    def value(mu: float) -> float:
        expected = {name: factor(mu) * YIELDS[name] for name, factor in COEFFICIENTS.items()}
        ratio = sum(expected[name] * np.exp(learned[name].log_ratio) for name in expected)
        return float(2.0 * (sum(expected.values()) - np.sum(weight * np.log(ratio))))

    return value


def test_learned_t_follows_the_exact_one(twice_nll: Callable[[float], float]) -> None:
    """max |t_learned - t_exact| < 0.3 where t < 4: the tolerance set for this toy."""
    best = minimize_scalar(twice_nll, bounds=(0.5, 1.5), method="bounded", options={"xatol": 1e-6})
    low = brentq(lambda mu: toy.t(mu) - 4.0, 0.3, 1.0)
    high = brentq(lambda mu: toy.t(mu) - 4.0, 1.0, 2.0)
    values = np.linspace(low, high, 31)
    difference = np.array([twice_nll(mu) - best.fun - toy.t(mu) for mu in values])
    assert np.max(np.abs(difference)) < 0.3
    assert abs(best.x - 1.0) < 0.01


def test_learned_interval_is_the_exact_one(twice_nll: Callable[[float], float]) -> None:
    best = minimize_scalar(twice_nll, bounds=(0.5, 1.5), method="bounded", options={"xatol": 1e-6})
    ends = [brentq(lambda mu: twice_nll(mu) - best.fun - 1.0, *edge) for edge in ((0.6, best.x), (best.x, 1.5))]
    np.testing.assert_allclose(ends, [0.89162, 1.10933], atol=0.01)


@pytest.mark.parametrize("process", DENSITIES)
def test_mean_ratio_over_fresh_reference_events_is_one_within_its_error(
    learned: dict[str, Learned], process: str
) -> None:
    """The normalisation is measured out of fold on the training events; events seen by no network must confirm it."""
    found = normalisation(learned[process].fresh, np.ones(len(learned[process].fresh)))
    assert abs(found.mean - 1.0) < 3.0 * found.error
    assert found.error < 0.01


@pytest.mark.parametrize("process", DENSITIES)
def test_mean_ratio_is_near_one_before_it_is_normalised(learned: dict[str, Learned], process: str) -> None:
    assert abs(learned[process].normalisation.mean - 1.0) < 0.01


@pytest.mark.parametrize("process", DENSITIES)
def test_learned_ratio_is_the_exact_one_in_the_bulk(
    points: np.ndarray, learned: dict[str, Learned], process: str
) -> None:
    total = sum(REFERENCE.values())
    reference = sum(share * DENSITIES[name](points) for name, share in REFERENCE.items()) / total
    bulk = DENSITIES[process](points) > 0.02
    exact = np.log(DENSITIES[process](points) / reference)
    assert np.max(np.abs(learned[process].log_ratio - exact)[bulk]) < 0.1
