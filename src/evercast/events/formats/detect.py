"""The format of an event file from its content."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from evercast.errors import InvalidInput
from evercast.events.formats.base import FormatName, empty, open_text

__all__ = ["detect_format"]

_HEAD: Final = 8192
_BINARY: Final[tuple[tuple[bytes, FormatName], ...]] = ((b"root", "root"), (b"PAR1", "parquet"))
_OTHERS: Final = (
    (b"\x1f\x8b", "gzip inside gzip"),
    (b"\x89HDF", "HDF5"),
    (b"PK\x03\x04", "a zip archive"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstandard"),
    (b"%PDF", "PDF"),
    (b"\x93NUMPY", "a numpy array"),
    (b"\x80\x04", "a pickle"),
    (b"version https://git-lfs", "a git-lfs pointer, not the file it stands for"),
)
_KNOWN: Final = "expected ROOT, Parquet, CSV, HepMC2, HepMC3, LHE or a zarr folder"


def detect_format(path: Path) -> FormatName:
    """Return the format that the content of `path` shows; names and suffixes do not count.

    Raises:
        InvalidInput: ``sample.missing``, ``sample.empty`` or ``sample.format``, with what the file seems to be.
    """
    if path.is_dir():
        if (path / "zarr.json").is_file():
            return "zarr"
        raise _refused(path, "a folder without zarr.json")
    if path.exists() and not path.is_file():
        raise _refused(path, "neither a file nor a folder")
    with open_text(path) as stream:
        head = stream.read(_HEAD)
    if not head.strip(b" \t\r\n\0"):
        raise empty(path, f"the file is empty: {len(head)} bytes" if len(head) < _HEAD else "the file holds only zeros")
    for mark, name in _BINARY:
        if head.startswith(mark):
            return name
    for mark, what in _OTHERS:
        if head.startswith(mark):
            raise _refused(path, what)
    return _text_format(path, head)


def _text_format(path: Path, head: bytes) -> FormatName:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    lower = start[:1024].lower()
    if b"HepMC::" in start[:512]:
        return "hepmc"
    if b"<leshouchesevents" in lower:
        return "lhe"
    if lower.startswith((b"<!doctype html", b"<html", b"<head")):
        raise _refused(path, "an HTML page, perhaps an error message of a web server")
    if start.startswith((b"<", b"{", b"[")):
        raise _refused(path, f"text that starts with {start[:20]!r}")
    if b"\0" in head or not _is_text(head):
        raise _refused(path, "binary data of no known kind")
    return "csv"


def _is_text(head: bytes) -> bool:
    try:
        head.decode()
    except UnicodeDecodeError as err:
        return err.start > len(head) - 4
    return True


def _refused(path: Path, what: str) -> InvalidInput:
    return InvalidInput(f"this is {what}; {_KNOWN}", code="sample.format", where=str(path))
