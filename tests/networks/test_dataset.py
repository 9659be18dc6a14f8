from dataclasses import replace

import numpy as np
import pytest
from toys import gaussian, toy

from evercast.errors import InvalidInput
from evercast.networks.dataset import Events, effective_sample_size, mixture, training_set
from evercast.networks.folds import CrossFitting, random_bits
from evercast.networks.splitting import split, standardisation
from evercast.networks.suitability import check_events

FOLDS = CrossFitting(folds=3, seed=8)
NAMES = ("x", "y")


def test_each_class_has_total_weight_one() -> None:
    events = training_set(
        gaussian(0.0, events=50, seed=1, weight=np.full(50, 3.0)), gaussian(1.0, events=70, seed=2), names=NAMES
    )
    assert events.weight[events.label == 1].sum() == pytest.approx(1.0, abs=1e-12)
    assert events.weight[events.label == 0].sum() == pytest.approx(1.0, abs=1e-12)


def test_the_reference_mixes_normalised_samples() -> None:
    samples = {"a": gaussian(0.0, events=10, seed=1, weight=np.full(10, 5.0)), "b": gaussian(1.0, events=40, seed=2)}
    mixed = mixture(samples, {"a": 1.0, "b": 3.0})
    assert mixed.weight[:10].sum() == pytest.approx(1.0)
    assert mixed.weight[10:].sum() == pytest.approx(3.0)


@pytest.mark.parametrize("fold", range(3))
def test_a_network_never_sees_its_fold_nor_trains_on_its_validation_part(fold: int) -> None:
    events = toy()
    part = split(events, FOLDS, fold=fold, seed=4, validation_fraction=0.2)
    seen = np.concatenate([part.training, part.validation])
    assert fold not in FOLDS.fold_of(events.event[seen])
    assert len(np.intersect1d(part.training, part.validation)) == 0
    outside = np.flatnonzero(FOLDS.fold_of(events.event) != fold)
    np.testing.assert_array_equal(np.sort(seen), outside)


def test_an_event_in_both_classes_is_on_one_side_only() -> None:
    process = gaussian(0.0, events=3000, seed=1)
    reference = replace(process, weight=np.linspace(0.5, 1.5, 3000))
    events = training_set(process, reference, names=NAMES)
    part = split(events, FOLDS, fold=0, seed=4, validation_fraction=0.2)
    assert len(np.intersect1d(events.event[part.training], events.event[part.validation])) == 0


def test_both_classes_weigh_one_half_in_each_part() -> None:
    events = toy()
    part = split(events, FOLDS, fold=1, seed=4, validation_fraction=0.2)
    for rows, balance in ((part.training, part.balance), (part.validation, part.validation_balance)):
        for value in (0, 1):
            chosen = rows[events.label[rows] == value]
            assert np.sum(events.weight[chosen]) * balance[value] == pytest.approx(0.5)


def test_standardisation_is_that_of_the_training_part() -> None:
    events = toy()
    part = split(events, FOLDS, fold=1, seed=4, validation_fraction=0.2)
    mean, scale = standardisation(events, part)
    values = [events.observables[part.training][events.label[part.training] == value] for value in (0, 1)]
    expected = (values[0].mean(axis=0) + values[1].mean(axis=0)) / 2
    np.testing.assert_allclose(mean, expected, atol=1e-5)
    np.testing.assert_allclose(scale, [np.sqrt(1.25), 1.0], rtol=0.1)


def test_max_events_caps_each_class_and_keeps_it_balanced() -> None:
    capped = training_set(
        gaussian(0.0, events=500, seed=1), gaussian(1.0, events=70, seed=2), names=NAMES, max_events=100, seed=3
    )
    assert {name: one.n_events for name, one in capped.summary().items()} == {"reference": 70, "process": 100}
    assert capped.weight[capped.label == 1].sum() == pytest.approx(1.0)


def test_effective_sample_size_counts_cancellation() -> None:
    assert effective_sample_size(np.ones(100)) == pytest.approx(100.0)
    assert effective_sample_size(np.concatenate([np.ones(80), -np.ones(20)])) == pytest.approx(36.0)
    assert effective_sample_size(np.zeros(3)) == 0.0


def _nan(events: Events) -> Events:
    values = events.observables.copy()
    values[3:5, 1] = np.nan
    return replace(events, observables=values)


BAD = {
    "empty-class": (lambda _: gaussian(0.0, events=0, seed=1), "has no events"),
    "not-finite": (_nan, "observable 'y' is NaN or infinite in 2 of 20 events, first in rows 3, 4"),
    "zero-weights": (lambda e: replace(e, weight=np.zeros(20)), "all 20 weights are zero"),
    "negative-class": (lambda e: replace(e, weight=-np.ones(20)), "the sum of weights is -20"),
}


@pytest.mark.parametrize("code", BAD)
def test_a_class_that_teaches_nothing_is_refused_by_name(code: str) -> None:
    change, message = BAD[code]
    with pytest.raises(InvalidInput, match=message) as caught:
        check_events(change(gaussian(0.0, events=20, seed=1)), names=NAMES, what="sample 'zz' in region 'SR'")
    assert caught.value.code == f"training.{code}"
    assert "sample 'zz' in region 'SR'" in str(caught.value)


def test_a_weight_that_is_nan_is_refused() -> None:
    with pytest.raises(InvalidInput, match="the weight is NaN or infinite in 1 of 20 events"):
        check_events(gaussian(0.0, events=20, seed=1, weight=np.r_[np.nan, np.ones(19)]), names=NAMES, what="it")


def test_negative_weights_pass_unless_they_are_to_be_rejected() -> None:
    events = gaussian(0.0, events=20, seed=1, weight=np.r_[-1.0, np.ones(19)])
    check_events(events, names=NAMES, what="it")
    with pytest.raises(InvalidInput, match="1 of 20 weights are negative") as caught:
        check_events(events, names=NAMES, what="it", negative_weights="reject")
    assert caught.value.code == "training.negative-weights"


def test_a_constant_observable_is_refused_by_name() -> None:
    def flat(events: Events) -> Events:
        return replace(events, observables=events.observables * [1.0, 0.0] + [0.0, 4.0])

    with pytest.raises(InvalidInput, match="observable 'y' is 4 in all 40 events") as caught:
        training_set(flat(gaussian(0.0, events=20, seed=1)), flat(gaussian(1.0, events=20, seed=2)), names=NAMES)
    assert caught.value.code == "training.constant-observable"


def test_a_fold_without_events_of_a_class_is_refused() -> None:
    events = training_set(gaussian(0.0, events=1, seed=1), gaussian(1.0, events=50, seed=2), names=NAMES)
    fold = int(FOLDS.fold_of(events.event[events.label == 1])[0])
    with pytest.raises(InvalidInput, match="no process event is left") as caught:
        split(events, FOLDS, fold=fold, seed=1, validation_fraction=0.2)
    assert caught.value.code == "training.too-few-events"


def test_a_part_in_which_a_class_cancels_is_refused() -> None:
    weight = np.r_[np.full(5, 100.0), -np.ones(45)]
    events = training_set(
        gaussian(0.0, events=50, seed=1, weight=weight), gaussian(1.0, events=50, seed=2), names=NAMES
    )
    keys = random_bits(events.event, seed=0)
    heavy = (events.label == 1) & (events.weight > 0.0)
    assert heavy.sum() == 5
    lightest = np.argsort(keys[events.label == 1])[:5]
    assert not heavy[events.label == 1][lightest].any(), "the validation part drawn below holds negative weights only"
    with pytest.raises(InvalidInput, match="process class is negative in the validation part of fold 0") as caught:
        split(events, FOLDS, fold=0, seed=0, validation_fraction=0.1)
    assert caught.value.code == "training.negative-class"
