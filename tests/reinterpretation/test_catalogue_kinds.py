"""Archives, bundles, documents and indexes in the catalogue: listed by few reads, described, checked, told apart."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from small_events import write_analysis

from evercast.artifacts.archive_transfer import transfer_archive
from evercast.artifacts.bag_files import FolderFiles
from evercast.artifacts.signatures import sign_file
from evercast.artifacts.tar_files import TarFiles
from evercast.cli import main
from evercast.reinterpretation.catalogue import stored
from evercast.reinterpretation.catalogue.places import find_places
from evercast.reinterpretation.catalogue.replays import last_replay, record_replay, replay_folder
from evercast.reinterpretation.catalogue.stored import read_catalogue

GOLDEN = Path(__file__).parents[1] / "golden" / "v1.0"


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive and a bundle of a small run, in a folder each."""
    folder = tmp_path_factory.mktemp("golden")
    for name in ("archive", "bundle"):
        with tarfile.open(GOLDEN / f"{name}.tar.xz") as packed:
            packed.extractall(folder / "packed" / name, filter="data")
        (top,) = (folder / "packed" / name).iterdir()
        top.rename(folder / name)
    shutil.rmtree(folder / "packed")
    return folder


@pytest.fixture
def preserved(golden: Path, user_folders: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A folder of the test's own with both, in the catalogue."""
    folder = user_folders / "publication"
    shutil.copytree(golden, folder)
    assert main(["catalogue", "add", str(folder)]) == 0
    capsys.readouterr()
    return folder


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    assert main(["catalogue", *words, "--json"]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def error(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)["error"]
    return found


def by_kind(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    return {entry["kind"]: entry for entry in listed(capsys, "ls")}


def test_archives_and_bundles_say_what_they_are(preserved: Path, capsys) -> None:
    found = by_kind(capsys)
    archive, bundle = found["archive"], found["neural bundle"]
    manifest = (preserved / "archive" / "v1" / "manifest-sha256.txt").read_bytes()
    assert archive["digest"] == hashlib.sha256(manifest).hexdigest()
    assert bundle["digest"] == hashlib.sha256((preserved / "bundle" / "manifest-sha256.txt").read_bytes()).hexdigest()
    assert archive["name"] == json.loads((preserved / "archive/v1/data/analysis.json").read_text())["name"]
    assert bundle["name"].startswith(f"{archive['name']}-")
    for entry in (archive, bundle):
        assert entry["title"]
        assert entry["experiment"]
        assert entry["inputs"]
        assert entry["signatures"]
        assert "neural likelihood" in entry["disclosure"]
        assert entry["problem"] is None
    assert archive["replayed"] == "no replay recorded"
    assert archive["askable"]
    assert not bundle["askable"]


def test_an_archive_is_described_with_the_commands_that_ask_it(preserved: Path, capsys) -> None:
    archive = by_kind(capsys)["archive"]
    asked = f"evercast request new MY-REQUEST --analysis {archive['name']}@{archive['digest'][:8]}"
    for name in (archive["name"], archive["digest"][:10], f"{archive['name']}@v1", str(preserved / "archive")):
        assert main(["catalogue", "describe", name]) == 0
        text = capsys.readouterr().out
        assert archive["digest"] in text
        assert asked in text
        assert "evercast replay " in text
    assert main(["catalogue", "describe", str(preserved / "bundle"), "--json"]) == 0
    entry = json.loads(capsys.readouterr().out)["entry"]
    assert {"fit it, set limits", "recompute its numbers"} <= {command["what"] for command in entry["commands"]}


def test_a_request_to_an_archive_begins_as_a_draft_that_waits_for_a_signal(preserved: Path, tmp_path, capsys) -> None:
    archive = by_kind(capsys)["archive"]
    assert preserved.is_dir()
    assert main(["request", "new", str(tmp_path / "ask"), "--analysis", f"{archive['name']}@v1"]) == 0
    text = (tmp_path / "ask" / "request.yaml").read_text()
    assert archive["digest"] in text
    capsys.readouterr()
    assert main(["request", "check", str(tmp_path / "ask"), "--json"]) == 3
    said = error(capsys)
    assert [problem["code"] for problem in said.get("problems") or [said]] == ["request.no-signal"]
    for words in (["--point", "DS_1_2"], ["--likelihood", "no-such"]):
        assert main(["request", "new", str(tmp_path / "other"), "--analysis", archive["name"], *words]) == 3
    assert not (tmp_path / "other").exists()


def test_every_word_is_searched_for_in_all_that_an_entry_says(preserved: Path, capsys) -> None:
    found = by_kind(capsys)
    state = found["archive"]["signatures"][0].split()[0]
    assert preserved.is_dir()
    assert {entry["kind"] for entry in listed(capsys, "search", state)} == set(found)
    assert [entry["kind"] for entry in listed(capsys, "search", state.upper(), "ARCHIVE")] == ["archive"]
    assert listed(capsys, "search", state, "no-such-word") == []


def test_the_last_replay_is_told_with_its_date(preserved: Path, capsys) -> None:
    archive = by_kind(capsys)["archive"]
    record = {"archive": archive["digest"], "changed": False, "verdict": "numeric", "reproduced": True, "stage": None}
    folder = replay_folder(preserved.parent / "config" / "catalogue.json")
    assert record_replay(folder, record, time="2031-05-06T07:08:09Z", report=preserved / "again")
    assert by_kind(capsys)["archive"]["replayed"] == "reproduced within rounding on 2031-05-06"
    later = record | {"verdict": "differs", "reproduced": False, "stage": "evaluation"}
    assert record_replay(folder, later, time="2031-06-01T00:00:00Z", report=preserved / "again")
    assert by_kind(capsys)["archive"]["replayed"] == "not reproduced on 2031-06-01, stage evaluation alone"
    assert not record_replay(folder, record | {"changed": True}, time="2031-07-01T00:00:00Z", report=preserved)
    assert not record_replay(folder, record | {"archive": "../x"}, time="2031-07-01T00:00:00Z", report=preserved)
    found = last_replay(folder, archive["digest"])
    assert found is not None
    assert found.time == "2031-06-01T00:00:00Z"
    (folder / f"{archive['digest']}.json").write_text("{")
    assert by_kind(capsys)["archive"]["replayed"] == "no replay recorded"


def damage(folder: Path, what: str) -> None:
    unit = next(path for path in sorted((folder / "archive/v1/data/units").rglob("*")) if path.is_file())
    record = folder / "archive/v1/data/archive.json"
    weights = next(path for path in sorted((folder / "bundle").glob("*.safetensors")))
    target = {"unit": unit, "record": record, "weights": weights, "manifest": folder / "bundle/manifest.json"}[what]
    content = bytearray(target.read_bytes())
    content[len(content) // 2] ^= 1
    target.chmod(0o644)
    target.write_bytes(content)


@pytest.mark.parametrize(
    ("what", "kind", "seen_at_once"),
    [
        ("unit", "archive", False), ("record", "archive", True),
        ("weights", "neural bundle", False), ("manifest", "neural bundle", True),
    ],
)  # fmt: skip
def test_one_changed_bit_is_found_by_check(what: str, kind: str, seen_at_once: bool, preserved: Path, capsys) -> None:
    assert main(["catalogue", "check"]) == 0
    assert capsys.readouterr().out.count("everything is as it must be") == 2
    damage(preserved, what)
    assert (by_kind(capsys)[kind]["problem"] is not None) == seen_at_once
    assert main(["catalogue", "check", "--json"]) == 5
    rows = json.loads(capsys.readouterr().out)
    assert len([row for row in rows if row["problems"]]) == 1


@pytest.mark.parametrize("what", ["unit", "record"])
def test_a_damaged_archive_is_neither_asked_nor_replayed(what: str, preserved: Path, tmp_path: Path, capsys) -> None:
    name = by_kind(capsys)["archive"]["name"]
    damage(preserved, what)
    place = preserved / "archive"
    for words in (
        ["request", "new", str(tmp_path / "ask"), "--analysis", str(place)],
        ["replay", str(place), "--output", str(tmp_path / "again")],
        *([["request", "new", str(tmp_path / "ask"), "--analysis", name]] if what == "unit" else []),
    ):
        assert main([*words, "--json"]) == 5
        assert error(capsys)["code"] == "bag.digest"
    assert not (tmp_path / "ask").exists()
    assert not (tmp_path / "again").exists()


@pytest.mark.usefixtures("user_folders")
def test_a_tar_file_is_listed_without_reading_what_is_in_it(
    golden: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tars").mkdir()
    transfer_archive(str(golden / "archive"), str(tmp_path / "tars" / "small.tar"))
    read: list[str] = []
    opened = TarFiles.open
    monkeypatch.setattr(TarFiles, "open", lambda self, name: [read.append(name), opened(self, name)][1])
    assert main(["catalogue", "add", str(tmp_path / "tars")]) == 0
    assert len(set(read)) <= 4
    monkeypatch.undo()
    capsys.readouterr()
    (entry,) = read_catalogue(tmp_path / "config" / "catalogue.json").entries()
    manifest = (golden / "archive" / "v1" / "manifest-sha256.txt").read_bytes()
    assert entry.digest == hashlib.sha256(manifest).hexdigest()
    assert "evercast archive pull " in dict(entry.commands)["unpack it"]
    assert main(["catalogue", "check"]) == 0


def test_a_folder_is_listed_without_walking_it(preserved: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*unused: object, **also: object) -> None:
        raise AssertionError("the folder of the archive was walked")

    monkeypatch.setattr(FolderFiles, "__init__", refuse)
    assert preserved.is_dir()
    assert by_kind(capsys)["archive"]["problem"] is None


def many(folder: Path, archive: Path, count: int) -> None:
    """Make folders that look like archives of one version: with the files that a list is made of."""
    for number in range(count):
        version = folder / f"analysis{number:03d}" / "v1"
        (version / "data").mkdir(parents=True)
        for name in ("bagit.txt", "bag-info.txt", "manifest-sha256.txt", "data/archive.json", "data/analysis.json"):
            shutil.copy(archive / "v1" / name, version / name)


def test_what_did_not_change_is_not_read_again(golden: Path, user_folders: Path, monkeypatch) -> None:
    many(user_folders / "many", golden / "archive", 300)
    (user_folders / "config").mkdir()
    body = {"schema": "catalogue/1.0.0", "folders": [str(user_folders / "many")]}
    (user_folders / "config" / "catalogue.json").write_text(json.dumps(body))
    catalogue = read_catalogue(user_folders / "config" / "catalogue.json", cache=user_folders / "cache")
    monkeypatch.setattr(stored.time, "time_ns", lambda: time.monotonic_ns() + (1 << 62))
    assert len(catalogue.entries()) == 300
    looked: list[Path] = []
    real = stored.entries_of_place
    monkeypatch.setattr(stored, "entries_of_place", lambda found: [looked.append(found.path), real(found)][1])
    assert len(catalogue.entries()) == 300
    assert looked == []
    changed = user_folders / "many" / "analysis007" / "v1" / "manifest-sha256.txt"
    changed.write_bytes(changed.read_bytes() + b"0" * 64 + b"  data/x\n")
    assert len({entry.digest for entry in catalogue.entries()}) == 2
    assert looked == [user_folders / "many" / "analysis007"]


def test_two_archives_of_one_name_are_told_apart_by_digits(preserved: Path, golden: Path, tmp_path, capsys) -> None:
    other = tmp_path / "other" / "archive" / "v1"
    shutil.copytree(golden / "archive" / "v1", other)
    info = other / "manifest-sha256.txt"
    info.write_bytes(info.read_bytes() + b"0" * 64 + b"  data/zzz\n")
    assert main(["catalogue", "add", str(tmp_path / "other")]) == 0
    capsys.readouterr()
    found = [entry for entry in listed(capsys, "ls") if entry["kind"] == "archive"]
    assert len({entry["digest"] for entry in found}) == 2
    name = found[0]["name"]
    assert main(["catalogue", "describe", name, "--json"]) == 3
    said = error(capsys)
    assert said["code"] == "catalogue.ambiguous"
    for entry in found:
        assert entry["digest"][:12] in said["message"]
        assert main(["catalogue", "describe", f"{name}@{entry['digest'][:8]}", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["digest"] == entry["digest"]
    assert preserved.is_dir()


def test_a_run_stands_for_its_publication_and_archives_are_not_looked_into(golden: Path, tmp_path: Path) -> None:
    run = tmp_path / "project" / "results" / "small"
    shutil.copytree(golden / "bundle", run / "publication" / "bundles" / "neural")
    shutil.copytree(golden / "archive", run / "publication" / "archive")
    shutil.copytree(golden / "bundle", run / "work" / "serialization" / "x")
    forms = {(found.form, found.path.relative_to(run).as_posix()) for found in find_places(tmp_path / "project")}
    assert forms == {("archive", "publication/archive"), ("bundle", "publication/bundles/neural")}
    (tmp_path / "project" / "link").symlink_to(golden / "archive")
    assert len(find_places(tmp_path / "project")) == 2


def write_index(folder: Path, entry: dict[str, Any]) -> Path:
    path = folder / "index.json"
    path.write_text('{"schema": "catalogue-index/1.0.0", "entries": [' + json.dumps(entry) + "]}")
    return path


def test_an_index_is_written_added_and_compared(preserved: Path, tmp_path: Path, capsys) -> None:
    before = by_kind(capsys)
    index = preserved / "catalogue-index.yaml"
    assert main(["catalogue", "index", "--output", str(index), "--title", "all of it"]) == 0
    assert main(["catalogue", "index", "--output", str(tmp_path / "config" / "x.yaml"), "--json"]) == 3
    capsys.readouterr()
    assert main(["catalogue", "rm", str(preserved)]) == 0
    assert main(["catalogue", "add", str(index)]) == 0
    capsys.readouterr()
    after = by_kind(capsys)
    assert {kind: entry["digest"] for kind, entry in after.items()} == {
        k: entry["digest"] for k, entry in before.items()
    }
    assert all(entry["index"] == str(index) for entry in after.values())
    assert main(["catalogue", "check"]) == 0
    text = index.read_text()
    index.write_text(text.replace(before["archive"]["digest"], "f" * 64))
    capsys.readouterr()
    wrong = by_kind(capsys)["archive"]
    assert "the index names the digest fff" in wrong["problem"]
    assert main(["catalogue", "check"]) == 5


@pytest.mark.usefixtures("user_folders")
def test_what_an_index_lists_elsewhere_is_not_fetched_unless_asked(golden: Path, tmp_path: Path, capsys) -> None:
    transfer_archive(str(golden / "archive"), str(tmp_path / "small.tar"))
    content = (tmp_path / "small.tar").read_bytes()
    digest = hashlib.sha256((golden / "archive" / "v1" / "manifest-sha256.txt").read_bytes()).hexdigest()
    entry = {
        "name": "small", "kind": "archive", "digest": digest, "title": "A small one", "signatures": ["two leptons"],
        "url": "https://example.org/small.tar", "sha256": hashlib.sha256(content).hexdigest(),
        "size_bytes": len(content),
    }  # fmt: skip
    assert main(["catalogue", "add", str(write_index(tmp_path, entry))]) == 0
    capsys.readouterr()
    (found,) = listed(capsys, "search", "leptons")
    assert found["url"] == entry["url"]
    assert found["askable"]
    again = tmp_path / "again.yaml"
    assert main(["catalogue", "index", "small", "--output", str(again)]) == 0
    assert main(["catalogue", "rm", str(tmp_path / "index.json")]) == 0
    assert main(["catalogue", "add", str(again)]) == 0  # with digest and size, without which it is no index
    capsys.readouterr()
    assert main(["request", "new", str(tmp_path / "ask"), "--analysis", "small", "--json"]) == 6
    assert error(capsys)["code"] == "catalogue.elsewhere"
    assert main(["catalogue", "get", "small", str(tmp_path / "here"), "--json"]) == 6  # offline, not in the cache
    assert error(capsys)["code"] == "source.unavailable"
    place = tmp_path / "cache" / "sha256" / entry["sha256"]
    place.parent.mkdir(parents=True)
    place.write_bytes(content)
    assert [one["digest"] for one in listed(capsys, "get", "small", str(tmp_path / "here"))] == [digest]
    assert main(["catalogue", "describe", "small-nothing"]) == 3


@pytest.mark.usefixtures("user_folders")
@pytest.mark.parametrize(
    ("changes", "exit_code", "code"),
    [
        ({"path": "../archive"}, 5, "spec.unsafe-path"),
        ({"path": "a", "url": "oci://example.org/a"}, 3, "catalogue.place"),
        ({}, 3, "catalogue.place"),
        ({"url": "https://example.org/a.tar"}, 3, "catalogue.place"),
        ({"url": "file:///etc/passwd"}, 3, "spec.pattern"),
        ({"path": "a", "digest": "12"}, 3, "spec.pattern"),
        ({"path": "a", "command": "x"}, 3, "spec.unknown-key"),
        ({"kind": "neural bundle", "url": "oci://example.org/a"}, 3, "catalogue.place"),
    ],
)
def test_a_wrong_index_is_refused(changes: dict[str, Any], exit_code: int, code: str, tmp_path: Path, capsys) -> None:
    entry = {"name": "small", "kind": "archive", "digest": "a" * 64} | changes
    assert main(["catalogue", "add", str(write_index(tmp_path, entry)), "--json"]) == exit_code
    said = error(capsys)
    assert code in {problem["code"] for problem in said.get("problems") or [said]}
    assert not (tmp_path / "config").exists()


def reseal(version: Path, name: str, content: bytes) -> None:
    """Change a file of an archive together with its digest, as who wants to deceive does."""
    manifest = version / "manifest-sha256.txt"
    old = hashlib.sha256((version / name).read_bytes()).hexdigest()
    (version / name).chmod(0o644)
    (version / name).write_bytes(content)
    manifest.chmod(0o644)
    manifest.write_text(manifest.read_text().replace(old, hashlib.sha256(content).hexdigest()))


def test_what_strangers_wrote_reaches_no_terminal_and_no_command(preserved: Path, capsys) -> None:
    version = preserved / "archive" / "v1"
    analysis = json.loads((version / "data" / "analysis.json").read_text())
    reseal(version, "data/analysis.json", json.dumps(analysis | {"title": "\u001b[2J\u202eevil"}).encode())
    assert by_kind(capsys)["archive"]["title"] == "?[2J?evil"
    record = json.loads((version / "data" / "archive.json").read_text())
    reseal(version, "data/archive.json", json.dumps(record | {"name": "x; rm -rf ~"}).encode())
    assert main(["catalogue", "ls"]) == 0
    text = capsys.readouterr().out
    assert "no name of an analysis" in text
    assert not by_kind(capsys)["archive"]["commands"]


@pytest.mark.parametrize("what", ["fifo", "folder", "link", "missing"])
@pytest.mark.parametrize("name", ["manifest-sha256.txt", "data/archive.json", "bag-info.txt"])
def test_what_is_no_file_in_an_archive_is_told_at_once(what: str, name: str, preserved: Path, capsys) -> None:
    place = preserved / "archive" / "v1" / name
    place.unlink()
    if what == "fifo":
        os.mkfifo(place)
    elif what == "folder":
        place.mkdir()
    elif what == "link":
        place.symlink_to("/etc/passwd")
    assert by_kind(capsys)["archive"]["problem"] is not None
    assert main(["catalogue", "check"]) == 5


def test_a_fifo_among_documents_blocks_nothing(user_folders: Path, wrapped: Path, capsys) -> None:
    (user_folders / "preserved" / "other").mkdir()
    for name in ("wrapped.yaml", "analysis.yaml", "manifest.json", "x.tar", "catalogue-index.yaml"):
        os.mkfifo(user_folders / "preserved" / "other" / name)
    assert wrapped.is_dir()
    assert [entry["name"] for entry in listed(capsys, "ls")] == ["small-search"]


def test_commands_are_shown_for_a_shell(golden: Path, user_folders: Path, capsys) -> None:
    folder = user_folders / "two words; and more"
    shutil.copytree(golden / "bundle", folder)
    assert main(["catalogue", "add", str(folder)]) == 0
    capsys.readouterr()
    (entry,) = listed(capsys, "ls")
    assert all(shlex.split(command["command"])[2] == str(folder) for command in entry["commands"])


@pytest.mark.usefixtures("user_folders")
def test_a_preserved_selection_is_compared_too(tmp_path: Path, capsys) -> None:
    folder = write_analysis(tmp_path / "selected")
    assert main(["catalogue", "add", str(folder)]) == 0
    assert main(["catalogue", "check"]) == 0
    assert "simulated events" in capsys.readouterr().out
    place = folder / "selection.yaml"
    place.write_text(place.read_text().replace("pt > 10", "pt > 11"))
    assert main(["catalogue", "check", "--json"]) == 5
    (row,) = json.loads(capsys.readouterr().out)
    assert [problem["code"] for problem in row["problems"]] == ["wrapped.selection"]


def test_the_signature_of_a_bundle_is_compared(preserved: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERCAST_KEYS", str(preserved.parent / "keys"))
    bundle = preserved / "bundle"
    bundle.chmod(0o755)
    assert main(["keys", "new", "maker", "--json"]) == 0
    sign_file(
        bundle / "manifest-sha256.txt", key=preserved.parent / "keys" / "maker.pem",
        signature=bundle / "manifest-sha256.txt.sig",
    )  # fmt: skip
    capsys.readouterr()
    assert main(["catalogue", "check"]) == 0
    other = preserved.parent / "other.txt"
    other.write_text("another text")
    (bundle / "manifest-sha256.txt.sig").unlink()
    sign_file(other, key=preserved.parent / "keys" / "maker.pem", signature=bundle / "manifest-sha256.txt.sig")
    capsys.readouterr()
    assert main(["catalogue", "check", "--json"]) == 5
    codes = [problem["code"] for row in json.loads(capsys.readouterr().out) for problem in row["problems"]]
    assert codes == ["signature.wrong"]
