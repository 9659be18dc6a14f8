"""ONNX copies of networks, checked before anything evaluates them, and evaluated with numpy.

What was published by a stranger is read as bytes and compared with a short list: the pinned versions, the operators of
`evercast.publication.onnx_graph`, tensors inside the file. Only then is it evaluated, by the few lines of arithmetic
here, every result limited in size; no runtime for ONNX is needed, and none is trusted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from jaxtyping import Float, Float64
from numpy.typing import NDArray
from scipy.special import logsumexp

from evercast.errors import IntegrityError, InvalidInput
from evercast.publication.onnx_graph import INPUT, IR_VERSION, OPERATORS, OPSET

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

__all__ = ["evaluate_onnx", "read_onnx"]

_LARGEST_FILE: Final = (1 << 31) - 1
"""Bytes of a protobuf message, at most."""
_MOST_NODES: Final = 100_000
_LARGEST_RESULT: Final = 1 << 28
"""Numbers in one result: 1 GiB in float32."""
_TYPES: Final = {1: np.float32, 7: np.int64, 11: np.float64}
"""TensorProto.FLOAT, INT64, DOUBLE."""

Tensor = NDArray[np.generic]


def read_onnx(path: Path) -> ModelProto:
    """Return the model in a file, checked to be a plain graph of known operators.

    Raises:
        IntegrityError: ``onnx.damaged`` (missing, no protobuf), ``onnx.unsafe``: external data, an operator, domain,
            function or nested graph that is not of this format, a tensor of another type.
        InvalidInput: ``onnx.version``, another opset or version of the file format.
    """
    from google.protobuf.message import DecodeError  # noqa: PLC0415
    from onnx import ModelProto  # noqa: PLC0415

    try:
        size = path.stat().st_size
        if size > _LARGEST_FILE:
            raise _damaged(path, f"it has {size} bytes, more than a protobuf message can")
        content = path.read_bytes()
    except OSError as err:
        raise _damaged(path, f"it cannot be read: {err.strerror}") from err
    model = ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as err:
        raise _damaged(path, "it is no protobuf message") from err
    _check_versions(model, path)
    _check_safe(model, path)
    return model


def _check_versions(model: ModelProto, path: Path) -> None:
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    if model.ir_version != IR_VERSION or opsets != {"": OPSET}:
        raise InvalidInput(
            f"the ONNX file has IR version {model.ir_version} and the opsets {opsets}; this format has IR version "
            f"{IR_VERSION} and opset {OPSET} of the standard domain",
            code="onnx.version",
            where=str(path),
            hint="a later version of evercast may know it; the weights and architecture.json are the original",
        )


def _check_safe(model: ModelProto, path: Path) -> None:
    graph = model.graph
    if model.functions or model.training_info or graph.sparse_initializer or graph.quantization_annotation:
        raise _unsafe(path, "it holds functions, training steps, sparse or quantised tensors")
    if len(graph.node) > _MOST_NODES:
        raise _unsafe(path, f"it has {len(graph.node)} nodes; at most {_MOST_NODES} are read")
    for node in graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
            domain = f" of the domain {node.domain!r}" if node.domain else ""
            raise _unsafe(path, f"the operator {node.op_type!r}{domain} is not of this format")
        if any(attribute.type not in (2, 7) for attribute in node.attribute):  # INT, INTS
            raise _unsafe(path, f"an attribute of {node.op_type!r} is no whole number")
        if len(node.output) != 1:
            raise _unsafe(path, f"{node.op_type!r} has {len(node.output)} results; expected 1")
    for tensor in graph.initializer:
        if tensor.external_data or tensor.data_location:
            where = {entry.key: entry.value for entry in tensor.external_data}.get("location", "nowhere")
            raise _unsafe(path, f"the tensor {tensor.name!r} is said to lie in another file: {where!r}")
        if tensor.data_type not in _TYPES:
            raise _unsafe(path, f"the tensor {tensor.name!r} has the type {tensor.data_type}")


def evaluate_onnx(
    model: ModelProto,
    observables: Float[np.ndarray, "events inputs"],
    *,
    weights: Mapping[str, Tensor] | None = None,
    where: str = "model.onnx",
) -> dict[str, Float64[np.ndarray, "events ..."]]:
    """Return the outputs of a model that `read_onnx` gave, by name.

    Args:
        model: checked.
        observables: rounded to float32 first, as everywhere.
        weights: tensors by name, where they are inputs of the graph.
        where: the file, for messages.

    Raises:
        IntegrityError: ``onnx.damaged``: shapes, types or names do not fit together; ``onnx.unsafe``, a result would
            be too large.
    """
    from onnx import numpy_helper  # noqa: PLC0415

    place = Path(where)
    try:
        values: dict[str, Tensor] = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        values |= {INPUT: observables.astype(np.float32), **(weights or {})}
        wanted = {entry.name for entry in model.graph.input}
        if not wanted <= values.keys():
            raise _damaged(place, f"the input {sorted(wanted - values.keys())[0]!r} is not known")
        with np.errstate(all="ignore"):
            for node in model.graph.node:
                values[node.output[0]] = _apply(node, [values[name] for name in node.input], place)
        return {entry.name: np.asarray(values[entry.name], dtype=np.float64) for entry in model.graph.output}
    except (KeyError, IndexError, TypeError, ValueError, MemoryError) as err:
        raise _damaged(place, f"its parts do not fit together: {str(err)[:200]}") from err


def _apply(node: NodeProto, inputs: list[Tensor], where: Path) -> Tensor:
    size = math.prod(np.broadcast_shapes(*_outer(node.op_type, inputs)))
    if size > _LARGEST_RESULT:
        raise _unsafe(where, f"a result of {node.op_type!r} would have {size} numbers; at most {_LARGEST_RESULT}")
    attributes = {entry.name: list(entry.ints) if entry.type == 7 else entry.i for entry in node.attribute}
    return np.asarray(_FUNCTIONS[node.op_type](inputs, attributes))


def _outer(operator: str, inputs: list[Tensor]) -> list[tuple[int, ...]]:
    """Return shapes whose broadcast has as many numbers as the result, or more."""
    match operator:
        case "MatMul":
            rows, columns = inputs
            return [(*rows.shape[:-1], 1), (*columns.shape[:-2], 1, columns.shape[-1])]
        case "Add" | "Sub" | "Mul" | "Div" | "GreaterOrEqual":
            return [one.shape for one in inputs]
        case "Gather":
            return [inputs[1].shape]
        case _:
            return [inputs[0].shape]


Attributes = Mapping[str, Any]


def _reduced(function: Callable[..., Any]) -> Callable[[list[Tensor], Attributes], Tensor]:
    def apply(inputs: list[Tensor], attributes: Attributes) -> Tensor:
        axes = inputs[1].tolist() if len(inputs) > 1 else attributes["axes"]
        return np.asarray(function(inputs[0], axis=tuple(axes), keepdims=bool(attributes.get("keepdims", 1))))

    return apply


def _gather(inputs: list[Tensor], _: Attributes) -> Tensor:
    values, index = inputs
    return np.asarray(values[index])


def _plain(function: Callable[..., Any]) -> Callable[[list[Tensor], Attributes], Tensor]:
    return lambda inputs, _: np.asarray(function(*inputs))


_FUNCTIONS: Final[Mapping[str, Callable[[list[Tensor], Attributes], Tensor]]] = {
    "Add": _plain(np.add),
    "Sub": _plain(np.subtract),
    "Mul": _plain(np.multiply),
    "Div": _plain(np.divide),
    "MatMul": _plain(np.matmul),
    "Tanh": _plain(np.tanh),
    "Relu": _plain(lambda z: np.maximum(z, np.zeros((), z.dtype))),
    "GreaterOrEqual": _plain(np.greater_equal),
    "Squeeze": _plain(lambda values, axes: np.squeeze(values, tuple(axes.tolist()))),
    "Unsqueeze": _plain(lambda values, axes: np.expand_dims(values, tuple(axes.tolist()))),
    "Transpose": lambda inputs, attributes: np.transpose(inputs[0], attributes["perm"]),
    "Cast": lambda inputs, attributes: inputs[0].astype(_TYPES[attributes["to"]]),
    "ReduceMean": _reduced(np.mean),
    "ReduceSum": _reduced(np.sum),
    "ReduceLogSumExp": _reduced(logsumexp),
    "Gather": _gather,
}


def _damaged(path: Path, problem: str) -> IntegrityError:
    return IntegrityError(
        f"{path.name} is not an ONNX file of this format: {problem}",
        code="onnx.damaged",
        where=str(path),
        hint="get the bundle again from where it was published",
    )


def _unsafe(path: Path, problem: str) -> IntegrityError:
    return IntegrityError(
        f"{path.name} is not read: {problem}",
        code="onnx.unsafe",
        where=str(path),
        hint="do not use it; get the bundle again from where it was published",
    )
