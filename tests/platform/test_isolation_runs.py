"""Whole runs in the image of evercast, by an ordinary user on one machine; on a cluster: test_slurm_runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from evercast.runtime.folders import RunFolder
from platform_programs import OrdinaryUser
from workflow_documents import receipts, small_body, write_document

pytestmark = [pytest.mark.container, pytest.mark.slow, pytest.mark.xdist_group("isolation")]

TELLING_VERSIONS = ("report-",)
"""Units whose files say what computed them; the Python of an image may be another one than that of the host."""


@pytest.fixture(scope="module")
def place(ordinary_user: OrdinaryUser, open_folder: Path) -> Path:
    """A folder with the small analysis, of the ordinary user."""
    folder = ordinary_user.folder(open_folder / "isolation")
    write_document(folder, small_body())
    return folder


def run(user: OrdinaryUser, place: Path, *words: str, store: Path, code: int = 0) -> dict[str, Any]:
    """Run the small analysis and return what the command says."""
    line = ["evercast", "run", "analysis.yaml", "--cores", "2", "--json", *words]
    done = user.run(line, cwd=place, EVERCAST_IMAGES=str(store), APPTAINER_BIND="/etc:/hostetc", EVERCAST_OFFLINE="1")
    assert done.returncode == code, done.stdout + done.stderr
    body: dict[str, Any] = json.loads(done.stdout)
    return body


@pytest.fixture(scope="module")
def inside(place: Path, ordinary_user: OrdinaryUser, image_store: Path) -> RunFolder:
    """The run in containers."""
    run(ordinary_user, place, "--results", "inside", "--", "--sdm", "apptainer", store=image_store)
    return RunFolder(place / "inside")


def test_every_stage_was_computed_in_the_locked_image(inside: RunFolder, image_store: Path) -> None:
    locked = yaml.safe_load((image_store / "images.yaml").read_text())["images"]["evercast"]["sha256"]
    found = [json.loads(path.read_text()) for path in inside.work.glob("*/*/receipt.json")]
    assert {body["stage"] for body in found} >= {
        "command",
        "selection",
        "serialization",
        "fit",
        "diagnostics",
        "report",
    }
    for body in found:
        assert body["container"]["sha256"] == locked, body["unit"]
        assert {"--containall", "--cleanenv", "none"} <= set(body["container"]["flags"])
        assert "--nv" not in body["container"]["flags"]


def test_the_same_comes_out_with_and_without_a_container(
    inside: RunFolder, place: Path, ordinary_user: OrdinaryUser, image_store: Path
) -> None:
    run(ordinary_user, place, "--results", "outside", store=image_store)
    here, there = receipts(inside), receipts(RunFolder(place / "outside"))
    assert here.keys() == there.keys()
    for unit in here:
        if not unit.startswith(TELLING_VERSIONS):
            assert here[unit] == there[unit], unit


def test_a_missing_image_stops_the_run_before_its_first_job(
    place: Path, ordinary_user: OrdinaryUser, tmp_path: Path
) -> None:
    empty = ordinary_user.folder(place / "empty")
    said = run(ordinary_user, place, "--results", "none", "--", "--sdm", "apptainer", store=empty, code=6)
    assert said["error"]["code"] == "image.missing"
    assert not list((place / "none" / "work").glob("*/*/receipt.json"))


def test_an_image_that_changed_in_the_store_is_refused(
    place: Path, ordinary_user: OrdinaryUser, image_store: Path
) -> None:
    store = ordinary_user.folder(place / "store")
    names = (image_store / "images.yaml").read_text()
    (store / "images.yaml").write_text(names)
    locked = yaml.safe_load(names)["images"]["evercast"]["sha256"]
    content = bytearray((image_store / f"sha256-{locked}.sif").read_bytes())
    content[len(content) // 2] ^= 1
    (store / f"sha256-{locked}.sif").write_bytes(content)
    said = run(ordinary_user, place, "--results", "changed", "--", "--sdm", "apptainer", store=store, code=5)
    assert said["error"]["code"] == "image.digest"
