"""Finished runs as archives, and locks of documents: by the command line, on a real run."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import warnings
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from evercast.publication.shipped import read_archive
from evercast.schemas import load_schema, registry
from workflow_documents import changed, evercast, small_body, write_document


@pytest.fixture
def finished(small_run: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    shutil.copytree(small_run, folder, symlinks=True)
    return folder


@pytest.fixture(scope="session")
def packed(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of the small run; not to be changed."""
    folder = tmp_path_factory.mktemp("packed") / "archive"
    done = evercast("archive", "pack", "analysis.yaml", "--output", str(folder), "--json", cwd=small_run)
    assert done.returncode == 0, done.stderr
    return folder


def _error(done: subprocess.CompletedProcess[str]) -> tuple[int, str]:
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)["error"]["code"]


def _record(version: Path) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((version / "data/archive.json").read_text())
    return body


def _manifest(version: Path) -> dict[str, str]:
    lines = (version / "manifest-sha256.txt").read_text().splitlines()
    return {line[66:]: line[:64] for line in lines}


def test_other_programs_verify_an_archive(packed: Path) -> None:
    for manifest in ("manifest-sha256.txt", "tagmanifest-sha256.txt"):
        subprocess.run(["sha256sum", "--check", "--strict", "--quiet", manifest], cwd=packed / "v1", check=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the package itself
        import bagit  # noqa: PLC0415
    assert bagit.Bag(str(packed / "v1")).validate()


def test_verify_says_that_nobody_signed(packed: Path) -> None:
    done = evercast("verify", str(packed), cwd=packed)
    assert done.returncode == 0, done.stderr
    assert "nobody signed it" in done.stdout


def test_records_fulfil_their_schemas(packed: Path) -> None:
    for kind in ("archive", "lock"):
        body = json.loads((packed / f"v1/data/{kind}.json").read_text())
        Draft202012Validator(load_schema(kind), registry=registry()).validate(body)


def test_an_archive_holds_the_whole_analysis(packed: Path, small_run: Path) -> None:
    data = packed / "v1/data"
    assert (data / "document/analysis.yaml").read_bytes() == (small_run / "analysis.yaml").read_bytes()
    assert (data / "document/make_events.py").read_bytes() == (small_run / "make_events.py").read_bytes()
    assert (data / "workflow/Snakefile").is_file()
    assert "--hash=sha256:" in (data / "workflow/requirements/run.txt").read_text()
    assert json.loads((data / "results/fit.json").read_text()) == json.loads(
        (small_run / "results/toy/fit.json").read_text()
    )
    record = _record(packed / "v1")
    work = small_run / "results/toy/work"
    assert {f"{unit['stage']}/{unit['id']}" for unit in record["units"]} == {
        f"{path.parent.parent.name}/{path.parent.name}" for path in work.glob("*/*/receipt.json")
    }
    for unit in record["units"]:
        made, kept = work / unit["stage"] / unit["id"], data / "units" / unit["stage"] / unit["id"]
        receipt = json.loads((kept / "receipt.json").read_text())
        assert all((kept / name).read_bytes() == (made / name).read_bytes() for name in receipt["files"])


def test_names_are_safe_on_every_file_system(packed: Path) -> None:
    for path in packed.rglob("*"):
        assert re.fullmatch(r"[A-Za-z0-9._+-]{1,100}", path.name), path
        assert not path.is_symlink()


def test_receipts_name_no_machine(packed: Path) -> None:
    hosts = {json.loads(path.read_text())["host"] for path in packed.glob("v1/data/units/*/*/receipt.json")}
    assert hosts == {"host-1"}


def test_the_source_in_an_archive_runs(packed: Path, tmp_path: Path) -> None:
    source = packed / "v1" / _record(packed / "v1")["code"]["file"]
    with tarfile.open(source) as reader:
        reader.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    command = [
        sys.executable,
        "-c",
        "import evercast, sys; from evercast.cli import main; sys.exit(main(['plan', sys.argv[1]]))",
    ]
    environment = {**os.environ, "PYTHONPATH": str(folder / "src")}
    document = packed / "v1/data/document/analysis.yaml"
    done = subprocess.run(
        [*command, document], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "pyproject.toml").is_file()


def test_the_same_run_is_packed_once(packed: Path, small_run: Path) -> None:
    done = evercast("archive", "pack", "analysis.yaml", "--output", str(packed), "--json", cwd=small_run)
    body = json.loads(done.stdout)
    assert (body["written"], body["version"], body["stored_bytes"]) == (False, 1, 0)
    assert sorted(path.name for path in packed.iterdir()) == ["v1"]


def test_a_changed_cut_is_a_version_that_stores_what_changed_alone(
    packed: Path, finished: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    shutil.copytree(packed, archive)
    before = {path: path.read_bytes() for path in archive.rglob("*") if path.is_file()}
    write_document(finished, changed(small_body(), "selection.regions.SR.cut", "(x > -0.25) & (x < 10)"))
    assert evercast("run", "analysis.yaml", "--cores", "2", cwd=finished).returncode == 0
    done = evercast("archive", "pack", "analysis.yaml", "--output", str(archive), "--json", cwd=finished)
    assert done.returncode == 0, done.stderr
    body = json.loads(done.stdout)
    assert (body["version"], body["written"]) == (2, True)
    assert {path: path.read_bytes() for path in before} == before
    first, second = _record(archive / "v1"), _record(archive / "v2")
    same = {unit["id"] for unit in first["units"]} & {unit["id"] for unit in second["units"]}
    assert any(name.startswith("events-signal") for name in same)
    for path in archive.glob("v2/data/units/command/*/events.csv"):
        assert path.stat().st_ino == (archive / "v1" / path.relative_to(archive / "v2")).stat().st_ino
    manifests = [_manifest(archive / name) for name in ("v1", "v2")]
    inodes = {(archive / "v1" / name).stat().st_ino for name in manifests[0]}
    old = set(manifests[0].values())
    new = {digest: name for name, digest in manifests[1].items() if digest not in old}
    assert all(
        ((archive / "v2" / name).stat().st_ino in inodes) == (digest in old) for name, digest in manifests[1].items()
    )
    assert body["stored_bytes"] == sum((archive / "v2" / name).stat().st_size for name in new.values())
    assert not any(name.startswith(("data/document/make_events", "data/units/command/")) for name in new.values())
    listed = json.loads(evercast("archive", "ls", str(archive), "--json", cwd=finished).stdout)["versions"]
    assert [row["version"] for row in listed] == [1, 2]
    assert listed[1]["new_bytes"] == body["stored_bytes"]
    assert evercast("verify", str(archive), cwd=finished).returncode == 0


def test_an_archive_comes_back_from_a_tar_file(packed: Path, tmp_path: Path) -> None:
    assert evercast("archive", "push", str(packed), "toy.tar", cwd=tmp_path).returncode == 0
    assert evercast("archive", "pull", "toy.tar", "back", cwd=tmp_path).returncode == 0
    assert subprocess.run(["diff", "-r", packed, tmp_path / "back"], check=False).returncode == 0
    again = json.loads(evercast("archive", "push", str(packed), "toy.tar", "--json", cwd=tmp_path).stdout)
    assert again["new"] == []


def test_a_signature_is_made_and_demanded(packed: Path, tmp_path: Path) -> None:
    shutil.copytree(packed, tmp_path / "archive")
    keys = {"EVERCAST_KEYS": str(tmp_path / "keys")}
    for name in ("cms", "other"):
        assert evercast("keys", "new", name, cwd=tmp_path, **keys).returncode == 0
    public = tmp_path / "keys/cms.pub"
    assert evercast("keys", "trust", str(public), "--as", "cms@example.org", cwd=tmp_path, **keys).returncode == 0
    unsigned = evercast("verify", "archive", "--key", str(public), "--json", cwd=tmp_path, **keys)
    assert _error(unsigned) == (5, "signature.missing")
    signed = evercast("archive", "sign", "archive", "--key", str(tmp_path / "keys/cms.pem"), cwd=tmp_path, **keys)
    assert signed.returncode == 0, signed.stderr
    done = evercast("verify", "archive", "--key", str(public), cwd=tmp_path, **keys)
    assert done.returncode == 0, done.stderr
    assert "cms@example.org" in done.stdout
    wrong = evercast("verify", "archive", "--key", str(tmp_path / "keys/other.pub"), "--json", cwd=tmp_path, **keys)
    assert _error(wrong) == (5, "signature.missing")
    listed = evercast("keys", "list", cwd=tmp_path, **keys).stdout
    assert "own      cms" in listed
    assert "trusted  cms@example.org" in listed
    revoked = evercast("keys", "trust", "cms", "--revoke", cwd=tmp_path, **keys)
    assert revoked.returncode == 0, revoked.stderr
    assert _error(evercast("verify", "archive", "--json", cwd=tmp_path, **keys)) == (5, "signature.revoked")


def test_a_run_that_is_not_finished_is_not_packed(finished: Path) -> None:
    shutil.rmtree(next((finished / "results/toy/work/fit").iterdir()))
    done = evercast("archive", "pack", "results/toy", "--output", "archive", "--json", cwd=finished)
    assert _error(done) == (1, "run.incomplete")
    assert not (finished / "archive").exists()


def test_a_document_that_was_changed_since_is_not_packed(finished: Path) -> None:
    write_document(finished, changed(small_body(), "selection.regions.SR.cut", "(x > 0) & (x < 10)"))
    done = evercast("archive", "pack", "analysis.yaml", "--output", "archive", "--json", cwd=finished)
    assert _error(done) == (1, "run.incomplete")


def test_a_damaged_unit_is_not_packed(finished: Path) -> None:
    result = next((finished / "results/toy/work/fit").glob("*/result.json"))
    result.write_bytes(result.read_bytes().replace(b"1", b"2", 1))
    done = evercast("archive", "pack", "analysis.yaml", "--output", "archive", "--json", cwd=finished)
    assert _error(done) == (5, "bag.source-changed")
    assert list((finished / "archive").iterdir()) == []


def test_a_changed_file_beside_the_document_is_not_packed(finished: Path) -> None:
    with (finished / "make_events.py").open("a") as stream:
        stream.write("# changed\n")
    done = evercast("archive", "pack", "analysis.yaml", "--output", "archive", "--json", cwd=finished)
    assert _error(done) == (5, "plan.file-changed")


def test_a_damaged_version_gets_no_successor(packed: Path, small_run: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    shutil.copytree(packed, archive)
    result = archive / "v1/data/results/fit.json"
    result.chmod(0o644)
    result.write_bytes(result.read_bytes() + b" ")
    done = evercast("archive", "pack", "analysis.yaml", "--output", str(archive), "--json", cwd=small_run)
    assert _error(done) == (5, "bag.oxum")
    assert [path.name for path in archive.iterdir()] == ["v1"]


def test_inputs_may_be_left_out(small_run: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    done = evercast(
        "archive", "pack", "analysis.yaml", "--inputs", "none", "--output", str(archive), "--json", cwd=small_run
    )
    assert done.returncode == 0, done.stderr
    (entry,) = _record(archive / "v1")["inputs"]
    assert (entry["name"], entry["file"]) == ("make_events.py", None)
    assert not (archive / "v1/data/document/make_events.py").exists()
    assert evercast("verify", str(archive), cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("small_disk", ["3m"], indirect=True)
def test_a_full_disk_leaves_no_version(small_run: Path, small_disk: Path) -> None:
    done = evercast("archive", "pack", "analysis.yaml", "--output", str(small_disk / "a"), "--json", cwd=small_run)
    assert _error(done) == (6, "disk.full")
    assert list((small_disk / "a").iterdir()) == []


_KILLED = """
import sys
from evercast.publication import archive_pack
real, count = archive_pack.place_file, 0
def slow(*words, **options):
    global count
    count += 1
    if count == 40:
        print("half", flush=True)
        sys.stdin.read()
    return real(*words, **options)
archive_pack.place_file = slow
from evercast.cli import main
main(["archive", "pack", "analysis.yaml", "--output", sys.argv[1]])
"""


def test_a_kill_in_the_middle_leaves_no_version(small_run: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    command = [sys.executable, "-c", _KILLED, str(archive)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=small_run) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"half\n"
        process.send_signal(signal.SIGKILL)
    assert not (archive / "v1").exists()
    assert evercast("archive", "pack", "analysis.yaml", "--output", str(archive), cwd=small_run).returncode == 0
    assert [path.name for path in archive.iterdir()] == ["v1"]


def test_the_program_in_an_archive_reads_it_alone(packed: Path, tmp_path: Path) -> None:
    own = packed / "v1/data/read_archive.py"
    assert len(own.read_text().splitlines()) < 400
    alone = [sys.executable, "-I", "-S"]  # the standard library and nothing else
    done = subprocess.run([*alone, own], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "analysis   toy" in done.stdout
    assert "every sha256 is right" in done.stdout
    shown = subprocess.run([*alone, own, "--show", "results/fit.json"], capture_output=True, text=True, check=True)
    assert json.loads(shown.stdout) == json.loads((packed / "v1/data/results/fit.json").read_text())
    events = next((packed / "v1/data/units/selection").glob("*/*.zarr"))
    name = events.relative_to(packed / "v1/data").as_posix()
    shown = subprocess.run([*alone, own, "--show", name], capture_output=True, text=True, check=True)
    assert "float64" in shown.stdout
    listed = subprocess.run([*alone, own, "--list"], capture_output=True, text=True, check=True)
    assert len(listed.stdout.splitlines()) == len((packed / "v1/manifest-sha256.txt").read_text().splitlines())


@pytest.mark.parametrize("damage", ["changed", "gone", "extra", "link", "manifest"])
def test_the_program_in_an_archive_finds_damage(
    damage: str, packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = tmp_path / "v1"
    shutil.copytree(packed / "v1", bag)
    place = bag / "data/results/fit.json"
    place.chmod(0o644)
    if damage == "changed":
        content = place.read_bytes()
        place.write_bytes(content[:-2] + b" " + content[-1:])
    elif damage == "gone":
        place.unlink()
    elif damage == "extra":
        (bag / "data/sitecustomize.py").write_text("1/0")
    elif damage == "link":
        place.rename(tmp_path / "x")
        place.symlink_to(tmp_path / "x")
    else:
        (bag / "manifest-sha256.txt").write_text(f"{'0' * 64}  data/../../x\n")
    assert read_archive.main([str(bag)]) == 5
    assert "error: " in capsys.readouterr().err


def test_a_run_without_a_lock_says_so(small_run: Path) -> None:
    assert "no lock: inputs, images and packages are those of today" in (small_run / "stderr.txt").read_text()


def test_a_run_as_locked_goes_on_and_another_is_refused(finished: Path) -> None:
    assert evercast("lock", "analysis.yaml", cwd=finished).returncode == 0
    lock = json.loads((finished / "analysis.lock.json").read_text())
    done = evercast("run", "analysis.yaml", "--cores", "1", cwd=finished)
    assert done.returncode == 0, done.stderr
    assert f"as locked in analysis.lock.json: 1 inputs, {len(lock['packages'])} packages" in done.stderr
    with (finished / "make_events.py").open("a") as stream:
        stream.write("# changed\n")
    before = (finished / "results/toy/work/current.json").read_bytes()
    refused = evercast("run", "analysis.yaml", "--cores", "1", "--json", cwd=finished)
    assert _error(refused) == (5, "lock.differs")
    assert (finished / "results/toy/work/current.json").read_bytes() == before
