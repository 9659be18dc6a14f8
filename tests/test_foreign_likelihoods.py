"""An HS3 workspace, and a patchset that cannot be right, are named as such wherever a pyhf file is expected."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evercast.cli import main
from evercast.likelihood.foreign import is_hs3
from evercast.reinterpretation.wrapped.data import json_digest
from small_record import OPTIONS, background, patch, patchset

HS3 = {
    "metadata": {"hs3_version": "0.2.0"}, "distributions": [{"name": "SR", "type": "histfactory_dist"}],
    "likelihoods": [{"name": "all", "distributions": ["SR"], "data": ["observed"]}], "domains": [], "data": [],
}  # fmt: skip


def error(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)["error"]
    return found


def written(path: Path, value: object) -> str:
    path.write_text(json.dumps(value))
    return str(path)


@pytest.mark.parametrize(
    "command", ["cls", "fit", "limit", "scan", "gof", "impacts", "significance", "toys", "verify", "inspect"]
)
def test_an_hs3_workspace_is_called_that_by_every_command(command: str, tmp_path: Path, capsys) -> None:
    assert main([command, written(tmp_path / "workspace.json", HS3), "--json"]) == 3
    found = error(capsys)
    assert found["code"] == "workspace.hs3"
    assert "HS3 workspace" in found["message"]
    assert "ask who published it" in found["hint"]
    assert "workspace.json" in found["where"]


@pytest.mark.parametrize("option", ["--patch", "--patchset"])
def test_an_hs3_workspace_is_no_patch_and_no_patchset(option: str, tmp_path: Path, capsys) -> None:
    words = ["cls", written(tmp_path / "bkg.json", background()), option, written(tmp_path / "hs3.json", HS3)]
    assert main([*words, *(["--all"] if option == "--patchset" else []), "--json"]) == 3
    assert error(capsys)["code"] == "workspace.hs3"


def test_wrapping_one_says_what_to_do(tmp_path: Path, capsys) -> None:
    words = ["wrap", written(tmp_path / "hs3.json", HS3), "--name", "small", *OPTIONS, "--json"]
    assert main([*words, "--output", str(tmp_path / "out")]) == 3
    found = error(capsys)
    assert found["code"] == "wrap.hs3"
    assert "ask who published it" in found["hint"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", [background(), patchset("0" * 64), patch(1.0), {}, 3, {"metadata": {"labels": []}}])
def test_nothing_else_is_taken_for_one(value: object) -> None:
    assert not is_hs3(value)
    assert is_hs3(HS3)


def multiplicity(body: dict[str, Any]) -> None:
    body["metadata"]["labels"] = ["m_a", "m_b", "m_c"]


def same_values(body: dict[str, Any]) -> None:
    body["patches"][3]["metadata"]["values"] = body["patches"][0]["metadata"]["values"]


def same_name(body: dict[str, Any]) -> None:
    body["patches"][3]["metadata"]["name"] = "P_100_10"


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        (multiplicity, "workspace.multiplicity", "'P_100_10' has 2 values; the patchset has 3 labels"),
        (same_values, "workspace.duplicate", "have the same values [100.0, 10.0]"),
        (same_name, "workspace.duplicate", "'P_100_10' stands twice"),
    ],
)
@pytest.mark.parametrize("chosen", [("--patch", "P_200_10"), ("--all",)], ids=["one", "all"])
def test_a_patchset_that_pyhf_refuses(
    fault: Callable[[dict[str, Any]], None], code: str, says: str, chosen: tuple[str, ...], tmp_path: Path, capsys
) -> None:
    body: dict[str, Any] = patchset(json_digest(background()))
    fault(body)
    words = ["cls", written(tmp_path / "bkg.json", background()), "--patchset", written(tmp_path / "set.json", body)]
    assert main([*words, *chosen, "--json"]) == 3
    found = error(capsys)
    assert found["code"] == code
    assert says in found["message"]
    assert "set.json" in found["where"]


@pytest.mark.parametrize("form", ["loose", "patchset"])
def test_a_record_with_a_negative_bin_is_not_wrapped(form: str, tmp_path: Path, capsys) -> None:
    negative = patch(3.0)
    value: Any = negative[0]["value"]
    value["data"] = [3.0, -0.5, 1.0]
    body: dict[str, Any] = patchset(json_digest(background()))
    body["patches"][2]["patch"] = negative
    other = written(tmp_path / "patch.P_7_7.json", negative) if form == "loose" else written(tmp_path / "s.json", body)
    words = ["wrap", written(tmp_path / "bkg.json", background()), "--patchset", other, "--name", "small", *OPTIONS]
    assert main([*words, "--output", str(tmp_path / "out"), "--json"]) == 3
    found = error(capsys)
    assert found["code"] == "wrap.negative-bin"
    assert "-0.5 events in bin 1 of 'SR'" in found["message"]
    assert ("P_7_7" if form == "loose" else "P_300_10") in found["where"]
    assert not (tmp_path / "out").exists()


def test_a_patch_for_other_regions_is_not_wrapped(tmp_path: Path, capsys) -> None:
    other = patch(3.0)
    other[0]["path"] = "/channels/5/samples/0"
    loose = written(tmp_path / "patch.P_7_7.json", other)
    words = ["wrap", written(tmp_path / "bkg.json", background()), "--patchset", loose, "--name", "small", *OPTIONS]
    assert main([*words, "--output", str(tmp_path / "out"), "--json"]) == 3
    assert error(capsys)["code"] == "workspace.patch"


def test_an_hs3_file_as_the_patch_of_a_request(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONFIG", "CACHE"):
        monkeypatch.setenv(f"EVERCAST_{name}", str(tmp_path / name.lower()))
    folder = tmp_path / "small"
    words = ["wrap", written(tmp_path / "bkg.json", background()), "--name", "small", *OPTIONS, "--keep-files"]
    assert main([*words, "--output", str(folder)]) == 0
    assert main(["request", "new", str(tmp_path / "ask"), "--analysis", str(folder)]) == 0
    content = Path(written(tmp_path / "ask" / "signal.json", HS3)).read_bytes()
    stated = {
        "path": "signal.json", "sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content),
        "background": json_digest(background()),
    }  # fmt: skip
    document = tmp_path / "ask" / "request.yaml"
    text = document.read_text()
    head, _, tail = text.partition("signal:\n")
    signal = f"signal: {json.dumps({'points': {'mine': {'patch': stated}}})}\n"
    document.write_text(head + signal + "wanted:" + tail.partition("wanted:")[2])
    capsys.readouterr()
    assert main(["request", "check", str(tmp_path / "ask"), "--analysis", str(folder), "--json"]) == 3
    found = error(capsys)
    assert found["code"] == "request.not-a-patch"
    assert "an HS3 workspace" in found["message"]
    assert "ask who published it" in found["hint"]
