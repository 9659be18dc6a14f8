"""Files written whole or not at all, their digests, and strict JSON."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Final

from evercast.errors import EnvironmentUnfit, IntegrityError, InvalidInput, NumericalFailure

__all__ = [
    "atomic_write_bytes",
    "atomic_write_json",
    "canonical_json",
    "disk_errors",
    "flush_to_disk",
    "make_folder",
    "parse_json",
    "read_json",
    "require_there",
    "sha256_file",
]

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_READ_ONLY: Final = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the disk errors of the block into `EnvironmentUnfit` that names `path`.

    Raises:
        EnvironmentUnfit: ``disk.full`` (no space, quota, file size limit), ``disk.read-only`` (no permission) or
            ``disk.handles`` (too many open files); every other `OSError` passes through.
    """
    try:
        yield
    except OSError as err:
        if err.errno in _FULL:
            raise EnvironmentUnfit(
                f"no space left while writing {path}: {err.strerror}",
                code="disk.full",
                where=str(path),
                hint="free space on this file system or run in another folder; what was finished is kept",
            ) from err
        if err.errno in _READ_ONLY:
            raise EnvironmentUnfit(
                f"cannot write {path}: {err.strerror}",
                code="disk.read-only",
                where=str(path),
                hint="make the folder writable or run in another folder",
            ) from err
        if err.errno in (errno.EMFILE, errno.ENFILE):
            raise EnvironmentUnfit(
                f"too many open files while writing {path}",
                code="disk.handles",
                where=str(path),
                hint="raise the limit of open files (ulimit -n)",
            ) from err
        raise


def require_there(path: Path) -> None:
    """Refuse a path at which there is nothing, the same way wherever one is named.

    Raises:
        InvalidInput: ``verify.missing``.
    """
    if not os.path.lexists(path):
        raise InvalidInput(f"{path} does not exist", code="verify.missing", where=str(path))


def make_folder(path: Path) -> None:
    """Make a folder and those above it; one that is there already stays as it is.

    Raises:
        EnvironmentUnfit: ``disk.in-the-way``: something that is no folder has its name or that of one above it; or the
            disk refuses: as `disk_errors`, and ``disk.refuses`` for every other reason.
    """
    with disk_errors(path):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as err:
            raise _in_the_way(path, "is no folder") from err
        except OSError as err:
            if err.errno in (*_FULL, *_READ_ONLY, errno.EMFILE, errno.ENFILE):
                raise
            raise EnvironmentUnfit(
                f"cannot make the folder {path}: {err.strerror}",
                code="disk.refuses",
                where=str(path),
                hint="name another folder",
            ) from err


def _in_the_way(path: Path, reason: str) -> EnvironmentUnfit:
    """Return the error about what stands where `path`, or a folder above it, must be."""
    above = (place for place in (path, *path.parents) if os.path.lexists(place) and not place.is_dir())
    found = next(above, path)
    return EnvironmentUnfit(
        f"cannot write {path}: {found} {reason}",
        code="disk.in-the-way",
        where=str(found),
        hint="move it away, or name another place",
    )


def sha256_file(path: Path) -> str:
    """Return the sha256 of the content of `path` as 64 lower-case hexadecimal digits.

    Raises:
        IntegrityError: ``artifact.missing`` where there is no such file.
    """
    try:
        with _open_file(path) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as err:
        raise _missing(path) from err


def _open_file(path: Path) -> BufferedReader:
    """Open a regular file for reading; a fifo or a device counts as none, and nobody waits for it."""
    stream = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        return stream
    stream.close()
    raise IsADirectoryError(path)


def canonical_json(value: object) -> bytes:
    """Return `value` as the one JSON text that stands for it: sorted keys, no spaces, UTF-8, no NaN.

    Tuples count as lists, any mapping as an object. The bytes are what is hashed.

    Raises:
        NumericalFailure: ``json.not-finite`` where a number is NaN or infinite.

    Example:
        >>> canonical_json({"b": (1, 2.5), "a": None})
        b'{"a":null,"b":[1,2.5]}'
    """
    return _dump(value, sort=True, indent=None)


def _dump(value: object, *, sort: bool, indent: int | None) -> bytes:
    separators = (",", ":") if indent is None else None
    try:
        text = json.dumps(
            _plain(value), sort_keys=sort, indent=indent, separators=separators, ensure_ascii=False, allow_nan=False
        )
    except ValueError as err:
        raise NumericalFailure(
            "a number to be written as JSON is NaN or infinite",
            code="json.not-finite",
            hint="the stage that computed it must say so instead",
        ) from err
    return text.encode()


def _plain(value: object) -> object:
    """Return `value` with mappings and sequences as dict and list; keys must be text."""
    if isinstance(value, Mapping):
        wrong = [key for key in value if not isinstance(key, str)]
        if wrong:
            raise TypeError(f"a JSON key must be text; found {wrong[0]!r}")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(item) for item in value]
    return value


def read_json(path: Path) -> object:
    """Return the JSON value in `path`; duplicate keys and NaN are refused.

    Raises:
        IntegrityError: ``artifact.missing`` or ``artifact.not-json``.
    """
    try:
        with _open_file(path) as stream:
            content = stream.read()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as err:
        raise _missing(path) from err
    return parse_json(content, where=str(path), hint="remove it and run again; it will be made anew")


def parse_json(content: bytes, *, where: str, hint: str | None = None) -> object:
    """Return the JSON value in some bytes; duplicate keys, NaN and nesting beyond Python's are refused.

    Args:
        content: UTF-8.
        where: the file, for the message.
        hint: the next step, for the message.

    Raises:
        IntegrityError: ``artifact.not-json``.
    """
    try:
        return json.loads(content.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as err:
        raise IntegrityError(
            f"{where} is not valid JSON: {err}", code="artifact.not-json", where=where, hint=hint
        ) from err


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) != len(pairs):
        seen: set[str] = set()
        again = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {again!r} stands twice")
    return content


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not a JSON number")


def atomic_write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that it is there whole or not at all, also after a crash.

    A temporary file in the same folder is written, flushed to the disk and renamed.

    Raises:
        EnvironmentUnfit: ``disk.full`` or ``disk.read-only``, or ``disk.in-the-way`` where `path` is a folder or one
            above it is none; the earlier content of `path` is untouched.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    with disk_errors(path):
        try:
            with temporary.open("xb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except (IsADirectoryError, NotADirectoryError) as err:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise _in_the_way(path, "is a folder" if path.is_dir() else "is no folder") from err
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        flush_to_disk(path.parent)


def atomic_write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON, keys in the order given, as `atomic_write_bytes` does.

    Raises:
        EnvironmentUnfit: as `atomic_write_bytes`.
        NumericalFailure: ``json.not-finite``.
    """
    atomic_write_bytes(path, _dump(value, sort=False, indent=1) + b"\n")


def flush_to_disk(path: Path) -> None:
    """Flush a file or the entries of a folder from memory to the disk.

    Raises:
        OSError: the disk refuses.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _missing(path: Path) -> IntegrityError:
    return IntegrityError(
        f"{path} does not exist or is not a file",
        code="artifact.missing",
        where=str(path),
        hint="run again; what is missing will be made anew",
    )
