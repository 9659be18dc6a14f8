"""Training with products in bfloat16: close to float32 where it must be, and really another arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import equinox as eqx
import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
from toys import ARCHITECTURE, OPTIONS, toy

from evercast.networks.folds import CrossFitting
from evercast.networks.mlp import Mlp, initial_layers
from evercast.networks.numpy_evaluate import numpy_logits
from evercast.networks.training import NetworkName, TrainedNetwork, train_networks

FOLDS = CrossFitting(folds=2, seed=3)
NAMES = [NetworkName(member=member, fold=0, seed=10 + member) for member in range(3)]
VALUES = jnp.asarray(np.random.default_rng(2).normal(size=(256, 2)), jnp.float32)
DEEP = replace(ARCHITECTURE, depth=3, width=32)


def train(precision: str, *, epochs: int = 12, strategy: str = "map") -> list[TrainedNetwork]:
    return train_networks(
        toy(events=4000), NAMES, architecture=DEEP, options=replace(OPTIONS, precision=precision, epochs=epochs),
        cross_fitting=FOLDS, strategy=strategy,
    )  # fmt: skip


def network(precision: str) -> Mlp:
    return Mlp(
        mean=jnp.zeros(2), scale=jnp.ones(2), layers=initial_layers(DEEP, seed=1), activation="silu",
        precision=precision,
    )  # fmt: skip


def loss(module: Mlp, values: jax.Array) -> jax.Array:
    return jnp.mean(module(values) ** 2)


def test_one_step_differs_by_the_rounding_of_bfloat16() -> None:
    """8 significant bits: 2^-9 relative in each factor of a product, averaged over the terms of a sum."""
    slopes = {name: jax.grad(loss)(network(name), VALUES).layers for name in ("float32", "mixed-bfloat16")}
    outputs = {name: np.asarray(network(name)(VALUES)) for name in slopes}
    distance = np.std(outputs["mixed-bfloat16"] - outputs["float32"]) / np.std(outputs["float32"])
    assert 1e-5 < distance < 2.0**-7
    for exact, mixed in zip(slopes["float32"].weight, slopes["mixed-bfloat16"].weight, strict=True):
        assert mixed.dtype == jnp.float32
        assert float(jnp.linalg.norm(mixed - exact) / jnp.linalg.norm(exact)) < 2.0**-6


def products(precision: str) -> list[str]:
    """Types of the factors of all matrix products of a gradient."""

    def walk(part: jax.extend.core.Jaxpr) -> Iterator[str]:
        for equation in part.eqns:
            if equation.primitive.name == "dot_general":
                yield " ".join(sorted(str(entry.aval.dtype) for entry in equation.invars))
            for inner in equation.params.values():
                if isinstance(inner, jax.extend.core.ClosedJaxpr):
                    yield from walk(inner.jaxpr)

    layers = network(precision).layers
    graph = jax.make_jaxpr(jax.grad(lambda now: loss(eqx.tree_at(lambda m: m.layers, network(precision), now), VALUES)))
    return list(walk(graph(layers).jaxpr))


def test_the_products_between_hidden_layers_are_in_bfloat16_forward_and_backward() -> None:
    """Three layers take two such products forward, and for each one by the weights and one by the inputs."""
    assert set(products("float32")) == {"float32 float32"}
    found = products("mixed-bfloat16")
    assert found.count("bfloat16 bfloat16") == 2 * 3
    assert found.count("float32 float32") == len(found) - 6 == 2 + 3


def test_a_mixed_training_learns_the_same_ratio_and_keeps_its_weights_in_float32() -> None:
    """Members differ by more among themselves than the two precisions do."""
    exact, mixed = train("float32"), train("mixed-bfloat16")
    values = np.stack([np.linspace(-1.5, 1.5, 31), np.zeros(31)], axis=1)
    of_exact, of_mixed = (
        np.array([numpy_logits(DEEP, one.weights, values) for one in networks]) for networks in (exact, mixed)
    )
    assert all(array.dtype == np.float32 for one in mixed for _, array in one.weights.named())
    assert not np.array_equal(of_exact, of_mixed)
    members = np.std(of_exact, axis=0, ddof=1)
    assert np.sqrt(np.mean((of_mixed - of_exact) ** 2)) < np.sqrt(np.mean(members**2))
    for one, other in zip(exact, mixed, strict=True):
        assert abs(one.validation_loss[-1] - other.validation_loss[-1]) < 2e-3


def test_map_and_vmap_agree_in_mixed_precision() -> None:
    """An order of sums moves a value over an edge between two bfloat16 numbers now and then: 2^-8 of one term."""
    for one, other in zip(
        train("mixed-bfloat16", epochs=2), train("mixed-bfloat16", epochs=2, strategy="vmap"), strict=True
    ):
        np.testing.assert_allclose(one.validation_loss, other.validation_loss, rtol=2e-3)
