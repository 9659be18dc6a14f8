"""Parts of a publication get their final names whole, once, and never over others."""

from __future__ import annotations

from pathlib import Path

import pytest

from evercast.errors import InvalidInput
from evercast.publication.placement import parts_there, place_parts, tree_digests

KNOWN = ("bundles", "pyhf", "hepdata", "archive")


def made(folder: Path, **parts: str) -> Path:
    for part, text in parts.items():
        (folder / part / "deep").mkdir(parents=True)
        (folder / part / "deep" / "file").write_text(text)
    return folder


def place(folder: Path, target: Path) -> bool:
    return place_parts(folder, target, tree_digests(folder), KNOWN)


@pytest.fixture
def there(tmp_path: Path) -> Path:
    target = tmp_path / "publication"
    assert place(made(tmp_path / "whole", bundles="b", hepdata="h"), target)
    return target


def test_a_part_that_is_there_unchanged_is_left_alone(there: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in there.rglob("*")}
    assert not place(made(tmp_path / "again", hepdata="h"), there)
    assert {path: path.stat().st_mtime_ns for path in there.rglob("*")} == before


def test_a_missing_part_is_added(there: Path, tmp_path: Path) -> None:
    before = tree_digests(there)
    assert place(made(tmp_path / "more", bundles="b", pyhf="p"), there)
    assert parts_there(there, KNOWN) == ("bundles", "pyhf", "hepdata")
    assert (there / "pyhf/deep/file").read_text() == "p"
    assert before.items() <= tree_digests(there).items()


@pytest.mark.parametrize("change", ["other", "missing", "extra"])
def test_a_changed_part_is_named_and_nothing_is_added(change: str, there: Path, tmp_path: Path) -> None:
    folder = made(tmp_path / "more", hepdata="h", pyhf="p")
    if change == "other":
        (folder / "hepdata/deep/file").write_text("another")
    elif change == "missing":
        (there / "hepdata/deep/more").write_text("")
    else:
        (folder / "hepdata/deep/more").write_text("")
    before = tree_digests(there)
    with pytest.raises(InvalidInput, match=r"the part 'hepdata' .* 1 files differ") as caught:
        place(folder, there)
    assert caught.value.code == "publication.exists"
    assert tree_digests(there) == before


def test_something_else_is_no_publication(there: Path, tmp_path: Path) -> None:
    (there / "notes").write_text("mine")
    with pytest.raises(InvalidInput, match="'notes' is no part"):
        place(made(tmp_path / "more", pyhf="p"), there)
    assert not (there / "pyhf").exists()
    (tmp_path / "link").symlink_to(there)
    for target in (tmp_path / "link", there / "notes"):
        with pytest.raises(InvalidInput, match="no folder"):
            parts_there(target, KNOWN)
