"""Numbers as text, and the table at the end of a run."""

import math

import pytest

from evercast.publication.report.mathtext import to_html, to_plain
from evercast.publication.report.view import JsonView
from evercast.publication.results import decimals, read_result, with_errors, with_interval
from evercast.publication.summary import expected_line, results_table

OUTCOME = {
    "fit": {"parameters": {"mu": {"value": 0.9012, "uncertainty": 0.4, "at_bound": False}}},
    "interval": {"low": 0.52, "high": 1.32, "confidence_level": 0.6827},
    "scan": {"values": [0.0, 1.0], "t": [9.0, None]},
    "significance": {"q0": 9.6, "z": 3.1, "p": 0.001},
}
RESULT = {
    "likelihood": "binned", "poi": "mu", "status": "ok", "guard": {"passed": True, "problems": []},
    "observed": OUTCOME, "expected": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("size", "expected"), [(0.4, 2), (0.123, 2), (0.0999, 3), (1.2, 1), (35.0, 0), (0.0, 2), (math.inf, 2)]
)
def test_two_significant_digits_of_an_error_are_shown(size: float, expected: int) -> None:
    assert decimals(size) == expected


def test_errors_keep_their_signs_and_unknown_ends_are_marked() -> None:
    assert with_errors(0.9, 0.42, 0.38) == "0.90 +0.42 −0.38"
    assert with_errors(-0.5, 0.2, None) == "−0.50 +0.20 −?"


def test_without_an_interval_the_hessian_uncertainty_is_shown() -> None:
    result = read_result("binned", JsonView(RESULT | {"observed": OUTCOME | {"interval": None}}))
    assert with_interval(result.observed) == "0.90 +0.40 −0.40"


def test_the_table_has_a_line_for_each_likelihood() -> None:
    table = results_table(
        {"schema": "fit/1.0.0", "results": {"binned": RESULT, "neural": RESULT | {"likelihood": "neural"}}}
    )
    lines = table.splitlines()
    assert len(lines) == 5
    assert lines[2].split() == ["binned", "mu", "0.90", "+0.42", "−0.38", "–", "3.10", "–", "passed"]
    assert "68.27 %" in lines[-1]


def test_a_fit_that_did_not_pass_shows_no_number() -> None:
    failed = RESULT | {"guard": {"passed": False, "problems": ["no convergence"]}}
    table = results_table({"results": {"binned": failed}})
    assert "0.90" not in table
    assert "no convergence" in table


def test_terminal_controls_in_names_do_not_reach_the_terminal() -> None:
    table = results_table({"results": {"x": RESULT | {"likelihood": "\x1b[31mred"}}})
    assert "\x1b" not in table


def test_a_missing_guard_is_no_trust_unless_the_status_is_good() -> None:
    bare = {"poi": "mu", "observed": OUTCOME}
    assert read_result("x", JsonView(bare | {"status": "ok"})).trusted
    assert not read_result("x", JsonView(bare | {"status": "failed"})).trusted
    assert not read_result("x", JsonView(bare)).trusted


@pytest.mark.parametrize(
    ("label", "html", "plain"),
    [
        (r"$m_{4\ell}$", "m<sub>4ℓ</sub>", "m_4ℓ"),
        (r"$p_T^{4\ell}$ & more", "p<sub>T</sub><sup>4ℓ</sup> &amp; more", "p_T^4ℓ & more"),
        (r"$\mu_H$", "μ<sub>H</sub>", "μ_H"),
        ("5$ <b>", "5$ &lt;b&gt;", "5$ <b>"),
        ("a -> b", "a → b", "a → b"),
        ("$<i>_{<b>}$", "&lt;i&gt;<sub>&lt;b&gt;</sub>", "<i>_<b>"),
    ],
)
def test_labels_become_markup_that_is_escaped(label: str, html: str, plain: str) -> None:
    assert to_html(label) == html
    assert to_plain(label) == plain


def test_declared_numbers_are_counted_and_those_missed_are_named() -> None:
    checks = [
        {"id": "declared.binned.mu_hat", "status": "green", "message": "0.9 found, 0.9 ± 0.01 wanted"},
        {"id": "declared.neural.mu_hat", "status": "red", "message": "1.2 found, 1.05 ± 0.05 wanted"},
        {"id": "closure.ratios.S", "status": "red", "message": "far"},
    ]
    line = "expected: 1 of 2 declared numbers within their tolerance; neural.mu_hat: 1.2 found, 1.05 ± 0.05 wanted"
    assert expected_line({"checks": checks}) == line
    assert expected_line({"checks": checks[2:]}) is None
