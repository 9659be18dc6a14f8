from __future__ import annotations

import json
from pathlib import Path

import pytest

from evercast.cli import main
from workflow_documents import small_body, write_document


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
    body = json.loads(capsys.readouterr().out)
    assert (body["complete"], body["active"], body["pseudo_data"]) == (False, False, False)
    assert {unit["state"] for unit in body["units"]} == {"waiting"}


def test_the_mode_of_the_last_run_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    current = tmp_path / "results" / "toy" / "work" / "current.json"
    current.parent.mkdir(parents=True)
    current.write_text(json.dumps({"pseudo": True}))
    assert main(["status", "analysis.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pseudo_data"] is True
