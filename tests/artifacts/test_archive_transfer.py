"""Archives brought to folders and registries: whole, each content once, never over what is there."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from archives import make_archive, make_version, payload, record
from oci_server import Store, serve_registry

from evercast.artifacts.archive import open_archive, open_version
from evercast.artifacts.archive_transfer import transfer_archive, writing_alone
from evercast.artifacts.archive_verify import sign_version, verify_archive
from evercast.artifacts.bag_store import place_file
from evercast.artifacts.key_ring import KeyRing
from evercast.artifacts.registry import parse_reference
from evercast.errors import EnvironmentUnfit, EvercastError, IntegrityError, InvalidInput, UsageError

TODAY = "20261122"
USER = "me:secret"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return make_archive(tmp_path / "archive", versions=2)


@pytest.fixture
def registry() -> Iterator[tuple[str, Store]]:
    with serve_registry() as served:
        yield served


def _same(one: Path, other: Path) -> bool:
    return subprocess.run(["diff", "-r", one, other], capture_output=True, check=False).returncode == 0


def test_a_registry_holds_each_content_once_and_gives_it_all_back(
    archive: Path, registry: tuple[str, Store], tmp_path: Path
) -> None:
    host, store = registry
    sent = transfer_archive(str(archive), f"oci://{host}/cms/toy")
    assert (sent.versions, sent.new) == ((1, 2), (1, 2))
    contents = {path.read_bytes() for path in archive.rglob("*") if path.is_file()}
    assert set(store.blobs.values()) == contents | {b"{}"}
    transfer_archive(f"oci://{host}/cms/toy", str(tmp_path / "pulled"))
    assert _same(archive, tmp_path / "pulled")


def test_what_a_registry_has_is_not_sent_again(archive: Path, registry: tuple[str, Store]) -> None:
    host, store = registry
    transfer_archive(str(archive), f"oci://{host}/toy")
    store.requests.clear()
    assert transfer_archive(str(archive), f"oci://{host}/toy").stored_bytes == 0
    assert {method for method, _ in store.requests} <= {"GET", "HEAD"}


def test_a_new_version_sends_what_is_new_alone(archive: Path, registry: tuple[str, Store]) -> None:
    host, store = registry
    transfer_archive(str(archive), f"oci://{host}/toy")
    before = dict(store.blobs)
    last = open_archive(archive).last
    assert last is not None
    make_version(archive / "v3", payload("content 3"), record(3, last.bag.id))
    done = transfer_archive(str(archive), f"oci://{host}/toy")
    assert done.new == (3,)
    new = {digest: content for digest, content in store.blobs.items() if digest not in before}
    assert b'{"content": "content 3"}' in new.values()
    assert done.stored_bytes == sum(map(len, new.values()))
    assert len(new) <= 5  # the result, the record, manifest, tag manifest, bag-info


def test_other_clients_read_what_is_sent(archive: Path, registry: tuple[str, Store], tmp_path: Path) -> None:
    import oras.client  # noqa: PLC0415 - heavy

    host, _ = registry
    transfer_archive(str(archive), f"oci://{host}/toy")
    client = oras.client.OrasClient(hostname=host, insecure=True)
    client.pull(target=f"{host}/toy:v2", outdir=str(tmp_path / "v2"))
    assert open_version(tmp_path / "v2").bag.id == open_version(archive / "v2").bag.id


def test_a_tag_is_one_version_alone(archive: Path, registry: tuple[str, Store], tmp_path: Path) -> None:
    host, _ = registry
    transfer_archive(str(archive), f"oci://{host}/toy")
    transfer_archive(f"oci://{host}/toy:v2", str(tmp_path / "second"))
    assert open_version(tmp_path / "second").record.version == 2


def test_a_registry_that_asks_for_a_password_gets_it_from_dockers_file(archive: Path, tmp_path: Path) -> None:
    with serve_registry(password=USER) as (host, store):
        target = f"oci://{host}/toy"
        with pytest.raises(EnvironmentUnfit) as caught:
            transfer_archive(str(archive), target, home=tmp_path)
        assert caught.value.code == "registry.denied"
        assert not store.blobs
        (tmp_path / ".docker").mkdir()
        entry = {"auth": "bWU6c2VjcmV0"}
        (tmp_path / ".docker/config.json").write_text(json.dumps({"auths": {host: entry}}))
        transfer_archive(str(archive), target, home=tmp_path)
        transfer_archive(target, str(tmp_path / "pulled"), home=tmp_path)
    assert _same(archive, tmp_path / "pulled")


def test_a_registry_that_is_not_there_is_named(archive: Path) -> None:
    with serve_registry() as (host, _):
        gone = host
    with pytest.raises(EnvironmentUnfit) as caught:
        transfer_archive(str(archive), f"oci://{gone}/toy")
    assert (caught.value.code, caught.value.exit_code) == ("registry.unreachable", 6)
    assert gone in str(caught.value)


def test_an_empty_repository_is_no_archive(registry: tuple[str, Store], tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        transfer_archive(f"oci://{registry[0]}/toy", str(tmp_path / "pulled"))
    assert caught.value.code == "registry.empty"


@pytest.mark.parametrize(
    "text", ["oci://", "oci://host", "oci://host/UPPER", "oci://host/../x", "oci://h/n:", "oci://a b/c"]
)
def test_what_names_no_repository_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_reference(text)


def _change_manifest(store: Store, change: str) -> None:
    kind, content = store.manifests["toy", "v1"]
    body = json.loads(content)
    first = body["layers"][0]
    if change == "traversal":
        first["annotations"]["org.opencontainers.image.title"] = "../../evil"
    elif change == "absolute":
        first["annotations"]["org.opencontainers.image.title"] = "/opt/evil"
    elif change == "twice":
        body["layers"].append(first)
    elif change == "size":
        first["size"] += 1
    elif change == "exchange":
        first["digest"], body["layers"][1]["digest"] = body["layers"][1]["digest"], first["digest"]
    elif change == "extra":
        body["layers"].append({**first, "annotations": {"org.opencontainers.image.title": "data/sitecustomize.py"}})
    elif change == "kind":
        body["artifactType"] = "application/x-other"
    elif change == "huge":
        first["size"] = 1 << 60
    store.manifests["toy", "v1"] = (kind, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("traversal", "bag.name"), ("absolute", "bag.name"), ("twice", "registry.manifest"),
        ("size", "bag.oxum"), ("exchange", None), ("extra", "bag.extra-file"), ("kind", "registry.manifest"),
        ("huge", "registry.manifest"),
    ],
)  # fmt: skip
def test_a_hostile_manifest_is_refused(
    change: str, code: str | None, archive: Path, registry: tuple[str, Store], tmp_path: Path
) -> None:
    host, store = registry
    transfer_archive(str(archive), f"oci://{host}/toy")
    _change_manifest(store, change)
    with pytest.raises(IntegrityError) as caught:
        transfer_archive(f"oci://{host}/toy", str(tmp_path / "pulled"))
    assert code is None or caught.value.code == code
    assert not list((tmp_path / "pulled").glob("*")) if (tmp_path / "pulled").exists() else True
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("sent", [b"", b"something else", bytes(10_000_000)])
def test_a_dishonest_registry_is_found_out(
    sent: bytes, archive: Path, registry: tuple[str, Store], tmp_path: Path
) -> None:
    host, store = registry
    transfer_archive(str(archive), f"oci://{host}/toy")
    digest = hashlib.sha256((archive / "v1/data/results/fit.json").read_bytes()).hexdigest()
    store.altered[f"sha256:{digest}"] = sent
    with pytest.raises(IntegrityError):
        transfer_archive(f"oci://{host}/toy", str(tmp_path / "pulled"))
    assert not list((tmp_path / "pulled").glob("**/*"))


def test_a_manifest_of_many_megabytes_is_not_read(archive: Path, registry: tuple[str, Store], tmp_path: Path) -> None:
    host, store = registry
    transfer_archive(str(archive), f"oci://{host}/toy")
    kind, content = store.manifests["toy", "v1"]
    store.manifests["toy", "v1"] = (kind, content + b" " * (5 << 20))
    with pytest.raises(IntegrityError) as caught:
        transfer_archive(f"oci://{host}/toy", str(tmp_path / "pulled"))
    assert caught.value.code == "registry.manifest"


def test_another_version_of_the_same_number_is_never_written_over(
    archive: Path, registry: tuple[str, Store], tmp_path: Path
) -> None:
    other = make_archive(tmp_path / "other-place" / "archive", versions=1)
    shutil.rmtree(other)
    make_version(other / "v1", payload("something else"), record())
    host, store = registry
    targets = [f"oci://{host}/toy", str(tmp_path / "target.tar"), str(tmp_path / "target")]
    for target in targets:
        transfer_archive(str(archive), target)
    before = dict(store.manifests), (tmp_path / "target.tar").read_bytes()
    for target in targets:
        with pytest.raises(InvalidInput) as caught:
            transfer_archive(str(other), target)
        assert (caught.value.code, caught.value.exit_code) == ("archive.exists", 3)
    assert (dict(store.manifests), (tmp_path / "target.tar").read_bytes()) == before
    assert _same(archive, tmp_path / "target")


def test_a_signature_follows_later(archive: Path, registry: tuple[str, Store], tmp_path: Path) -> None:
    targets = [f"oci://{registry[0]}/toy", str(tmp_path / "target.tar"), str(tmp_path / "target")]
    for target in targets:
        transfer_archive(str(archive), target)
    ring = KeyRing(tmp_path / "keys")
    ring.new("cms")
    for version in open_archive(archive).versions:
        sign_version(version.bag, key=ring.private("cms"))
    for target in targets:
        transfer_archive(str(archive), target)
        place = str(tmp_path / f"back-{targets.index(target)}")
        transfer_archive(target, place)
        public = ring.private("cms").with_suffix(".pub")
        assert len(verify_archive(Path(place), today=TODAY, key=public).versions) == 2


def test_contents_of_a_folder_are_one_file_with_many_names(archive: Path, tmp_path: Path) -> None:
    transfer_archive(str(archive), str(tmp_path / "target"))
    weights = [tmp_path / "target" / name / "data/units/training/ratios-1/weights.safetensors" for name in ("v1", "v2")]
    assert weights[0].stat().st_ino == weights[1].stat().st_ino
    inodes = {
        path.stat().st_ino: path.stat().st_size for path in (tmp_path / "target").rglob("data/**/*") if path.is_file()
    }
    assert sum(inodes.values()) == verify_archive(tmp_path / "target", today=TODAY).stored_bytes


def test_a_damaged_source_gives_nothing(archive: Path, tmp_path: Path) -> None:
    (archive / "v2/data/results/fit.json").write_text('{"content": "content X"}')
    for target in ("target", "target.tar"):
        with pytest.raises(IntegrityError) as caught:
            transfer_archive(str(archive), str(tmp_path / target))
        assert caught.value.code == "bag.digest"
        assert not (tmp_path / target).exists()


def test_a_damaged_content_of_an_earlier_version_is_not_linked(archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    transfer_archive(str(archive / "v1"), str(target / "v1"))
    weights = target / "v1/data/units/training/ratios-1/weights.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    transfer_archive(str(archive), str(target))
    open_version(target / "v2")
    with pytest.raises(IntegrityError):
        open_version(target / "v1")


@pytest.mark.parametrize("small_disk", ["64k"], indirect=True)
def test_a_full_disk_leaves_nothing(archive: Path, small_disk: Path, tmp_path: Path) -> None:
    make_version(tmp_path / "big/v1", {**payload(), "results/big.bin": os.urandom(300_000)}, record())
    for target in (small_disk / "target", small_disk / "target.tar"):
        with pytest.raises(EvercastError) as caught:
            transfer_archive(str(tmp_path / "big"), str(target))
        assert (caught.value.code, caught.value.exit_code) == ("disk.full", 6)
        assert list(small_disk.rglob("*")) in ([], [small_disk / "target"])


_KILLED = """
import os, sys
from evercast.artifacts import archive_transfer
real, count = archive_transfer.write_once, 0
def slow(*words, **options):
    global count
    count += 1
    if count == 5:
        print("half", flush=True)
        sys.stdin.read()
    return real(*words, **options)
archive_transfer.write_once = slow
archive_transfer.transfer_archive(sys.argv[1], sys.argv[2])
"""


def test_a_kill_in_the_middle_leaves_nothing_under_the_final_name(archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    command = [sys.executable, "-c", _KILLED, str(archive), str(target)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"half\n"
        assert list(target.glob(".v1.*.tmp"))
        process.send_signal(signal.SIGKILL)
    assert not (target / "v1").exists()
    transfer_archive(str(archive), str(target))
    assert _same(archive, target)
    assert not list(target.glob(".*"))


def test_one_process_writes_at_a_time(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    with writing_alone(tmp_path / "target"), pytest.raises(EnvironmentUnfit) as caught:
        transfer_archive(str(archive), str(tmp_path / "target"))
    assert caught.value.code == "archive.locked"


def test_a_file_that_changes_while_it_is_copied_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError) as caught:
        place_file(tmp_path, "data/x", b"other", known={}, expected="0" * 64)
    assert caught.value.code == "bag.source-changed"
    assert not (tmp_path / "data").exists()


def test_a_file_system_without_links_gets_copies(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    transfer_archive(str(archive), str(tmp_path / "target"))
    assert _same(archive, tmp_path / "target")
