"""Events outside of the domain are found: by their ranges, and by the joint density of the training sample."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evercast.artifacts.files import atomic_write_json
from evercast.artifacts.validity import (
    SUPPORT_FILE,
    VALIDITY_FILE,
    Domain,
    EnsembleDomain,
    FalsePositive,
    ObservableRange,
    Outside,
    Support,
    examine,
    neighbour_distance,
    read_points,
    read_validity,
)
from evercast.artifacts.weights import write_tensors
from evercast.errors import EvercastError, InvalidInput
from evercast.spec.codec import to_json

RNG = np.random.default_rng(3)


def ring(count: int, rng: np.random.Generator) -> np.ndarray:
    """Events on a ring: every value of x and of y occurs, the centre does not."""
    angle = rng.uniform(0.0, 2.0 * np.pi, count)
    radius = rng.normal(10.0, 0.5, count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


POINTS = ring(2000, RNG)
THRESHOLD = float(np.quantile(neighbour_distance(POINTS / 5.0, ring(2000, RNG) / 5.0, 3), 0.99))


def domain(**change: object) -> Domain:
    support = Support(
        method="nearest-neighbour", file=SUPPORT_FILE, tensor="rings.points", points=2000, neighbour=3,
        center=(0.0, 0.0), scale=(5.0, 5.0), threshold=THRESHOLD, nominal_rate=0.01,
        false_positive=FalsePositive(events=0, outside=0, rate=None, uncertainty=None), formula="as documented",
    )  # fmt: skip
    ranges = tuple(
        ObservableRange(name=name, unit="GeV", low=-12.0, high=12.0, quantiles=((0.5, 0.0),)) for name in ("px", "py")
    )
    ensemble = EnsembleDomain(region="SR", cut="px > -100", training={}, observables=ranges, support=support)
    return Domain(
        schema="validity/1.0.0", experiment="none", sqrt_s_tev=(13.0,), luminosity_fb=1.0, parameters={},
        ensembles={"rings": ensemble, "hidden": EnsembleDomain(
            region="SR", cut="px > -100", training={}, observables=(), support=None)},
        outside=Outside(action="refuse", max_fraction_range=0.01, max_fraction_support=0.05, rule="as documented"),
    )  # fmt: skip


def test_events_like_those_of_the_training_are_inside() -> None:
    found = examine(domain(), "rings", POINTS / 5.0, ring(5000, RNG))
    assert found.problems() == []
    assert found.far.mean() == pytest.approx(0.01, abs=0.006)


def test_a_combination_that_never_occurred_is_outside_although_each_value_did() -> None:
    centre = RNG.normal(0.0, 0.5, (200, 2))
    found = examine(domain(), "rings", POINTS / 5.0, centre)
    assert not found.below.any()
    assert not found.above.any()
    assert found.far.all()
    assert found.problems() == ["100 % of 200 events are outside the support of the training in px, py together"]


def test_another_unit_is_named_with_its_observable_and_fraction() -> None:
    events = ring(1000, RNG)
    events[:, 1] *= 1000.0  # MeV instead of GeV
    problems = examine(domain(), "rings", POINTS / 5.0, events).problems()
    assert float(problems[0].split(" %")[0]) > 99.0
    assert "'py' outside of [-12, 12] GeV" in problems[0]
    assert not [text for text in problems if "'px'" in text]


@pytest.mark.parametrize(
    ("count", "bad", "refused"), [(1, 1, True), (10, 1, False), (10, 2, True), (100, 3, False), (1000, 40, True)]
)
def test_a_few_wild_events_among_many_are_no_reason_to_refuse(count: int, bad: int, refused: bool) -> None:
    events = ring(count, np.random.default_rng(11))
    events[:bad] = 20.0
    problems = examine(domain(), "rings", POINTS / 5.0, events).problems()
    assert any("outside of" in text for text in problems) is refused


@pytest.mark.parametrize("count", [1, 10, 1000, 100_000])
def test_one_event_far_beyond_a_range_is_refused_among_any_number(count: int) -> None:
    events = ring(count, np.random.default_rng(11))
    events[0, 1] = 37.0  # the range is [-12, 12]
    found = examine(domain(), "rings", POINTS / 5.0, events)
    assert (
        f"{100 / count:.3g} % of {count} events have 'py' outside of [-12, 12] GeV by more than 24" in found.problems()
    )
    assert found.to_json()["far_beyond_range"] == 1
    events[0, 1] = -35.0
    assert not examine(domain(), "rings", POINTS / 5.0, events).wild.any()


def test_far_is_told_by_the_outermost_quantiles_where_there_are_some() -> None:
    given = domain().ensembles["rings"]
    narrow = replace(given.observables[0], quantiles=((0.001, -2.0), (0.5, 0.0), (0.999, 3.0)))
    ensembles = {"rings": replace(given, observables=(narrow, given.observables[1]))}
    events = ring(1000, np.random.default_rng(11))
    events[0] = (16.9, 16.9)
    assert examine(replace(domain(), ensembles=ensembles), "rings", POINTS / 5.0, events).problems() == []
    events[0] = (17.1, 16.9)
    (said,) = examine(replace(domain(), ensembles=ensembles), "rings", POINTS / 5.0, events).problems()
    assert said == "0.1 % of 1000 events have 'px' outside of [-12, 12] GeV by more than 5"


def test_an_observable_that_is_constant_may_be_rounded_and_nothing_else() -> None:
    given = domain().ensembles["rings"]
    constant = replace(given.observables[0], low=8.0, high=8.0, quantiles=((0.001, 8.0), (0.999, 8.0)))
    ensembles = {"rings": replace(given, observables=(constant, given.observables[1]))}
    events = np.array([[8.0, 1.0], [np.nextafter(8.0, 9.0), 1.0], [8.1, 1.0]])
    found = examine(replace(domain(), ensembles=ensembles), "rings", POINTS / 5.0, events)
    assert found.wild[:, 0].tolist() == [False, False, True]


def test_the_result_says_how_many_were_outside() -> None:
    events = ring(200, np.random.default_rng(12))
    events[:50, 0] = 13.0
    said = examine(domain(), "rings", POINTS / 5.0, events).to_json()
    assert said["events"] == 200
    assert said["outside_range"] == {"px": 0.25, "py": 0.0}
    assert said["outside"] >= 50  # type: ignore[operator]


def test_no_events_are_no_problem() -> None:
    assert examine(domain(), "rings", POINTS / 5.0, np.zeros((0, 2))).problems() == []


def test_networks_that_are_not_published_have_no_domain() -> None:
    with pytest.raises(InvalidInput, match="not published") as caught:
        examine(domain(), "hidden", POINTS, np.zeros((1, 2)))
    assert caught.value.code == "validity.not-published"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    atomic_write_json(tmp_path / VALIDITY_FILE, to_json(domain()))
    write_tensors(tmp_path / SUPPORT_FILE, {"rings.points": (POINTS / 5.0).astype(np.float32)}, {"format": "x"})
    return tmp_path


def test_the_file_gives_back_what_was_written(folder: Path) -> None:
    found = read_validity(folder)
    assert found == domain()
    np.testing.assert_allclose(read_points(folder, found)["rings"], POINTS / 5.0, rtol=1e-6)


DAMAGES = {
    "missing": (lambda p: p.unlink(), "validity.missing", 3),
    "empty": (lambda p: p.write_bytes(b""), "validity.missing", 3),
    "version": (lambda p: p.write_text(p.read_text().replace("/1.0.0", "/9.0.0")), "validity.unknown-version", 3),
    "no JSON": (lambda p: p.write_text("{"), "artifact.not-json", 5),
    "another structure": (lambda p: p.write_text('{"schema": "validity/1.0.0"}'), "validity.damaged", 5),
    "a scale of zero": (lambda p: p.write_text(p.read_text().replace("5.0", "0.0")), "validity.damaged", 5),
    "k of zero": (
        lambda p: p.write_text(p.read_text().replace('"neighbour": 3', '"neighbour": 0')), "validity.damaged", 5,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_domain_is_refused(folder: Path, name: str) -> None:
    damage, code, exit_code = DAMAGES[name]
    damage(folder / VALIDITY_FILE)
    with pytest.raises(EvercastError) as caught:
        read_validity(folder)
    assert (caught.value.code, caught.value.exit_code) == (code, exit_code)


@pytest.mark.parametrize("points", [np.zeros((3, 2), np.float32), np.full((2000, 2), np.nan, np.float32)])
def test_other_points_than_declared_are_refused(folder: Path, points: np.ndarray) -> None:
    write_tensors(folder / SUPPORT_FILE, {"rings.points": points}, {"format": "x"})
    with pytest.raises(EvercastError, match="points of ensemble 'rings'"):
        read_points(folder, read_validity(folder))


def without_points() -> Domain:
    """The domain with ranges and quantiles alone."""
    given = domain().ensembles["rings"]
    quantiles = ((0.001, -11.5), (0.5, 0.0), (0.999, 11.5))
    ranges = tuple(replace(one, quantiles=quantiles) for one in given.observables)
    return replace(domain(), ensembles={"rings": replace(given, observables=ranges, support=None)})


def test_without_points_ranges_and_quantiles_decide(tmp_path: Path) -> None:
    atomic_write_json(tmp_path / VALIDITY_FILE, to_json(without_points()))
    found = read_validity(tmp_path)
    assert read_points(tmp_path, found) == {}
    nothing = np.zeros((0, 2), np.float32)
    inside = ring(5000, np.random.default_rng(5))
    assert examine(found, "rings", nothing, inside).problems() == []
    events = inside.copy()
    events[:1000, 0] = 11.8  # within the range, where the training has next to nothing
    (said,) = examine(found, "rings", nothing, events).problems()
    assert said.startswith("20")
    assert said.endswith("% of 5000 events have 'px' beyond its outermost quantiles in the training")
    scaled = examine(found, "rings", nothing, 1000.0 * inside).problems()
    assert any("'py' outside of [-12, 12] GeV" in text for text in scaled)
    assert examine(found, "rings", nothing, np.zeros((100, 2))).problems() == []  # no test of the joint density
