"""Expressions on events: values against numpy, and errors that point at the column."""

import awkward as ak
import numpy as np
import pytest

from evercast.errors import InvalidInput
from evercast.events.evaluate import Formula, Scope, evaluate_condition, evaluate_items, evaluate_number
from evercast.events.momenta import momenta, with_charge
from evercast.spec.expressions import ExpressionError, parse

LEPTONS = with_charge(
    momenta(
        {
            "pdg": ak.Array([[13, -13, 11], [-11, 11], [13, -13, 13, -13]]),
            "px": ak.Array([[30.0, -25.0, 4.0], [10.0, -12.0], [50.0, -45.0, 20.0, -18.0]]),
            "py": ak.Array([[5.0, 3.0, -9.0], [0.5, 1.0], [5.0, 1.0, -20.0, 18.0]]),
            "pz": ak.Array([[1.0, 20.0, -3.0], [3.0, -4.0], [10.0, -30.0, 5.0, 8.0]]),
        },
        name="leptons",
    ),
    name="leptons",
)
SCOPE = Scope(
    values={
        "leptons": LEPTONS,
        "x": ak.Array([1.0, -2.0, 3.0]),
        "n": ak.Array(np.array([1, 2, 200], dtype=np.uint8)),
        "name": ak.Array(["a", "b", "c"]),
        "flag": ak.Array([True, False, True]),
        "tracks": ak.Array([[1.0, 2.0], [], [5.0]]),
    },
    event=np.array([100, 101, 102], dtype=np.uint64),
)


def formula(text: str) -> Formula:
    return Formula(what="observable 'o'", text=text, tree=parse(text))


def number(text: str) -> list[float]:
    return evaluate_number(formula(text), SCOPE).tolist()


def condition(text: str) -> list[bool]:
    return evaluate_condition(formula(text), SCOPE).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x + 2 * x - 1", [2, -7, 8]),
        ("x ** 2 / 2", [0.5, 2, 4.5]),
        ("x ** -1", [1, -0.5, 1 / 3]),
        ("-x", [-1, 2, -3]),
        ("n * 2", [2, 4, 400]),
        ("1 - n", [0, -1, -199]),
        ("7", [7, 7, 7]),
        ("abs(x)", [1, 2, 3]),
        ("sqrt(abs(x))", [1, 2**0.5, 3**0.5]),
        ("where(x > 0, log(abs(x)), 0)", [0, 0, np.log(3)]),
        ("where(flag, x, -x)", [1, 2, 3]),
        ("min(x, 2, n)", [1, -2, 2]),
        ("max(x, 0)", [1, 0, 3]),
        ("max(pt(leptons))", [np.hypot(30, 5), np.hypot(12, 1), np.hypot(50, 5)]),
        ("count(leptons)", [3, 2, 4]),
        ("count(tracks)", [2, 0, 1]),
        ("sum(tracks)", [3, 0, 5]),
        ("sum(charge(leptons))", [-1, 0, 0]),
        ("sum(pdg(leptons) == 13)", [1, 0, 2]),
        ("count(leptons[pt(leptons) > 20])", [2, 0, 4]),
        ("count(leptons[0:2])", [2, 2, 2]),
        ("count(leptons[1:])", [2, 1, 3]),
        ("pt(leptons[-1])", [np.hypot(4, 9), np.hypot(12, 1), np.hypot(18, 18)]),
        ("px(leptons)[1]", [-25, -12, -45]),
        ("px(leptons[0] + leptons[1])", [5, -2, 5]),
        ("pdg(leptons[0])", [13, -11, 13]),
        ("charge(leptons[0])", [-1, 1, -1]),
        ("floor(x / 2)", [0, -1, 1]),
        ("atan2(x, 1)", np.arctan2([1, -2, 3], 1).tolist()),
        ("cosh(x) ** 2 - sinh(x) ** 2", [1, 1, 1]),
        (
            "tanh(x) + sin(x) * cos(x) - tan(x)",
            (np.tanh([1, -2, 3]) + np.sin([1, -2, 3]) * np.cos([1, -2, 3]) - np.tan([1, -2, 3])).tolist(),
        ),
        ("exp(x)", np.exp([1, -2, 3]).tolist()),
    ],
)
def test_numbers(text, expected):
    assert number(text) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x > 0", [True, False, True]),
        ("0 < x < 2", [True, False, False]),
        ("(x > 0) & (n < 100)", [True, False, False]),
        ("x > 0 and n < 100 or x == -2", [True, True, False]),
        ("not flag", [False, True, False]),
        ("~flag", [False, True, False]),
        ("x != 3", [True, True, False]),
        ("any(pt(leptons) > 50)", [False, False, True]),
        ("all(abs(pdg(leptons)) == 13)", [False, False, True]),
        ("any(tracks > 1)", [True, False, True]),
        ("2 > 1", [True, True, True]),
        ("where(flag, x > 2, x < 0)", [False, True, True]),
    ],
)
def test_conditions(text, expected):
    assert condition(text) == expected


def test_four_vectors_agree_with_their_formulas():
    px, py, pz = (ak.to_numpy(LEPTONS[name][:, :2]) for name in ("px", "py", "pz"))
    energy = np.sqrt(px**2 + py**2 + pz**2)
    total = [values.sum(axis=1) for values in (px, py, pz, energy)]
    mass = np.sqrt(total[3] ** 2 - total[0] ** 2 - total[1] ** 2 - total[2] ** 2)
    eta = np.arcsinh(pz / np.hypot(px, py))
    phi = np.arctan2(py, px)
    turn = np.abs(phi[:, 0] - phi[:, 1])
    turn = np.minimum(turn, 2 * np.pi - turn)
    assert number("mass(leptons[0] + leptons[1])") == pytest.approx(mass)
    assert number("mass(sum(leptons[0:2]))") == pytest.approx(mass)
    assert number("energy(leptons[0])") == pytest.approx(energy[:, 0])
    assert number("eta(leptons[1])") == pytest.approx(eta[:, 1])
    assert number("phi(leptons[1])") == pytest.approx(phi[:, 1])
    assert number("abs(delta_phi(leptons[0], leptons[1]))") == pytest.approx(turn)
    assert number("delta_r(leptons[0], leptons[1])") == pytest.approx(np.hypot(eta[:, 0] - eta[:, 1], turn))
    assert number("rapidity(leptons[0] + leptons[1])") == pytest.approx(np.arctanh(total[2] / total[3]))
    assert number("min(delta_r(leptons[1:], leptons[0]))") <= number("delta_r(leptons[0], leptons[1])")


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        (
            "pt(leptons[2])",
            4,
            r"\[2\] is out of range in 1 of 3 events; the first is event 101 of its file with 2 items",
        ),
        ("x + pt(leptons)", 1, "needs one number per event, this is a list of numbers per event"),
        ("x + leptons", 5, "this is a collection"),
        ("1 + name", 5, "this is text"),
        ("x > flag", 5, "needs a number, this is a condition"),
        ("x + y", 5, "there is no 'y'; there are: flag, leptons, n, name, tracks, x"),
        ("max(tracks)", 5, "the list is empty in 1 of 3 events"),
        ("max(x)", 5, "needs a list of numbers per event, this is one number per event"),
        ("count(x)", 7, "needs a list"),
        ("pt(x)", 4, "needs one item per event or a collection"),
        ("charge(leptons[0] + leptons[1])", 8, "has no charge; a sum of items has none"),
        ("where(x, 1, 2)", 7, "needs a condition"),
        ("x[0]", 1, "an index needs a list"),
        ("count(leptons[tracks > 1])", 15, "has not as many items"),
        ("count(leptons[flag])", 15, "one condition per event"),
        ("cos_theta_star(leptons, leptons[0])", 16, "needs one item per event, this is a collection"),
        ("sum(tracks + pt(leptons))", 5, "lists differ in length"),
        ("x > 0", 1, "needs one number per event, this is a condition"),
        ("any(tracks)", 5, "needs a list of conditions"),
    ],
)
def test_an_error_points_at_the_column(text, column, message):
    with pytest.raises(ExpressionError, match=message) as caught:
        number(text)
    assert caught.value.column == column
    assert "observable 'o'" in str(caught.value)
    caret = str(caught.value).splitlines()[-1]
    assert caret.strip() == "^"
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x + 1", "needs a condition, this is one number per event"),
        ("pt(leptons) > 5", r"one per item; use any\(\) or all\(\)"),
        ("flag and x", "'and' needs conditions"),
    ],
)
def test_a_cut_must_be_one_condition_per_event(text, message):
    with pytest.raises(ExpressionError, match=message):
        condition(text)


def test_an_observable_that_is_not_finite_names_event_and_count():
    with pytest.raises(
        InvalidInput,
        match=r"observable 'o' is not finite in 1 of 3 events; the first is event 101 of its file with nan",
    ) as caught:
        number("sqrt(x)")
    assert caught.value.code == "sample.not-finite"
    with pytest.raises(InvalidInput, match="inf"):
        number("1 / (x - 3)")


def test_expressions_of_items_give_one_value_per_item():
    values = {"pt": LEPTONS.pt, "pdg": LEPTONS["pdg"]}
    scope = Scope(values=values, event=SCOPE.event)
    cut = evaluate_items(formula("where(abs(pdg) == 13, pt > 26, pt > 11)"), scope, like=LEPTONS, condition=True)
    assert cut.tolist() == [[True, False, False], [False, True], [True, True, True, False]]
    resolution = evaluate_items(formula("0.02"), scope, like=LEPTONS, condition=False)
    assert ak.num(resolution).tolist() == [3, 2, 4]
    with pytest.raises(ExpressionError, match="needs one condition per item, this is a list of numbers"):
        evaluate_items(formula("pt"), scope, like=LEPTONS, condition=True)


def test_no_events_give_no_numbers():
    nothing = SCOPE.where(np.zeros(3, dtype=bool))
    assert evaluate_number(formula("mass(leptons[0] + leptons[3])"), nothing).shape == (0,)
    assert evaluate_condition(formula("max(tracks) > 1"), nothing).shape == (0,)
