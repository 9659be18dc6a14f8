import errno
import os
from pathlib import Path

import pytest

from evercast.artifacts.files import (
    atomic_write_bytes,
    atomic_write_json,
    canonical_json,
    disk_errors,
    make_folder,
    read_json,
    sha256_file,
)
from evercast.errors import EnvironmentUnfit, IntegrityError, NumericalFailure


def test_sha256_of_a_file_is_that_of_its_content(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert sha256_file(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_missing_file_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="does not exist") as caught:
        sha256_file(tmp_path / "absent")
    assert caught.value.code == "artifact.missing"


def test_canonical_json_does_not_depend_on_order_or_container() -> None:
    assert canonical_json({"b": [1, 2.0], "a": "é"}) == canonical_json({"a": "é", "b": (1, 2.0)})
    assert canonical_json({"a": 1}) == b'{"a":1}'


def test_canonical_json_refuses_nan() -> None:
    with pytest.raises(NumericalFailure) as caught:
        canonical_json({"x": [float("nan")]})
    assert caught.value.code == "json.not-finite"


def test_canonical_json_refuses_keys_that_are_no_text() -> None:
    with pytest.raises(TypeError, match="must be text"):
        canonical_json({1: 2})


@pytest.mark.parametrize(
    ("text", "problem"),
    [('{"a": 1, "a": 2}', "'a' stands twice"), ('{"a": NaN}', "NaN"), ("{", "not valid JSON"), ("[" * 100000, "JSON")],
    ids=["duplicate", "nan", "cut", "deep"],
)
def test_damaged_json_is_refused_by_name(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(IntegrityError, match=problem) as caught:
        read_json(path)
    assert caught.value.exit_code == 5
    assert str(path) in str(caught.value)


def test_json_comes_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    atomic_write_json(path, {"z": [1, None, "é"], "a": {"deep": 0.1}})
    assert read_json(path) == {"z": [1, None, "é"], "a": {"deep": 0.1}}
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    atomic_write_json(path, {"old": True})
    with pytest.raises(NumericalFailure):
        atomic_write_json(path, {"new": float("inf")})
    assert read_json(path) == {"old": True}
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_named_and_leaves_the_old_content(small_disk: Path) -> None:
    path = small_disk / "x.bin"
    atomic_write_bytes(path, b"old")
    with pytest.raises(EnvironmentUnfit, match="no space left") as caught:
        atomic_write_bytes(path, os.urandom(2 << 20))
    assert caught.value.code == "disk.full"
    assert str(path) in str(caught.value)
    assert path.read_bytes() == b"old"
    assert list(small_disk.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.EDQUOT, "disk.full"),
        (errno.EFBIG, "disk.full"),
        (errno.EROFS, "disk.read-only"),
        (errno.EMFILE, "disk.handles"),
    ],
)
def test_disk_errors_have_stable_codes(number: int, code: str) -> None:
    with pytest.raises(EnvironmentUnfit) as caught, disk_errors(Path("place")):
        raise OSError(number, os.strerror(number))
    assert caught.value.code == code
    assert "place" in str(caught.value)


def test_other_errors_pass_through() -> None:
    with pytest.raises(ConnectionResetError), disk_errors(Path("place")):
        raise OSError(errno.ECONNRESET, "reset")


@pytest.mark.parametrize("name", ["file", "file/below", "file/far/below"])
def test_a_folder_is_not_made_where_a_file_is_in_its_way(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(EnvironmentUnfit, match="file is no folder") as caught:
        make_folder(tmp_path / name)
    assert (caught.value.code, caught.value.where) == ("disk.in-the-way", str(tmp_path / "file"))


def test_a_folder_that_no_file_system_takes_is_refused(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    with pytest.raises(EnvironmentUnfit, match=r"(?i)name too long") as caught:
        make_folder(tmp_path / ("x" * 300))
    assert caught.value.code == "disk.refuses"


def test_a_file_is_not_written_over_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(EnvironmentUnfit, match="is a folder") as caught:
        atomic_write_bytes(tmp_path / "folder", b"x")
    assert caught.value.code == "disk.in-the-way"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(EnvironmentUnfit, match="file is no folder"):
        atomic_write_bytes(tmp_path / "file" / "below", b"x")


def test_a_fifo_is_no_file_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for read in (sha256_file, read_json):
        with pytest.raises(IntegrityError) as caught:
            read(tmp_path / "pipe")
        assert caught.value.code == "artifact.missing"
