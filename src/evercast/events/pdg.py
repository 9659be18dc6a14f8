"""Electric charges from PDG Monte Carlo numbers."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

__all__ = ["charge_of"]

_UP, _DOWN = 2.0 / 3.0, -1.0 / 3.0
_FUNDAMENTAL = np.zeros(100)
_FUNDAMENTAL[[1, 3, 5, 7]] = _DOWN
_FUNDAMENTAL[[2, 4, 6, 8]] = _UP
_FUNDAMENTAL[[11, 13, 15, 17]] = -1.0
_FUNDAMENTAL[[24, 34, 37]] = 1.0
_SUSY = {17: 0.0, 34: 0.0}


def charge_of(pdg: Int64[np.ndarray, " items"]) -> Float64[np.ndarray, " items"]:
    """Return the charge in units of e, from the PDG numbering scheme (Review of Particle Physics, ch. 45).

    Leptons, quarks, bosons, hadrons by their quark content, nuclei, and the superpartners 1000001 to 2000015 and
    charginos.

    Example:
        >>> import numpy as np
        >>> charge_of(np.array([13, -11, 22, 211, -321, 2212, 511, 1000020040])).tolist()
        [-1.0, 1.0, 0.0, 1.0, -1.0, 1.0, 0.0, 2.0]
    """
    kinds, where = np.unique(pdg, return_inverse=True)
    charges = np.array([np.sign(kind) * _charge(abs(int(kind))) for kind in kinds], dtype=np.float64)
    return charges[where] if len(kinds) else np.zeros(0)


def _charge(number: int) -> float:
    if number < 100:
        return float(_FUNDAMENTAL[number])
    if number > 1_000_000_000:
        return float(number // 10_000 % 1000)
    if number // 1_000_000 in (1, 2) and number % 1_000_000 < 100:
        return _SUSY.get(number % 1_000_000, float(_FUNDAMENTAL[number % 1_000_000]))
    return _hadron_charge([number // place % 10 for place in (1000, 100, 10)])


def _hadron_charge(quarks: list[int]) -> float:
    """Return the charge of a hadron from the digits of its quarks; a meson has none in the first place."""
    charge = [0.0 if quark == 0 else _UP if quark % 2 == 0 else _DOWN for quark in quarks]
    if quarks[0]:
        return float(round(sum(charge)) if quarks[2] else round(sum(charge), 6))
    if quarks[1] and quarks[2]:
        return float(round(charge[1] - charge[2]) if quarks[1] % 2 == 0 else round(charge[2] - charge[1]))
    return 0.0
