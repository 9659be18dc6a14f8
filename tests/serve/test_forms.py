"""Forms made of a schema: what a document says goes into a form and comes out again, whatever it is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evercast.serve.form_values import ABSENT, from_form, represents, to_form
from evercast.serve.forms import Trouble, build_form, walk
from evercast.serve.render import render
from evercast.serve.shapes import Shape, item_shape, properties_of, shape_of_document
from evercast.serve.uploads import clean_name

REQUEST = shape_of_document("request")
BODY = {
    "schema": "request/1.0.0",
    "name": "ask",
    "analysis": {"name": "small-search"},
    "signal": {
        "published": ["P_1", "P_2"],
        "points": {
            "a.b": {
                "values": [1, 2.5],
                "events": {
                    "files": [
                        {
                            "path": "files/x", "sha256": "0" * 64, "size_bytes": 3, "events": 7,
                            "collections": {"jets": {"pt": ["a", "b"]}},
                        },
                    ]
                },
            },
            "c": {},
        },
    },
    "wanted": {"limits": False, "mu": 1.5e-7},
}  # fmt: skip


def values(shape: Shape) -> st.SearchStrategy[object]:
    """Documents of the structure of a schema, with any text and number in it."""
    text = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zl", "Zp", "Zs")), min_size=1)
    words = text.filter(lambda part: part not in {"true", "false"})
    numbers = st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False)
    if shape.kind == "object":
        return st.fixed_dictionaries({}, optional={key: values(part) for key, part in properties_of(shape).items()})
    if shape.kind in {"map", "list"}:
        inner = values(item_shape(shape))
        return st.dictionaries(text, inner, max_size=2) if shape.kind == "map" else st.lists(inner, max_size=2)
    leaves: dict[str, st.SearchStrategy[object]] = {
        "lines": st.lists(words.filter(lambda part: part != "all"), min_size=1, max_size=3),
        "numbers": st.lists(numbers, min_size=1, max_size=3),
        "flag": st.booleans(),
        "choice": st.sampled_from(shape.schema.get("enum", ("",))),
        "number": numbers,
    }
    return leaves.get(shape.kind, words)


@given(values(REQUEST))
def test_what_a_document_says_comes_back_from_its_form(body: dict[str, object]) -> None:
    assert represents(REQUEST, body) or from_form(REQUEST, to_form(REQUEST, body)) is ABSENT


def test_a_form_holds_what_stands_in_a_document() -> None:
    form = to_form(REQUEST, BODY)
    assert form["/signal/points/0#"] == "a.b"
    assert form["/signal/points/0/values"] == "1, 2.5"
    assert from_form(REQUEST, form) == BODY


@pytest.mark.parametrize(
    "change",
    [{"unknown": 1}, {"signal": {"points": [1]}}, {"title": 3}, {"wanted": "all"}, {"title": "two\nlines "}],
    ids=str,
)
def test_what_a_form_cannot_hold_is_edited_as_text(change: dict[str, object]) -> None:
    assert not represents(REQUEST, {**BODY, **change})


def test_two_entries_of_one_name_stay_two() -> None:
    form = to_form(REQUEST, BODY) | {"/signal/points/1#": "a.b"}
    assert list(from_form(REQUEST, form)["signal"]["points"]) == ["a.b", "a.b-2"]


def test_what_is_no_number_stays_what_was_typed() -> None:
    form = {"/wanted/mu": " 1,5 ", "/signal/points/0#": "a", "/signal/points/0/values": "1; x 2e3", "/name": "7"}
    body = from_form(REQUEST, form)
    assert body["wanted"]["mu"] == "1,5"
    assert body["signal"]["points"]["a"]["values"] == [1, "x", 2000.0]
    assert body["name"] == "7"


def test_problems_find_their_fields_however_their_place_is_written() -> None:
    troubles = [
        Trouble("$.signal.points['a.b'].values", "one"), Trouble("$.signal.points.a.b", "two"),
        Trouble("$.signal.points['a.b'].events.files[0].sha256", "three"), Trouble("$.wanted.unknown", "four"),
        Trouble("$.signal.points.c: files/x", "five"), Trouble("$", "six"), Trouble("elsewhere", "seven"),
    ]  # fmt: skip
    root, left = build_form(REQUEST, to_form(REQUEST, BODY), troubles)
    found = {trouble.text: field.name for field in walk(root) for trouble in field.troubles}
    assert found == {
        "one": "/signal/points/0/values", "two": "/signal/points/0", "three": "/signal/points/0/events/files/0/sha256",
        "four": "/wanted", "five": "/signal/points/1",
    }  # fmt: skip
    assert [trouble.text for trouble in left] == ["six", "seven"]


def test_fields_of_a_form_are_told_apart() -> None:
    root, _ = build_form(REQUEST, to_form(REQUEST, BODY))
    assert len({field.id for field in walk(root)}) == len(list(walk(root)))


@given(st.text())
def test_names_of_uploads_are_names(name: str) -> None:
    clean = clean_name(name)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}", clean)
    assert clean_name(clean) == clean


def test_what_others_wrote_is_escaped() -> None:
    values = {"message": "<b>`x`\u202e</b>", "code": "c", "where": "w", "hint": "`a<` b", "token": "", "folder": ""}
    page = render("error", values)
    assert "&lt;b&gt;`x`&lt;/b&gt;" in page
    assert "<code>a&lt;</code> b" in page
