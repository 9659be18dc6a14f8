"""Copies of the networks of a bundle as graphs of other programs, made and compared with the weights they stand for.

A copy is compared at the inputs of the reference vectors and at points drawn over the range of the training, with the
evaluation of weights and architecture in float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np
from jaxtyping import Float, Float64

from evercast.artifacts.bundle_ensembles import BundleNetworks, read_ensembles
from evercast.artifacts.bundle_networks import reference_log_ratio
from evercast.artifacts.files import atomic_write_bytes, read_json
from evercast.errors import IntegrityError
from evercast.publication.bundle_context import BundleContext
from evercast.publication.onnx_check import evaluate_onnx, read_onnx
from evercast.publication.onnx_graph import (
    INPUT,
    INSIDE_LIMIT,
    IR_VERSION,
    OPSET,
    ensemble_graph,
    label_graph,
    weight_bytes,
)

__all__ = ["GRAPH_TOLERANCE", "CopyCheck", "add_onnx", "add_stablehlo", "check_copies", "write_onnx", "write_stablehlo"]

GRAPH_TOLERANCE: Final = {"abs": 1e-5, "rel": 1e-5}
"""Of a log ratio or a coefficient evaluated in float32, |difference| <= abs + rel |value|."""
_DRAWN: Final = 256
_SPREAD: Final = 3.0
"""Points are drawn over the mean -+ this many scales of the standardisation."""

Outputs = Mapping[str, Float64[np.ndarray, "events ..."]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyCheck:
    """A copy that agrees with the weights.

    Args:
        file: its name.
        ensemble: whose networks it holds.
        points: inputs at which it was compared.
        largest_difference: of a log ratio or coefficient.
    """

    file: str
    ensemble: str
    points: int
    largest_difference: float


def add_onnx(folder: Path, context: BundleContext) -> dict[str, object]:
    """Write the ONNX copies of a bundle; a contributor of `evercast.publication.bundle`.

    Raises:
        IntegrityError: the weights are damaged; ``onnx.differs``.
        EnvironmentUnfit: the disk is full or read-only.
    """
    return write_onnx(folder, context.manifest)


def add_stablehlo(folder: Path, context: BundleContext) -> dict[str, object]:
    """Write the StableHLO copies of a bundle; a contributor of `evercast.publication.bundle`.

    Raises:
        IntegrityError: the weights are damaged; ``stablehlo.differs``.
        EnvironmentUnfit: the disk is full or read-only.
    """
    return write_stablehlo(folder, context.manifest)


def write_onnx(folder: Path, manifest: Mapping[str, object], *, inside_limit: int = INSIDE_LIMIT) -> dict[str, object]:
    """Write one graph per ensemble, or one per label where the weights have more than `inside_limit` bytes.

    Args:
        folder: of the bundle, with its weights.
        manifest: of the bundle.
        inside_limit: bytes of weights up to which they are inside of the graph.

    Returns:
        What the manifest says of the copies.

    Raises:
        IntegrityError: the weights are damaged; ``onnx.differs``.
        EnvironmentUnfit: the disk is full or read-only.
    """
    ensembles = read_ensembles(folder, manifest)
    graphs: list[dict[str, object]] = []
    for ensemble in ensembles.values():
        stem = "model" if len(ensembles) == 1 else f"model-{ensemble.name}"
        for entry, content in _graphs(ensemble, stem, inside_limit):
            atomic_write_bytes(folder / str(entry["file"]), content)
            check = _check_onnx(folder, entry, ensemble, _points(folder, ensemble))
            graphs.append({**entry, "largest_difference": check.largest_difference, "points": check.points})
    return {"opset": OPSET, "ir_version": IR_VERSION, "tolerance": dict(GRAPH_TOLERANCE), "graphs": graphs}


def _graphs(ensemble: BundleNetworks, stem: str, limit: int) -> Iterator[tuple[dict[str, object], bytes]]:
    """Yield what the manifest says of a graph, and the graph."""
    labels = [label for label, _ in ensemble.networks()]
    common: dict[str, object] = {"ensemble": ensemble.name, "input": INPUT, "observables": list(ensemble.observables)}
    if weight_bytes(ensemble) <= limit:
        entry = {"file": f"{stem}.onnx", **common, "outputs": labels, "weights": "inside", "weights_file": None}
        yield entry, ensemble_graph(ensemble).SerializeToString(deterministic=True)
        return
    for label in labels:
        entry = {"file": f"{stem}-{label}.onnx", **common, "outputs": [label], "weights": "inputs"}
        content = label_graph(ensemble, label).SerializeToString(deterministic=True)
        yield {**entry, "weights_file": ensemble.files[label]}, content


def write_stablehlo(folder: Path, manifest: Mapping[str, object]) -> dict[str, object]:
    """Write one module per ensemble whose weights are not too large for it.

    Args:
        folder: of the bundle, with its weights.
        manifest: of the bundle.

    Returns:
        What the manifest says of the copies.

    Raises:
        IntegrityError: the weights are damaged; ``stablehlo.differs``.
        EnvironmentUnfit: the disk is full or read-only.
    """
    from evercast.publication.stablehlo import LARGEST_WEIGHTS, describe, export_ensemble  # noqa: PLC0415 - JAX

    ensembles = read_ensembles(folder, manifest)
    modules: list[dict[str, object]] = []
    for ensemble in ensembles.values():
        if weight_bytes(ensemble) > LARGEST_WEIGHTS:
            continue
        name = "model.stablehlo" if len(ensembles) == 1 else f"model-{ensemble.name}.stablehlo"
        content = export_ensemble(ensemble)
        atomic_write_bytes(folder / name, content)
        check = _check_stablehlo(folder, name, ensemble, _points(folder, ensemble))
        modules.append(
            {
                "file": name, "ensemble": ensemble.name, "observables": list(ensemble.observables), **describe(content),
                "largest_difference": check.largest_difference, "points": check.points,
            }
        )  # fmt: skip
    return {"tolerance": dict(GRAPH_TOLERANCE), "modules": modules}


def check_copies(folder: Path, manifest: Mapping[str, object]) -> tuple[CopyCheck, ...]:
    """Compare every copy that the manifest names with the weights; files are read as from strangers.

    Args:
        folder: of the bundle; digests are the matter of the caller.
        manifest: its ``manifest.json``.

    Raises:
        IntegrityError: ``onnx.differs`` or ``stablehlo.differs`` with the largest difference; ``copies.manifest``;
            ``onnx.unsafe``, ``stablehlo.unsafe`` and what else reading them raises.
        InvalidInput: ``onnx.version``.
    """
    said = manifest.get("publication")
    sections = [said.get(name) if isinstance(said, Mapping) else None for name in ("onnx", "stablehlo")]
    lists = [section.get(key) if isinstance(section, Mapping) else None
             for section, key in zip(sections, ("graphs", "modules"), strict=True)]  # fmt: skip
    graphs, modules = ([one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []
                       for found in lists)  # fmt: skip
    _refuse_unnamed(folder, [*graphs, *modules])
    if not graphs and not modules:
        return ()
    ensembles = read_ensembles(folder, manifest)
    checks = []
    for entry in graphs:
        ensemble = _ensemble_of(entry, ensembles, folder)
        checks.append(_check_onnx(folder, entry, ensemble, _points(folder, ensemble)))
    for entry in modules:
        ensemble = _ensemble_of(entry, ensembles, folder)
        name = _name_of(entry, "file", folder)
        checks.append(_check_stablehlo(folder, name, ensemble, _points(folder, ensemble)))
    return tuple(checks)


def _ensemble_of(entry: Mapping[str, object], ensembles: Mapping[str, BundleNetworks], folder: Path) -> BundleNetworks:
    found = ensembles.get(str(entry.get("ensemble")))
    if found is None or entry.get("observables") != list(found.observables):
        message = f"a copy is said to be of {entry.get('ensemble')!r} with the inputs {entry.get('observables')!r}"
        raise _wrong_manifest(message, folder)
    return found


def _refuse_unnamed(folder: Path, entries: Sequence[Mapping[str, object]]) -> None:
    """Refuse a graph in the folder that no entry names, which nobody would compare, or that several do."""
    named = [_name_of(entry, "file", folder) for entry in entries]
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice is not None:
        raise _wrong_manifest(f"{twice} is named {named.count(twice)} times; expected once", folder)
    there = sorted(path.name for suffix in ("onnx", "stablehlo") for path in folder.glob(f"*.{suffix}"))
    unnamed = [name for name in there if name not in named]
    if unnamed:
        raise _wrong_manifest(f"{unnamed[0]} is in the bundle, and 'publication' does not say of what it is", folder)


def _name_of(entry: Mapping[str, object], key: str, folder: Path) -> str:
    name = entry.get(key)
    if not isinstance(name, str) or Path(name).name != name or name.startswith("."):
        raise _wrong_manifest(f"{name!r} is no name of a file of the bundle", folder)
    return name


def _wrong_manifest(message: str, folder: Path) -> IntegrityError:
    return IntegrityError(message, code="copies.manifest", where=str(folder / "manifest.json"))


def _check_onnx(
    folder: Path, entry: Mapping[str, object], ensemble: BundleNetworks, points: Float[np.ndarray, "events inputs"]
) -> CopyCheck:
    name = _name_of(entry, "file", folder)
    labels = [label for label, _ in ensemble.networks()]
    weights: dict[str, np.ndarray] = {}
    if entry.get("weights") == "inputs":
        labels = [label for label in labels if ensemble.files[label] == entry.get("weights_file")]
        weights = dict(dict(ensemble.networks())[labels[0]].weights.named()) if labels else {}
    found = evaluate_onnx(read_onnx(folder / name), points, weights=weights, where=str(folder / name))
    return _compared("onnx", folder / name, ensemble, labels, points, found)


def _check_stablehlo(
    folder: Path, name: str, ensemble: BundleNetworks, points: Float[np.ndarray, "events inputs"]
) -> CopyCheck:
    from evercast.publication.stablehlo import evaluate_stablehlo, read_stablehlo  # noqa: PLC0415

    found = evaluate_stablehlo(read_stablehlo(folder / name), points, where=str(folder / name))
    return _compared("stablehlo", folder / name, ensemble, [label for label, _ in ensemble.networks()], points, found)


def _compared(
    kind: Literal["onnx", "stablehlo"],
    path: Path,
    ensemble: BundleNetworks,
    labels: list[str],
    points: Float[np.ndarray, "events inputs"],
    found: Outputs,
) -> CopyCheck:
    """Return how far the outputs of a copy lie from those of the weights, where that is within the tolerance."""
    hint = "do not use this copy: evaluate weights and architecture.json, or get the bundle again"
    if sorted(found) != sorted(labels):
        message = f"the copy gives {', '.join(sorted(found))}; expected {', '.join(sorted(labels))}"
        raise IntegrityError(message, code=f"{kind}.differs", where=str(path), hint=hint)
    expected, largest = ensemble.reference(points), 0.0
    for label in labels:
        values, wanted = found[label], expected[label]
        if values.shape != wanted.shape:
            message = f"{label!r} has the shape {values.shape}; the weights give {wanted.shape}"
            raise IntegrityError(message, code=f"{kind}.differs", where=str(path), hint=hint)
        difference = np.abs(values - wanted)
        limit = GRAPH_TOLERANCE["abs"] + GRAPH_TOLERANCE["rel"] * np.abs(wanted)
        if not np.all(difference <= limit):
            worst = float(np.max(difference)) if np.all(np.isfinite(difference)) else float("inf")
            message = (
                f"the copy disagrees with weights and architecture: {label!r} differs by up to {worst:.3g} at "
                f"{int(np.sum(~(difference <= limit)))} of {difference.size} values; allowed is "
                f"{GRAPH_TOLERANCE['abs']:g} + {GRAPH_TOLERANCE['rel']:g} of the value"
            )
            raise IntegrityError(message, code=f"{kind}.differs", where=str(path), hint=hint)
        largest = max(largest, float(np.max(difference)))
    return CopyCheck(file=path.name, ensemble=ensemble.name, points=len(points), largest_difference=largest)


def _points(folder: Path, ensemble: BundleNetworks) -> Float[np.ndarray, "events inputs"]:
    """Return the inputs of the reference vectors where there are any, and points over the range of the training.

    Where a calibration has edges, points are left out whose log ratio lies within the tolerance of one: rounding then
    decides on which side they are.
    """
    networks = next(one for _, one in ensemble.networks())
    mean, scale = (array.reshape(-1, array.shape[-1])[0] for array in (networks.weights.mean, networks.weights.scale))
    drawn = mean + _SPREAD * scale * np.random.default_rng(1).uniform(-1.0, 1.0, size=(_DRAWN, len(mean)))
    path = folder / "reference_vectors.json"
    body = read_json(path) if path.is_file() else {}
    section = body.get("log_ratio") if isinstance(body, dict) else None
    vectors = section.get(ensemble.name) if isinstance(section, dict) else None
    given = np.asarray(vectors["observables"] if isinstance(vectors, dict) else [], dtype=np.float64)
    points = np.concatenate([given.reshape(-1, len(mean)), drawn])
    chosen: Float[np.ndarray, "events inputs"] = points[~_near_edges(ensemble, points)]
    return chosen if len(chosen) > _DRAWN // 2 else points  # edges that leave out most points would hide what differs


def _near_edges(ensemble: BundleNetworks, points: Float[np.ndarray, "events inputs"]) -> np.ndarray:
    near = np.zeros(len(points), dtype=bool)
    calibrated = {label: ratio for label, ratio in ensemble.ratios.items() if ratio.calibration is not None}
    for ratio in calibrated.values():
        plain = replace(ratio, calibration=None, log_norm=0.0)
        combined = reference_log_ratio(plain, points, combine=ensemble.combine)
        edges = np.sort(np.asarray(ratio.calibration.edges if ratio.calibration is not None else ()))
        around = np.concatenate([[-np.inf], edges, [np.inf]])
        above = np.searchsorted(around[1:-1], combined, side="right")
        limit = GRAPH_TOLERANCE["abs"] + GRAPH_TOLERANCE["rel"] * np.abs(combined)
        near |= np.minimum(combined - around[above], around[above + 1] - combined) <= limit
    return near
