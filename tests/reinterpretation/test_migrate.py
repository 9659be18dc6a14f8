"""Documents of older versions; those here were made up, since none was released before 1.0.0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from evercast.cli import main
from evercast.errors import InvalidDocument, InvalidInput
from evercast.reinterpretation import migrate as module
from evercast.reinterpretation.migrate import Step, migrate
from evercast.spec import load_analysis

ROOT = Path(__file__).parents[2]


def luminosity_in_inverse_fb(body: dict[str, Any]) -> dict[str, Any]:
    body["metadata"]["luminosity_fb"] = body["metadata"].pop("luminosity_pb") / 1000
    return body


def scan_under_inference(body: dict[str, Any]) -> dict[str, Any]:
    body["inference"] = {"scan_range": body.pop("scan")}
    return body


STEPS = (
    Step(
        kind="analysis", old="0.8.0", new="0.9.0", text="luminosity in inverse femtobarn",
        change=luminosity_in_inverse_fb,
    ),
    Step(kind="analysis", old="0.9.0", new="1.0.0", text="the scan under inference", change=scan_under_inference),
    Step(kind="site", old="0.9.0", new="1.0.0", text="another kind", change=dict),
)  # fmt: skip


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The toy analysis as version 0.8.0 would have written it."""
    body = dict(migrate(ROOT / "specs" / "toy" / "analysis.yaml").body)
    body["schema"] = "analysis/0.8.0"
    body["metadata"] = {key: value for key, value in body["metadata"].items() if key != "luminosity_fb"}
    body["metadata"]["luminosity_pb"] = 1000
    body["scan"] = body.pop("inference")["scan_range"]
    document = tmp_path / "old.yaml"
    document.write_text(yaml.safe_dump(body, sort_keys=False))
    return document


def test_an_older_document_goes_step_by_step_to_the_present_version(old: Path) -> None:
    before = old.read_bytes()
    found = migrate(old, steps=STEPS)
    assert (found.kind, found.old, found.new) == ("analysis", "0.8.0", "1.0.0")
    assert [step.text for step in found.steps] == ["luminosity in inverse femtobarn", "the scan under inference"]
    assert found.body["metadata"]["luminosity_fb"] == 1.0
    assert found.body["inference"] == {"scan_range": [0, 2]}
    assert old.read_bytes() == before


def test_the_command_writes_a_valid_document_beside_the_old_one(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "STEPS", STEPS)
    target = tmp_path / "new.yaml"
    assert main(["migrate", str(old), "--output", str(target)]) == 0
    assert "analysis 0.8.0 -> 0.9.0: luminosity in inverse femtobarn" in capsys.readouterr().out
    toy = load_analysis(ROOT / "specs" / "toy" / "analysis.yaml", check_files=False)
    written = load_analysis(target, check_files=False)
    assert (written.samples, written.likelihoods) == (toy.samples, toy.likelihoods)
    assert main(["migrate", str(old), "--output", str(target)]) == 3  # what is there is never replaced
    assert "migrate.exists" in capsys.readouterr().err


def test_what_no_step_reaches_is_refused(old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidInput, match=r"no step leads from version 0\.9\.0 .* 0\.8\.0 to 0\.9\.0"):
        migrate(old, steps=STEPS[:1])
    assert main(["migrate", str(old), "--output", str(tmp_path / "new.yaml")]) == 3
    assert "migrate.no-way" in capsys.readouterr().err
    assert not (tmp_path / "new.yaml").exists()


@pytest.mark.parametrize(
    ("said", "code"),
    [("analysis/2.0.0", "migrate.newer"), ("analysis", "migrate.no-version"), ("nonsense/1.0.0", "migrate.no-way")],
)
def test_other_versions_are_named(old: Path, said: str, code: str) -> None:
    old.write_text(old.read_text().replace("analysis/0.8.0", said))
    with pytest.raises(InvalidInput) as caught:
        migrate(old, steps=STEPS)
    assert caught.value.code == code


def test_a_step_that_gives_no_valid_document_is_found(old: Path) -> None:
    steps = (Step(kind="analysis", old="0.8.0", new="1.0.0", text="nothing", change=dict),)
    with pytest.raises(InvalidDocument, match="luminosity_pb"):
        migrate(old, steps=steps)


def test_the_present_version_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", str(ROOT / "specs" / "toy" / "analysis.yaml"), "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert (body["old"], body["new"], body["steps"]) == ("1.0.0", "1.0.0", [])
    assert main(["migrate", str(tmp_path)]) == 2
