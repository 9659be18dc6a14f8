from dataclasses import replace

import numpy as np
import pytest
from toys import ARCHITECTURE, OPTIONS, gaussian

from evercast.errors import InvalidInput
from evercast.networks.dataset import Events, training_set
from evercast.networks.folds import CrossFitting
from evercast.networks.numpy_evaluate import numpy_logits
from evercast.networks.positive_resampling import SignTraining, resampled
from evercast.networks.training import NetworkName, train_networks

TRAINING = SignTraining(
    architecture=ARCHITECTURE,
    options=replace(OPTIONS, epochs=8, batch=512),
    cross_fitting=CrossFitting(folds=2, seed=3),
    seed=7,
    strategy="map",
)
POSITIVE, NEGATIVE = 30_000, 12_000


def signed(*, seed: int = 5) -> Events:
    """1.5 N(0.5, 1) - 0.5 N(1, 0.8), positive everywhere below x = 4, in weights of both signs."""
    one, two = gaussian(0.5, events=POSITIVE, seed=seed), gaussian(0.0, events=NEGATIVE, seed=seed + 1)
    values = two.observables * np.array([0.8, 1.0]) + np.array([1.0, 0.0])
    return Events(
        observables=np.concatenate([one.observables, values]),
        weight=np.concatenate([np.full(POSITIVE, 1.5 / POSITIVE), np.full(NEGATIVE, -0.5 / NEGATIVE)]),
        event=np.concatenate([one.event, two.event]),
    )


def test_positive_weights_stand_for_the_density_of_the_signed_ones() -> None:
    """Integrals over bins of x against the closed form, in units of the error of the signed sums.

    The network adds an error of its own of a similar size, so an average of 1.5 is what the two make together; the
    positive weights may not be worse than twice the signed ones, and have no bias in the mean.
    """
    events = signed()
    found, report = resampled(events, TRAINING, what="sample 'a'")
    assert np.all(found.weight > 0.0)
    assert found.weight.sum() == pytest.approx(events.weight.sum(), rel=1e-9)
    edges = np.linspace(-1.5, 3.0, 13)
    x = found.observables[:, 0]
    content = np.histogram(x, edges, weights=found.weight)[0]
    error = np.sqrt(np.histogram(events.observables[:, 0], edges, weights=events.weight**2)[0])
    centres = np.linspace(-1.5, 3.0, 12 * 200 + 1)
    middle = 0.5 * (centres[1:] + centres[:-1])
    density = 1.5 * _normal(middle, 0.5, 1.0) - 0.5 * _normal(middle, 1.0, 0.8)
    truth = (density * np.diff(centres)).reshape(12, -1).sum(axis=1)
    pulls = (content - truth) / error
    assert np.sqrt(np.mean(pulls**2)) < 2.0
    assert np.sum(found.weight * x) == pytest.approx(0.25, abs=4.0 * np.sqrt(np.sum((events.weight * 1.2) ** 2)))
    assert report.n_negative == NEGATIVE
    assert report.mean_sign == pytest.approx(0.5, abs=1e-9)
    assert report.scale == pytest.approx(1.0, abs=0.05)
    assert report.resampled_size > 2.0 * report.effective_sample_size
    assert report.dropped_share < 0.01


def _normal(x: np.ndarray, mean: float, width: float) -> np.ndarray:
    return np.exp(-0.5 * ((x - mean) / width) ** 2) / (width * np.sqrt(2.0 * np.pi))


def test_a_ratio_learned_from_positive_weights_is_that_of_the_density() -> None:
    """Against 30 000 events of N(0.5, 1), which leave some 0.05 in the bulk, where log r goes from -0.4 to 0.4."""
    process, _ = resampled(signed(seed=15), TRAINING, what="sample 'a'")
    reference = gaussian(0.5, events=POSITIVE, seed=40)
    networks = train_networks(
        training_set(process, reference, names=ARCHITECTURE.observables),
        [NetworkName(member=0, fold=fold, seed=fold) for fold in range(2)],
        architecture=ARCHITECTURE,
        options=TRAINING.options,
        cross_fitting=TRAINING.cross_fitting,
        strategy="map",
    )
    values = np.stack([np.linspace(-1.0, 2.5, 15), np.zeros(15)], axis=1)
    found = np.mean([numpy_logits(ARCHITECTURE, network.weights, values) for network in networks], axis=0)
    x = values[:, 0]
    truth = np.log(1.5 - 0.5 * _normal(x, 1.0, 0.8) / _normal(x, 0.5, 1.0))
    assert np.ptp(truth) > 0.4
    assert np.sqrt(np.mean((found - truth) ** 2)) < 0.1


def test_the_weight_of_an_event_is_not_learned_from_its_fold() -> None:
    """With the signs of fold 0 turned over, the events of fold 0 see networks of fold 1 alone: same mean sign."""
    events = signed()
    fold = TRAINING.cross_fitting.fold_of(events.event)
    short = replace(TRAINING, options=replace(TRAINING.options, epochs=1))
    turned = replace(events, weight=np.where((fold == 0) & (np.arange(len(fold)) % 5 == 0), -1.0, 1.0) * events.weight)
    one, two = (resampled(each, short, what="sample 'a'")[0] for each in (events, turned))
    kept = [part.take(TRAINING.cross_fitting.fold_of(part.event) == 0) for part in (one, two)]
    np.testing.assert_array_equal(kept[0].event, kept[1].event)
    ratio = kept[1].weight / kept[0].weight
    assert np.ptp(ratio) < 1e-6 * ratio[0]


def test_a_fold_without_negative_events_is_refused() -> None:
    events = gaussian(0.0, events=500, seed=1)
    weight = np.ones(500)
    weight[0] = -1.0
    with pytest.raises(InvalidInput, match="no negative event is left"):
        resampled(replace(events, weight=weight), TRAINING, what="sample 'a'")
