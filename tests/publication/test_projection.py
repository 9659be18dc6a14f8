"""The binned projection of a likelihood with known densities: what it keeps, and that pyhf reads the same from it."""

from __future__ import annotations

import ast
import importlib.util
import json
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pyhf
import pytest
from projected_models import GRID, X, interfering, linear

import evercast.publication.shipped
from evercast.errors import InvalidInput, NumericalFailure
from evercast.inference.asimov import asimov_model
from evercast.inference.fit import fit
from evercast.likelihood.coefficients import evaluate_coefficient
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.histfactory import read_workspace
from evercast.likelihood.model import BinnedChannelModel, LikelihoodModel
from evercast.likelihood.reparametrise import Parametrisation, reparametrise
from evercast.publication.projection import Projection, project
from evercast.publication.projection_bins import MINIMUM_EFFECTIVE, choose_bins
from evercast.publication.projection_compare import compare_with_pyhf
from evercast.publication.projection_files import add_projection
from evercast.publication.pyhf_checks import require_sound_workspace
from evercast.publication.pyhf_workspace import Export, workspace_of
from evercast.spec.documents import load_document
from evercast.spec.expressions import parse_coefficient
from evercast.spec.model import Inference


def expected_uncertainty(model: LikelihoodModel) -> float:
    likelihood = Likelihood(model)
    found = fit(Likelihood(asimov_model(likelihood, likelihood.initial))).parameter("mu").uncertainty
    assert found is not None
    return found


def projected(model: LikelihoodModel) -> Projection:
    return project(model, uncertainty=expected_uncertainty(model))


def exported(model: LikelihoodModel) -> tuple[Likelihood, Export]:
    found = projected(model).model
    return Likelihood(found), workspace_of(found, measurement="m")


def points(likelihood: Likelihood, count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    widths = [0.3 if name == "mu" else 0.02 if "mc" in name else 1.0 for name in likelihood.names]
    return [np.abs(likelihood.initial + rng.normal(size=len(widths)) * widths) for _ in range(count)]


def pyhf_twice_nll(export: Export, values: dict[str, float]) -> float:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="jsonschema.RefResolver", category=DeprecationWarning)
        workspace = pyhf.Workspace(export.workspace)
        poi = workspace.get_measurement()["config"]["poi"]
        model = workspace.model(poi_name=poi or None)
    parametrisation: Any = export.parametrisation or {"coefficients": {}}
    formulas = parametrisation["coefficients"]
    known = values | {
        f"c_{one}": evaluate_coefficient(parse_coefficient(text), values) for one, text in formulas.items()
    }
    return -2.0 * float(model.logpdf([known[name] for name in model.config.par_names], workspace.data(model))[0])


def test_bins_are_few_and_keep_what_bins_can_keep() -> None:
    model = linear()
    width = 0.4
    slope = np.exp(np.asarray(model.channels[0].simulation.log_ratio)) @ [50.0, 0.0]  # type: ignore[union-attr]
    weight = np.asarray(model.channels[0].simulation.weight)  # type: ignore[union-attr]
    score = width * slope / (weight * GRID)
    binning = choose_bins(score, weight, width=width)
    assert 4 <= len(binning.edges) + 1 <= 12
    assert np.all(np.diff(binning.edges) > 0)
    assert np.all(binning.effective >= MINIMUM_EFFECTIVE)
    count_alone = 50.0**2 / (450.0 + float(np.sum(weight**2)))
    assert binning.information < binning.unbinned
    kept = (binning.information - count_alone) / (binning.unbinned - count_alone)
    assert 0.99 * 0.95 < kept < 1.0  # 99 % of what 30 bins keep; the simulation, 2 % of the variance, takes some too


def test_few_simulated_events_give_one_bin() -> None:
    rng = np.random.default_rng(1)
    binning = choose_bins(rng.normal(size=60), np.full(60, 0.5), width=1.0)
    assert len(binning.edges) == 0
    assert binning.effective == pytest.approx([60.0])


def test_equal_scores_are_never_split() -> None:
    score = np.repeat([0.0, 1.0], 5000)
    binning = choose_bins(score, np.full(10_000, 0.01), width=1.0)
    assert binning.edges.tolist() == [0.5]


def test_simulation_without_weight_gives_no_bins() -> None:
    with pytest.raises(NumericalFailure, match="no positive total weight"):
        choose_bins(np.zeros(10), np.zeros(10), width=1.0)


def test_templates_hold_the_yields_and_the_counts_all_events() -> None:
    model = linear()
    channel = projected(model).model.channels[0]
    assert isinstance(channel, BinnedChannelModel)
    assert [float(sample.nominal.sum()) for sample in channel.samples] == pytest.approx([50.0, 400.0])
    assert channel.observed.sum() == len(model.channels[0].events.weight)  # type: ignore[union-attr]
    inside = np.abs(X - 0.6) < 0.1
    assert channel.samples[0].nominal[-1] / channel.samples[1].nominal[-1] > (50 * 6) / (400 * 2)
    assert inside.mean() == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize(("model", "most"), [(linear(), 1.03), (linear(shift=True), 1.03), (interfering(), 1.03)])
def test_expected_uncertainty_is_nearly_that_of_the_events(model: LikelihoodModel, most: float) -> None:
    own = expected_uncertainty(model)
    likelihood = Likelihood(projected(model).model)
    found = fit(Likelihood(asimov_model(likelihood, likelihood.initial))).parameter("mu")
    assert found.value == pytest.approx(1.0, abs=1e-3)
    assert found.uncertainty is not None
    assert 0.995 < found.uncertainty / own < most


@pytest.mark.parametrize("model", [linear(), linear(shift=True), interfering()], ids=["linear", "shift", "formulas"])
def test_pyhf_gives_the_same_twice_nll(model: LikelihoodModel) -> None:
    likelihood, export = exported(model)
    require_sound_workspace(export.workspace, where="projection.json")
    for theta in points(likelihood, 4):
        values = dict(zip(likelihood.names, map(float, theta), strict=True))
        assert pyhf_twice_nll(export, values) == pytest.approx(likelihood.twice_nll(theta), abs=1e-7)


@pytest.mark.parametrize("model", [linear(shift=True), interfering()], ids=["shift", "formulas"])
def test_what_is_read_back_is_the_same_likelihood(model: LikelihoodModel, tmp_path: Path) -> None:
    likelihood, export = exported(model)
    back = read_workspace(export.workspace)
    if export.parametrisation is not None:
        file = tmp_path / "projection_parametrisation.json"
        file.write_text(json.dumps(export.parametrisation))
        back = reparametrise(back, load_document(file, "parametrisation", Parametrisation))
    other = Likelihood(back)
    assert sorted(other.names) == sorted(likelihood.names)
    assert back.poi is not None
    assert back.poi.name == "mu"
    order = [likelihood.index(name) for name in other.names]
    for theta in points(likelihood, 3):
        assert other.twice_nll(theta[order]) == pytest.approx(likelihood.twice_nll(theta), abs=1e-9)


def test_formulas_leave_pyhf_a_wider_model_without_a_parameter_of_interest() -> None:
    _, export = exported(interfering())
    measurements: Any = export.workspace["measurements"]
    assert measurements[0]["config"]["poi"] == ""
    settings = {entry["name"]: entry for entry in measurements[0]["config"]["parameters"]}
    assert {name: entry["inits"] for name, entry in settings.items()} == {
        "c_S": [0.0], "c_SBI": [1.0], "c_B": [0.0],
    }  # fmt: skip
    assert settings["c_S"]["bounds"][0][0] < -0.25  # mu - sqrt(mu) has its minimum there
    assert export.parametrisation == {
        "schema": "parametrisation/1.0.0",
        "parameters": {"mu": {"initial": 1.0, "poi": True, "unit": "1", "bounds": [0.0, 4.0]}},
        "coefficients": {"S": "mu - sqrt(mu)", "SBI": "sqrt(mu)", "B": "1 - sqrt(mu)"},
    }


def test_a_number_in_a_coefficient_enters_the_template() -> None:
    model = linear()
    channel = model.channels[0]
    doubled = replace(channel, components=(replace(channel.components[0], coefficient="2 * mu"), channel.components[1]))  # type: ignore[union-attr]
    likelihood, export = exported(replace(model, channels=(doubled, model.channels[1])))  # type: ignore[arg-type]
    assert export.parametrisation is None
    theta = likelihood.initial + 0.1
    values = dict(zip(likelihood.names, map(float, theta), strict=True))
    assert pyhf_twice_nll(export, values) == pytest.approx(likelihood.twice_nll(theta), abs=1e-7)
    channels: Any = export.workspace["channels"]
    assert sum(channels[0]["samples"][0]["data"]) == pytest.approx(100.0)


def shipped(name: str) -> ModuleType:
    place = Path(evercast.publication.shipped.__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("model", [linear(), interfering()], ids=["linear", "formulas"])
def test_the_reader_with_pyhf_alone_finds_the_same_best_fit(
    model: LikelihoodModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    likelihood, export = exported(model)
    (tmp_path / "projection.json").write_text(json.dumps(export.workspace))
    if export.parametrisation is not None:
        (tmp_path / "projection_parametrisation.json").write_text(json.dumps(export.parametrisation))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        reader = shipped("read_projection")
        projection = reader.Projection(tmp_path)
        assert projection.twice_nll({"mu": 1.3}) == pytest.approx(
            likelihood.twice_nll(np.where(np.array(likelihood.names) == "mu", 1.3, likelihood.initial)), abs=1e-7
        )
        best = fit(likelihood)
        values, lowest = projection.fit()
        assert values["mu"] == pytest.approx(best.parameter("mu").value, abs=2e-3)
        assert lowest == pytest.approx(likelihood.twice_nll(best.theta), abs=1e-4)
        assert reader.main(tmp_path) == 0
    assert capsys.readouterr().out.startswith("mu = ")
    assert "read_projection" not in sys.modules


@pytest.mark.parametrize(
    "text", ["__import__('os')", "mu.real", "(lambda: 1)()", "[mu][0]", "eval('1')", "mu if mu else 1", "'a'"]
)
def test_the_reader_evaluates_nothing_but_formulas(text: str) -> None:
    reader = shipped("read_projection")
    with pytest.raises((ValueError, KeyError)):
        reader.value_of(ast.parse(text, mode="eval"), {"mu": 1.0})


def test_pyhf_is_compared_at_every_point() -> None:
    likelihood, export = exported(linear())
    found = compare_with_pyhf(
        likelihood, export, {"initial values": likelihood.initial, "off": likelihood.initial + 0.1}
    )
    assert found["points"] == ["initial values", "off"]
    assert float(str(found["largest_difference_twice_nll"])) < 1e-9


def test_what_cannot_be_projected_is_refused() -> None:
    model = linear()
    cases: list[tuple[LikelihoodModel, str]] = [
        (linear(blind=True), "projection.blind"),
        (replace(model, channels=(model.channels[1],)), "projection.no-channel"),
        (replace(model, parameters=tuple(replace(one, poi=False) for one in model.parameters)), "projection.poi"),
        (replace(model, channels=(replace(model.channels[0], simulation=None),)), "diagnostics.no-simulation"),  # type: ignore[arg-type, call-arg]
    ]
    for wrong, code in cases:
        with pytest.raises(InvalidInput) as caught:
            project(wrong, uncertainty=0.3)
        assert caught.value.code == code


def test_an_unbinned_channel_is_no_workspace() -> None:
    with pytest.raises(InvalidInput, match="the channel 'SR' is unbinned") as caught:
        workspace_of(linear(), measurement="m")
    assert caught.value.code == "likelihood.not-histfactory"


def context(model: LikelihoodModel, uncertainty: float | None) -> Any:
    """As much of a publication as the projection looks at."""
    fitted = {"parameters": {"mu": {"value": 1.0, "uncertainty": uncertainty}}}
    result = {"poi": "mu", "expected": {"fit": fitted, "interval": None}, "observed": {"fit": fitted}}
    inference = Inference(scan_points=5, scan_range=(0.5, 1.5))
    analysis = SimpleNamespace(name="linear", inference=inference)
    return SimpleNamespace(model=model, result=result, analysis=analysis)


def test_a_bundle_without_a_projection_says_why(tmp_path: Path) -> None:
    model = linear()
    bare = replace(model, channels=(replace(model.channels[0], simulation=None), model.channels[1]))  # type: ignore[arg-type, call-arg]
    cases = [(bare, 0.2, "holds no simulated events"), (model, None, "no expected uncertainty")]
    for wrong, uncertainty, reason in cases:
        said = add_projection(tmp_path, context(wrong, uncertainty))
        assert said["made"] is False
        assert reason in str(said["reason"])
        assert list(tmp_path.iterdir()) == []


def test_the_readme_states_both_results(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Title\n")
    said: Any = add_projection(tmp_path, context(interfering(), 0.1))
    assert said["made"]
    assert {path.name for path in tmp_path.iterdir()} == {
        "README.md", "projection.json", "projection_parametrisation.json", "read_projection.py",
    }  # fmt: skip
    numbers = said["comparison"]["observed"]
    assert numbers["unbinned"]["value"] == 1.0
    assert numbers["interval_length_ratio"] is None  # the run has no interval to compare with
    assert numbers["shift_in_uncertainties"] == pytest.approx((numbers["projection"]["value"] - 1.0) / 0.1)
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("# Title\n")
    assert "--parametrisation projection_parametrisation.json" in text
    assert f"{numbers['projection']['value']:.4g}" in text
