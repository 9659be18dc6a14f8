import numpy as np

from evercast.networks.folds import CrossFitting, random_bits, shuffled


def test_the_generator_is_splitmix64() -> None:
    """First outputs of the published generator started at a known state."""

    def published(state: int) -> int:
        mask = (1 << 64) - 1
        state = (state + 0x9E3779B97F4A7C15) & mask
        bits = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & mask
        return bits ^ (bits >> 31)

    start = published((7 * 0x9E3779B97F4A7C15) % (1 << 64))
    expected = [published((start + n * 0x9E3779B97F4A7C15) % (1 << 64)) for n in range(5)]
    assert random_bits(np.arange(5, dtype=np.uint64), seed=7).tolist() == expected


def test_an_event_has_one_fold_wherever_it_stands() -> None:
    folds = CrossFitting(folds=5, seed=3)
    event = np.arange(1000, dtype=np.uint64)
    chosen = np.array([7, 999, 0, 500])
    np.testing.assert_array_equal(folds.fold_of(event)[chosen], folds.fold_of(event[chosen]))


def test_the_fold_depends_on_all_bits_of_the_identity() -> None:
    event = np.arange(4000, dtype=np.uint64)
    folds = CrossFitting(folds=4, seed=3)
    for bit in (32, 47, 63):
        other = folds.fold_of(event + np.uint64(1 << bit))
        assert abs(np.mean(folds.fold_of(event) == other) - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 4000)


def test_folds_are_of_equal_size_within_statistics() -> None:
    counts = np.bincount(CrossFitting(folds=4, seed=11).fold_of(np.arange(40000, dtype=np.uint64)))
    assert len(counts) == 4
    assert np.max(np.abs(counts - 10000)) < 5 * np.sqrt(40000 * 0.25 * 0.75)


def test_another_seed_gives_independent_folds() -> None:
    event = np.arange(40000, dtype=np.uint64)
    one, two = (CrossFitting(folds=4, seed=seed).fold_of(event) for seed in (1, 2))
    assert abs(np.mean(one == two) - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 40000)


def test_shuffled_is_a_permutation_and_differs_between_turns() -> None:
    one, two = (shuffled(1000, seed=5, turn=turn) for turn in (0, 1))
    np.testing.assert_array_equal(np.sort(one), np.arange(1000))
    assert not np.array_equal(one, two)
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.15
