"""Replays of archives: the same again, one stage, what if; and what the machine of today would change."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from replays import edit, pack, rebagged

from evercast.artifacts.archive import open_archive
from evercast.artifacts.archive_verify import sign_version
from evercast.artifacts.bag import open_bag
from evercast.schemas import load_schema, registry
from workflow_documents import evercast


@pytest.fixture(scope="session")
def small_archive(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of the small run; not to be changed."""
    return pack(small_run, tmp_path_factory.mktemp("archives") / "small")


@pytest.fixture(scope="session")
def toy_archive(toy_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of the toy run; not to be changed."""
    return pack(toy_run, tmp_path_factory.mktemp("archives") / "toy")


def replay(archive: Path, *words: str, cwd: Path) -> tuple[int, dict[str, Any]]:
    """The exit code and the record of a replay in ``again``; the record is valid by its schema."""
    done = evercast(
        "replay", str(archive), "--output", "again", "--cores", "2", "--allow-unsigned", "--json", *words, cwd=cwd
    )
    record = json.loads(done.stdout)
    if "error" not in record:
        Draft202012Validator(load_schema("replay"), registry=registry()).validate(record)
        assert record == json.loads((cwd / "again" / "replay.json").read_text())
    return done.returncode, record


def test_the_same_comes_out_from_the_archive_alone(small_archive: Path, tmp_path: Path) -> None:
    alone = shutil.copytree(small_archive, tmp_path / "moved")
    code, record = replay(alone, cwd=tmp_path)
    assert (code, record["verdict"], record["reproduced"]) == (0, "same-bits", True)
    assert [stage["verdict"] for stage in record["stages"]] == [*(["same-bits"] * 5), "not-compared"]
    assert record["first_differences"] == record["document"] == []
    assert (record["not_compared"], record["signed_by"], record["allow_unsigned"]) == (1, "nobody", True)
    assert "with --allow-unsigned" in (tmp_path / "again" / "replay.html").read_text()
    assert all(cause["kind"] == "code" for cause in record["without_effect"])  # of a checkout that is being edited
    assert record["archive"] == open_archive(alone).versions[0].bag.id  # and the archive is as it was
    assert (tmp_path / "again" / "run" / "fit.json").is_file()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "again" / "run" / "work").glob("*/*/receipt.json")}
    code, again = replay(alone, cwd=tmp_path)
    assert (code, again["verdict"]) == (0, "same-bits")
    assert {path: path.stat().st_mtime_ns for path in before} == before
    other = evercast("replay", str(alone), "--output", "again", "--allow-unsigned", "--stage", "fit", cwd=tmp_path)
    assert other.returncode == 3
    inside = evercast("replay", str(alone), "--output", "again", "--allow-unsigned", "--no-containers", cwd=tmp_path)
    assert "containers differ" in inside.stderr
    assert "replay.other" in other.stderr


def test_one_stage_is_made_anew_from_archived_inputs(toy_archive: Path, tmp_path: Path) -> None:
    code, record = replay(toy_archive, "--stage", "evaluation", cwd=tmp_path)
    assert (code, record["verdict"], record["units_run"], record["units_imported"]) == (0, "same-bits", 1, 8)
    assert [stage["stage"] for stage in record["stages"]] == ["evaluation"]
    made = {path.parent.parent.name for path in (tmp_path / "again" / "run" / "work").glob("*/*/receipt.json")}
    assert made == {"command", "selection", "training", "evaluation"}
    assert evercast("catalogue", "add", str(toy_archive), cwd=tmp_path).returncode == 0
    (entry,) = json.loads(evercast("catalogue", "search", record["archive"], "--json", cwd=tmp_path).stdout)
    told = r"reproduced bit for bit on 20\d\d-\d\d-\d\d, stage evaluation alone"
    assert re.fullmatch(told, entry["replayed"])


def test_who_signed_is_demanded_and_told(small_archive: Path, tmp_path: Path) -> None:
    archive = shutil.copytree(small_archive, tmp_path / "archive")
    keys = {"EVERCAST_KEYS": str(tmp_path / "keys")}
    for name in ("maker", "stranger"):
        assert evercast("keys", "new", name, cwd=tmp_path, **keys).returncode == 0
    sign_version(open_bag(archive / "v1"), key=tmp_path / "keys" / "maker.pem")
    words = ["replay", str(archive), "--output", "again", "--stage", "selection", "--json"]
    refused = evercast(*words, cwd=tmp_path, **keys)
    assert (refused.returncode, json.loads(refused.stdout)["error"]["code"]) == (5, "replay.unsigned")
    other = evercast(*words, "--key", "keys/stranger.pub", cwd=tmp_path, **keys)
    assert (other.returncode, json.loads(other.stdout)["error"]["code"]) == (5, "signature.missing")
    assert not (tmp_path / "again").exists()
    done = evercast(*words, "--key", "keys/maker.pub", cwd=tmp_path, **keys)
    record = json.loads(done.stdout)
    assert (done.returncode, record["verdict"], record["allow_unsigned"]) == (0, "same-bits", False)
    assert "SHA256:" in record["signed_by"]
    assert record["signed_by"] in (tmp_path / "again" / "replay.html").read_text()
    trusted = evercast("keys", "trust", "keys/maker.pub", "--as", "maker@example.org", cwd=tmp_path, **keys)
    assert trusted.returncode == 0
    again = evercast(*words, cwd=tmp_path, **keys)
    assert (again.returncode, json.loads(again.stdout)["signed_by"].split()[0]) == (0, "maker@example.org")


def test_a_changed_cut_is_found_where_it_acts_first(small_archive: Path, tmp_path: Path) -> None:
    cut = {"selection": {"regions": {"SR": {"cut": "(x > -0.3) & (x < 10)"}}}}
    (tmp_path / "cut.yaml").write_text(yaml.safe_dump(cut))
    code, record = replay(small_archive, "--change", "cut.yaml", cwd=tmp_path)
    assert (code, record["verdict"], record["changed"]) == (4, "differs", True)
    assert [entry["path"] for entry in record["document"]] == ["$.selection.regions.SR.cut"]
    first = record["first_differences"][0]
    assert (first["stage"], [cause["kind"] for cause in first["causes"]]) == ("selection", ["document"])
    assert first["causes"][0]["name"] == "$.selection.regions.SR.cut"
    later = [entry for entry in record["first_differences"] if entry["stage"] != "selection"]
    assert all(cause["kind"] == "code" for entry in later for cause in entry["causes"])  # of a checkout being edited
    lines = (tmp_path / "again" / "document" / "analysis-changed.yaml").read_text().splitlines()
    assert "(x > -0.3)" in lines[first["causes"][0]["line"] - 1]
    verdicts = {stage["stage"]: stage["verdict"] for stage in record["stages"]}
    assert (verdicts["command"], verdicts["fit"]) == ("same-bits", "differs")
    page = (tmp_path / "again" / "replay.html").read_text()
    assert "Cut flows" in page
    assert "region SR" in page
    assert page.count("<svg") == 2
    assert "<script" not in page


def test_a_change_that_makes_no_valid_document_is_refused(small_archive: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("selection: {regions: {SR: null}}\n")
    code, record = replay(small_archive, "--change", "bad.yaml", cwd=tmp_path)
    assert (code, record["error"]["exit_code"]) == (3, 3)
    assert not (tmp_path / "again" / "run").exists()


def test_a_damaged_archive_is_not_run(small_archive: Path, tmp_path: Path) -> None:
    archive = shutil.copytree(small_archive, tmp_path / "archive")
    (script,) = archive.glob("v1/data/document/*.py")
    script.write_text(script.read_text() + "\n")
    code, record = replay(archive, cwd=tmp_path)
    assert (code, record["error"]["exit_code"]) == (5, 5)
    assert not (tmp_path / "again").exists()


def check(archive: Path, *words: str) -> tuple[int, dict[str, dict[str, Any]]]:
    done = evercast("check-env", str(archive), "--json", *words, cwd=archive)
    findings = json.loads(done.stdout)["findings"]
    return done.returncode, {f"{item['kind']} {item['name']}": item for item in findings if item["effect"] != "same"}


def test_the_machine_of_the_run_changes_nothing(small_archive: Path) -> None:
    assert check(small_archive) == (0, {})


def test_what_the_machine_would_change_is_named_before_anything_runs(small_archive: Path, tmp_path: Path) -> None:
    def older(data: Path) -> None:
        def environment(body: Any) -> None:
            body["machine"]["instructions"] = "sse4_2"
            body["defaults"]["pyhf.AsymptoticCalculator.test_stat"] = "'q'"

        edit(data / "environment.json", environment)
        edit(data / "archive.json", lambda body: body["versions"].update(scipy="1.10.0", pyhf="0.6.0"))

    code, found = check(rebagged(small_archive, tmp_path / "old", older))
    assert code == 4
    assert found["package scipy"]["old"] == "1.10.0"
    assert "fit" in found["package scipy"]["text"]
    assert found["default pyhf.AsymptoticCalculator.test_stat"]["new"] == "'qtilde'"
    assert found["machine instructions"]["old"] == "sse4_2"
    assert len(found) == 4


def test_what_is_missing_keeps_a_replay_from_running(small_archive: Path, tmp_path: Path) -> None:
    digest = "0" * 64

    def with_an_image(data: Path) -> None:
        image = {"name": "evercast", "sha256": digest, "file": None}
        edit(data / "archive.json", lambda body: body.update(images=[image]))

    code, found = check(rebagged(small_archive, tmp_path / "other", with_an_image))
    assert code == 6
    assert found["image evercast"]["new"] == "missing"
    assert found["image evercast"]["effect"] == "blocks"
