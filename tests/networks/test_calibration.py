import numpy as np
import pytest

from evercast.networks.calibration import fit_histogram_calibration, normalisation


def _events(*, bias: float, events: int = 40000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x of N(+-1/2, 1) has log r = x exactly; `bias` spoils it by a factor."""
    rng = np.random.default_rng(1)
    is_process = np.arange(events) % 2 == 0
    x = rng.normal(np.where(is_process, 0.5, -0.5), 1.0)
    return bias * x, is_process, rng.uniform(0.5, 1.5, events)


def test_a_right_ratio_is_hardly_shifted() -> None:
    """2000 events in a bin: statistical error of the shift about 0.05."""
    found = fit_histogram_calibration(*_events(bias=1.0))
    assert len(found.values) == 20
    assert np.max(np.abs(found.values)) < 0.25


def test_a_wrong_ratio_is_brought_back() -> None:
    log_ratio, is_process, weight = _events(bias=1.8)
    calibration = fit_histogram_calibration(log_ratio, is_process, weight)
    truth = log_ratio / 1.8
    before, after = (np.sqrt(np.mean((one - truth) ** 2)) for one in (log_ratio, calibration(log_ratio)))
    assert before > 0.7
    assert after < 0.3 * before


def test_the_reference_has_the_weight_of_the_process_in_each_bin() -> None:
    log_ratio, is_process, weight = _events(bias=1.8)
    calibration = fit_histogram_calibration(log_ratio, is_process, weight)
    bins = np.searchsorted(calibration.edges, log_ratio, side="right")
    ratio = np.exp(calibration(log_ratio))
    process = np.bincount(bins[is_process], weight[is_process]) / weight[is_process].sum()
    reference = np.bincount(bins[~is_process], (weight * ratio)[~is_process]) / weight[~is_process].sum()
    np.testing.assert_allclose(reference, process, rtol=1e-12)


def test_equal_log_ratios_share_a_bin() -> None:
    log_ratio = np.repeat([0.0, 1.0], 50)
    found = fit_histogram_calibration(log_ratio, np.arange(100) % 2 == 0, np.ones(100))
    assert len(found.values) == len(found.edges) + 1
    assert np.isfinite(found.values).all()


def test_a_bin_whose_weights_cancel_is_left_alone() -> None:
    log_ratio, is_process, weight = _events(bias=1.0, events=2000)
    weight = np.where(is_process & (log_ratio < -1.0), -weight, weight)
    found = fit_histogram_calibration(log_ratio, is_process, weight)
    assert found.values[0] == 0.0
    assert np.isfinite(found.values).all()


def test_the_mean_ratio_over_the_reference_is_one_within_its_error() -> None:
    log_ratio, is_process, weight = _events(bias=1.0)
    found = normalisation(log_ratio[~is_process], weight[~is_process])
    assert abs(found.mean - 1.0) < 3.0 * found.error
    assert found.error == pytest.approx(np.sqrt(np.e - 1.0) / np.sqrt(20000), rel=0.15)


def test_the_error_of_the_mean_ratio_is_its_spread_over_samples() -> None:
    rng = np.random.default_rng(3)
    found = [normalisation(rng.normal(-0.5, 1.0, 400), rng.uniform(0.5, 1.5, 400)) for _ in range(400)]
    spread = np.std([one.mean for one in found])
    assert spread == pytest.approx(np.mean([one.error for one in found]), rel=0.2)
