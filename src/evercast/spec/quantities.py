"""Names of the numbers of a fit that a document may declare under ``expected``."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["OUTCOMES", "declared_quantities"]

OUTCOMES = ("", "expected_")
"""Prefix of the observed results, and of those on Asimov data."""

_OF_THE_INTEREST = ("significance", "interval_low", "interval_high", "limit")


def declared_quantities(parameters: Iterable[str]) -> tuple[str, ...]:
    """Return every name, those of the observed results first.

    ``NAME_hat`` and ``NAME_uncertainty`` for each parameter; ``significance``, the ends ``interval_low`` and
    ``interval_high`` of the interval and the upper ``limit`` of the parameter of interest. With ``expected_`` before it
    a name means the same on Asimov data.

    Args:
        parameters: names of the parameters of interest and the nuisance parameters.

    Example:
        >>> declared_quantities(["mu"])[:3]
        ('mu_hat', 'mu_uncertainty', 'significance')
    """
    names = [f"{name}_{kind}" for name in parameters for kind in ("hat", "uncertainty")] + list(_OF_THE_INTEREST)
    return tuple(f"{prefix}{name}" for prefix in OUTCOMES for name in names)
