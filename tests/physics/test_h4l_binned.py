"""The flagship on the published histograms and the real events: the known answers, in evercast and in pyhf.

Needs the public files on the search path (EVERCAST_DATA, or ../shared/data beside the project); nothing is downloaded.
"""

import os
from pathlib import Path

import numpy as np
import pyhf
import pytest
import uproot
from scipy.optimize import brentq

from evercast.artifacts.event_table import EventTable, read_event_table
from evercast.events.histograms import BinnedYield, read_histogram
from evercast.events.sources import SearchPath, fetch_source
from evercast.inference.outcome import Outcome, compute_outcome
from evercast.likelihood.assembly import BinnedInput, Physics, Template, assemble, to_workspace
from evercast.likelihood.evaluate import Likelihood
from evercast.plan import make_plan
from evercast.plan.recipes import SelectionRecipe, Task
from evercast.spec import load_analysis
from evercast.spec.model import Analysis, BinnedChannel
from evercast.stages import selection

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "specs" / "h4l" / "analysis.yaml"
FOLDERS = (
    *(Path(part) for part in os.environ.get("EVERCAST_DATA", "").split(os.pathsep) if part),
    ROOT.parent / "shared" / "data",
)
ANALYSIS = load_analysis(DOCUMENT)
SEARCH = SearchPath(cache=ROOT / "data-cache", folders=tuple(path for path in FOLDERS if path.is_dir()), network=False)

pytestmark = [
    pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning"),  # pyhf uses it
    pytest.mark.public_data,
]


def source_path(name: str) -> Path:
    return fetch_source(ANALYSIS.sources[name], SEARCH)


@pytest.fixture(scope="module")
def channel() -> BinnedChannel:
    found = ANALYSIS.likelihoods["binned"].channels["m4l"]
    assert isinstance(found, BinnedChannel)
    return found


@pytest.fixture(scope="module")
def templates(channel: BinnedChannel) -> dict[str, BinnedYield]:
    made = {}
    for process, name in channel.templates.items():
        histogram = ANALYSIS.histograms[name]
        made[process] = read_histogram(histogram, [source_path(term.source) for term in histogram.terms]).rebin(
            channel.edges
        )
    return made


def select_data(analysis: Analysis, folder: Path) -> EventTable:
    """Run the selection stage of the document on the real events."""
    plan = make_plan(analysis, document_folder=DOCUMENT.parent, pseudo=False)
    recipe = next(unit.recipe for unit in plan.units if unit.stage == "selection" and unit.name == "observed")
    assert isinstance(recipe, SelectionRecipe)
    inputs = {f"file_{index}": source_path(str(file.source)) for index, file in enumerate(recipe.sample.files)}
    selection.run(Task(recipe=recipe, inputs=inputs, output=folder, checkpoint=folder))
    return read_event_table(folder / "events.zarr")


@pytest.fixture(scope="module")
def mass(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    table = select_data(ANALYSIS, tmp_path_factory.mktemp("observed")).in_region("SR")
    return table.columns(["m4l"])[:, 0]


@pytest.fixture(scope="module")
def binned(channel: BinnedChannel, templates: dict[str, BinnedYield], mass: np.ndarray) -> BinnedInput:
    return BinnedInput(
        name="m4l",
        templates=tuple(
            Template(process=process, nominal=templates[process].values, variance=templates[process].variances)
            for process in channel.processes
        ),
        observed=np.histogram(mass, channel.edges)[0].astype(float),
    )


@pytest.fixture(scope="module")
def physics() -> Physics:
    return Physics(parameters=ANALYSIS.parameters, processes=ANALYSIS.processes, systematics=ANALYSIS.systematics)


@pytest.fixture(scope="module")
def outcome(binned: BinnedInput, physics: Physics) -> Outcome:
    model = assemble("binned", binned=[binned], unbinned=[], physics=physics)
    return compute_outcome(Likelihood(model), inference=ANALYSIS.inference)


def test_the_yields_of_the_published_histograms_come_out(templates):
    totals = {process: template.total for process, template in templates.items()}
    expected = {"ZZ": 80.08, "H": 9.73, "DY": 3.85, "ttbar": 0.07}
    assert totals == pytest.approx(expected, abs=0.005)


def test_the_window_around_the_peak(templates, mass, channel):
    """121 to 130 GeV: 12 observed; 4.30 + 8.20 + 0.36 expected (DY and ttbar together)."""
    lower = np.array(channel.edges[:-1])
    window = (lower >= 121) & (lower < 130)
    inside = {process: template.values[window].sum() for process, template in templates.items()}
    assert inside["ZZ"] == pytest.approx(4.30, abs=0.005)
    assert inside["H"] == pytest.approx(8.20, abs=0.005)
    assert inside["DY"] + inside["ttbar"] == pytest.approx(0.36, abs=0.006)
    assert np.sum((mass > 121) & (mass < 130)) == 12


def test_the_selected_events_fill_exactly_the_published_data_histogram(mass, channel, real_data):
    """Two ways to the same 102 events: four-vectors in CSV, and the histograms of the published analysis."""
    folder = real_data / "cms-h4l" / "rootfiles"
    files = {"mass4mu_8TeV_low": "DoubleMu", "mass2mu2e_8TeV_low": "DoubleMu", "mass4e_8TeV_low": "DoubleE"}
    paths = [(folder / f"{stream}{year}.root", name) for name, stream in files.items() for year in (11, 12)]
    published = np.sum([uproot.open(path)[f"demo/{name}"].values() for path, name in paths], axis=0)
    np.testing.assert_array_equal(np.histogram(mass, channel.edges)[0], published)
    assert len(mass) == 102


def test_the_signal_strength_is_the_known_one(outcome):
    mu = outcome.fit.parameter("mu")
    assert mu.value == pytest.approx(0.90, abs=0.005)
    assert mu.uncertainty == pytest.approx(0.40, abs=0.005)
    assert outcome.significance.z == pytest.approx(3.1, abs=0.05)


def test_pyhf_gives_the_same_numbers_on_the_workspace(binned, physics, outcome):
    workspace = pyhf.Workspace(to_workspace([binned], physics, measurement="h4l"))
    pyhf.set_backend("numpy", "minuit")
    try:
        model = workspace.model()
        data = workspace.data(model)
        best, least = pyhf.infer.mle.fit(data, model, return_fitted_val=True)
        _, without = pyhf.infer.mle.fixed_poi_fit(0.0, data, model, return_fitted_val=True)

        def rise(mu: float) -> float:
            return float(pyhf.infer.mle.fixed_poi_fit(mu, data, model, return_fitted_val=True)[1] - least) - 1.0

        mu_hat = float(best[model.config.poi_index])
        interval = brentq(rise, 0.1, mu_hat, xtol=1e-5), brentq(rise, mu_hat, 2.5, xtol=1e-5)
    finally:
        pyhf.set_backend("numpy", "scipy")
    assert mu_hat == pytest.approx(outcome.fit.parameter("mu").value, abs=1e-3)  # tolerance of Minuit
    assert np.sqrt(float(without - least)) == pytest.approx(outcome.significance.z, abs=1e-3)
    assert outcome.interval is not None
    assert (outcome.interval.low, outcome.interval.high) == pytest.approx(interval, abs=2e-3)
