"""Which numbers of the PDG scheme there are, and which of their particles cannot be in a final state.

The numbering scheme is that of the Review of Particle Physics, chapter 45.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["is_known", "is_undecayed", "listed_codes"]

_FUNDAMENTAL: Final = frozenset(
    {*range(1, 9), *range(11, 19), *range(21, 26), *range(32, 43), *range(51, 61), 110, 990}
)
_UNDECAYED: Final = frozenset(
    {
        6, 7, 8, 15, 17, 18, 23, 24, 25, 32, 33, 34, 35, 36, 37,
        *range(1000001, 1000007), *range(2000001, 2000007), 1000021, 1000023, 1000025, 1000035, 1000037,
    }
)  # fmt: skip
"""Top quarks, heavy bosons, tau leptons, and superpartners that decay or hadronise at once."""
_SHOWN: Final = 8


def is_known(pdg: int) -> bool:
    """Return whether the numbering scheme has such a number.

    Example:
        >>> [is_known(code) for code in (13, -211, 1000022, 1000020040, 0, 99, 5000, 7777)]
        [True, True, True, True, False, False, False, False]
    """
    size = abs(pdg)
    if size in _FUNDAMENTAL:
        return True
    if size >= 1_000_000_000:
        return size < 1_100_000_000 and size // 10_000 % 1000 <= size // 10 % 1000
    if size >= 1_000_000:  # excited states, superpartners, technicolour, other new particles, and hadrons of them
        return size < 10_000_000
    return _is_hadron(size)


def _is_hadron(size: int) -> bool:
    if size < 100:
        return False
    first, second, third, spin = (size // place % 10 for place in (1000, 100, 10, 1))
    quarks = [first, second, third] if first else [second, third]
    if first and third == 0:  # a diquark
        return 0 < second <= first <= 6 and spin in (1, 3)
    return all(0 < quark <= 6 for quark in quarks) and (spin > 0 or size in (130, 310))


def is_undecayed(pdg: int) -> bool:
    """Return whether a particle cannot be in a final state: it decays at once, or its quark would make hadrons of it.

    Light quarks and gluons may: they are the final state of an event record without a parton shower.

    Example:
        >>> [is_undecayed(code) for code in (24, 511, 5122, 411, 1000005, 1000022, 211, 5, 13)]
        [True, True, True, True, True, False, False, False, False]
    """
    size = abs(pdg)
    if size in _UNDECAYED:
        return True
    heavy = {4, 5, 6} & {size // place % 10 for place in (1000, 100, 10)}
    return 100 < size < 1_000_000 and bool(heavy) and _is_hadron(size)


def listed_codes(codes: Iterable[int]) -> str:
    """Return some of the numbers as text, with how many more there are."""
    found = sorted(codes, key=lambda code: (abs(code), code))
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(map(str, found[:_SHOWN])) + more
