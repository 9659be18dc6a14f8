"""Columns of a file as scopes: grouped, checked, numbered."""

from pathlib import Path

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import uproot

from evercast.errors import InvalidInput
from evercast.events.columns import read_scopes
from evercast.events.formats import open_events

FLAT = {
    "muons": {
        "pdg": ("id1", "id2"),
        "px": ("px1", "px2"),
        "py": ("py1", "py2"),
        "pz": ("pz1", "pz2"),
        "energy": ("e1", "e2"),
    }
}


def csv(folder: Path, change: tuple[int, str, str] | None = None, rows: int = 10) -> Path:
    names = [column for columns in FLAT["muons"].values() for column in columns]
    table = [{name: str(10 * row + i + 1) for i, name in enumerate(names)} for row in range(rows)]
    if change:
        table[change[0]][change[1]] = change[2]
    path = folder / "muons.csv"
    path.write_text("\n".join([",".join(names), *(",".join(row.values()) for row in table)]) + "\n")
    return path


def read(path: Path, names: list[str], collections=None, **options):
    settings = {"step": 4, "first_event": 0} | options
    return list(read_scopes(open_events(path), names, collections or {}, **settings))


def test_flat_columns_become_a_collection(tmp_path):
    scopes = read(csv(tmp_path), ["muons", "e1"], FLAT, first_event=100)
    assert [len(scope) for scope in scopes] == [4, 4, 2]
    assert scopes[1].event.tolist() == [104, 105, 106, 107]
    assert scopes[0].values["muons"].px.tolist()[0] == [3.0, 4.0]
    assert scopes[2].values["e1"].tolist() == [89.0, 99.0]


def test_only_columns_in_use_are_checked(tmp_path):
    path = csv(tmp_path, (7, "py2", "nan"))
    read(path, ["px1"], FLAT)
    with pytest.raises(InvalidInput, match=r"column 'py2' is not finite in 1 .* the first is event 7 ") as caught:
        read(path, ["muons"], FLAT)
    assert caught.value.code == "sample.not-finite"
    assert str(path) in str(caught.value)


def test_a_number_that_is_infinite_is_named(tmp_path):
    with pytest.raises(InvalidInput, match=r"'e1' is not finite.*event 2 "):
        read(csv(tmp_path, (2, "e1", "-inf")), ["e1"])


def test_a_missing_column_is_named(tmp_path):
    collections = {"muons": FLAT["muons"] | {"charge": ("q1", "q2")}}
    with pytest.raises(InvalidInput, match=r"no column 'q1' \(2 are missing\)"):
        read(csv(tmp_path), ["muons"], collections)


def test_missing_values_of_a_table_are_refused_and_nullable_ones_are_not(tmp_path):
    path = tmp_path / "table.parquet"
    pa.parquet.write_table(pa.table({"x": [1.0, None, 3.0], "y": [1.0, 2.0, 3.0], "l": [[1.0], [], [2.0, 3.0]]}), path)
    (scope,) = read(path, ["y", "l"])
    assert "?" not in str(scope.values["y"].type) + str(scope.values["l"].type)
    with pytest.raises(InvalidInput, match=r"column 'x' is missing in 1 of the 3 events.* the first is event 1 "):
        read(path, ["x"])
    pa.parquet.write_table(pa.table({"l": [[1.0], [], [2.0, None]]}), path)
    with pytest.raises(InvalidInput, match=r"column 'l' is missing in 1 .* event 2 "):
        read(path, ["l"])


def test_a_not_finite_momentum_in_a_collection_names_the_property(tmp_path):
    particles = ak.Array(
        [[{"px": 1.0, "py": 1.0, "pz": 1.0, "pdg": 13}], [{"px": np.nan, "py": 1.0, "pz": 1.0, "pdg": 13}]]
    )
    path = tmp_path / "events.parquet"
    ak.to_parquet(ak.Array({"particles": particles}), path)
    with pytest.raises(InvalidInput, match=r"'particles\.px' is not finite in 1 .* event 1 "):
        read(path, ["particles"])


def test_branches_of_lists_become_a_collection(tmp_path):
    path = tmp_path / "nano.root"
    lists = {name: ak.Array([[1.0, 2.0], [], [3.0]]) for name in ("Muon_pt", "Muon_eta", "Muon_phi", "Muon_mass")}
    with uproot.recreate(path) as file:
        file.mktree("Events", dict.fromkeys(lists, "var * float64"))
        file["Events"].extend(lists)
    grouped = {"muons": {name: (f"Muon_{name}",) for name in ("pt", "eta", "phi", "mass")}}
    (scope,) = read(path, ["muons"], grouped)
    assert ak.num(scope.values["muons"]).tolist() == [2, 0, 1]
    assert ak.to_numpy(ak.flatten(scope.values["muons"].mass)) == pytest.approx([1, 2, 3])


def test_an_expression_without_columns_still_sees_every_event(tmp_path):
    assert sum(len(scope) for scope in read(csv(tmp_path), [])) == 10
