import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evercast.artifacts.arrays import CHUNK_ROWS, SHARD_CHUNKS, read_arrays, write_arrays
from evercast.artifacts.files import sha256_file
from evercast.errors import EnvironmentUnfit, IntegrityError, InvalidInput

ROWS = CHUNK_ROWS * SHARD_CHUNKS + 5


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        "observables": rng.normal(size=(ROWS, 3)),
        "event": np.arange(ROWS, dtype=np.uint64),
        "zero": np.zeros(7, dtype=np.float32),
        "none": np.zeros((0, 4)),
        "narrow": np.zeros((5, 0), dtype=bool),
    }


@pytest.fixture
def folder(tmp_path: Path, arrays: dict[str, np.ndarray]) -> Path:
    write_arrays(tmp_path / "x.zarr", arrays, {"names": ["a", "b"], "n": 3})
    return tmp_path / "x.zarr"


def test_arrays_come_back_bit_for_bit(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    found = read_arrays(folder)
    assert found.attributes == {"names": ["a", "b"], "n": 3}
    assert set(found.arrays) == set(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_shards_have_eight_chunks_of_16384_rows(folder: Path) -> None:
    body = json.loads((folder / "observables" / "zarr.json").read_text())
    assert body["chunk_grid"]["configuration"]["chunk_shape"] == [131072, 3]
    sharding = body["codecs"][0]
    assert sharding["configuration"]["chunk_shape"] == [16384, 3]
    blosc = sharding["configuration"]["codecs"][1]["configuration"]
    assert (blosc["cname"], blosc["shuffle"]) == ("zstd", "bitshuffle")


def test_equal_arrays_give_equal_bytes(folder: Path, tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    write_arrays(tmp_path / "y.zarr", arrays, {"names": ["a", "b"], "n": 3})
    assert (folder / "inventory.json").read_bytes() == (tmp_path / "y.zarr" / "inventory.json").read_bytes()


def _flip(folder: Path) -> None:
    path = folder / "observables" / "c" / "0" / "0"
    times = path.stat().st_mtime_ns
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times, times))


def _inventory(folder: Path, change: Callable[[dict[str, object]], None]) -> None:
    body = json.loads((folder / "inventory.json").read_text())
    change(body)
    (folder / "inventory.json").write_text(json.dumps(body))


def _link(folder: Path) -> None:
    path = folder / "event" / "c" / "1"
    path.rename(folder.parent / "elsewhere")
    path.symlink_to(folder.parent / "elsewhere")


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "one bit of a shard": (_flip, "observables/c/0/0 has sha256"),
    "a cut shard": (lambda p: os.truncate(p / "event" / "c" / "1", 10), "event/c/1 has 10 bytes"),
    "an empty shard": (lambda p: os.truncate(p / "event" / "c" / "0", 0), "event/c/0 has 0 bytes"),
    "a lost shard": (lambda p: (p / "event" / "c" / "1").unlink(), "event/c/1 is missing"),
    "lost metadata": (lambda p: (p / "event" / "zarr.json").unlink(), "event/zarr.json is missing"),
    "a further file": (lambda p: (p / "event" / ".hidden").write_text("x"), "is not in the inventory"),
    "a link to equal bytes": (_link, "neither a file nor a folder"),
    "a pipe": (lambda p: os.mkfifo(p / "pipe"), "neither a file nor a folder"),
    "no inventory": (lambda p: (p / "inventory.json").unlink(), "inventory.json does not exist"),
    "an inventory of another format": (lambda p: _inventory(p, lambda b: b.update(format="arrays/9")), "arrays/1.0.0"),
    "an inventory with a line less": (
        lambda p: _inventory(p, lambda b: b["files"].pop("event/c/1")),
        "event/c/1 is not in the inventory",
    ),
    "no folder": (shutil.rmtree, "no such folder"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_refused_and_named(folder: Path, name: str) -> None:
    damage, message = DAMAGES[name]
    damage(folder)
    with pytest.raises(IntegrityError, match=message) as caught:
        read_arrays(folder)
    assert caught.value.exit_code == 5


def _forge(folder: Path, name: str, change: Callable[[dict[str, object]], None]) -> None:
    """Change the metadata of an array and bring the inventory into line, as somebody with intent would."""
    path = folder / name / "zarr.json"
    body = json.loads(path.read_text())
    change(body)
    path.write_text(json.dumps(body))
    _seal(folder)


def _seal(folder: Path) -> None:
    files = [entry for entry in folder.rglob("*") if entry.is_file() and entry.name != "inventory.json"]
    records = {
        entry.relative_to(folder).as_posix(): {"sha256": sha256_file(entry), "size": entry.stat().st_size}
        for entry in files
    }
    _inventory(folder, lambda body: body.update(files=records))


FORGERIES: dict[str, tuple[Callable[[dict[str, object]], object], str]] = {
    "a pickle codec": (lambda b: b["codecs"].insert(0, {"name": "numcodecs.pickle"}), "codec 'numcodecs.pickle'"),
    "a codec inside the shard": (
        lambda b: b["codecs"][0]["configuration"]["codecs"].append({"name": "gzip", "configuration": {}}),
        "codec 'gzip'",
    ),
    "another blosc": (
        lambda b: b["codecs"][0]["configuration"]["codecs"][1]["configuration"].update(cname="snappy"),
        "blosc with snappy",
    ),
    "no codecs": (lambda b: b.update(codecs=[]), "codec 'none'"),
    "zarr 2": (lambda b: b.update(zarr_format=2), "not a zarr v3 array"),
    "zarr 4": (lambda b: b.update(zarr_format=4), "not a zarr v3 array"),
    "an object type": (lambda b: b.update(data_type="string"), "data type 'string'"),
    "a grown shape": (lambda b: b.update(shape=[3 * ROWS]), "does not go with its shards"),
    "a huge shape": (lambda b: b.update(shape=[10**15]), "more than this reader takes"),
    "a negative shape": (lambda b: b.update(shape=[-1]), "has shape"),
    "an unknown extension": (lambda b: b.update(extra={"must_understand": True}), "unknown metadata 'extra'"),
    "a storage transformer": (lambda b: b.update(storage_transformers=["x"]), "unknown metadata 'x'"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_metadata_are_refused_before_zarr_sees_them(folder: Path, name: str) -> None:
    change, message = FORGERIES[name]
    _forge(folder, "event", change)
    with pytest.raises(IntegrityError, match=message) as caught:
        read_arrays(folder)
    assert caught.value.code == "array.metadata"


def test_a_lost_shard_is_seen_even_when_the_inventory_agrees(folder: Path) -> None:
    (folder / "event" / "c" / "1").unlink()
    _seal(folder)
    with pytest.raises(IntegrityError, match="does not go with its shards at c/1"):
        read_arrays(folder)


def test_a_pickle_in_place_of_metadata_is_not_loaded(folder: Path) -> None:
    (folder / "event" / "zarr.json").write_bytes(pickle.dumps({"zarr_format": 3}))
    _seal(folder)
    with pytest.raises(IntegrityError, match="not valid JSON"):
        read_arrays(folder)


def test_an_existing_folder_is_not_overwritten(folder: Path) -> None:
    before = sha256_file(folder / "inventory.json")
    with pytest.raises(InvalidInput, match="exists already"):
        write_arrays(folder, {"x": np.zeros(3)}, {})
    assert sha256_file(folder / "inventory.json") == before


@pytest.mark.parametrize(
    "array", [np.array(["text"]), np.array([object()]), np.zeros(3, dtype=np.float16), np.array(1.0)]
)
def test_types_that_could_not_be_read_back_are_not_written(tmp_path: Path, array: np.ndarray) -> None:
    with pytest.raises(InvalidInput) as caught:
        write_arrays(tmp_path / "x.zarr", {"x": array}, {})
    assert caught.value.code == "array.dtype"
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(small_disk: Path) -> None:
    with pytest.raises(EnvironmentUnfit) as caught:
        write_arrays(small_disk / "x.zarr", {"x": np.random.default_rng(1).normal(size=(ROWS, 3))}, {})
    assert caught.value.code == "disk.full"
    assert list(small_disk.iterdir()) == []
