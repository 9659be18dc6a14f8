"""The expression language: what it reads, what it refuses, and where it points."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evercast.spec.expressions import (
    COEFFICIENT_FUNCTIONS,
    FUNCTIONS,
    Binary,
    Call,
    Compare,
    ExpressionError,
    Index,
    Logical,
    Name,
    Node,
    Number,
    Slice,
    Unary,
    functions,
    kind_of,
    names,
    parse,
    parse_coefficient,
    to_text,
)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("1e5", Number(1e5)),
        ("a + b * c", Binary("+", Name("a"), Binary("*", Name("b"), Name("c")))),
        ("-x ** 2", Unary("-", Binary("**", Name("x"), Number(2)))),
        ("x ** -2", Binary("**", Name("x"), Number(-2))),
        ("70 < m4l <= 181", Compare(("<", "<="), (Number(70), Name("m4l"), Number(181)))),
        ("(a > 1) & (b < 2) & c", Logical("and", (parse("a > 1"), parse("b < 2"), Name("c")))),
        ("a > 1 and b < 2 or not c", Logical("or", (parse("a > 1 and b < 2"), Logical("not", (Name("c"),))))),
        ("~(a > 1)", Logical("not", (parse("a > 1"),))),
        ("leptons[0]", Index(Name("leptons"), 0)),
        ("leptons[-1]", Index(Name("leptons"), -1)),
        ("leptons[1:3]", Index(Name("leptons"), Slice(1, 3))),
        ("leptons[::2]", Index(Name("leptons"), Slice(None, None, 2))),
        ("leptons[pt(leptons) > 20]", Index(Name("leptons"), parse("pt(leptons) > 20"))),
        ("mass(z[0] + z[1])", Call("mass", (parse("z[0] + z[1]"),))),
        ("\n  a\n  + b\n", Binary("+", Name("a"), Name("b"))),
    ],
)
def test_text_is_read_to_a_tree(text: str, tree: Node) -> None:
    assert parse(text) == tree


def test_nodes_carry_their_columns() -> None:
    tree = parse("  mass(z[0]) > 3")
    assert isinstance(tree, Compare)
    assert [operand.column for operand in tree.operands] == [3, 16]


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("a > 1 & b < 2", 5, r"write the comparisons in parentheses, \(a > 1\) & \(b < 2\)"),
        ("~a > 1", 1, "write the comparisons in parentheses"),
        ("m4l < ", 7, "invalid syntax"),
        ("pt(a", 3, "'\\(' was never closed"),
        ("a) + (b", 2, "unmatched '\\)'"),
        ("(a]", 3, "unmatched ']'"),
        ("a b", 3, "an operator is missing before 'b'"),
        ("x = 1", 3, "equality is '=='"),
        ("x ^ 2", 3, "a power is '\\*\\*'"),
        ("x % 2", 3, "'%' is not an operator"),
        ("x // 2", 1, "arithmetic operators"),
        ("1 << 2", 1, "arithmetic operators"),
        ("x.pt", 2, "a property is a function"),
        ("'a' == b", 1, "text is not allowed"),
        ("mas(z)", 1, "unknown function 'mas'; did you mean 'mass'"),
        ("print(z)", 1, "unknown function 'print'"),
        ("atan2(y)", 1, "'atan2' takes 2 arguments, found 1"),
        ("sqrt(*x)", 1, "without '\\*'"),
        ("sqrt(**x)", 1, "without '\\*'"),
        ("a, b", 1, "a comma outside a call"),
        ("[a]", 1, "a list is not allowed"),
        ("x[0, 1]", 3, "a comma outside a call"),
        ("x[y + 1]", 3, "an index is an integer, a slice or a condition"),
        ("x[0.5]", 3, "an index is an integer"),
        ("x[::0]", 3, "the step of a slice is not zero"),
        ("2[0]", 1, "only a collection can be indexed"),
        ("x[0](1)", 1, "only a function of the list can be called"),
        ("x ** 0.5", 6, "a square root is sqrt"),
        ("x ** y", 6, "integer literal"),
        ("x ** 65", 6, "outside -64 to 64"),
        ("(a > 1) + 1", 2, r"where\(condition, 1, 0\)"),
        ("(a + 1) & b", 2, "a condition is needed"),
        ("010", 1, "leading zero"),
        ("1_000", 1, "not a number"),
        ("0x10", 1, "not a number"),
        ("1j", 1, "not a number"),
        ("1e999", 1, "too long or too large"),
        ("9" * 41, 1, "too long or too large"),
        ("\u0430 + 1", 1, r"U\+0430"),
        ("a\x00", 2, r"U\+0000"),
        ("a if b else c", 3, r"where\(condition, a, b\)"),
        ("True", 1, "'True' is not allowed"),
        ("__class__", 1, "the name '__class__' is not allowed"),
        ("", 1, "empty"),
        (" \n ", 1, "empty"),
        ("a" * 4097, 4096, "the limit is 4096"),
        ("+".join("a" * 1999), 1, "64 levels"),
        ("(" * 65 + "a" + ")" * 65, 65, "64 levels"),
        ("max(" + ",".join(["min(1,1,1,1,1,1,1,1)"] * 8) + ")", 0, ""),
    ],
)
def test_what_is_refused_is_pointed_at(text: str, column: int, reason: str) -> None:
    if column == 0:  # the last one is within the limits
        assert isinstance(parse(text), Call)
        return
    with pytest.raises(ExpressionError, match=reason) as caught:
        parse(text)
    assert caught.value.column == column
    assert caught.value.exit_code == 3
    line, caret = caught.value.caret().split("\n")
    assert caret.strip() == "^"
    assert column > 60 or caret.index("^") == column + 3
    assert line.isascii()


@pytest.mark.parametrize("text", ["-" * 4000 + "1", "not " * 1000 + "a", "1" + "**1" * 1300, "a" + "[0]" * 1300])
def test_deep_text_is_refused_without_exhausting_the_stack(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse(text)


def test_number_of_nodes_is_limited() -> None:
    assert isinstance(parse("<".join("a" * 1999)), Compare)
    with pytest.raises(ExpressionError, match="more than 2000 parts"):
        parse("<".join("a" * 2000))


def test_names_and_functions_are_listed() -> None:
    tree = parse("where(abs(pdg(leptons)) == 13, m4l, x[y > 2])")
    assert names(tree) == {"leptons", "m4l", "x", "y"}
    assert functions(tree) == {"where", "abs", "pdg"}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a + 1", "number"),
        ("a > 1", "condition"),
        ("any(a > 1)", "condition"),
        ("where(a > 1, b > 2, c > 3)", "condition"),
        ("where(a > 1, 1, 2)", "number"),
        ("where(a > 1, 1, c > 3)", "unknown"),
        ("a", "unknown"),
        ("sum(a > 1)", "number"),
    ],
)
def test_kind_is_read_off_the_form(text: str, kind: str) -> None:
    assert kind_of(parse(text)) == kind


def test_coefficient_is_a_formula_of_parameters() -> None:
    assert names(parse_coefficient("mu - sqrt(mu) * kappa ** 2")) == {"mu", "kappa"}


@pytest.mark.parametrize(
    ("text", "column"), [("mu > 1", 1), ("mu * mass(z)", 6), ("mu[0]", 1), ("mu + where(a, 1, 2)", 6), ("floor(mu)", 1)]
)
def test_coefficient_has_a_smaller_language(text: str, column: int) -> None:
    with pytest.raises(ExpressionError, match="not allowed in a coefficient") as caught:
        parse_coefficient(text)
    assert caught.value.column == column


def test_functions_of_coefficients_are_functions() -> None:
    assert set(FUNCTIONS) >= COEFFICIENT_FUNCTIONS


identifiers = st.sampled_from(["x", "m4l", "leptons", "pt", "mu_1"])
numbers = st.builds(Number, st.integers(0, 10**12) | st.floats(0, 1e300, allow_nan=False))
simple = numbers | st.builds(Name, identifiers)


def _numbers(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    power = st.builds(Binary, st.just("**"), inner, st.builds(Number, st.integers(-64, 64)))
    arithmetic = st.builds(Binary, st.sampled_from(["+", "-", "*", "/"]), inner, inner)
    call = st.builds(lambda name, part: Call(name, (part,)), st.sampled_from(["abs", "pt", "sum"]), inner)
    return power | arithmetic | call | st.builds(Unary, st.sampled_from(["+", "-"]), inner)


number_trees = st.recursive(simple, _numbers, max_leaves=12)
comparisons = st.builds(
    lambda first, rest: Compare(tuple(op for op, _ in rest), (first, *(part for _, part in rest))),
    number_trees,
    st.lists(st.tuples(st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), number_trees), min_size=1, max_size=3),
)


def _flat(op: str, parts: list[Node]) -> Node:
    """Join conditions as the parser does: the same operator is not nested in itself."""
    operands: list[Node] = []
    for part in parts:
        operands.extend(part.operands if isinstance(part, Logical) and part.op == op else [part])
    return Logical(op, tuple(operands))  # type: ignore[arg-type]


def _conditions(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    several = st.lists(inner, min_size=2, max_size=3)
    return st.builds(_flat, st.sampled_from(["and", "or"]), several) | st.builds(
        lambda part: Logical("not", (part,)), inner
    )


indices = st.integers(-5, 5) | st.builds(Slice, *[st.none() | st.integers(1, 5)] * 3) | comparisons
trees = (
    number_trees
    | st.recursive(comparisons, _conditions, max_leaves=6)
    | st.builds(Index, st.builds(Name, identifiers), indices)
)


@given(trees)
def test_tree_survives_being_written_and_read(tree: Node) -> None:
    assert parse(to_text(tree)) == tree


@given(st.text(max_size=60) | st.text("ab(x)[0]:,.&|~<>=!+-*/ 19e_'\"", max_size=60))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    tree = column = None
    try:
        tree = parse(text)
    except ExpressionError as err:
        column = err.column
    assert (tree is None) != (column is None)
    assert column is None or 1 <= column <= max(1, len(text) + 1)
    assert tree is None or parse(to_text(tree)) == tree


@given(st.text("abx01 +-*/()<>", min_size=1, max_size=30))
def test_what_is_read_is_python_too(text: str) -> None:
    try:
        parse(text)
    except ExpressionError:
        return
    ast.parse(text.strip(), mode="eval")
