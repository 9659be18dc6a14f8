"""Morphing bases against closed forms; bases that cannot work are refused by name."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from evercast.errors import InvalidInput
from evercast.likelihood.coefficients import evaluate_coefficient, is_linear
from evercast.likelihood.morphing_basis import basis_coefficients, basis_report
from evercast.spec.expressions import parse_coefficient
from evercast.spec.model import MorphingBasis

INTERFERENCE = MorphingBasis(
    features=("1", "sqrt(mu)", "mu"), points={"B": {"mu": 0.0}, "SBI": {"mu": 1.0}, "SBI5": {"mu": 5.0}}
)
EFT_FEATURES = ("1", "c1", "c2", "c1**2", "c1*c2", "c2**2")


def values(formulas, **point: float) -> dict[str, float]:
    return {process: evaluate_coefficient(parse_coefficient(text), point) for process, text in formulas.items()}


@pytest.mark.parametrize("mu", [0.0, 0.3, 1.0, 2.0, 5.0])
def test_interference_follows_its_closed_form(mu: float) -> None:
    """p(mu) = S mu + I sqrt(mu) + B, with B = p(0), S + I + B = p(1), 5 S + sqrt(5) I + B = p(5), solved by hand."""
    root = math.sqrt(5.0)
    signal = {"B": (root - 1) / (5 - root), "SBI": -root / (5 - root), "SBI5": 1 / (5 - root)}
    mixed = {process: (process == "SBI") - (process == "B") - signal[process] for process in signal}
    found = values(basis_coefficients(INTERFERENCE), mu=mu)
    for process, value in found.items():
        expected = signal[process] * mu + mixed[process] * math.sqrt(mu) + (process == "B")
        assert value == pytest.approx(expected, abs=2e-15)  # ten roundings of numbers near 1


def test_signal_interference_and_background_give_the_coefficients_of_atlas() -> None:
    """From S alone, SBI and B, with s = sqrt(mu) and b = 1: mu - sqrt(mu), sqrt(mu), 1 - sqrt(mu)."""
    basis = MorphingBasis(
        features=("b", "s*b", "s**2"),
        points={"S": {"b": 0.0, "s": 1.0}, "SBI": {"b": 1.0, "s": 1.0}, "B": {"b": 1.0, "s": 0.0}},
    )
    found = values(basis_coefficients(basis), b=1.0, s=math.sqrt(2.0))
    root = math.sqrt(2.0)
    assert found == pytest.approx({"S": 2 - root, "SBI": root, "B": 1 - root}, abs=1e-15)


@pytest.mark.parametrize("seed", range(3))
def test_an_eft_with_two_coefficients_is_exact_at_and_between_its_points(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = {f"P{i}": {"c1": float(a), "c2": float(b)} for i, (a, b) in enumerate(rng.normal(size=(6, 2)))}
    formulas = basis_coefficients(MorphingBasis(features=EFT_FEATURES, points=points))
    for (process, point), other in itertools.product(points.items(), points):
        assert values(formulas, **point)[other] == pytest.approx(float(process == other), abs=1e-11)
    truth = rng.normal(size=6)

    def density(c1: float, c2: float) -> float:
        return float(truth @ [1, c1, c2, c1**2, c1 * c2, c2**2])

    found = values(formulas, c1=0.4, c2=-1.3)
    morphed = sum(found[process] * density(**point) for process, point in points.items())
    assert morphed == pytest.approx(density(0.4, -1.3), rel=1e-11)  # condition numbers up to 1e3 of 1e-16, and sums
    assert sum(found.values()) == pytest.approx(1.0, abs=1e-11)


def test_a_basis_of_linear_features_has_linear_coefficients() -> None:
    basis = MorphingBasis(features=("1", "mu"), points={"B": {"mu": 0.0}, "SB": {"mu": 2.0}})
    formulas = basis_coefficients(basis)
    assert formulas == {"B": "1.0 - 0.5*mu", "SB": "0.5*mu"}
    assert all(is_linear(parse_coefficient(text)) for text in formulas.values())


def test_units_of_the_parameters_do_not_make_a_basis_singular() -> None:
    points = {"A": {"c": 0.0}, "B": {"c": 1e-9}, "C": {"c": 2e-9}}
    formulas = basis_coefficients(MorphingBasis(features=("1", "c", "c**2"), points=points))
    assert values(formulas, c=1.5e-9) == pytest.approx({"A": -0.125, "B": 0.75, "C": 0.375}, rel=1e-12)


SINGULAR = {
    "two equal points": (
        ("1", "mu"), {"A": {"mu": 1.0}, "B": {"mu": 1.0}}, ("dependent points: A, B", "is infinite"),
    ),
    "features that agree at all points": (
        ("1", "sqrt(mu)", "mu"), {"A": {"mu": 0.0}, "B": {"mu": 1.0}, "C": {"mu": 1.0}},
        ("dependent features: sqrt(mu), mu", "dependent points: B, C"),
    ),
    "nearly equal points": (
        ("1", "k", "k**2"), {"A": {"k": 0.0}, "B": {"k": 1.0}, "C": {"k": 1.0000001}}, ("B, C", "at most 1e+06"),
    ),
    "a feature that vanishes": (
        ("1", "a", "b"), {"A": {"a": 0.0, "b": 0.0}, "B": {"a": 1.0, "b": 0.0}, "C": {"a": 2.0, "b": 0.0}},
        ("dependent features: b",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SINGULAR)
def test_a_singular_basis_is_refused_with_what_is_dependent(name: str) -> None:
    features, points, parts = SINGULAR[name]
    with pytest.raises(InvalidInput) as failure:
        basis_coefficients(MorphingBasis(features=features, points=points), where="basis 'vbf'")
    assert failure.value.code == "morphing.singular"
    assert failure.value.where == "basis 'vbf'"
    for part in parts:
        assert part in failure.value.message


@pytest.mark.parametrize(
    ("features", "points", "message"),
    [
        (("1",), {"A": {"mu": 0.0}, "B": {"mu": 1.0}}, "1 features need as many points, found 2"),
        (("1", "mu"), {"A": {"mu": 0.0}, "B": {"kappa": 1.0}}, "'B' has no value of mu"),
        (("1", "sqrt(mu)"), {"A": {"mu": 1.0}, "B": {"mu": -1.0}}, r"'B'.*sqrt\(mu\).*undefined"),
    ],
)
def test_points_that_do_not_fit_the_features_are_named(features, points, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as failure:
        basis_coefficients(MorphingBasis(features=features, points=points))
    assert failure.value.code == "morphing.points"


def test_the_report_counts_what_cancellation_costs() -> None:
    """At a basis point nothing cancels; at mu = 0.5 the numbers follow from the coefficients by hand."""
    yields = {"B": 300.0, "SBI": 425.0, "SBI5": 1700.0}
    sizes = {"B": 1000.0, "SBI": 2000.0, "SBI5": 3000.0}
    at = basis_report(INTERFERENCE, point={"mu": 1.0}, yields=yields, events=sizes)
    assert (at.expected_events, at.effective_events) == pytest.approx((425.0, 2000.0), rel=1e-12)
    assert at.loss == pytest.approx(1 - 2000 / 6000, rel=1e-12)
    assert at.dilution == pytest.approx(1.0, abs=1e-12)
    between = basis_report(INTERFERENCE, point={"mu": 0.5}, yields=yields, events=sizes)
    parts = {process: between.coefficients[process] * yields[process] for process in yields}
    total = sum(parts.values())
    expected = total**2 / sum(part**2 / sizes[process] for process, part in parts.items())
    assert between.effective_events == pytest.approx(expected, rel=1e-12)
    assert between.dilution == pytest.approx(sum(map(abs, parts.values())) / total, rel=1e-12)
    assert between.dilution > 1.05
    assert 1 < between.condition_number < 100
