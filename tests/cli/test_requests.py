"""Parameters of interest, values and levels that are refused, and how expected results are worded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evercast.cli import main
from evercast.cli.statistics_tables import few_toys
from statistics_inputs import synthetic_workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    path = tmp_path / "workspace.json"
    path.write_text(json.dumps(synthetic_workspace(seed=2)))
    return path


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("cls", "--poi", "jes"), "poi.constrained", "bounds -5 to 5"),
        (("limit", "--poi", "jes"), "poi.constrained", "bounds -5 to 5"),
        (("significance", "--poi", "jes"), "poi.constrained", "bounds -5 to 5"),
        (("cls", "--mu", "1e6"), "poi.bounds", "bounds of 'mu', 0 to 10"),
        (("toys", "--n", "5", "--value", "-3"), "poi.bounds", "bounds of 'mu', 0 to 10"),
        (("limit", "--cl", "95"), "limit.level", "did you mean 0.95?"),
        (("scan", "--cl", "95"), "limit.level", "did you mean 0.95?"),
        (("cls", "--poi", "jess"), "fit.poi", "did you mean 'jes'?"),
    ],
)
def test_what_cannot_be_tested_is_refused(
    words: tuple[str, ...], code: str, text: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([words[0], str(workspace), *words[1:], "--json"]) == 3
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == code
    assert text in f"{error['message']} {error['hint']}"


def test_a_parameter_that_cannot_be_zero_has_no_absence_of_signal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = synthetic_workspace(seed=2)
    config = body["measurements"][0]["config"]
    config["parameters"] = [one for one in config["parameters"] if one["name"] != "mu"]
    config["parameters"].append({"name": "mu", "bounds": [[0.5, 3.0]], "inits": [1.0]})
    path = tmp_path / "workspace.json"
    path.write_text(json.dumps(body))
    assert main(["limit", str(path), "--json"]) == 3
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "poi.no-zero"
    assert "bounds 0.5 to 3" in error["message"]


def test_expected_results_are_worded_as_such(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cls", str(workspace), "--expected"]) == 0
    text = capsys.readouterr().out
    assert "observed data" not in text
    assert "Asimov data of the model without signal (binned), expected; status ok" in text
    assert "be expected to be excluded" in text
    assert "at bound in the fit to Asimov data: mu" in text
    assert main(["limit", str(workspace), "--expected"]) == 0
    assert "Asimov data of the model without signal (binned), expected" in capsys.readouterr().out


def test_bands_of_few_pseudo_experiments_are_remarked() -> None:
    assert few_toys(1000, (0.1, 0.2, 0.3, 0.4, 0.5)) == []
    assert "1.1 of 50" in few_toys(50, (0.1, 0.2, 0.3, 0.4, 0.5))[0]
    assert "cross" in few_toys(1000, (0.1, 0.2, 0.15, 0.4, 0.5))[0]
    assert "a quantile is 0" in few_toys(1000, (0.0, 0.2, 0.3, 0.4, 0.5))[0]


def test_the_ending_of_a_plot_is_checked_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["impacts", str(tmp_path / "missing.json"), "--plot", "ranking.docx"]) == 2
    assert "must end in" in capsys.readouterr().err
