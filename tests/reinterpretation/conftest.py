"""What the tests of requests share: a wrapped analysis, and folders of the user that are the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from evercast.cli import main
from small_record import OPTIONS, PATTERN, write_record


@pytest.fixture
def user_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Configuration, cache and search path of a user that exists for one test."""
    monkeypatch.setenv("EVERCAST_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("EVERCAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EVERCAST_DATA", "")
    monkeypatch.setenv("EVERCAST_OFFLINE", "1")
    monkeypatch.delenv("EVERCAST_SIGNING_KEY", raising=False)
    return tmp_path


@pytest.fixture
def wrapped(user_folders: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The folder of a wrapped analysis with its files, in the catalogue."""
    record, folder = write_record(user_folders / "record"), user_folders / "preserved" / "small-search"
    words = ["wrap", str(record), "--name", "small-search", *OPTIONS, *PATTERN, "--keep-files"]
    assert main([*words, "--output", str(folder)]) == 0
    assert main(["catalogue", "add", str(user_folders / "preserved")]) == 0
    capsys.readouterr()
    return folder


@pytest.fixture
def draft(wrapped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The folder of a new request for all points of that analysis."""
    folder = tmp_path / "ask"
    assert main(["request", "new", str(folder), "--analysis", "small-search"]) == 0
    capsys.readouterr()
    return folder
