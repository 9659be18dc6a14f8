from __future__ import annotations

import json
from pathlib import Path

import pytest

from evercast.cli import main
from workflow_documents import body, small_body, write_document


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_document(tmp_path, small_body())


def test_before_the_first_run_everything_waits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "analysis.yaml"]) == 0
    text = capsys.readouterr().out
    assert "report              0        0       0        1" in text
    assert "not complete; to go on: evercast run analysis.yaml" in text


def test_json_names_every_unit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "analysis.yaml", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["complete"], told["active"], told["pseudo_data"]) == (False, False, False)
    assert {unit["state"] for unit in told["units"]} == {"waiting"}
    assert (told["exported"], told["next"]) == (False, "evercast run analysis.yaml")


def test_the_mode_of_the_last_run_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    current = tmp_path / "results" / "toy" / "work" / "current.json"
    current.parent.mkdir(parents=True)
    current.write_text(json.dumps({"pseudo": True}))
    assert main(["status", "analysis.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pseudo_data"] is True


def test_columns_stay_below_their_titles_whatever_the_stages_are_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_document(tmp_path, body())
    assert main(["status", "analysis.yaml"]) == 0
    table = capsys.readouterr().out.split("\n\n")[0].splitlines()[1:]
    assert any(line.startswith("training_statistics ") for line in table)
    assert len({len(line) for line in table}) == 1


def test_the_next_command_is_that_of_the_last_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    current = tmp_path / "my run" / "work" / "current.json"
    current.parent.mkdir(parents=True)
    options = ["--profile", str(tmp_path / "mine"), "--cores", "4", "--", "--sdm", "apptainer"]
    current.write_text(json.dumps({"pseudo": True, "options": options}))
    assert main(["status", "analysis.yaml", "--results", "my run"]) == 0
    line = capsys.readouterr().out.strip().splitlines()[-1]
    assert line.endswith(
        "to go on: evercast run analysis.yaml --results 'my run' --profile mine --cores 4 --pseudo-data always "
        "-- --sdm apptainer"
    )


def test_the_profile_of_snakemake_alone_is_named_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    current = tmp_path / "results" / "toy" / "work" / "current.json"
    current.parent.mkdir(parents=True)
    current.write_text(json.dumps({"profile": str(tmp_path / "mine")}))
    assert main(["status", "analysis.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["next"] == "evercast run analysis.yaml --profile mine"


def test_hints_of_failed_units_name_the_command_of_this_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "analysis.yaml", "--json"]) == 0
    unit = json.loads(capsys.readouterr().out)["units"][0]
    file = tmp_path / "results" / "toy" / "work" / "errors" / unit["stage"] / f"{unit['id']}.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"exit_code": 1, "code": "run.x", "message": "m", "hint": "do evercast run DOCUMENT"}))
    assert main(["status", "analysis.yaml", "--results", "results/toy"]) == 0
    assert "(do evercast run analysis.yaml --results results/toy)" in capsys.readouterr().out


@pytest.mark.parametrize("more", [[], ["--verify"]])
def test_a_file_is_no_run_folder(capsys: pytest.CaptureFixture[str], more: list[str]) -> None:
    assert main(["status", "analysis.yaml", "--results", "analysis.yaml", "--json", *more]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "run.no-folder"
