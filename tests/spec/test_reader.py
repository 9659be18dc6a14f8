"""Reading a file: lines, limits, and what is no document."""

from __future__ import annotations

import json
import os
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from evercast.errors import InvalidDocument
from evercast.spec.reader import MAX_BYTES, parse_document, read_document
from evercast.spec.tree import MAX_DEPTH


def _code(content: bytes) -> str:
    with pytest.raises(InvalidDocument) as caught:
        parse_document(content)
    return caught.value.problems[0].code


def test_values_and_lines_are_kept() -> None:
    document = parse_document(b"a:\n  b: [1,\n    no]\n  c: 'x'\n")
    assert document.value == {"a": {"b": [1, "no"], "c": "x"}}
    assert document.line(("a", "b", 1)) == 3
    assert document.line(("a", "c")) == 4
    assert document.line(("a",), key=True) == 1
    assert document.line(("a",)) == 2
    assert document.line(("a", "missing", "deeper")) == 2
    assert document.text(("a", "b", 0)) == "1"
    assert document.text(("a",)) is None


def test_quoted_scalars_are_text() -> None:
    document = parse_document(b"a: '010'\nb: \"true\"\nc: |\n  12\n")
    assert document.value == {"a": "010", "b": "true", "c": "12\n"}


def test_aliases_repeat_what_they_name() -> None:
    document = parse_document(b"a: &x {n: 1}\nb: *x\n")
    assert document.value == {"a": {"n": 1}, "b": {"n": 1}}
    assert document.line(("b", "n")) == 1


def test_byte_order_mark_is_not_content() -> None:
    assert parse_document("\ufeffa: 1\n".encode()).value == {"a": 1}


def test_pure_python_parser_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"a: &x [1, {b: no}]\nc: *x\nd: 'q'\n"
    with_library = parse_document(content).value
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    assert parse_document(content).value == with_library
    assert _code(b"a: &x [*x]\n") == "spec.self-reference"
    assert _code(b"a: 'b\n") == "spec.syntax"


def test_problems_that_do_not_stop_are_collected() -> None:
    document = parse_document(b"a: 1\na: 2\nb: !x y\nc: 0x1\n'd\\\\': \"\\u200b\"\n7: z\n")
    codes = [problem.code for problem in document.problems]
    assert codes == [
        "spec.duplicate-key", "spec.tag", "spec.ambiguous-scalar", "spec.key-not-text", "spec.character",
    ]  # fmt: skip
    assert document.value["a"] == 1


def test_nesting_is_limited() -> None:
    assert parse_document(b"a: " + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1)).value
    assert _code(b"a: " + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH) == "spec.limit"
    assert _code(b"a: " + b"[" * 5000) == "spec.limit"
    assert _code(b"".join(b" " * i + b"a:\n" for i in range(MAX_DEPTH + 2))) == "spec.limit"


def test_nesting_by_aliases_is_limited() -> None:
    deep = b"a: &a " + b"[" * 60 + b"]" * 60 + b"\nb: " + b"[" * 60 + b"*a" + b"]" * 60
    assert _code(deep) == "spec.limit"


def test_alias_bomb_stops_early_and_small() -> None:
    bomb = b"a: &a [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(
        b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 10)) for i in range(20)
    )
    tracemalloc.start()
    try:
        assert _code(bomb) == "spec.limit"
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_long_list_is_limited() -> None:
    assert _code(b"a:\n" + b"- 1\n" * 600_000) == "spec.limit"


def test_large_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(InvalidDocument, match="larger than 5000000 bytes") as caught:
        read_document(path)
    assert caught.value.exit_code == 5


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    expected = {
        "pipe": "found a pipe, a socket or a device",
        ".": "found a folder",
        "dangling": "is a link to a file that does not exist",
        "absent": "does not exist",
        "absent/deeper": "does not exist",
    }
    for name, message in expected.items():
        with pytest.raises(InvalidDocument, match=message):
            read_document(tmp_path / name)


@pytest.fixture
def unreadable() -> Iterator[Path]:
    """A file that may not be read, also where the tests run as root: they are an ordinary user meanwhile."""
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "secret.yaml"
        path.write_text("a: 1\n")
        path.chmod(0)
        if user == 0:
            os.seteuid(65534)
        yield path
        os.seteuid(user)


def test_unreadable_file_is_refused(unreadable: Path) -> None:
    with pytest.raises(InvalidDocument, match="permission denied"):
        read_document(unreadable)


@pytest.mark.parametrize(
    "char", ["\x00", "\x1b", "\x7f", "\x85", "\u200b", "\u200e", "\u202e", "\u2066", "\u2028", "\ufeff"]
)
def test_invisible_characters_are_refused_and_named(char: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        parse_document(f"a: 1\nb: x{char}y\n".encode())
    problem = caught.value.problems[0]
    assert (problem.code, problem.line) == ("spec.character", 2)
    assert f"U+{ord(char):04X}" in problem.message
    assert char not in problem.message


@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_any_bytes_are_a_document_or_are_refused(content: bytes) -> None:
    value: object = {}
    problems = 0
    try:
        value = parse_document(content).value
    except InvalidDocument as err:
        problems = len(err.problems)
    assert isinstance(value, dict)
    assert problems or value == parse_document(content).value


keys = st.text("abc", min_size=1, max_size=4)
texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=10)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=15,
)


@given(st.dictionaries(keys, json_values, max_size=4))
def test_json_is_read_as_what_it_says(body: dict[str, object]) -> None:
    document = parse_document(json.dumps(body).encode())
    assert document.problems == ()
    assert document.value == body
