"""Bundles that were damaged, or made to hurt: each is refused with its message and exit code, nothing is executed."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sealed_bundle import edit, seal, write_sealed_bundle

from evercast.artifacts.bundle_open import MANIFEST_FILE, SIGNATURE_FILE, SUMS_FILE
from evercast.artifacts.signatures import sign_file
from evercast.artifacts.weights import read_tensors, write_tensors
from evercast.cli import main
from invented_bundle import write_sums

WEIGHTS = "weights-signal.safetensors"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sealed_bundle(tmp_path_factory.mktemp("sound") / "bundle")


@pytest.fixture
def bundle(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "bundle"))


def verify(bundle: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code and what the command line says as JSON."""
    capsys.readouterr()
    code = main(["verify", str(bundle), "--json", *words])
    return code, json.loads(capsys.readouterr().out)


def refused(bundle: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Return exit code, text code and message."""
    code, said = verify(bundle, capsys, *words)
    assert "error" in said, said
    assert said["error"]["exit_code"] == code
    return code, said["error"]["code"], said["error"]["message"]


def test_a_sound_bundle_passes(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = verify(bundle, capsys)
    assert code == 0
    assert [one["name"] for one in said["checks"]] == [
        "files", "programs", "pages", "documents", "domain", "invented: numpy", "invented: float32", "-2 ln L",
        "best fit", "minimum",
    ]  # fmt: skip
    assert all(one["worst"] is None or one["worst"] <= 1 for one in said["checks"])
    assert said["signed_by"] == []


def test_one_bit_of_any_file_is_found(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in sorted(bundle.iterdir()):
        content, state = path.read_bytes(), path.stat()
        flipped = bytearray(content)
        flipped[len(content) // 2] ^= 1
        path.write_bytes(flipped)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
        code, kind, message = refused(bundle, capsys)
        if path.name == MANIFEST_FILE:  # a bit of it is a name, a number, or what makes it JSON
            assert (code, kind) in {
                (5, "bundle.sums"), (5, "bundle.digest"), (5, "bundle.absent"), (5, "artifact.not-json"),
                (3, "bundle.manifest"), (5, "bundle.extra"),
            }  # fmt: skip
        else:
            assert code == 5
            assert path.name in message
        path.write_bytes(content)
    assert verify(bundle, capsys)[0] == 0


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


SIZES: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut": (cut, "bundle.digest"),
    "emptied": (lambda path: path.write_bytes(b""), "bundle.digest"),
    "appended": (lambda path: path.write_bytes(path.read_bytes() + b" "), "bundle.digest"),
    "deleted": (lambda path: path.unlink(), "bundle.absent"),
    "a link to equal bytes": (
        lambda path: (path.rename(path.parent.parent / path.name), path.symlink_to(path.parent.parent / path.name)),
        "bundle.kind",
    ),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "bundle.kind"),
    "a fifo": (lambda path: (path.unlink(), os.mkfifo(path)), "bundle.kind"),
}


@pytest.mark.parametrize("name", ["events.safetensors", "likelihood.json", WEIGHTS, "read_numpy.py"])
@pytest.mark.parametrize("change", SIZES)
def test_a_file_that_is_another_is_named(
    bundle: Path, capsys: pytest.CaptureFixture[str], change: str, name: str
) -> None:
    damage, expected = SIZES[change]
    damage(bundle / name)
    code, kind, message = refused(bundle, capsys)
    assert (code, kind) == (5, expected)
    assert name in message


@pytest.mark.parametrize("name", ["sitecustomize.py", "weights-more.safetensors", "LICENSE.TXT"])
def test_an_extra_file_is_refused(bundle: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (bundle / name).write_text("import this\n")
    code, kind, message = refused(bundle, capsys)
    assert (code, kind) == (5, "bundle.name" if name == "LICENSE.TXT" else "bundle.extra")
    assert name in message


@pytest.mark.parametrize("name", [".hidden", "with space", "ünïcode", "x" * 101, "-rf", "new\nline"])
def test_a_name_that_is_not_safe_is_refused(bundle: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (bundle / name).write_text("")
    code, kind, _ = refused(bundle, capsys)
    assert (code, kind) == (5, "bundle.name")


def test_a_deep_folder_is_refused(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bundle / "a" / "b").mkdir(parents=True)
    (bundle / "a" / "b" / "sitecustomize.py").write_text("import this\n")
    assert refused(bundle, capsys)[:2] == (5, "bundle.kind")


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/b", "..", "manifest.json", "x\u0000y", ""])
def test_the_manifest_names_no_place_outside(bundle: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    entry = {"sha256": "0" * 64, "size_bytes": 1}
    edit(bundle / MANIFEST_FILE, lambda body: body["files"].update({name: entry}))
    assert refused(bundle, capsys)[:2] == (5, "bundle.name")


SUMS: dict[str, Callable[[list[str]], list[str]]] = {
    "a line dropped": lambda lines: lines[1:],
    "a line doubled": lambda lines: [*lines, lines[0]],
    "another order": lambda lines: lines[::-1],
    "a traversal": lambda lines: [*lines, f"{'0' * 64}  ../x\n"],
    "emptied": lambda lines: lines[:0],
    "md5": lambda lines: [line[32:] for line in lines],
}


@pytest.mark.parametrize("change", SUMS)
def test_the_list_of_digests_is_that_of_the_manifest(
    bundle: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    path = bundle / SUMS_FILE
    path.write_text("".join(SUMS[change](path.read_text().splitlines(keepends=True))))
    code, kind, message = refused(bundle, capsys)
    assert (code, kind) == (5, "bundle.sums")
    assert SUMS_FILE in message


def _manifest_text(change: Callable[[str], str]) -> Callable[[Path], None]:
    def write(bundle: Path) -> None:
        path = bundle / MANIFEST_FILE
        path.write_text(change(path.read_text()))
        write_sums(bundle)

    return write


def _manifest_body(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def write(bundle: Path) -> None:
        edit(bundle / MANIFEST_FILE, change)
        write_sums(bundle)

    return write


MANIFESTS: dict[str, tuple[Callable[[Path], None], tuple[int, str], str]] = {
    "a Python tag": (
        _manifest_text(lambda _: "!!python/object/apply:os.system ['touch canary']"), (5, "artifact.not-json"), "JSON",
    ),
    "a pickle": (
        lambda bundle: (bundle / MANIFEST_FILE).write_bytes(pickle.dumps({"schema": "neural-likelihood/1.0.0"})),
        (5, "artifact.not-json"), "JSON",
    ),
    "NaN": (_manifest_text(lambda text: text.replace('"luminosity_fb": 1.0', '"luminosity_fb": NaN')),
            (5, "artifact.not-json"), "NaN"),
    "a key twice": (_manifest_text(lambda text: text.replace('"run_id"', '"name": "x", "run_id"')),
                    (5, "artifact.not-json"), "stands twice"),
    "depth": (_manifest_text(lambda _: "[" * 1_000_000 + "]" * 1_000_000), (5, "artifact.not-json"), "JSON"),
    "20 MB": (_manifest_text(lambda text: text + " " * (20 << 20)), (5, "bundle.too-large"), "at most"),
    "a number beyond all": (_manifest_text(lambda text: text.replace('"luminosity_fb": 1.0', '"luminosity_fb": 1e999')),
                            (3, "bundle.manifest"), "too large"),
    "a list": (_manifest_text(lambda _: "[]"), (3, "format.unknown-version"), "neural-likelihood/1.0.0"),
    "version 999": (_manifest_body(lambda body: body.update(schema="neural-likelihood/999.0.0")),
                    (3, "format.unknown-version"), "neural-likelihood/999.0.0"),
    "an unknown key": (_manifest_body(lambda body: body.update(lumniosity=1)), (3, "bundle.manifest"), "lumniosity"),
    "a missing key": (_manifest_body(lambda body: body.pop("conventions")), (3, "bundle.manifest"), "conventions"),
    "another type": (_manifest_body(lambda body: body.update(observables="mass")), (3, "bundle.manifest"), "mass"),
}  # fmt: skip


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_that_is_none_is_refused(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(bundle.parent)
    change, expected, words = MANIFESTS[name]
    change(bundle)
    code, kind, message = refused(bundle, capsys)
    assert (code, kind) == expected
    assert words in message
    assert not (bundle.parent / "canary").exists()


VERSIONS = {
    "validity.json": "validity/999.0.0",
    "results.json": "bundle-results/999.0.0",
    "reference_vectors.json": "reference-vectors/999.0.0",
    "architecture.json": "architecture/999.0.0",
    "likelihood.json": "likelihood/999.0.0",
}


@pytest.mark.parametrize("name", VERSIONS)
def test_an_unknown_version_of_any_document_is_named(
    bundle: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    edit(bundle / name, lambda body: body.update(schema=VERSIONS[name]))
    seal(bundle)
    code, kind, message = refused(bundle, capsys)
    assert (code, kind) == (3, "format.unknown-version")
    assert name in message
    assert VERSIONS[name] in message


def _tensors(path: Path, change: Callable[[dict[str, np.ndarray], Any], object]) -> None:
    kept = read_tensors(path)
    arrays = {name: array.copy() for name, array in kept.arrays.items()}
    metadata = json.loads(json.dumps(kept.metadata))
    change(arrays, metadata)
    write_tensors(path, arrays, metadata)


def _header(path: Path, change: Callable[[dict[str, Any]], object], *, more: bytes = b"") -> None:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :] + more)


def _overlap(header: dict[str, Any]) -> None:
    first, second, *_ = [name for name in header if name != "__metadata__"]
    header[first] = dict(header[second])


class Canary:
    """Writes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, ("canary",)


def _swap_members(arrays: dict[str, np.ndarray], metadata: Any) -> None:
    for name, array in arrays.items():
        arrays[name] = np.ascontiguousarray(array[[1, 0, *range(2, len(array))]])


FILES: dict[str, tuple[str, Callable[[Path], object], tuple[int, str]]] = {
    "overlap": (WEIGHTS, lambda path: _header(path, _overlap), (5, "tensors.damaged")),
    "trailing bytes": (WEIGHTS, lambda path: _header(path, lambda _: None, more=b"\0" * 8), (5, "tensors.damaged")),
    "a header of 2^63": (WEIGHTS, lambda path: path.write_bytes(b"\0" * 7 + b"\x80" + path.read_bytes()[8:]),
                         (5, "tensors.damaged")),
    "a hole in the events": ("events.safetensors", lambda path: _header(path, lambda h: h.pop("SR.observed.weight")),
                             (5, "tensors.damaged")),
    "events of another shape": (
        "events.safetensors", lambda path: _tensors(path, lambda a, _: a.update({"SR.observed.weight": np.ones(7)})),
        (5, "likelihood.format"),
    ),
    "NaN among the events": (
        "events.safetensors", lambda path: _tensors(path, lambda a, _: a["SR.observed.log_ratio"].fill(np.nan)),
        (5, "likelihood.format"),
    ),
    "NaN in the weights": (WEIGHTS, lambda path: _tensors(path, lambda a, _: a["layers.0.bias"].fill(np.nan)),
                           (7, "weights.not-finite")),
    "infinite weights": (WEIGHTS, lambda path: _tensors(path, lambda a, _: a["layers.0.weight"].fill(np.inf)),
                         (7, "weights.not-finite")),
    "weights all zero": (
        WEIGHTS,
        lambda path: _tensors(path, lambda a, _: [x.fill(0) for name, x in a.items() if name.endswith("weight")]),
        (5, "weights.zero"),
    ),
    "a tensor missing": (
        WEIGHTS, lambda path: _tensors(path, lambda a, _: a.pop("layers.1.bias")), (5, "weights.shape"),
    ),
    "half precision": (
        WEIGHTS,
        lambda path: _header(path, lambda h: h["layers.0.bias"].update(dtype="F16")), (5, "tensors.damaged"),
    ),
    "a transposed layer": (
        WEIGHTS,
        lambda path: _tensors(path, lambda a, _: a.update({"layers.0.weight": a["layers.0.weight"].swapaxes(2, 3)})),
        (5, "weights.shape"),
    ),
    "two members swapped": (WEIGHTS, lambda path: _tensors(path, _swap_members), (5, "bundle.reference")),
    "one weight another": (
        WEIGHTS, lambda path: _tensors(path, lambda a, _: a["layers.0.weight"].__iadd__(np.float32(1e-3))),
        (5, "bundle.reference"),
    ),
    "weights of another process": (
        WEIGHTS,
        lambda path: shutil.copy(path.with_name("weights-background.safetensors"), path), (5, "bundle.reference"),
    ),
    "a pickle with a canary": (WEIGHTS, lambda path: path.write_bytes(pickle.dumps(Canary())), (5, "tensors.damaged")),
    "another yield": (
        "likelihood.json",
        lambda path: edit(path, lambda b: b["channels"][0]["components"][0].update(yield_events=31.0)),
        (5, "bundle.reference"),
    ),
    "another log_norm": (
        MANIFEST_FILE,
        lambda path: edit(path, lambda b: b["ensembles"]["invented"]["processes"]["signal"].update(log_norm=0.5)),
        (5, "bundle.reference"),
    ),
    "another best fit": (
        "results.json", lambda path: edit(path, lambda b: b["observed"].update(twice_nll=1.0)), (5, "bundle.reference"),
    ),
    "another architecture": (
        "architecture.json",
        lambda path: edit(path, lambda b: b["networks"]["invented"]["signal"].update(activation="relu")),
        (5, "bundle.architecture"),
    ),
    "vectors of fewer networks": (
        "reference_vectors.json",
        lambda path: edit(path, lambda b: b["log_ratio"]["invented"]["log_ratio"].pop("signal")),
        (5, "bundle.reference"),
    ),
    "a number of 400 digits": (
        "likelihood.json",
        lambda path: path.write_text(path.read_text().replace('"yield_events": 30.0', f'"yield_events": {10**400}')),
        (3, "bundle.document"),
    ),
    "a number beyond all": (
        "reference_vectors.json",
        lambda path: path.write_text(path.read_text().replace('"abs": 1e-05', '"abs": 1e400')),
        (3, "bundle.document"),
    ),
    "vectors of unequal length": (
        "reference_vectors.json",
        lambda path: edit(path, lambda b: b["log_ratio"]["invented"]["observables"][3].pop()),
        (5, "bundle.reference"),
    ),
    "no outputs of single networks": (
        "reference_vectors.json", lambda path: edit(path, lambda b: b["log_ratio"]["invented"].pop("networks")),
        (5, "bundle.reference"),
    ),
    "ragged outputs of single networks": (
        "reference_vectors.json",
        lambda path: edit(path, lambda b: b["log_ratio"]["invented"]["networks"]["signal"][0].pop()),
        (5, "bundle.reference"),
    ),
    "no vectors": (
        "reference_vectors.json", lambda path: edit(path, lambda b: b["log_ratio"].clear()), (5, "bundle.reference"),
    ),
    "a tolerance of everything": (
        "reference_vectors.json",
        lambda path: edit(
            path, lambda b: (b["likelihood"][0].update(twice_nll=0.0), b["likelihood_tolerance"].update(abs=1e9)),
        ),
        (5, "bundle.reference"),
    ),
    "NaN among the vectors": (
        "reference_vectors.json", lambda path: path.write_text(path.read_text().replace('"abs": 1e-05', '"abs": NaN')),
        (5, "artifact.not-json"),
    ),
    "a support of other observables": (
        "validity.json", lambda path: edit(path, lambda b: b["ensembles"]["invented"]["observables"].reverse()),
        (5, "validity.damaged"),
    ),
    "another unit": (
        "validity.json",
        lambda path: edit(path, lambda b: b["ensembles"]["invented"]["observables"][0].update(unit="MeV")),
        (5, "validity.damaged"),
    ),
    "a scale of zero": (
        "validity.json",
        lambda path: edit(path, lambda b: b["ensembles"]["invented"]["support"].update(scale=[0.0, 1.0, 1.0])),
        (3, "bundle.document"),
    ),
    "observables of events": (
        "events.safetensors",
        lambda path: _tensors(path, lambda a, _: a.update({"SR.observed.observables": np.ones((140, 3))})),
        (5, "bundle.disclosure"),
    ),
    "ratios with networks": (MANIFEST_FILE, lambda path: edit(path, lambda b: b.update(disclosure="ratios")),
                             (5, "bundle.disclosure")),
    "no validity": ("validity.json", lambda path: path.unlink(), (3, "validity.missing")),
    "an empty validity": ("validity.json", lambda path: path.write_bytes(b""), (3, "validity.missing")),
    "no licence": ("LICENSE.txt", lambda path: path.unlink(), (3, "bundle.incomplete")),
    "no citation and no vectors": (
        "CITATION.cff", lambda path: (path.unlink(), (path.parent / "reference_vectors.json").unlink()),
        (3, "bundle.incomplete"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_bundle_changed_by_one_who_knows_the_format_is_refused(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Every digest is right again, so that the numbers have to tell."""
    monkeypatch.chdir(bundle.parent)
    file, change, expected = FILES[name]
    change(bundle / file)
    seal(bundle)
    code, kind, message = refused(bundle, capsys)
    assert (code, kind) == expected, message
    assert not (bundle.parent / "canary").exists()


def test_a_wrong_activation_everywhere_fails_at_the_vectors(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(bundle / "architecture.json", lambda b: b["networks"]["invented"]["signal"].update(activation="relu"))
    _tensors(bundle / WEIGHTS, lambda _, metadata: metadata["architecture"].update(activation="relu"))
    seal(bundle)
    code, kind, message = refused(bundle, capsys)
    assert (code, kind) == (5, "bundle.reference")
    assert "signal" in message


def test_observables_in_another_order_everywhere_fail_at_the_vectors(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order = ["angle", "mass", "pt"]
    edit(bundle / MANIFEST_FILE, lambda b: b["ensembles"]["invented"].update(observables=order))
    edit(
        bundle / "architecture.json",
        lambda b: [one.update(observables=order) for one in b["networks"]["invented"].values()],
    )
    units = {"angle": "1", "mass": "GeV", "pt": "GeV"}

    def rename(body: dict[str, Any]) -> None:
        for one, name in zip(body["ensembles"]["invented"]["observables"], order, strict=True):
            one.update(name=name, unit=units[name])

    edit(bundle / "validity.json", rename)
    for path in bundle.glob("weights-*.safetensors"):
        _tensors(path, lambda _, metadata: metadata["architecture"].update(observables=order))
    vectors = json.loads((bundle / "reference_vectors.json").read_text())["log_ratio"]["invented"]["observables"]
    shown = json.loads((bundle / MANIFEST_FILE).read_text())["observables"]
    assert [one["name"] for one in shown] != order
    swapped = [[row[1], row[0], row[2]] for row in vectors]
    edit(bundle / "reference_vectors.json", lambda b: b["log_ratio"]["invented"].update(observables=swapped))
    seal(bundle)
    assert refused(bundle, capsys)[:2] == (5, "bundle.reference")


def test_programs_in_a_bundle_are_never_run(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bundle.parent)
    canary = f"import os\nos.mkdir({str(bundle.parent / 'canary')!r})\n"
    for name in ("read_numpy.py", "numpy.py", "json.py", "conftest.py"):
        (bundle / name).write_text(canary)
    seal(bundle)
    assert refused(bundle, capsys)[:2] == (5, "bundle.program")
    assert main(["inspect", str(bundle)]) == 0
    assert not (bundle.parent / "canary").exists()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path, Path]:
    """Two private keys and their public ones."""
    folder, made = tmp_path_factory.mktemp("keys"), []
    for name in ("own", "other"):
        key = Ed25519PrivateKey.generate()
        private, public = folder / f"{name}.pem", folder / f"{name}.pub"
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        public.write_bytes(
            key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        made += [private, public]
    return made[0], made[1], made[2], made[3]


def sign(bundle: Path, key: Path) -> None:
    sign_file(bundle / SUMS_FILE, key=key, signature=bundle / SIGNATURE_FILE)


def test_a_signature_is_stated_and_demanded(
    bundle: Path, keys: tuple[Path, Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    own, public, _, other = keys
    sign(bundle, own)
    code, said = verify(bundle, capsys)
    assert code == 0
    assert said["signed_by"][0].startswith("SHA256:")
    assert verify(bundle, capsys, "--key", str(public))[0] == 0
    assert refused(bundle, capsys, "--key", str(other))[:2] == (5, "signature.other-key")


def test_whoever_changes_a_signed_bundle_is_found_although_every_digest_is_right(
    bundle: Path, keys: tuple[Path, Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    own, public, other, _ = keys
    sign(bundle, own)
    (bundle / "LICENSE.txt").write_text("another licence\n")
    seal(bundle)
    assert refused(bundle, capsys)[:2] == (5, "signature.wrong")
    sign(bundle, other)
    assert refused(bundle, capsys, "--key", str(public))[:2] == (5, "signature.other-key")
    (bundle / SIGNATURE_FILE).unlink()
    assert refused(bundle, capsys, "--key", str(public))[:2] == (5, "signature.missing")
    (bundle / SIGNATURE_FILE).write_text("-----BEGIN SSH SIGNATURE-----\n")
    assert refused(bundle, capsys)[:2] == (5, "signature.damaged")


@pytest.mark.parametrize("change", ["missing", "empty"])
def test_a_published_bundle_without_a_domain_is_not_opened_by_a_fit_either(
    bundle: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    if change == "missing":
        (bundle / "validity.json").unlink()
    else:
        (bundle / "validity.json").write_bytes(b"")
    seal(bundle)
    capsys.readouterr()
    code = main(["fit", str(bundle), "--json"])
    assert (code, json.loads(capsys.readouterr().out)["error"]["code"]) == (3, "validity.missing")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda path: path.mkdir(), (3, "verify.unknown")),
        (lambda path: path.write_text('{"a": 1}'), (3, "verify.unknown")),
        (lambda path: path.write_bytes(b"\x80\x04\x95"), (3, "verify.unknown")),
        (os.mkfifo, (3, "verify.unknown")),
        (lambda path: path.symlink_to("/etc"), (3, "verify.unknown")),
        (lambda path: path.exists(), (3, "verify.missing")),
    ],
)
def test_what_is_nothing_of_ours_is_said_to_be_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], object], expected: tuple[int, str]
) -> None:
    make(tmp_path / "thing")
    assert refused(tmp_path / "thing", capsys)[:2] == expected


def test_ratios_give_no_observable_and_no_network_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = write_sealed_bundle(tmp_path / "ratios", disclosure="ratios")
    assert verify(bundle, capsys)[0] == 0
    names = {path.name for path in bundle.iterdir()}
    assert not [name for name in names if name.startswith(("weights", "architecture", "support", "model"))]
    tensors = read_tensors(bundle / "events.safetensors").arrays
    assert {name.rsplit(".", 1)[1] for name in tensors} <= {
        "log_ratio", "weight", "process", "log_up", "log_down", "coefficients",
    }  # fmt: skip
    domain = json.loads((bundle / "validity.json").read_text())["ensembles"]["invented"]
    assert (domain["observables"], domain["support"]) == ([], None)
    assert json.loads((bundle / "reference_vectors.json").read_text())["log_ratio"] == {}
