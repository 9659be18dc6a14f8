from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from toys import OPTIONS

from evercast.errors import InvalidInput
from evercast.networks.architecture import Architecture, Weights
from evercast.networks.dataset import Events, morphing_set
from evercast.networks.evaluation import ensemble_coefficients
from evercast.networks.folds import CrossFitting
from evercast.networks.loss import morphing_cross_entropy, weighted_cross_entropy
from evercast.networks.numpy_evaluate import numpy_outputs
from evercast.networks.polynomial import Point, log_morph, polynomial_terms, term_powers
from evercast.networks.training import NetworkName, train_networks

BOTH = [{"jes": 1.0}, {"jes": -1.0}]
FOLDS = CrossFitting(folds=2, seed=3)


def test_terms_are_the_powers_of_each_parameter_and_the_products_that_were_simulated() -> None:
    points: list[Point] = [*BOTH, {"res": 1.0}, {"res": -1.0}, {"jes": 1.0, "res": 1.0}]
    terms = polynomial_terms(points, degree=2)
    assert terms == (
        (("jes", 1),), (("jes", 2),), (("res", 1),), (("res", 2),), (("jes", 1), ("res", 1)),
    )  # fmt: skip
    np.testing.assert_array_equal(term_powers(terms, points)[1], [-1.0, 1.0, 0.0, 0.0, 0.0])
    np.testing.assert_array_equal(term_powers(terms, points)[4], np.ones(5))


@pytest.mark.parametrize(
    ("points", "degree", "message"),
    [
        (BOTH, 3, "degree 3 in 'jes' needs 3 different values of it besides 0; found -1, 1"),
        ([{"jes": 1.0}], 2, "degree 2 in 'jes' needs 2 different values of it besides 0; found 1"),
        ([{"jes": 1.0, "res": 1.0}], 1, "1 base points determine 1 of the 3 terms"),
        ([], 1, "0 base points determine 0 of the 0 terms"),
    ],
)
def test_a_degree_that_the_points_do_not_determine_is_refused(points: list[Point], degree: int, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        polynomial_terms(points, degree=degree)
    assert caught.value.code == "morphing.degree"


def test_the_loss_at_one_point_is_that_of_a_classifier() -> None:
    rng = np.random.default_rng(1)
    outputs = rng.normal(size=(50, 1)).astype(np.float32)
    category = rng.integers(0, 2, 50).astype(np.int32)
    weight = rng.uniform(size=50).astype(np.float32)
    found = morphing_cross_entropy(*map(jnp.asarray, (outputs, np.full((1, 1), 2.0, np.float32), category, weight)))
    label = category.astype(np.float32)
    expected = weighted_cross_entropy(*map(jnp.asarray, (2.0 * outputs[:, 0], label, weight)))
    assert float(found) == pytest.approx(float(expected), rel=1e-6)


def test_nominal_events_count_at_every_point_and_varied_ones_at_their_own() -> None:
    outputs = np.array([[0.5, 0.1], [0.5, 0.1]], np.float32)
    powers = np.array([[1.0, 1.0], [-1.0, 1.0]], np.float32)
    weight = np.array([2.0, 3.0], np.float32)
    logits = outputs[0] @ powers.T
    category = np.array([0, 2], np.int32)
    found = morphing_cross_entropy(*map(jnp.asarray, (outputs, powers, category, weight)))
    nominal = 2.0 * np.sum(np.logaddexp(0.0, logits))
    varied = 3.0 * np.logaddexp(0.0, -logits[1])
    assert float(found) == pytest.approx((nominal + varied) / 2.0, rel=1e-6)


def _sample(mean: float, width: float, *, events: int, seed: int) -> Events:
    values = np.random.default_rng(seed).normal(mean, width, (events, 1))
    identity = np.arange(events, dtype=np.uint64) + np.uint64(seed << 24)
    return Events(observables=values, weight=np.ones(events), event=identity)


SHIFT, SCALE = 0.3, 0.15


@pytest.fixture(scope="module")
def learned() -> tuple[Architecture, Weights]:
    """A network of the polynomial of N(0, 1) in a shift of its mean and a scale of its width, 2 x 4 base points."""
    points: list[Point] = [{"shift": 1.0}, {"shift": -1.0}, {"scale": 1.0}, {"scale": -1.0}]
    count = 40_000
    varied = {
        str(point): _sample(
            SHIFT * point.get("shift", 0.0),
            1.0 + SCALE * point.get("scale", 0.0),
            events=count,
            seed=number + 2,
        )
        for number, point in enumerate(points)
    }
    terms = polynomial_terms(points, degree=2)
    events = morphing_set(_sample(0.0, 1.0, events=count, seed=1), varied, term_powers(terms, points), names=["x"])
    architecture = Architecture(observables=("x",), width=16, depth=2, activation="silu", terms=terms)
    names = [NetworkName(member=0, fold=fold, seed=fold) for fold in range(2)]
    options = replace(OPTIONS, epochs=12, batch=1024)
    networks = train_networks(
        events, names, architecture=architecture, options=options, cross_fitting=FOLDS, strategy="map"
    )
    return architecture, Weights.stack([network.weights for network in networks]).reshape(1, 2)


X = np.linspace(-1.8, 1.8, 13)[:, None]


def _truth(x: np.ndarray, mean: float, width: float) -> np.ndarray:
    return 0.5 * x**2 - 0.5 * ((x - mean) / width) ** 2 - np.log(width)


@pytest.mark.parametrize(
    ("point", "mean", "width"),
    [
        ({"shift": 1.0}, SHIFT, 1.0),
        ({"shift": -1.0}, -SHIFT, 1.0),
        ({"shift": 0.5}, 0.5 * SHIFT, 1.0),
        ({"scale": 1.0}, 0.0, 1.0 + SCALE),
        ({"scale": -1.0}, 0.0, 1.0 - SCALE),
    ],
    ids=["shift up", "shift down", "between two base points", "width up", "width down"],
)
def test_the_morph_follows_the_closed_form(
    learned: tuple[Architecture, Weights], point: Point, mean: float, width: float
) -> None:
    """ln g of a Gaussian is exact; 40 000 events fix a linear logit to 0.01 in the middle and some 0.05 at 1.8 sigma.

    A shift is a polynomial of degree 2 in alpha exactly, so the morph also holds between the base points.
    """
    architecture, networks = learned
    coefficients = ensemble_coefficients(architecture, networks, X, None)
    found = log_morph(coefficients, architecture.terms, point)
    np.testing.assert_allclose(found, _truth(X[:, 0], mean, width), atol=0.09)


def test_coefficients_of_simulation_are_those_of_the_networks_that_left_the_event_out(
    learned: tuple[Architecture, Weights],
) -> None:
    architecture, networks = learned
    fold = np.arange(len(X)) % 2
    found = ensemble_coefficients(architecture, networks, X, fold)
    both = np.array([numpy_outputs(architecture, networks.at(0, k), X) for k in range(2)])
    np.testing.assert_allclose(found, both[fold, np.arange(len(X))], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ensemble_coefficients(architecture, networks, X, None), both.mean(axis=0), atol=1e-5)


def test_the_architecture_says_which_terms_the_outputs_are(learned: tuple[Architecture, Weights]) -> None:
    architecture = learned[0]
    body = architecture.to_json()
    assert body["output"] == "coefficients"
    assert body["terms"][1] == [["shift", 2]]
    assert Architecture.from_json(body) == architecture
