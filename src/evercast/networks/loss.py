"""The loss: weighted binary cross entropy on logits, with weights that may be negative."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

__all__ = ["morphing_cross_entropy", "weighted_cross_entropy"]


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


def morphing_cross_entropy(
    outputs: Float[Array, "events terms"],
    powers: Float[Array, "points terms"],
    category: Int[Array, " events"],
    weights: Float[Array, " events"],
) -> Float[Array, ""]:
    """Return the mean over the base points p of the cross entropy of the events varied to p against the nominal ones.

    The logit at p is z_p(x) = sum_A delta_A(x) powers_pA. A nominal event counts at every base point, a varied one at
    its own. The expectation is least where z_p(x) = ln g(x | alpha_p) at all base points, if the polynomial allows it
    (arXiv:2505.05544).

    Args:
        outputs: delta_A(x).
        powers: prod_k alpha_pk^n_Ak.
        category: 0 for nominal events, p + 1 for those varied to base point p.
        weights: any sign; 0 for padding.
    """
    logits = outputs @ powers.T
    point = jnp.arange(powers.shape[0])[None, :]
    counts = jnp.where(category[:, None] > 0, category[:, None] == point + 1, True)  # noqa: FBT003 - a value, no option
    label = (category > 0).astype(logits.dtype)[:, None]
    each = jnp.where(counts, jax.nn.softplus(logits) - label * logits, 0.0)
    return jnp.sum(weights * jnp.sum(each, axis=1)) / powers.shape[0]
