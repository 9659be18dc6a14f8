"""The catalogue stays from one call to the next, and tells what cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evercast.cli import main
from evercast.cli.requests_shown import computed_line
from evercast.reinterpretation.wrapped.model import analysis_digest
from evercast.reinterpretation.wrapped.read import read_wrapped
from small_record import background


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, object]]:
    assert main(["catalogue", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_what_was_added_is_there_the_next_time(wrapped: Path, user_folders: Path, capsys) -> None:
    assert (user_folders / "config" / "catalogue.json").is_file()
    (entry,) = listed(capsys, "ls")
    assert entry["name"] == "small-search"
    assert entry["experiment"] == "TEST"
    assert entry["digest"] == analysis_digest(read_wrapped(wrapped / "wrapped.yaml"))
    assert listed(capsys, "search", "boson", "quarks") == [entry]
    assert listed(capsys, "search", "boson", "leptons") == []
    assert main(["catalogue", "add", str(wrapped.parent)]) == 0  # again: it stands there once
    capsys.readouterr()
    assert len(listed(capsys, "ls")) == 1
    assert main(["catalogue", "rm", "small-search"]) == 0
    assert wrapped.is_dir()
    capsys.readouterr()
    assert listed(capsys, "ls") == []


def test_an_analysis_is_described_by_name_digest_and_path(wrapped: Path, capsys) -> None:
    digest = analysis_digest(read_wrapped(wrapped / "wrapped.yaml"))
    for name in ("small-search", digest[:10], str(wrapped)):
        assert main(["catalogue", "describe", name]) == 0
        text = capsys.readouterr().out
        assert digest in text
        assert "6 signal points" in text
        assert "channels (bins): SR (3), CR (2)" in text


def test_a_record_without_signal_points_is_not_asked_for_them(user_folders: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "BkgOnly.json").write_text(json.dumps(background()))
    stated = ["--name", "alone", "--experiment", "TEST", "--sqrt-s", "13", "--luminosity", "1"]
    assert main(["wrap", str(tmp_path / "BkgOnly.json"), *stated, "--output", str(tmp_path / "alone")]) == 0
    assert main(["catalogue", "add", str(tmp_path / "alone")]) == 0
    capsys.readouterr()
    (entry,) = listed(capsys, "ls")
    assert entry["inputs"] == ["JSON patches", "expected events in the bins"]


@pytest.mark.parametrize("name", ["small-serch", "0123456789", "../small-search", "small-search/../x"])
def test_what_is_not_there_is_told_with_what_is(name: str, wrapped: Path, capsys) -> None:
    assert main(["catalogue", "describe", name, "--json"]) == 3
    found = json.loads(capsys.readouterr().out)["error"]
    assert found["code"] == "catalogue.unknown"
    assert "small-search" in found["hint"]


def test_a_document_that_cannot_be_read_is_listed_with_the_reason(wrapped: Path, capsys) -> None:
    document = wrapped / "wrapped.yaml"
    document.write_text(document.read_text().replace("poi: mu_SIG", "poj: mu_SIG"))
    (entry,) = listed(capsys, "ls")
    assert entry["name"] == "small-search"
    assert "poj" in str(entry["problem"])
    assert main(["catalogue", "check"]) == 3


def test_a_folder_without_analyses_and_a_damaged_catalogue_are_refused(user_folders: Path, capsys) -> None:
    (user_folders / "empty").mkdir()
    assert main(["catalogue", "add", str(user_folders / "empty"), "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "catalogue.empty"
    assert main(["catalogue", "rm", "nothing", "--json"]) == 3
    (user_folders / "config").mkdir()
    (user_folders / "config" / "catalogue.json").write_text("{")
    capsys.readouterr()
    assert main(["catalogue", "ls", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "catalogue.damaged"


def test_documents_of_analyses_are_listed_too(user_folders: Path, repository: Path, capsys) -> None:
    assert main(["catalogue", "add", str(repository / "specs")]) == 0
    capsys.readouterr()
    kinds = {str(entry["name"]): entry["kind"] for entry in listed(capsys, "ls")}
    assert kinds["atlas-susy-2018-04"] == "wrapped likelihood"
    assert kinds["toy"] == "analysis document"


@pytest.mark.parametrize(
    ("computed", "said"), [(1, "computed 1 of 1 points"), (0, "0 of 1 points, 1 were there already")]
)
def test_others_are_told_of_only_where_there_are_others(computed: int, said: str) -> None:
    assert computed_line(computed, 1).endswith(said)


@pytest.mark.usefixtures("user_folders")
def test_an_analysis_document_is_described_and_not_asked(repository: Path, tmp_path: Path, capsys) -> None:
    assert main(["catalogue", "add", str(repository / "specs" / "toy")]) == 0
    assert main(["catalogue", "describe", "toy"]) == 0
    assert "evercast run " in capsys.readouterr().out
    assert main(["request", "new", str(tmp_path / "ask"), "--analysis", "toy", "--json"]) == 3
    found = json.loads(capsys.readouterr().out)["error"]
    assert found["code"] == "catalogue.unknown"
    assert "'toy' is in the catalogue as an analysis document" in found["message"]
    assert not (tmp_path / "ask").exists()
