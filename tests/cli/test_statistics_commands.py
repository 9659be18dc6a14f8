"""The commands fit, scan, cls and significance: results, keys, exit codes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from evercast.cli import main
from evercast.cli.commands import cls, fit, scan, significance
from evercast.inference.asymptotics import cls as cls_of
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.histfactory import apply_patch, read_workspace
from indexed_likelihood import write_indexed
from statistics_inputs import counting_model, gaussian_mixture, synthetic_workspace

COMMANDS = {"fit": fit, "scan": scan, "cls": cls, "significance": significance}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    path = tmp_path / "workspace.json"
    path.write_text(json.dumps(synthetic_workspace(seed=2)))
    return path


def run_json(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def fails(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, str]]:
    code = main([*words, "--json"])
    return code, json.loads(capsys.readouterr().out)["error"]


def test_fit_gives_every_parameter_with_status_and_guard(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = run_json(capsys, "fit", str(workspace))
    names = [parameter.name for parameter in read_workspace(synthetic_workspace(seed=2)).parameters]
    assert list(body["parameters"]) == names
    assert body["status"] in {"ok", "at-bound"}
    assert body["guard"]["passed"] is True
    assert body["poi"] == "mu"
    assert body["asimov"] is None
    assert body["parameters"]["jes"]["uncertainty"] > 0


def test_expected_results_come_from_asimov_data_and_say_so(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = run_json(capsys, "fit", str(workspace), "--expected")
    assert body["asimov"] == "binned"
    assert body["parameters"]["mu"]["value"] == pytest.approx(1.0, abs=1e-5)


def test_cls_has_the_keys_of_pyhf(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = run_json(capsys, "cls", str(workspace), "--mu", "1.5")
    result = cls_of(Likelihood(read_workspace(synthetic_workspace(seed=2))), 1.5)
    assert body["CLs_obs"] == pytest.approx(result.cls_obs, rel=1e-6)
    assert body["CLs_exp"] == pytest.approx(list(result.cls_exp), rel=1e-6)
    assert {"status", "guard"} <= set(body)
    blind = run_json(capsys, "cls", str(workspace), "--expected")
    assert blind["CLs_obs"] is None
    assert len(blind["CLs_exp"]) == 5


def test_scan_follows_the_range_asked_for(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = run_json(capsys, "scan", str(workspace), "--range", "0", "2", "--points", "5", "--cl", "0.95")
    assert body["scan"]["values"] == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert min(body["scan"]["t"]) >= 0
    assert body["interval"]["low"] <= body["best"] <= body["interval"]["high"]
    assert body["interval"]["confidence_level"] == 0.95


def test_significance_of_a_counting_experiment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_indexed(tmp_path, counting_model(observed=75.0))
    body = run_json(capsys, "significance", str(tmp_path))
    assert body["z"] == pytest.approx(3.2894, abs=1e-4)  # sqrt(2 (75 ln 1.5 - 25)) = 3.2894
    assert body["p"] == pytest.approx(5.02e-4, rel=1e-2)


def test_a_neural_bundle_is_fitted_on_data_and_on_its_simulation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_indexed(tmp_path, gaussian_mixture())
    observed, expected = (run_json(capsys, "fit", str(tmp_path), flag) for flag in ("--observed", "--expected"))
    assert observed["parameters"]["mu"]["uncertainty"] == pytest.approx(0.1669, abs=1e-4)
    assert (observed["asimov"], expected["asimov"]) == (None, "simulation")


@pytest.mark.parametrize("command", COMMANDS)
def test_text_names_the_likelihood_its_data_and_the_guard(
    command: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, str(workspace)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("workspace: 2 channels, ")
    assert "observed data; status" in lines[0]
    assert lines[-1].startswith("guard: passed")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str) -> None:
    text = CliRunner().invoke(COMMANDS[command].command, ["--help"]).output
    assert (
        "LIKELIHOOD is a pyhf workspace, a neural bundle, the folder of a run, or a combination document."
        in " ".join(text.split())
    )
    assert f"Example: evercast {command}" in text


def test_patches_are_taken_from_a_file_or_by_name(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patch = [{"op": "replace", "path": "/channels/0/samples/0/data", "value": [9.0, 1.0, 1.0]}]
    (tmp_path / "patch.json").write_text(json.dumps(patch))
    text = json.dumps(synthetic_workspace(seed=2), sort_keys=True, ensure_ascii=False)
    metadata = {"digests": {"sha256": hashlib.sha256(text.encode()).hexdigest()}}
    patchset = {"metadata": metadata, "patches": [{"metadata": {"name": "p9"}, "patch": patch}]}
    (tmp_path / "set.json").write_text(json.dumps(patchset))
    truth = cls_of(Likelihood(read_workspace(apply_patch(synthetic_workspace(seed=2), patch))), 1.0).cls_obs
    by_file = run_json(capsys, "cls", str(workspace), "--patch", str(tmp_path / "patch.json"))
    by_name = run_json(capsys, "cls", str(workspace), "--patchset", str(tmp_path / "set.json"), "--patch", "p9")
    assert by_file["CLs_obs"] == by_name["CLs_obs"] == pytest.approx(truth, rel=1e-6)
    metadata["digests"]["sha256"] = "0" * 64
    (tmp_path / "set.json").write_text(json.dumps(patchset))
    code, error = fails(capsys, "cls", str(workspace), "--patchset", str(tmp_path / "set.json"), "--patch", "p9")
    assert (code, error["code"]) == (5, "workspace.patchset-digest")


def test_what_is_wrong_has_a_message_and_an_exit_code(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "object.json").write_text('{"schema": "fit/1.0.0", "results": {}}')
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "empty").mkdir()
    cases = [
        (("fit", str(tmp_path / "none.json")), 3, "does not exist"),
        (("fit", str(tmp_path / "broken.json")), 3, "not valid JSON"),
        (("fit", str(tmp_path / "list.json")), 3, "expected a JSON object"),
        (("fit", str(tmp_path / "empty")), 3, "neither a neural bundle"),
        (("fit", str(tmp_path / "empty"), "--patch", "x"), 2, "need a workspace file"),
        (("fit", str(workspace), "--poi", "muu"), 3, "unknown parameter 'muu'"),
        (("cls", str(workspace), "--mu", "-1"), 3, "must be positive"),
        (("cls", str(workspace), "--patchset", str(tmp_path / "list.json")), 2, "--patchset needs --patch"),
        (("cls", str(workspace), "--patch", str(workspace)), 3, "a JSON patch must be a list"),
        (("scan", str(workspace), "--range", "2", "1"), 2, "the first below the second"),
        (("scan", str(workspace), "--range", "0", "inf"), 2, "two finite numbers"),
        (("scan", str(workspace), "--range", "0", "1e6"), 2, "leaves the bounds of mu"),
        (("fit", str(tmp_path / "object.json")), 3, "is no pyhf workspace"),
        (("scan", str(workspace), "--cl", "68"), 3, "between 0 and 1"),
        (("fit", str(workspace), "--measurement", "other"), 3, "no measurement 'other'"),
    ]
    for words, exit_code, message in cases:
        code, error = fails(capsys, *words)
        assert (code, error["exit_code"]) == (exit_code, exit_code), words
        assert message in error["message"], words


def test_a_fit_that_fails_gives_no_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_indexed(tmp_path, counting_model(signal=0.0))
    code = main(["fit", str(tmp_path)])
    captured = capsys.readouterr()
    assert code == 7
    assert captured.out == ""
    assert (
        "error[fit.not-converged]: the fit of 'counting' failed: the Hessian is not positive definite" in captured.err
    )
    assert "flat direction: mu" in captured.err
