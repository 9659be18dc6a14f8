"""What the how-to says: its example of a signal is a request that passes, and its numbers are those of the tests."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from evercast.cli import main
from evercast.reinterpretation.wrapped.read import read_wrapped
from evercast.reinterpretation.wrapped.tar_members import read_members
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


@pytest.mark.public_data
def test_the_tables_of_the_how_to_are_taken_in(user_folders: Path, repository: Path, real_data: Path, capsys) -> None:
    text = (repository / "docs" / "how-to" / "reinterpret.md").read_text()
    tables = dict(re.findall(r'```text title="([a-z-]+\.csv)"\n(.*?)```', text, re.DOTALL))
    for name, table in tables.items():
        (user_folders / name).write_text(table)
    names = [f"DS_{point}_Staus" for point in ("100_1", "120_1", "120_40")]
    wanted = {f"Region-combined/{name}.json" for name in ("BkgOnly", *(f"patch.{point}" for point in names))}
    packed = real_data / "atlas-susy-2018-04" / "SUSY-2018-04_likelihoods.tar.gz"
    for member, content in read_members(packed, wanted=wanted).items():
        (user_folders / "record" / member).parent.mkdir(parents=True, exist_ok=True)
        (user_folders / "record" / member).write_bytes(content)
    words = ["wrap", str(user_folders / "record"), "--name", "my-search", "--experiment", "ATLAS", "--sqrt-s", "13"]
    words += ["--luminosity", "139"]
    words += ["--points", "DS_{m_stau}_{m_lsp}_Staus", "--output", str(user_folders / "out")]
    words += ["--cross-sections", str(user_folders / "cross-sections.csv")]
    assert main([*words, "--published", str(user_folders / "published.csv")]) == 0
    analysis = read_wrapped(user_folders / "out" / "wrapped.yaml")
    shipped = read_wrapped(repository / "specs" / "atlas-susy-2018-04" / "wrapped.yaml")
    for name in names:
        found, known = analysis.points[name], shipped.points[name]
        assert found.cross_section_pb == pytest.approx(known.cross_section_pb, rel=1e-3)  # the page has four digits
        assert found.cross_section_uncertainty == 0.03
    stated = {(entry.kind, entry.point, entry.value, entry.tolerance) for entry in shipped.published}
    assert {(entry.kind, entry.point, entry.value, entry.tolerance) for entry in analysis.published} <= stated
    assert len(analysis.published) == 2
