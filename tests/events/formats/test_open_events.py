"""Every reader behind the one interface: formats by content, all events or an error."""

import gzip
from pathlib import Path

import awkward as ak
import event_files
import numpy as np
import pytest
import zarr

from evercast.artifacts.arrays import write_arrays
from evercast.errors import IntegrityError, InvalidInput
from evercast.events.formats import detect_format, open_events

EVENTS = 7


def make(kind: str, folder: Path) -> Path:
    """One good file of each kind, under a name that says nothing."""
    path = folder / "events.dat"
    numbers = {"x": np.arange(EVENTS, dtype=np.float64), "y": np.arange(EVENTS) + 0.5}
    if kind == "csv":
        return event_files.write_csv(path, numbers)
    if kind == "parquet":
        return event_files.write_parquet(path, event_files.leptons(EVENTS), np.ones(EVENTS))
    if kind in ("tree", "rntuple"):
        return event_files.write_root(path, numbers, kind=kind)
    if kind == "lhe":
        path.write_text(event_files.lhe_text(EVENTS))
        return path
    if kind == "zarr":
        write_arrays(path, numbers, {})
        return path
    return event_files.write_hepmc(path, EVENTS, version=kind)


KINDS = {
    "csv": "csv",
    "parquet": "parquet",
    "tree": "root",
    "rntuple": "root",
    "lhe": "lhe",
    "HepMC2": "hepmc",
    "HepMC3": "hepmc",
    "zarr": "zarr",
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_content_tells_the_format_and_chunks_hold_every_event(kind, tmp_path):
    source = open_events(make(kind, tmp_path))
    assert source.format == KINDS[kind]
    chunks = list(source.chunks(3))
    assert [len(chunk) for chunk in chunks] == [3, 3, 1]
    assert set(chunks[0].fields) == set(source.columns)
    assert source.facts.n_events == (None if kind == "csv" else EVENTS)


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_named_columns_are_read_and_chunk_size_does_not_matter(kind, tmp_path):
    source = open_events(make(kind, tmp_path))
    name = source.columns[-1]
    whole = ak.concatenate(list(source.chunks(1000, [name])))
    parts = ak.concatenate(list(source.chunks(2, [name])))
    assert whole.fields == [name]
    assert ak.all(whole[name] == parts[name], axis=None)


@pytest.mark.parametrize("kind", ["csv", "lhe", "HepMC2", "HepMC3"])
def test_gzip_is_undone_for_text(kind, tmp_path):
    path = make(kind, tmp_path)
    plain = ak.concatenate(list(open_events(path).chunks(100)))
    packed = ak.concatenate(list(open_events(event_files.zipped(path)).chunks(100)))
    assert plain.tolist() == packed.tolist()


@pytest.mark.parametrize("kind", ["csv", "lhe", "HepMC2", "HepMC3"])
@pytest.mark.parametrize("fraction", [0.3, 0.7, 0.99])
def test_a_cut_gzip_is_named(kind, fraction, tmp_path):
    packed = event_files.zipped(make(kind, tmp_path))
    packed.write_bytes(packed.read_bytes()[: int(fraction * packed.stat().st_size)])
    with pytest.raises(InvalidInput, match="gzip stream") as caught:
        list(open_events(packed).chunks(100))
    assert caught.value.code == "sample.truncated"
    assert str(packed) in str(caught.value)


def test_a_damaged_gzip_is_named(tmp_path):
    packed = event_files.zipped(make("HepMC3", tmp_path))
    content = bytearray(packed.read_bytes())
    content[-6] ^= 0xFF  # in the checksum
    packed.write_bytes(content)
    with pytest.raises(InvalidInput, match="CRC") as caught:
        open_events(packed)
    assert caught.value.code == "sample.format"


@pytest.mark.parametrize("kind", ["parquet", "tree", "rntuple", "lhe", "HepMC2", "HepMC3"])
@pytest.mark.parametrize("fraction", [0.4, 0.8, 0.98])
def test_a_cut_file_is_never_a_shorter_file(kind, fraction, tmp_path):
    path = make(kind, tmp_path)
    path.write_bytes(path.read_bytes()[: int(fraction * path.stat().st_size)])
    with pytest.raises(InvalidInput) as caught:
        list(open_events(path).chunks(100))
    assert caught.value.code in ("sample.truncated", "sample.format")
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"   \n\n", "empty"),
        (b"\0" * 9000, "only zeros"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git-lfs pointer"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 100, "HDF5"),
        (b"PK\x03\x04" + b"\0" * 100, "zip"),
        (b"\x80\x04\x95" + b"\0" * 100, "pickle"),
        (bytes(range(1, 256)) * 4, "binary"),
        (b'{"a": 1}', "text that starts with"),
        (gzip.compress(gzip.compress(b"x,y\n1,2\n")), "gzip inside gzip"),
    ],
)
def test_what_is_no_event_file_is_named_as_what_it_is(content, message, tmp_path):
    path = tmp_path / "events.root"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=message) as caught:
        open_events(path)
    assert caught.value.code in ("sample.format", "sample.empty")
    assert caught.value.exit_code == 3


def test_a_missing_file_and_a_plain_folder_are_named(tmp_path):
    with pytest.raises(InvalidInput, match="no such file") as caught:
        open_events(tmp_path / "nothing")
    assert caught.value.code == "sample.missing"
    with pytest.raises(InvalidInput, match="folder without zarr"):
        detect_format(tmp_path)


def test_a_gzip_bomb_is_refused(tmp_path):
    path = tmp_path / "bomb.csv.gz"
    with gzip.open(path, "wb") as file:
        file.write(b"x,y\n")
        for _ in range(100):
            file.write(b"1,2\n" * 250_000)
    with pytest.raises(InvalidInput, match="unpacks to more than") as caught:
        list(open_events(path).chunks(100_000))
    assert caught.value.code == "sample.limit"


def test_a_declared_format_must_agree_with_the_content(tmp_path):
    path = make("csv", tmp_path)
    assert open_events(path, format="csv").format == "csv"
    with pytest.raises(InvalidInput, match="declared as root; its content is csv"):
        open_events(path, format="root")


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path):
    with pytest.raises(InvalidInput, match=r"no column 'z'; the file has: x, y") as caught:
        list(open_events(make("csv", tmp_path)).chunks(5, ["z"]))
    assert caught.value.code == "sample.column"


def test_a_zarr_folder_with_a_lost_shard_is_refused_with_and_without_inventory(tmp_path):
    path = make("zarr", tmp_path)
    (path / "x" / "c" / "0").unlink()
    with pytest.raises(IntegrityError):
        open_events(path)
    (path / "inventory.json").unlink()
    with pytest.raises(IntegrityError, match="does not go with its shards"):
        open_events(path)


def foreign_zarr(folder, **config):
    group = zarr.create_group(store=str(folder), zarr_format=3)
    group.create_array("x", shape=(10,), chunks=(4,), dtype="float64", config=config)[...] = np.arange(10.0)
    group.create_array("p", shape=(10, 2), chunks=(4, 2), dtype="float32", config=config)[...] = np.ones((10, 2))
    return folder


def test_a_zarr_group_of_another_program_is_read(tmp_path):
    source = open_events(foreign_zarr(tmp_path / "events.zarr", write_empty_chunks=True))
    chunks = list(source.chunks(6))
    assert source.facts.n_events == 10
    assert [len(chunk) for chunk in chunks] == [6, 4]
    assert chunks[1]["x"].to_list() == [6.0, 7.0, 8.0, 9.0]
    assert chunks[0]["p"][0].to_list() == [1.0, 1.0]


def test_a_zarr_group_of_another_program_with_an_emptied_chunk_is_refused(tmp_path):
    path = foreign_zarr(tmp_path / "events.zarr", write_empty_chunks=True)
    (path / "x" / "c" / "1").write_bytes(b"")
    with pytest.raises(IntegrityError, match="x/c/1 is empty"):
        open_events(path)
