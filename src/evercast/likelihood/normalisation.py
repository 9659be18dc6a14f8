"""E_ref[r_j g_j(alpha)] over a grid of each nuisance parameter: what Z divides out, and how well it is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.intensity import NormalisationPoint, normalisation
from evercast.likelihood.model import UnbinnedChannelModel

__all__ = ["NormalisationScan", "normalisation_grid"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalisationScan:
    """Normalisation of the components of a channel along one parameter, the others at their initial values.

    Args:
        channel: its name.
        parameter: the one that is varied; None: all that morphs follow, together.
        alphas: values, in units of the width of the parameter, added to its initial value.
        points: per value one entry per component.
    """

    channel: str
    parameter: str | None
    alphas: tuple[float, ...]
    points: tuple[tuple[NormalisationPoint, ...], ...]


def normalisation_grid(
    likelihood: Likelihood, *, alphas: Sequence[float] = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)
) -> tuple[NormalisationScan, ...]:
    """Return E_ref[r_j g_j(alpha)] of every channel with reference events.

    There is one scan per parameter that a morph follows, and one in which all move together, where products of morphs
    lose their normalisation first.

    Args:
        likelihood: its unbinned channels are scanned.
        alphas: values of each parameter, in units of its width.
    """
    scans = []
    for channel in likelihood.model.channels:
        if not isinstance(channel, UnbinnedChannelModel) or channel.reference is None:
            continue
        followed = [anchor.parameter for anchor in channel.anchors]
        followed += [name for morph in channel.polynomials for term in morph.terms for name, _ in term]
        names = list(dict.fromkeys(followed))
        for parameter in (*names, None) if len(names) > 1 else names:
            moved = names if parameter is None else [parameter]
            points = tuple(normalisation(channel, likelihood.names, _at(likelihood, moved, x)) for x in alphas)
            scans.append(
                NormalisationScan(channel=channel.name, parameter=parameter, alphas=tuple(alphas), points=points)
            )
    return tuple(scans)


def _at(likelihood: Likelihood, moved: Sequence[str], alpha: float) -> np.ndarray:
    theta = likelihood.initial.copy()
    for name in moved:
        index = likelihood.index(name)
        theta[index] += alpha * likelihood.model.parameters[index].width
    return theta
