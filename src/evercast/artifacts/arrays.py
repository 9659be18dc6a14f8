"""Folders of arrays: zarr v3, sharded, with an inventory of digests that is checked before anything is read.

Layout of a folder::

    zarr.json                 the group and its attributes
    <array>/zarr.json         one array; first axis = rows
    <array>/c/0/0 ...         shards of 8 chunks of 16384 rows x all columns, blosc (zstd, bitshuffle)
    inventory.json            sha256 and size of every other file, written last

zarr itself reads a lost or empty chunk as zeros and decodes whatever codec the metadata names, so nothing is handed to
it before the digests, the complete list of shards and the names of the codecs have been checked here.
"""

from __future__ import annotations

import math
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeGuard

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, BloscShuffle

from evercast.artifacts.files import (
    atomic_write_json,
    canonical_json,
    disk_errors,
    flush_to_disk,
    read_json,
    sha256_file,
)
from evercast.errors import IntegrityError, InvalidInput

__all__ = ["CHUNK_ROWS", "SHARD_CHUNKS", "Arrays", "read_arrays", "read_foreign_arrays", "write_arrays"]

CHUNK_ROWS: Final = 16384
SHARD_CHUNKS: Final = 8
_FORMAT: Final = "arrays/1.0.0"
_INVENTORY: Final = "inventory.json"
_DTYPES: Final = ("bool", "int32", "int64", "uint8", "uint32", "uint64", "float32", "float64")
_CODECS: Final = ("sharding_indexed", "bytes", "blosc", "crc32c")
_FOREIGN_CODECS: Final = (*_CODECS, "zstd", "gzip")
_MAX_BYTES: Final = 1 << 40
_ARRAY_KEYS: Final = frozenset(
    {
        "zarr_format",
        "node_type",
        "shape",
        "data_type",
        "chunk_grid",
        "chunk_key_encoding",
        "fill_value",
        "codecs",
        "attributes",
        "storage_transformers",
        "dimension_names",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrays:
    """The content of a folder of arrays.

    Args:
        arrays: name -> array, first axis = rows.
        attributes: JSON values that describe them.
    """

    arrays: Mapping[str, NDArray[np.generic]]
    attributes: Mapping[str, object]

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        return self.arrays[name]


def write_arrays(path: Path, arrays: Mapping[str, NDArray[np.generic]], attributes: Mapping[str, object]) -> None:
    """Write `arrays` as the folder `path`, whole or not at all.

    Args:
        path: the folder to make; it must not exist.
        arrays: name -> array with one axis or more; the first one counts rows.
        attributes: JSON values kept with the group.

    Raises:
        InvalidInput: ``array.exists``, ``array.dtype`` or ``array.name``.
        EnvironmentUnfit: ``disk.full`` or ``disk.read-only``.
        NumericalFailure: ``json.not-finite`` in the attributes.
    """
    _check_writable(path, arrays)
    canonical_json(attributes)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    with disk_errors(path):
        try:
            temporary.mkdir()
            _write_group(temporary, arrays, attributes)
            _write_inventory(temporary)
            temporary.rename(path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        flush_to_disk(path.parent)


def _check_writable(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    if path.exists():
        raise InvalidInput(f"{path} exists already", code="array.exists", where=str(path))
    for name, array in arrays.items():
        if not name.isidentifier() or name == "c":
            raise InvalidInput(f"{name!r} is not a name for an array", code="array.name", where=str(path))
        if array.dtype.name not in _DTYPES or array.ndim == 0:
            raise InvalidInput(
                f"array {name!r} has type {array.dtype} and {array.ndim} axes; expected one of {', '.join(_DTYPES)} "
                "and at least one axis",
                code="array.dtype",
                where=str(path),
            )


def _write_group(path: Path, arrays: Mapping[str, NDArray[np.generic]], attributes: Mapping[str, object]) -> None:
    group = zarr.create_group(store=str(path), zarr_format=3, attributes=dict(attributes))
    for name, array in arrays.items():
        chunks = (CHUNK_ROWS, *(max(1, length) for length in array.shape[1:]))
        stored = group.create_array(
            name,
            shape=array.shape,
            dtype=array.dtype,
            chunks=chunks,
            shards=(CHUNK_ROWS * SHARD_CHUNKS, *chunks[1:]),
            compressors=BloscCodec(cname="zstd", clevel=5, shuffle=BloscShuffle.bitshuffle),
            filters=None,
            fill_value=0,
            config={"write_empty_chunks": True},
        )
        if array.size:
            _fill(stored, array)


def _fill(stored: zarr.Array[Any], array: NDArray[np.generic]) -> None:
    """Write one shard after the other.

    zarr writes the shards of one call at once; after an error in one the others would still write into the folder.
    """
    rows = CHUNK_ROWS * SHARD_CHUNKS
    for start in range(0, len(array), rows):
        stored[start : start + rows] = array[start : start + rows]


def _write_inventory(path: Path) -> None:
    files = {}
    folders = [path]
    for entry in _walk(path):
        if entry.is_dir():
            folders.append(entry)
            continue
        flush_to_disk(entry)
        files[entry.relative_to(path).as_posix()] = {"sha256": sha256_file(entry), "size": entry.stat().st_size}
    for folder in reversed(folders):
        flush_to_disk(folder)
    atomic_write_json(path / _INVENTORY, {"format": _FORMAT, "files": dict(sorted(files.items()))})


def read_arrays(path: Path) -> Arrays:
    """Return the arrays in the folder `path` after its inventory, its metadata and its shards have been checked.

    Raises:
        IntegrityError: ``array.missing`` (no such folder), ``array.inventory`` (a file is missing, extra, short,
            changed or no regular file), ``array.metadata`` (a codec, type, shape or format that is not allowed).
    """
    _check_inventory(path)
    return _read_group(path, codecs=_CODECS)


def read_foreign_arrays(path: Path) -> Arrays:
    """Return the arrays of a zarr v3 group that another program wrote, which has no inventory.

    zarr itself reads a lost chunk as zeros. Here every chunk must be there and hold something, so a writer has to write
    empty chunks too (``config={"write_empty_chunks": True}``): those left out cannot be told from lost ones.

    Raises:
        IntegrityError: ``array.missing``, ``array.inventory`` (an empty file, or one that is no regular file),
            ``array.metadata`` (a codec, type, shape or format that is not allowed, or a chunk that is not there).
    """
    if path.is_symlink() or not path.is_dir():
        raise _damaged(path, "there is no such folder", code="array.missing")
    for entry in _walk(path):
        if entry.is_file() and entry.stat().st_size == 0:
            raise _damaged(path, f"{entry.relative_to(path)} is empty", code="array.inventory")
    return _read_group(path, codecs=_FOREIGN_CODECS)


def _read_group(path: Path, *, codecs: tuple[str, ...]) -> Arrays:
    group = read_json(path / "zarr.json")
    if not isinstance(group, dict) or group.get("zarr_format") != 3 or group.get("node_type") != "group":
        raise _damaged(path, "zarr.json is not a zarr v3 group", code="array.metadata")
    names = sorted(entry.name for entry in path.iterdir() if entry.is_dir())
    for name in names:
        _check_array(path, name, codecs=codecs)
    attributes = group.get("attributes", {})
    if not isinstance(attributes, dict):
        raise _damaged(path, "the attributes are not an object", code="array.metadata")
    opened = {name: zarr.open_array(store=str(path / name), mode="r", zarr_format=3) for name in names}
    return Arrays(arrays={name: np.asarray(array[...]) for name, array in opened.items()}, attributes=attributes)


def _check_inventory(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        raise _damaged(path, "there is no such folder", code="array.missing")
    body = read_json(path / _INVENTORY)
    if not isinstance(body, dict) or body.get("format") != _FORMAT or not isinstance(body.get("files"), dict):
        raise _damaged(path, f"{_INVENTORY} is not of format {_FORMAT}", code="array.inventory")
    expected: dict[str, object] = body["files"]
    found = {entry.relative_to(path).as_posix(): entry for entry in _walk(path) if not entry.is_dir()}
    found.pop(_INVENTORY, None)
    for problem, names in (
        ("is missing", sorted(expected.keys() - found.keys())),
        ("is not in the inventory", sorted(found.keys() - expected.keys())),
    ):
        if names:
            raise _damaged(path, f"{names[0]} {problem} ({len(names)} such files)", code="array.inventory")
    for name, entry in found.items():
        _check_file(path, name, entry, expected[name])


def _check_file(path: Path, name: str, entry: Path, record: object) -> None:
    if not isinstance(record, dict):
        raise _damaged(path, f"the record of {name} is not an object", code="array.inventory")
    size = entry.stat().st_size
    if size != record.get("size"):
        raise _damaged(path, f"{name} has {size} bytes; expected {record.get('size')}", code="array.inventory")
    digest = sha256_file(entry)
    if digest != record.get("sha256"):
        raise _damaged(path, f"{name} has sha256 {digest}; expected {record.get('sha256')}", code="array.inventory")


def _walk(path: Path) -> Iterator[Path]:
    """Yield every file and folder below `path`; anything else, and every symbolic link, is refused."""
    for entry in sorted(path.iterdir()):
        mode = entry.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise _damaged(path, f"{entry.name} is neither a file nor a folder", code="array.inventory")
        yield entry
        if stat.S_ISDIR(mode):
            yield from _walk(entry)


def _check_array(path: Path, name: str, *, codecs: tuple[str, ...]) -> None:
    body = read_json(path / name / "zarr.json")
    if not isinstance(body, dict) or body.get("zarr_format") != 3 or body.get("node_type") != "array":
        raise _damaged(path, f"{name} is not a zarr v3 array", code="array.metadata")
    unknown = sorted(body.keys() - _ARRAY_KEYS) + sorted(map(str, body.get("storage_transformers") or ()))
    if unknown:
        raise _damaged(path, f"{name} has the unknown metadata {unknown[0]!r}", code="array.metadata")
    if body.get("data_type") not in _DTYPES:
        raise _damaged(path, f"{name} has the data type {body.get('data_type')!r}", code="array.metadata")
    for codec in _codec_names(body.get("codecs")):
        if codec not in codecs:
            allowed = ", ".join(codecs)
            raise _damaged(path, f"{name} uses the codec {codec!r}; allowed: {allowed}", code="array.metadata")
    _check_grid(path, name, body)


def _codec_names(codecs: object) -> Iterator[str]:
    if not isinstance(codecs, list) or not codecs:
        yield "none"
        return
    for codec in codecs:
        if not isinstance(codec, dict) or not isinstance(codec.get("configuration", {}), dict):
            yield "unreadable"
            continue
        yield str(codec.get("name"))
        configuration = codec.get("configuration", {})
        for key in ("codecs", "index_codecs"):
            if key in configuration:
                yield from _codec_names(configuration[key])
        if codec.get("name") == "blosc" and configuration.get("cname") != "zstd":
            yield f"blosc with {configuration.get('cname')}"


def _check_grid(path: Path, name: str, body: dict[str, object]) -> None:
    """Refuse a shape that does not belong to the shards that are there."""
    shape, grid = body.get("shape"), body.get("chunk_grid")
    shard = grid.get("configuration", {}).get("chunk_shape") if isinstance(grid, dict) else None
    if not _are_lengths(shape, least=0) or not _are_lengths(shard, least=1) or len(shape) != len(shard):
        raise _damaged(path, f"{name} has shape {shape} in shards of {shard}", code="array.metadata")
    if math.prod(shape) > _MAX_BYTES // 8:
        raise _damaged(
            path, f"{name} has {math.prod(shape)} elements, more than this reader takes", code="array.metadata"
        )
    counts = [math.ceil(length / step) for length, step in zip(shape, shard, strict=True)]
    expected = {"c/" + "/".join(map(str, index)) for index in np.ndindex(*counts)}
    folder = path / name
    found = {entry.relative_to(folder).as_posix() for entry in _walk(folder) if entry.is_file()} - {"zarr.json"}
    if found != expected:
        difference = sorted(found ^ expected)[0]
        raise _damaged(
            path, f"{name} of shape {shape} does not go with its shards at {difference}", code="array.metadata"
        )


def _are_lengths(value: object, *, least: int) -> TypeGuard[list[int]]:
    return isinstance(value, list) and bool(value) and all(type(item) is int and item >= least for item in value)


def _damaged(path: Path, problem: str, *, code: str) -> IntegrityError:
    return IntegrityError(
        problem, code=code, where=str(path), hint="remove the folder and run again; it will be made anew"
    )
