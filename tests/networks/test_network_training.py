from collections.abc import Mapping, Sequence
from dataclasses import replace

import jax
import numpy as np
import pytest
from toys import ARCHITECTURE, OPTIONS, gaussian, toy

from evercast.errors import InvalidInput, NumericalFailure
from evercast.networks.dataset import TrainingSet, training_set
from evercast.networks.folds import CrossFitting
from evercast.networks.group import Shared
from evercast.networks.numpy_evaluate import numpy_logits
from evercast.networks.optimisers import learning_rates
from evercast.networks.splitting import split, standardisation
from evercast.networks.training import NetworkName, TrainedNetwork, train_networks

FOLDS = CrossFitting(folds=2, seed=3)
NAMES = [NetworkName(member=member, fold=fold, seed=10 * member + fold) for member in range(2) for fold in range(2)]


def train(
    names: Sequence[NetworkName] = NAMES, *, events: TrainingSet | None = None, **options: object
) -> list[TrainedNetwork]:
    settings: dict[str, object] = {
        "architecture": ARCHITECTURE, "options": OPTIONS, "cross_fitting": FOLDS, "strategy": "map"
    }  # fmt: skip
    return train_networks(toy() if events is None else events, names, **(settings | options))


def assert_same_bits(one: TrainedNetwork, two: TrainedNetwork) -> None:
    for (name, a), (_, b) in zip(one.weights.named(), two.weights.named(), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=f"{one.name} {name}")
    assert one.training_loss == two.training_loss
    assert one.validation_loss == two.validation_loss


class Memory:
    """Checkpoints in memory; the save number `fail_at` is the last one, and then the training is interrupted."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.kept: dict[str, dict[str, np.ndarray]] = {}
        self.saves = 0
        self.fail_at = fail_at

    def load(self, name: str) -> Mapping[str, np.ndarray] | None:
        return self.kept.get(name)

    def save(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        self.kept[name] = {key: np.array(array) for key, array in arrays.items()}
        self.saves += 1
        if self.saves == self.fail_at:
            raise KeyboardInterrupt


def test_a_network_learns_the_log_ratio() -> None:
    """log r = x for unit Gaussians at +-1/2; 2500 events of each fix it to about 0.1 in their bulk."""
    options = replace(OPTIONS, epochs=20, patience=5)
    (network,) = train(NAMES[:1], events=toy(events=6000), options=options)
    values = np.stack([np.linspace(-1.0, 1.0, 9), np.zeros(9)], axis=1)
    np.testing.assert_allclose(numpy_logits(ARCHITECTURE, network.weights, values), values[:, 0], atol=0.25)


def test_blocks_of_any_size_give_the_same_bits() -> None:
    whole = train()
    alone = [train([name])[0] for name in reversed(NAMES)][::-1]
    for one, two in zip(whole, alone, strict=True):
        assert_same_bits(one, two)


def test_threads_do_not_change_a_bit() -> None:
    for one, two in zip(train(), train(threads=2), strict=True):
        assert_same_bits(one, two)


def test_double_precision_switched_on_elsewhere_does_not_change_a_bit() -> None:
    one = train(NAMES[:1])[0]
    with jax.enable_x64(True):
        two = train(NAMES[:1])[0]
    assert two.weights.weight[0].dtype == np.float32
    assert_same_bits(one, two)


def test_another_seed_gives_another_network() -> None:
    one, two = (train([replace(NAMES[0], seed=seed)])[0] for seed in (1, 2))
    assert not np.array_equal(one.weights.weight[0], two.weights.weight[0])


@pytest.mark.parametrize(("optimiser", "patience"), [("adamw", None), ("nadam", 2)])
def test_map_and_vmap_agree(optimiser: str, patience: int | None) -> None:
    """The same float32 arithmetic in another order: 1e-7 a step, amplified over the 50 steps to well below 1e-3."""
    options = replace(OPTIONS, optimiser=optimiser, patience=patience, epochs=5)
    mapped, vmapped = (train(options=options, strategy=strategy) for strategy in ("map", "vmap"))
    values = np.random.default_rng(1).normal(size=(200, 2))
    for one, two in zip(mapped, vmapped, strict=True):
        np.testing.assert_allclose(one.training_loss, two.training_loss, rtol=1e-4)
        np.testing.assert_allclose(one.validation_loss, two.validation_loss, rtol=1e-4)
        found, expected = (numpy_logits(ARCHITECTURE, network.weights, values) for network in (one, two))
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_sixty_four_networks_at_once_are_those_trained_one_by_one() -> None:
    """As above; over the few steps of two epochs the rounding of float32 grows to less than 1e-4 in a logit."""
    names = [NetworkName(member=member, fold=fold, seed=2 * member + fold) for member in range(32) for fold in range(2)]
    options = replace(OPTIONS, epochs=2)
    together, alone = (
        train(names, events=toy(events=400), options=options, strategy=strategy) for strategy in ("vmap", "map")
    )
    values = np.random.default_rng(1).normal(size=(50, 2))
    logits = [
        np.array([numpy_logits(ARCHITECTURE, network.weights, values) for network in networks])
        for networks in (together, alone)
    ]
    assert [network.name for network in together] == names
    assert np.std(logits[1], axis=0).min() > 0.01
    np.testing.assert_allclose(logits[0], logits[1], atol=1e-3)


def test_samples_of_about_one_length_are_trained_by_one_compiled_function() -> None:
    """Replicas of a bootstrap differ by the root of their length; rows are added up to five significant bits."""
    shapes = {
        Shared.of(toy(events=events), OPTIONS, activation="silu", validation=100).observables.shape
        for events in (1000, 1009, 1020)
    }
    assert shapes == {(2048, 2)}


def test_early_stopping_keeps_the_weights_of_the_best_epoch() -> None:
    """Few events and a large rate: the validation loss soon rises."""
    options = replace(OPTIONS, epochs=60, learning_rate=0.03, batch=32, patience=4, schedule="constant")
    events = toy(events=150)
    (network,) = train(NAMES[:1], events=events, options=options)
    losses = np.array(network.validation_loss)
    assert network.best_epoch == int(np.argmin(losses))
    assert len(losses) == network.best_epoch + 5 < 60
    part = split(events, FOLDS, fold=0, seed=NAMES[0].seed, validation_fraction=options.validation_fraction)
    logits = numpy_logits(ARCHITECTURE, network.weights, events.observables[part.validation])
    label = events.label[part.validation]
    weight = events.weight[part.validation] * part.validation_balance[label.astype(int)]
    assert np.sum(weight * (np.logaddexp(0, logits) - label * logits)) == pytest.approx(losses.min(), rel=1e-5)


def test_networks_stop_one_by_one_under_vmap() -> None:
    options = replace(OPTIONS, epochs=60, learning_rate=0.03, batch=32, patience=3, schedule="constant")
    networks = train(events=toy(events=150), options=options, strategy="vmap")
    lengths = [len(network.training_loss) for network in networks]
    assert lengths == [network.best_epoch + 4 for network in networks]
    assert len(set(lengths)) > 1


def test_without_validation_events_the_last_epoch_counts() -> None:
    (network,) = train(NAMES[:1], options=replace(OPTIONS, validation_fraction=0.0, patience=1))
    assert network.validation_loss == ()
    assert network.best_epoch == OPTIONS.epochs - 1 == len(network.training_loss) - 1


@pytest.mark.parametrize(("strategy", "fail_at"), [("map", 1), ("map", 2), ("map", 3), ("vmap", 1)])
def test_an_interrupted_training_goes_on_to_the_same_bits(strategy: str, fail_at: int) -> None:
    options = replace(OPTIONS, epochs=13)
    memory = Memory(fail_at)
    with pytest.raises(KeyboardInterrupt):
        train(NAMES[:2], options=options, strategy=strategy, checkpoints=memory)
    memory.fail_at = None
    resumed = train(NAMES[:2], options=options, strategy=strategy, checkpoints=memory)
    whole = train(NAMES[:2], options=options, strategy=strategy)
    for one, two in zip(resumed, whole, strict=True):
        assert_same_bits(one, two)


def test_a_finished_network_is_not_trained_again() -> None:
    memory = Memory()
    train(checkpoints=memory)
    saves = memory.saves
    train(checkpoints=memory)
    assert memory.saves == saves


def test_standardisation_is_part_of_the_network() -> None:
    events = toy()
    (network,) = train(NAMES[:1], events=events)
    part = split(events, FOLDS, fold=0, seed=NAMES[0].seed, validation_fraction=OPTIONS.validation_fraction)
    mean, scale = standardisation(events, part)
    np.testing.assert_array_equal(network.weights.mean, mean)
    np.testing.assert_array_equal(network.weights.scale, scale)


def test_signed_weights_teach_the_density_they_stand_for() -> None:
    """Process = N(1/2, 1) - 30 % of N(-1/2, 1) + the same 30 % again: the density is N(1/2, 1), the weights are not."""
    rng = np.random.default_rng(4)
    base, fake = gaussian(0.5, events=12000, seed=5), gaussian(-0.5, events=6000, seed=6)
    sign = np.where(rng.uniform(size=6000) < 0.5, 1.0, -1.0)
    process = replace(
        base,
        observables=np.concatenate([base.observables, fake.observables]),
        weight=np.concatenate([base.weight, 0.6 * (sign - sign.mean())]),
        event=np.concatenate([base.event, fake.event]),
    )
    events = training_set(process, gaussian(-0.5, events=12000, seed=7), names=ARCHITECTURE.observables)
    (network,) = train(NAMES[:1], events=events, options=replace(OPTIONS, epochs=10, batch=256))
    assert network.training["process"].n_negative > 1000
    values = np.stack([np.linspace(-1.0, 1.5, 11), np.zeros(11)], axis=1)
    np.testing.assert_allclose(numpy_logits(ARCHITECTURE, network.weights, values), values[:, 0], atol=0.3)


def test_a_loss_that_is_not_finite_stops_with_the_name_of_the_network() -> None:
    with pytest.raises(NumericalFailure, match="the loss of member 0, fold 0 is") as caught:
        train(NAMES[:1], options=replace(OPTIONS, learning_rate=1e30, schedule="constant"))
    assert caught.value.code == "training.diverged"


def test_adam_with_weight_decay_is_refused() -> None:
    with pytest.raises(InvalidInput, match="adam with weight decay is adamw"):
        train(NAMES[:1], options=replace(OPTIONS, optimiser="adam", weight_decay=0.1))


def test_weight_decay_shrinks_the_weights() -> None:
    plain, decayed = (train(NAMES[:1], options=replace(OPTIONS, weight_decay=decay))[0] for decay in (0.0, 1.0))
    sizes = [float(np.sum(network.weights.weight[1] ** 2)) for network in (plain, decayed)]
    assert sizes[1] < 0.9 * sizes[0]


@pytest.mark.parametrize(
    ("schedule", "fractions"),
    [
        ("cosine", [1.0, 0.75, 0.25]),
        ("step", [1.0, 0.1, 0.01]),
        ("exponential", [1.0, 0.1, 0.01]),
        ("constant", [1.0, 1.0, 1.0]),
    ],
)
def test_schedules_begin_at_the_declared_rate(schedule: str, fractions: list[float]) -> None:
    rates = learning_rates(schedule, initial=0.5, epochs=3, steps=10)
    assert rates.shape == (3, 10)
    assert rates.dtype == np.float32
    np.testing.assert_allclose(rates[:, 0], 0.5 * np.array(fractions), rtol=1e-6)
