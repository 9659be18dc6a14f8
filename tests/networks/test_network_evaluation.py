from dataclasses import replace

import numpy as np
import pytest
from toys import ARCHITECTURE

from evercast.errors import NumericalFailure
from evercast.networks.architecture import Weights
from evercast.networks.evaluation import ensemble_log_ratio
from evercast.networks.folds import CrossFitting
from evercast.networks.numpy_evaluate import numpy_logits

MEMBERS, FOLDS, EVENTS = 3, 4, 533


@pytest.fixture(scope="module")
def networks() -> Weights:
    rng = np.random.default_rng(1)

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=(MEMBERS, FOLDS, *shape)).astype(np.float32)

    return Weights(
        mean=draw(2),
        scale=np.ones((MEMBERS, FOLDS, 2), np.float32),
        weight=(draw(16, 2), draw(16, 16) / np.float32(4.0), draw(1, 16) / np.float32(4.0)),
        bias=(draw(16), draw(16), draw(1)),
    )


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    return np.random.default_rng(2).normal(size=(EVENTS, 2))


@pytest.fixture(scope="module")
def fold() -> np.ndarray:
    return CrossFitting(folds=FOLDS, seed=1).fold_of(np.arange(EVENTS, dtype=np.uint64))


@pytest.fixture(scope="module")
def logits(networks: Weights, values: np.ndarray) -> np.ndarray:
    """(members, folds, events) of the reference semantics."""
    return np.array(
        [[numpy_logits(ARCHITECTURE, networks.at(m, k), values) for k in range(FOLDS)] for m in range(MEMBERS)]
    )


def _combine(logits: np.ndarray, combine: str) -> np.ndarray:
    return np.mean(logits, axis=0) if combine == "mean_log_ratio" else np.log(np.mean(np.exp(logits), axis=0))


@pytest.mark.parametrize("combine", ["mean_log_ratio", "mean_ratio"])
@pytest.mark.parametrize("strategy", ["map", "vmap"])
@pytest.mark.parametrize("chunk", [8, 64, 4096])
def test_simulation_is_evaluated_out_of_fold(
    networks: Weights, values: np.ndarray, fold: np.ndarray, logits: np.ndarray, combine: str, strategy: str, chunk: int
) -> None:
    found = ensemble_log_ratio(ARCHITECTURE, networks, values, fold, combine=combine, strategy=strategy, chunk=chunk)
    own = logits[:, fold, np.arange(EVENTS)]
    np.testing.assert_allclose(found.log_ratio, _combine(own, combine), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.member_spread, np.std(own, axis=0, ddof=1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("combine", ["mean_log_ratio", "mean_ratio"])
def test_data_are_evaluated_by_all_folds(
    networks: Weights, values: np.ndarray, logits: np.ndarray, combine: str
) -> None:
    found = ensemble_log_ratio(ARCHITECTURE, networks, values, None, combine=combine)
    by_fold = np.array([_combine(logits[:, k], combine) for k in range(FOLDS)])
    np.testing.assert_allclose(found.log_ratio, np.log(np.mean(np.exp(by_fold), axis=0)), rtol=1e-5, atol=1e-5)
    by_member = np.array([_combine(member, "mean_ratio") for member in logits])
    np.testing.assert_allclose(found.member_spread, np.std(by_member, axis=0, ddof=1), rtol=1e-4, atol=1e-5)


def test_a_network_of_the_own_fold_has_no_say(networks: Weights, values: np.ndarray, fold: np.ndarray) -> None:
    """Changing the networks of fold 2 changes the events of fold 2 only."""
    changed = tuple(array.copy() for array in networks.bias)
    changed[-1][:, 2] += np.float32(1.0)
    before, after = (
        ensemble_log_ratio(ARCHITECTURE, one, values, fold).log_ratio
        for one in (networks, replace(networks, bias=changed))
    )
    np.testing.assert_array_equal(before[fold != 2], after[fold != 2])
    np.testing.assert_allclose(after[fold == 2] - before[fold == 2], 1.0, atol=1e-5)


def test_one_member_has_no_spread(networks: Weights, values: np.ndarray, fold: np.ndarray) -> None:
    found = ensemble_log_ratio(ARCHITECTURE, networks.at(slice(0, 1)), values, fold)
    np.testing.assert_array_equal(found.member_spread, 0.0)


def test_the_mean_ratio_does_not_overflow(networks: Weights, values: np.ndarray) -> None:
    shifted = tuple(array.copy() for array in networks.bias)
    shifted[-1][...] += np.float32(1e4)
    found = ensemble_log_ratio(ARCHITECTURE, replace(networks, bias=shifted), values, None, combine="mean_ratio")
    assert np.isfinite(found.log_ratio).all()
    assert np.abs(found.log_ratio - 1e4).max() < 100.0


def test_no_events_give_no_ratios(networks: Weights) -> None:
    found = ensemble_log_ratio(ARCHITECTURE, networks, np.zeros((0, 2)), np.zeros(0, dtype=np.int64))
    assert found.log_ratio.shape == (0,)


def test_a_ratio_that_is_not_finite_names_events_and_network(
    networks: Weights, values: np.ndarray, fold: np.ndarray
) -> None:
    broken = tuple(array.copy() for array in networks.weight)
    broken[0][1, 3] = np.float32(1e38)
    rows = np.flatnonzero(fold == 3)
    with pytest.raises(NumericalFailure, match="from member 1 of fold 3") as caught:
        ensemble_log_ratio(ARCHITECTURE, replace(networks, weight=broken), 1e3 * values, fold)
    assert caught.value.code == "evaluation.not-finite"
    assert f"of {len(rows)} events, first rows" in str(caught.value)


def test_a_ratio_that_is_not_finite_in_data_names_the_network(networks: Weights, values: np.ndarray) -> None:
    broken = tuple(array.copy() for array in networks.bias)
    broken[-1][2, 1] = np.nan
    with pytest.raises(NumericalFailure, match=f"{EVENTS} of {EVENTS} events, first rows 0, 1, .* member 2 of fold 1"):
        ensemble_log_ratio(ARCHITECTURE, replace(networks, bias=broken), values, None)
