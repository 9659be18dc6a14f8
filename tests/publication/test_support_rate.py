"""The support test is calibrated on the reference itself, however its events are shared out among the processes."""

from __future__ import annotations

import numpy as np
import pytest

from evercast.artifacts.validity import neighbour_distance
from evercast.publication.validity import _support
from evercast.spec.model import Ensemble, Mlp, Training


def spec(seed: int) -> Ensemble:
    return Ensemble(
        region="SR", processes=("narrow", "wide"), reference={"narrow": 1.0, "wide": 1.0}, observables=("x", "y"),
        model=Mlp(kind="mlp", width=4, depth=1), seed=seed,
        training=Training(epochs=1, batch=1, learning_rate=1e-3, patience=1),
    )  # fmt: skip


def classes(narrow: int, wide: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two populations of equal weight, the second with tails and with weights of its own."""
    spread = np.exp(rng.normal(0.0, 0.8, wide))
    events = np.concatenate([rng.normal(0.0, 1.0, (narrow, 2)), 8.0 + 2.0 * rng.standard_t(4, (wide, 2))])
    return events, np.concatenate([np.full(narrow, 0.5 / narrow), 0.5 * spread / spread.sum()])


@pytest.mark.parametrize(("narrow", "wide"), [(20_000, 20_000), (2_000, 40_000), (40_000, 5_000)])
def test_the_threshold_holds_for_any_composition_of_the_simulated_events(narrow: int, wide: int) -> None:
    events, weight = classes(narrow, wide, np.random.default_rng(1))
    support, points = _support("mix", spec(3), events, weight)
    assert support.false_positive.events == 8192
    assert support.points_are.startswith("simulated training events")
    others, size = classes(200_000, 200_000, np.random.default_rng(2))
    z = (others - np.array(support.center)) / np.array(support.scale)
    outside = neighbour_distance(points, z, support.neighbour) > support.threshold
    true = float(size[outside].sum() / size.sum())
    said = support.false_positive
    assert said.rate is not None
    assert said.uncertainty is not None
    assert true == pytest.approx(support.nominal_rate, abs=0.006)
    assert abs(said.rate - true) < 4.0 * said.uncertainty
    assert 0.0005 < said.uncertainty < 0.006


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_few_events_still_give_a_test(count: int) -> None:
    events, weight = classes(count, 0, np.random.default_rng(1))
    support, points = _support("few", spec(3), events, weight)
    assert 1 <= support.neighbour <= support.points == len(points) <= count
    assert support.threshold > 0.0
    assert (support.false_positive.rate is None) == (support.false_positive.events == 0)
