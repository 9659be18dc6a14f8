"""What the history of an event says: heavy hadrons and taus for the flavour of jets, and what comes from no hadron.

All of it is vectorised over the particles of many events. A particle knows its (first) mother; that is enough for
decays, where the mother is one particle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import awkward as ak
import numpy as np
from jaxtyping import Bool, Float64, Int64

from evercast.errors import InvalidInput

__all__ = [
    "HEAVY_FLAVOUR",
    "PROMPT",
    "TRUTH_COLUMNS",
    "Record",
    "has_history",
    "heavy_flavour",
    "is_hadron",
    "no_heavy_flavour",
    "prompt",
    "truth_column",
]

HEAVY_FLAVOUR: Final = "heavy_flavour"
PROMPT: Final = "prompt"
TRUTH_COLUMNS: Final[Mapping[str, str]] = MappingProxyType(
    {
        HEAVY_FLAVOUR: "b and c hadrons before they decay weakly, and taus that decay to hadrons",
        PROMPT: "electrons, muons and photons that come from no hadron",
    }
)
"""Collections that need the history of an event, and what they hold."""

_PROMPT: Final = (11, 13, 22)
_BOTTOM, _CHARM, _TAU, _TAU_NEUTRINO = 5, 4, 15, 16
_HADRONS: Final = (100, 10_000_000)
_NEW_PARTICLES: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Particles of some events with their history, one event after the other.

    Args:
        count: particles of each event.
        pdg: of all particles.
        mother: index among all particles of the first mother; -1 without one, as beams are.
        final: whether a particle is of the final state.
        momentum: px, py, pz, energy in GeV.
    """

    count: Int64[np.ndarray, " events"]
    pdg: Int64[np.ndarray, " particles"]
    mother: Int64[np.ndarray, " particles"]
    final: Bool[np.ndarray, " particles"]
    momentum: Float64[np.ndarray, "particles 4"]


def is_hadron(pdg: Int64[np.ndarray, " particles"]) -> Bool[np.ndarray, " particles"]:
    """Return which numbers of the PDG scheme are hadrons of quarks; hadrons of new particles are not among them.

    Example:
        >>> is_hadron(np.array([511, -5122, 5, 2203, 22, 310, 1000005])).tolist()
        [True, True, False, False, False, True, False]
    """
    size = np.abs(pdg)
    quarks = (size // 10 % 10 > 0) & (size // 100 % 10 > 0)
    new = (size >= _NEW_PARTICLES) & (size // _NEW_PARTICLES % 10 < 9)
    return np.asarray(quarks & (size >= _HADRONS[0]) & (size < _HADRONS[1]) & ~new, dtype=np.bool_)


def _open(pdg: Int64[np.ndarray, " particles"], quark: int) -> Bool[np.ndarray, " particles"]:
    """Return which are hadrons with a quark of this flavour, and not with it and its antiquark."""
    size = np.abs(pdg)
    digits = [size // place % 10 for place in (10, 100, 1000)]
    hidden = (digits[2] == 0) & (digits[0] == digits[1])
    there = (digits[0] == quark) | (digits[1] == quark) | (digits[2] == quark)
    return np.asarray(is_hadron(pdg) & there & ~hidden, dtype=np.bool_)


def has_history(record: Record) -> bool:
    """Return whether hadrons that decayed stand in the record; a record of the final state alone has none."""
    return bool((is_hadron(record.pdg) & (record.mother >= 0) & ~record.final).any())


def heavy_flavour(record: Record) -> ak.Array:
    """Return the heavy hadrons and taus: (events, items) with pdg, flavour, px, py, pz and energy in GeV.

    A b hadron is the last of its chain, a c hadron too, and a tau counts where it does not decay to an electron or a
    muon; the momentum of a tau is that of its visible decay products.
    """
    bottom, charm = _open(record.pdg, _BOTTOM), _open(record.pdg, _CHARM)
    charm &= ~bottom
    tau = (np.abs(record.pdg) == _TAU) & ~record.final
    flavour = np.select([bottom, charm, tau], [_BOTTOM, _CHARM, _TAU], 0)
    child = record.mother >= 0
    for kind in (bottom, charm, tau):
        repeated = record.mother[child & kind]
        flavour[repeated[kind[repeated]]] = 0
    leptons = child & np.isin(np.abs(record.pdg), (11, 13))
    flavour[record.mother[leptons][tau[record.mother[leptons]]]] = 0
    flavour[record.mother < 0] = 0
    momentum = record.momentum.copy()
    neutrino = np.flatnonzero(child & (np.abs(record.pdg) == _TAU_NEUTRINO))
    neutrino = neutrino[tau[record.mother[neutrino]]]
    np.subtract.at(momentum, record.mother[neutrino], record.momentum[neutrino])
    return _chosen(record, flavour > 0, momentum, {"flavour": flavour})


def prompt(record: Record) -> ak.Array:
    """Return electrons, muons and photons of the final state without a hadron among their ancestors.

    Returns: (events, items) with pdg, px, py, pz and energy in GeV, of larger pt first.
    """
    wanted = record.final & np.isin(np.abs(record.pdg), _PROMPT)
    hadron = is_hadron(record.pdg) & (record.mother >= 0)
    items = np.flatnonzero(wanted)
    ancestor = record.mother[items]
    for _ in range(len(record.pdg)):  # a chain is not longer than the record; it usually ends after some ten steps
        if not len(items) or (ancestor < 0).all():
            break
        found = (ancestor >= 0) & hadron[ancestor]
        wanted[items[found]] = False
        items, ancestor = items[~found], ancestor[~found]
        ancestor = np.where(ancestor >= 0, record.mother[ancestor], -1)
    made = _chosen(record, wanted, record.momentum, {})
    order = ak.argsort(np.hypot(made.px, made.py), axis=1, ascending=False, stable=True)
    return made[order]


def _chosen(
    record: Record, keep: Bool[np.ndarray, " particles"], momentum: np.ndarray, more: Mapping[str, np.ndarray]
) -> ak.Array:
    event = np.repeat(np.arange(len(record.count)), record.count)
    fields = {"pdg": record.pdg[keep], **{key: value[keep] for key, value in more.items()}}
    fields |= {name: momentum[keep, place] for place, name in enumerate(("px", "py", "pz", "energy"))}
    return ak.unflatten(ak.Array(fields), np.bincount(event[keep], minlength=len(record.count)))


def truth_column(record: Record, name: str) -> ak.Array:
    """Return one of the collections of `TRUTH_COLUMNS`."""
    return heavy_flavour(record) if name == HEAVY_FLAVOUR else prompt(record)


def no_heavy_flavour(path: str, name: str) -> InvalidInput:
    """Return the error for a file whose events have no history, where the selection needs `name`."""
    return InvalidInput(
        f"the selection needs {name!r} ({TRUTH_COLUMNS[name]}), but the file holds particles of the final state alone: "
        "b hadrons and other particles that decayed are not in it, so that no jet could be a b jet",
        code="sample.no-b-hadrons",
        where=path,
        hint="write the whole event record (HepMC with decayed hadrons), or generate with 'truth: true'",
    )
