"""Archives made to lead a replay out of its folders are refused before anything is written or run."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from evercast.artifacts.bag import BAGIT, INFO, MANIFEST, TAG_MANIFEST, write_bag
from evercast.cli import main
from evercast.errors import IntegrityError
from evercast.plan import Unit
from evercast.reinterpretation.archived import open_archived
from evercast.reinterpretation.replay import ReplayRequest, replay_archive

GOLDEN = Path(__file__).parents[1] / "golden" / "v1.0" / "archive.tar.xz"

Change = Callable[[Path], None]


def edited(name: str, change: Callable[[Any], None]) -> Change:
    """What changes a JSON file of the payload."""

    def apply(data: Path) -> None:
        (place,) = data.glob(name)
        body = json.loads(place.read_text())
        change(body)
        place.write_text(json.dumps(body))

    return apply


def hostile(folder: Path, change: Change) -> Path:
    """A golden archive with a changed payload under right digests."""
    with tarfile.open(fileobj=io.BytesIO(GOLDEN.read_bytes()), mode="r:xz") as packed:
        packed.extractall(folder, filter="data")
    version = folder / "archive" / "v1"
    for name in (BAGIT, INFO, MANIFEST, TAG_MANIFEST):
        (version / name).unlink()
    change(version / "data")
    write_bag(version, info={"External-Identifier": "tiny"})
    return version


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of the keys, which is the test's own."""
    monkeypatch.setenv("EVERCAST_KEYS", str(tmp_path / "keys"))
    return tmp_path / "keys"


def outside_name(body: Any) -> None:
    body["files"]["../../../../canary"] = {"sha256": "0" * 64, "size": 1}


def outside_unit(body: Any) -> None:
    body["units"][0]["id"] = "../../../canary"


def outside_input(body: Any) -> None:
    body["inputs"].append({
        "name": "x", "sha256": "../../../canary", "size": 1, "url": "https://example.org/x",
        "file": "data/document/make_events.py",
    })  # fmt: skip


def other_input(body: Any) -> None:
    body["inputs"].append({
        "name": "x", "sha256": "0" * 64, "size": 1, "url": "https://example.org/x",
        "file": "data/document/make_events.py",
    })  # fmt: skip


def outside_image(body: Any) -> None:
    body["images"].append({"name": "x", "sha256": "/../../canary", "file": "data/document/make_events.py"})


def other_document(body: Any) -> None:
    body["document"] = "data/plan.json"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (edited("units/selection/signal-*/receipt.json", outside_name), "content.receipt"),
        (edited("plan.json", outside_unit), "plan.damaged"),
        (edited("archive.json", outside_input), "archive.record"),
        (edited("archive.json", other_input), "archive.record"),
        (edited("archive.json", outside_image), "archive.record"),
        (edited("archive.json", other_document), "archive.record"),
        (lambda data: next((data / "code").iterdir()).write_bytes(b"\x1f\x8b no tar"), "archive.code"),
    ],
    ids=["receipt", "unit", "input", "other-input", "image", "document", "code"],
)
def test_an_archive_that_leads_out_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Change, code: str
) -> None:
    archive = hostile(tmp_path / "archive", change)
    words = ["replay", str(archive), "--stage", "training", "--output", str(tmp_path / "again"), "--json"]
    assert main(words) == 5
    assert json.loads(capsys.readouterr().out)["error"]["code"] == code
    assert not list(tmp_path.rglob("canary*"))
    assert not list((tmp_path / "again").rglob("receipt.json"))


def test_a_tar_file_is_to_be_unpacked_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-env", str(GOLDEN)]) == 2
    assert "evercast archive pull" in capsys.readouterr().err


def test_what_nobody_signed_is_not_run(tmp_path: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = hostile(tmp_path / "archive", lambda _: None)
    words = ["replay", str(archive), "--output", str(tmp_path / "again"), "--json"]
    assert main(words) == 5
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "replay.unsigned"
    assert "nobody" in error["message"]
    assert "--allow-unsigned" in error["hint"]
    assert not (tmp_path / "again").exists()
    assert main(["keys", "new", "other"]) == 0
    key = keys / "other.pub"
    capsys.readouterr()
    assert main([*words, "--allow-unsigned", "--key", str(key)]) == 5
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "signature.missing"


def test_commands_of_the_document_count_where_the_plan_hides_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = hostile(tmp_path / "archive", edited("plan.json", without_commands))
    assert main(["replay", str(archive), "--output", str(tmp_path / "again"), "--json"]) == 5
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "replay.unsigned"
    assert not list((tmp_path / "again").rglob("receipt.json"))


def without_commands(body: Any) -> None:
    body["units"] = [unit for unit in body["units"] if unit["stage"] != "command"]


@pytest.mark.parametrize(
    "change",
    [
        edited("units/selection/signal-*/receipt.json", outside_name),
        edited("archive.json", outside_unit),
        edited("archive.json", outside_input),
        edited("archive.json", other_input),
        edited("archive.json", outside_image),
        edited("archive.json", other_document),
    ],
    ids=["receipt", "unit", "input", "other-input", "image", "document"],
)
def test_verify_pull_and_check_env_refuse_it_as_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Change
) -> None:
    archive = hostile(tmp_path / "archive", change)
    commands = (["verify", str(archive)], ["archive", "pull", str(archive.parent), str(tmp_path / "copy")])
    for words in (*commands, ["check-env", str(archive)]):
        assert main(words) == 5, words
        assert "outside" in (said := capsys.readouterr().err) or "it names" in said
    assert not list(tmp_path.rglob("canary*"))
    assert not list((tmp_path / "copy").glob("v*"))


@pytest.mark.parametrize("place", ["document/*.py", "units/selection/signal-*/summary.json"])
def test_a_file_that_changes_after_it_was_verified_is_not_used(tmp_path: Path, place: str) -> None:
    archived = open_archived(hostile(tmp_path / "archive", lambda _: None))
    (file,) = (archived.folder / "data").glob(place)
    file.write_bytes(file.read_bytes() + b" ")
    request = ReplayRequest(output=tmp_path / "again", stage="training", allow_unsigned=True)
    with pytest.raises(IntegrityError, match="another content than when it was verified") as caught:
        replay_archive(archived, request, observer=Silent())
    assert caught.value.code == "replay.changed"
    assert not list((tmp_path / "again").rglob(file.name))


class Silent:
    """Is told how a replay goes on and says nothing."""

    def say(self, text: str) -> None:
        pass

    def finished(self, unit: Unit) -> None:
        pass

    def put_aside(self, units: Sequence[Unit], reason: str) -> None:
        pass
