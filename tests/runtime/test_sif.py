"""Image files are written the same each time, and what is wrong with one is said before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evercast.errors import EnvironmentUnfit
from evercast.runtime.sif import DESCRIPTOR, HEADER, LABELS, PARTITION, read_sif
from evercast.runtime.sif_writer import forget_times, write_sif

LABEL_VALUES = {"org.opencontainers.image.version": "1.2.3", "a": "b"}


def write(
    file: Path, *, content: bytes = b"hsqs" + 5000 * b"x", epoch: int = 1_000_000, architecture: str = "amd64"
) -> Path:
    """An image file with some bytes as its file system."""
    packed = file.with_suffix(".squashfs")
    packed.write_bytes(content)
    write_sif(
        file, file_system=packed, definition="Bootstrap: scratch\n", labels=LABEL_VALUES, architecture=architecture,
        epoch=epoch,
    )  # fmt: skip
    return file


def test_what_is_written_is_read(tmp_path: Path) -> None:
    sif = read_sif(write(tmp_path / "x.sif", architecture="arm64"))
    assert (sif.architecture, sif.labels, sif.is_signed) == ("arm64", LABEL_VALUES, False)
    (system,) = (item for item in sif.objects if item.kind == PARTITION)
    assert sif.content(system) == b"hsqs" + 5000 * b"x"
    assert system.offset % 4096 == 0


def test_the_bytes_follow_from_the_content_alone(tmp_path: Path) -> None:
    first, second = write(tmp_path / "one.sif"), write(tmp_path / "two.sif")
    assert first.read_bytes() == second.read_bytes()
    other = write(tmp_path / "three.sif", content=b"hsqs" + 4999 * b"x" + b"y")
    assert other.read_bytes()[: HEADER.size] != first.read_bytes()[: HEADER.size]


def test_times_of_signing_are_forgotten(tmp_path: Path) -> None:
    file = write(tmp_path / "x.sif")
    before = file.read_bytes()
    with file.open("r+b") as stream:
        fields = list(HEADER.unpack(stream.read(HEADER.size)))
        fields[6] = 2_000_000_000
        stream.seek(0)
        stream.write(HEADER.pack(*fields))
    forget_times(file, epoch=1_000_000)
    assert file.read_bytes() == before


def test_labels_that_are_no_json_count_as_absent(tmp_path: Path) -> None:
    file = write(tmp_path / "x.sif")
    (labels,) = (item for item in read_sif(file).objects if item.kind == LABELS)
    content = bytearray(file.read_bytes())
    content[labels.offset] = ord("]")
    file.write_bytes(content)
    assert read_sif(file).labels == {}


@pytest.mark.parametrize("size", [1, 40, 42, HEADER.size - 1, HEADER.size, 4096, 4096 + DESCRIPTOR.size, 40_000])
def test_a_cut_file_is_named(tmp_path: Path, size: int) -> None:
    file = write(tmp_path / "x.sif")
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(EnvironmentUnfit) as caught:
        read_sif(file)
    assert caught.value.code in ({"image.not-an-image"} if size < 42 else {"image.cut"})
    assert caught.value.where == str(file)


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    (tmp_path / "script").write_text("#!/bin/sh\n")
    (tmp_path / "text").write_text("image")
    (tmp_path / "other").write_bytes(b"\x7fELF" + bytes(100))
    words = {"folder": "is a folder", "empty": "empty file", "script": "a script", "text": "a text", "other": "no SIF",
             "absent": "no such file"}  # fmt: skip
    for name, word in words.items():
        with pytest.raises(EnvironmentUnfit, match=word):
            read_sif(tmp_path / name)


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, 4096 + 3 * DESCRIPTOR.size - 1), value=st.integers(0, 255))
def test_a_damaged_header_never_ends_in_another_error(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: int
) -> None:
    folder = tmp_path_factory.mktemp("sif")
    file = write(folder / "x.sif")
    content = bytearray(file.read_bytes())
    content[place] = value
    file.write_bytes(content)
    try:
        sif = read_sif(file)
    except EnvironmentUnfit:
        return
    assert all(0 <= item.offset <= item.offset + item.size <= len(content) for item in sif.objects)
