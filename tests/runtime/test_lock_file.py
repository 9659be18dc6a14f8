"""Locks of documents: what they pin, and what is refused because it is another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from evercast.errors import EvercastError
from evercast.runtime.lock_file import Lock, check_lock, lock_file, make_lock, write_lock
from evercast.runtime.plans import plan_document
from evercast.schemas import load_schema, registry
from workflow_documents import changed, small_body, write_document


def _check(document: Path, *, pseudo: bool = False) -> Lock | None:
    analysis, plan = plan_document(document, pseudo=pseudo)
    return check_lock(analysis, plan, document=document)


def _lock(document: Path) -> Lock:
    analysis, plan = plan_document(document, pseudo=False)
    lock = make_lock(analysis, plan, document=document)
    write_lock(lock, document=document)
    return lock


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """A folder with a document and its lock."""
    _lock(write_document(tmp_path, small_body()))
    return tmp_path


def test_a_document_without_a_lock_has_none(tmp_path: Path) -> None:
    assert _check(write_document(tmp_path, small_body())) is None


def test_what_is_unchanged_is_as_locked(locked: Path) -> None:
    lock = _check(locked / "analysis.yaml")
    assert lock is not None
    assert list(lock.inputs) == ["make_events.py"]


def test_comments_and_layout_do_not_count(locked: Path) -> None:
    document = locked / "analysis.yaml"
    document.write_text(f"# a comment\n\n{document.read_text()}")
    assert _check(document) is not None


def test_pseudo_data_need_fewer_inputs(locked: Path) -> None:
    assert _check(locked / "analysis.yaml", pseudo=True) is not None


def test_a_lock_pins_everything(locked: Path) -> None:
    body = json.loads(lock_file(locked / "analysis.yaml").read_text())
    Draft202012Validator(load_schema("lock"), registry=registry()).validate(body)
    assert body["inputs"]["make_events.py"]["size"] == (locked / "make_events.py").stat().st_size
    assert all(len(digest) == 64 for digest in body["packages"]["numpy"]["sha256"])
    assert body["packages"]["numpy"]["sha256"]
    assert body["document"]["name"] == "analysis.yaml"


def _change_script(folder: Path) -> None:
    with (folder / "make_events.py").open("a") as stream:
        stream.write("# changed\n")


def _change_document(folder: Path) -> None:
    write_document(folder, changed(small_body(), "selection.regions.SR.cut", "(x > 0) & (x < 10)"))


def _change_lock(folder: Path, *path: str, value: Any) -> None:
    file = folder / "analysis.lock.json"
    body = json.loads(file.read_text())
    place = body
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    file.write_text(json.dumps(body))


NO_DIGEST = "0" * 64
LOCKS: dict[str, Any] = {
    "an input": (_change_script, "lock.differs", 5, "make_events.py"),
    "the document": (_change_document, "lock.differs", 5, "document"),
    "a package": (
        lambda folder: _change_lock(folder, "packages", "numpy", "version", value="1.0"), "lock.differs", 5, "numpy",
    ),
    "an image": (
        lambda folder: _change_lock(folder, "images", value={"cms": NO_DIGEST}), "lock.differs", 5, "image cms",
    ),
    "the code": (
        lambda folder: _change_lock(folder, "code", "sha256", value="0" * 64), "lock.differs", 5, "source of evercast",
    ),
    "Python": (lambda folder: _change_lock(folder, "python", value="2.7.18"), "lock.differs", 5, "2.7.18"),
    "a lock of another format": (
        lambda folder: _change_lock(folder, "schema", value="lock/999.0.0"), "lock.version", 3, "lock/999.0.0",
    ),
    "a damaged lock": (
        lambda folder: _change_lock(folder, "surplus", value=1), "lock.damaged", 5, "surplus",
    ),
    "a lock that is no JSON": (
        lambda folder: (folder / "analysis.lock.json").write_bytes(b"\x80\x04cos\n"), "artifact.not-json", 5, "lock",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOCKS)
def test_a_run_that_differs_from_its_lock_is_refused(name: str, locked: Path) -> None:
    change, code, exit_code, words = LOCKS[name]
    change(locked)
    with pytest.raises(EvercastError) as caught:
        _check(locked / "analysis.yaml")
    assert (caught.value.code, caught.value.exit_code) == (code, exit_code)
    assert words in str(caught.value)
