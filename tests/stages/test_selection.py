"""Stage selection, from files of four leptons to the table of selected events."""

import dataclasses
import hashlib
import json
import logging
from pathlib import Path

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import uproot

from evercast.artifacts.event_table import EventTable, read_event_table
from evercast.errors import IntegrityError, InvalidInput
from evercast.networks.folds import CrossFitting
from evercast.plan.recipes import SelectionRecipe, Task
from evercast.spec.expressions import ExpressionError
from evercast.spec.model import (
    Calibration,
    Candidates,
    EventFile,
    Histogram,
    HistogramTerm,
    Normalisation,
    Objects,
    Observable,
    PseudoData,
    Region,
    Sample,
    Selection,
)
from evercast.stages import selection

SELECTION = Selection(
    objects={"leptons": Objects(collection="particles", pdg=(11, 13), pt_resolution="0.02", cut="pt > 12")},
    candidates={"z": Candidates(pairs_of="leptons", mass_target_gev=91.1876)},
    preselection={"four leptons": "count(leptons) == 4", "two Z": "count(z) == 2"},
    observables={
        "m4l": Observable(expression="mass(z[0] + z[1])", unit="GeV"),
        "cos": Observable(expression="cos_theta_star(z[0], z[1])", unit="1"),
        "half": Observable(expression="m4l / 2", unit="GeV"),
    },
    regions={"SR": Region(cut="100 < m4l < 150"), "all": Region(cut="m4l > 0")},
    seed=5,
)
HISTOGRAM = Histogram(
    observable="m4l",
    terms=(HistogramTerm(source="h", object="m", luminosity_fb=1.0, cross_section_pb=1.0, generated_events=1000),),
)


def particles(events: int, seed: int = 1) -> ak.Array:
    """Two pairs of leptons, e or mu, with four-lepton masses around 125 GeV."""
    random = np.random.default_rng(seed)
    flavour = random.choice([11, 13], (events, 2))
    pdg = np.column_stack([flavour[:, 0], -flavour[:, 0], flavour[:, 1], -flavour[:, 1]])
    size = random.uniform(20, 45, (events, 4))
    cosine, phi = random.uniform(-0.9, 0.9, (events, 4)), random.uniform(-np.pi, np.pi, (events, 4))
    sine = np.sqrt(1 - cosine**2)
    fields = {
        "pdg": pdg,
        "px": size * sine * np.cos(phi),
        "py": size * sine * np.sin(phi),
        "pz": size * cosine,
        "energy": size,
    }
    return ak.zip({name: ak.from_regular(ak.Array(np.ascontiguousarray(column))) for name, column in fields.items()})


def write_generated(folder: Path, events: int, *, seed: int = 1, weight: np.ndarray | None = None, **stated) -> Path:
    """The folder of a generation unit."""
    folder.mkdir(parents=True)
    weight = np.ones(events) if weight is None else weight
    table = ak.to_arrow_table(ak.Array({"particles": particles(events, seed), "weight": weight}), extensionarray=False)
    body = {
        "cross_section_pb": 0.01,
        "sum_of_weights": float(weight.sum()),
        "n_generated": events,
        "seed": seed,
    } | stated
    metadata = {b"evercast": json.dumps(body | {"program": "pythia8", "version": "8.3"}).encode()}
    pa.parquet.write_table(table.replace_schema_metadata(metadata), folder / "events.parquet")
    (folder / "summary.json").write_text(json.dumps(body))
    (folder / "receipt.json").write_text("{}")
    return folder


def write_csv(path: Path, events: int, *, seed: int = 1) -> Path:
    items = particles(events, seed)
    columns = {f"{name}{i + 1}": ak.to_numpy(items[name][:, i]) for name in items.fields for i in range(4)}
    lines = [
        ",".join(columns),
        *(",".join(f"{value:.10g}" for value in row) for row in zip(*columns.values(), strict=True)),
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


LOWER = np.uint64(2**32 - 1)
COLLECTIONS = {
    "particles": {name: tuple(f"{name}{i}" for i in range(1, 5)) for name in ("pdg", "px", "py", "pz", "energy")}
}


def make_task(folder: Path, inputs: dict[str, Path], sample: Sample, **changes) -> Task[SelectionRecipe]:
    output = folder / "output"
    output.mkdir(parents=True)
    fields = {"name": "higgs", "sample": sample, "selection": SELECTION, "luminosity_fb": 20.0, "sqrt_s_tev": (8.0,)}
    return Task(recipe=SelectionRecipe(**(fields | changes)), inputs=inputs, output=output, checkpoint=folder)


def result(task: Task[SelectionRecipe]) -> tuple[EventTable, dict]:
    selection.run(task)
    assert sorted(entry.name for entry in task.output.iterdir()) == ["events.zarr", "summary.json"]
    return read_event_table(task.output / "events.zarr"), json.loads((task.output / "summary.json").read_text())


def generated(normalisation: Normalisation | None = None, weight: str | None = None, files: int = 1) -> Sample:
    return Sample(files=(EventFile(generator="g"),) * files, normalisation=normalisation, weight=weight)


def test_the_table_holds_observables_regions_and_identities(tmp_path):
    unit = write_generated(tmp_path / "g", 2000)
    table, summary = result(make_task(tmp_path, {"file_0": unit}, generated(Normalisation(cross_section_pb=0.01))))
    assert table.observable_names == ("m4l", "cos", "half")
    assert table.observable_units == ("GeV", "1", "GeV")
    assert table.region_names == ("SR", "all")
    mass = table.columns(["m4l"])[:, 0]
    np.testing.assert_array_equal(table.regions[:, 0], (mass > 100) & (mass < 150))
    np.testing.assert_allclose(table.columns(["half"])[:, 0], mass / 2)
    assert (np.diff(table.event) > 0).all()
    assert (table.event >> np.uint64(32) == table.event[0] >> np.uint64(32)).all()
    assert (table.event & LOWER < 2000).all()
    assert summary["n_read"] == 2000
    assert summary["input"][0]["facts"]["n_events"] == 2000
    assert summary["input"][0]["facts"]["program"] == "pythia8 8.3"


def test_the_cut_flow_counts_raw_and_weighted(tmp_path):
    weight = np.random.default_rng(1).uniform(0.5, 1.5, 1000)
    unit = write_generated(tmp_path / "g", 1000, weight=weight)
    sample = generated(Normalisation(cross_section_pb=0.01, k_factor=2.0), weight="weight")
    table, summary = result(make_task(tmp_path, {"file_0": unit}, sample))
    steps = summary["cut_flow"]
    assert [step["step"] for step in steps] == ["all events", "four leptons", "two Z", "region SR", "region all"]
    assert steps[0]["events"] == 1000
    assert steps[0]["sum_of_weights"] == pytest.approx(weight.sum())
    assert steps[0]["sum_of_weights_expected"] == pytest.approx(0.01 * 2 * 1000 * 20)
    assert steps[0]["events"] > steps[1]["events"] >= steps[2]["events"] == steps[4]["events"] == len(table)
    assert steps[4]["sum_of_weights_expected"] == pytest.approx(table.weight.sum())
    region = summary["regions"]["SR"]
    in_region = table.in_region("SR").weight
    assert region["events"] == steps[3]["events"] == len(in_region)
    assert region["sum_of_weights"] == pytest.approx(in_region.sum())
    assert region["effective_sample_size"] == pytest.approx(in_region.sum() ** 2 / (in_region**2).sum())


def place_in(table: EventTable, lengths: list[int]) -> np.ndarray:
    """The position of each event among all events read: files stand in order, and so do the events in them."""
    file = np.concatenate([[0], np.cumsum(np.diff(table.event >> np.uint64(32)) != 0)])
    return np.concatenate([[0], np.cumsum(lengths)])[file] + (table.event & LOWER).astype(np.int64)


def test_parts_and_several_files_are_read_in_order(tmp_path):
    inputs = {f"file_0_{i}": write_generated(tmp_path / f"g{i}", 300, seed=i) for i in range(11)}
    inputs["file_1"] = write_generated(tmp_path / "other", 100, seed=99)
    table, summary = result(
        make_task(tmp_path, inputs, generated(Normalisation(yield_events=9.0, region="all"), files=2))
    )
    assert summary["n_read"] == 3400
    assert table.weight.sum() == pytest.approx(9.0)
    whole = ak.concatenate([particles(300, i) for i in range(11)] + [particles(100, 99)])
    wanted = ak.to_numpy(ak.sum(whole.energy, axis=1))
    ratio = table.columns(["m4l"])[:, 0] / wanted[place_in(table, [300] * 11 + [100])]
    assert (ratio < 1.2).all()  # the mass cannot exceed the energy by more than the smearing
    assert ratio.mean() > 0.5


def test_two_samples_of_the_same_files_share_identities_and_smearing(tmp_path):
    unit = write_generated(tmp_path / "g", 500)
    first, _ = result(
        make_task(tmp_path / "a", {"file_0": unit}, generated(Normalisation(yield_events=1.0, region="SR")))
    )
    second, _ = result(
        make_task(tmp_path / "b", {"file_0": unit}, generated(Normalisation(yield_events=7.0, region="SR")), name="zz")
    )
    np.testing.assert_array_equal(first.event, second.event)
    np.testing.assert_array_equal(first.observables, second.observables)
    np.testing.assert_allclose(second.weight, 7 * first.weight)


def test_a_file_gives_the_same_identities_folds_and_smearing_beside_other_files(tmp_path):
    a, b = write_csv(tmp_path / "a.csv", 300, seed=1), write_csv(tmp_path / "b.csv", 170, seed=2)
    (tmp_path / "elsewhere").mkdir()
    copy = write_csv(tmp_path / "elsewhere" / "c.csv", 300, seed=1)
    norm = Normalisation(yield_events=1.0, region="all")
    file = EventFile(path="x.csv", collections=COLLECTIONS)
    alone, _ = result(make_task(tmp_path / "1", {"file_0": a}, Sample(files=(file,), normalisation=norm)))
    both, _ = result(
        make_task(tmp_path / "2", {"file_0": b, "file_1": copy}, Sample(files=(file, file), normalisation=norm))
    )
    _, left, right = np.intersect1d(alone.event, both.event, return_indices=True)
    assert len(left) == len(alone)
    assert len(np.unique(both.event)) == len(both) > len(alone)
    np.testing.assert_array_equal(alone.observables[left], both.observables[right])
    folds = CrossFitting(folds=3, seed=1)
    np.testing.assert_array_equal(folds.fold_of(alone.event)[left], folds.fold_of(both.event)[right])


def test_a_file_that_stands_twice_in_a_sample_is_refused(tmp_path):
    file = EventFile(path="x.csv", collections=COLLECTIONS)
    sample = Sample(files=(file, file), role="data")
    inputs = {f"file_{i}": write_csv(tmp_path / f"{i}.csv", 30) for i in range(2)}
    with pytest.raises(InvalidInput, match=r"1\.csv: .*the content of .*0\.csv") as caught:
        selection.run(make_task(tmp_path, inputs, sample))
    assert caught.value.code == "sample.repeated-file"


def test_two_trees_of_one_file_are_two_inputs(tmp_path):
    with uproot.recreate(tmp_path / "f.root") as file:
        for tree in ("one", "two"):
            file.mktree(tree, {"x": np.float64})
            file[tree].extend({"x": np.arange(5.0)})
    cuts = Selection(observables={"y": Observable(expression="x", unit="1")}, regions={"all": Region(cut="y > 0")})
    sample = Sample(files=(EventFile(path="f", tree="one"), EventFile(path="f", tree="two")), role="data")
    inputs = {f"file_{i}": tmp_path / "f.root" for i in range(2)}
    table, _ = result(make_task(tmp_path, inputs, sample, selection=cuts))
    assert len(np.unique(table.event)) == 8


def test_a_message_shows_the_place_of_an_event_in_its_file(tmp_path):
    sample = Sample(files=(EventFile(path="x.csv", collections=COLLECTIONS),), role="data")
    cuts = dataclasses.replace(SELECTION, observables={"m4l": Observable(expression="1 / (px1 - px1)", unit="1")})
    with pytest.raises(InvalidInput, match=r"the first is event \d of its file"):
        selection.run(make_task(tmp_path, {"file_0": write_csv(tmp_path / "a.csv", 30)}, sample, selection=cuts))


def histogram_file(folder: Path, values: list[float], edges: list[float]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with uproot.recreate(folder / "h.root") as file:
        file["m"] = (np.array(values), np.array(edges))
    return folder


def test_a_histogram_gives_the_yield_and_a_calibration_the_shape(tmp_path):
    unit = write_generated(tmp_path / "g", 4000)
    inputs = {"file_0": unit, "histogram_0": histogram_file(tmp_path / "h", [3.0, 9.0, 6.0], [100, 110, 125, 150])}
    plain, summary = result(
        make_task(tmp_path / "a", inputs, generated(Normalisation(histogram="h", region="SR")), histogram=HISTOGRAM)
    )
    assert plain.in_region("SR").weight.sum() == pytest.approx(18.0)
    assert summary["normalisation"]["kind"] == "histogram"
    assert summary["normalisation"]["asked_for"] == pytest.approx(18.0)
    norm = Normalisation(
        histogram="h", region="SR", calibration=Calibration(observable="m4l", edges=(100.0, 125.0, 150.0))
    )
    table, summary = result(make_task(tmp_path / "b", inputs, generated(norm), histogram=HISTOGRAM))
    signal = table.in_region("SR")
    found, _ = np.histogram(signal.columns(["m4l"])[:, 0], [100, 125, 150], weights=signal.weight)
    np.testing.assert_allclose(found, [12.0, 6.0])
    assert len(summary["normalisation"]["bin_factors"]) == 2


def test_a_calibration_may_take_the_shape_of_another_histogram(tmp_path):
    edges = [100, 110, 125, 150]
    inputs = {
        "file_0": write_generated(tmp_path / "g", 4000),
        "histogram_0": histogram_file(tmp_path / "h", [1.0, 0.0, 1.0], edges),
        "shape_0": histogram_file(tmp_path / "s", [3.0, 9.0, 6.0], edges),
    }
    calibration = Calibration(observable="m4l", edges=(100.0, 125.0, 150.0), shape_of="s")
    norm = Normalisation(histogram="h", region="SR", calibration=calibration)
    table, _ = result(make_task(tmp_path / "a", inputs, generated(norm), histogram=HISTOGRAM, shape=HISTOGRAM))
    signal = table.in_region("SR")
    found, _ = np.histogram(signal.columns(["m4l"])[:, 0], [100, 125, 150], weights=signal.weight)
    np.testing.assert_allclose(found, [2.0 * 12.0 / 18.0, 2.0 * 6.0 / 18.0])


def test_data_is_neither_smeared_nor_weighted(tmp_path):
    path = write_csv(tmp_path / "data.csv", 200)
    sample = Sample(files=(EventFile(path="data.csv", collections=COLLECTIONS),), role="data")
    table, summary = result(make_task(tmp_path, {"file_0": path}, sample, name="observed"))
    assert (table.weight == 1).all()
    items = particles(200)
    total = {name: ak.to_numpy(ak.sum(items[name], axis=1)) for name in ("px", "py", "pz", "energy")}
    mass = np.sqrt(total["energy"] ** 2 - total["px"] ** 2 - total["py"] ** 2 - total["pz"] ** 2)
    np.testing.assert_allclose(
        table.columns(["m4l"])[:, 0], mass[place_in(table, [200])], rtol=1e-7
    )  # ten digits in the file
    assert summary["role"] == "data"
    assert summary["normalisation"]["kind"] == "none"


def test_an_empty_selection_shows_the_cut_flow(tmp_path):
    unit = write_generated(tmp_path / "g", 50)
    never = dataclasses.replace(SELECTION, preselection=SELECTION.preselection | {"very heavy": "mass(z[0]) > 9000"})
    task = make_task(tmp_path, {"file_0": unit}, generated(), selection=never)
    with pytest.raises(InvalidInput) as caught:
        selection.run(task)
    assert caught.value.code == "selection.empty"
    assert caught.value.exit_code == 3
    lines = str(caught.value).splitlines()
    assert [line.split()[0:2] for line in lines[1:5]] == [
        ["all", "events"],
        ["four", "leptons"],
        ["two", "Z"],
        ["very", "heavy"],
    ]
    assert lines[4].split()[2] == "0"
    assert list(task.output.iterdir()) == []


def test_a_region_without_events_is_said(tmp_path, caplog):
    unit = write_generated(tmp_path / "g", 300)
    regions = dataclasses.replace(SELECTION, regions=SELECTION.regions | {"far": Region(cut="m4l > 9000")})
    with caplog.at_level(logging.WARNING):
        _, summary = result(make_task(tmp_path, {"file_0": unit}, generated(), selection=regions))
    assert summary["regions"]["far"] == {
        "events": 0,
        "sum_of_weights": 0.0,
        "sum_of_weights_squared": 0.0,
        "effective_sample_size": 0.0,
    }
    assert "no events in region 'far'" in caplog.text


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.zeros(300), "all weights are zero"),
        (np.full(300, -1.0), "the sum of weights is -300"),
        (np.tile([1.0, -1.0], 150), "all weights are zero, or they cancel"),
        (np.where(np.arange(300) == 7, 1e12, 1.0), "effective number of 1;|effective number of 1 "),
    ],
)
def test_weights_that_cannot_describe_a_sample_are_refused(weight, message, tmp_path):
    unit = write_generated(tmp_path / "g", 300, weight=weight, sum_of_weights=1.0)
    everything = Selection(
        observables={"n": Observable(expression="count(particles)", unit="1")}, regions={"all": Region(cut="n > 0")}
    )
    with pytest.raises(InvalidInput, match=message) as caught:
        selection.run(make_task(tmp_path, {"file_0": unit}, generated(weight="weight"), selection=everything))
    assert caught.value.code == "sample.weights"


def test_some_negative_weights_are_accepted(tmp_path):
    weight = np.where(np.random.default_rng(1).random(2000) < 0.2, -1.0, 1.0)
    unit = write_generated(tmp_path / "g", 2000, weight=weight)
    table, summary = result(
        make_task(tmp_path, {"file_0": unit}, generated(Normalisation(cross_section_pb=0.01), weight="weight"))
    )
    assert (table.weight < 0).any()
    assert summary["regions"]["all"]["effective_sample_size"] < 0.5 * len(table)


def test_a_number_that_is_not_finite_stops_the_stage(tmp_path):
    weight = np.ones(300)
    weight[123] = np.nan
    unit = write_generated(tmp_path / "g", 300, weight=weight, sum_of_weights=300.0)
    with pytest.raises(InvalidInput, match=r"column 'weight' is not finite in 1 .*event 123 ") as caught:
        selection.run(make_task(tmp_path, {"file_0": unit}, generated(weight="weight")))
    assert caught.value.code == "sample.not-finite"
    assert "events.parquet" in str(caught.value)


def test_an_expression_that_does_not_fit_points_at_the_column(tmp_path):
    unit = write_generated(tmp_path / "g", 300)
    wrong = dataclasses.replace(SELECTION, preselection={"fifth": "pt(leptons[4]) > 1"})
    with pytest.raises(ExpressionError, match=r"preselection 'fifth': an index \[4\] is out of range") as caught:
        selection.run(make_task(tmp_path, {"file_0": unit}, generated(), selection=wrong))
    assert caught.value.column == 4


def test_declared_numbers_are_compared_with_those_of_the_file(tmp_path, caplog):
    unit = write_generated(tmp_path / "g", 300, cross_section_pb=0.01)
    with caplog.at_level(logging.WARNING):
        _, summary = result(
            make_task(tmp_path, {"file_0": unit}, generated(Normalisation(cross_section_pb=0.02), weight="weight"))
        )
    found = {one["quantity"]: one for one in summary["comparisons"]}
    assert found["cross_section_pb"] == {
        "quantity": "cross_section_pb",
        "declared": 0.02,
        "stated": 0.01,
        "agrees": False,
    }
    assert found["sum_of_weights"]["agrees"]
    assert "cross_section_pb: declared or read 0.02, the files state 0.01" in caplog.text


def test_the_generated_sum_is_declared_or_stated_or_counted(tmp_path):
    unit = write_generated(tmp_path / "g", 300, weight=np.full(300, 2.0), sum_of_weights=1200.0, n_generated=600)
    factors = {}
    for name, sample in {
        "declared": generated(Normalisation(cross_section_pb=1.0, generated_sum_of_weights=3000.0), weight="weight"),
        "stated": generated(Normalisation(cross_section_pb=1.0), weight="weight"),
        "counted": generated(Normalisation(cross_section_pb=1.0)),
    }.items():
        _, summary = result(make_task(tmp_path / name, {"file_0": unit}, sample))
        factors[name] = summary["normalisation"]["factor"]
    assert factors == pytest.approx({"declared": 20_000 / 3000, "stated": 20_000 / 1200, "counted": 20_000 / 600})


def cross_section_yield(folder: Path, unit: Path, weight: str | None) -> tuple[float, dict]:
    """The expected events of all events in the file, whether selected or not."""
    _, summary = result(make_task(folder, {"file_0": unit}, generated(Normalisation(cross_section_pb=1.0), weight)))
    return summary["cut_flow"][0]["sum_of_weights_expected"], summary


@pytest.mark.parametrize("weight", [None, "weight", " weight", "weight / 2", "1 + 0 * weight", "weight * weight", "2"])
def test_no_way_to_write_the_weight_changes_the_yield_of_a_cross_section(weight, tmp_path):
    unit = write_generated(tmp_path / "g", 300, weight=np.random.default_rng(2).uniform(1, 3, 300))
    found, _ = cross_section_yield(tmp_path, unit, weight)
    assert found == pytest.approx(1.0 * 1000 * 20)


def test_read_and_stated_sums_of_weights_are_recorded_and_compared(tmp_path, caplog):
    unit = write_generated(tmp_path / "g", 300, weight=np.full(300, 2.0))
    _, summary = cross_section_yield(tmp_path, unit, "weight / 2")
    norm = summary["normalisation"]
    assert norm["generated_sum_of_weights"] == norm["sum_of_weights_read"] == pytest.approx(300)
    assert norm["sum_of_weights_stated"] == pytest.approx(600)
    (found,) = (one for one in summary["comparisons"] if one["quantity"] == "sum_of_weights")
    assert not found["agrees"]
    assert "sum_of_weights: declared or read 300, the files state 600" in caplog.text


def test_a_skimmed_file_needs_the_sum_of_an_expression_over_all_generated_events(tmp_path):
    unit = write_generated(tmp_path / "g", 300, weight=np.full(300, 2.0), sum_of_weights=1200.0, n_generated=600)
    with pytest.raises(InvalidInput, match=r"holds 300 of 600 generated events; .*'weight / 2'") as caught:
        cross_section_yield(tmp_path / "a", unit, "weight / 2")
    assert caught.value.code == "sample.generated-sum"
    assert "generated_sum_of_weights" in str(caught.value)
    declared = Normalisation(cross_section_pb=1.0, generated_sum_of_weights=600.0)
    _, summary = result(make_task(tmp_path / "b", {"file_0": unit}, generated(declared, "weight / 2")))
    assert summary["cut_flow"][0]["sum_of_weights_expected"] == pytest.approx(10_000)


def test_a_skimmed_file_that_states_no_sum_needs_it_declared(tmp_path):
    unit = write_generated(tmp_path / "g", 300, sum_of_weights=None, n_generated=600)
    with pytest.raises(InvalidInput, match="holds 300 of 600") as caught:
        cross_section_yield(tmp_path, unit, "weight")
    assert caught.value.code == "sample.generated-sum"


def test_a_file_of_another_content_than_planned_is_refused(tmp_path):
    path = write_csv(tmp_path / "data.csv", 20)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    sample = Sample(files=(EventFile(path="data.csv", collections=COLLECTIONS),), role="data")
    result(make_task(tmp_path / "a", {"file_0": path}, sample, files={"file_0": digest}))
    write_csv(path, 21)
    with pytest.raises(IntegrityError, match=r"data\.csv: the file has sha256") as caught:
        selection.run(make_task(tmp_path / "b", {"file_0": path}, sample, files={"file_0": digest}))
    assert caught.value.code == "sample.checksum"


@pytest.mark.parametrize("norm", [Normalisation(yield_events=1.0, region="nowhere"), Normalisation(yield_events=1.0)])
def test_the_region_of_a_normalisation_must_be_there(norm, tmp_path):
    unit = write_generated(tmp_path / "g", 300)
    with pytest.raises(InvalidInput, match=r"there are: SR, all"):
        selection.run(make_task(tmp_path, {"file_0": unit}, generated(norm)))


PSEUDO = PseudoData(region="SR", yields={"H": 12.0, "ZZ": 40.0}, seed=3)
PROCESSES = {"H": "higgs", "ZZ": "zz"}


def test_pseudo_data_replaces_histograms_and_observed_events(tmp_path):
    units = {name: write_generated(tmp_path / f"g-{name}", 3000, seed=i) for i, name in enumerate(("higgs", "zz"))}
    norm = Normalisation(histogram="h", region="SR", calibration=Calibration(observable="m4l", edges=(100.0, 150.0)))
    inputs = {}
    for process, name in PROCESSES.items():
        task = make_task(
            tmp_path / name, {"file_0": units[name]}, generated(norm), name=name, pseudo=PSEUDO, processes=PROCESSES
        )
        table, summary = result(task)
        assert table.in_region("SR").weight.sum() == pytest.approx(PSEUDO.yields[process])
        assert summary["normalisation"]["kind"] == "pseudo"
        inputs[f"process_{process}"] = task.output
    sample = Sample(files=(EventFile(source="events"),), role="data")
    observed, summary = result(
        make_task(tmp_path / "o", inputs, sample, name="observed", pseudo=PSEUDO, processes=PROCESSES)
    )
    assert summary["pseudo"] is True
    assert sum(summary["normalisation"]["drawn"].values()) == len(observed) == summary["n_read"]
    assert observed.role == "data"
    assert observed.in_region("SR").weight.sum() == len(observed)
    assert observed.drawn
    simulated = np.concatenate([read_event_table(path / "events.zarr").event for path in inputs.values()])
    assert np.isin(observed.event, simulated).all()
    assert len(np.unique(observed.event)) == len(observed)
    again, _ = result(make_task(tmp_path / "p", inputs, sample, name="observed", pseudo=PSEUDO, processes=PROCESSES))
    np.testing.assert_array_equal(again.observables, observed.observables)


def test_pseudo_data_needs_a_yield_for_the_sample(tmp_path):
    unit = write_generated(tmp_path / "g", 300)
    task = make_task(
        tmp_path,
        {"file_0": unit},
        generated(Normalisation(histogram="h", region="SR")),
        pseudo=PSEUDO,
        processes={"H": "other"},
    )
    with pytest.raises(InvalidInput, match="must give one yield for sample 'higgs'") as caught:
        selection.run(task)
    assert caught.value.code == "pseudo.yields"


def test_data_with_a_weight_is_refused(tmp_path):
    path = write_csv(tmp_path / "data.csv", 20)
    sample = Sample(files=(EventFile(path="data.csv", collections=COLLECTIONS),), role="data", weight="px1")
    with pytest.raises(InvalidInput, match="its events have weight 1"):
        selection.run(make_task(tmp_path, {"file_0": path}, sample))


def test_the_size_of_the_chunks_changes_nothing(tmp_path, monkeypatch):
    unit = write_generated(tmp_path / "g", 700)
    norm = Normalisation(yield_events=5.0, region="SR")
    whole, _ = result(make_task(tmp_path / "a", {"file_0": unit}, generated(norm)))
    monkeypatch.setattr("evercast.events.sample._STEP_OTHERS", 37)
    parts, _ = result(make_task(tmp_path / "b", {"file_0": unit}, generated(norm)))
    np.testing.assert_array_equal(whole.observables, parts.observables)
    np.testing.assert_array_equal(whole.event, parts.event)
