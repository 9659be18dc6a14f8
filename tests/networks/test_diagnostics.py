from dataclasses import replace

import numpy as np
import pytest

from evercast.networks.diagnostics import (
    Sides,
    area_under_curve,
    calibration_curve,
    closure,
    reweighted_sample_size,
    saturated_fraction,
)

RNG = np.random.default_rng(2)
PROCESS, REFERENCE = RNG.normal(0.5, 1.0, 20000), RNG.normal(-0.5, 1.0, 30000)
SIDES = Sides(
    process=PROCESS, process_weight=np.full(20000, 0.3), reference=REFERENCE, reference_weight=np.full(30000, 2.0)
)


def test_a_right_ratio_closes() -> None:
    found = closure(SIDES, PROCESS, REFERENCE)
    assert found is not None
    assert found.bins == 25
    assert found.chi2 < 25 + 4 * np.sqrt(50)
    assert found.target.sum() == pytest.approx(0.99, abs=0.001)


def test_a_wrong_ratio_does_not_close() -> None:
    found = closure(replace(SIDES, reference=1.3 * REFERENCE), PROCESS, REFERENCE)
    assert found is not None
    assert found.chi2 > 25 + 8 * np.sqrt(50)


def test_an_observable_that_does_not_vary_has_no_closure() -> None:
    assert closure(SIDES, np.ones(20000), np.ones(30000)) is None


def test_the_calibration_curve_of_a_right_ratio_is_the_diagonal() -> None:
    curve = calibration_curve(SIDES)
    filled = [(s, f, e) for s, f, e in zip(curve.score, curve.fraction, curve.error, strict=True) if f is not None]
    assert len(filled) > 15
    pulls = np.array([(f - s) / e for s, f, e in filled if e > 0.0])
    assert np.abs(pulls).max() < 4.5
    assert np.std(pulls) == pytest.approx(1.0, abs=0.5)


def test_empty_bins_of_the_calibration_curve_hold_nothing() -> None:
    curve = calibration_curve(replace(SIDES, process=PROCESS / 3.0, reference=REFERENCE / 3.0))
    assert curve.fraction[0] is None
    assert len(curve.score_bins) == 21


def test_the_area_under_the_curve_is_that_of_two_gaussians() -> None:
    """P(x > y) for unit Gaussians one apart: Phi(1 / sqrt 2) = 0.76025."""
    assert area_under_curve(SIDES) == pytest.approx(0.76025, abs=0.007)


def test_equal_ratios_have_area_one_half() -> None:
    flat = replace(SIDES, process=np.zeros(20000), reference=np.zeros(30000))
    assert area_under_curve(flat) == pytest.approx(0.5, abs=1e-12)


def test_saturated_scores_are_counted() -> None:
    wild = PROCESS.copy()
    wild[:500] = 20.0
    assert saturated_fraction(replace(SIDES, process=wild)) == pytest.approx(0.01)
    assert saturated_fraction(SIDES) == 0.0


def test_reweighting_costs_events() -> None:
    """E[r]^2 / E[r^2] = exp(-1) for log r = x between unit Gaussians one apart."""
    assert reweighted_sample_size(SIDES) == pytest.approx(30000 / np.e, rel=0.1)
