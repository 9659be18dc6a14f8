"""What a bundle may hold beside numbers: programs of evercast, quiet pages, no file and no tensor without a place."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sealed_bundle import edit, seal, write_sealed_bundle

from evercast import __version__
from evercast.artifacts.bundle_open import SIGNATURE_FILE, SUMS_FILE
from evercast.artifacts.signatures import sign_file
from evercast.artifacts.weights import read_tensors, write_tensors
from evercast.cli import main
from evercast.publication.page_check import page_problems
from evercast.publication.programs import KNOWN_PROGRAMS, SHIPPED


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sealed")
    return {level: write_sealed_bundle(folder / level, disclosure=level) for level in ("networks", "ratios")}


@pytest.fixture
def bundle(sealed: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(sealed["networks"], tmp_path / "bundle"))


def verify(bundle: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = main(["verify", str(bundle), "--json", *words])
    return code, json.loads(capsys.readouterr().out)


def refused(bundle: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Seal a changed bundle and return exit code, text code and message."""
    seal(bundle)
    code, said = verify(bundle, capsys)
    return code, said["error"]["code"], said["error"]["message"]


@pytest.mark.parametrize("name", KNOWN_PROGRAMS)
def test_the_programs_that_are_shipped_are_known(name: str) -> None:
    """A reader was changed: add its sha256 under the coming version; entries of released versions stay."""
    content = (files("evercast.publication") / SHIPPED / name).read_bytes()
    assert KNOWN_PROGRAMS[name][__version__] == hashlib.sha256(content).hexdigest()


def test_every_reader_of_a_bundle_that_is_shipped_is_listed() -> None:
    shipped = {
        path.name for path in (files("evercast.publication") / SHIPPED).iterdir() if path.name.startswith("read_")
    }
    assert shipped - {"read_archive.py"} == set(KNOWN_PROGRAMS)


@pytest.mark.parametrize(
    "name", ["read_numpy.py", "numpy.py", "sitecustomize.py", "run.sh", "read_archive.py", "x.html"]
)
def test_other_programs_and_files_are_refused(bundle: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (bundle / name).write_text("import os\n")
    code, kind, message = refused(bundle, capsys)
    assert (code, kind) == (5, "bundle.program" if name.endswith(".py") else "bundle.unknown-file")
    assert name in message


@pytest.mark.parametrize(
    "name", ["weights-more.safetensors", "support.safetensors", "architecture.json", "model.onnx", "other.stablehlo"]
)
def test_what_ratios_keep_back_is_refused(
    sealed: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    bundle = Path(shutil.copytree(sealed["ratios"], tmp_path / "bundle"))
    (bundle / name).write_bytes(b"{}")
    code, kind, message = refused(bundle, capsys)
    assert (code, kind) == (5, "bundle.disclosure")
    assert name in message


@pytest.mark.parametrize("name", ["workspace.json", "projection.json", "weights-more.safetensors", "notes.txt"])
def test_files_that_the_manifest_gives_no_meaning_are_refused(
    bundle: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (bundle / name).write_text("{}")
    code, kind, message = refused(bundle, capsys)
    assert (code, kind) == (5, "bundle.unknown-file")
    assert name in message


@pytest.mark.parametrize("name", ["model.onnx", "model.stablehlo"])
def test_a_copy_that_nobody_declares_is_refused(bundle: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (bundle / name).write_bytes(b"garbage")
    assert refused(bundle, capsys)[:2] == (5, "copies.manifest")


@pytest.mark.parametrize("level", ["networks", "ratios"])
@pytest.mark.parametrize("name", ["SR.observed.observables", "SR.observed.mass", "raw", "CR.observed.weight"])
def test_tensors_of_events_that_have_no_place_are_refused(
    sealed: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], level: str, name: str
) -> None:
    bundle = Path(shutil.copytree(sealed[level], tmp_path / "bundle"))
    path = bundle / "events.safetensors"
    kept = read_tensors(path)
    write_tensors(path, {**kept.arrays, name: np.ones((140, 3))}, json.loads(json.dumps(kept.metadata)))
    code, kind, message = refused(bundle, capsys)
    assert (code, kind) == (5, "bundle.disclosure")
    assert name in message


@pytest.mark.parametrize(
    ("file", "expected"),
    [("support.safetensors", "bundle.disclosure"), ("weights-signal.safetensors", "weights.shape")],
)
def test_tensors_that_hide_beside_points_and_weights_are_refused(
    bundle: Path, capsys: pytest.CaptureFixture[str], file: str, expected: str
) -> None:
    kept = read_tensors(bundle / file)
    write_tensors(bundle / file, {**kept.arrays, "raw": np.ones((5, 3))}, json.loads(json.dumps(kept.metadata)))
    code, kind, message = refused(bundle, capsys)
    assert (code, kind) == (5, expected)
    assert "raw" in message


def test_a_bundle_without_points_of_the_likelihood_is_refused(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(bundle / "reference_vectors.json", lambda body: body["likelihood"].clear())
    code, kind, message = refused(bundle, capsys)
    assert (code, kind) == (5, "bundle.reference")
    assert "no point" in message


def _widened(by: float) -> Callable[[dict[str, Any]], object]:
    def change(body: dict[str, Any]) -> None:
        for key in ("log_ratio_tolerance", "likelihood_tolerance"):
            body[key] = {name: by * value for name, value in body[key].items()}

    return change


def test_a_wider_tolerance_is_said_and_goes_no_further_than_ten(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(bundle / "reference_vectors.json", _widened(5.0))
    seal(bundle)
    code, said = verify(bundle, capsys)
    assert code == 0
    shown = {one["name"]: one["detail"] for one in said["checks"]}
    assert "5e-06 + 5e-09 |x| as the bundle asks" in shown["-2 ln L"]
    assert "5e-05 + 5e-05 |x| as the bundle asks" in shown["invented: float32"]
    edit(bundle / "reference_vectors.json", _widened(1e6))
    edit(bundle / "reference_vectors.json", lambda body: body["likelihood"][0].update(twice_nll=-1052.4886))
    code, kind, message = refused(bundle, capsys)
    assert (code, kind) == (5, "bundle.reference")
    assert "tolerance 1e-05 + 1e-08 |x|" in message


def test_what_was_not_computed_again_is_listed(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = verify(bundle, capsys)
    assert code == 0
    listed = " ".join(said["not_recomputed"])
    assert all(name in listed for name in ("results.json", "diagnostics.json", "validity.json", "index.html"))
    main(["verify", str(bundle)])
    shown = capsys.readouterr().out
    assert all(text in shown for text in said["not_recomputed"])
    assert "all is as it must be" not in shown


PAGES = {
    "a script": "<script>fetch('https://x.example')</script>",
    "a handler": '<p onclick="go()">x</p>',
    "a handler in a drawing": "<svg><g onload=go()></g></svg>",
    "an address that is a program": '<a href="javascript:go()">x</a>',
    "one in disguise": '<a href=" jav&#x09;ascript:go()">x</a>',
    "a picture from elsewhere": '<img src="https://x.example/x.png">',
    "a drawing that is a program": '<img src="data:image/svg+xml;base64,AAAA">',
    "a drawing from elsewhere": '<svg><use href="https://x.example/x.svg#a"/></svg>',
    "a frame": "<iframe></iframe>",
    "a form": '<form action="https://x.example"><input></form>',
    "a reload": '<meta http-equiv="refresh" content="0;url=https://x.example">',
    "a base": '<base href="https://x.example">',
    "a sheet from elsewhere": '<link rel="stylesheet" href="https://x.example/x.css">',
    "a sheet that imports": '<style>@import "x.css";</style>',
    "a font from elsewhere": "<style>p { background: url(https://x.example/x) }</style>",
    "an address in escapes": '<p style="background: \\75rl(//x.example)">x</p>',
    "markup in a sheet": "<svg><style><img src=x></style></svg>",
    "a comment": "<!-- <p> -->",
    "CDATA": "<svg><![CDATA[<p>]]></svg>",
    "an instruction": "<?xml-stylesheet href='x'?>",
    "a report of visits": '<a href="https://x.example" ping="https://y.example">x</a>',
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_that_does_more_than_show_is_refused(name: str) -> None:
    assert page_problems(f"<!DOCTYPE html><html><body>{PAGES[name]}</body></html>")


def test_a_page_with_text_links_and_drawings_is_fine() -> None:
    page = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><style>p { fill: url(#a) }</style></head>'
        '<body><p id="a">onload = 1 &lt;script&gt; https://x.example <a href="https://doi.org/10.1/x">x</a></p>'
        '<svg><use xlink:href="#a" style="clip-path: url(#b)"/><image xlink:href="data:image/png;base64,AA=="/></svg>'
        "</body></html>"
    )
    assert page_problems(page) == []


def test_a_bundle_with_a_page_that_runs_something_is_refused(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bundle / "index.html").write_text("<p>x</p><script>go()</script>")
    code, kind, message = refused(bundle, capsys)
    assert (code, kind) == (5, "bundle.page")
    assert "<script>" in message


def test_the_key_ring_says_whose_key_it_is_and_refuses_what_is_revoked_or_ended(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key, private, public = Ed25519PrivateKey.generate(), tmp_path / "own.pem", tmp_path / "own.pub"
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    sign_file(bundle / SUMS_FILE, key=private, signature=bundle / SIGNATURE_FILE)
    monkeypatch.setenv("EVERCAST_KEYS", str(tmp_path / "keys"))
    code, said = verify(bundle, capsys)
    assert (code, len(said["signed_by"])) == (0, 1)
    fingerprint = said["signed_by"][0]
    assert fingerprint.startswith("SHA256:")
    assert main(["keys", "trust", str(public), "--as", "the-owner"]) == 0
    code, said = verify(bundle, capsys)
    assert (code, said["signed_by"]) == (0, [f"the-owner ({fingerprint})"])
    for words, expected in (
        (["--as", "the-owner", "--until", "20200101"], "signature.expired"),
        (["--revoke"], "signature.revoked"),
    ):
        assert main(["keys", "trust", str(public), *words]) == 0
        code, said = verify(bundle, capsys)
        assert (code, said["error"]["code"]) == (5, expected)
        assert fingerprint in said["error"]["message"]
