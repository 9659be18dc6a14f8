"""Documents in `documents/valid` are read; each in `documents/invalid` gives exactly the problems beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evercast.errors import InvalidDocument, UnsafeDocument
from evercast.spec import analysis_from_json, analysis_to_json, load_analysis
from evercast.spec.reader import parse_document, read_document
from evercast.spec.schema import check_document
from evercast.spec.structure import violations

DOCUMENTS = Path(__file__).parent / "documents"
VALID = sorted((DOCUMENTS / "valid").glob("*.yaml"))
INVALID = sorted((DOCUMENTS / "invalid").glob("*.yaml"))
SPECS = sorted(Path(__file__).parents[2].glob("specs/*/analysis.yaml"))
UNSAFE = {"spec.unsafe-path", "spec.limit"}


def _name(path: Path) -> str:
    return path.parent.name if path.name == "analysis.yaml" else path.stem


def test_there_are_documents() -> None:
    assert len(VALID) >= 2
    assert len(INVALID) >= 100
    assert {path.parent.name for path in SPECS} >= {"h4l"}
    expected = {path.name.removesuffix(".expected.json") for path in (DOCUMENTS / "invalid").glob("*.json")}
    assert expected == {path.stem for path in INVALID}


@pytest.mark.parametrize("path", [*VALID, *SPECS], ids=_name)
def test_valid_document_survives_its_canonical_form(path: Path) -> None:
    analysis = load_analysis(path)
    body = json.loads(json.dumps(analysis_to_json(analysis), allow_nan=False))
    assert analysis_from_json(body) == analysis
    text = json.dumps(body).encode()
    assert violations(parse_document(text), "analysis") == []
    assert check_document(parse_document(text)) == analysis


@pytest.mark.parametrize("path", INVALID, ids=_name)
def test_invalid_document_gives_exactly_its_problems(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = path.read_bytes()
    with pytest.raises(InvalidDocument) as caught:
        load_analysis(path)
    found = [{"code": item.code, "path": item.path, "line": item.line} for item in caught.value.problems]
    assert found == json.loads(path.with_name(f"{path.stem}.expected.json").read_text())
    assert caught.value.exit_code == (5 if any(item["code"] in UNSAFE for item in found) else 3)
    assert isinstance(caught.value, UnsafeDocument) == (caught.value.exit_code == 5)
    assert all(item.file == str(path) for item in caught.value.problems)
    text = str(caught.value)
    assert not any(ord(char) < 32 and char != "\n" for char in text)
    assert len(text) < 3000
    assert list(tmp_path.iterdir()) == []
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("typo_in_key", "4: $.metadata.lumniosity_fb: unknown key 'lumniosity_fb'; expected one of experiment"),
        ("typo_in_key", "references (did you mean 'luminosity_fb'?)"),
        ("unknown_references", "32: $.processes.S.sample: unknown sample 'signl'; expected one of background"),
        ("unknown_references", "signal (did you mean 'signal'?)"),
        ("duplicate_key_top", "the key 'title' stands twice, in line 3 and in line 45"),
        ("yes_for_boolean", "found the text 'yes'; expected true or false"),
        ("wrong_types", "found the text '10'; expected a number (a number stands without quotes: 10)"),
        ("version_as_number", 'found 1.10; expected analysis/1.0.0 (a text that looks like a number is quoted:'),
        ("lookalike_key", "(with U+043E CYRILLIC SMALL LETTER O)"),
        ("latin1", "the document is not UTF-8 at byte 108 (0xf6)"),
        ("tab_indentation", "indent with spaces, not with tabs"),
        ("newer_version", "the document is of a newer version than this evercast reads"),
        ("no_file_choice", "found none; expected exactly one of path, source, generator, stage"),
        ("stage_cycle", "the stages wait for each other: scan -> prepare -> scan"),
        ("expression_precedence", "    x > 0 & x < 5\n        ^"),
        ("unsafe_path_parent", "the path is not allowed: it leaves the folder with '..'"),
    ],
)  # fmt: skip
def test_problem_is_worded_for_people(name: str, expected: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        load_analysis(DOCUMENTS / "invalid" / f"{name}.yaml")
    assert expected in str(caught.value)


def _places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, part in entries for place in _places(part, (*path, key)))]


def _replaced(body: Any, path: tuple[str | int, ...], value: object) -> Any:
    changed = json.loads(json.dumps(body))
    part = changed
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    return changed


def _problem_paths(body: object) -> set[str]:
    with pytest.raises(InvalidDocument) as caught:
        check_document(parse_document(json.dumps(body).encode()))
    return {problem.path for problem in caught.value.problems}


def test_wrong_type_anywhere_is_named() -> None:
    body = read_document(DOCUMENTS / "valid" / "minimal.yaml").value
    for path in _places(body)[1:]:
        wrong = 3.5 if isinstance(_value(body, path), str | dict | list) else {"no": "number"}
        text = "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
        assert text in _problem_paths(_replaced(body, path, wrong)), path


def test_missing_key_is_named() -> None:
    body = read_document(DOCUMENTS / "valid" / "minimal.yaml").value
    for key in ("name", "title", "metadata", "samples", "selection", "processes", "likelihoods", "inference"):
        rest = {name: part for name, part in body.items() if name != key}
        with pytest.raises(InvalidDocument) as caught:
            check_document(parse_document(json.dumps(rest).encode()))
        assert [problem.message for problem in caught.value.problems] == [f"the key '{key}' is missing"]


def test_null_anywhere_is_named() -> None:
    body = read_document(DOCUMENTS / "valid" / "minimal.yaml").value
    for path in _places(body)[1:]:
        text = "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
        assert text in _problem_paths(_replaced(body, path, None)), path


@pytest.mark.parametrize(("name", "step"), [("full", 2), ("systematics", 4)])
def test_every_wrong_document_ends_in_a_report(name: str, step: int) -> None:
    body = read_document(DOCUMENTS / "valid" / f"{name}.yaml").value
    wrong: list[object] = [3.5, None, [], {}, "zz", -1, True]
    accepted = 0
    for place, path in enumerate(_places(body)[1::step]):
        document = parse_document(json.dumps(_replaced(body, path, wrong[place % 7])).encode())
        try:
            check_document(document)
        except InvalidDocument:
            continue
        accepted += 1
    assert accepted < 60  # texts for people take any text, optional sections may be empty


def _value(body: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        body = body[step]
    return body


def test_a_document_of_problems_names_each_once() -> None:
    with pytest.raises(InvalidDocument) as caught:
        load_analysis(DOCUMENTS / "invalid" / "many_problems.yaml")
    places = [(item.path, item.code) for item in caught.value.problems]
    assert len(places) == len(set(places)) == 5
    lines = [item.line or 0 for item in caught.value.problems]
    assert lines == sorted(lines)


def test_files_are_left_alone_without_a_folder() -> None:
    document = read_document(DOCUMENTS / "invalid" / "missing_file.yaml")
    assert check_document(document).name == "full-example"
