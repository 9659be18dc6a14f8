from __future__ import annotations

import json
from pathlib import Path

import pytest

from evercast.cli import main
from evercast.runtime.pseudo import decide_pseudo_data
from workflow_documents import ROOT, body, small_body, write_document

H4L = ROOT / "specs" / "h4l" / "analysis.yaml"


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, from where no public file can be had."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVERCAST_OFFLINE", "1")
    monkeypatch.setenv("EVERCAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EVERCAST_DATA", raising=False)
    return tmp_path


def test_a_dry_run_lists_the_units_and_runs_none(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_document(nowhere, small_body())
    assert main(["run", "analysis.yaml", "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert "11 of 11 units would be run" in text
    assert not (nowhere / "results" / "toy" / "report.html").exists()
    assert main(["run", "analysis.yaml", "--dry-run", "--json", "--results", "elsewhere"]) == 0
    assert len(json.loads(capsys.readouterr().out)["units"]) == 11
    assert (nowhere / "elsewhere" / "work" / "plans").is_dir()


def test_a_wrong_profile_is_refused_before_anything_is_run(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_document(nowhere, small_body())
    assert main(["run", "analysis.yaml", "--profile", "slrum"]) == 2
    assert "error[run.no-profile]" in capsys.readouterr().err


def test_an_invalid_document_is_refused_before_anything_is_written(
    nowhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = small_body()
    content["smaples"] = content.pop("samples")
    write_document(nowhere, content)
    assert main(["run", "analysis.yaml"]) == 3
    assert "smaples" in capsys.readouterr().err
    assert not (nowhere / "results").exists()


@pytest.mark.parametrize(
    ("mode", "pseudo", "words"),
    [
        ("never", False, "those of the document"),
        ("always", True, "simulated pseudo-data, as asked"),
        ("if-unavailable", True, "SIMULATED PSEUDO-DATA, because the public file hist_"),
    ],
)
def test_the_mode_decides_and_says_why(nowhere: Path, mode: str, pseudo: bool, words: str) -> None:
    decided, reason = decide_pseudo_data(H4L, mode=mode)
    assert decided is pseudo
    assert words in reason


def test_an_analysis_without_public_files_uses_its_own(nowhere: Path) -> None:
    assert decide_pseudo_data(write_document(nowhere, body()), mode="if-unavailable")[0] is False


def test_a_public_file_that_cannot_be_had_stops_the_run_before_anything_is_made(
    nowhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["run", str(H4L), "--results", str(nowhere / "results")])
    assert code == 6
    assert "error[source.unavailable]" in capsys.readouterr().err
    made = [path.name for path in (nowhere / "results" / "work").iterdir()]
    assert made == ["plans"]


def test_a_run_folder_that_cannot_be_made_is_a_matter_of_the_machine(
    nowhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_document(nowhere, small_body())
    (nowhere / "file").write_text("x")
    for results in ("file", "file/below"):
        assert main(["run", "analysis.yaml", "--results", results, "--json"]) == 6
        error = json.loads(capsys.readouterr().out)["error"]
        assert (error["code"], error["where"]) == ("disk.in-the-way", "file")


@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_conda_is_refused_before_anything_is_run(
    nowhere: Path, capsys: pytest.CaptureFixture[str], dry: list[str]
) -> None:
    write_document(nowhere, small_body())
    assert main(["run", "analysis.yaml", *dry, "--json", "--", "--sdm", "conda"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "run.no-conda"
    assert "--sdm apptainer" in error["hint"]
    assert not list((nowhere / "results" / "toy" / "work").glob("command/*"))


def test_a_dry_run_keeps_long_names_of_stages_apart(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_document(nowhere, body())
    assert main(["run", "analysis.yaml", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()[:-1]
    assert any(line.startswith("training_statistics ") for line in lines)
    assert len({len(line) - len(line.split(maxsplit=1)[1]) for line in lines}) == 1
