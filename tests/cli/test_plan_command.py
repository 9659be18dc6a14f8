from __future__ import annotations

import json

import pytest

from evercast.cli import main
from workflow_documents import ROOT

H4L = str(ROOT / "specs" / "h4l" / "analysis.yaml")


def test_the_table_has_stages_networks_and_totals(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", H4L, "--units"]) == 0
    text = capsys.readouterr().out
    for word in ("generation", "selection", "training", "serialization", "total", "networks = ", "ratios-H-0-"):
        assert word in text


def test_json_has_the_same_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", H4L, "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    counts = body["networks"][0]
    product = counts["processes"] * (1 + 2 * counts["systematics"]) * counts["members"] * counts["folds"]
    assert counts["networks"] == product == body["stages"]["training"]["networks"]
    assert body["total"]["jobs"] == len(body["units"])
    assert {"cores", "memory_mb", "disk_mb", "device_seconds"} < set(body["total"])


def test_pseudo_data_need_no_public_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", H4L, "--pseudo-data", "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["pseudo_data"] is True
    assert "fetch" not in body["stages"]
