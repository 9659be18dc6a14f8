"""Archives: versions that follow each other, records, signatures; and what a hostile one is refused for."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from archives import (
    KEY,
    WEIGHTS,
    array_files,
    digest,
    inventory,
    make_archive,
    make_version,
    payload,
    receipt,
    record,
    unit_files,
)

from evercast.artifacts.archive import open_archive, open_version
from evercast.artifacts.archive_verify import sign_version, verify_archive
from evercast.artifacts.key_ring import KeyRing
from evercast.errors import EvercastError, IntegrityError, InvalidInput

TODAY = "20261122"
UNIT = "units/training/ratios-1/"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return make_archive(tmp_path / "archive", versions=2)


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "keys")


def _code(call: Callable[[], object]) -> tuple[str, int, str]:
    with pytest.raises(EvercastError) as caught:
        call()
    return caught.value.code, caught.value.exit_code, str(caught.value)


def test_versions_follow_each_other(archive: Path) -> None:
    first, second = open_archive(archive).versions
    assert (first.record.version, second.record.version) == (1, 2)
    assert second.record.previous == first.bag.id
    assert first.bag.path("data/results/fit.json").read_text() == '{"content": "content 1"}'


def test_a_version_stands_alone(archive: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(archive / "v2", alone)
    assert open_version(alone).record.version == 2
    assert verify_archive(alone, today=TODAY).versions[0].id == open_archive(archive).versions[1].bag.id


def test_verification_counts_each_content_once(archive: Path) -> None:
    made = verify_archive(archive, today=TODAY)
    assert made.stored_bytes < sum(version.size for version in made.versions)
    assert [version.signatures for version in made.versions] == [(), ()]


CHAINS: dict[str, tuple[Callable[[Path], object], str]] = {
    "the first is gone": (lambda path: shutil.rmtree(path / "v1"), "archive.chain"),
    "two are exchanged": (lambda path: _exchange(path / "v1", path / "v2"), "archive.chain"),
    "another first": (
        lambda path: (shutil.rmtree(path / "v1"), make_version(path / "v1", payload("other"), record())),
        "archive.chain",
    ),
    "something beside them": (lambda path: (path / "sitecustomize.py").write_text("1/0"), "archive.extra-file"),
    "a link in the place of a version": (
        lambda path: (shutil.move(path / "v1", path.parent / "x"), (path / "v1").symlink_to(path.parent / "x")),
        "bag.not-a-bag",
    ),
    "no version": (lambda path: (shutil.rmtree(path / "v1"), shutil.rmtree(path / "v2")), "archive.not-an-archive"),
}


def _exchange(one: Path, other: Path) -> None:
    one.rename(one.with_name("x"))
    other.rename(one)
    one.with_name("x").rename(other)


@pytest.mark.parametrize("name", CHAINS)
def test_a_broken_chain_is_refused(name: str, archive: Path) -> None:
    change, code = CHAINS[name]
    change(archive)
    found, exit_code, text = _code(lambda: open_archive(archive))
    assert (found, exit_code) == (code, 5)
    assert str(archive) in text


PICKLE = b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x01x\x94\x85\x94R\x94."

RECORDS: dict[str, tuple[object, str, int]] = {
    "unknown version": ({**record(), "schema": "archive/999.0.0"}, "archive.version", 3),
    "no version": ({key: value for key, value in record().items() if key != "schema"}, "archive.record", 5),
    "a key too many": ({**record(), "run_this": "x"}, "archive.record", 5),
    "a key too few": ({key: value for key, value in record().items() if key != "plan"}, "archive.record", 5),
    "a file that is not there": (record(document="data/document/../../x"), "archive.record", 5),
    "an input that is not there": (
        record(inputs=[{"name": "a", "sha256": "0" * 64, "size": 1, "url": None, "file": "data/inputs/a"}]),
        "archive.record",
        5,
    ),
    "a unit that is not there": (record(units=[{"id": "x", "stage": "fit", "key": KEY}]), "archive.record", 5),
    "NaN": (json.dumps(record(version=float("nan"))).encode(), "artifact.not-json", 5),
    "a key twice": (b'{"name": "a", "name": "b"}', "artifact.not-json", 5),
    "deep": (b"[" * 1_000_000, "artifact.not-json", 5),
    "a pickle": (PICKLE, "artifact.not-json", 5),
    "a Python tag": (b"!!python/object/apply:os.system ['x']", "artifact.not-json", 5),
    "no object": (b"[]", "archive.record", 5),
    "a number of 5000 digits": (b'{"version": ' + b"9" * 5000 + b"}", "artifact.not-json", 5),
}  # fmt: skip


@pytest.mark.parametrize("name", RECORDS)
def test_a_wrong_record_is_refused(name: str, tmp_path: Path) -> None:
    body, code, exit_code = RECORDS[name]
    make_version(tmp_path / "v1", payload(), body)
    found, found_exit, text = _code(lambda: open_archive(tmp_path))
    assert (found, found_exit) == (code, exit_code)
    assert "archive.json" in text


def _unit(change: Callable[[dict[str, bytes]], object], *, honest_receipt: bool = True) -> dict[str, bytes]:
    """The payload with a changed unit; its receipt, and the manifests, agree with the change unless told otherwise."""
    files = unit_files()
    old = files.pop("receipt.json")
    change(files)
    return payload(unit={**files, "receipt.json": receipt(files) if honest_receipt else old})


def _zarr(change: Callable[[dict[str, bytes]], object], *, honest: bool = True) -> dict[str, bytes]:
    """The payload with a changed folder of arrays."""
    files = array_files()
    old = files.pop("inventory.json")
    change(files)
    parts = {**files, "inventory.json": inventory(files) if honest else old}

    def put(unit: dict[str, bytes]) -> None:
        for name in [name for name in unit if name.startswith("events.zarr/")]:
            del unit[name]
        unit |= {f"events.zarr/{name}": content for name, content in parts.items()}

    return _unit(put)


CODEC = json.dumps({"zarr_format": 3, "shape": [2], "codecs": [{"name": "pickle"}]}).encode()
NESTED = json.dumps(
    {"codecs": [{"name": "sharding_indexed", "configuration": {"codecs": [{"name": "numcodecs.pickle"}]}}]}
)

CONTENTS: dict[str, tuple[dict[str, bytes], str]] = {
    "a pickle called safetensors": (_unit(lambda files: files.update({"w.safetensors": PICKLE})), "content.pickle"),
    "a pickle called npy": (_unit(lambda files: files.update({"w.npy": PICKLE})), "content.pickle"),
    "a pickle called h5": (_unit(lambda files: files.update({"w.h5": PICKLE})), "content.pickle"),
    "a pickle called json": (_unit(lambda files: files.update({"w.json": PICKLE})), "content.pickle"),
    "a file of torch": (_unit(lambda files: files.update({"w.pt": b"PK\x03\x04"})), "content.pickle"),
    "a file of joblib": (_unit(lambda files: files.update({"w.joblib": b"x"})), "content.pickle"),
    "a file of equinox": (_unit(lambda files: files.update({"w.eqx": b"\x93NUMPY"})), "content.pickle"),
    "arrays of objects": (_unit(lambda files: files.update({"w.npz": b"PK\x03\x04"})), "content.pickle"),
    "a header of an exabyte": (
        _unit(lambda files: files.update({"w.safetensors": b"\xff" * 7 + b"\x7f{}"})), "content.safetensors",
    ),
    "an empty safetensors file": (_unit(lambda files: files.update({"w.safetensors": b""})), "content.safetensors"),
    "zarr of version 2": (_zarr(lambda files: files.update({"x/.zarray": b"{}"})), "content.pickle"),
    "a codec that runs code": (_zarr(lambda files: files.update({"x/zarr.json": CODEC})), "content.codec"),
    "such a codec inside another": (
        _zarr(lambda files: files.update({"x/zarr.json": NESTED.encode()})), "content.codec",
    ),
    "a chunk that is gone": (_zarr(lambda files: files.pop("x/c/0"), honest=False), "content.inventory"),
    "an empty chunk": (_zarr(lambda files: files.update({"x/c/0": b""}), honest=False), "content.inventory"),
    "a chunk too many": (_zarr(lambda files: files.update({"x/c/1": b"x"}), honest=False), "content.inventory"),
    "a shape that grew": (
        _zarr(lambda files: files.update({"x/zarr.json": b'{"shape": [1000000000000]}'}), honest=False),
        "content.inventory",
    ),
    "weights changed with all digests but the receipt's": (
        _unit(lambda files: files.update({"weights.safetensors": WEIGHTS + b"x"}), honest_receipt=False),
        "content.receipt",
    ),
    "a result with NaN": ({**payload(), "results/fit.json": b'{"mu": NaN}'}, "artifact.not-json"),
    "a result with a key twice": ({**payload(), "results/fit.json": b'{"mu": 1, "mu": 2}'}, "artifact.not-json"),
    "a unit without a receipt": (
        {name: part for name, part in payload().items() if not name.endswith("receipt.json")}, "content.receipt",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTENTS)
def test_hostile_content_under_right_digests_is_refused(name: str, tmp_path: Path) -> None:
    files, code = CONTENTS[name]
    make_version(tmp_path / "v1", files, record())
    open_archive(tmp_path)  # every digest is right
    found, exit_code, _ = _code(lambda: verify_archive(tmp_path, today=TODAY))
    assert (found, exit_code) == (code, 5)


def test_files_of_the_users_own_stages_may_be_of_any_kind(tmp_path: Path) -> None:
    files = {"out.pkl": PICKLE}
    more = {f"units/command/own-1/{name}": part for name, part in {**files, "receipt.json": receipt(files)}.items()}
    units = [*record()["units"], {"id": "own-1", "stage": "command", "key": KEY}]
    make_version(tmp_path / "v1", {**payload(), **more, "document/old.pkl": PICKLE}, record(units=units))
    assert verify_archive(tmp_path, today=TODAY).versions[0].files == len(payload()) + 4


def test_openssh_and_sha256sum_verify_a_signature_by_hand(archive: Path, ring: KeyRing) -> None:
    key = ring.new("cms")
    ring.trust(key, who="cms@example.org", until="20301231")
    sign_version(open_version(archive / "v1").bag, key=ring.private("cms"))
    subprocess.run(["sha256sum", "--check", "--quiet", "signatures/id.txt"], cwd=archive / "v1", check=True)
    signature = next((archive / "v1" / "signatures").glob("*.sig"))
    command = ["ssh-keygen", "-Y", "verify", "-f", ring.trusted_file, "-I", "cms@example.org", "-n", "evercast"]
    done = subprocess.run(
        [*command, "-s", signature],
        input=(archive / "v1/signatures/id.txt").read_bytes(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert key.fingerprint.encode() in done.stdout
    signed, unsigned = verify_archive(archive, today=TODAY, keys=ring).versions
    assert [(one.who, one.state) for one in signed.signatures] == [("cms@example.org", "trusted")]
    assert unsigned.signatures == ()


def test_a_signature_changes_nothing_that_was_signed_and_is_made_once(archive: Path, ring: KeyRing) -> None:
    ring.new("cms")
    before = open_version(archive / "v1").bag.id
    for _ in range(2):
        sign_version(open_version(archive / "v1").bag, key=ring.private("cms"))
    assert open_version(archive / "v1").bag.id == before
    assert len(list((archive / "v1" / "signatures").glob("*.sig"))) == 1
    assert [path.name for path in archive.iterdir() if path.name.startswith(".")] == []


def test_two_may_sign(archive: Path, ring: KeyRing) -> None:
    for name in ("cms", "atlas"):
        ring.new(name)
        for version in ("v1", "v2"):
            sign_version(open_version(archive / version).bag, key=ring.private(name))
    made = verify_archive(archive, today=TODAY, keys=ring, key=ring.private("atlas").with_suffix(".pub"))
    assert [len(version.signatures) for version in made.versions] == [2, 2]
    assert {one.state for one in made.versions[0].signatures} == {"unknown"}


def _recompute(bag: Path) -> None:
    """Make all digests of a bag agree with its files, as a careful forger would."""
    names = sorted(path.relative_to(bag).as_posix() for path in (bag / "data").rglob("*") if path.is_file())
    lines = [f"{digest((bag / name).read_bytes())}  {name}\n" for name in names]
    (bag / "manifest-sha256.txt").write_text("".join(lines))
    tags = [
        f"{digest((bag / name).read_bytes())}  {name}\n"
        for name in ("bag-info.txt", "bagit.txt", "manifest-sha256.txt")
    ]
    (bag / "tagmanifest-sha256.txt").write_text("".join(tags))


def _forge(path: Path, ring: KeyRing) -> None:
    (path / "v2/data/results/fit.json").write_text('{"content": "content 9"}')
    _recompute(path / "v2")
    open_archive(path)


def _forge_with_id(path: Path, ring: KeyRing) -> None:
    _forge(path, ring)
    identity = hashlib.sha256((path / "v2/manifest-sha256.txt").read_bytes()).hexdigest()
    (path / "v2/signatures/id.txt").write_text(f"{identity}  manifest-sha256.txt\n")


def _remove(path: Path, ring: KeyRing) -> None:
    shutil.rmtree(path / "v2/signatures")


def _remove_id(path: Path, ring: KeyRing) -> None:
    (path / "v2/signatures/id.txt").unlink()


def _replace(path: Path, ring: KeyRing) -> None:
    shutil.rmtree(path / "v2/signatures")
    ring.new("other")
    sign_version(open_version(path / "v2").bag, key=ring.private("other"))


def _take_that_of_another_version(path: Path, ring: KeyRing) -> None:
    for file in (path / "v1/signatures").iterdir():
        shutil.copyfile(file, path / "v2/signatures" / file.name)


def _revoke(path: Path, ring: KeyRing) -> None:
    ring.revoke(ring.own()["cms"])


FORGERIES: dict[str, tuple[Callable[[Path, KeyRing], None], str]] = {
    "payload and digests": (_forge, "signature.wrong"),
    "payload, digests and id": (_forge_with_id, "signature.wrong"),
    "signature removed": (_remove, "signature.missing"),
    "id removed": (_remove_id, "signature.wrong"),
    "signature by an unknown key": (_replace, "signature.missing"),
    "signature of another version": (_take_that_of_another_version, "signature.wrong"),
    "key revoked": (_revoke, "signature.revoked"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_refused_where_a_key_is_demanded(name: str, archive: Path, ring: KeyRing) -> None:
    change, code = FORGERIES[name]
    ring.new("cms")
    for version in ("v1", "v2"):
        sign_version(open_version(archive / version).bag, key=ring.private("cms"))
    public = ring.private("cms").with_suffix(".pub")
    verify_archive(archive, today=TODAY, keys=ring, key=public)
    change(archive, ring)
    found, exit_code, _ = _code(lambda: verify_archive(archive, today=TODAY, keys=ring, key=public))
    assert (found, exit_code) == (code, 5)


def test_a_key_that_has_ended_signs_no_more(archive: Path, ring: KeyRing) -> None:
    key = ring.new("cms")
    ring.trust(key, who="cms", until="20270101")
    sign_version(open_version(archive / "v1").bag, key=ring.private("cms"))
    verify_archive(archive, today="20261231", keys=ring)
    assert _code(lambda: verify_archive(archive, today="20270101", keys=ring))[:2] == ("signature.expired", 5)


def test_a_known_id_finds_a_forgery_without_any_signature(archive: Path, ring: KeyRing) -> None:
    known = open_archive(archive).versions[1].bag.id
    verify_archive(archive, today=TODAY, expected_id=known)
    _forge(archive, ring)
    assert _code(lambda: verify_archive(archive, today=TODAY, expected_id=known))[:2] == ("archive.id", 5)


def test_keys_are_never_written_over_and_stay_private(ring: KeyRing) -> None:
    ring.new("cms")
    assert ring.private("cms").stat().st_mode & 0o777 == 0o600
    before = ring.private("cms").read_bytes()
    with pytest.raises(InvalidInput) as caught:
        ring.new("cms")
    assert caught.value.code == "key.exists"
    assert ring.private("cms").read_bytes() == before


def test_openssl_reads_a_new_key(ring: KeyRing) -> None:
    ring.new("cms")
    done = subprocess.run(
        ["openssl", "pkey", "-in", ring.private("cms"), "-noout", "-text"], capture_output=True, check=True
    )
    assert b"ED25519" in done.stdout


@pytest.mark.parametrize("name", ["../x", "a/b", "", "A", "x" * 80, "-x"])
def test_a_key_has_a_plain_name(name: str, ring: KeyRing) -> None:
    assert _code(lambda: ring.new(name))[:2] == ("key.name", 3)


def test_a_key_belongs_to_one(ring: KeyRing) -> None:
    key = ring.new("cms")
    ring.trust(key, who="cms")
    assert _code(lambda: ring.trust(key, who="atlas"))[:2] == ("key.trusted", 3)
    ring.trust(key, who="cms", until="20300101")
    assert [(entry.who, entry.until) for entry in ring.trusted()] == [("cms", "20300101")]


def test_a_revoked_key_is_never_trusted_again(ring: KeyRing) -> None:
    key = ring.new("cms")
    ring.trust(key, who="cms")
    ring.revoke(key)
    assert ring.state(key, today=TODAY) == ("revoked", "cms")
    assert _code(lambda: ring.trust(key, who="cms"))[:2] == ("key.revoked", 3)


@pytest.mark.parametrize(
    "line", ["cms ssh-ed25519 AAAA", 'cms namespaces="git" ssh-ed25519 AAAA', "x", "cms cert-authority k"]
)
def test_a_damaged_list_of_trusted_keys_is_refused(line: str, ring: KeyRing) -> None:
    ring.trust(ring.new("cms"), who="cms")
    ring.trusted_file.write_text(f"{line}\n")
    assert _code(ring.trusted)[:2] == ("key.trusted", 3)


def test_nothing_of_a_record_is_taken_on_trust(tmp_path: Path) -> None:
    body: dict[str, Any] = record(units=[{"id": "../../etc", "stage": "x", "key": KEY}])
    make_version(tmp_path / "v1", payload(), body)
    with pytest.raises(IntegrityError):
        open_archive(tmp_path)
