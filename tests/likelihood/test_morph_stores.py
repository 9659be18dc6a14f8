"""What must not matter to a morphed likelihood: element type, chunks, stores, order of events; and what is refused."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from test_morphs import POINTS, by_numpy, morphed_model, morphs

from evercast.errors import InvalidInput, NumericalFailure
from evercast.inference.toys import ToyGenerator
from evercast.likelihood import unbinned_sums, unbinned_term
from evercast.likelihood.batch import LikelihoodBatch
from evercast.likelihood.diagnose import simulated_positivity, why_undefined
from evercast.likelihood.drawn_events import drawn, shared_columns
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import AnchorMorph, EventSet, LikelihoodModel, PolynomialMorph
from evercast.likelihood.normalisation import normalisation_grid

THETA = np.array(POINTS[1])
COLUMNS = ("log_ratio", "log_up", "log_down", "coefficients")


def with_channel(model: LikelihoodModel, **changes: object) -> LikelihoodModel:
    return replace(model, channels=(replace(model.channels[0], **changes),))


def rows(events: EventSet, chosen: np.ndarray) -> EventSet:
    return EventSet(weight=events.weight[chosen], **{name: getattr(events, name)[chosen] for name in COLUMNS})


def stored(folder: Path, name: str, values: np.ndarray) -> zarr.Array:
    array = zarr.create_array(folder / f"{name}.zarr", shape=values.shape, dtype=values.dtype, chunks=(128, 5))
    array[:] = values
    return array


def same(one: Likelihood, other: Likelihood, *, relative: float = 1e-12) -> None:
    """Compare sums of the same float64 terms in another order."""
    found, expected = one.expand(THETA), other.expand(THETA)
    assert found.value == pytest.approx(expected.value, rel=relative)
    np.testing.assert_allclose(found.gradient, expected.gradient, rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(found.hessian, expected.hessian, rtol=1e-10, atol=1e-8)


def test_the_size_of_the_chunks_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = Likelihood(morphed_model()).expand(THETA)
    with monkeypatch.context() as changed:
        changed.setattr(unbinned_sums, "_CHUNK", 100)
        unbinned_sums.sums_at.clear_cache()
        found = Likelihood(morphed_model()).expand(THETA)
    unbinned_sums.sums_at.clear_cache()
    assert found.value == pytest.approx(expected.value, rel=1e-13)
    np.testing.assert_allclose(found.hessian, expected.hessian, rtol=1e-11, atol=1e-9)


def test_the_order_of_events_and_events_without_weight_do_not_matter() -> None:
    model = morphed_model()
    events = model.channels[0].events
    order = np.random.default_rng(0).permutation(len(events.weight))
    more = rows(events, np.concatenate([order, order[:50]]))
    more.weight[-50:] = 0.0
    same(Likelihood(with_channel(model, events=more)), Likelihood(model))


def test_a_weight_of_two_is_the_event_twice() -> None:
    model = morphed_model()
    events = model.channels[0].events
    doubled = events.weight.copy()
    doubled[:30] *= 2
    twice = rows(events, np.concatenate([np.arange(len(doubled)), np.arange(30)]))
    same(Likelihood(with_channel(model, events=replace(events, weight=doubled))),
         Likelihood(with_channel(model, events=twice)))  # fmt: skip


def test_float32_elements_agree_within_their_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unbinned_term, "_LARGE", 1)
    likelihood = Likelihood(morphed_model(3000))
    fast = likelihood.fast
    assert (likelihood.rounding, fast is likelihood) == (0.0, False)
    assert 0 < fast.rounding < 1e-3
    for point in POINTS[:2]:
        theta = np.array(point)
        exact, rough = likelihood.expand(theta), fast.expand(theta)
        assert abs(rough.value - exact.value) < 5 * fast.rounding
        scale = np.sqrt(np.abs(np.outer(np.diag(exact.hessian), np.diag(exact.hessian))))
        assert np.max(np.abs(rough.hessian - exact.hessian) / scale) < 1e-5
        assert fast.twice_nll(theta) == pytest.approx(rough.value, abs=5 * fast.rounding)


def test_a_likelihood_of_few_numbers_is_its_own_fast_form() -> None:
    likelihood = Likelihood(morphed_model())
    assert likelihood.fast is likelihood


def test_stores_that_are_not_in_memory_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = morphed_model()
    expected = Likelihood(model)

    def mapped(name: str, values: np.ndarray) -> np.ndarray:
        np.save(tmp_path / f"{name}.npy", values)
        return np.load(tmp_path / f"{name}.npy", mmap_mode="r")

    monkeypatch.setattr("evercast.likelihood.event_source.BLOCK", 512)
    for number, make in enumerate((mapped, partial(stored, tmp_path))):
        sets = {
            kind: replace(chosen, **{name: make(f"{number}{kind}{name}", getattr(chosen, name)) for name in COLUMNS})
            for kind, chosen in (("events", model.channels[0].events), ("reference", model.channels[0].reference))
        }
        found = Likelihood(with_channel(model, **sets))
        same(found, expected)
        assert found.twice_nll(THETA) == pytest.approx(expected.twice_nll(THETA), rel=1e-12)


def test_many_points_and_data_sets_in_one_call() -> None:
    model = morphed_model()
    events = model.channels[0].events
    models = [with_channel(model, events=rows(events, np.arange(n))) for n in (300, 900, 512)]
    batch = LikelihoodBatch(Likelihood(model), models)
    chosen = np.array([2, 0, 1, 0])
    found = batch.expand(np.array(POINTS), chosen)
    for number, (point, row) in enumerate(zip(POINTS, chosen, strict=True)):
        expected = Likelihood(models[row]).expand(np.array(point))
        assert found.value[number] == pytest.approx(expected.value, rel=1e-12)
        np.testing.assert_allclose(found.gradient[number], expected.gradient, rtol=1e-10, atol=1e-9)
        np.testing.assert_allclose(found.hessian[number], expected.hessian, rtol=1e-10, atol=1e-8)


@pytest.mark.parametrize("kind", ["drawn", "weights", "stores"])
def test_data_sets_with_common_columns_give_what_copies_give(kind: str, tmp_path: Path) -> None:
    model = morphed_model()
    events = model.channels[0].events
    rng = np.random.default_rng(4)
    counts = [rng.poisson(0.4, len(events.weight)) for _ in range(3)]
    chosen = [np.repeat(np.arange(len(number)), number) for number in counts]
    if kind == "weights":
        sets = [replace(events, weight=number.astype(float)) for number in counts]
    else:
        source = replace(events, **{name: stored(tmp_path, name, getattr(events, name)) for name in COLUMNS})
        sets = [drawn(source if kind == "stores" else events, place) for place in chosen]
        np.testing.assert_array_equal(sets[1].log_up, events.log_up[chosen[1]])
    shared = shared_columns(sets)
    assert shared is not None
    assert (shared.events.log_up is events.log_up) == (kind != "stores")
    assert len(shared.events.weight) == (len(set(np.concatenate(chosen))) if kind == "stores" else len(events.weight))
    copies = [replace(rows(events, place), weight=np.ones(len(place))) for place in chosen]
    assert shared_columns(copies) is None
    likelihood = Likelihood(model)
    theta, places = np.array(POINTS), np.array([2, 0, 1, 0])
    found, expected = (
        LikelihoodBatch(likelihood, [with_channel(model, events=entry) for entry in group]).expand(theta, places)
        for group in (sets, copies)
    )
    np.testing.assert_allclose(found.value, expected.value, rtol=1e-12)
    np.testing.assert_allclose(found.gradient, expected.gradient, rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(found.hessian, expected.hessian, rtol=1e-10, atol=1e-8)
    same(Likelihood(with_channel(model, events=sets[0])), Likelihood(with_channel(model, events=copies[0])))


def test_pseudo_experiments_do_not_copy_the_columns_of_morphs() -> None:
    model = morphed_model()
    events = model.channels[0].events
    total = Likelihood(model).expected_events(Likelihood(model).initial)["SR"].sum()
    many = rows(events, np.tile(np.arange(len(events.weight)), 1 + int(4 * total) // len(events.weight)))
    likelihood = Likelihood(
        with_channel(model, simulation=replace(many, weight=many.weight * total / many.weight.sum()))
    )
    generator = ToyGenerator(likelihood, likelihood.initial)
    thrown = [generator.throw(seed) for seed in (1, 2, 3)]
    shared = shared_columns([toy.channels[0].events for toy in thrown])
    assert shared is not None
    assert shared.events.log_up is likelihood.model.channels[0].simulation.log_up
    found = LikelihoodBatch(likelihood, thrown).expand(np.tile(THETA, (3, 1)), np.arange(3))
    for number, toy in enumerate(thrown):
        alone = Likelihood(toy).expand(THETA)
        assert found.value[number] == pytest.approx(alone.value, rel=1e-12)
        np.testing.assert_allclose(found.hessian[number], alone.hessian, rtol=1e-10, atol=1e-8)


def test_many_points_on_events_that_stay_in_stores(tmp_path: Path) -> None:
    model = morphed_model()
    events = model.channels[0].events
    kept = replace(events, **{name: stored(tmp_path, name, getattr(events, name)) for name in COLUMNS})
    batch, expected = LikelihoodBatch(Likelihood(with_channel(model, events=kept))), Likelihood(model)
    found = batch.expand(np.array(POINTS), np.zeros(len(POINTS), dtype=np.int64))
    for number, point in enumerate(POINTS):
        alone = expected.expand(np.array(point))
        assert found.value[number] == pytest.approx(alone.value, rel=1e-12)
        np.testing.assert_allclose(found.hessian[number], alone.hessian, rtol=1e-10, atol=1e-8)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.tuples(st.floats(0.05, 4.0), *[st.floats(-2.5, 2.5)] * 3))
def test_the_value_is_that_of_the_formulas_anywhere(point: tuple[float, ...]) -> None:
    model, theta = morphed_model(), np.array(point)
    assert Likelihood(model).twice_nll(theta) == pytest.approx(by_numpy(model, theta), rel=1e-11)


def test_a_negative_total_names_event_processes_and_parameters() -> None:
    model = morphed_model()
    components = (replace(model.channels[0].components[0], coefficient="-30*mu"), *model.channels[0].components[1:])
    likelihood = Likelihood(with_channel(model, components=components, simulation=model.channels[0].events))
    assert likelihood.twice_nll(np.array([0.2, 0.5, 0.0, 0.0])) == np.inf
    theta = np.array([0.1, 0.5, 0.0, 0.0])
    expected = likelihood.expected_events(theta)["SR"]
    reference = model.channels[0].reference
    norm = reference.weight @ morphs(reference, theta) / reference.weight.sum()
    bad = np.flatnonzero(morphs(model.channels[0].events, theta) @ (expected / norm) <= 0)
    text = why_undefined(likelihood, theta) or ""
    assert f"not positive for {bad.size} of 900 events, first event {bad[0]} (" in text
    assert "S -0." in text
    assert "at mu = 0.1, a = 0.5, b = 0, c = 0" in text
    (counted,) = simulated_positivity(likelihood, theta)
    assert counted.n_not_positive == bad.size


def test_the_normalisation_over_a_grid_is_the_mean_over_the_reference() -> None:
    likelihood = Likelihood(morphed_model())
    scans = {scan.parameter: scan for scan in normalisation_grid(likelihood, alphas=(-1.0, 0.5))}
    assert set(scans) == {"a", "b", "c", None}
    reference = likelihood.model.channels[0].reference
    density = morphs(reference, np.array([1.0, 0.5, 0.5, 0.5]))
    mean = reference.weight @ density / reference.weight.sum()
    found = scans[None].points[1]
    assert [point.value for point in found] == pytest.approx(mean, rel=1e-12)
    error = np.sqrt(np.sum((reference.weight[:, None] * (density - mean)) ** 2, axis=0)) / reference.weight.sum()
    assert [point.error for point in found] == pytest.approx(error, rel=1e-9)
    weighted = reference.weight[:, None] * density
    assert [point.effective_events for point in found] == pytest.approx(
        weighted.sum(axis=0) ** 2 / (weighted**2).sum(axis=0), rel=1e-9
    )


def bad_column(model: LikelihoodModel) -> LikelihoodModel:
    log_up = model.channels[0].events.log_up.copy()
    log_up[[3, 9], 1] = np.nan
    return with_channel(model, events=replace(model.channels[0].events, log_up=log_up))


def test_columns_that_are_not_finite_are_counted_and_refused() -> None:
    with pytest.raises(NumericalFailure, match=r"2 of 900 events .* first: 3, 9"):
        Likelihood(bad_column(morphed_model()))


def test_identical_variations_are_refused_with_the_name_of_the_parameter() -> None:
    model = morphed_model()
    channel = model.channels[0]

    def equal(events: EventSet) -> EventSet:
        log_down = events.log_down.copy()
        log_down[:, 2] = events.log_up[:, 2]
        return replace(events, log_down=log_down)

    only_data = with_channel(model, events=equal(channel.events))
    Likelihood(only_data)  # by chance alike on the data, not on the reference
    both = with_channel(model, events=equal(channel.events), reference=equal(channel.reference))
    with pytest.raises(InvalidInput, match="parameter 'b' are identical for process 'B'") as failure:
        Likelihood(both)
    assert failure.value.code == "systematic.identical"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reference": None}, "no reference events"),
        ({"anchors": (AnchorMorph(process="X", parameter="a"),) * 5}, "moves process 'X'"),
        ({"anchors": (AnchorMorph(process="B", parameter="q"),) * 5}, "follows parameter 'q'"),
        ({"anchors": (AnchorMorph(process="B", parameter="a"),) * 5}, "two anchor morphs along parameter 'a'"),
        ({"anchors": ()}, r"log_up of shape \(900, 5\) for 900 events and 0 columns"),
        ({"polynomials": (PolynomialMorph(process="B", terms=((("c", 0),),)),)}, "a power below 1"),
        ({"polynomials": (PolynomialMorph(process="B", terms=((("c", 1), ("c", 1)),)),)}, "names a parameter twice"),
        ({"polynomials": ()}, r"coefficients of shape \(900, 4\)"),
    ],
)
def test_morphs_that_do_not_fit_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Likelihood(with_channel(morphed_model(), **changes))
