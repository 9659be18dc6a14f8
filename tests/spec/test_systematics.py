"""What a systematic does, whatever its kind; and that a document of each kind is validated and planned."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from evercast.cli import main
from evercast.errors import InvalidDocument
from evercast.spec import analysis_to_json, load_analysis
from evercast.spec.model import (
    Analysis,
    KinematicSystematic,
    NormalisationSystematic,
    SampleSystematic,
    TwoPointSystematic,
    WeightSystematic,
)
from evercast.spec.reader import parse_document
from evercast.spec.schema import check_document
from evercast.spec.systematics import (
    acts_in,
    changes_density,
    directions_of,
    effect_of,
    parameter_of,
    processes_of,
    varied_samples_of,
)

DOCUMENT = Path(__file__).parent / "documents" / "valid" / "systematics.yaml"
INVALID = Path(__file__).parent / "documents" / "invalid"
ALL = ("SBI1", "SBI5", "B", "C")


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return load_analysis(DOCUMENT)


def test_each_kind_becomes_its_dataclass(analysis: Analysis) -> None:
    kinds = {name: type(systematic) for name, systematic in analysis.systematics.items()}
    assert kinds == {
        "lumi": NormalisationSystematic, "xsec_b": NormalisationSystematic, "scale": KinematicSystematic,
        "resolution": KinematicSystematic, "pdf": WeightSystematic, "jets": WeightSystematic,
        "tune": SampleSystematic, "tune_high": SampleSystematic, "generator": TwoPointSystematic,
    }  # fmt: skip


def test_all_stands_for_every_process_in_the_order_of_the_document(analysis: Analysis) -> None:
    assert processes_of(analysis.systematics["lumi"]) == processes_of(analysis.systematics["scale"]) == ALL
    assert analysis_to_json(analysis)["systematics"]["lumi"]["processes"] == list(ALL)


def test_all_leaves_out_no_process_that_comes_later() -> None:
    body = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))
    body["processes"]["D"] = {"sample": "continuum"}
    found = check_document(parse_document(yaml.safe_dump(body, sort_keys=False).encode()))
    assert processes_of(found.systematics["lumi"]) == (*ALL, "D")


@pytest.mark.parametrize(
    ("name", "parameter", "processes", "effect", "density", "directions"),
    [
        ("lumi", "lumi", ALL, "normalisation", False, ("up", "down")),
        ("resolution", "resolution", ("C",), "shape", True, ("up", "down")),
        ("pdf", "pdf", ALL[:3], "normalisation+shape", True, ("up", "down")),
        ("jets", "jets", ("C",), "normalisation", False, ("up", "down")),
        ("tune", "tune", ("B",), "shape", True, ("up", "down")),
        ("tune_high", "tune", ("B",), "normalisation+shape", True, ("up", "down")),
        ("generator", "generator", ("B",), "normalisation+shape", True, ("up",)),
    ],
)
def test_what_a_systematic_does(
    analysis: Analysis, name: str, parameter: str, processes: tuple[str, ...], effect: str, density: bool,
    directions: tuple[str, ...],
) -> None:  # fmt: skip
    one = analysis.systematics[name]
    assert (parameter_of(name, one), processes_of(one), effect_of(one)) == (parameter, processes, effect)
    assert (changes_density(one), directions_of(one)) == (density, directions)


def test_a_systematic_without_channels_acts_in_all(analysis: Analysis) -> None:
    assert acts_in(analysis.systematics["scale"], ["anything"])
    assert acts_in(analysis.systematics["tune"], ["CR", "SR"])
    assert not acts_in(analysis.systematics["tune"], ["CR"])
    assert not acts_in(analysis.systematics["scale"], [])


def test_samples_stand_for_processes_where_they_are_simulated_anew(analysis: Analysis) -> None:
    assert varied_samples_of(analysis.systematics["tune"], "B") == {"up": "background_up", "down": "background_down"}
    assert varied_samples_of(analysis.systematics["generator"], "B") == {"up": "background_other"}
    assert varied_samples_of(analysis.systematics["scale"], "B") == {}


def test_a_document_with_every_kind_is_validated_and_planned(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(DOCUMENT)]) == 0
    assert "valid analysis/1.0.0" in capsys.readouterr().out
    assert main(["plan", str(DOCUMENT)]) == 0
    assert "19 variations of 5 systematics" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("systematics_kind_misspelt", "found the text 'two-point'; expected one of normalisation, shape"),
        ("systematics_kind_misspelt", "(did you mean 'two_point'?)"),
        ("systematic_processes_al", "found 'al'; expected all, or a list of processes"),
        ("systematics_unknown_names", "unknown sample 'backgroundup'"),
        ("systematics_unknown_names", "(did you mean 'background_up'?)"),
        ("systematics_unknown_names", "unknown channel 'SRR'"),
        ("systematics_unknown_names", "unknown parameter 'scael'"),
        (
            "systematics_identical",
            "'up' and 'down' of 'B' are one sample, 'background_up'; the systematic has no effect",
        ),
        ("systematics_identical", "'up' and 'down' are the same weight"),
        ("systematics_identical", "'up' and 'down' change the objects alike; the systematic has no effect"),
        ("systematics_identical", "'background' is the nominal sample of 'B'; the variation changes nothing"),
        ("systematic_down_missing", "$.systematics.tune.samples.B: the key 'down' is missing"),
        ("systematic_down_missing", "(write tight.eta: 1 under 'down' where nothing changes that way)"),
        ("systematics_two_shapes", "the density of 'B' in the ensemble 'ratios' follows the parameter 'tune' already"),
        ("systematic_with_a_free_parameter", "'lumi', which is not a unit Gaussian around 0; found constraint: none"),
        ("systematic_transform_of_nothing", "unknown collection 'muon'; expected one of muons, particles, tight"),
        ("systematic_transform_of_nothing", "unknown property 'pT' of an item that can change"),
        ("systematic_in_another_channel", "the channel 'CR' has none of the processes of the systematic; found SBI1"),
        ("basis_singular", "dependent features: 'sqrt(mu)', 'mu'; dependent points: 'SBI1', 'SBI5'"),
        ("basis_dependent_features", "dependent features: 'mu', '2 * mu'"),
        ("basis_of_another_size", "2 features need as many points; found 3 points"),
        ("basis_points_incomplete", "the point has no value of mu, which a feature uses"),
        ("basis_feature_undefined", "the feature 'log(mu)' is undefined at mu = 0"),
        ("basis_in_pyhf", "the coefficient of 'SBI1' comes from the basis 'interference'"),
        ("basis_in_pyhf", "the systematic 'lumi' has interpolation code 1; a workspace cannot say so"),
        ("toys_without_values", "pseudo-experiments for 'coverage' need values of the parameter of interest"),
        ("toys_out_of_bounds", "the value 11 is outside the bounds of 'mu'; expected 0 to 10"),
        ("training_statistics_without_replicas", "(add bootstrap: {replicas: 20} to the ensemble 'ratios')"),
        ("polynomial_of_one_point", "a polynomial of degree 2 needs two (degree: 1, or kind: anchor)"),
    ],
)
def test_a_problem_names_the_culprit(name: str, expected: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        load_analysis(INVALID / f"{name}.yaml")
    assert expected in str(caught.value)


def test_a_weight_of_a_misspelt_column_is_named(tmp_path: Path) -> None:
    text = (INVALID / "systematics_identical.yaml").read_text(encoding="utf-8")
    path = tmp_path / "analysis.yaml"
    path.write_text(text.replace("1 + 0.1 * n_jets", "1 + 0.1 * nJets"), encoding="utf-8")
    with pytest.raises(InvalidDocument) as caught:
        load_analysis(path)
    assert "unknown name 'nJets'" in str(caught.value)
    assert "did you mean 'n_jets'?" in str(caught.value)


def _with(**changes: object) -> dict[str, object]:
    body: dict[str, object] = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))
    return {**body, **changes}


def _checked(body: dict[str, object]) -> Analysis:
    return check_document(parse_document(yaml.safe_dump(body, sort_keys=False).encode()))


def test_a_declared_unit_gaussian_is_the_parameter_of_a_systematic(analysis: Analysis) -> None:
    assert analysis.parameters["lumi"].constraint == "normal"
    assert parameter_of("lumi", analysis.systematics["lumi"]) == "lumi"


def test_a_free_normalisation_in_no_control_region_is_legal(analysis: Analysis) -> None:
    body = _with(likelihoods={"neural": {"channels": {"SR": {"kind": "unbinned", "ensemble": "ratios"}}}})
    body["systematics"], body["ensembles"] = {}, {"ratios": body["ensembles"]["ratios"]}  # type: ignore[index]
    body["inference"] = {"scan_range": [0, 3]}
    assert analysis.parameters["norm_continuum"].constraint == "none"
    assert _checked(body).processes["C"].coefficient == "norm_continuum"


def test_a_parameter_may_change_a_yield_by_two_systematics() -> None:
    body = _with()
    systematics = body["systematics"]
    assert isinstance(systematics, dict)
    systematics["more"] = {"kind": "normalisation", "processes": ["B"], "up": 1.2, "down": 0.8, "parameter": "tune"}
    assert parameter_of("more", _checked(body).systematics["more"]) == "tune"


def test_one_parameter_may_change_one_density_in_different_channels(analysis: Analysis) -> None:
    assert analysis.systematics["tune"].channels == ("SR",)
    assert analysis.systematics["tune_high"].channels == ("high",)
