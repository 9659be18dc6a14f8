"""What the how-to says: its example of a signal is a request that passes, and its numbers are those of the tests."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from evercast.cli import main
from evercast.runtime.locks import locked


@pytest.mark.public_data
def test_the_signal_of_the_how_to_is_a_request_that_passes(
    user_folders: Path, repository: Path, real_data: Path, capsys, monkeypatch
) -> None:
    monkeypatch.setenv("EVERCAST_DATA", str(real_data))
    text = (repository / "docs" / "how-to" / "reinterpret.md").read_text()
    example = next(block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if block.startswith("signal:"))
    assert main(["catalogue", "add", str(repository / "specs")]) == 0
    folder = user_folders / "ask"
    assert main(["request", "new", str(folder), "--analysis", "atlas-susy-2018-04"]) == 0
    document = folder / "request.yaml"
    head, _, rest = document.read_text().partition("signal:\n")
    document.write_text(head + example + rest[rest.index("wanted:") :])
    capsys.readouterr()
    assert main(["request", "check", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["points"] == ["my_stau"]


def test_the_draft_that_is_offered_passes_with_its_comments_taken_in(draft: Path, capsys) -> None:
    """The commented signal of a new request, uncommented, is a signal; its patch names a file that is not there."""
    document = draft / "request.yaml"
    lines = document.read_text().splitlines()
    taken = [line.replace("  # ", "  ", 1) if line.startswith("  # ") else line for line in lines]
    own = [line for line in taken if "my_patch" not in line and "patch: {" not in line]
    document.write_text("\n".join(own) + "\n")
    assert main(["request", "check", str(draft), "--json"]) == 0
    assert "my_point" in json.loads(capsys.readouterr().out)["points"]


def test_a_request_that_somebody_works_on_is_left_alone(draft: Path, capsys) -> None:
    with locked(draft / ".lock", code="request.locked", what="the request"):
        assert main(["request", "submit", str(draft), "--json"]) == 6
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "request.locked"
