"""Unquoted scalars mean what YAML 1.2 says, or are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evercast.spec.scalars import AmbiguousScalarError, plain_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("~", None), ("null", None), ("true", True), ("False", False),
        ("no", "no"), ("NO", "NO"), ("on", "on"), ("yes", "yes"), ("y", "y"),
        ("0", 0), ("-12", -12), ("+3", 3), ("1e5", 1e5), ("1E-3", 1e-3), (".5", 0.5), ("1.", 1.0), ("1.10", 1.1),
        ("nan", "nan"), ("inf", "inf"), ("1.2.3", "1.2.3"), ("a_1", "a_1"), ("2011x", "2011x"), ("-", "-"),
        ("10.7483/OPENDATA", "10.7483/OPENDATA"), ("0.0", 0.0),
    ],
)  # fmt: skip
def test_scalar_has_the_value_of_yaml_1_2(text: str, value: object) -> None:
    found = plain_value(text)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    "text",
    [
        "010", "08", "-012", "0x10", "0o17", "0b11", "1_000", "1_0.5", "12:30:45", "1:30", "2012-07-04",
        "2012-07-04T10:00:00Z", ".inf", "-.INF", ".nan", "1e999", "-1e999", "9" * 41, "007.5", "=",
    ],
)  # fmt: skip
def test_what_readers_disagree_about_is_refused(text: str) -> None:
    with pytest.raises(AmbiguousScalarError) as caught:
        plain_value(text)
    what, remedy = caught.value.args
    assert what
    assert remedy


@given(st.text(max_size=50))
def test_any_text_has_a_value_or_is_refused(text: str) -> None:
    try:
        value = plain_value(text)
    except AmbiguousScalarError:
        return
    assert value is None or isinstance(value, str | int | float)


@given(st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_survive(number: float) -> None:
    assert plain_value(repr(number)) == number
