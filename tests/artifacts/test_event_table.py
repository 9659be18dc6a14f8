"""Tables of selected events: what is written is read, and nothing else."""

import dataclasses
import json

import numpy as np
import pytest

from evercast.artifacts.arrays import write_arrays
from evercast.artifacts.event_table import EventTable, read_event_table, write_event_table
from evercast.errors import IntegrityError, InvalidInput


def table(rows: int = 40_000) -> EventTable:
    random = np.random.default_rng(2)
    return EventTable(
        sample="higgs",
        role="simulation",
        observables=random.normal(size=(rows, 3)),
        weight=random.normal(1, 0.5, rows),
        event=np.arange(rows, dtype=np.uint64) * 3 + 2**40,
        regions=random.random((rows, 2)) < 0.5,
        observable_names=("m4l", "pt4l", "phi"),
        observable_units=("GeV", "GeV", "rad"),
        region_names=("SR", "CR"),
    )


@pytest.mark.parametrize(("rows", "drawn"), [(40_000, False), (1, True), (0, False)])
def test_what_is_written_is_read(rows, drawn, tmp_path):
    written = dataclasses.replace(table(rows), drawn=drawn)
    write_event_table(tmp_path / "events.zarr", written)
    found = read_event_table(tmp_path / "events.zarr")
    for field in dataclasses.fields(EventTable):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(written, field.name), err_msg=field.name)
    assert len(found) == rows


def test_regions_and_columns_are_chosen_by_name():
    full = table(100)
    part = full.in_region("CR")
    assert not part.drawn
    assert dataclasses.replace(full, drawn=True).in_region("CR").drawn
    np.testing.assert_array_equal(part.event, full.event[full.regions[:, 1]])
    assert part.regions[:, 1].all()
    np.testing.assert_array_equal(full.columns(["phi", "m4l"]), full.observables[:, [2, 0]])
    with pytest.raises(InvalidInput, match="sample 'higgs' have no region 'X'; there are: SR, CR"):
        full.in_region("X")
    with pytest.raises(InvalidInput, match="no observable 'eta'; there are: m4l, pt4l, phi"):
        full.columns(["eta"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observable_names": ("a",)}, "observables has shape"),
        ({"observable_units": ("GeV",)}, "observable_units"),
        ({"weight": np.full(100, np.nan)}, "NaN or infinite"),
    ],
)
def test_columns_that_do_not_belong_together_are_not_written(change, message, tmp_path):
    with pytest.raises(InvalidInput, match=message):
        write_event_table(tmp_path / "events.zarr", dataclasses.replace(table(100), **change))
    assert not (tmp_path / "events.zarr").exists()


def test_a_changed_file_is_refused(tmp_path):
    path = tmp_path / "events.zarr"
    write_event_table(path, table(100))
    metadata = json.loads((path / "zarr.json").read_text())
    metadata["attributes"]["sample"] = "other"
    (path / "zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(IntegrityError):
        read_event_table(path)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({}, "the format is None"),
        ({"format": "event-table/9.0.0"}, "event-table/9.0.0"),
        ({"format": "event-table/1.1.0", "sample": "s", "role": "else"}, "observable_names"),
    ],
)
def test_a_folder_of_other_arrays_is_refused(attributes, message, tmp_path):
    write_arrays(tmp_path / "a", {"weight": np.ones(3)}, attributes)
    with pytest.raises(IntegrityError, match=message) as caught:
        read_event_table(tmp_path / "a")
    assert caught.value.code == "table.format"
