"""Serialization with systematics of all kinds, on a toy whose ratios and variations are exact."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pyhf
import pytest
from learning_tasks import ENSEMBLE, tables
from serialized_toy import (
    PROCESSES,
    log_ratio,
    log_shift,
    nominal_inputs,
    polynomial_inputs,
    replica_inputs,
    variation_inputs,
    varied,
    write_evaluation,
    write_selection,
)

from evercast.artifacts.bundle_networks import (
    PolynomialNetworks,
    RatioNetworks,
    reference_coefficients,
    reference_log_ratio,
)
from evercast.artifacts.files import sha256_file
from evercast.artifacts.likelihood_folder import open_likelihood, read_index
from evercast.artifacts.weights import read_weights
from evercast.errors import EvercastError
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import (
    AnchorMorph,
    EventSet,
    HistoSys,
    NormSys,
    PolynomialMorph,
    UnbinnedChannelModel,
)
from evercast.plan.recipes import SerializationRecipe, Task
from evercast.schemas import load_schema
from evercast.spec.model import (
    BinnedChannel,
    BinnedPublication,
    Bootstrap,
    KinematicSystematic,
    LikelihoodSpec,
    Metadata,
    Morphing,
    MorphingBasis,
    NormalisationSystematic,
    Observable,
    Parameter,
    Process,
    Publish,
    Region,
    Selection,
    TwoPointSystematic,
    UnbinnedChannel,
    UnbinnedPublication,
    WeightSystematic,
)
from evercast.stages import serialization

pytestmark = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")  # pyhf uses it

EDGES = (-350.0, -150.0, -50.0, 0.0, 50.0, 150.0, 350.0)
BINNED = BinnedChannel(kind="binned", region="SR", observable="x", edges=EDGES, processes=PROCESSES)
CONTROL = BinnedChannel(kind="binned", region="CR", observable="x", edges=(-600.0, 0.0, 600.0), processes=PROCESSES)
UNBINNED = UnbinnedChannel(kind="unbinned", ensemble="ratios")
JES = KinematicSystematic(kind="kinematic", processes=PROCESSES, up={"x.pt": 1.1}, down={"x.pt": 0.9}, title="JES")
SYSTEMATICS = {
    "luminosity": NormalisationSystematic(kind="normalisation", processes=PROCESSES, up=1.02, down=0.98),
    "jes": JES,
    "isr": WeightSystematic(
        kind="weight", processes=("background",), up="1.1", down="0.9", effect="normalisation", channels=("SR", "bins")
    ),
    "shower": TwoPointSystematic(kind="two_point", samples={"signal": "other"}),
    "generator": TwoPointSystematic(kind="two_point", samples={"signal": "other"}, symmetrise=True, effect="shape"),
}
SHIFT, OTHER = 0.2, 0.1
"""Of the means at +1 of jes, and of the alternative signal."""
FACTOR = {"up": 1.05, "down": 0.97}

RECIPE = SerializationRecipe(
    analysis="toy",
    title="a toy",
    metadata=Metadata(experiment="toy", sqrt_s_tev=(13.0,), luminosity_fb=1.0, license="CC0-1.0"),
    selection=Selection(
        observables={name: Observable(expression=name, unit="GeV" if name != "y" else "1") for name in "xyz"},
        regions={"SR": Region(cut="x < 0"), "CR": Region(cut="x > 0")},
    ),
    parameters={"mu": Parameter(initial=1.0, bounds=(0.0, 10.0), poi=True)},
    processes={
        "signal": Process(sample="signal_mc", coefficient="mu"),
        "background": Process(sample="background_mc"),
    },
    morphing_bases={},
    systematics=SYSTEMATICS,
    ensembles={"ratios": ENSEMBLE},
    histograms={},
    likelihoods={
        "binned": LikelihoodSpec(channels={"bins": BINNED}),
        "neural": LikelihoodSpec(channels={"SR": UNBINNED, "control": CONTROL}),
    },
    publish=Publish(
        pyhf=BinnedPublication(likelihood="binned", measurement="toy"),
        neural_likelihood=UnbinnedPublication(likelihood="neural"),
    ),
    data_sample="observed",
)


def varied_selections(folder: Path) -> dict[str, Path]:
    inputs = {}
    for process in PROCESSES:
        table = tables()[f"{process}_mc"]
        for direction, sign in (("up", 1.0), ("down", -1.0)):
            moved = varied(table, shift=sign * SHIFT, factor=FACTOR[direction])
            inputs[f"varied.jes.{process}.{direction}"] = write_selection(folder, f"{process}-jes-{direction}", moved)
    background = tables()["background_mc"]
    for direction, factor in (("up", 1.1), ("down", 0.9)):
        unit = write_selection(folder, f"background-isr-{direction}", varied(background, factor=factor))
        inputs[f"varied.isr.background.{direction}"] = unit
    other = write_selection(folder, "other", varied(tables()["signal_mc"], shift=OTHER, factor=1.25))
    return inputs | {"varied.shower.signal.up": other, "varied.generator.signal.up": other}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    return {
        **nominal_inputs(folder),
        **varied_selections(folder),
        **variation_inputs(folder, "jes", dict.fromkeys(PROCESSES, (SHIFT, -SHIFT))),
        **variation_inputs(folder, "shower", {"signal": (OTHER, None)}),
        **variation_inputs(folder, "generator", {"signal": (OTHER, None)}),
    }


def serialize(folder: Path, inputs: dict[str, Path], recipe: SerializationRecipe = RECIPE) -> Path:
    output = folder / "output"
    output.mkdir(parents=True)
    serialization.run(Task(recipe=recipe, inputs=inputs, output=output, checkpoint=folder))
    return output / "likelihood"


@pytest.fixture(scope="module")
def made(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return serialize(tmp_path_factory.mktemp("made"), inputs)


@pytest.fixture(scope="module")
def channel(made: Path) -> UnbinnedChannelModel:
    return next(one for one in open_likelihood(made, "neural").channels if one.name == "SR")


def signal_region(sample: str):
    return tables()[sample].in_region("SR")


def test_yields_follow_the_sums_of_the_varied_events(channel):
    signal, background = channel.components
    both = (NormSys(parameter="luminosity", up=1.02, down=0.98), NormSys(parameter="jes", up=1.05, down=0.97))
    assert [one.parameter for one in signal.modifiers] == ["luminosity", "jes", "shower"]
    for found, wanted in zip(signal.modifiers, (*both, NormSys(parameter="shower", up=1.25, down=1.0)), strict=True):
        assert (found.up, found.down) == (pytest.approx(wanted.up), pytest.approx(wanted.down))
    last = background.modifiers[-1]
    assert (last.parameter, last.up, last.down) == ("isr", pytest.approx(1.1), pytest.approx(0.9))


def test_every_shape_is_an_anchor_with_its_columns(channel):
    assert channel.anchors == (
        AnchorMorph(process="signal", parameter="jes"),
        AnchorMorph(process="signal", parameter="shower"),
        AnchorMorph(process="signal", parameter="generator"),
        AnchorMorph(process="background", parameter="jes"),
    )
    table = signal_region("observed")
    up = np.stack(
        [log_shift(table, process, shift) for process, shift in
         (("signal", SHIFT), ("signal", OTHER), ("signal", OTHER), ("background", SHIFT))], axis=1,
    )  # fmt: skip
    np.testing.assert_allclose(channel.events.log_up, up, atol=1e-6)
    np.testing.assert_allclose(channel.events.log_down[:, 0], log_shift(table, "signal", -SHIFT), atol=1e-6)
    np.testing.assert_array_equal(channel.events.log_down[:, 1], 0.0)
    np.testing.assert_array_equal(channel.events.log_down[:, 2], -channel.events.log_up[:, 2])


def test_the_reference_has_its_shares_and_the_simulation_its_expected_events(channel):
    signal, background = signal_region("signal_mc"), signal_region("background_mc")
    reference = channel.reference
    assert len(reference.weight) == len(signal) + len(background)
    assert reference.weight[: len(signal)].sum() == pytest.approx(0.5)
    assert reference.weight.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(reference.log_up[: len(signal), 0], log_shift(signal, "signal", SHIFT), atol=1e-6)
    assert channel.simulation.weight.sum() == pytest.approx(signal.weight.sum() + background.weight.sum())
    np.testing.assert_allclose(
        channel.simulation.log_down[len(signal) :, 3], log_shift(background, "background", -SHIFT), atol=1e-6
    )


def code_4(alpha: float, log_up: np.ndarray, log_down: np.ndarray) -> np.ndarray:
    """The factor at +-1, where it is exact whatever the interpolation."""
    return np.exp(log_up if alpha > 0 else log_down)


@pytest.mark.parametrize("alpha", [1.0, -1.0])
def test_the_likelihood_is_the_formula_written_out(channel, made, alpha):
    """-2 ln L at jes = +-1 with Z_j = E_ref[r_j g_j] divided out; the control region and constraints are subtracted."""
    model = open_likelihood(made, "neural")
    whole = Likelihood(model)
    alone = Likelihood(replace(model, channels=tuple(one for one in model.channels if one.name == "SR")))
    at = {"mu": 1.3, "jes": alpha}
    point = np.array([at.get(name, 0.0) if name in at else whole.initial[i] for i, name in enumerate(whole.names)])
    factor = FACTOR["up" if alpha > 0 else "down"]
    expected = np.array([1.3, 1.0]) * factor * np.array([one.yield_events for one in channel.components])

    def terms(events: EventSet) -> np.ndarray:
        log_up, log_down = (values[:, [0, 3]].astype(float) for values in (events.log_up, events.log_down))
        return np.exp(events.log_ratio.astype(float)) * code_4(alpha, log_up, log_down)

    z = channel.reference.weight @ terms(channel.reference) / channel.reference.weight.sum()
    rate = 2 * (expected.sum() - np.log(terms(channel.events) @ (expected / z)).sum())
    named = [p for p in alone.model.parameters if p.constraint == "normal"]
    values = dict(zip(alone.names, point, strict=True))
    constraint = sum(
        ((values[p.name] - p.global_observable) / p.width) ** 2 + np.log(2 * np.pi * p.width**2) for p in named
    )
    assert alone.twice_nll(point) == pytest.approx(rate + constraint, rel=1e-9)


def test_templates_are_the_histograms_of_the_varied_events(made):
    body = json.loads((made / "workspace.json").read_text())
    samples = {sample["name"]: sample for sample in body["channels"][0]["samples"]}
    found = {(one["name"], one["type"]): one["data"] for one in samples["signal"]["modifiers"]}
    table = signal_region("signal_mc")
    nominal, up = (
        np.histogram(one.columns(["x"])[:, 0], EDGES, weights=one.weight)[0]
        for one in (table, varied(table, shift=SHIFT, factor=1.05))
    )
    np.testing.assert_allclose(found["jes", "histosys"]["hi_data"], up)
    np.testing.assert_allclose(found["shower", "histosys"]["lo_data"], nominal)
    other = np.histogram(varied(table, shift=OTHER).columns(["x"])[:, 0], EDGES, weights=table.weight)[0]
    shape = other * nominal.sum() / other.sum()
    np.testing.assert_allclose(found["generator", "histosys"]["hi_data"], shape)
    np.testing.assert_allclose(found["generator", "histosys"]["lo_data"], 2 * nominal - shape)
    isr = next(one for one in samples["background"]["modifiers"] if one["name"] == "isr")
    assert (isr["type"], isr["data"]["hi"]) == ("normsys", pytest.approx(1.1))


def test_the_workspace_has_the_same_likelihood_in_pyhf(made):
    workspace = pyhf.Workspace(json.loads((made / "workspace.json").read_text()))
    model = workspace.model()
    ours = Likelihood(open_likelihood(made, "binned"))
    random = np.random.default_rng(2)
    for _ in range(5):
        point = {name: random.uniform(0.5, 1.5) if name[:2] in ("mu", "mc") else random.normal() for name in ours.names}
        theirs = []
        for name in model.config.par_order:
            bins = model.config.par_slice(name)
            width = bins.stop - bins.start
            theirs += [point[name]] if name in point else [point[f"{name}[{i}]"] for i in range(width)]
        expected = -2 * model.logpdf(theirs, workspace.data(model)).item()
        assert ours.twice_nll(np.array([point[name] for name in ours.names])) == pytest.approx(expected, rel=1e-9)


def test_correlated_channels_share_one_parameter(made):
    model = open_likelihood(made, "neural")
    jes = [name for name in model.parameter_names if name == "jes"]
    assert len(jes) == 1
    control = next(one for one in model.channels if one.name == "control")
    kinds = {
        m.parameter: type(m) for sample in control.samples for m in sample.modifiers if not hasattr(m, "parameters")
    }
    assert kinds["jes"] is HistoSys
    assert "isr" not in kinds  # it acts in SR and bins alone
    found = {one.name: one for one in model.parameters}["jes"]
    assert (found.label, found.constraint, found.bounds) == ("JES", "normal", (-5.0, 5.0))


def test_the_bundle_holds_the_networks_of_the_variations(made):
    folder = made / "neural"
    manifest = json.loads((folder / "manifest.json").read_text())
    problems = list(jsonschema.Draft202012Validator(load_schema("neural-likelihood")).iter_errors(manifest))
    assert problems == []
    assert set(manifest["systematics"]) == set(SYSTEMATICS)
    ensemble = manifest["ensembles"]["ratios"]
    assert {name: sorted(found["signal"]) for name, found in ensemble["variations"].items()} == {
        "jes": ["down", "up"],
        "shower": ["up"],
        "generator": ["up"],
    }
    vectors = json.loads((folder / "reference_vectors.json").read_text())["log_ratio"]["ratios"]
    observables = np.array(vectors["observables"])
    for parameter, processes in ensemble["variations"].items():
        for process, sides in processes.items():
            for side, entry in sides.items():
                ratio = RatioNetworks(networks=read_weights(folder / entry["weights"]), log_norm=entry["log_norm"])
                assert ratio.networks.labels["direction"] == side
                np.testing.assert_allclose(
                    vectors["variations"][parameter][process][side],
                    reference_log_ratio(ratio, observables, combine="mean_log_ratio"),
                )
    files = {path.name for path in folder.iterdir()} - {"manifest.json"}
    assert set(manifest["files"]) == files
    assert all(entry["sha256"] == sha256_file(folder / name) for name, entry in manifest["files"].items())
    assert manifest["channels"]["SR"]["reference_events"] > 0


def parametric(**changes) -> SerializationRecipe:
    ensemble = replace(ENSEMBLE, morphing=Morphing(kind="parametric", degree=2))
    systematics = {"jes": replace(JES, processes=("signal",)), "jer": replace(JES, processes=("signal",), title=None)}
    fields = {"ensembles": {"ratios": ensemble}, "systematics": systematics}
    fields["likelihoods"] = {"neural": LikelihoodSpec(channels={"SR": UNBINNED})}
    fields["publish"] = Publish(neural_likelihood=UnbinnedPublication(likelihood="neural"))
    return replace(RECIPE, **(fields | changes))


@pytest.fixture(scope="module")
def polynomial(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("polynomial")
    second = {f"varied.jer.signal.{side}": inputs[f"varied.jes.signal.{side}"] for side in ("up", "down")}
    kept = {name: path for name, path in inputs.items() if not name.startswith("variation")}
    return {**kept, **second, **polynomial_inputs(folder, ("jes", "jer"), shift=SHIFT)}


def test_polynomials_stand_for_anchors_where_the_morphing_is_parametric(polynomial, tmp_path):
    folder = serialize(tmp_path, polynomial, parametric())
    found = open_likelihood(folder, "neural").channels[0]
    terms = tuple(((name, power),) for name in ("jes", "jer") for power in (1, 2))
    assert found.polynomials == (PolynomialMorph(process="signal", terms=terms),)
    assert found.anchors == ()
    x = signal_region("observed").columns(["x"])[:, 0] / 100.0
    np.testing.assert_allclose(found.events.coefficients[:, 0], SHIFT * (x - 0.5), atol=1e-6)
    assert found.reference.coefficients.shape[1] == 4
    likelihood = Likelihood(open_likelihood(folder, "neural"))
    assert np.isfinite(likelihood.twice_nll(np.array([1.0, 0.5, -0.5])))
    manifest = json.loads((folder / "neural" / "manifest.json").read_text())
    jsonschema.Draft202012Validator(load_schema("neural-likelihood")).validate(manifest)
    entry = manifest["ensembles"]["ratios"]["polynomials"]["signal"]
    networks = read_weights(folder / "neural" / entry["weights"])
    vectors = json.loads((folder / "neural" / "reference_vectors.json").read_text())["log_ratio"]["ratios"]
    one = PolynomialNetworks(networks=networks, constants=np.array(entry["constants"]))
    wanted = reference_coefficients(one, np.array(vectors["observables"]))
    np.testing.assert_allclose(vectors["polynomials"]["signal"], wanted)


def test_terms_of_a_systematic_of_other_channels_are_left_out(polynomial, tmp_path):
    recipe = parametric()
    systematics = {**recipe.systematics, "jer": replace(recipe.systematics["jer"], channels=("elsewhere",))}
    found = open_likelihood(serialize(tmp_path, polynomial, replace(recipe, systematics=systematics)), "neural")
    assert found.channels[0].polynomials == (PolynomialMorph(process="signal", terms=((("jes", 1),), (("jes", 2),))),)
    assert found.channels[0].events.coefficients.shape[1] == 2
    assert found.parameter_names == ("mu", "jes")


def test_a_polynomial_cannot_be_one_sided(polynomial, tmp_path):
    systematics = {"shower": SYSTEMATICS["shower"]}
    error = refused(tmp_path, polynomial, parametric(systematics=systematics))
    assert error.code == "systematic.one-sided"


def test_training_statistics_become_parameters_of_known_size(inputs, tmp_path):
    ensemble = replace(ENSEMBLE, bootstrap=Bootstrap(replicas=8))
    likelihoods = {"neural": LikelihoodSpec(channels={"SR": replace(UNBINNED, training_statistics=1)})}
    recipe = replace(
        RECIPE, ensembles={"ratios": ensemble}, likelihoods=likelihoods, systematics={},
        publish=Publish(neural_likelihood=UnbinnedPublication(likelihood="neural")),
    )  # fmt: skip
    given = {name: path for name, path in inputs.items() if not name.startswith("variation")}
    given |= replica_inputs(tmp_path, replicas=8, spread=0.05)
    model = open_likelihood(serialize(tmp_path, given, recipe), "neural")
    assert model.parameter_names == ("mu", "training_statistics_ratios_0")
    found = model.channels[0]
    assert found.anchors == tuple(
        AnchorMorph(process=process, parameter="training_statistics_ratios_0", interpolation="log_linear")
        for process in PROCESSES
    )
    x = signal_region("observed").columns(["x"])[:, 0] / 100.0
    sign = np.sign(found.events.log_up[0, 0] * x[0])
    np.testing.assert_allclose(found.events.log_up[:, 0], sign * 0.05 * x, atol=1e-6)
    np.testing.assert_allclose(found.events.log_up[:, 1], 0.0, atol=1e-6)
    np.testing.assert_array_equal(found.events.log_down, -found.events.log_up)


def test_more_modes_than_the_replicas_show_are_refused(inputs, tmp_path):
    likelihoods = {"neural": LikelihoodSpec(channels={"SR": replace(UNBINNED, training_statistics=2)})}
    given = inputs | replica_inputs(tmp_path, replicas=8, spread=0.05)
    error = refused(tmp_path, given, replace(RECIPE, likelihoods=likelihoods, publish=Publish()))
    assert error.code == "training-statistics.modes"
    assert "1 directions" in error.message


def test_a_basis_gives_coefficients_to_channels_and_simulation(inputs, tmp_path):
    """B at mu = 0 and SBI at mu = 4 with features 1, mu: B has 1 - mu / 4, SBI has mu / 4."""
    basis = MorphingBasis(features=("1", "mu"), points={"background": {"mu": 0.0}, "signal": {"mu": 4.0}})
    recipe = replace(
        RECIPE,
        processes={"signal": Process(sample="signal_mc"), "background": Process(sample="background_mc")},
        morphing_bases={"basis": basis},
        systematics={},
        likelihoods={"neural": LikelihoodSpec(channels={"SR": UNBINNED})},
        publish=Publish(neural_likelihood=UnbinnedPublication(likelihood="neural")),
    )
    folder = serialize(tmp_path, inputs, recipe)
    model = open_likelihood(folder, "neural")
    likelihood = Likelihood(model)
    signal, background = (one.yield_events for one in model.channels[0].components)
    expected = likelihood.expected_events(np.array([2.0]))["SR"]
    np.testing.assert_allclose(expected, [0.5 * signal, 0.5 * background])
    assert model.channels[0].simulation.weight.sum() == pytest.approx(0.25 * signal + 0.75 * background)
    manifest = json.loads((folder / "neural" / "manifest.json").read_text())
    assert "mu" in manifest["processes"]["signal"]["coefficient"]


def test_blind_channels_stay_blind_in_every_file(inputs, tmp_path):
    likelihoods = {
        "binned": LikelihoodSpec(channels={"bins": replace(BINNED, blind=True)}),
        "neural": LikelihoodSpec(channels={"SR": replace(UNBINNED, blind=True), "control": CONTROL}),
    }
    folder = serialize(tmp_path, inputs, replace(RECIPE, likelihoods=likelihoods))
    assert {one.name: one.blind for one in open_likelihood(folder, "neural").channels} == {"SR": True, "control": False}
    assert all(one.blind for one in open_likelihood(folder, "binned").channels)
    counts = open_likelihood(folder, "binned").channels[0].observed
    exported = {}
    for unblind in (False, True):
        own = tmp_path / str(unblind)
        own.mkdir()
        place = serialize(own, inputs, replace(RECIPE, likelihoods=likelihoods, unblind=unblind))
        exported[unblind] = json.loads((place / "workspace.json").read_text())["observations"][0]["data"]
        assert read_index(place).expected_in_workspace == (() if unblind else ("bins",))
        blind = Likelihood(open_likelihood(place, "binned"))
        assert all(one.blind for one in blind.model.channels)
        np.testing.assert_array_equal(blind.model.channels[0].observed, counts)
    np.testing.assert_allclose(exported[False], blind.expected_events(blind.initial)["bins"])
    np.testing.assert_array_equal(exported[True], counts)
    assert exported[False] != exported[True]
    vectors = json.loads((folder / "neural" / "reference_vectors.json").read_text())
    assert vectors["dataset"] == "asimov"
    likelihood = Likelihood(open_likelihood(folder, "neural"))
    observed = likelihood.twice_nll(likelihood.initial)
    assert vectors["likelihood"][0]["twice_nll"] != pytest.approx(observed, abs=1.0)


def refused(folder: Path, inputs: dict[str, Path], recipe: SerializationRecipe = RECIPE) -> EvercastError:
    with pytest.raises(EvercastError) as caught:
        serialize(folder / "refused", inputs, recipe)
    return caught.value


def test_code_1_is_not_published_as_pyhf(inputs, tmp_path):
    systematics = {**SYSTEMATICS, "luminosity": replace(SYSTEMATICS["luminosity"], code=1)}
    error = refused(tmp_path, inputs, replace(RECIPE, systematics=systematics))
    assert (error.code, error.exit_code) == ("likelihood.not-histfactory", 3)
    assert "'luminosity'" in error.message


def test_a_direction_that_is_missing_is_named(inputs, tmp_path):
    kept = {name: path for name, path in inputs.items() if name != "varied.jes.background.down"}
    error = refused(tmp_path, kept)
    assert (error.code, error.exit_code) == ("systematic.missing", 3)
    assert "'jes' has no events of process 'background' for its direction down" in error.message


@pytest.mark.parametrize("change", ["region", "weight"])
def test_a_varied_region_without_events_is_named(inputs, tmp_path, change):
    table = tables()["signal_mc"]
    none = replace(table, regions=np.zeros_like(table.regions)) if change == "region" else varied(table, factor=-1.0)
    error = refused(tmp_path, inputs | {"varied.jes.signal.up": write_selection(tmp_path, "none", none)})
    assert error.code == "systematic.empty"
    assert "systematic 'jes', up: process 'signal' has" in error.message


def test_identical_events_up_and_down_are_named(inputs, tmp_path):
    same = {f"varied.jes.{process}.down": inputs[f"varied.jes.{process}.up"] for process in PROCESSES}
    error = refused(tmp_path, inputs | same)
    assert error.code == "systematic.identical"
    assert "nuisance parameter 'jes'" in error.message


def test_log_ratios_of_other_events_or_not_finite_are_refused(inputs, tmp_path):
    infinite = write_evaluation(
        tmp_path, "infinite",
        {
            "log_up": lambda table: np.full((len(table), 2), np.inf),
            "log_down": lambda table: np.zeros((len(table), 2)),
        },
        {}, processes=list(PROCESSES),
    )  # fmt: skip
    error = refused(tmp_path, inputs | {"variation.ratios.jes": infinite})
    assert (error.code, error.exit_code) == ("ratios.not-finite", 5)
    lone = write_evaluation(
        tmp_path, "lone",
        {name: lambda table: np.zeros((len(table), 1)) for name in ("log_up", "log_down")},
        {}, processes=["signal"],
    )  # fmt: skip
    error = refused(tmp_path / "second", inputs | {"variation.ratios.jes": lone})
    assert error.code == "ratios.processes"
    assert "'background'" in error.message


def test_log_ratios_of_the_toy_are_kept_as_they_are(channel):
    table = signal_region("observed")
    np.testing.assert_allclose(
        channel.events.log_ratio, np.stack([log_ratio(table, process) for process in PROCESSES], axis=1), atol=1e-6
    )


def test_density_changes_too_steep_for_code_4_are_said(inputs, tmp_path, caplog):
    """A shift of two widths is a factor exp(3) for events some 2.5 widths out."""
    steep = variation_inputs(tmp_path, "jes", dict.fromkeys(PROCESSES, (2.0, -2.0)))
    likelihoods = {"neural": LikelihoodSpec(channels={"SR": UNBINNED})}
    systematics = {name: one for name, one in SYSTEMATICS.items() if name == "jes"}
    recipe = replace(RECIPE, likelihoods=likelihoods, publish=Publish(), systematics=systematics)
    serialize(tmp_path / "code4", inputs | steep, recipe)
    assert "the density of signal changes by more than exp(3) at +-1 of jes in " in caplog.text
    caplog.clear()
    linear = {"neural": LikelihoodSpec(channels={"SR": replace(UNBINNED, interpolation="log_linear")})}
    serialize(tmp_path / "linear", inputs | steep, replace(recipe, likelihoods=linear))
    assert "exp(3)" not in caplog.text
