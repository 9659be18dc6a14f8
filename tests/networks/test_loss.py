import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import expit
from toys import ARCHITECTURE

from evercast.networks.loss import weighted_cross_entropy
from evercast.networks.mlp import Layers, Mlp, initial_layers


def _sample(events: int = 64) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(6)
    return rng.normal(size=(events, 2)), rng.integers(0, 2, events).astype(float), rng.normal(1.0, 1.0, events)


def test_loss_is_the_cross_entropy_of_the_score() -> None:
    logits = np.linspace(-4.0, 4.0, 9)
    labels = (np.arange(9) % 2).astype(float)
    weights = np.linspace(-1.0, 2.0, 9)
    score = expit(logits)
    expected = np.sum(weights * -(labels * np.log(score) + (1 - labels) * np.log1p(-score)))
    found = weighted_cross_entropy(*(jnp.asarray(a, dtype=jnp.float32) for a in (logits, labels, weights)))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_loss_is_finite_where_the_score_would_round_to_one() -> None:
    found = weighted_cross_entropy(jnp.float32([200.0, -200.0]), jnp.float32([0.0, 1.0]), jnp.float32([1.0, 1.0]))
    assert float(found) == 400.0


def test_gradient_agrees_with_finite_differences() -> None:
    """In float64: central differences with step h are off by O(h^2) and by rounding / h, together below 1e-8 here."""
    values, labels, weights = _sample()
    with jax.enable_x64(True):
        layers = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), initial_layers(ARCHITECTURE, seed=1))

        def loss(now: Layers) -> jax.Array:
            network = Mlp(mean=jnp.zeros(2), scale=jnp.ones(2), layers=now, activation="silu")
            return weighted_cross_entropy(network(jnp.asarray(values)), jnp.asarray(labels), jnp.asarray(weights))

        slope = jax.grad(loss)(layers)
        rng = np.random.default_rng(2)
        for _ in range(5):
            direction = jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape)), layers)
            ahead, behind = (
                loss(jax.tree.map(lambda a, d, step=step: a + step * d, layers, direction)) for step in (1e-5, -1e-5)
            )
            along = sum(jnp.sum(s * d) for s, d in zip(jax.tree.leaves(slope), jax.tree.leaves(direction), strict=True))
            np.testing.assert_allclose(along, (ahead - behind) / 2e-5, rtol=1e-7, atol=1e-7)


def test_signed_weights_have_their_minimum_at_the_true_ratio() -> None:
    """One bin, process weights 3 and -1 (sum 2), reference 1: the best constant logit is log 2."""
    labels, weights = jnp.float32([1.0, 1.0, 0.0]), jnp.float32([3.0, -1.0, 1.0])
    slope = jax.grad(lambda z: weighted_cross_entropy(jnp.full(3, z), labels, weights))
    assert abs(float(slope(jnp.float32(np.log(2.0))))) < 1e-6
    assert float(slope(jnp.float32(0.0))) < 0.0
