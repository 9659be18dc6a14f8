"""Tar files of archives: written plainly, and read without ever unpacking what is not understood.

Only what POSIX ustar has is read: regular files, folders, and hard links to a file that stands earlier in the same tar
file. Names of bags alone are allowed. Every other kind of entry, extension headers among them, is refused, so that no
other reader can see other names or sizes in the file than this one does.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Final

from evercast.artifacts.bag_files import BagFiles
from evercast.artifacts.bag_walk import BagLimits, check_name, check_names
from evercast.errors import IntegrityError

__all__ = ["TarFiles", "TarMember", "end_of_tar", "is_tar", "read_tar", "tar_header"]

_BLOCK: Final = 512
_MAGIC: Final = slice(257, 265)
_ZERO: Final = bytes(_BLOCK)
_KINDS: Final = {
    b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"6": "a fifo",
    b"x": "an extension header (pax)", b"g": "an extension header (pax)", b"L": "an extension header (GNU)",
    b"K": "an extension header (GNU)", b"S": "a sparse file",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TarMember:
    """Content in a tar file.

    Args:
        offset: where it begins, bytes.
        size: bytes.
    """

    offset: int
    size: int


class TarFiles(BagFiles):
    """The files of one bag in a tar file.

    Args:
        file: the tar file.
        inside: folder of the bag in it; empty where the bag is all of it.
        members: what is in the bag.
    """

    def __init__(self, file: Path, inside: str, members: Mapping[str, TarMember]) -> None:
        self.file, self.members = file, members
        self.place = f"{file}/{inside}" if inside else str(file)
        self.sizes = {name: member.size for name, member in members.items()}
        self._seen: dict[TarMember, str] = {}

    def digest(self, name: str) -> str:
        """Return the sha256 of a member; content with many names is read once."""
        member = self.members[name]
        if member not in self._seen:
            self._seen[member] = super().digest(name)
        return self._seen[member]

    def open(self, name: str) -> BufferedIOBase:
        """Return the content of a member."""
        member = self.members[name]
        stream = self.file.open("rb")
        stream.seek(member.offset)
        return io.BufferedReader(_Part(stream, member.size))


class _Part(io.RawIOBase):
    """The next bytes of a stream, and no more."""

    def __init__(self, stream: BufferedIOBase, size: int) -> None:
        self._stream, self._left = stream, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        block = self._stream.read(min(len(buffer), self._left))
        buffer[: len(block)] = block
        self._left -= len(block)
        return len(block)

    def close(self) -> None:
        self._stream.close()
        super().close()


def is_tar(path: Path) -> bool:
    """Return whether a file begins as a tar file does."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(_BLOCK)[_MAGIC][:5] == b"ustar"


def read_tar(path: Path, *, limits: BagLimits | None = None) -> dict[str, TarMember]:
    """Return name -> content of every file in a tar file, after all its headers were looked at.

    Args:
        path: the tar file, not compressed.
        limits: how many files, and of what size, it may hold.

    Raises:
        IntegrityError: ``tar.kind``, ``tar.name``, ``tar.damaged``, ``tar.too-large``, ``bag.name`` or
            ``bag.collision``.
    """
    allowed, members = limits or BagLimits(), dict[str, TarMember]()
    where = str(path)
    total = 0
    with path.open("rb") as stream:
        end = stream.seek(0, io.SEEK_END)
        for count, (header, offset) in enumerate(_headers(stream, end, where)):
            name, size = _name(header, where), _size(header, where)
            kind = header[156:157]
            if count >= allowed.files or (total := total + size) > allowed.size:
                raise _refused(where, "tar.too-large", f"it holds more than {allowed.files} files, or too large ones")
            if _octal(header[100:108], where) & 0o6000:
                raise _refused(where, "tar.kind", f"{name} is setuid or setgid")
            if kind == b"5":
                check_name(name.rstrip("/"), where=where)
                continue
            if name in members:
                raise _refused(where, "tar.name", f"{name} stands twice")
            members[name] = _member(header, name, kind, TarMember(offset=offset, size=size), members, where)
    check_names(members, where=where)
    return members


def _member(
    header: bytes, name: str, kind: bytes, content: TarMember, members: Mapping[str, TarMember], where: str
) -> TarMember:
    if kind in (b"0", b"\0"):
        return content
    if kind == b"1" and content.size == 0:
        target = header[157:257].split(b"\0", 1)[0].decode("ascii", "replace")
        if target in members:
            return members[target]
        raise _refused(where, "tar.kind", f"{name} is a hard link to {target[:100]!r}, which is no earlier file in it")
    raise _refused(where, "tar.kind", f"{name} is {_KINDS.get(kind, f'of kind {kind!r}')}; expected a plain file")


def _headers(stream: BufferedIOBase, end: int, where: str) -> Iterator[tuple[bytes, int]]:
    """Yield each header with the offset of the content behind it; the end must be two empty blocks, then zeros."""
    at = 0
    while True:
        stream.seek(at)
        header = stream.read(_BLOCK)
        if len(header) < _BLOCK:
            raise _refused(where, "tar.damaged", "it was cut: it has no end")
        if header == _ZERO:
            break
        _check_header(header, at, where)
        size = 0 if header[156:157] == b"5" else _size(header, where)
        behind = at + _BLOCK + -(-size // _BLOCK) * _BLOCK
        if behind > end:
            raise _refused(where, "tar.damaged", f"an entry claims {size} bytes; only {end - at - _BLOCK} are left")
        yield header, at + _BLOCK
        at = behind
    while block := stream.read(1 << 16):
        if block.strip(b"\0"):
            raise _refused(where, "tar.damaged", "something stands behind its end")


def _check_header(header: bytes, at: int, where: str) -> None:
    blank = header[:148] + b" " * 8 + header[156:]
    if _octal(header[148:156], where) != sum(blank):
        raise _refused(where, "tar.damaged", f"the header at byte {at} does not agree with its checksum")
    if header[_MAGIC] not in (b"ustar\x0000", b"ustar  \0"):
        raise _refused(where, "tar.damaged", f"the header at byte {at} is not of a ustar file")


def _name(header: bytes, where: str) -> str:
    name = header[:100].split(b"\0", 1)[0]
    prefix = header[345:500].split(b"\0", 1)[0] if header[_MAGIC] == b"ustar\x0000" else b""
    full = prefix + b"/" + name if prefix else name
    try:
        return full.decode("ascii")
    except UnicodeDecodeError as err:
        raise _refused(where, "bag.name", f"the name {full[:100]!r} is not allowed") from err


def _size(header: bytes, where: str) -> int:
    field = header[124:136]
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    return _octal(field, where)


def _octal(field: bytes, where: str) -> int:
    text = field.strip(b" \0")
    if text.strip(b"01234567"):
        raise _refused(where, "tar.damaged", f"a number in a header is {field!r}")
    return int(text or b"0", 8)


def tar_header(name: str, *, size: int, link: str | None = None) -> bytes:
    """Return the header of a file in a tar file: no owner, no time, read by all.

    Args:
        name: its path.
        size: of its content, bytes; 0 for a link.
        link: path of the earlier file with the same content.

    Raises:
        IntegrityError: ``tar.name``: the path does not fit into a header.
    """
    prefix, short = _split(name)
    if len(link or "") > 100:
        raise _refused(name, "tar.name", "the path of the file it is a link to is longer than 100 characters")
    number = b"%011o\0" % size if size < 1 << 33 else bytes([0x80]) + size.to_bytes(11, "big")
    parts = (
        short.encode().ljust(100, b"\0"), b"0000444\0", b"0000000\0", b"0000000\0", number, b"00000000000\0",
        b" " * 8, b"1" if link else b"0", (link or "").encode().ljust(100, b"\0"), b"ustar\x0000",
        bytes(64), b"0000000\0", b"0000000\0", prefix.encode().ljust(155, b"\0"), bytes(12),
    )  # fmt: skip
    header = b"".join(parts)
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]


def end_of_tar(written: int) -> bytes:
    """Return what stands at the end of a tar file of so many bytes: two empty blocks, then zeros to a full record."""
    return bytes(2 * _BLOCK + -(written + 2 * _BLOCK) % (20 * _BLOCK))


def _split(name: str) -> tuple[str, str]:
    """Return prefix and name of a path, which a header holds apart."""
    if len(name) <= 100:
        return "", name
    for place in range(len(name) - 1, 0, -1):
        if name[place] == "/" and place <= 155 and len(name) - place - 1 <= 100:
            return name[:place], name[place + 1 :]
    raise _refused(name, "tar.name", "the path is too long for a tar file; use a folder or a registry")


def _refused(where: str, code: str, message: str) -> IntegrityError:
    return IntegrityError(message, code=code, where=where)
