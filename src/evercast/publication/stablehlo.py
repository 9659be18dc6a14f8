"""The networks of an ensemble as a StableHLO module by `jax.export`: a convenience copy for CPU and CUDA.

The number of events is symbolic. JAX promises to read such a file for six months, the StableHLO inside is portable for
five years (docs of jax.export and of StableHLO compatibility); neither promises equal numbers, so a copy is compared
with the weights before it is used, and weights with the architecture stay the original.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64

from evercast.artifacts.bundle_ensembles import BundleNetworks
from evercast.artifacts.bundle_networks import PolynomialNetworks, RatioNetworks
from evercast.errors import IntegrityError
from evercast.networks.architecture import Architecture, Weights
from evercast.networks.combination import Combine
from evercast.networks.mlp import activation_function

if TYPE_CHECKING:
    from jax.export import Exported

__all__ = ["LARGEST_WEIGHTS", "PLATFORMS", "describe", "evaluate_stablehlo", "export_ensemble", "read_stablehlo"]

PLATFORMS: Final = ("cpu", "cuda")
LARGEST_WEIGHTS: Final = 256 << 20
"""Bytes of weights up to which this copy is made: they are constants of the module, which XLA compiles as a whole."""
_LARGEST_FILE: Final = 1 << 30
_LARGEST_TENSOR: Final = 1 << 28
"""Numbers of one tensor, its symbolic length counted as 1."""
_SYMBOL: Final = "events"
_OPERATIONS: Final = frozenset(
    {
        "builtin.module", "func.call", "func.func", "func.return", "stablehlo.abs", "stablehlo.add", "stablehlo.and",
        "stablehlo.broadcast_in_dim", "stablehlo.case", "stablehlo.clamp", "stablehlo.compare", "stablehlo.concatenate",
        "stablehlo.constant", "stablehlo.convert", "stablehlo.custom_call", "stablehlo.divide", "stablehlo.dot_general",
        "stablehlo.dynamic_broadcast_in_dim", "stablehlo.dynamic_gather", "stablehlo.dynamic_iota",
        "stablehlo.dynamic_reshape", "stablehlo.exponential", "stablehlo.gather", "stablehlo.get_dimension_size",
        "stablehlo.iota", "stablehlo.is_finite", "stablehlo.log", "stablehlo.maximum", "stablehlo.minimum",
        "stablehlo.multiply", "stablehlo.negate", "stablehlo.or", "stablehlo.reduce", "stablehlo.reshape",
        "stablehlo.return", "stablehlo.select", "stablehlo.slice", "stablehlo.sqrt", "stablehlo.subtract",
        "stablehlo.tanh", "stablehlo.transpose",
    }
)  # fmt: skip
"""Arithmetic and shapes; none of them reads anything but its inputs."""
_CALLS: Final = frozenset({"shape_assertion"})
"""The only custom call: the check that there is at least one event."""


def export_ensemble(ensemble: BundleNetworks) -> bytes:
    """Return the serialised module of an ensemble; equal networks give equal bytes with one version of JAX.

    It takes ``observables`` (events, observables) float32 and gives a dict: label -> (events,) log ratios or
    (events, terms) coefficients, float64.
    """
    from jax import export  # noqa: PLC0415 - loaded only where a copy is made or checked

    def evaluate(observables: Array) -> dict[str, Array]:
        return {label: _output(ensemble, label, observables) for label, _ in ensemble.networks()}

    with jax.enable_x64(new_val=True), _without_places():
        (events,) = export.symbolic_shape(_SYMBOL)
        shape = jax.ShapeDtypeStruct((events, len(ensemble.observables)), jnp.float32)  # type: ignore[no-untyped-call]
        exported = export.export(jax.jit(evaluate), platforms=PLATFORMS)(shape)
    return bytes(exported.serialize())


@contextmanager
def _without_places() -> Iterator[None]:
    """Leave files and lines of the program, which are those of this machine, out of what is exported."""
    name = "jax_traceback_in_locations_limit"
    before = getattr(jax.config, name)
    jax.config.update(name, 0)  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        jax.config.update(name, before)  # type: ignore[no-untyped-call]


def _output(ensemble: BundleNetworks, label: str, observables: Array) -> Array:
    one = ensemble.ratios.get(label) or ensemble.polynomials[label]
    networks = one.networks
    outputs = _outputs(networks.architecture, networks.weights, observables).astype(jnp.float64)
    if isinstance(one, PolynomialNetworks):
        return jnp.mean(outputs, axis=(0, 1)) - jnp.asarray(one.constants)
    return _log_ratio(one, outputs[..., 0], ensemble.combine)


def _outputs(
    architecture: Architecture, weights: Weights, observables: Float[Array, "events inputs"]
) -> Float[Array, "members folds events outputs"]:
    activation = activation_function(architecture.activation)
    hidden = (observables - weights.mean[:, :, None]) / weights.scale[:, :, None]
    for layer, (weight, bias) in enumerate(zip(weights.weight, weights.bias, strict=True)):
        product = jnp.matmul(hidden, np.swapaxes(weight, -1, -2), precision=jax.lax.Precision.HIGHEST)
        hidden = product + bias[:, :, None]
        if layer < architecture.depth:
            hidden = activation(hidden)
    return hidden


def _log_ratio(ratio: RatioNetworks, logits: Float[Array, "members folds events"], combine: Combine) -> Array:
    by_fold = jnp.mean(logits, axis=0) if combine == "mean_log_ratio" else _log_mean(logits)
    found = _log_mean(by_fold)
    if ratio.calibration is not None:
        edges, values = (jnp.asarray(numbers) for numbers in (ratio.calibration.edges, ratio.calibration.values))
        found += values[jnp.sum(found[:, None] >= edges, axis=1)]
    return found - ratio.log_norm


def _log_mean(values: Array) -> Array:
    return jax.scipy.special.logsumexp(values, axis=0) - float(np.log(len(values)))


def read_stablehlo(path: Path) -> Exported:
    """Return the module in a file, checked to hold known operations only; nothing is compiled.

    Raises:
        IntegrityError: ``stablehlo.damaged``, this version of JAX cannot read it; ``stablehlo.unsafe``, an operation or
            a custom call that is not of this format, or another signature.
    """
    from jax import export  # noqa: PLC0415

    try:
        size = path.stat().st_size
        if size > _LARGEST_FILE:
            raise _damaged(path, f"it has {size} bytes; at most {_LARGEST_FILE} are read")
        content = path.read_bytes()
    except OSError as err:
        raise _damaged(path, f"it cannot be read: {err.strerror}") from err
    try:
        exported = export.deserialize(bytearray(content))
        found = frozenset(_operations(exported.mlir_module_serialized))
    except _READING_ERRORS as err:
        raise _damaged(path, f"JAX {jax.__version__} does not read it: {str(err)[:200]}") from err
    foreign = sorted(found - _OPERATIONS - {f"call @{name}" for name in _CALLS})
    if foreign:
        raise _unsafe(path, f"it holds {foreign[0]!r}, which is not of this format")
    if len(exported.in_avals) != 1 or exported.nr_devices != 1 or exported.ordered_effects:
        raise _unsafe(path, "it does not take the observables alone, on one device")
    return exported


_READING_ERRORS: Final = (
    ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError, RuntimeError, OverflowError,
    UnicodeDecodeError, NotImplementedError, struct.error,
)  # fmt: skip
"""What the reader of JAX raises on bytes that are none of its files: it is made for files that it wrote."""


def _operations(artifact: bytes) -> Iterator[str]:
    """Yield the names of all operations of a portable artifact, and of what custom calls call."""
    from jaxlib.mlir import ir  # noqa: PLC0415
    from jaxlib.mlir.dialects import stablehlo  # noqa: PLC0415

    names: list[str] = []

    def visit(operation: ir.Operation) -> ir.WalkResult:
        names.append(operation.name)
        shapes = [result.type for result in operation.results if isinstance(result.type, ir.RankedTensorType)]
        if any(_size(shape) > _LARGEST_TENSOR for shape in shapes):
            names.append(f"{operation.name} with more than {_LARGEST_TENSOR} numbers")
        if operation.name == "stablehlo.custom_call":
            names.append(f"call @{ir.StringAttr(operation.attributes['call_target_name']).value}")
        return ir.WalkResult.ADVANCE

    with ir.Context() as context:
        stablehlo.register_dialect(context)
        module = stablehlo.deserialize_portable_artifact(context, artifact)
        module.operation.walk(visit)
    yield from names


def _size(shape: Any) -> int:
    """Return how many numbers a tensor type has, a symbolic length counted as 1."""
    return math.prod(1 if shape.is_dynamic_dim(axis) else shape.get_dim_size(axis) for axis in range(shape.rank))


def evaluate_stablehlo(
    exported: Exported, observables: Float[np.ndarray, "events inputs"], *, where: str = "model.stablehlo"
) -> dict[str, Float64[np.ndarray, "events ..."]]:
    """Return what a module that `read_stablehlo` gave makes of events, by label, on the CPU.

    Args:
        exported: checked.
        observables: rounded to float32 first, as everywhere.
        where: the file, for messages.

    Raises:
        IntegrityError: ``stablehlo.damaged``, it cannot be compiled, or takes or gives something else.
    """
    try:
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            found = exported.call(jnp.asarray(observables.astype(np.float32)))  # type: ignore[no-untyped-call]
    except (ValueError, TypeError, RuntimeError) as err:
        raise _damaged(Path(where), f"it cannot be evaluated: {str(err)[:200]}") from err
    if not isinstance(found, Mapping):
        raise _damaged(Path(where), "it does not give arrays by label")
    return {str(label): np.asarray(values, dtype=np.float64) for label, values in found.items()}


def describe(content: bytes) -> dict[str, object]:
    """Return the versions that a serialised module states and needs."""
    from jax import export  # noqa: PLC0415
    from jaxlib.mlir.dialects import stablehlo  # noqa: PLC0415

    exported = export.deserialize(bytearray(content))
    return {
        "jax": jax.__version__,
        "calling_convention": exported.calling_convention_version,
        "stablehlo": stablehlo.get_current_version(),
        "platforms": list(exported.platforms),
        "symbol": _SYMBOL,
    }


def _damaged(path: Path, problem: str) -> IntegrityError:
    return IntegrityError(
        f"{path.name} is not a StableHLO copy of this format: {problem}",
        code="stablehlo.damaged",
        where=str(path),
        hint="this copy is a convenience: weights and architecture.json are the original",
    )


def _unsafe(path: Path, problem: str) -> IntegrityError:
    return IntegrityError(
        f"{path.name} is not read: {problem}",
        code="stablehlo.unsafe",
        where=str(path),
        hint="do not use it; get the bundle again from where it was published",
    )
