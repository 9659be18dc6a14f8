"""Normalisation to cross-section, yield and histogram, and the draw of pseudo-data."""

import numpy as np
import pytest

from evercast.artifacts.event_table import EventTable
from evercast.errors import InvalidInput
from evercast.events.histograms import BinnedYield
from evercast.events.normalise import by_cross_section, by_histogram, by_yield, effective_sample_size
from evercast.events.pseudo import draw_events
from evercast.spec.model import PseudoData

WEIGHT = np.array([1.0, 2.0, 3.0, -1.0])
REGION = np.array([True, True, False, True])
VALUE = np.array([0.5, 1.5, 9.0, 1.6])


def target(values: list[float]) -> BinnedYield:
    return BinnedYield(edges=np.array([0.0, 1.0, 2.0]), values=np.array(values), variances=np.array(values))


def test_cross_section_times_luminosity_over_the_generated_sum():
    found = by_cross_section(WEIGHT, cross_section_pb=0.2, luminosity_fb=10.0, generated_sum=50.0)
    assert found.factor == pytest.approx(0.2 * 1000 * 10 / 50)
    np.testing.assert_allclose(found.weight, WEIGHT * 40)
    with pytest.raises(InvalidInput, match="must be positive"):
        by_cross_section(WEIGHT, cross_section_pb=0.2, luminosity_fb=10.0, generated_sum=0.0)


def test_a_yield_counts_in_its_region():
    found = by_yield(WEIGHT, REGION, total=7.0)
    assert found.weight[REGION].sum() == pytest.approx(7.0)
    assert found.factor == pytest.approx(3.5)
    with pytest.raises(
        InvalidInput, match=r"sum of weights in the region of the normalisation is -1 in 1 events"
    ) as caught:
        by_yield(WEIGHT, np.array([False, False, False, True]), total=7.0)
    assert caught.value.code == "sample.weights"


def test_a_calibration_follows_the_histogram_bin_by_bin():
    found = by_histogram(WEIGHT, REGION, VALUE, target([4.0, 6.0]))
    np.testing.assert_allclose(found.weight, [4.0, 12.0, 3 * 5.0, -6.0])
    assert found.bin_factors == (4.0, 6.0)
    assert found.factor == pytest.approx(5.0)
    assert found.weight[REGION].sum() == pytest.approx(10.0)


def test_the_upper_edge_belongs_to_the_last_bin():
    value = np.array([0.5, 2.0, 9.0, 1.6])
    assert by_histogram(WEIGHT, REGION, value, target([4.0, 6.0])).weight[1] == pytest.approx(12.0)


def test_a_calibration_that_cannot_be_met_is_named():
    with pytest.raises(
        InvalidInput, match="1 events of the region lie outside of the calibration from 0 to 2"
    ) as caught:
        by_histogram(WEIGHT, np.ones(4, dtype=bool), VALUE, target([4.0, 6.0]))
    assert caught.value.code == "sample.calibration"
    with pytest.raises(InvalidInput, match="bin from 0 to 1 expects 4 events; the sample has a sum of weights of 0"):
        by_histogram(WEIGHT, np.array([False, True, False, True]), VALUE, target([4.0, 6.0]))
    empty = by_histogram(WEIGHT, np.array([False, True, False, True]), VALUE, target([0.0, 6.0]))
    assert empty.bin_factors == (0.0, 6.0)


def test_effective_sample_size_of_equal_weights_is_their_number():
    assert effective_sample_size(np.full(10, 0.3)) == pytest.approx(10)
    assert effective_sample_size(np.array([1e12, 1.0, 1.0])) == pytest.approx(1)
    assert effective_sample_size(np.zeros(3)) == 0.0


def table(sample: str, weight: np.ndarray, *, file: int = 0) -> EventTable:
    n = len(weight)
    return EventTable(
        sample=sample,
        role="simulation",
        observables=np.arange(n, dtype=np.float64)[:, None],
        weight=weight,
        event=np.arange(n, dtype=np.uint64) + np.uint64(file << 32),
        regions=np.column_stack([np.arange(n) % 2 == 0, np.ones(n, dtype=bool)]),
        observable_names=("x",),
        observable_units=("GeV",),
        region_names=("SR", "all"),
    )


def test_pseudo_data_is_a_poisson_draw_without_repetition():
    tables = {"S": table("s", np.ones(1000)), "B": table("b", np.linspace(0, 1, 4000), file=1)}
    numbers = []
    for seed in range(200):
        drawn = draw_events("observed", tables, PseudoData(region="SR", yields={"S": 9.0, "B": 80.0}, seed=seed))
        numbers.append(drawn.numbers["B"])
        assert len(drawn.table) == drawn.numbers["S"] + drawn.numbers["B"]
        assert drawn.table.role == "data"
        assert drawn.table.regions[:, 0].all()
        assert (drawn.table.weight == 1).all()
        assert len(np.unique(drawn.table.event)) == len(drawn.table)
        np.testing.assert_array_equal(drawn.table.event % 2**32, drawn.table.observables[:, 0])
        assert (drawn.table.event >> np.uint64(32)).sum() == drawn.numbers["B"]
        assert drawn.table.drawn
        assert len(np.unique(drawn.table.observables[drawn.numbers["S"] :])) == drawn.numbers["B"]
    assert np.mean(numbers) == pytest.approx(80, abs=4 * np.sqrt(80 / 200))
    assert np.var(numbers) == pytest.approx(80, rel=0.4)  # four standard deviations of the variance of 200 draws


def test_an_event_that_two_samples_share_is_drawn_once():
    """Of 500 shared events 200 are drawn twice: independent draws would have some 80 in common."""
    tables = {name: table(name, np.ones(1000)) for name in ("ZZ", "DY")}
    yields = {"ZZ": 200.0, "DY": 200.0}
    drawn = [draw_events("observed", tables, PseudoData(region="SR", yields=yields, seed=5)) for _ in range(2)]
    assert len(drawn[0].table) > 350
    assert len(np.unique(drawn[0].table.event)) == len(drawn[0].table)
    np.testing.assert_array_equal(drawn[0].table.event, drawn[1].table.event)
    with pytest.raises(InvalidInput, match=r"of process 'DY'; .* that no process before has drawn"):
        draw_events("observed", tables, PseudoData(region="SR", yields={"ZZ": 350.0, "DY": 350.0}, seed=5))


def test_pseudo_data_is_drawn_by_weight_and_by_seed():
    weight = np.where(np.arange(4000) < 2000, 3.0, 1.0)
    pseudo = PseudoData(region="all", yields={"B": 600.0}, seed=4)
    first = draw_events("observed", {"B": table("b", weight)}, pseudo)
    again = draw_events("observed", {"B": table("b", weight)}, pseudo)
    assert first.table.observables.tolist() == again.table.observables.tolist()
    heavy = (first.table.observables[:, 0] < 2000).mean()
    assert heavy == pytest.approx(0.74, abs=0.07)  # 3/4, a little less without replacement


def test_pseudo_data_needs_enough_events_of_every_process():
    with pytest.raises(InvalidInput, match=r"draws \d+ events of process 'S'; its sample has 5 in 'SR' ") as caught:
        draw_events("observed", {"S": table("s", np.ones(10))}, PseudoData(region="SR", yields={"S": 90.0}, seed=1))
    assert caught.value.code == "pseudo.too-few"
    with pytest.raises(InvalidInput, match="needs the selected events of process 'B'"):
        draw_events("observed", {"S": table("s", np.ones(100))}, PseudoData(region="SR", yields={"B": 1.0}, seed=1))


def test_a_draw_of_nothing_is_an_empty_table():
    drawn = draw_events("observed", {"S": table("s", np.ones(10))}, PseudoData(region="SR", yields={"S": 0.0}, seed=1))
    assert len(drawn.table) == 0
