"""The networks of an ensemble as one ONNX graph, built operator by operator: observables -> log ratios.

Standardisation, all members and folds, their combination, calibration and normalisation are inside. Networks run in
float32, everything after their outputs in float64, as in evercast itself. The opset and the version of the file format
are pinned: readers of 2022 take them, and ONNX keeps old operators.

Weights are initialisers, so that the file stands alone: one file and one line give the log ratios. Protobuf messages
end at 2 GiB; beyond `INSIDE_LIMIT` the weights are inputs of the graph, one graph per label, named as the tensors of
the weight file of that label. External data, which could point anywhere, is never used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from evercast import __version__
from evercast.artifacts.bundle_ensembles import BundleNetworks
from evercast.artifacts.bundle_networks import PolynomialNetworks, RatioNetworks
from evercast.networks.architecture import Activation, Architecture
from evercast.networks.combination import Combine

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["INPUT", "INSIDE_LIMIT", "IR_VERSION", "OPERATORS", "OPSET", "ensemble_graph", "label_graph", "weight_bytes"]

OPSET: Final = 17
IR_VERSION: Final = 8
INSIDE_LIMIT: Final = 1 << 30
"""Bytes of weights up to which they are initialisers; half of what a protobuf message can hold."""
INPUT: Final = "observables"
OPERATORS: Final = frozenset(
    {
        "Add", "Cast", "Div", "Gather", "GreaterOrEqual", "MatMul", "Mul", "ReduceLogSumExp", "ReduceMean", "ReduceSum",
        "Relu", "Squeeze", "Sub", "Tanh", "Transpose", "Unsqueeze",
    }
)  # fmt: skip
"""All that a graph may hold: arithmetic, none of which reads anything but its inputs."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Graph:
    """Nodes and constants that pile up; every method returns the name of its result."""

    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    inputs: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def node(self, operator: str, *inputs: str, result: str | None = None, **attributes: Any) -> str:
        from onnx import helper  # noqa: PLC0415 - the library is loaded only where a graph is made

        name = result or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants[name] = value
        return name

    def number(self, value: float, *, dtype: type[np.generic] = np.float32) -> str:
        return self.constant(f"{np.dtype(dtype).name} {value!r}", np.asarray(value, dtype=dtype))

    def axes(self, *numbers: int) -> str:
        return self.constant(f"axes {numbers}", np.array(numbers, dtype=np.int64))


def weight_bytes(ensemble: BundleNetworks) -> int:
    """Return how many bytes the weights of all networks of an ensemble have."""
    return sum(array.nbytes for _, networks in ensemble.networks() for _, array in networks.weights.named())


def ensemble_graph(ensemble: BundleNetworks) -> ModelProto:
    """Return the graph of an ensemble with its weights inside.

    One input, ``observables`` (events, observables) float32, in the order of the ensemble and the units of the
    manifest; one output per label, float64: (events,) log ratios, or (events, terms) coefficients of a polynomial.
    """
    graph = _Graph()
    outputs = [_add_label(graph, ensemble, label, prefix=f"{label}/") for label in _labels(ensemble)]
    return _model(graph, ensemble, outputs)


def label_graph(ensemble: BundleNetworks, label: str) -> ModelProto:
    """Return the graph of one label whose weights are inputs, named and shaped as the tensors of its weight file."""
    graph = _Graph()
    output = _add_label(graph, ensemble, label, prefix=None)
    return _model(graph, ensemble, [output])


def _labels(ensemble: BundleNetworks) -> Iterator[str]:
    yield from (label for label, _ in ensemble.networks())


def _add_label(graph: _Graph, ensemble: BundleNetworks, label: str, *, prefix: str | None) -> tuple[str, int]:
    """Add what computes one output; return its name and its number of columns, 0 for one value per event."""
    one = ensemble.ratios.get(label) or ensemble.polynomials[label]
    architecture = one.networks.architecture
    arrays = dict(one.networks.weights.named())
    for name, array in arrays.items():
        if prefix is None:
            graph.inputs[name] = array.shape
        else:
            graph.constants[prefix + name] = array
    found = graph.node("Cast", _outputs(graph, architecture, prefix or ""), to=11)  # 11: DOUBLE
    if isinstance(one, PolynomialNetworks):
        constants = graph.constant(f"{label}/constants", np.asarray(one.constants, dtype=np.float64))
        mean = graph.node("ReduceMean", found, axes=[0, 1], keepdims=0)
        graph.node("Sub", mean, constants, result=label)
        return label, architecture.outputs
    _ratio(graph, one, graph.node("Squeeze", found, graph.axes(3)), label=label, combine=ensemble.combine)
    return label, 0


def _outputs(graph: _Graph, architecture: Architecture, prefix: str) -> str:
    """Add all networks of a label; the result is (members, folds, events, outputs)."""
    to_row = graph.axes(2)
    hidden = INPUT
    for operator, name in (("Sub", "standardise.mean"), ("Div", "standardise.scale")):
        hidden = graph.node(operator, hidden, graph.node("Unsqueeze", prefix + name, to_row))
    for layer in range(architecture.depth + 1):
        weight = graph.node("Transpose", f"{prefix}layers.{layer}.weight", perm=[0, 1, 3, 2])
        bias = graph.node("Unsqueeze", f"{prefix}layers.{layer}.bias", to_row)
        hidden = graph.node("Add", graph.node("MatMul", hidden, weight), bias)
        if layer < architecture.depth:
            hidden = _activated(graph, hidden, architecture.activation)
    return hidden


def _activated(graph: _Graph, z: str, activation: Activation) -> str:
    if activation == "relu":
        return graph.node("Relu", z)
    if activation == "tanh":
        return graph.node("Tanh", z)
    half = graph.number(0.5)
    inner = graph.node("Mul", z, half)
    if activation == "gelu":
        cube = graph.node("Mul", graph.node("Mul", z, z), z)
        sum_ = graph.node("Add", z, graph.node("Mul", cube, graph.number(0.044715)))
        inner = graph.node("Mul", sum_, graph.number(float(np.sqrt(2.0 / np.pi))))
    score = graph.node("Add", graph.node("Mul", graph.node("Tanh", inner), half), half)
    return graph.node("Mul", z, score)


def _ratio(graph: _Graph, ratio: RatioNetworks, logits: str, *, label: str, combine: Combine) -> None:
    """Add combination over members, then folds, calibration and normalisation of logits (members, folds, events)."""
    members, folds = ratio.networks.weights.axes()
    if combine == "mean_log_ratio":
        by_fold = graph.node("ReduceMean", logits, axes=[0], keepdims=0)
    else:
        by_fold = _log_mean(graph, logits, members)
    found = _log_mean(graph, by_fold, folds)
    if ratio.calibration is not None:
        edges = graph.constant(f"{label}/edges", np.asarray(ratio.calibration.edges, dtype=np.float64))
        values = graph.constant(f"{label}/values", np.asarray(ratio.calibration.values, dtype=np.float64))
        passed = graph.node("GreaterOrEqual", graph.node("Unsqueeze", found, graph.axes(1)), edges)
        bins = graph.node("ReduceSum", graph.node("Cast", passed, to=7), graph.axes(1), keepdims=0)  # 7: INT64
        found = graph.node("Add", found, graph.node("Gather", values, bins))
    log_norm = graph.constant(f"{label}/log_norm", np.asarray(ratio.log_norm, dtype=np.float64))
    graph.node("Sub", found, log_norm, result=label)


def _log_mean(graph: _Graph, values: str, count: int) -> str:
    """Add the logarithm of the mean of exponentials over the first axis."""
    summed = graph.node("ReduceLogSumExp", values, axes=[0], keepdims=0)
    return graph.node("Sub", summed, graph.number(float(np.log(count)), dtype=np.float64))


def _model(graph: _Graph, ensemble: BundleNetworks, outputs: Sequence[tuple[str, int]]) -> ModelProto:
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

    inputs = [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["events", len(ensemble.observables)])]
    inputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in graph.inputs.items()]
    made = helper.make_graph(
        graph.nodes,
        f"ensemble {ensemble.name}",
        inputs,
        [
            helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["events", columns] if columns else ["events"])
            for name, columns in outputs
        ],
        [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in graph.constants.items()],
        doc_string=f"columns of {INPUT}, in order: {', '.join(ensemble.observables)}",
    )
    model: ModelProto = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="evercast",
        producer_version=__version__,
    )
    return model
