"""Requests to the archive of the toy run: a new Gaussian process whose density is known, the model elsewhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from replays import pack
from scipy.special import ndtr
from scipy.stats import norm

from evercast.artifacts.arrays import read_arrays
from evercast.artifacts.event_table import read_event_table
from evercast.artifacts.files import sha256_file
from evercast.artifacts.likelihood_file import read_likelihood
from evercast.errors import EvercastError, IntegrityError, InvalidInput
from evercast.events.sources import search_path_from_environment
from evercast.inference.fit import fit
from evercast.inference.limits import upper_limit
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import BinnedChannelModel, BinnedSample, LikelihoodModel, NormSys, ParameterModel
from evercast.publication.bundle_verify import verify_bundle
from evercast.reinterpretation.archived import ArchivedRun, open_archived
from evercast.reinterpretation.catalogue.stored import Catalogue
from evercast.reinterpretation.neural import (
    NeuralAnswers,
    answer_neural,
    check_neural,
    freeze_neural,
    read_frozen_neural,
)
from evercast.reinterpretation.neural.answers import ModelPointAnswer, ParametrisationAnswer, ProcessAnswer
from evercast.reinterpretation.neural.response import write_neural_response
from evercast.reinterpretation.requests.kinds import open_preserved
from evercast.reinterpretation.requests.read import read_request
from evercast.spec import analysis_to_json, load_analysis
from response_checks import assert_shown, page_of, response_of
from workflow_documents import ROOT

BACKGROUND, SIGNAL, BUMP = ((0.0, 0.0), 1.0), ((1.5, 1.0), 0.8), ((0.8, -1.2), 0.5)
"""(mean, width) of the Gaussian densities; the first two are those of specs/toy/make_events.py."""
BUMP_EVENTS = 40.0
LEVEL = 0.9


def _density(x: np.ndarray, y: np.ndarray, shape: tuple[tuple[float, float], float]) -> np.ndarray:
    """Density in SR, x > -0.5, with unit integral there (x < 10 cuts nothing)."""
    (mean_x, mean_y), width = shape
    inside = 1.0 - ndtr((-0.5 - mean_x) / width)
    return np.asarray(norm.pdf(x, mean_x, width) * norm.pdf(y, mean_y, width) / inside)


def _write(folder: Path, name: str, parts: list[tuple[tuple[tuple[float, float], float], int]], seed: int) -> str:
    """Write events and return what a request says of the file."""
    random = np.random.default_rng(seed)
    events = np.concatenate([random.normal(mean, width, size=(count, 2)) for (mean, width), count in parts])
    path = folder / name
    path.write_text("x_reco,y_reco\n" + "".join(f"{x!r},{y!r}\n" for x, y in random.permutation(events).tolist()))
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    known = f"path: {name}, sha256: {digest}, size_bytes: {len(content)}"
    return f"{{{known}, events: {len(events)}, format: csv}}"


def _request(folder: Path, points: str, wanted: str, *, parametrisation: str = "") -> Path:
    text = (
        "schema: request/1.0.0\nname: asked\nanalysis: {name: toy}\ncollision: {beams: pp, sqrt_s_tev: 13}\n"
        f"signal:\n{parametrisation}  points:\n{points}wanted: {wanted}\n"
    )
    (folder / "request.yaml").write_text(text)
    return folder


def _point(name: str, file: str, cross_section: float, meaning: str) -> str:
    return (
        f"    {name}:\n      cross_section: {{value_pb: {cross_section}, relative_uncertainty: 0.1}}\n"
        f"      events: {{files: [{file}]}}\n      {meaning}\n"
    )


def _answer(folder: Path, archive: Path) -> NeuralAnswers:
    """Check, freeze and answer the request in a folder, as `evercast request run` does."""
    resolved = check_neural(read_request(folder / "request.yaml"), open_archived(archive), folder=folder)
    run = freeze_neural(resolved, root=folder, document=folder / "request.yaml").run
    return answer_neural(read_frozen_neural(folder, run), cores=2, profile="default")


@dataclass(frozen=True)
class _Answered:
    folder: Path
    archive: Path
    answers: NeuralAnswers

    @property
    def bump(self) -> ProcessAnswer:
        point = self.answers.points[0]
        assert isinstance(point, ProcessAnswer)
        assert point.status in {"ok", "at-bound"}, point.reason
        return point


@pytest.fixture(scope="module")
def archive(toy_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(toy_run, tmp_path_factory.mktemp("asked") / "archive")


@pytest.fixture(scope="module")
def archived(archive: Path) -> ArchivedRun:
    return open_archived(archive)


WANTED = f"{{toys: 110, injection: [1.0], neyman: true, confidence_level: {LEVEL}}}"
PROCESS = "process: {parameter: mu_new, bounds: [0, 10]}"


@pytest.fixture(scope="module")
def first(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> _Answered:
    """A new process, asked alone."""
    folder = tmp_path_factory.mktemp("request")
    bump = _point("bump", _write(folder, "bump.csv", [(BUMP, 6000)], 5), BUMP_EVENTS / 1000, PROCESS)
    _request(folder, bump, WANTED)
    return _Answered(folder=folder, archive=archive, answers=_answer(folder, archive))


@pytest.fixture(scope="module")
def second(first: _Answered) -> _Answered:
    """The same request with a point of the archived model and another parametrisation added."""
    folder = first.folder
    bump = _point("bump", _write(folder, "bump.csv", [(BUMP, 6000)], 5), BUMP_EVENTS / 1000, PROCESS)
    parts = [(SIGNAL, 2000), (BACKGROUND, 10000)]
    doubled = _point("doubled", _write(folder, "doubled.csv", parts, 6), 1.2, "model_point: {mu: 2.0}")
    document = "schema: parametrisation/1.0.0\nparameters:\n  kappa: {poi: true, initial: 1, bounds: [0, 3]}\n"
    document += 'coefficients: {S: "kappa**2"}\n'
    (folder / "kappa.yaml").write_text(document)
    digest = hashlib.sha256(document.encode()).hexdigest()
    stated = f"  parametrisation: {{path: kappa.yaml, sha256: {digest}, size_bytes: {len(document)}}}\n"
    _request(folder, bump + doubled, WANTED, parametrisation=stated)
    return _Answered(folder=folder, archive=first.archive, answers=_answer(folder, first.archive))


def _named(units: Any, origin: str, stage: str) -> list[str]:
    return sorted(unit.name for unit in units if unit.origin == origin and unit.stage == stage)


def test_nothing_that_the_archive_has_is_selected_or_trained_again(first: _Answered) -> None:
    units = first.bump.units
    assert _named(units, "archive", "training") == ["ratios-B-0", "ratios-S-0"]
    assert _named(units, "archive", "selection") == ["background", "observed", "signal"]
    assert len(_named(units, "archive", "command")) == 4
    assert _named(units, "computed", "training") == ["ratios-bump-0"]
    assert len(_named(units, "computed", "selection")) == 1
    archived = first.archive / "v1" / "data" / "units"
    taken = [unit for unit in units if unit.origin == "archive"]
    for unit in taken:
        own = first.bump.run / "work" / unit.stage / unit.id / "receipt.json" if first.bump.run else Path()
        assert own.read_bytes() == (archived / unit.stage / unit.id / "receipt.json").read_bytes()


def test_the_learned_ratio_is_the_exact_one(first: _Answered) -> None:
    work = first.bump.run / "work" if first.bump.run else Path()
    (evaluation,) = (work / "evaluation" / unit.id for unit in first.bump.units if unit.stage == "evaluation")
    (sample,) = (path for path in evaluation.glob("signal_*.zarr"))
    stored = read_arrays(sample)
    processes = stored.attributes["processes"]
    assert isinstance(processes, list)
    learned = np.asarray(stored.arrays["log_ratio"])[:, processes.index("bump")]
    assert first.bump.selection is not None
    table = read_event_table(first.bump.selection / "events.zarr").in_region("SR")
    x, y = table.columns(["x", "y"]).T
    reference = 0.5 * _density(x, y, SIGNAL) + 0.5 * _density(x, y, BACKGROUND)
    difference = learned - np.log(_density(x, y, BUMP) / reference)
    assert -0.1 < difference.mean() < 0.02  # of 1.9 what two networks of 16 x 2 lose, as small as the archived ones
    assert np.abs(difference).mean() < 0.3
    closure = first.bump.closure[0]
    assert abs(closure.mean - 1.0) < 4.0 * closure.error
    assert {one.name for one in closure.observables} == {"x", "y"}


def test_an_injected_signal_is_recovered(first: _Answered) -> None:
    (injected,) = first.bump.injection
    assert injected.value == 1.0
    assert injected.toys == 110
    assert injected.failed == 0
    assert abs(injected.mean - 1.0) < 3.0 * injected.error + 0.05  # 5 %: what small networks leave
    assert first.bump.expected is not None
    assert first.bump.expected.uncertainty is not None
    assert abs(injected.spread / first.bump.expected.uncertainty - 1.0) < 0.25  # 110 toys: 7 %; bound at 0
    assert abs(first.bump.expected.value - 1.0) < 0.25 * first.bump.expected.uncertainty
    for _, share, error in injected.coverage:
        level = next(one for one, other, _ in injected.coverage if other == share)
        assert abs(share - level) < 4.0 * error


def _exact(archived: ArchivedRun) -> LikelihoodModel:
    """The exact densities in fine bins of x and y, the observed events counted in them, and CR as it is."""
    selections = {unit.name: archived.side.folder(unit) for unit in archived.side.plan.of_stage("selection")}
    observed = read_event_table(selections["observed"] / "events.zarr")
    x_edges, y_edges = np.linspace(-0.5, 5.0, 56), np.linspace(-4.5, 4.5, 91)

    def counts(shape: tuple[tuple[float, float], float], events: float) -> np.ndarray:
        (mean_x, mean_y), width = shape
        in_x, in_y = np.diff(ndtr((x_edges - mean_x) / width)), np.diff(ndtr((y_edges - mean_y) / width))
        return np.asarray(events * np.outer(in_x, in_y)).ravel()

    def samples(values: Mapping[str, np.ndarray]) -> tuple[BinnedSample, ...]:
        rate = (NormSys(parameter="norm_b", up=1.1, down=0.9),)
        coefficients = {"S": "mu", "B": "1", "bump": "mu_new"}
        return tuple(
            BinnedSample(
                name=name, nominal=nominal, coefficient=coefficients[name], modifiers=rate if name == "B" else ()
            )
            for name, nominal in values.items()
        )

    shapes = {"S": (SIGNAL, 100.0), "B": (BACKGROUND, 1000.0), "bump": (BUMP, BUMP_EVENTS)}
    seen = observed.in_region("SR").columns(["x", "y"])
    signal_region = BinnedChannelModel(
        name="SR", samples=samples({name: counts(*shape) + 1e-12 for name, shape in shapes.items()}),
        observed=np.histogram2d(seen[:, 0], seen[:, 1], bins=[x_edges, y_edges])[0].ravel(),
    )  # fmt: skip
    outside = {
        name: np.array([events * ndtr((-0.5 - shape[0][0]) / shape[1])]) for name, (shape, events) in shapes.items()
    }
    control = BinnedChannelModel(
        name="CR", samples=samples(outside), observed=np.array([float(len(observed.in_region("CR")))])
    )
    parameters = (
        ParameterModel(name="mu", initial=1.0, bounds=(0.0, 5.0)),
        ParameterModel(name="mu_new", initial=1.0, bounds=(0.0, 10.0), poi=True),
        ParameterModel(name="norm_b", bounds=(-5.0, 5.0), constraint="normal"),
    )
    return LikelihoodModel(name="exact", parameters=parameters, channels=(signal_region, control))


def test_the_limit_is_that_of_the_exact_densities(first: _Answered, archived: ArchivedRun) -> None:
    limits = first.bump.limits
    assert limits is not None
    assert limits.observed is not None
    exact = upper_limit(Likelihood(_exact(archived)), confidence_level=LEVEL)
    assert limits.expected[2] == pytest.approx(exact.expected[2], rel=0.1)
    assert exact.observed is not None
    one_sigma = 0.5 * (exact.expected[3] - exact.expected[1])
    assert limits.observed == pytest.approx(exact.observed, abs=0.5 * one_sigma)


def test_the_neyman_construction_agrees_with_the_asymptotic_interval(first: _Answered) -> None:
    neyman, limits = first.bump.neyman, first.bump.limits
    assert neyman is not None
    assert limits is not None
    assert (neyman.confidence_level, neyman.toys, neyman.failed) == (LEVEL, 110, 0)
    assert neyman.high is not None
    assert neyman.asymptotic_high is not None
    assert not neyman.open_high
    assert neyman.high == pytest.approx(neyman.asymptotic_high, rel=0.35)  # 110 toys, and the bound at 0
    assert neyman.values[0] == 0.0
    assert neyman.values[-1] == pytest.approx(1.6 * float(limits.observed or 0.0), rel=0.01)


def test_the_domain_is_looked_at_first(first: _Answered) -> None:
    (share,) = first.bump.domain
    assert (share.ensemble, share.region, share.largest) == ("ratios", "SR", 0.05)
    assert 0.0 < share.outside < 0.03
    assert not share.refused
    assert first.bump.inside is not None
    assert first.bump.limits is not None
    assert first.bump.inside.expected[2] == pytest.approx(
        first.bump.limits.expected[2] / (1.0 - share.outside), rel=0.02
    )


def test_a_signal_outside_of_the_training_is_refused_before_anything_is_trained(archive: Path, tmp_path: Path) -> None:
    far = _write(tmp_path, "far.csv", [(((4.5, -3.5), 0.4), 500), (BUMP, 500)], 7)
    _request(tmp_path, _point("far", far, 0.04, PROCESS), "{}")
    with pytest.raises(InvalidInput) as refused:
        _answer(tmp_path, archive)
    assert refused.value.code == "request.outside-domain"
    assert "50" in refused.value.message  # half of the events
    assert "x " in refused.value.message
    trained = {path.name.rpartition("-")[0] for path in (tmp_path / "work/run/work").glob("training/*")}
    assert trained <= {"ratios-B-0", "ratios-S-0"}


def test_a_stricter_share_may_be_asked_for(archive: Path, tmp_path: Path) -> None:
    bump = _point("bump", _write(tmp_path, "bump.csv", [(BUMP, 1000)], 5), 0.04, PROCESS)
    _request(tmp_path, bump, "{largest_share_outside: 0.0001}")
    with pytest.raises(InvalidInput) as refused:
        _answer(tmp_path, archive)
    assert refused.value.code == "request.outside-domain"
    assert "0.01 %" in refused.value.message


def test_an_added_point_makes_its_own_units_alone(first: _Answered, second: _Answered) -> None:
    before = {unit.id for unit in first.bump.units}
    assert {unit.id for unit in second.bump.units} == before
    assert {unit.origin for unit in second.bump.units} == {"archive", "present"}
    doubled = second.answers.points[1]
    computed = [unit for unit in doubled.units if unit.origin == "computed"]
    assert [unit.stage for unit in computed] == ["selection"]
    assert replace(second.bump, units=(), seconds=0.0) == replace(first.bump, units=(), seconds=0.0)


def test_a_sample_of_the_model_elsewhere_closes_at_its_point(second: _Answered) -> None:
    doubled = second.answers.points[1]
    assert isinstance(doubled, ModelPointAnswer)
    assert doubled.declared == {"mu": 2.0}
    assert doubled.closure is not None
    assert abs(doubled.pulls["mu"]) < 0.5  # the sample is 10 times the data: 0.3, and what the networks leave
    for channel in ("SR", "CR"):
        assert doubled.expected_events[channel] == pytest.approx(doubled.model_events[channel], rel=0.03)
    assert doubled.observed is not None
    assert doubled.observed.uncertainty is not None
    distance = (2.0 - doubled.observed.value) / doubled.observed.uncertainty
    assert doubled.twice_nll_ratio == pytest.approx(distance**2, rel=0.25)  # a parabola
    assert doubled.p_value is not None
    assert doubled.p_value < 1e-4


def test_another_parametrisation_trains_nothing(second: _Answered) -> None:
    kappa, doubled = second.answers.points[2], second.answers.points[1]
    assert isinstance(kappa, ParametrisationAnswer)
    assert isinstance(doubled, ModelPointAnswer)
    assert {unit.origin for unit in kappa.units} == {"archive"}
    assert kappa.parameter == "kappa"
    assert "mu" not in kappa.parameters
    assert kappa.observed is not None
    assert doubled.observed is not None
    assert kappa.observed.interval[0] == pytest.approx(np.sqrt(doubled.observed.interval[0]), rel=1e-3)
    assert kappa.limits is not None
    assert kappa.limits.observed is not None


def test_an_archive_that_was_changed_is_refused(archive: Path, archived: ArchivedRun, tmp_path: Path) -> None:
    bump = _point("bump", _write(tmp_path, "bump.csv", [(BUMP, 100)], 5), 0.04, PROCESS)
    _request(tmp_path, bump, "{}")
    resolved = check_neural(read_request(tmp_path / "request.yaml"), archived, folder=tmp_path)
    frozen = freeze_neural(resolved, root=tmp_path, document=tmp_path / "request.yaml")
    other = tmp_path / "other"
    (other / "data").mkdir(parents=True)
    for name in ("bagit.txt", "bag-info.txt", "manifest-sha256.txt", "tagmanifest-sha256.txt"):
        (other / name).write_bytes((archive / "v1" / name).read_bytes())
    with pytest.raises(IntegrityError) as changed:
        answer_neural(replace(frozen, archive=other), cores=1, profile="default")
    assert changed.value.exit_code == 5


def _refused(folder: Path, archived: ArchivedRun, point: str, wanted: str = "{}") -> str:
    _request(folder, point, wanted)
    with pytest.raises(EvercastError) as found:
        check_neural(read_request(folder / "request.yaml"), archived, folder=folder)
    return found.value.code


def test_what_does_not_fit_the_archive_is_refused(archived: ArchivedRun, tmp_path: Path) -> None:
    file = _write(tmp_path, "bump.csv", [(BUMP, 100)], 5)

    def code(meaning: str, wanted: str = "{}") -> str:
        return _refused(tmp_path, archived, _point("bump", file, 0.04, meaning), wanted)

    assert code("process: {parameter: mu}") == "request.parameter"
    assert code("process: {parameter: norm_b}") == "request.parameter"
    assert code('process: {parameter: a, coefficient: "a * b"}') == "request.coefficient"
    assert code("process: {parameter: a, bounds: [1, 2]}") == "request.bounds"
    assert code('process: {parameter: a, coefficient: "1 + a"}') == "request.coefficient"  # nothing is absent at 0
    assert code('process: {parameter: a, coefficient: "-a"}') == "request.coefficient"
    assert code('process: {parameter: a, coefficient: "log(a)"}') == "request.coefficient"
    assert code("process: {parameter: a, bounds: [0, 0.5]}") == "request.mu"  # CLs is asked at 1
    assert code("model_point: {nu: 1}") == "request.parameter"
    assert code("model_point: {mu: 7}") == "request.bounds"
    assert code(PROCESS, "{toys: 100, neyman: true}") == "request.toys"
    assert code(PROCESS, "{toys: 100, injection: [20]}") == "request.bounds"
    twice = _point("one", file, 0.04, PROCESS) + _point("two", file, 0.04, PROCESS)
    assert _refused(tmp_path, archived, twice) == "request.duplicate-point"
    shorter = file.replace("events: 100", "events: 120")
    assert _refused(tmp_path, archived, _point("bump", shorter, 0.04, PROCESS)) == "request.file-events"


def test_a_derived_document_is_an_analysis_of_its_own(first: _Answered) -> None:
    assert first.bump.document is not None
    body = json.loads(first.bump.document.read_text())
    archived = yaml.safe_load((first.archive / "v1/data/document/analysis.yaml").read_text())
    assert body["parameters"]["mu"] == {**archived["parameters"]["mu"], "poi": False}
    assert body["parameters"]["mu_new"] == {"poi": True, "initial": 1.0, "bounds": [0.0, 10.0]}
    assert body["ensembles"]["ratios"]["processes"] == ["S", "B", "bump"]
    assert body["selection"] == archived["selection"]
    assert list(body["likelihoods"]) == ["neural"]


def test_a_bundle_alone_says_what_it_lacks(toy_run: Path, tmp_path: Path) -> None:
    (bundle,) = (path.parent for path in toy_run.glob("results/*/likelihood/neural/manifest.json"))
    known = search_path_from_environment({"EVERCAST_CACHE": str(tmp_path)})
    with pytest.raises(InvalidInput) as refused:
        open_preserved(str(bundle), Catalogue(file=tmp_path / "catalogue.json"), known)
    assert refused.value.code == "request.bundle"
    assert "simulated events of the reference" in refused.value.message
    assert "evercast fit" in (refused.value.hint or "")


@pytest.mark.parametrize("document", sorted((ROOT / "specs").glob("*/requests/*.yaml")), ids=lambda path: path.stem)
def test_requests_that_are_shipped_fit_their_analyses(document: Path, archived: ArchivedRun, tmp_path: Path) -> None:
    analysis = load_analysis(document.parents[1] / "analysis.yaml")
    side = replace(archived.side, body=analysis_to_json(analysis))
    resolved = check_neural(read_request(document), replace(archived, side=side), folder=tmp_path)
    assert resolved.request.analysis.name == analysis.name
    assert resolved.likelihood == "neural"
    assert all(signal.generator is not None for signal in resolved.signals.values())


@pytest.fixture(scope="module")
def responded(second: _Answered) -> Path:
    """The response to all three points."""
    frozen = [read_frozen_neural(second.folder, run.name) for run in (second.folder / "runs").iterdir()]
    asked = next(entry for entry in frozen if len(entry.points) == len(second.answers.points))
    return write_neural_response(asked, second.answers)


def test_the_response_says_what_was_found(second: _Answered, responded: Path) -> None:
    body = response_of(responded)
    bump, doubled, kappa = body["points"]
    assert body["verdict"].endswith(f"signals are excluded at {100 * LEVEL:g} % confidence level: bump, doubled.")
    assert body["counts"] == {
        "points": 3, "excluded": 2, "not_excluded": 0, "no_events": 0, "failed": 0, "refused": 0
    }  # fmt: skip
    assert second.bump.limits is not None
    assert bump["limit"]["expected"] == list(second.bump.limits.expected)
    assert bump["process"]["neyman"]["high"] == (second.bump.neyman.high if second.bump.neyman else None)
    assert bump["process"]["injection"][0]["mean"] == second.bump.injection[0].mean
    assert {check["outcome"] for check in bump["process"]["checks"]} <= {"green", "amber", "red", "not-applicable"}
    assert any(check["id"].startswith("closure.ratios.") for check in bump["process"]["checks"])
    scan = bump["process"]["scans"][0]
    assert scan["data"] == "observed"
    assert min(value for value in scan["twice_nll_ratio"] if value is not None) == pytest.approx(0.0, abs=0.05)
    elsewhere = second.answers.points[1]
    assert isinstance(elsewhere, ModelPointAnswer)
    assert doubled["model_point"]["pulls"] == dict(elsewhere.pulls)
    assert kappa["parametrisation"]["parameter"] == "kappa"
    assert {unit["origin"] for unit in body["units"]} == {"archive", "present", "computed"}
    kept = [unit["id"] for unit in body["units"] if unit["origin"] != "computed"]
    assert body["reused"]["units"] == kept


def test_shapes_of_the_signal_are_those_of_its_density(responded: Path) -> None:
    """In bins of x the learned samples have the shares of the Gaussian densities they were drawn from."""
    (bump, *_) = response_of(responded)["points"]
    found = next(entry for entry in bump["process"]["distributions"] if entry["quantity"] == "x")
    edges = np.array(found["edges"])
    inner = slice(1, -1)  # the first and last bin hold what lies beyond
    for curve in found["curves"]:
        shape = {"new signal": BUMP, "S": SIGNAL, "B": BACKGROUND}.get(curve["name"])
        if shape is None:
            continue
        (mean, _), width = shape
        inside = 1.0 - ndtr((-0.5 - mean) / width)
        exact = np.diff(ndtr((np.maximum(edges, -0.5) - mean) / width)) / inside
        pull = (np.array(curve["fraction"]) - exact)[inner] / np.maximum(np.array(curve["error"])[inner], 1e-4)
        assert np.abs(pull).max() < 5.0
    names = {curve["name"] for curve in found["curves"]}
    assert names == {"new signal", "S", "B", "reference", "data"}


def test_the_page_of_an_archived_run_shows_the_same_numbers(responded: Path) -> None:
    body = response_of(responded)
    page, cells = page_of(responded)
    for anchor in (
        "limits",
        "profile-0",
        "domain-0",
        "shapes-0-observable",
        "shapes-0-log-ratio",
        "injection-0",
        "checks",
    ):
        assert f'id="{anchor}"' in page
    bump = body["points"][0]
    assert_shown(cells, *bump["limit"]["expected"], bump["limit"]["observed"], bump["process"]["neyman"]["high"])
    assert_shown(cells, bump["cls"]["observed"], bump["process"]["domain"][0]["effective_events"])
    assert any(cell.startswith(f"{bump['process']['injection'][0]['mean']:.4g} ±") for cell in cells)
    assert f"{len(body['units'])} units of work" in page


def test_the_updated_likelihood_verifies(second: _Answered, responded: Path) -> None:
    (bump, *_) = response_of(responded)["points"]
    said = bump["process"]["bundle"]
    verified = verify_bundle(responded / said["folder"])
    assert said["manifest"] == sha256_file(responded / said["folder"] / "manifest.json")
    assert verified.bundle.manifest["disclosure"] == said["disclosure"]
    model = read_likelihood(responded / said["folder"])
    assert model.poi is not None
    assert model.poi.name == "mu_new"
    best = fit(Likelihood(model))
    assert second.bump.observed is not None
    assert best.value("mu_new") == pytest.approx(second.bump.observed.value, abs=1e-3)
