"""Events of Pythia as HepMC3 text, the whole record with its vertices.

Pythia's record lists the mothers of each particle; a vertex of HepMC has the mothers going in. A particle ends in one
vertex only: the first one that names it as a mother, as in Pythia's own interface.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from evercast.artifacts.files import disk_errors
from evercast.errors import RunFailed
from evercast.events.truth import is_hadron
from evercast.stages.generation.record import event_weights

if TYPE_CHECKING:
    import awkward as ak
    import pyhepmc

__all__ = ["HepmcOutput"]

_STRINGS: Final = frozenset({*range(81, 87), *range(101, 107)})
"""Status of hadrons whose mothers are a range of partons (manual of Pythia, Particle Properties)."""
_BEAM, _DECAYED, _FINAL = 4, 2, 1
_DECAYING_LEPTONS: Final = (13, 15)


class HepmcOutput:
    """A HepMC3 file that is being written; a context.

    Args:
        path: of the new file.
    """

    def __init__(self, path: Path) -> None:
        import pyhepmc  # noqa: PLC0415  (light `import evercast.stages.generation`)

        self._path = path
        self._run = pyhepmc.GenRunInfo()
        self._run.weight_names = ["nominal"]
        self._number = 0

    def __enter__(self) -> HepmcOutput:
        import pyhepmc  # noqa: PLC0415

        with disk_errors(self._path):
            self._writer = pyhepmc.io.WriterAscii(str(self._path), self._run)
        return self

    def __exit__(self, *_: object) -> None:
        with disk_errors(self._path):
            self._writer.close()

    def write(self, events: ak.Array, *, cross_section_pb: float, error_pb: float) -> None:
        """Append the events of a batch; each states the cross-section as it is known by now.

        Raises:
            RunFailed: ``generator.record``, particles of the final state do not hang together with the beams.
            EnvironmentUnfit: ``disk.full``.
        """
        import pyhepmc  # noqa: PLC0415

        for particles, weight in zip(events.prt, event_weights(events), strict=True):
            event = pyhepmc.GenEvent(self._run, pyhepmc.Units.GEV, pyhepmc.Units.MM)
            event.event_number = self._number
            event.weights = [float(weight)]
            stated = pyhepmc.GenCrossSection()
            stated.set_cross_section(cross_section_pb, error_pb, -1, -1)
            event.cross_section = stated
            final = _fill(event, particles)
            found = int((event.numpy.particles.status == _FINAL).sum())
            if found != final:
                raise RunFailed(
                    f"event {self._number}: {final - found} of {final} particles of the final state have no way back "
                    "to the beams in Pythia's record",
                    code="generator.record",
                )
            with disk_errors(self._path):
                self._writer.write(event)
            self._number += 1


def _fill(event: pyhepmc.GenEvent, particles: ak.Array) -> int:
    """Add the particles with their vertices; return how many are of the final state."""
    import awkward as ak  # noqa: PLC0415
    import pyhepmc  # noqa: PLC0415

    columns = {key: ak.to_numpy(particles[key]) for key in ("id", "status", "mother1", "mother2")}
    momentum = np.column_stack([ak.to_numpy(particles.p[key]) for key in ("px", "py", "pz", "e")])
    status = _statuses(columns)
    made = [
        pyhepmc.GenParticle(pyhepmc.FourVector(*row), int(pdg), int(code))
        for row, pdg, code in zip(momentum.tolist(), columns["id"], status, strict=True)
    ]
    for incoming, outgoing in _ordered(_vertices(columns)):
        vertex = pyhepmc.GenVertex()
        for place in incoming:
            vertex.add_particle_in(made[place])
        for place in outgoing:
            vertex.add_particle_out(made[place])
        event.add_vertex(vertex)
    return int((status == _FINAL).sum())


def _vertices(columns: dict[str, np.ndarray]) -> list[tuple[list[int], list[int]]]:
    """Return the vertices as places of what goes in and of what comes out; each place goes into one at most."""
    made: list[tuple[list[int], list[int]]] = []
    ends: dict[int, int] = {}
    for place, mothers in _mothers(columns):
        number = next((ends[mother] for mother in mothers if mother in ends), len(made))
        if number == len(made):
            made.append(([], []))
        for mother in mothers:
            if mother not in ends:
                ends[mother] = number
                made[number][0].append(mother)
        made[number][1].append(place)
    return made


def _ordered(vertices: list[tuple[list[int], list[int]]]) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the vertices so that what goes into one came out of an earlier one, as readers of HepMC need it.

    The record of Pythia has no circles; where the one end of a particle makes one, what closes it does not go in.
    """
    source = {place: number for number, (_, outgoing) in enumerate(vertices) for place in outgoing}
    waits = [{source[place] for place in incoming if place in source} for incoming, _ in vertices]
    followers: dict[int, list[int]] = {}
    for number, needed in enumerate(waits):
        for one in needed:
            followers.setdefault(one, []).append(number)
    ready = deque(number for number, needed in enumerate(waits) if not needed)
    left = set(range(len(vertices))) - set(ready)
    while ready or left:
        if not ready:
            first = min(left, key=lambda number: (len(waits[number]), number))
            kept = [place for place in vertices[first][0] if source.get(place) not in waits[first]]
            vertices[first][0][:] = kept or vertices[first][0][:1]
            left.discard(first)
            ready.append(first)
        number = ready.popleft()
        yield vertices[number]
        for follower in followers.get(number, ()):
            waits[follower].discard(number)
            if not waits[follower] and follower in left:
                left.discard(follower)
                ready.append(follower)


def _statuses(columns: dict[str, np.ndarray]) -> np.ndarray:
    """Return the status of HepMC: 1 final, 4 beam, 2 decayed hadron or lepton, else Pythia's own."""
    pdg, own, mother = columns["id"].astype(np.int64), columns["status"], columns["mother1"]
    copied = np.zeros(len(pdg), dtype=np.bool_)
    copied[mother[pdg == pdg[mother]]] = True
    may = is_hadron(pdg) | np.isin(np.abs(pdg), _DECAYING_LEPTONS)
    status = np.where(own > 0, _FINAL, np.where(may & ~copied, _DECAYED, np.abs(own)))
    status[1:3] = _BEAM
    return status


def _mothers(columns: dict[str, np.ndarray]) -> Iterator[tuple[int, list[int]]]:
    """Yield the places of the particles that have mothers, and those of their mothers."""
    size = np.abs(columns["status"])
    for place in range(3, len(size)):
        first, second = int(columns["mother1"][place]), int(columns["mother2"][place])
        if first <= 0 and second <= 0:
            continue
        if second in (0, first):
            yield place, [first]
        elif first < second and int(size[place]) in _STRINGS:
            yield place, list(range(first, second + 1))
        else:
            yield place, [mother for mother in (first, second) if mother > 0]
