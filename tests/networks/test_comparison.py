"""Distances of weighted samples: common events cancel, differences are found, chance raises no alarm."""

import numpy as np
import pytest

from evercast.networks.comparison import (
    Matched,
    binned_difference,
    kolmogorov_smirnov,
    score_calibration,
    two_sample_test,
)
from evercast.networks.overtraining import Scored, compare_fold


def halves(n: int, *, common: bool) -> Matched:
    """Two samples of `n` events of equal weight: the same events, or others."""
    event = np.concatenate([np.arange(n), np.arange(n) if common else np.arange(n, 2 * n)]).astype(np.uint64)
    first = np.concatenate([np.full(n, 1 / n), np.zeros(n)])
    return Matched(event=event, first=first, second=first[::-1].copy())


def test_a_sample_compared_with_itself_has_no_difference_and_no_error() -> None:
    x = np.random.default_rng(1).normal(size=500)
    found = binned_difference(halves(500, common=True), np.concatenate([x, x]))
    assert found is not None
    assert (found.chi2, found.misplaced) == (0.0, 0.0)
    # what is left is the rounding of float32 log ratios, 1e-6 of the content
    assert np.all(found.error < 1e-6)


def test_errors_of_samples_without_common_events_add_in_quadrature() -> None:
    x = np.random.default_rng(2).normal(size=1000)
    found = binned_difference(halves(500, common=False), x)
    assert found is not None
    np.testing.assert_allclose(found.error, np.hypot(found.first_error, found.second_error), rtol=1e-6)


def test_chi2_of_equal_densities_follows_its_distribution() -> None:
    rng = np.random.default_rng(3)
    values = [binned_difference(halves(4000, common=False), rng.normal(size=8000), bins=10) for _ in range(40)]
    chi2 = np.array([value.chi2 for value in values if value is not None])
    # the mean of 40 chi2 with 10 degrees of freedom is 10 +- sqrt(20 / 40) = 0.7; three of these
    assert abs(chi2.mean() - 10) < 2.1


def test_an_observable_that_does_not_vary_is_left_out() -> None:
    assert binned_difference(halves(10, common=False), np.ones(20)) is None


def test_a_right_score_is_calibrated_and_a_stretched_one_is_not() -> None:
    rng = np.random.default_rng(4)
    n = 20000
    x = np.concatenate([rng.normal(1, 1, n), rng.normal(0, 1, n)])
    good = score_calibration(halves(n, common=False), x - 0.5)
    assert good.p > 1e-3
    assert good.distance < 0.01
    bad = score_calibration(halves(n, common=False), 2 * (x - 0.5))
    assert bad.p < 1e-6
    assert bad.distance > 0.05
    np.testing.assert_allclose(good.found, good.log_ratio, atol=0.2)


def test_the_kolmogorov_distance_of_shifted_gaussians_is_that_of_their_distributions() -> None:
    rng = np.random.default_rng(5)
    first, second = rng.normal(0.5, 1, 20000), rng.normal(0, 1, 20000)
    found = kolmogorov_smirnov(first, np.ones(20000), second, np.ones(20000))
    # 2 Phi(1/4) - 1 = 0.1974; its error is about 1 / sqrt(20000)
    assert found.distance == pytest.approx(0.1974, abs=0.02)
    assert found.p < 1e-9
    same = kolmogorov_smirnov(first[:10000], np.ones(10000), first[10000:], np.ones(10000))
    assert same.p > 1e-3


def test_a_classifier_tells_shifted_samples_apart_and_equal_ones_not() -> None:
    rng = np.random.default_rng(6)
    n = 10000
    equal = two_sample_test(halves(n, common=False), rng.normal(size=(2 * n, 2)), seed=1)
    assert abs(equal.area - 0.5) < 4 * equal.error
    shifted = rng.normal(size=(2 * n, 2))
    shifted[:n, 0] += 0.5
    apart = two_sample_test(halves(n, common=False), shifted, seed=1)
    # Phi(0.5 / sqrt 2) = 0.638
    assert apart.area == pytest.approx(0.638, abs=0.01)


def test_a_network_that_remembers_is_found_by_its_scores() -> None:
    rng = np.random.default_rng(7)
    n = 4000
    held = np.arange(n) % 2 == 0
    process = Scored(logit=rng.normal(0.3, 1, n) + 0.5 * ~held, weight=np.ones(n), held_out=held)
    reference = Scored(logit=rng.normal(-0.3, 1, n) - 0.5 * ~held, weight=np.ones(n), held_out=held)
    found = compare_fold(0, process, reference)
    assert found is not None
    assert found.holdout_loss - found.train_loss > 0.05
    assert max(found.process.p, found.reference.p) < 1e-6
    assert compare_fold(0, process, Scored(logit=np.zeros(2), weight=np.ones(2), held_out=np.ones(2, bool))) is None
