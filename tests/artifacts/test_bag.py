"""Bags: what is written is what BagIt, sha256sum and a strict reader expect, and nothing else is opened."""

from __future__ import annotations

import hashlib
import os
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from evercast.artifacts.bag import BagLimits, open_bag, write_bag
from evercast.errors import EvercastError, IntegrityError, InvalidInput


def make_bag(folder: Path) -> Path:
    (folder / "data" / "units" / "fit").mkdir(parents=True)
    (folder / "data" / "analysis.json").write_text('{"a":1}\n')
    (folder / "data" / "units" / "fit" / "result.json").write_text("{}\n")
    (folder / "data" / "units" / "fit" / "weights.bin").write_bytes(bytes(range(256)) * 10)
    write_bag(folder, info={"Source-Organization": "a test", "Evercast-Version": "1"})
    return folder


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    return make_bag(tmp_path / "v1")


def test_a_bag_that_was_written_is_read_back(bag: Path) -> None:
    found = open_bag(bag)
    assert found.verified
    assert list(found.files) == [
        "data/analysis.json", "data/units/fit/result.json", "data/units/fit/weights.bin"
    ]  # fmt: skip
    assert found.id == hashlib.sha256((bag / "manifest-sha256.txt").read_bytes()).hexdigest()
    assert found.info == {"Source-Organization": "a test", "Evercast-Version": "1", "Payload-Oxum": "2571.3"}
    assert found.under("data/units") == ("data/units/fit/result.json", "data/units/fit/weights.bin")
    assert found.path("data/units/fit") == bag / "data/units/fit"
    assert open_bag(bag, expected_id=found.id).id == found.id


def test_the_same_payload_has_the_same_id(bag: Path, tmp_path: Path) -> None:
    again = make_bag(tmp_path / "again")
    assert open_bag(again).id == open_bag(bag).id


def test_sha256sum_and_bagit_accept_it(bag: Path) -> None:
    for manifest in ("manifest-sha256.txt", "tagmanifest-sha256.txt"):
        subprocess.run(["sha256sum", "--check", "--strict", "--quiet", manifest], cwd=bag, check=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the package itself
        import bagit  # noqa: PLC0415
    assert bagit.Bag(str(bag)).validate()


def _append(path: Path, content: bytes) -> None:
    with path.open("ab") as stream:
        stream.write(content)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    status = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _replace(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


def _retag(bag: Path) -> None:
    """Make the manifest of the other files agree with what stands there, as a careful forger would."""
    names = ("bag-info.txt", "bagit.txt", "manifest-sha256.txt")
    lines = [f"{hashlib.sha256((bag / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (bag / "tagmanifest-sha256.txt").write_text("".join(lines))


def _manifest(bag: Path, change: Callable[[list[str]], list[str]]) -> None:
    lines = (bag / "manifest-sha256.txt").read_text().splitlines(keepends=True)
    (bag / "manifest-sha256.txt").write_text("".join(change(lines)))
    _retag(bag)


def _to_link(path: Path) -> None:
    other = path.with_name("elsewhere")
    path.rename(path.parents[3] / "elsewhere")
    path.symlink_to(path.parents[3] / "elsewhere")
    assert not other.exists()


def _to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _to_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _deep(bag: Path) -> None:
    """A chain of folders whose path is longer than the kernel takes."""
    handle = os.open(bag / "data", os.O_RDONLY)
    for _ in range(60):
        os.mkdir("d" * 100, dir_fd=handle)
        inner = os.open("d" * 100, os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    os.close(handle)


WEIGHTS = "data/units/fit/weights.bin"

DAMAGES: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "one bit flipped": (lambda bag: _flip(bag / WEIGHTS), "bag.digest", "weights.bin"),
    "cut": (lambda bag: os.truncate(bag / WEIGHTS, 100), "bag.oxum", "2571"),
    "emptied": (lambda bag: os.truncate(bag / WEIGHTS, 0), "bag.oxum", "11.3"),
    "appended": (lambda bag: _append(bag / WEIGHTS, b"x"), "bag.oxum", "2572"),
    "deleted": (lambda bag: (bag / WEIGHTS).unlink(), "bag.missing-file", "weights.bin"),
    "two files swapped": (
        lambda bag: _swap(bag / "data/analysis.json", bag / "data/units/fit/result.json"),
        "bag.digest",
        "analysis.json",
    ),
    "extra at the top": (lambda bag: (bag / "sitecustomize.py").write_text("1/0"), "bag.extra-file", "sitecustomize"),
    "extra hidden": (lambda bag: (bag / "data" / ".hidden").write_text(""), "bag.extra-file", ".hidden"),
    "extra deep": (
        lambda bag: (bag / "data/units/fit/sitecustomize.py").write_text("1/0"),
        "bag.extra-file",
        "sitecustomize",
    ),
    "extra folder": (lambda bag: (bag / "data" / "empty").mkdir(), "bag.extra-folder", "data/empty"),
    "symbolic link to equal bytes": (lambda bag: _to_link(bag / WEIGHTS), "bag.kind", "symbolic link"),
    "symbolic link to a folder": (lambda bag: (bag / "data" / "out").symlink_to("/"), "bag.kind", "symbolic link"),
    "folder in place of a file": (lambda bag: _to_folder(bag / WEIGHTS), "bag.extra-folder", "weights.bin"),
    "fifo": (lambda bag: _to_fifo(bag / WEIGHTS), "bag.kind", "a fifo"),
    "setuid": (lambda bag: (bag / WEIGHTS).chmod(0o4755), "bag.kind", "setuid"),
    "names that differ in case": (
        lambda bag: (bag / "data" / "Analysis.json").write_text(""), "bag.collision", "differ in case",
    ),
    "a name with a newline": (lambda bag: (bag / "data" / "a\nb").write_text(""), "bag.name", "a\\nb"),
    "a name of other letters": (lambda bag: (bag / "data" / "Å").write_text(""), "bag.name", "not allowed"),
    "a name that is no text": (
        lambda bag: Path(os.fsdecode(os.fsencode(bag / "data") + b"/\xff")).write_text(""), "bag.name", "not allowed",
    ),
    "a name of 200 characters": (lambda bag: (bag / "data" / ("n" * 200)).write_text(""), "bag.name", "100"),
    "a path longer than the kernel takes": (_deep, "bag.name", "too long"),
    "line of the manifest dropped": (lambda bag: _manifest(bag, lambda lines: lines[1:]), "bag.extra-file", "analysis"),
    "line of the manifest doubled": (
        lambda bag: _manifest(bag, lambda lines: [lines[0], *lines]), "bag.manifest", "twice",
    ),
    "lines in another order": (lambda bag: _manifest(bag, lambda lines: lines[::-1]), "bag.manifest", "order"),
    "manifest with ..": (
        lambda bag: _manifest(bag, lambda lines: [f"{'0' * 64}  data/../../etc/passwd\n", *lines]),
        "bag.missing-file",
        "../etc/passwd",
    ),
    "manifest with an absolute path": (
        lambda bag: _manifest(bag, lambda lines: [f"{'0' * 64}  /etc/passwd\n", *lines]), "bag.missing-file", "/etc",
    ),
    "manifest emptied": (lambda bag: _manifest(bag, lambda _: []), "bag.manifest", "empty"),
    "manifest cut": (lambda bag: _manifest(bag, lambda lines: [*lines[:-1], lines[-1][:-1]]), "bag.manifest", "cut"),
    "manifest that is a pickle": (
        lambda bag: (bag / "manifest-sha256.txt").write_bytes(b"\x80\x04cos\nsystem\n(S'x'\ntR."), "bag.manifest", "",
    ),
    "md5 alone": (
        lambda bag: (bag / "manifest-sha256.txt").rename(bag / "manifest-md5.txt"), "bag.not-a-bag", "manifest-sha256",
    ),
    "md5 too": (lambda bag: (bag / "manifest-md5.txt").write_text(""), "bag.extra-file", "manifest-md5"),
    "fetch.txt": (lambda bag: (bag / "fetch.txt").write_text("https://x 1 data/x\n"), "bag.fetch", "fetch.txt"),
    "bag-info changed": (lambda bag: _replace(bag / "bag-info.txt", b"a test", b"A test"), "bag.digest", "bag-info"),
    "bag-info with a label twice": (
        lambda bag: (_append(bag / "bag-info.txt", b"Payload-Oxum: 1.1\n"), _retag(bag)), "bag.info", "line 4",
    ),
    "a Python tag in bag-info": (
        lambda bag: (_append(bag / "bag-info.txt", b"!!python/object:os.system x\n"), _retag(bag)), "bag.info", "line",
    ),
    "no tag manifest": (lambda bag: (bag / "tagmanifest-sha256.txt").unlink(), "bag.not-a-bag", "tagmanifest"),
    "a program among the signatures": (
        lambda bag: ((bag / "signatures").mkdir(), (bag / "signatures/run.sh").write_text("x")),
        "bag.extra-file",
        "run.sh",
    ),
    "a signature of a gigabyte": (
        lambda bag: ((bag / "signatures").mkdir(), _sparse(bag / "signatures/a.sig", 1 << 30)),
        "bag.extra-file",
        "a.sig",
    ),
    "a manifest of a terabyte": (lambda bag: _sparse(bag / "manifest-sha256.txt", 1 << 40), "bag.too-large", "bytes"),
}  # fmt: skip


def _sparse(path: Path, size: int) -> None:
    with path.open("ab") as stream:
        stream.truncate(size)


def _swap(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_or_hostile_bag_is_refused(name: str, bag: Path) -> None:
    damage, code, words = DAMAGES[name]
    damage(bag)
    with pytest.raises(IntegrityError) as caught:
        open_bag(bag)
    assert caught.value.code == code
    assert words in str(caught.value)
    assert str(bag) in str(caught.value)


def test_an_unknown_version_is_no_damage(bag: Path) -> None:
    _replace(bag / "bagit.txt", b"1.0", b"999")
    with pytest.raises(InvalidInput) as caught:
        open_bag(bag)
    assert caught.value.code == "bag.version"
    assert "BagIt-Version: 999" in str(caught.value)


def test_content_changed_together_with_its_digests_is_found_by_a_known_id(bag: Path) -> None:
    known = open_bag(bag).id
    _flip(bag / WEIGHTS)
    new = hashlib.sha256((bag / WEIGHTS).read_bytes()).hexdigest()
    _manifest(bag, lambda lines: [*lines[:-1], f"{new}  {WEIGHTS}\n"])
    assert open_bag(bag).id != known
    with pytest.raises(IntegrityError) as caught:
        open_bag(bag, expected_id=known)
    assert caught.value.code == "bag.id"


def test_without_digests_the_structure_alone_is_checked(bag: Path) -> None:
    _flip(bag / WEIGHTS)
    assert not open_bag(bag, digests=False).verified


def test_too_many_files_are_refused_before_all_are_looked_at(bag: Path) -> None:
    with pytest.raises(IntegrityError) as caught:
        open_bag(bag, limits=BagLimits(files=3))
    assert caught.value.code == "bag.too-large"


def test_a_name_that_no_bag_has_is_refused_when_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "with space").write_text("")
    with pytest.raises(IntegrityError) as caught:
        write_bag(tmp_path, info={})
    assert caught.value.code == "bag.name"
    assert not (tmp_path / "manifest-sha256.txt").exists()


def test_a_folder_that_is_a_link_is_no_bag(bag: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(bag)
    with pytest.raises(EvercastError) as caught:
        open_bag(tmp_path / "link")
    assert caught.value.code == "bag.not-a-bag"


def test_only_payload_that_is_listed_has_a_path(bag: Path) -> None:
    with pytest.raises(IntegrityError) as caught:
        open_bag(bag).path("data/../../etc/passwd")
    assert caught.value.code == "bag.not-listed"
