from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from toys import ARCHITECTURE

from evercast.errors import IntegrityError
from evercast.networks.architecture import Architecture, Weights, concatenate_members
from evercast.networks.mlp import Mlp, initial_layers
from evercast.networks.numpy_evaluate import numpy_logits


def _network(architecture: Architecture, *, seed: int = 1) -> Mlp:
    layers = initial_layers(architecture, seed=seed)
    return Mlp(
        mean=jnp.float32([120.0, 0.5]),
        scale=jnp.float32([15.0, 0.3]),
        layers=layers,
        activation=architecture.activation,
    )


@pytest.mark.parametrize("activation", ["silu", "relu", "tanh", "gelu"])
def test_the_network_agrees_with_the_reference_semantics(activation: str) -> None:
    """float32 against float64, 4 layers of width 64: rounding of about 1e-7 a layer."""
    architecture = replace(ARCHITECTURE, activation=activation, width=64, depth=4)
    network = _network(architecture)
    rng = np.random.default_rng(1)
    values = rng.normal([120.0, 0.5], [15.0, 0.3], (2000, 2))
    expected = numpy_logits(architecture, network.to_weights(), values)
    found = np.asarray(network(jnp.asarray(values, dtype=jnp.float32)))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert np.std(expected) > 0.1


def test_the_reference_semantics_are_the_written_formula() -> None:
    architecture = Architecture(observables=("x",), width=2, depth=1, activation="silu")
    weights = Weights(
        mean=np.float32([1.0]),
        scale=np.float32([2.0]),
        weight=(np.float32([[1.0], [-3.0]]), np.float32([[0.5, 0.25]])),
        bias=(np.float32([0.0, 1.0]), np.float32([-0.125])),
    )
    h = (5.0 - 1.0) / 2.0
    hidden = [z / (1.0 + np.exp(-z)) for z in (h, -3.0 * h + 1.0)]
    expected = 0.5 * hidden[0] + 0.25 * hidden[1] - 0.125
    np.testing.assert_allclose(numpy_logits(architecture, weights, np.array([[5.0]])), [expected], rtol=1e-14)


def test_the_start_depends_on_the_seed_alone() -> None:
    one, again, other = (initial_layers(ARCHITECTURE, seed=seed) for seed in (5, 5, 6))
    for a, b, c in zip(one.weight, again.weight, other.weight, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)


def test_the_start_keeps_the_variance() -> None:
    architecture = Architecture(observables=("x", "y"), width=256, depth=3, activation="relu")
    layers = initial_layers(architecture, seed=1)
    assert np.var(np.asarray(layers.weight[1])) == pytest.approx(2.0 / 256, rel=0.05)


def test_weights_survive_the_way_through_the_module() -> None:
    weights = _network(ARCHITECTURE).to_weights()
    again = Mlp.from_weights(weights, activation="silu").to_weights()
    for (name, one), (_, two) in zip(weights.named(), again.named(), strict=True):
        np.testing.assert_array_equal(one, two, err_msg=name)


def test_members_of_blocks_are_put_one_after_the_other() -> None:
    networks = [Weights.stack([_network(ARCHITECTURE, seed=seed).to_weights()]).reshape(1, 1) for seed in (1, 2, 3)]
    whole = concatenate_members(networks)
    assert whole.axes() == (3, 1)
    np.testing.assert_array_equal(whole.at(1, 0).weight[0], networks[1].weight[0][0, 0])


def test_an_architecture_comes_back_from_json() -> None:
    assert Architecture.from_json(ARCHITECTURE.to_json()) == ARCHITECTURE


@pytest.mark.parametrize(
    "change",
    [
        {"width": 0}, {"width": True}, {"depth": "2"}, {"activation": "swish"}, {"observables": ["x", "x"]},
        {"observables": []}, {"output": "score"}, {"dropout": 0.1}, {"kind": "flow"},
    ],
)  # fmt: skip
def test_an_architecture_that_is_not_understood_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(IntegrityError) as caught:
        Architecture.from_json(ARCHITECTURE.to_json() | change)
    assert caught.value.code == "weights.architecture"
