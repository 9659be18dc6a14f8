"""Tar files of archives: other programs read them, and no hostile one is unpacked, waited for or filled memory with."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from archives import digest, make_archive, verify_apart

from evercast.artifacts.archive import find_versions, open_archive
from evercast.artifacts.archive_transfer import transfer_archive
from evercast.artifacts.archive_verify import verify_archive
from evercast.artifacts.tar_files import end_of_tar, read_tar, tar_header
from evercast.errors import EvercastError

TODAY = "20261122"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return make_archive(tmp_path / "archive", versions=2)


@pytest.fixture
def packed(archive: Path, tmp_path: Path) -> Path:
    transfer_archive(str(archive), str(tmp_path / "archive.tar"))
    return tmp_path / "archive.tar"


def test_gnu_tar_and_python_unpack_it(archive: Path, packed: Path, tmp_path: Path) -> None:
    for name in ("gnu", "python"):
        (tmp_path / name).mkdir()
    subprocess.run(["tar", "-xf", packed, "-C", tmp_path / "gnu"], check=True)
    with tarfile.open(packed) as reader:
        reader.extractall(tmp_path / "python", filter="data")
    for name in ("gnu", "python"):
        assert verify_archive(tmp_path / name, today=TODAY).versions == verify_archive(archive, today=TODAY).versions
        subprocess.run(["sha256sum", "-c", "--quiet", "manifest-sha256.txt"], cwd=tmp_path / name / "v2", check=True)


def test_each_content_stands_once(archive: Path, packed: Path) -> None:
    with tarfile.open(packed) as reader:
        links = [member.name for member in reader if member.islnk()]
        contents = [reader.extractfile(member).read() for member in reader if member.isreg()]  # type: ignore[union-attr]
    assert "v1/data/results/copy.json" in links or "v1/data/analysis.json" in links
    assert "v2/data/units/training/ratios-1/weights.safetensors" in links
    big = [content for content in contents if len(content) > 200]
    assert len(set(big)) == len(big)
    assert verify_archive(packed, today=TODAY).stored_bytes == verify_archive(archive, today=TODAY).stored_bytes


def test_what_gnu_tar_packs_is_read(archive: Path, tmp_path: Path) -> None:
    for kind in ("gnu", "ustar"):
        file = tmp_path / f"{kind}.tar"
        subprocess.run(["tar", f"--format={kind}", "-cf", file, "v1", "v2"], cwd=archive, check=True)
        assert [version.record.version for version in verify_archive(file, today=TODAY).versions] == [1, 2]


def test_the_same_archive_gives_the_same_tar_file(archive: Path, packed: Path, tmp_path: Path) -> None:
    transfer_archive(str(archive), str(tmp_path / "again.tar"))
    assert (tmp_path / "again.tar").read_bytes() == packed.read_bytes()


def test_paths_of_more_than_100_characters_are_kept(tmp_path: Path) -> None:
    name = "v1/data/" + "/".join("part" * 12 for _ in range(4))
    file = tmp_path / "x.tar"
    content = tar_header(name, size=3) + b"abc" + bytes(509)
    file.write_bytes(content + end_of_tar(len(content)))
    assert list(read_tar(file)) == [name]
    with tarfile.open(file) as reader:
        assert reader.getnames() == [name]


def _add(name: str, content: bytes = b"x", **fields: object) -> Callable[[Path], None]:
    """Put one more entry, made by Python's own library, into a tar file."""

    def change(file: Path) -> None:
        with tarfile.open(file, "a", format=fields.pop("format", tarfile.USTAR_FORMAT)) as writer:  # type: ignore[call-overload]
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for key, value in fields.items():
                setattr(member, key, value)
            writer.addfile(member, io.BytesIO(content) if member.isreg() else None)

    return change


def _link(name: str, target: str, kind: bytes = tarfile.LNKTYPE) -> Callable[[Path], None]:
    return _add(name, b"", type=kind, linkname=target)


def _patch(at: int, content: bytes) -> Callable[[Path], None]:
    """Change bytes of the first header, whose checksum follows."""

    def change(file: Path) -> None:
        body = bytearray(file.read_bytes())
        body[at : at + len(content)] = content
        body[148:156] = b" " * 8
        body[148:156] = b"%06o\0 " % sum(body[:512])
        file.write_bytes(body)

    return change


def _chain(file: Path) -> None:
    """A chain of links longer than the kernel takes, with a way out at its end (the CVE-2025-4517 family)."""
    inner = "d" * 247
    with tarfile.open(file, "a", format=tarfile.PAX_FORMAT) as writer:
        path = ""
        for step in "abcdefghijklmnop":
            folder = tarfile.TarInfo(os.path.join(path, inner))  # noqa: PTH118 - in the tar file, not on the disk
            folder.type = tarfile.DIRTYPE
            writer.addfile(folder)
            link = tarfile.TarInfo(os.path.join(path, step))  # noqa: PTH118
            link.type, link.linkname = tarfile.SYMTYPE, inner
            writer.addfile(link)
            path = os.path.join(path, inner)  # noqa: PTH118
        out = tarfile.TarInfo("a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/" + "x" * 254)
        out.type, out.linkname = tarfile.SYMTYPE, "../" * 16
        writer.addfile(out)


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "..": (_add("v1/data/../../../evil"), "bag.name"),
    "absolute": (_add("/opt/evil"), "bag.name"),
    "a name with a newline": (_add("v1/data/a\nb"), "bag.name"),
    "a name of other letters": (_add("v1/data/ä"), "bag.name"),
    "an empty name": (_add(""), "bag.name"),
    "a symbolic link": (_link("v1/data/l", "/etc/passwd", tarfile.SYMTYPE), "tar.kind"),
    "a symbolic link inside": (_link("v1/data/l", "analysis.json", tarfile.SYMTYPE), "tar.kind"),
    "a hard link to outside": (_link("v1/data/l", "/etc/passwd"), "tar.kind"),
    "a hard link with ..": (_link("v1/data/l", "v1/../../x"), "tar.kind"),
    "a hard link to itself": (_link("v1/data/l", "v1/data/l"), "tar.kind"),
    "a hard link to what comes later": (_link("v1/data/l", "v1/data/later"), "tar.kind"),
    "a device": (_add("v1/data/d", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=5), "tar.kind"),
    "a block device": (_add("v1/data/d", b"", type=tarfile.BLKTYPE, devmajor=8), "tar.kind"),
    "a fifo": (_add("v1/data/f", b"", type=tarfile.FIFOTYPE), "tar.kind"),
    "setuid": (_add("v1/data/s", mode=0o4755), "tar.kind"),
    "a name twice": (_add("v1/data/analysis.json"), "tar.name"),
    "a name in other case": (_add("v1/data/ANALYSIS.json"), "bag.collision"),
    "a folder in other case": (_add("v1/DATA/x"), "bag.collision"),
    "a file that is a folder": (_add("v1/data/analysis.json/x"), "bag.collision"),
    "a header that overrides the name": (
        _add("v1/data/ok", format=tarfile.PAX_FORMAT, pax_headers={"path": "../../evil"}), "tar.kind",
    ),
    "a header that overrides the size": (
        _add("v1/data/ok", format=tarfile.PAX_FORMAT, pax_headers={"size": "0", "comment": "x"}), "tar.kind",
    ),
    "a long name of GNU": (_add("v1/data/" + "n" * 200, format=tarfile.GNU_FORMAT), "tar.kind"),
    "a sparse file": (_patch(156, b"S"), "tar.kind"),
    "a chain of links longer than the kernel takes": (_chain, "tar.kind"),
    "more than the archive lists": (_add("v1/data/sitecustomize.py", b"1/0"), "bag.extra-file"),
    "something beside the versions": (_add("sitecustomize.py", b"1/0"), "archive.extra-file"),
    "a terabyte in the header": (_patch(124, b"\x80" + (1 << 40).to_bytes(11, "big")), "tar.damaged"),
    "a negative size": (_patch(124, b"\xff" * 12), "tar.damaged"),
    "a size that is no number": (_patch(124, b"zzzzzzzzzzz\0"), "tar.damaged"),
    "a wrong checksum": (lambda file: _flip(file, 3), "tar.damaged"),
    "cut in a header": (lambda file: os.truncate(file, 700), "tar.damaged"),
    "cut at its end": (lambda file: file.write_bytes(file.read_bytes().rstrip(b"\0")), "tar.damaged"),
    "something behind its end": (lambda file: _append(file, b"x" * 512), "tar.damaged"),
    "a second tar file behind it": (lambda file: _append(file, file.read_bytes()), "tar.damaged"),
    "one bit of the content": (lambda file: _flip(file, 515), "bag.digest"),
}  # fmt: skip


def _flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


def _append(file: Path, content: bytes) -> None:
    with file.open("ab") as stream:
        stream.write(content)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_tar_file_is_refused_before_anything_is_written(name: str, packed: Path, tmp_path: Path) -> None:
    change, code = HOSTILE[name]
    change(packed)
    before = _snapshot(tmp_path)
    for call in (
        lambda: verify_archive(packed, today=TODAY),
        lambda: transfer_archive(str(packed), str(tmp_path / "target")),
    ):
        with pytest.raises(EvercastError) as caught:
            call()
        assert (caught.value.code, caught.value.exit_code) == (code, 5)
        assert str(packed) in str(caught.value)
    assert _snapshot(tmp_path) == before


def _snapshot(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path.relative_to(folder)), path.lstat().st_size) for path in folder.rglob("*"))


def _empty_entries(file: Path) -> None:
    with file.open("wb") as stream:
        for number in range(60_000):
            stream.write(tar_header(f"v1/data/{number}", size=0))
        stream.write(end_of_tar(stream.tell()))


def _many_links(file: Path) -> None:
    """One content of a megabyte under thirty thousand names: 30 GB for whoever unpacks copies."""
    with file.open("wb") as stream:
        stream.write(tar_header("v1/data/0", size=1 << 20) + bytes(1 << 20))
        for number in range(1, 30_000):
            stream.write(tar_header(f"v1/data/{number}", size=0, link="v1/data/0"))
        stream.write(end_of_tar(stream.tell()))


def _listed_links(file: Path) -> None:
    """The same, with manifests that agree: every digest is to be compared."""
    content = bytes(1 << 20)
    names = sorted(f"data/{number}" for number in range(30_000))
    info = f"Payload-Oxum: {len(content) * len(names)}.{len(names)}\n".encode()
    tags = {
        "bag-info.txt": info,
        "bagit.txt": b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n",
        "manifest-sha256.txt": "".join(f"{digest(content)}  {name}\n" for name in names).encode(),
    }
    tags["tagmanifest-sha256.txt"] = "".join(f"{digest(text)}  {name}\n" for name, text in tags.items()).encode()
    with file.open("wb") as stream:
        for name, text in tags.items():
            stream.write(tar_header(f"v1/{name}", size=len(text)) + text + bytes(-len(text) % 512))
        stream.write(tar_header(f"v1/{names[0]}", size=len(content)) + content)
        for name in names[1:]:
            stream.write(tar_header(f"v1/{name}", size=0, link=f"v1/{names[0]}"))
        stream.write(end_of_tar(stream.tell()))


def _sparse(file: Path) -> None:
    """A terabyte of zeros that takes no room on the disk."""
    with file.open("wb") as stream:
        stream.write(tar_header("v1/data/0", size=1 << 40))
        stream.truncate(512 + (1 << 40) + 10240)


def _zip(file: Path) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as writer:
        writer.writestr("v1/data/zeros", bytes(100_000_000))


def _gzip(file: Path) -> None:
    plain = file.with_suffix(".plain")
    with plain.open("wb") as stream:
        stream.write(tar_header("v1/data/0", size=1 << 28) + bytes(1 << 28))
    subprocess.run(["gzip", "-1", plain], check=True)
    plain.with_suffix(".plain.gz").rename(file)


def _nested(file: Path) -> None:
    content = tar_header("v1/data/0", size=0) + end_of_tar(512)
    for _ in range(200):
        content = tar_header("v1/data/0", size=len(content)) + content + bytes(-len(content) % 512) + bytes(1024)
    file.write_bytes(content)


def _deep_record(file: Path) -> None:
    make_archive(file.parent / "made")
    place = file.parent / "made/v1/data/archive.json"
    place.unlink()
    place.write_bytes(b"[" * 100_000_000)
    transfer = file.parent / "made"
    subprocess.run(["tar", "--format=ustar", "-cf", file, "v1"], cwd=transfer, check=True)


BOMBS: dict[str, tuple[Callable[[Path], None], int]] = {
    "60 000 entries": (_empty_entries, 5),
    "30 000 names of one content": (_many_links, 5),
    "30 000 names of one content that are listed": (_listed_links, 5),
    "a terabyte without room": (_sparse, 5),
    "a zip file": (_zip, 3),
    "a gzip file": (_gzip, 3),
    "nested": (_nested, 5),
    "100 MB of brackets": (_deep_record, 5),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_neither_time_nor_memory(name: str, tmp_path: Path) -> None:
    make, exit_code = BOMBS[name]
    make(tmp_path / "bomb.tar")
    found, text, megabytes = verify_apart(tmp_path / "bomb.tar")
    assert found == exit_code, text
    assert "Traceback" not in text
    assert megabytes < 200


def test_pulled_files_are_plain_and_nobody_else_can_change_them(packed: Path, tmp_path: Path) -> None:
    transfer_archive(str(packed), str(tmp_path / "target"))
    for path in (tmp_path / "target").rglob("data/**/*"):
        mode = path.lstat().st_mode
        assert stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and mode & 0o222 == 0)
    assert open_archive(tmp_path / "target").last is not None


def test_a_tar_file_of_one_version_is_one(archive: Path, tmp_path: Path) -> None:
    transfer_archive(str(archive / "v2"), str(tmp_path / "v2.tar"))
    assert list(find_versions(tmp_path / "v2.tar")) == [""]
    transfer_archive(str(tmp_path / "v2.tar"), str(tmp_path / "second"))
    assert verify_archive(tmp_path / "second", today=TODAY).versions[0].record.version == 2
