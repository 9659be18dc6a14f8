import numpy as np
import pytest
import training_statistics_toy as toy

from evercast.errors import NumericalFailure
from evercast.inference.training_statistics import ESTIMATORS, drawn_members, propagated_sigma, spread_of_fits
from evercast.inference.weighted_members import HeldOut, WeightedMembers, fit_weighted_members


@pytest.fixture(scope="module")
def result() -> toy.Result:
    return toy.run()


def test_the_data_alone_leave_0_1669() -> None:
    assert toy.data_sigma(toy.GRID - 0.5) == pytest.approx(0.1669, abs=0.0001)


def test_fits_scatter_by_0_0315_from_training_set_to_training_set(result: toy.Result) -> None:
    """80 sets know it to 8 %; the reference value comes from 80 others, so three times 11 %."""
    assert result.truth.sigma == pytest.approx(0.0315, rel=0.33)
    assert result.truth.error == pytest.approx(result.truth.sigma / np.sqrt(158.0))


def test_drawing_members_again_misses_the_training_statistics_by_seven(result: toy.Result) -> None:
    """The mean over 80 sets, each known to 11 % (50 members): 0.0043 to some 3 % with the reference value from one."""
    assert result.members_drawn == pytest.approx(0.0043, rel=0.15)
    assert result.truth.sigma is not None
    assert result.truth.sigma / result.members_drawn == pytest.approx(7.3, rel=0.3)


def test_one_fit_per_bootstrap_finds_the_training_statistics(result: toy.Result) -> None:
    """The mean over 80 sets, each known to 10 %; the reference value, 0.0304, is the mean of 80 others."""
    assert result.single_members == pytest.approx(0.0304, rel=0.05)
    assert result.truth.sigma is not None
    assert result.single_members == pytest.approx(result.truth.sigma, rel=0.25)


def test_each_estimator_says_what_it_sees() -> None:
    assert set(ESTIMATORS) == {"ensemble_noise", "bootstrap", "weighted_members"}
    assert len({one.label for one in ESTIMATORS.values()}) == 3
    assert "finite training samples" in ESTIMATORS["ensemble_noise"].does_not_see
    assert "finite training samples" in ESTIMATORS["bootstrap"].sees


def test_fits_that_fail_are_counted_with_their_reasons_and_not_averaged() -> None:
    def refit(number: int) -> float:
        if number == 1:
            raise NumericalFailure("no minimum", code="fit.not-converged")
        return float(number)

    spread = spread_of_fits(refit, 4)
    assert spread.values == (0.0, 2.0, 3.0)
    assert spread.failures == ("1: no minimum",)
    assert spread.sigma == pytest.approx(np.std([0.0, 2.0, 3.0], ddof=1))


def test_one_fit_has_no_spread() -> None:
    assert spread_of_fits(lambda _: 1.0, 1).sigma is None


def test_members_are_drawn_for_each_process_alone() -> None:
    drawn = drawn_members(5, processes=2, draws=100, seed=1)
    assert drawn.shape == (100, 2, 5)
    assert set(np.unique(drawn)) == set(range(5))
    assert not np.array_equal(drawn[:, 0], drawn[:, 1])
    np.testing.assert_array_equal(drawn, drawn_members(5, processes=2, draws=100, seed=1))


MEMBERS, EVENTS = 3, 2000


@pytest.fixture(scope="module")
def members() -> np.ndarray:
    """(members, 3), regressions on different halves of one training set."""
    sample = toy.Sample.draw(1500, seed=77)
    rng = np.random.default_rng(5)
    return np.array([toy.logistic(sample, rng.poisson(0.3, len(sample.x)).astype(float)) for _ in range(MEMBERS)])


def held_out(members: np.ndarray, sample: toy.Sample) -> list[HeldOut]:
    """Signal and background events; the reference is the background."""
    signal, background = (sample.x[sample.label == value] for value in (1.0, 0.0))
    return [
        HeldOut(features=(toy.columns(x) @ members.T)[None], weight=np.ones(len(x)), share=share, processes=processes)
        for x, share, processes in ((signal, 0.0, (0,)), (background, 1.0, ()))
    ]


def fitted_strength(weighted: WeightedMembers, members: np.ndarray) -> float:
    """Minimum in mu on the exact Asimov data with the ratio as it is, not normalised again."""
    ratio = np.exp(weighted.log_ratio(0, toy.columns(toy.GRID) @ members.T))
    mu = 1.0
    for _ in range(50):
        part = toy.SIGNAL * ratio / (mu * toy.SIGNAL * ratio + toy.BACKGROUND)
        mu -= (toy.SIGNAL - np.sum(toy.ASIMOV * part)) / np.sum(toy.ASIMOV * part**2)
    return float(mu)


def test_weighted_members_know_how_far_the_held_out_events_move_the_fit(members: np.ndarray) -> None:
    """Fits with weights from 120 independent held-out sets scatter as the sandwich covariance of one says.

    The scatter is known to 6.5 %, and the estimates, which differ from set to set, are averaged over all.
    """
    fits, sigmas = [], []
    for number in range(120):
        weighted = fit_weighted_members(held_out(members, toy.Sample.draw(EVENTS, seed=9000 + number)), processes=1)
        mu = fitted_strength(weighted, members)
        features = np.concatenate([toy.columns(toy.GRID) @ members.T, np.ones((len(toy.GRID), 1))], axis=1)
        intensity = toy.SIGNAL * np.exp(weighted.log_ratio(0, features[:, :-1]))
        total = mu * intensity + toy.BACKGROUND
        mixed = -(toy.ASIMOV * toy.BACKGROUND * intensity / total**2) @ features
        sigma_squared = 1.0 / np.sum(toy.ASIMOV * (intensity / total) ** 2)
        fits.append(mu)
        sigmas.append(propagated_sigma(mixed[None], np.array([[sigma_squared]]), weighted.covariance)[0])
    assert np.mean(sigmas) == pytest.approx(np.std(fits, ddof=1), rel=0.2)
    assert np.mean(sigmas) > 0.01


def test_the_weights_of_one_exact_member_are_one_and_no_constant() -> None:
    """log r = x - 1/2 exactly: w = 1 and c = 0 within four standard errors."""
    exact = np.array([[-0.5, 1.0, 0.0]])
    weighted = fit_weighted_members(held_out(exact, toy.Sample.draw(20_000, seed=3)), processes=1)
    errors = np.sqrt(np.diag(weighted.covariance))
    assert np.all(np.abs(weighted.weights[0] - [1.0, 0.0]) < 4.0 * errors)
    assert np.all(errors < 0.03)


def test_events_shared_by_two_processes_correlate_their_weights() -> None:
    """Two processes with the same sample and members are one: their weights are equal, with correlation 1."""
    exact = np.array([[-0.5, 1.0, 0.0], [0.0, 0.4, 0.1]])
    once = held_out(exact, toy.Sample.draw(2000, seed=3))
    twice = [
        HeldOut(
            features=np.repeat(one.features, 2, axis=0),
            weight=one.weight,
            share=one.share,
            processes=(0, 1) if one.processes else (),
        )
        for one in once
    ]
    weighted = fit_weighted_members(twice, processes=2)
    np.testing.assert_allclose(weighted.weights[0], weighted.weights[1])
    np.testing.assert_allclose(weighted.covariance[:3, 3:], weighted.covariance[:3, :3], rtol=1e-6)


def test_members_that_are_all_the_same_are_one_member() -> None:
    """The weights share out, the ratio and its uncertainty are those of one member."""
    exact = np.array([[-0.5, 1.0, 0.0]])
    sample = toy.Sample.draw(2000, seed=3)
    one, two = (
        fit_weighted_members(held_out(np.repeat(exact, copies, axis=0), sample), processes=1) for copies in (1, 2)
    )
    assert two.weights[0, :2].sum() == pytest.approx(one.weights[0, 0], rel=1e-6)
    total = np.array([1.0, 1.0, 0.0]) @ two.covariance @ np.array([1.0, 1.0, 0.0])
    assert total == pytest.approx(one.covariance[0, 0], rel=1e-6)
