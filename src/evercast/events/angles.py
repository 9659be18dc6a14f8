"""Angles of the decay X -> Z1 Z2 -> (l1 l2)(l3 l4), as in arXiv:1001.3396, Fig. 1.

Four-momenta are arrays of shape (events, 4) with the columns px, py, pz, energy in GeV. l1 and l3 are the negative
leptons. All angles are computed from sums and scalar products in double precision with `arctan2`, so nothing is lost
near 0 and pi.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

__all__ = ["boost_to_rest", "cos_helicity", "cos_theta_star", "phi1_plane", "phi_planes"]

Momenta = Float64[np.ndarray, "events 4"]
Vectors = Float64[np.ndarray, "events 3"]
Numbers = Float64[np.ndarray, " events"]

_BEAM = np.array([0.0, 0.0, 1.0])


def boost_to_rest(momentum: Momenta, frame: Momenta) -> Momenta:
    """Return `momentum` in the rest frame of `frame`, axes parallel to those of the laboratory.

    With P, E, M of the frame: e' = (e E - p.P) / M and p' = p + P ((p.P) / (M (M + E)) - e / M). A frame without mass
    has no rest frame and gives NaN.

    Example:
        >>> import numpy as np
        >>> boost_to_rest(np.array([[0.0, 0.0, 3.0, 5.0]]), np.array([[0.0, 0.0, 3.0, 5.0]]))[0].round(12).tolist()
        [0.0, 0.0, 0.0, 4.0]
    """
    p, e = momentum[:, :3], momentum[:, 3]
    big_p, big_e = frame[:, :3], frame[:, 3]
    with np.errstate(invalid="ignore", divide="ignore"):
        mass = np.sqrt(big_e**2 - _dot(big_p, big_p))
        along = _dot(p, big_p)
        energy = (e * big_e - along) / mass
        factor = along / (mass * (mass + big_e)) - e / mass
        return np.column_stack([p + big_p * factor[:, None], energy])


def cos_theta_star(z1: Momenta, z2: Momenta) -> Numbers:
    """Return the cosine of the angle of Z1 to the beam axis, in the rest frame of Z1 + Z2.

    The beam axis is the z axis of the laboratory, the usual choice where the four-lepton system has transverse
    momentum.
    """
    return _unit(boost_to_rest(z1, z1 + z2)[:, :3])[:, 2]


def cos_helicity(lepton: Momenta, parent: Momenta, other: Momenta) -> Numbers:
    """Return cos theta_1 or cos theta_2: in the rest frame of `parent`, minus the cosine between `lepton` and `other`.

    Args:
        lepton: the negative lepton of the decay of `parent`.
        parent: Z1 (or Z2).
        other: Z2 (or Z1).
    """
    direction = _unit(boost_to_rest(lepton, parent)[:, :3])
    return -_dot(direction, _unit(boost_to_rest(other, parent)[:, :3]))


def phi_planes(l1: Momenta, l2: Momenta, l3: Momenta, l4: Momenta) -> Numbers:
    """Return Phi, the angle between the decay planes of Z1 -> l1 l2 and Z2 -> l3 l4, in (-pi, pi].

    With unit normals n1 = l1 x l2, n2 = l3 x l4 in the rest frame of the four leptons and q1 = l1 + l2:
    Phi = sign(q1 . (n1 x n2)) arccos(-n1 . n2).
    """
    frame = l1 + l2 + l3 + l4
    first, second, third, fourth = (boost_to_rest(item, frame)[:, :3] for item in (l1, l2, l3, l4))
    normal_1, normal_2 = np.cross(first, second), np.cross(third, fourth)
    along = _unit(first + second)
    return _wrapped(_dot(along, np.cross(normal_1, normal_2)), -_dot(normal_1, normal_2))


def phi1_plane(l1: Momenta, l2: Momenta, l3: Momenta, l4: Momenta) -> Numbers:
    """Return Phi1, the angle from the plane of the beam and Z1 to the decay plane of Z1 -> l1 l2, in (-pi, pi].

    With n_sc = z x q1 in the rest frame of the four leptons: Phi1 = sign(q1 . (n1 x n_sc)) arccos(n1 . n_sc).
    """
    frame = l1 + l2 + l3 + l4
    first, second = (boost_to_rest(item, frame)[:, :3] for item in (l1, l2))
    momentum = first + second
    normal = np.cross(first, second)
    scattering = np.cross(np.broadcast_to(_BEAM, momentum.shape), momentum)
    return _wrapped(_dot(_unit(momentum), np.cross(normal, scattering)), _dot(normal, scattering))


def _wrapped(sine: Numbers, cosine: Numbers) -> Numbers:
    """Return the angle in (-pi, pi]; where both are zero there is no plane and the angle is NaN."""
    angle = np.arctan2(sine, cosine)
    angle = np.where(angle == -np.pi, np.pi, angle)
    return np.where((sine == 0) & (cosine == 0), np.nan, angle)


def _dot(a: Vectors, b: Vectors) -> Numbers:
    product: Numbers = np.einsum("ij,ij->i", a, b)
    return product


def _unit(vector: Vectors) -> Vectors:
    with np.errstate(invalid="ignore", divide="ignore"):
        unit: Vectors = vector / np.sqrt(_dot(vector, vector))[:, None]
    return unit
