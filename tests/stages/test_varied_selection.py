"""Selections with a variation: what moves, what keeps its normalisation, what is refused."""

import dataclasses
import json
from pathlib import Path

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import uproot

from evercast.artifacts.event_table import EventTable, read_event_table
from evercast.errors import InvalidInput
from evercast.plan.recipes import EventVariation, SelectionRecipe, Task
from evercast.spec.model import (
    Calibration,
    EventFile,
    Histogram,
    HistogramTerm,
    Normalisation,
    Objects,
    Observable,
    Region,
    Sample,
    Selection,
)
from evercast.stages import selection

N = 4000
MUON = 0.10566
SELECTION = Selection(
    objects={"muons": Objects(collection="particles", pdg=(13,), pt_resolution="0.02 + 0.0001 * pt", cut="pt > 20")},
    preselection={"a muon": "count(muons) >= 1"},
    observables={
        "pt1": Observable(expression="pt(muons[0])", unit="GeV"),
        "eta1": Observable(expression="eta(muons[0])", unit="1"),
        "mass1": Observable(expression="mass(muons[0])", unit="GeV"),
        "n": Observable(expression="count(muons)", unit="1"),
    },
    regions={"SR": Region(cut="pt1 > 60"), "CR": Region(cut="pt1 <= 60")},
    columns=("w_up",),
    seed=9,
)
SAMPLE = Sample(files=(EventFile(generator="g"),), weight="weight", normalisation=Normalisation(cross_section_pb=0.01))


def events() -> ak.Array:
    """One to two muons and an electron per event; w_up is a function of the event."""
    rng = np.random.default_rng(3)
    counts = rng.integers(2, 4, N)
    total = int(counts.sum())
    pt, eta, phi = rng.uniform(10, 100, total), rng.uniform(-2, 2, total), rng.uniform(-3, 3, total)
    pdg = rng.choice([13, -13, 11], total)
    fields = {
        "pdg": pdg,
        "px": pt * np.cos(phi),
        "py": pt * np.sin(phi),
        "pz": pt * np.sinh(eta),
        "energy": np.sqrt((pt * np.cosh(eta)) ** 2 + MUON**2),
    }
    particles = ak.zip({name: ak.unflatten(ak.Array(values), counts) for name, values in fields.items()})
    return ak.Array({"particles": particles, "weight": rng.uniform(0.5, 1.5, N), "w_up": rng.uniform(1.0, 1.2, N)})


@pytest.fixture(scope="module")
def unit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated")
    pa.parquet.write_table(ak.to_arrow_table(events(), extensionarray=False), folder / "events.parquet")
    return folder


def selected(
    folder: Path, inputs: dict[str, Path], variation: EventVariation | None = None, **changes
) -> tuple[EventTable, dict]:
    folder.mkdir(parents=True, exist_ok=True)
    output = folder / "output"
    output.mkdir()
    fields = {"name": "mc", "sample": SAMPLE, "selection": SELECTION, "luminosity_fb": 20.0, "sqrt_s_tev": (8.0,)}
    recipe = SelectionRecipe(**(fields | changes), variation=variation)
    selection.run(Task(recipe=recipe, inputs=inputs, output=output, checkpoint=folder))
    return read_event_table(output / "events.zarr"), json.loads((output / "summary.json").read_text())


@pytest.fixture(scope="module")
def nominal(unit: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nominal")
    selected(folder, {"file_0": unit})
    return folder / "output"


def varied(folder: Path, unit: Path, nominal: Path, variation: EventVariation, **changes) -> tuple[EventTable, dict]:
    return selected(folder, {"file_0": unit, "nominal": nominal}, variation, **changes)


def matched(first: EventTable, second: EventTable, name: str) -> tuple[np.ndarray, np.ndarray]:
    _, left, right = np.intersect1d(first.event, second.event, return_indices=True)
    return first.columns([name])[left, 0], second.columns([name])[right, 0]


def test_a_factor_on_pt_moves_smeared_momenta_by_exactly_that_factor(unit, nominal, tmp_path):
    scale = EventVariation(transform={"muons.pt": 1.05}, name="scale up")
    table, summary = varied(tmp_path, unit, nominal, scale)
    before = read_event_table(nominal / "events.zarr")
    old, new = matched(before, table, "pt1")
    np.testing.assert_allclose(new, 1.05 * old, rtol=1e-12)
    old_eta, new_eta = matched(before, table, "eta1")
    np.testing.assert_allclose(new_eta, old_eta, rtol=0, atol=1e-12)
    np.testing.assert_allclose(table.columns(["mass1"]), MUON, atol=1e-5)  # E^2 - p^2 at E of some 100 GeV
    assert summary["variation"] == {
        "name": "scale up",
        "transform": {"muons.pt": 1.05},
        "weight": None,
        "meaning": "factor",
    }
    assert len(table) > len(before)  # more muons pass the cut on pt


def test_events_migrate_between_regions_as_the_scale_says(unit, nominal, tmp_path):
    table, _ = varied(tmp_path, unit, nominal, EventVariation(transform={"muons.pt": 1.05}))
    before = read_event_table(nominal / "events.zarr")
    pt = before.columns(["pt1"])[:, 0]
    expected_sr = before.weight[1.05 * pt > 60].sum()
    assert table.in_region("SR").weight.sum() == pytest.approx(expected_sr, rel=1e-12)
    moved = np.setdiff1d(table.in_region("SR").event, before.in_region("SR").event)
    np.testing.assert_array_equal(np.sort(moved), np.sort(before.event[(pt <= 60) & (1.05 * pt > 60)]))
    assert len(moved) > 100
    assert not np.isin(moved, table.in_region("CR").event).any()


def test_the_normalisation_is_that_of_the_nominal_selection(unit, nominal, tmp_path):
    table, summary = varied(tmp_path, unit, nominal, EventVariation(transform={"muons.pt": 0.97}))
    before = json.loads((nominal / "summary.json").read_text())
    assert summary["normalisation"]["factor"] == before["normalisation"]["factor"]
    old = read_event_table(nominal / "events.zarr")
    _, left, right = np.intersect1d(old.event, table.event, return_indices=True)
    np.testing.assert_allclose(table.weight[right], old.weight[left], rtol=1e-12)
    assert table.weight.sum() < old.weight.sum()


def test_a_yield_asked_for_stays_with_the_nominal_selection(unit, tmp_path):
    sample = dataclasses.replace(SAMPLE, normalisation=Normalisation(yield_events=50.0, region="SR"))
    selected(tmp_path / "n", {"file_0": unit}, sample=sample)
    table, _ = varied(
        tmp_path / "v", unit, tmp_path / "n" / "output", EventVariation(transform={"muons.pt": 1.05}), sample=sample
    )
    assert table.in_region("SR").weight.sum() > 52.0


def histogram_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with uproot.recreate(folder / "h.root") as file:
        file["m"] = (np.array([30.0, 10.0, 2.0]), np.array([60.0, 75.0, 90.0, 300.0]))
    return folder


def test_a_calibration_stays_with_the_event(unit, tmp_path):
    calibration = Calibration(observable="pt1", edges=(60.0, 75.0, 90.0, 300.0))
    norm = Normalisation(histogram="h", region="SR", calibration=calibration)
    sample = dataclasses.replace(SAMPLE, normalisation=norm)
    term = HistogramTerm(source="h", object="m", luminosity_fb=1.0, cross_section_pb=1.0, generated_events=1000)
    histogram = Histogram(observable="pt1", terms=(term,))
    inputs = {"file_0": unit, "histogram_0": histogram_folder(tmp_path / "h")}
    before, summary = selected(tmp_path / "n", inputs, sample=sample, histogram=histogram)
    table, _ = varied(
        tmp_path / "v", unit, tmp_path / "n" / "output", EventVariation(transform={"muons.pt": 1.1}), sample=sample
    )
    _, old, own = np.intersect1d(before.event, table.event, return_indices=True)
    np.testing.assert_allclose(table.weight[own], before.weight[old], rtol=1e-12)
    new = np.setdiff1d(np.arange(len(table)), own)
    assert len(new) > 10
    raw = ak.to_numpy(events().weight)[(table.event[new] & np.uint64(2**32 - 1)).astype(int)]
    np.testing.assert_allclose(table.weight[new], raw * summary["normalisation"]["factor"], rtol=1e-12)  # pt1 < 60


def test_a_weight_that_is_a_factor_reproduces_the_sums(unit, nominal, tmp_path):
    table, summary = varied(tmp_path, unit, nominal, EventVariation(weight="w_up * (1 + pt1 / 1000)", name="isr up"))
    before = read_event_table(nominal / "events.zarr")
    np.testing.assert_array_equal(table.event, before.event)
    w_up = ak.to_numpy(events().w_up)[(table.event & np.uint64(2**32 - 1)).astype(int)]
    factor = w_up * (1 + table.columns(["pt1"])[:, 0] / 1000)
    np.testing.assert_allclose(table.weight, before.weight * factor, rtol=1e-12)
    steps = {step["step"]: step["sum_of_weights_expected"] for step in summary["cut_flow"]}
    assert list(steps) == ["all events", "a muon", "weights of isr up", "region SR", "region CR"]
    assert steps["a muon"] == pytest.approx(before.weight.sum())
    assert steps["weights of isr up"] == pytest.approx(table.weight.sum())
    assert steps["region SR"] == pytest.approx(table.in_region("SR").weight.sum())


def test_a_weight_may_replace_the_nominal_one(unit, nominal, tmp_path):
    table, summary = varied(tmp_path, unit, nominal, EventVariation(weight="w_up", meaning="weight"))
    w_up = ak.to_numpy(events().w_up)[(table.event & np.uint64(2**32 - 1)).astype(int)]
    np.testing.assert_allclose(table.weight, w_up * summary["normalisation"]["factor"], rtol=1e-12)


def test_collections_of_the_input_change_before_all_that_is_made_of_them(unit, tmp_path):
    """Without a resolution a factor on the input equals one on the objects."""
    exact = dataclasses.replace(
        SELECTION, objects={"muons": dataclasses.replace(SELECTION.objects["muons"], pt_resolution=None)}
    )
    selected(tmp_path / "n", {"file_0": unit}, selection=exact)
    tables = [
        varied(
            tmp_path / name, unit, tmp_path / "n" / "output",
            EventVariation(transform={f"{name}.pt": 1.05}), selection=exact,
        )[0]
        for name in ("muons", "particles")
    ]  # fmt: skip
    np.testing.assert_array_equal(tables[0].event, tables[1].event)
    np.testing.assert_allclose(tables[0].observables, tables[1].observables, rtol=1e-9, atol=1e-6)


def test_an_item_keeps_its_smearing_when_others_before_it_are_cut(unit, tmp_path):
    """Tight objects are smeared again by the place of the item in the input, not in the collection they are made of."""
    tight = Objects(collection="muons", pt_resolution="0.05", cut="pt > 30", sort_by="none")
    objects = SELECTION.objects | {"tight": tight}
    chained = dataclasses.replace(
        SELECTION,
        objects=objects,
        observables={"pt1": Observable(expression="max(pt(tight))", unit="GeV")},
        preselection={"tight": "count(tight) >= 1"},
    )
    before, _ = selected(tmp_path / "n", {"file_0": unit}, selection=chained)
    table, _ = varied(
        tmp_path / "v", unit, tmp_path / "n" / "output",
        EventVariation(transform={"muons.pt": "where(eta > 0, pt * 1.02, pt)"}), selection=chained,
    )  # fmt: skip
    old, new = matched(before, table, "pt1")
    ratio = new / old
    assert np.isclose(ratio, 1.0, rtol=1e-12).any()
    switched = ~(np.isclose(ratio, 1.0, rtol=1e-9) | np.isclose(ratio, 1.02, rtol=1e-9))
    assert (ratio[switched] < 1.02).all()  # another item has become the leading one, or fell below the cut
    assert switched.mean() < 0.02


def test_an_expression_of_the_item_is_a_new_value(unit, nominal, tmp_path):
    variation = EventVariation(transform={"muons.pt": "pt * (1.01 + 0.005 * abs(eta))"})
    table, _ = varied(tmp_path, unit, nominal, variation)
    before = read_event_table(nominal / "events.zarr")
    alone = [one.take(np.flatnonzero(one.columns(["n"])[:, 0] == 1)) for one in (before, table)]
    old, new = matched(alone[0], alone[1], "pt1")
    eta, _ = matched(alone[0], alone[1], "eta1")
    np.testing.assert_allclose(new, old * (1.01 + 0.005 * np.abs(eta)), rtol=1e-12)


@pytest.mark.parametrize(
    "variation",
    [
        EventVariation(weight="1.0", name="isr up"),
        EventVariation(transform={"particles.pt": "where(pt > 5000, 2 * pt, pt)"}, name="isr up"),
        EventVariation(transform={"muons.phi": "phi"}, name="isr up"),
    ],
    ids=["weight 1", "nothing so energetic", "the same value"],
)
def test_a_variation_that_changes_nothing_is_refused(variation, unit, nominal, tmp_path):
    with pytest.raises(InvalidInput, match="'isr up' changes nothing") as caught:
        varied(tmp_path, unit, nominal, variation)
    assert (caught.value.code, caught.value.exit_code) == ("systematic.identical", 3)


@pytest.mark.parametrize(
    ("variation", "code", "words"),
    [
        (EventVariation(weight="log(pt1 - 60)"), "sample.not-finite", "varied weight is not finite"),
        (EventVariation(weight="0 * pt1"), "sample.weights", "sum of weights of 0"),
        (EventVariation(weight="-1.0"), "sample.weights", "expected a positive sum"),
        (EventVariation(transform={"muons.pt": 50.0}), "systematic.empty", "no event of sample 'mc' in region 'CR'"),
        (EventVariation(transform={"muons.pt": 0.01}), "selection.empty", "no event of sample"),
        (EventVariation(transform={"muons.pt": "-pt"}), "systematic.transform", "gives pt = -"),
        (EventVariation(transform={"muons.energy": 0.001}), "systematic.transform", "no possible momentum"),
        (EventVariation(transform={"muons.pt": "log(eta)"}), "systematic.transform", "gives pt = "),
        (EventVariation(transform={"muons.isolation": 1.1}), "systematic.transform", "have no 'isolation'"),
        (EventVariation(transform={"muons.charge": -1.0}), "systematic.transform", "not that of a number"),
        (EventVariation(transform={"w_up.pt": 1.1}), "systematic.transform", "'w_up' is no collection"),
        (EventVariation(transform={"jets.pt": 1.1}), "sample.column", "jets"),
    ],
)
def test_a_variation_that_cannot_be_is_refused(variation, code, words, unit, nominal, tmp_path):
    with pytest.raises(InvalidInput) as caught:
        varied(tmp_path, unit, nominal, dataclasses.replace(variation, name="jes up"))
    assert caught.value.code == code
    assert words in str(caught.value)
    assert "jes up" in str(caught.value) or code == "sample.column"


def test_data_has_no_variations(unit, nominal, tmp_path):
    data = Sample(files=SAMPLE.files, role="data")
    with pytest.raises(InvalidInput) as caught:
        varied(tmp_path, unit, nominal, EventVariation(transform={"muons.pt": 1.1}), sample=data)
    assert caught.value.code == "systematic.data"
