"""The loss: weighted binary cross entropy on logits, with weights that may be negative."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["weighted_cross_entropy"]


def weighted_cross_entropy(
    logits: Float[Array, " events"], labels: Float[Array, " events"], weights: Float[Array, " events"]
) -> Float[Array, ""]:
    """Return sum_i w_i [log(1 + exp(z_i)) - y_i z_i], natural logarithm.

    With both classes of equal total weight its expectation is least where z(x) = log p_1(x) / p_0(x) (arXiv:1506.02169,
    theorem 1); as the loss is linear in the weights this holds for signed weights too, as long as the densities they
    stand for are positive. It is computed from the logit, never through the score, which rounds to 0 or 1 in float32.

    Args:
        logits: z.
        labels: y, 1 for the process and 0 for the reference.
        weights: w, any sign; 0 for padding.
    """
    return jnp.sum(weights * (jax.nn.softplus(logits) - labels * logits))
