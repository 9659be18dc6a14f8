"""Events of unbinned channels spread over devices, and over processes on several nodes.

Every process makes the same likelihood from the same model, whose event sets may be stores that all can read; each
reads only the rows of its own devices. All then run the same program: sums are reduced over all devices, so every
process has the same -2 ln L and takes the same steps of a minimisation.

    initialise()  # in a SLURM job step with several tasks; nothing else is needed
    likelihood = Likelihood(model, make_source=sharded_source(event_mesh()))

On one machine `event_mesh()` alone spreads the events over its devices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from evercast.errors import EnvironmentUnfit, NumericalFailure
from evercast.likelihood.event_arrays import BLOCK, column_counts
from evercast.likelihood.event_source import EventSource, MakeSource
from evercast.likelihood.model import EventSet
from evercast.likelihood.unbinned_kernel import At, Chunk
from evercast.likelihood.unbinned_sums import Kind, sums_at

__all__ = ["Sharded", "event_mesh", "initialise", "sharded_source"]

_AXIS = "events"


def initialise(
    *, coordinator: str | None = None, n_processes: int | None = None, process: int | None = None, limit: int = 60
) -> None:
    """Join the processes of a job, before anything else of JAX is used, and connect each with all others.

    The connections of a reduction are made by the first one, and a process that comes to it more than 30 s after the
    others, because it reads more rows or compiles longer, would find that they have given up; that limit is fixed in
    the library. So a first reduction of one number per device is made here, where all are at the same place.

    Args:
        coordinator: ``host:port`` of process 0, which listens at that address alone; None: as SLURM (or another
            scheduler known to JAX) says.
        n_processes: of the job; None likewise.
        process: number of this one; None likewise.
        limit: s until all must have come, and after which a silent process ends all.

    Raises:
        EnvironmentUnfit: ``distributed.incomplete``.
    """
    try:
        jax.distributed.initialize(
            coordinator_address=coordinator, num_processes=n_processes, process_id=process,
            coordinator_bind_address=coordinator if process == 0 else None, initialization_timeout=limit,
            heartbeat_timeout_seconds=limit, shutdown_timeout_seconds=limit,
        )  # fmt: skip
    except RuntimeError as err:
        message = f"the processes of the job did not come together: {str(err).splitlines()[0]}"
        raise EnvironmentUnfit(message, code="distributed.incomplete", where=coordinator) from err
    _meet(event_mesh())


def _meet(mesh: Mesh) -> None:
    """Make a reduction over all devices of all processes, which connects them for all reductions to come."""
    one = jax.make_array_from_callback(
        (mesh.size,), NamedSharding(mesh, _spec(_AXIS)), lambda _: np.ones(1, dtype=np.float32)
    )
    total = jax.jit(jnp.sum, out_shardings=NamedSharding(mesh, _spec()))(one)
    total.block_until_ready()


def event_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Return a mesh of devices, one axis: those given, or all of all processes."""
    return Mesh(np.array(jax.devices() if devices is None else list(devices)), (_AXIS,))


def sharded_source(mesh: Mesh) -> MakeSource:
    """Return what spreads event sets over the devices of a mesh."""

    def make(events: EventSet, scale: float) -> EventSource:
        return Sharded(mesh, _spread(mesh, events, scale))

    return make


@dataclass(frozen=True, slots=True, eq=False)
class Sharded:
    """Events of which every device holds equally many, filled with weight 0.

    Args:
        mesh: of the devices.
        arrays: global arrays; the first axis is spread.
    """

    mesh: Mesh
    arrays: Chunk

    def sums(self, kind: Kind, at: At) -> Float[np.ndarray, " numbers"]:
        """Return the sums over all events, the same in every process."""
        everywhere = tuple(np.asarray(values) for values in at)
        return np.asarray(_reduced(kind, self.mesh, self.arrays, everywhere))


@partial(jax.jit, static_argnums=(0, 1))
def _reduced(kind: Kind, mesh: Mesh, arrays: Chunk, at: tuple[Array | np.ndarray, ...]) -> Float[Array, " numbers"]:
    spread, same = _spec(_AXIS), _spec()

    def local(own: Chunk, point: tuple[Array | np.ndarray, ...]) -> Array:
        total: Array = jax.lax.psum(sums_at(kind, own, At(*map(jnp.asarray, point))), _AXIS)  # type: ignore[no-untyped-call]
        return total

    summed = jax.shard_map(local, mesh=mesh, in_specs=(spread, same), out_specs=same, check_vma=False)
    total: Array = summed(arrays, at)
    return total


def _spec(*axes: str) -> PartitionSpec:
    return PartitionSpec(*axes)  # type: ignore[no-untyped-call]  # JAX has no types for it


def _spread(mesh: Mesh, events: EventSet, scale: float) -> Chunk:
    n_events = len(events.weight)
    rows = max(-(-n_events // mesh.size), 1)
    n_anchors, n_terms = column_counts(events)
    sharding = NamedSharding(mesh, _spec(_AXIS))

    def column(values: np.ndarray | None, width: int) -> Array:
        dtype = np.dtype(np.float32) if values is None else values.dtype

        def part(index: tuple[slice, ...] | None) -> np.ndarray:
            first, stop = _rows(index, rows * mesh.size)
            filled = np.zeros((stop - first, width), dtype=dtype)
            if values is not None and first < n_events:
                read = np.asarray(values[first : min(stop, n_events)])
                _refuse_not_finite(read, first)
                filled[: len(read)] = read
            return filled

        return jax.make_array_from_callback((rows * mesh.size, width), sharding, part)

    def weights(index: tuple[slice, ...] | None) -> np.ndarray:
        first, stop = _rows(index, rows * mesh.size)
        read = scale * np.asarray(events.weight[first : min(stop, n_events)], dtype=np.float64)
        _refuse_not_finite(read, first)
        return np.pad(read, (0, stop - first - len(read)))

    with jax.enable_x64(new_val=True):
        return Chunk(
            log_ratio=column(events.log_ratio, events.log_ratio.shape[1]),
            weight=jax.make_array_from_callback((rows * mesh.size,), sharding, weights),
            log_up=column(events.log_up, n_anchors),
            log_down=column(events.log_down, n_anchors),
            coefficients=column(events.coefficients, n_terms),
        )


def _refuse_not_finite(values: np.ndarray, first: int) -> None:
    """Check the rows of one device, a block at a time, as they are read."""
    for start in range(0, len(values), BLOCK):
        bad = ~np.isfinite(values[start : start + BLOCK]).reshape(len(values[start : start + BLOCK]), -1).all(axis=1)
        if bad.any():
            row = first + start + int(np.argmax(bad))
            message = f"event {row} and perhaps others have a log ratio or weight that is not finite"
            raise NumericalFailure(message, code="likelihood.not-finite")


def _rows(index: tuple[slice, ...] | None, n_rows: int) -> tuple[int, int]:
    """Return the first row of a part and the one behind its last; None is the whole array."""
    first, stop, _ = (slice(None) if index is None else index[0]).indices(n_rows)
    return first, stop
