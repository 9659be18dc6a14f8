"""``evercast cls --all``: every patch of a patchset, a line each; one that fails has a reason and no number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evercast.cli import main
from statistics_inputs import synthetic_workspace

SIGNAL = "/channels/0/samples/0/data"


def patch(name: str, data: object, *, path: str = SIGNAL) -> dict[str, object]:
    return {"metadata": {"name": name, "values": [1]}, "patch": [{"op": "replace", "path": path, "value": data}]}


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A workspace and a patchset of four signals, one broken and one of another workspace."""
    workspace, patchset = tmp_path / "workspace.json", tmp_path / "patchset.json"
    workspace.write_text(json.dumps(synthetic_workspace()))
    patches = [
        patch("light", [9.0, 8.0, 7.0]),
        patch("broken", [-9.0, 1.0, 1.0]),
        patch("foreign", [1.0], path="/channels/7/samples/0/data"),
        patch("heavy", [3.0, 4.0, 2.0]),
    ]
    patchset.write_text(json.dumps({"metadata": {}, "patches": patches}))
    return str(workspace), str(patchset)


def test_one_json_object_a_line_and_a_failure_stops_nothing(files, capsys) -> None:
    workspace, patchset = files
    assert main(["cls", workspace, "--patchset", patchset, "--all", "--json"]) == 7
    captured = capsys.readouterr()
    lines = {line["patch"]: line for line in map(json.loads, captured.out.splitlines())}
    assert list(lines) == ["light", "broken", "foreign", "heavy"]
    for name, code in (("broken", "likelihood.negative-yield"), ("foreign", "workspace.patch")):
        assert lines[name]["status"] == "failed"
        assert lines[name]["error"]["code"] == code
        assert "CLs_obs" not in lines[name]
    assert "2 of 4 patches failed" in captured.err
    for name in ("light", "heavy"):
        assert main(["cls", workspace, "--patchset", patchset, "--patch", name, "--json"]) == 0
        alone = json.loads(capsys.readouterr().out)
        assert lines[name]["CLs_obs"] == pytest.approx(alone["CLs_obs"], abs=1e-6)  # both fits end within 1e-9
        assert lines[name]["CLs_exp"] == pytest.approx(alone["CLs_exp"], abs=1e-6)
        assert lines[name]["guard"]["passed"]
        assert lines[name]["asymptotic"] == {"valid": True, "channels": []}


def test_text_has_a_row_for_each_patch(files, capsys) -> None:
    workspace, patchset = files
    assert main(["cls", workspace, "--patchset", patchset, "--all", "--expected"]) == 7
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 5
    assert rows[0].split() == ["patch", "CLs", "obs", "CLs", "exp", "status"]
    assert rows[2].startswith("broken")
    assert "total yield is negative" in rows[2]


def test_all_needs_a_patchset_and_no_toys(files, capsys) -> None:
    workspace, patchset = files
    assert main(["cls", workspace, "--all"]) == 2
    assert "--patchset" in capsys.readouterr().err
    assert main(["cls", workspace, "--patchset", patchset, "--all", "--toys", "10"]) == 2


@pytest.mark.parametrize(
    ("words", "code"),
    [(("--poi", "jess"), "fit.poi"), (("--poi", "jes"), "poi.constrained"), (("--mu", "1e6"), "poi.bounds")],
)
def test_what_no_patch_can_give_is_refused_once(words, code, files, capsys) -> None:
    workspace, patchset = files
    assert main(["cls", workspace, "--patchset", patchset, "--all", "--json", *words]) == 3
    assert json.loads(capsys.readouterr().out)["error"]["code"] == code


def test_regions_of_few_events_are_flagged(files, tmp_path, capsys) -> None:
    body = synthetic_workspace()
    for channel in body["channels"]:
        if channel["name"] == "SR":
            for sample in channel["samples"]:
                sample["data"] = [0.02 * value for value in sample["data"]]
                for modifier in sample["modifiers"]:
                    if modifier["type"] == "histosys":
                        modifier["data"] = {key: [0.02 * v for v in values] for key, values in modifier["data"].items()}
                    elif modifier["type"] in {"staterror", "shapesys"}:
                        modifier["data"] = [0.02 * value for value in modifier["data"]]
    for entry in body["observations"]:
        if entry["name"] == "SR":
            entry["data"] = [0.0, 0.0, 0.0]
    path = tmp_path / "few.json"
    path.write_text(json.dumps(body))
    assert main(["cls", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["asymptotic"]
    assert not found["valid"]
    assert [entry["channel"] for entry in found["channels"]] == ["SR"]
    assert "has no observed event" in found["channels"][0]["reason"]
