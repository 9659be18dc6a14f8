"""The commands limit, toys, impacts, gof, scans of two parameters, pseudo-experiments in others, and blinding."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from evercast.artifacts.arrays import read_arrays
from evercast.cli import main
from evercast.cli.commands import gof, impacts, limit, toys
from indexed_likelihood import write_indexed
from statistics_inputs import counting_model, synthetic_workspace

NEW = {"limit": limit, "toys": toys, "impacts": impacts, "gof": gof}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    path = tmp_path / "workspace.json"
    path.write_text(json.dumps(synthetic_workspace(seed=2)))
    return path


@pytest.fixture
def counting(tmp_path: Path) -> Path:
    folder = tmp_path / "counting"
    folder.mkdir()
    write_indexed(folder, counting_model(width=0.1))
    return folder


def run_json(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def fails(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, str]]:
    code = main([*words, "--json"])
    return code, json.loads(capsys.readouterr().out)["error"]


def test_limit_gives_the_observed_and_five_expected_ones(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = run_json(capsys, "limit", str(workspace))
    assert (body["parameter"], body["statistic"], body["method"]) == ("mu", "q-tilde", "asymptotic")
    assert len(body["expected"]) == 5
    assert body["guard"]["passed"] is True
    at_limit = run_json(capsys, "cls", str(workspace), "--mu", str(body["observed"]))
    assert at_limit["CLs_obs"] == pytest.approx(0.05, rel=1e-3)
    blind = run_json(capsys, "limit", str(workspace), "--expected", "--cl", "0.9")
    assert blind["observed"] is None
    assert blind["confidence_level"] == 0.9


def test_limit_and_cls_from_toys_say_how_many(counting: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = run_json(capsys, "limit", str(counting), "--toys", "300", "--seed", "4")
    assert (body["method"], body["toys"], body["seed"]) == ("toys", 300, 4)
    assert body["error"] > 0
    assert body["points"][0]["CLs_obs"] > body["points"][-1]["CLs_obs"]
    cls = run_json(capsys, "cls", str(counting), "--toys", "200", "--mu", "2")
    assert (cls["method"], cls["toys"], cls["failed"]) == ("toys", 200, 0)
    assert cls["CLs_obs"] == pytest.approx(run_json(capsys, "cls", str(counting), "--mu", "2")["CLs_obs"], abs=0.15)
    expected = run_json(capsys, "cls", str(counting), "--toys", "200", "--expected")
    assert expected["CLs_obs"] is None
    thrown = run_json(capsys, "significance", str(counting), "--toys", "200")
    assert thrown["toys"]["p"] == pytest.approx(thrown["p"], abs=0.12)  # four binomial deviations of 200 at 0.13


def test_the_regime_decides_where_pseudo_experiments_are_thrown(
    counting: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    write_indexed(empty, counting_model(signal=3.0, background=1.0, observed=0.0))
    few = run_json(capsys, "cls", str(empty), "--regime", "auto", "--toys", "400", "--seed", "3")
    assert (few["method"], few["toys"], few["seed"]) == ("toys", 400, 3)
    assert few["CLs_obs"] == pytest.approx(np.exp(-3.0), abs=0.05)  # P(0 | 4) / P(0 | 1); binomial errors of 400
    many = run_json(capsys, "cls", str(counting), "--regime", "auto", "--toys", "400")
    assert many["method"] == "asymptotic"
    limit = run_json(capsys, "limit", str(empty), "--regime", "auto", "--toys", "200")
    assert (limit["method"], limit["toys"]) == ("toys", 200)
    assert "toys" in run_json(capsys, "significance", str(empty), "--regime", "auto", "--toys", "100")
    assert run_json(capsys, "cls", str(empty), "--regime", "asymptotic")["method"] == "asymptotic"
    assert main(["limit", str(empty)]) == 0
    assert "--regime auto" in capsys.readouterr().out
    assert fails(capsys, "cls", str(empty), "--regime", "asymptotic", "--toys", "9")[0] == 2
    assert fails(capsys, "limit", str(empty), "--regime", "auto", "--statistic", "q")[0] == 2


def test_toys_are_written_and_the_same_again(
    counting: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("toys", str(counting), "--n", "50", "--value", "1.5", "--seed", "9")
    body = run_json(capsys, *words, "--output", str(tmp_path / "toys.zarr"))
    assert (body["toys"], body["failed"], body["value"]) == (50, 0, 1.5)
    stored = read_arrays(tmp_path / "toys.zarr")
    assert np.quantile(stored["t"], 0.5) == pytest.approx(body["quantiles"]["0.5"])
    again = run_json(capsys, *words)
    assert again["quantiles"] == pytest.approx(body["quantiles"], abs=1e-9)
    code, error = fails(capsys, *words, "--output", str(tmp_path / "toys.zarr"))
    assert (code, "exists already" in error["message"]) == (2, True)


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_impacts_are_ranked_and_drawn(
    ending: str, workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"impacts.{ending}"
    body = run_json(capsys, "impacts", str(workspace), "--plot", str(path))
    sizes = [
        max(abs(entry[key]) for key in (("up", "down") if entry["up"] is not None else ("covariance",)))
        for entry in body["impacts"]
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert {"parameter", "pull", "constraint", "up", "down", "covariance", "local"} <= set(body["impacts"][0])
    names = body["correlation"]["names"]
    assert np.diag(body["correlation"]["matrix"]).tolist() == pytest.approx([1.0] * len(names))
    head = path.read_bytes()[:100]
    assert head.startswith(b"\x89PNG") if ending == "png" else b"<?xml" in head
    code, error = fails(capsys, "impacts", str(workspace), "--plot", str(tmp_path / "impacts.doc"))
    assert (code, ".png" in error["message"]) == (2, True)


def test_goodness_of_fit_with_and_without_toys(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = run_json(capsys, "gof", str(workspace))
    assert 0 < plain["p"] <= 1
    assert plain["p_toys"] is None
    thrown = run_json(capsys, "gof", str(workspace), "--toys", "40")
    assert thrown["statistic"] == pytest.approx(plain["statistic"])
    assert thrown["p_toys"] == pytest.approx(plain["p"], abs=0.35)  # four binomial deviations of 40


def test_a_scan_of_two_parameters_gives_contours(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = run_json(capsys, "scan", str(workspace), "--second", "jes", "--points", "7", "--second-range", "-2", "2")
    assert body["parameters"] == ["mu", "jes"]
    assert body["grid"]["jes"] == pytest.approx(np.linspace(-2, 2, 7).tolist())
    assert np.array(body["t"]).shape == (7, 7)
    assert [level["confidence_level"] for level in body["levels"]] == [0.68, 0.95]
    assert main(["scan", str(workspace), "--second", "jes", "--points", "5"]) == 0
    assert "contour" in capsys.readouterr().out
    code, error = fails(capsys, "scan", str(workspace), "--second", "nothing")
    assert (code, error["code"]) == (3, "fit.poi")


def test_a_second_opinion_is_labelled(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    guard = run_json(capsys, "fit", str(workspace), "--second-opinion", "--correlations")["guard"]
    assert guard["second_optimiser"] == "iminuit"
    assert abs(guard["second_gain"]) < 1e-6


@pytest.mark.parametrize("command", ["fit", "scan", "cls", "limit", "significance", "toys", "impacts", "gof"])
def test_blind_channels_need_to_be_asked_for(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = counting_model(width=0.1)
    blind = replace(base, channels=(replace(base.channels[0], blind=True),))
    monkeypatch.setattr("evercast.artifacts.likelihood_source.open_likelihood_source", lambda _: blind)
    few = ("--n", "20") if command == "toys" else ("--points", "3") if command == "scan" else ()
    code, error = fails(capsys, command, "blind", *few)
    assert (code, error["code"]) == (3, "likelihood.blind")
    assert "'SR'" in error["message"]
    assert "--unblind" in error["hint"]
    assert main([command, "blind", *few, "--unblind"]) == 0
    assert main([command, "blind", *few, "--expected"]) == 0


@pytest.mark.parametrize("command", NEW)
def test_text_and_help_of_the_new_commands(command: str, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ("--n", "20") if command == "toys" else ()
    assert main([command, str(workspace), *few]) == 0
    assert capsys.readouterr().out.startswith("workspace: 2 channels, ")
    text = " ".join(CliRunner().invoke(NEW[command].command, ["--help"]).output.split())
    assert "LIKELIHOOD is a pyhf workspace, a neural bundle, the folder of a run, or a combination document." in text
    assert f"Example: evercast {command}" in text
