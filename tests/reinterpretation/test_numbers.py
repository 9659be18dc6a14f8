"""Numbers and documents against each other."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evercast.reinterpretation.copies import merge_patch
from evercast.reinterpretation.documents import changed_leaves, document_changes
from evercast.reinterpretation.numbers import compare_arrays, compare_json
from evercast.spec.model import Expected, NumericTolerance

TOLERANCE = NumericTolerance(abs=1e-5, rel=1e-5)


@pytest.mark.parametrize(
    ("shift", "close"), [(0.0, True), (2e-5, True), (3e-5, False), (math.nan, False), (math.inf, False)]
)
def test_floats_are_compared_absolutely_and_relatively(shift: float, close: bool) -> None:
    old = {"x": np.array([[1.0, 0.5]])}
    found = compare_arrays(old, {"x": old["x"] + [[shift, 0.0]]}, TOLERANCE)
    assert found.close is close
    assert found.compared == 2
    if shift:
        assert found.place == "x[0, 0]"
        assert found.changed == 1


def test_what_is_not_finite_must_be_the_same() -> None:
    old = {"x": np.array([math.nan, math.inf])}
    assert compare_arrays(old, {"x": np.array([math.nan, math.inf])}, TOLERANCE).close
    assert not compare_arrays(old, {"x": np.array([math.nan, -math.inf])}, TOLERANCE).close
    assert not compare_arrays(old, {"x": np.array([0.0, math.inf])}, TOLERANCE).close


def test_whole_numbers_shapes_and_names_must_be_equal() -> None:
    old = {"n": np.array([10**9, 2])}
    assert compare_arrays(old, {"n": np.array([10**9 + 1, 2])}, TOLERANCE).beyond == 1
    assert compare_arrays(old, {"n": np.array([10**9])}, TOLERANCE).other == ("n: int64 (2,) -> int64 (1,)",)
    assert compare_arrays(old, {}, TOLERANCE).other == ("n: gone",)
    assert compare_arrays({"e": np.zeros(0)}, {"e": np.zeros(0)}, TOLERANCE).close


def test_json_is_compared_leaf_by_leaf_without_what_says_how_it_was_made() -> None:
    old = {"versions": {"numpy": "1"}, "file": "a" * 64, "n": 3, "x": 1.0, "flag": True, "list": [1.0, "a"]}
    new = {"versions": {"numpy": "2"}, "file": "b" * 64, "n": 3, "x": 1.000001, "flag": True, "list": [1.0, "a"]}
    said = {"records": re.compile(r"\$\.versions\..+"), "digests": re.compile(r"\$\.file")}
    found = compare_json(old, new, TOLERANCE, **said)
    assert found.close
    assert (found.changed, found.place) == (1, "$.x")
    assert compare_json(old, new | {"n": 4}, TOLERANCE, **said).beyond == 1
    assert not compare_json(old, new | {"flag": 1}, TOLERANCE, **said).close
    assert not compare_json(old, new | {"list": [1.0, "b"]}, TOLERANCE, **said).close
    assert not compare_json(old, new | {"more": None}, TOLERANCE, **said).close


@pytest.mark.parametrize("name", ["device", "host", "seconds", "message", "evaluations", "versions", "file"])
def test_names_of_the_user_are_compared_whatever_they_are(name: str) -> None:
    said = {"records": re.compile(r"\$\.device(?:\..+)?"), "digests": re.compile(r"\$\.file")}
    old = {"parameters": {name: {"value": 1.0}}, "text": "a" * 64}
    new = {"parameters": {name: {"value": 2.0}}, "text": "a" * 64}
    assert compare_json(old, new, TOLERANCE, **said).beyond == 1
    assert not compare_json(old, old | {"text": "b" * 64}, TOLERANCE, **said).close
    assert not compare_json({"file": "a" * 64}, {"file": "b"}, TOLERANCE, **said).close


def test_leaves_of_documents_are_found_with_names_that_hold_dots(tmp_path: Path) -> None:
    old: dict[str, Any] = {"expected": {"binned.mu_hat": {"value": 1.0}}, "cuts": ["a", "b"]}
    new: dict[str, Any] = {"expected": {"binned.mu_hat": {"value": 2.0}}, "cuts": ["a", "c"]}
    document = tmp_path / "new.yaml"
    document.write_text(json.dumps(new, indent=1))
    found = document_changes(old, new, document=document)
    assert [(change.path, change.line) for change in found] == [
        ("$.expected.binned.mu_hat.value", 4), ("$.cuts[1]", 9)
    ]  # fmt: skip
    assert str(found[1]) == "$.cuts[1] (line 9): 'b' -> 'c'"
    assert changed_leaves(old, old) == ()


def test_a_patch_merges_replaces_and_removes() -> None:
    body = {"a": {"b": 1, "c": 2}, "d": [1, 2]}
    assert merge_patch(body, {"a": {"c": None, "e": {"f": 3}}, "d": [3]}) == {"a": {"b": 1, "e": {"f": 3}}, "d": [3]}
    assert body == {"a": {"b": 1, "c": 2}, "d": [1, 2]}


@pytest.mark.parametrize(
    ("declared", "tolerance"),
    [
        (Expected(value=-2.0, abs=0.1), 0.1),
        (Expected(value=-2.0, rel=0.1), 0.2),
        (Expected(value=2.0, sigma=0.5, uncertainty=0.2), 0.1),
        (Expected(value=2.0, abs=0.0), 0.0),
    ],
)
def test_a_declared_number_is_exact_absolute_relative_or_statistical(declared: Expected, tolerance: float) -> None:
    assert declared.tolerance() == pytest.approx(tolerance)
