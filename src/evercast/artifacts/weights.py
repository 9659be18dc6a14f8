"""Tensors in safetensors files, read with every byte accounted for, and the weights of networks in them.

A safetensors file is an 8-byte little-endian length, a JSON header {name: {dtype, shape, data_offsets}} with a map of
texts under ``__metadata__``, and the tensors one after the other. This reader takes only a file whose tensors fill the
rest of it without hole or overlap, and only the little-endian types named in ``_DTYPES``.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeGuard

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray
from safetensors.numpy import save

from evercast.artifacts.files import atomic_write_bytes, canonical_json
from evercast.errors import IntegrityError, NumericalFailure
from evercast.networks.architecture import Architecture, Weights

__all__ = ["EnsembleWeights", "Tensors", "read_tensors", "read_weights", "write_tensors", "write_weights"]

_FORMAT: Final = "network-weights/1.0.0"
_METADATA: Final = "evercast"
_MAX_HEADER: Final = 16 << 20
_MAX_TENSORS: Final = 20_000
_MAX_AXES: Final = 8
_MAPPED: Final = 64 << 20
"""Files from this size on are mapped: events of a large likelihood need not all be in memory."""
_OTHERS: Final = {
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"PK\x03\x04": "a zip archive (also of torch or numpy)",
    b"\x93NUMPY": "a numpy array",
    b"\x89HDF": "an HDF5 file",
}
"""First bytes of what is given the name of a safetensors file; looked at where they are absurd as a length."""
_DTYPES: Final = {"F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8", "U64": "<u8", "BOOL": "|b1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensors:
    """The content of a safetensors file: arrays by name, and a JSON value that describes them."""

    arrays: Mapping[str, NDArray[np.generic]]
    metadata: object


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EnsembleWeights:
    """The networks of one process of an ensemble, or of a block of its members.

    Args:
        architecture: their form.
        members: numbers of the members, along the first axis of `weights`.
        folds: the number of folds, the second axis.
        weights: with leading axes (members, folds).
        labels: further texts, such as ensemble and process.
    """

    architecture: Architecture
    members: tuple[int, ...]
    folds: int
    weights: Weights
    labels: Mapping[str, str]


def write_tensors(path: Path, arrays: Mapping[str, NDArray[np.generic]], metadata: object) -> None:
    """Write arrays and a JSON value to the safetensors file `path`, whole or not at all.

    Equal content gives equal bytes.

    Raises:
        EnvironmentUnfit: ``disk.full`` or ``disk.read-only``.
    """
    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    atomic_write_bytes(path, save(plain, metadata={_METADATA: canonical_json(metadata).decode()}))


def read_tensors(path: Path) -> Tensors:
    """Return the content of a safetensors file that `write_tensors` made.

    Raises:
        IntegrityError: ``tensors.missing``, or ``tensors.damaged`` with what is wrong: length, type, overlap, hole.
    """
    try:
        content = _content(path)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as err:
        hint = "run again, or get it anew from where it was published"
        raise IntegrityError(
            f"{path.name} does not exist", code="tensors.missing", where=str(path.parent), hint=hint
        ) from err
    try:
        return _parse(content)
    except (ValueError, RecursionError) as err:
        raise _damaged(path, str(err)) from err


def _content(path: Path) -> memoryview:
    """Return the bytes of a file; of a large one they are read where and when they are used."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a fifo must not make the reader wait
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(file.fileno())
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(path)
        if not stat.S_ISREG(found.st_mode):
            raise _damaged(path, "it is no regular file")
        if found.st_size < _MAPPED:
            return memoryview(file.read())
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _damaged(path: Path, problem: str) -> IntegrityError:
    return IntegrityError(
        f"not a safetensors file of this project: {problem}",
        code="tensors.damaged",
        where=str(path),
        hint="remove it and run again, or get it anew from where it was published",
    )


def _parse(content: memoryview) -> Tensors:
    if len(content) < 8:
        raise ValueError(f"it has {len(content)} bytes, fewer than the 8 of its length field")
    length = int.from_bytes(content[:8], "little")
    if length > min(_MAX_HEADER, len(content) - 8):
        kind = next((kind for start, kind in _OTHERS.items() if bytes(content[: len(start)]) == start), None)
        other = "" if kind is None else f"; it begins as {kind} does"
        raise ValueError(f"the header has {length} bytes in a file of {len(content)}{other}")
    header = _json(bytes(content[8 : 8 + length]))
    if not isinstance(header, dict):
        raise ValueError("the header is not an object")  # noqa: TRY004 - every problem of the file is one kind of error
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict) or set(metadata) != {_METADATA} or not isinstance(metadata[_METADATA], str):
        raise ValueError(f"the metadata are not one text under {_METADATA!r}")
    if len(header) > _MAX_TENSORS:
        raise ValueError(f"it has {len(header)} tensors, more than the {_MAX_TENSORS} this reader takes")
    records = {name: _record(name, body) for name, body in header.items()}
    body = content[8 + length :]
    ends = [0, *sorted(end for _, _, _, end in records.values())]
    begins = [*sorted(begin for _, _, begin, _ in records.values()), len(body)]
    if ends != begins:
        raise ValueError("the tensors overlap, leave a hole or do not fill the file")
    arrays: dict[str, NDArray[np.generic]] = {
        name: np.frombuffer(body[begin:end], dtype=dtype).reshape(shape)
        for name, (dtype, shape, begin, end) in records.items()
    }
    return Tensors(arrays=arrays, metadata=_json(metadata[_METADATA].encode()))


def _json(text: bytes) -> Any:
    """Return the JSON value of a text: UTF-8, no name twice, no NaN, no deep nesting."""
    return json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a name stands twice in the header")
    return content


def _record(name: str, body: object) -> tuple[str, tuple[int, ...], int, int]:
    if not isinstance(body, dict) or set(body) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"the record of {name[:80]!r} is {body!r:.200}")
    dtype, shape, offsets = _DTYPES.get(str(body["dtype"])), body["shape"], body["data_offsets"]
    if dtype is None:
        raise ValueError(f"{name!r} has the type {body['dtype']!r}; allowed: {', '.join(_DTYPES)}")
    for numbers in (shape, offsets):
        few = isinstance(numbers, list) and len(numbers) <= _MAX_AXES
        if not few or not all(type(item) is int and 0 <= item < 1 << 48 for item in numbers):
            raise ValueError(f"{name[:80]!r} has shape {shape!r:.200} at {offsets!r:.200}")
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if len(offsets) != 2 or offsets[1] - offsets[0] != size:
        raise ValueError(f"{name!r} of shape {shape} needs {size} bytes; found the offsets {offsets}")
    return dtype, tuple(shape), offsets[0], offsets[1]


def write_weights(path: Path, networks: EnsembleWeights) -> None:
    """Write networks to a safetensors file.

    Tensors, all float32: ``layers.I.weight`` (members, folds, out, in), ``layers.I.bias`` (members, folds, out),
    ``standardise.mean`` and ``standardise.scale`` (members, folds, inputs).

    Raises:
        NumericalFailure: ``weights.not-finite``.
        IntegrityError: ``weights.shape`` where the arrays do not go with the architecture.
        EnvironmentUnfit: ``disk.full`` or ``disk.read-only``.
    """
    arrays = dict(networks.weights.named())
    _check_arrays(arrays, networks.architecture, (len(networks.members), networks.folds), where=str(path))
    metadata = {
        "format": _FORMAT,
        "architecture": networks.architecture.to_json(),
        "members": list(networks.members),
        "folds": networks.folds,
        "labels": dict(networks.labels),
    }
    write_tensors(path, arrays, metadata)


def read_weights(path: Path) -> EnsembleWeights:
    """Return the networks that `write_weights` wrote.

    Raises:
        IntegrityError: ``tensors.missing``, ``tensors.damaged``, ``weights.metadata``, ``weights.architecture``, or
            ``weights.shape`` where a tensor is missing, extra, or of another shape or type than the architecture says.
        NumericalFailure: ``weights.not-finite``.
    """
    tensors = read_tensors(path)
    body = tensors.metadata
    if not isinstance(body, dict) or body.get("format") != _FORMAT:
        raise IntegrityError(f"the format is not {_FORMAT}", code="weights.metadata", where=str(path))
    architecture = Architecture.from_json(body.get("architecture"))
    members, folds, labels = body.get("members"), body.get("folds"), body.get("labels")
    if not _are_numbers(members) or type(folds) is not int or not isinstance(labels, dict):
        problem = f"members are {members!r}, folds {folds!r}, labels {labels!r}"
        raise IntegrityError(problem, code="weights.metadata", where=str(path))
    _check_arrays(tensors.arrays, architecture, (len(members), folds), where=str(path))
    arrays: dict[str, Float32[np.ndarray, "*shape"]] = {
        name: array.astype(np.float32, copy=False) for name, array in tensors.arrays.items()
    }
    layers = range(architecture.depth + 1)
    weights = Weights(
        mean=arrays["standardise.mean"],
        scale=arrays["standardise.scale"],
        weight=tuple(arrays[f"layers.{layer}.weight"] for layer in layers),
        bias=tuple(arrays[f"layers.{layer}.bias"] for layer in layers),
    )
    return EnsembleWeights(
        architecture=architecture, members=tuple(members), folds=folds, weights=weights, labels=labels
    )


def _are_numbers(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and bool(value) and all(type(item) is int and item >= 0 for item in value)


def _check_arrays(
    arrays: Mapping[str, NDArray[np.generic]], architecture: Architecture, axes: tuple[int, int], *, where: str
) -> None:
    sizes = architecture.sizes()
    expected: dict[str, tuple[int, ...]] = {
        "standardise.mean": (*axes, sizes[0]),
        "standardise.scale": (*axes, sizes[0]),
    }
    for layer, (into, out) in enumerate(pairwise(sizes)):
        expected |= {f"layers.{layer}.weight": (*axes, out, into), f"layers.{layer}.bias": (*axes, out)}
    for name in sorted(expected.keys() | arrays.keys()):
        found = arrays.get(name)
        what = "nothing" if found is None else f"{found.dtype} {found.shape}"
        if found is None or found.shape != expected.get(name) or found.dtype != np.float32:
            wanted = f"float32 {expected[name]}" if name in expected else "no such tensor"
            raise IntegrityError(
                f"tensor {name!r}: found {what}; expected {wanted}",
                code="weights.shape",
                where=where,
                hint="the weights and the architecture do not belong together",
            )
        if found.size and not found.any() and _is_dead(arrays, architecture):
            raise IntegrityError(
                "all weights of the networks are zero",
                code="weights.zero",
                where=where,
                hint="get the file again from where it was published, or train this block again",
            )
        bad = int(np.sum(~np.isfinite(found.astype(np.float32))))
        if bad or (name == "standardise.scale" and not bool(np.all(found.astype(np.float32) > 0.0))):
            problem = f"{bad} values are NaN or infinite" if bad else "a scale is not positive"
            raise NumericalFailure(
                f"tensor {name!r}: {problem}",
                code="weights.not-finite",
                where=where,
                hint="train this block again",
            )


def _is_dead(arrays: Mapping[str, NDArray[np.generic]], architecture: Architecture) -> bool:
    """Return whether no weight matrix of any layer holds a number other than zero."""
    names = [f"layers.{layer}.weight" for layer in range(architecture.depth + 1)]
    return all(name in arrays and not arrays[name].any() for name in names)
