"""``evercast validate`` looks into the headers of event files beside the document."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import uproot

from evercast.cli import main
from workflow_documents import small_body, write_document

COLUMNS = ("x_reco", "y_reco", "event_weight")


def document(folder: Path, files: Mapping[str, Mapping[str, Any]], **sample: Any) -> str:
    """The small document with event files of its own; more keys are for the signal."""
    content = small_body()
    for name, file in files.items():
        content["samples"][name]["files"] = [dict(file)]
    content["samples"]["signal"].update(sample)
    content["selection"]["columns"] = list(COLUMNS)
    return str(write_document(folder, content))


def csv(path: Path, *columns: str) -> None:
    path.write_text(",".join(columns) + "\n" + ",".join("1.5" for _ in columns) + "\n")


def problems(capsys: pytest.CaptureFixture[str], path: str, *, code: int) -> list[dict[str, Any]]:
    assert main(["validate", path, "--json"]) == code
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["problems"]
    return found


def test_files_with_all_columns_are_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    csv(tmp_path / "signal.csv", *COLUMNS, "more")
    path = document(tmp_path, {"signal": {"path": "signal.csv"}}, weight="event_weight")
    assert problems(capsys, path, code=0) == []


def test_a_misspelt_weight_is_named_with_the_nearest_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    csv(tmp_path / "signal.csv", "x_reco", "y_reco", "event_wieght")
    path = document(tmp_path, {"signal": {"path": "signal.csv"}}, weight="event_weight * 2")
    (problem,) = problems(capsys, path, code=3)
    assert problem["code"] == "sample.column"
    assert problem["path"] == "$.samples.signal.weight"
    assert problem["line"] > 1
    assert "the file signal.csv of sample signal has no column 'event_weight'" in problem["message"]
    assert problem["hint"] == "did you mean 'event_wieght'?"


def test_a_column_of_an_observable_is_named_once_for_all_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("signal", "observed"):
        csv(tmp_path / f"{name}.csv", "x_reco", "y_rec")
    path = document(tmp_path, {name: {"path": f"{name}.csv"} for name in ("signal", "observed")})
    (problem,) = problems(capsys, path, code=3)
    assert problem["path"] == "$.selection.observables.y.expression"
    assert "signal.csv and 1 more" in problem["message"]
    assert problem["hint"] == "did you mean 'y_rec'?"


def test_other_formats_are_looked_into_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pa.parquet.write_table(pa.table({"x_reco": [1.0], "y": [2.0]}), tmp_path / "signal.parquet")
    with uproot.recreate(tmp_path / "background.root") as file:
        file["events"] = {"x_reco": np.ones(2), "z": np.ones(2)}
    (tmp_path / "observed.csv.gz").write_bytes(gzip.compress(b"x_reco,t\n1.0,2.0\n"))
    files = {
        "signal": {"path": "signal.parquet"}, "background": {"path": "background.root", "tree": "events"},
        "observed": {"path": "observed.csv.gz"},
    }  # fmt: skip
    (problem,) = problems(capsys, document(tmp_path, files), code=3)
    assert "signal.parquet and 2 more" in problem["message"]


def test_a_header_that_cannot_be_read_is_a_problem_of_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "signal.csv").write_text("1,2\n3,4\n")
    (problem,) = problems(capsys, document(tmp_path, {"signal": {"path": "signal.csv"}}), code=3)
    assert (problem["code"], problem["path"]) == ("sample.format", "$.samples.signal.files[0].path")
    assert "line 1 holds numbers" in problem["message"]


def test_a_collection_is_held_against_the_columns_it_is_made_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    properties = {key: [f"{key}_1", f"{key}_2"] for key in ("pt", "eta", "phi", "mass")}
    there = [column for items in properties.values() for column in items if column != "pt_2"]
    csv(tmp_path / "signal.csv", *COLUMNS, "pt2", *there)
    file = {"path": "signal.csv", "collections": {"muons": properties}}
    (problem,) = problems(capsys, document(tmp_path, {"signal": file}), code=3)
    assert problem["path"] == "$.samples.signal.files[0].collections.muons.pt[1]"
    assert problem["hint"] == "did you mean 'pt2'?"


def test_files_can_be_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    csv(tmp_path / "signal.csv", "x_reco")
    path = document(tmp_path, {"signal": {"path": "signal.csv"}})
    assert [problem["code"] for problem in problems(capsys, path, code=3)] == ["sample.column"]
    assert main(["validate", path, "--no-files"]) == 0
