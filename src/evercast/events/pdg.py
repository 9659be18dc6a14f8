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
_SUSY_BARE = {24: 1.0, 37: 1.0}


def charge_of(pdg: Int64[np.ndarray, " items"]) -> Float64[np.ndarray, " items"]:
    """Return the charge in units of the positron charge, from the PDG numbering scheme (Review of Particle Physics, ch. 45).

    Leptons, quarks, bosons, hadrons by their quark content, nuclei, and the superpartners 1000001 to 2000015 and charginos.

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
        bare = number % 1_000_000
        return _SUSY_BARE.get(bare, float(_FUNDAMENTAL[bare]) if bare < 17 else 0.0)
    quarks = [number // place % 10 for place in (1000, 100, 10)]
    charge = [_UP if quark % 2 == 0 else _DOWN for quark in quarks]
    if quarks[0] and quarks[1] and quarks[2]:
        return round(sum(charge), 6) + 0.0
    if quarks[0] and quarks[1]:
        return round(charge[0] + charge[1], 6) + 0.0
    if quarks[1] and quarks[2]:
        sign = 1.0 if quarks[1] % 2 == 0 else -1.0
        return round(sign * (charge[1] - charge[2]), 6) + 0.0
    return 0.0
