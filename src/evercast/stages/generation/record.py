"""Events of Pythia as columns: particles of the final state, heavy flavour, and particles that come from no hadron."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from evercast.events.truth import Record, heavy_flavour, prompt

if TYPE_CHECKING:
    import awkward as ak

__all__ = ["event_schema", "event_table", "event_weights", "history"]

_MOMENTUM: Final = ("px", "py", "pz", "energy")
_WEIGHT: Final = pa.field("weight", pa.float64(), nullable=False)


def _collection(name: str, *integers: str) -> pa.Field:
    numbers = [pa.field(one, pa.int32(), nullable=False) for one in integers]
    momentum = [pa.field(one, pa.float64(), nullable=False) for one in _MOMENTUM]
    element = pa.field("element", pa.struct(numbers + momentum), nullable=False)
    return pa.field(name, pa.list_(element), nullable=False)


_PARTICLES: Final = _collection("particles", "pdg")
_TRUTH: Final = (_collection("heavy_flavour", "pdg", "flavour"), _collection("prompt", "pdg"))


def event_schema(*, truth: bool) -> pa.Schema:
    """Return the columns of the events of a generator."""
    return pa.schema([_PARTICLES, *(_TRUTH if truth else ()), _WEIGHT])


def event_weights(events: ak.Array) -> np.ndarray:
    """Return the weights (events,)."""
    import awkward as ak  # noqa: PLC0415  (light `import evercast.stages.generation`)

    return np.asarray(ak.to_numpy(events.info.weights[:, 0]), dtype=np.float64)


def event_table(events: ak.Array, keep_pdg: tuple[int, ...], *, truth: bool) -> pa.Table:
    """Return the final-state particles (GeV), with the history where `truth` asks for it, and the event weights."""
    particles = events.prt
    keep = particles.status > 0
    if keep_pdg:
        identity = abs(particles.id)
        listed = identity == abs(keep_pdg[0])
        for pdg in keep_pdg[1:]:
            listed = listed | (identity == abs(pdg))
        keep = keep & listed
    final = particles[keep]
    columns = [_lists(_PARTICLES, final, [final.id, final.p.px, final.p.py, final.p.pz, final.p.e])]
    if truth:
        record = history(events)
        for kind, items in zip(_TRUTH, (heavy_flavour(record), prompt(record)), strict=True):
            columns.append(_lists(kind, items, [items[field.name] for field in kind.type.value_type]))
    return pa.Table.from_arrays([*columns, pa.array(event_weights(events))], schema=event_schema(truth=truth))


def _lists(kind: pa.Field, items: ak.Array, values: list[ak.Array]) -> pa.ListArray:
    import awkward as ak  # noqa: PLC0415  (light `import evercast.stages.generation`)

    fields = list(kind.type.value_type)
    arrays = [
        pa.array(np.asarray(ak.to_numpy(ak.flatten(value))), type=field.type)
        for value, field in zip(values, fields, strict=True)
    ]
    offsets = np.concatenate(([0], np.cumsum(ak.to_numpy(ak.num(items))))).astype(np.int32)
    structs = pa.StructArray.from_arrays(arrays, fields=fields)
    return pa.ListArray.from_arrays(pa.array(offsets), structs, type=kind.type)


def history(events: ak.Array) -> Record:
    """Return the particles of the events with their first mothers; entry 0 of Pythia's record, the system, has none."""
    import awkward as ak  # noqa: PLC0415  (light `import evercast.stages.generation`)

    particles = events.prt
    count = ak.to_numpy(ak.num(particles)).astype(np.int64)
    flat = ak.flatten(particles)
    mother = ak.to_numpy(flat.mother1).astype(np.int64)
    start = np.repeat(np.concatenate(([0], np.cumsum(count)[:-1])), count)
    momentum = np.column_stack([ak.to_numpy(part) for part in (flat.p.px, flat.p.py, flat.p.pz, flat.p.e)])
    return Record(
        count=count,
        pdg=ak.to_numpy(flat.id).astype(np.int64),
        mother=np.where(mother > 0, start + mother, -1),
        final=np.asarray(ak.to_numpy(flat.status) > 0),
        momentum=momentum.astype(np.float64),
    )
