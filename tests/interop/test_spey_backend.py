"""The back end of spey, through spey: its numbers are those of evercast, and of pyhf for a workspace."""

import importlib
import json
import os
from pathlib import Path

import numpy as np
import pyhf
import pytest

import evercast
from evercast.errors import InvalidInput, NumericalFailure
from evercast.interop.likelihood_object import OpenedLikelihood
from invented_bundle import write_invented_bundle

os.environ["SPEY_CHECKUPDATE"] = "OFF"  # spey looks for a newer version of itself when it is imported
spey = importlib.import_module("spey")
OBSERVED, POSTERIORI, APRIORI = (getattr(spey.ExpectationType, name) for name in ("observed", "aposteriori", "apriori"))

pytestmark = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")  # pyhf uses it


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_invented_bundle(tmp_path_factory.mktemp("invented"), copies=False, smooth=True)


@pytest.fixture(scope="module")
def likelihood(bundle: Path) -> OpenedLikelihood:
    return evercast.open_likelihood(bundle)


@pytest.fixture(scope="module")
def model(likelihood: OpenedLikelihood) -> "spey.StatisticalModel":
    return spey.get_backend("evercast.likelihood")(likelihood, analysis="invented", xsection=0.5)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("workspace") / "workspace.json"
    model = pyhf.simplemodels.uncorrelated_background(signal=[12.0, 11.0], bkg=[50.0, 52.0], bkg_uncertainty=[3.0, 7.0])
    path.write_text(json.dumps(pyhf.Workspace.build(model, [51.0, 48.0, *model.config.auxdata])))
    return path


def test_spey_finds_the_back_ends_among_the_installed_ones() -> None:
    assert {"evercast.likelihood", "evercast.projection"} <= set(spey.AvailableBackends())
    assert spey.get_backend_metadata("evercast.likelihood")["version"] == evercast.__version__


def test_all_calculators_are_there(model: "spey.StatisticalModel") -> None:
    assert model.available_calculators == ["toy", "asymptotic", "chi_square"]
    assert model.is_alive


def test_exclusion_is_that_of_evercast(model: "spey.StatisticalModel", likelihood: OpenedLikelihood) -> None:
    own = likelihood.cls(1.5)
    assert 1 - model.exclusion_confidence_level(1.5)[0] == pytest.approx(own.cls_obs, abs=1e-6)
    expected = [1 - level for level in model.exclusion_confidence_level(1.5, expected=POSTERIORI)]
    assert expected == pytest.approx(own.cls_exp, abs=1e-6)


def test_upper_limit_is_that_of_evercast(workspace: Path) -> None:
    model = spey.get_backend("evercast.likelihood")(workspace, analysis="workspace", xsection=0.5)
    own = evercast.open_likelihood(workspace).limit()
    assert model.poi_upper_limit() == pytest.approx(own.observed, rel=1e-5)
    expected = model.poi_upper_limit(expected=POSTERIORI, expected_pvalue="2sigma")
    assert expected == pytest.approx(own.expected, rel=1e-4)
    assert model.s95obs == pytest.approx(0.5 * own.observed, rel=1e-5)


@pytest.mark.parametrize(("bounds", "upper"), [((0.0, 10.0), 10.0), ((0.0, 3.0), 3.0), ((-2.0, 50.0), 50.0)])
def test_bounds_are_the_published_ones(workspace: Path, bounds: tuple[float, float], upper: float) -> None:
    model = bounded(workspace, bounds)
    for asked in (5.0, 10.0, 1e4):
        config = model.backend.config(poi_upper_bound=asked)
        assert config.suggested_bounds[config.poi_index] == (bounds[0], upper)
        assert config.minimum_poi == bounds[0]
        config = model.backend.config(allow_negative_signal=False, poi_upper_bound=asked)
        assert config.suggested_bounds[config.poi_index] == (0.0, upper)


def bounded(workspace: Path, bounds: tuple[float, float]) -> "spey.StatisticalModel":
    body = json.loads(workspace.read_text())
    body["measurements"][0]["config"]["parameters"] = [
        {"name": "mu", "bounds": [list(bounds)], "inits": [bounds[1] / 2]}
    ]
    path = workspace.with_name(f"bounded_{bounds[1]:g}.json")
    path.write_text(json.dumps(body))
    return spey.get_backend("evercast.likelihood")(path, analysis="bounded", xsection=0.5)


def test_a_limit_beyond_the_published_range_is_warned_of(workspace: Path, caplog: pytest.LogCaptureFixture) -> None:
    own = evercast.open_likelihood(workspace).limit().observed
    assert bounded(workspace, (0.0, 50.0)).poi_upper_limit() == pytest.approx(own, rel=1e-5)
    assert caplog.text == ""
    assert bounded(workspace, (0.0, 0.5)).poi_upper_limit() > 0.5
    (said,) = [entry.getMessage() for entry in caplog.records]
    assert "values are tested outside of the published range [0, 0.5] of 'mu', first 1: " in said


def test_a_best_fit_at_the_end_of_the_published_range_is_warned_of(
    workspace: Path, caplog: pytest.LogCaptureFixture
) -> None:
    body = json.loads(workspace.read_text())
    body["observations"][0]["data"] = [80.0, 82.0]
    path = workspace.with_name("excess.json")
    path.write_text(json.dumps(body))
    value, _ = bounded(path, (0.0, 0.25)).maximize_likelihood()
    assert value == pytest.approx(0.25)
    assert "the best fit lies at the published range [0, 0.25] of 'mu', first 0.25" in caplog.text


def test_significance_is_that_of_evercast(model: "spey.StatisticalModel", likelihood: OpenedLikelihood) -> None:
    assert model.significance()[1] == pytest.approx(likelihood.significance().z, abs=1e-5)


def test_likelihoods_are_half_of_minus_two_ln_l(model: "spey.StatisticalModel", likelihood: OpenedLikelihood) -> None:
    assert model.likelihood(1.2) == pytest.approx(0.5 * likelihood.fit(fixed={"mu": 1.2}).twice_nll, abs=1e-8)
    best, value = model.maximize_likelihood(allow_negative_signal=False)
    free = likelihood.fit()
    assert (best, value) == (pytest.approx(free.value("mu"), abs=1e-5), pytest.approx(0.5 * free.twice_nll, abs=1e-8))
    background = likelihood.fit(fixed={"mu": 0.0})
    asimov = likelihood.asimov(dict(zip(background.names, background.theta.tolist(), strict=True)))
    expected = 0.5 * asimov.fit(fixed={"mu": 1.2}).twice_nll
    assert model.asimov_likelihood(1.2) == pytest.approx(expected, abs=1e-7)
    assert model.maximize_asimov_likelihood()[1] <= model.asimov_likelihood(0.4)


def test_several_parameters_can_be_held(workspace: Path) -> None:
    model = spey.get_backend("evercast.likelihood")(workspace, analysis="workspace")
    likelihood = evercast.open_likelihood(workspace)
    other = next(name for name in likelihood.parameters if name != "mu")
    expected = 0.5 * likelihood.fit(fixed={"mu": 1.2, other: 1.1}).twice_nll
    assert model.likelihood({"mu": 1.2, other: 1.1}) == pytest.approx(expected, abs=1e-8)
    found, _ = model.maximize_likelihood(poi_indices=["mu", other])
    assert found["mu"] == pytest.approx(likelihood.fit().value("mu"), abs=1e-5)


def test_spey_finds_the_same_with_its_own_minimiser(model: "spey.StatisticalModel") -> None:
    start = model.config().suggested_init
    own = model.likelihood(1.2)
    assert model.likelihood(1.2, init_pars=list(start)) == pytest.approx(own, abs=1e-4)


def test_functions_have_derivatives(model: "spey.StatisticalModel") -> None:
    backend = model.backend
    theta = np.array(backend.config().suggested_init)
    theta[:3] = 0.8, 0.3, -0.2
    logpdf, hessian = backend.get_logpdf_func(), backend.get_hessian_logpdf_func()(theta)
    value, gradient = backend.get_objective_function()(theta)
    assert value == pytest.approx(-logpdf(theta), abs=1e-9)
    step = 1e-4 * np.eye(len(theta))
    numeric = [(logpdf(theta + one) - logpdf(theta - one)) / 2e-4 for one in step]
    assert -gradient == pytest.approx(np.array(numeric), abs=1e-3)
    assert np.allclose(hessian, hessian.T)
    assert backend.get_objective_function(do_grad=False)(theta) == value


def test_asimov_data_go_through_spey_as_numbers(model: "spey.StatisticalModel", likelihood: OpenedLikelihood) -> None:
    theta = likelihood.compiled.initial.copy()
    theta[0] = 0.5
    data = model.backend.expected_data(theta)
    assert len(data) == 400 + 2 + 5
    with_data = 0.5 * likelihood.asimov({"mu": 0.5}).twice_nll({"mu": 0.9})
    theta[0] = 0.9
    assert -model.backend.get_logpdf_func(data=data)(theta) == pytest.approx(with_data, abs=1e-9)
    best, _ = model.maximize_likelihood(data=data)
    assert best == pytest.approx(likelihood.asimov({"mu": 0.5}).fit().value("mu"), abs=1e-4)
    with pytest.raises(InvalidInput, match="407"):
        model.backend.get_logpdf_func(data=data[:-1])


def test_pseudo_experiments_fluctuate_about_what_is_expected(model: "spey.StatisticalModel") -> None:
    theta = np.array(model.config().suggested_init)
    drawn = model.backend.get_sampler(theta)(400)
    expected = np.array(model.backend.expected_data(theta))
    assert drawn.shape == (400, len(expected))
    assert drawn[:, :400].sum(axis=1).mean() == pytest.approx(expected[:400].sum(), abs=3 * np.sqrt(150 / 400) + 1)
    assert drawn[:, 400:402].mean(axis=0) == pytest.approx(expected[400:402], abs=1.5)
    assert drawn[:, 402].std() == pytest.approx(1.0, abs=0.15)
    assert len(np.unique(drawn[:, :400].sum(axis=1))) > 20


def test_what_is_expected_before_the_data_leaves_them_out(
    model: "spey.StatisticalModel", likelihood: OpenedLikelihood
) -> None:
    own = likelihood.asimov({"mu": 0.0}).fit(fixed={"mu": 1.0})
    assert model.likelihood(1.0, expected=APRIORI) == pytest.approx(0.5 * own.twice_nll, abs=1e-7)
    assert model.likelihood(1.0, expected=APRIORI) != pytest.approx(model.likelihood(1.0), abs=1e-3)


def test_blind_data_are_not_looked_at(tmp_path: Path) -> None:
    folder = write_invented_bundle(tmp_path, blind=True, copies=False, smooth=True)
    blind = spey.get_backend("evercast.likelihood")(folder, analysis="blind")
    with pytest.raises(InvalidInput, match="observed results of 'invented' are not computed"):
        blind.likelihood(1.0)
    assert np.isfinite(blind.likelihood(1.0, expected=APRIORI))
    seen = spey.get_backend("evercast.likelihood")(folder, analysis="seen", unblind=True)
    assert np.isfinite(seen.likelihood(1.0))


def test_a_workspace_has_the_numbers_of_pyhf(workspace: Path) -> None:
    model = spey.get_backend("evercast.likelihood")(workspace, analysis="workspace")
    theirs = pyhf.Workspace(json.loads(workspace.read_text()))
    pdf = theirs.model()
    data = theirs.data(pdf)
    for value in (1.0,):
        observed, expected = pyhf.infer.hypotest(value, data, pdf, test_stat="qtilde", return_expected_set=True)
        assert 1 - model.exclusion_confidence_level(value)[0] == pytest.approx(float(observed), abs=2e-4)
        found = [1 - one for one in model.exclusion_confidence_level(value, expected=POSTERIORI)]
        assert found == pytest.approx([float(one) for one in expected], abs=2e-4)
    limit, _ = pyhf.infer.intervals.upper_limits.upper_limit(data, pdf, scan=None, level=0.05, rtol=1e-4)
    assert model.poi_upper_limit() == pytest.approx(float(limit), rel=2e-3)


def test_likelihoods_combine_in_spey(workspace: Path, likelihood: OpenedLikelihood) -> None:
    backend = spey.get_backend("evercast.likelihood")
    other = backend(workspace, analysis="workspace")
    combined = backend(likelihood, analysis="invented").combine(other)
    whole = likelihood.combine(evercast.open_likelihood(workspace))
    assert whole.parameters.keys() > likelihood.parameters.keys()
    assert combined.likelihood(1.0) == pytest.approx(0.5 * whole.fit(fixed={"mu": 1.0}).twice_nll, abs=1e-7)


def test_a_bundle_without_a_projection_says_so(bundle: Path) -> None:
    with pytest.raises(InvalidInput, match="no binned projection") as caught:
        spey.get_backend("evercast.projection")(bundle, analysis="none")
    assert caught.value.code == "projection.missing"


def test_a_projection_is_opened_from_its_bundle(tmp_path: Path, workspace: Path) -> None:
    folder = write_invented_bundle(
        tmp_path, copies=False, smooth=True, more={"projection.json": workspace.read_bytes()}
    )
    projection = spey.get_backend("evercast.projection")(folder, analysis="projection")
    plain = spey.get_backend("evercast.likelihood")(workspace, analysis="workspace")
    assert projection.likelihood(1.0) == pytest.approx(plain.likelihood(1.0), abs=1e-9)


def test_a_parameter_of_interest_is_needed(workspace: Path) -> None:
    with pytest.raises(InvalidInput, match="unknown parameter 'nu'"):
        spey.get_backend("evercast.likelihood")(workspace, poi="nu", analysis="none")
    with pytest.raises((InvalidInput, NumericalFailure)):
        spey.get_backend("evercast.likelihood")(workspace.with_name("nothing.json"), analysis="none")
