"""Stage serialization on a toy whose networks were really trained and evaluated."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pyhf
import pytest
import uproot
from learning_tasks import ENSEMBLE, PROCESS_SAMPLES, evaluation_task, tables, training_task, write_tables
from safetensors.numpy import load_file

from evercast.artifacts.event_table import write_event_table
from evercast.artifacts.files import sha256_file
from evercast.artifacts.likelihood_folder import open_likelihood, read_index
from evercast.artifacts.weights import EnsembleWeights, read_weights
from evercast.errors import EvercastError, InvalidInput
from evercast.likelihood.evaluate import Likelihood
from evercast.networks.numpy_evaluate import numpy_logits
from evercast.plan.recipes import SerializationRecipe, Task
from evercast.schemas import load_schema
from evercast.spec.model import (
    BinnedChannel,
    BinnedPublication,
    Histogram,
    HistogramTerm,
    LikelihoodSpec,
    Metadata,
    NormalisationSystematic,
    Observable,
    Parameter,
    Process,
    Publish,
    Region,
    Selection,
    UnbinnedChannel,
    UnbinnedPublication,
)
from evercast.stages import evaluation, serialization, training

pytestmark = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")  # pyhf uses it

EDGES = (-350.0, -150.0, -50.0, 0.0, 50.0, 150.0, 350.0)
PROCESSES = ("signal", "background")
BINNED = BinnedChannel(kind="binned", region="SR", observable="x", edges=EDGES, processes=PROCESSES)
CONTROL = BinnedChannel(kind="binned", region="CR", observable="x", edges=(-500.0, 500.0), processes=PROCESSES)
UNBINNED = UnbinnedChannel(kind="unbinned", ensemble="ratios")
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
    systematics={"norm": NormalisationSystematic(kind="normalisation", processes=("background",), up=1.1, down=0.9)},
    ensembles={"ratios": ENSEMBLE},
    histograms={},
    likelihoods={
        "binned": LikelihoodSpec(channels={"bins": BINNED}),
        "neural": LikelihoodSpec(channels={"SR": UNBINNED}),
        "mixed": LikelihoodSpec(channels={"SR": UNBINNED, "control": CONTROL}),
    },
    publish=Publish(
        pyhf=BinnedPublication(likelihood="binned", measurement="toy"),
        neural_likelihood=UnbinnedPublication(likelihood="neural"),
    ),
    data_sample="observed",
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("run")
    samples = write_tables(folder, tables())
    blocks = {}
    for process in PROCESS_SAMPLES:
        for member in range(2):
            task = training_task(folder, samples, process=process, members=(member,))
            training.run(task)
            blocks[f"block_{process}_{member}"] = task.output
    evaluated = evaluation_task(folder, samples, blocks)
    evaluation.run(evaluated)
    own = {key.replace("block_", "block_ratios_").replace("_", "."): path for key, path in blocks.items()}
    return {**samples, **own, "evaluation_ratios": evaluated.output}


def serialize(folder: Path, inputs: dict[str, Path], recipe: SerializationRecipe = RECIPE) -> Path:
    output = folder / "output"
    output.mkdir()
    serialization.run(Task(recipe=recipe, inputs=inputs, output=output, checkpoint=folder))
    return output / "likelihood"


@pytest.fixture(scope="module")
def made(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return serialize(tmp_path_factory.mktemp("made"), inputs)


def refused(folder: Path, inputs: dict[str, Path], recipe: SerializationRecipe) -> EvercastError:
    with pytest.raises(EvercastError) as caught:
        serialize(folder, inputs, recipe)
    return caught.value


def with_channel(channel: BinnedChannel | UnbinnedChannel) -> SerializationRecipe:
    return replace(RECIPE, likelihoods={"one": LikelihoodSpec(channels={"bins": channel})}, publish=Publish())


def test_every_likelihood_is_found_by_name(made):
    index = read_index(made)
    assert {name: entry.kind for name, entry in index.likelihoods.items()} == {
        "binned": "workspace",
        "neural": "folder",
        "mixed": "folder",
    }
    models = {name: open_likelihood(made, name) for name in index.likelihoods}
    assert [channel.name for channel in models["mixed"].channels] == ["control", "SR"]
    assert models["mixed"].parameter_names[:2] == ("mu", "norm")
    for model in models.values():
        assert np.isfinite(Likelihood(model).twice_nll(Likelihood(model).initial))


def test_the_workspace_is_valid_and_has_the_same_likelihood_in_pyhf(made):
    workspace = pyhf.Workspace(json.loads((made / "workspace.json").read_text()))
    model = workspace.model()
    ours = Likelihood(open_likelihood(made, "binned"))
    point = dict(zip(ours.names, ours.initial, strict=True)) | {"mu": 1.7, "norm": -0.4}
    theirs = []
    for name in model.config.par_order:
        bins = model.config.par_slice(name)
        theirs += [point[name]] if bins.stop - bins.start == 1 and name in point else [1.0] * (bins.stop - bins.start)
    expected = -2 * model.logpdf(theirs, workspace.data(model)).item()
    found = ours.twice_nll(np.array([point[name] for name in ours.names]))
    assert found == pytest.approx(expected, abs=1e-8)


def test_templates_carry_the_weights_and_their_statistics(made, inputs):
    body = json.loads((made / "workspace.json").read_text())
    signal = next(sample for sample in body["channels"][0]["samples"] if sample["name"] == "signal")
    table = tables()["signal_mc"].in_region("SR")
    counts = np.histogram(table.columns(["x"])[:, 0], EDGES)[0]
    np.testing.assert_allclose(signal["data"], 0.01 * counts)
    error = next(modifier for modifier in signal["modifiers"] if modifier["type"] == "staterror")
    np.testing.assert_allclose(error["data"], 0.01 * np.sqrt(counts))
    data = tables()["observed"].in_region("SR").columns(["x"])[:, 0]
    assert body["observations"][0]["data"] == np.histogram(data, EDGES)[0].tolist()


def test_both_likelihoods_have_the_same_events_and_yields(made):
    neural, binned = open_likelihood(made, "neural").channels[0], open_likelihood(made, "binned").channels[0]
    assert len(neural.events.weight) == pytest.approx(
        binned.observed.sum(), abs=2
    )  # the bins end at 3.5 standard deviations
    for component in neural.components:
        sample = tables()[PROCESS_SAMPLES[component.process]].in_region("SR")
        assert component.yield_events == pytest.approx(sample.weight.sum())
    assert neural.simulation.weight.sum() == pytest.approx(sum(one.yield_events for one in neural.components))


def test_the_manifest_obeys_its_schema_and_names_every_file(made):
    manifest = json.loads((made / "neural" / "manifest.json").read_text())
    problems = list(jsonschema.Draft202012Validator(load_schema("neural-likelihood")).iter_errors(manifest))
    assert problems == []
    files = {path.name for path in (made / "neural").iterdir()} - {"manifest.json"}
    assert set(manifest["files"]) == files
    for name, entry in manifest["files"].items():
        assert entry["sha256"] == sha256_file(made / "neural" / name)
    assert manifest["run_id"] == read_index(made).run_id
    assert manifest["workspace_sha256"] == sha256_file(made / "workspace.json")
    assert [one["name"] for one in manifest["observables"]] == ["x", "y"]


def combined(found: EnsembleWeights, events: np.ndarray) -> np.ndarray:
    """Return the formula of the bundle, written out: mean log ratio over members, then mean ratio over folds."""
    by_fold = [
        np.mean(
            [numpy_logits(found.architecture, found.weights.at(member, fold), events) for member in range(2)], axis=0
        )
        for fold in range(2)
    ]
    return np.log(np.mean(np.exp(by_fold), axis=0))


def test_the_reference_vectors_follow_from_the_published_files_alone(made):
    folder = made / "neural"
    manifest = json.loads((folder / "manifest.json").read_text())
    vectors = json.loads((folder / "reference_vectors.json").read_text())
    ratios = vectors["log_ratio"]["ratios"]
    inputs = np.array(ratios["observables"])
    assert len(inputs) >= 16
    for process, entry in manifest["ensembles"]["ratios"]["processes"].items():
        found = read_weights(folder / entry["weights"])
        assert found.weights.axes() == (2, 2)
        log_ratio = combined(found, inputs) - entry["log_norm"]
        np.testing.assert_allclose(log_ratio, ratios["log_ratio"][process], rtol=1e-12, atol=1e-12)


def test_the_likelihood_of_the_bundle_reproduces_its_parameter_points(made):
    vectors = json.loads((made / "neural" / "reference_vectors.json").read_text())["likelihood"]
    assert len(vectors) >= 5
    likelihood = Likelihood(open_likelihood(made, "neural"))
    for vector in vectors:
        point = np.array([vector["parameters"][name] for name in likelihood.names])
        value, gradient = likelihood.value_and_gradient(point)
        assert value == pytest.approx(vector["twice_nll"], abs=1e-6)
        np.testing.assert_allclose(gradient, [vector["gradient"][name] for name in likelihood.names], atol=1e-6)


def test_observed_log_ratios_are_those_of_the_reference_evaluation(made):
    """The mean over all networks, of events that none has seen; float32 against float64."""
    folder = made / "neural"
    entry = json.loads((folder / "manifest.json").read_text())["ensembles"]["ratios"]["processes"]["signal"]
    found = read_weights(folder / entry["weights"])
    events = tables()["observed"].in_region("SR").columns(["x", "y"])
    stored = load_file(folder / "events.safetensors")["SR.observed.log_ratio"][:, 0]
    np.testing.assert_allclose(stored, combined(found, events) - entry["log_norm"], atol=1e-4)


@pytest.mark.parametrize(
    ("disclosure", "weights", "observables"),
    [("ratios", False, False), ("networks", True, False), ("events", True, True)],
)
def test_the_disclosure_decides_what_is_given_away(inputs, tmp_path, disclosure, weights, observables):
    publish = Publish(neural_likelihood=UnbinnedPublication(likelihood="neural", disclosure=disclosure))
    likelihoods = {"neural": RECIPE.likelihoods["neural"]}
    folder = serialize(tmp_path, inputs, replace(RECIPE, likelihoods=likelihoods, publish=publish)) / "neural"
    assert (folder / "weights-signal.safetensors").exists() is weights
    assert (folder / "architecture.json").exists() is weights
    assert ("SR.observed.observables" in load_file(folder / "events.safetensors")) is observables
    manifest = json.loads((folder / "manifest.json").read_text())
    jsonschema.Draft202012Validator(load_schema("neural-likelihood")).validate(manifest)


def test_the_same_inputs_give_the_same_bytes(made, inputs, tmp_path):
    again = serialize(tmp_path, inputs)
    files = [path.relative_to(made) for path in made.rglob("*") if path.is_file()]
    assert len(files) == 12
    for name in files:
        assert (again / name).read_bytes() == (made / name).read_bytes()


def test_the_run_id_follows_from_everything_that_is_serialized(made, inputs, tmp_path):
    """Simulated weights, a bound, a normalisation: none of them is observed."""
    heavier = tables()["background_mc"].weight * 1.25
    evaluated = tmp_path / "evaluated"
    shutil.copytree(inputs["evaluation_ratios"], evaluated)
    diagnostics = json.loads((evaluated / "diagnostics.json").read_text())
    diagnostics["processes"]["signal"]["normalisation"]["log_norm"] += 0.125
    (evaluated / "diagnostics.json").write_text(json.dumps(diagnostics))
    (tmp_path / "table").mkdir()
    unpublished = replace(RECIPE, publish=Publish())
    variants = {
        "weights": (replaced_table(inputs, tmp_path / "table", "background_mc", weight=heavier), RECIPE),
        "normalisation": (inputs | {"evaluation_ratios": evaluated}, RECIPE),
        "bounds": (inputs, replace(RECIPE, parameters={"mu": replace(RECIPE.parameters["mu"], bounds=(0.0, 9.0))})),
        "plain": (inputs, unpublished),
        "plain weights": (replaced_table(inputs, tmp_path, "background_mc", weight=heavier), unpublished),
    }
    run_ids = {read_index(made).run_id}
    for name, (changed, recipe) in variants.items():
        (tmp_path / name).mkdir()
        run_ids.add(read_index(serialize(tmp_path / name, changed, recipe)).run_id)
    assert len(run_ids) == 1 + len(variants)


def test_published_histograms_become_templates(inputs, tmp_path):
    path = tmp_path / "published.root"
    with uproot.recreate(path) as file:
        file["m"] = (np.array([10.0, 0.0, 4.0, 6.0]), np.array([-350.0, -150.0, 0.0, 150.0, 350.0]))
    term = HistogramTerm(source="file", object="m", luminosity_fb=2.0, cross_section_pb=0.1, generated_events=100)
    channel = replace(BINNED, edges=(-350.0, 0.0, 350.0), templates={"background": "published"})
    recipe = replace(
        with_channel(channel),
        histograms={"published": Histogram(observable="x", terms=(term,))},
        publish=Publish(pyhf=BinnedPublication(likelihood="one", measurement="toy")),
    )
    folder = serialize(tmp_path, {**inputs, "source_file": path}, recipe)
    sample = json.loads((folder / "workspace.json").read_text())["channels"][0]["samples"][1]
    np.testing.assert_allclose(sample["data"], [20.0, 20.0])
    np.testing.assert_allclose(sample["modifiers"][-1]["data"], 2.0 * np.sqrt([10.0, 10.0]))


def test_a_formula_is_kept_in_the_likelihood_and_refused_as_pyhf(inputs, tmp_path):
    processes = {**RECIPE.processes, "signal": Process(sample="signal_mc", coefficient="mu - sqrt(mu)")}
    recipe = replace(with_channel(BINNED), processes=processes)
    model = open_likelihood(serialize(tmp_path, inputs, recipe), "one")
    assert model.channels[0].samples[0].coefficient == "mu - sqrt(mu)"
    (tmp_path / "pyhf").mkdir()
    published = replace(recipe, publish=Publish(pyhf=BinnedPublication(likelihood="one", measurement="toy")))
    error = refused(tmp_path / "pyhf", inputs, published)
    assert (error.code, error.exit_code) == ("likelihood.not-histfactory", 3)
    assert "mu - sqrt(mu)" in error.message


def test_an_unbinned_likelihood_is_refused_as_pyhf(inputs, tmp_path):
    publish = Publish(pyhf=BinnedPublication(likelihood="neural", measurement="toy"))
    assert refused(tmp_path, inputs, replace(RECIPE, publish=publish)).code == "likelihood.not-histfactory"


def replaced_table(inputs: dict[str, Path], folder: Path, name: str, **changes) -> dict[str, Path]:
    unit = folder / "changed"
    unit.mkdir()
    write_event_table(unit / "events.zarr", replace(tables()[name], **changes))
    return {**inputs, f"sample_{name}": unit}


def test_a_channel_without_simulated_events_is_named(inputs, tmp_path):
    regions = np.zeros((2000, 2), dtype=bool)
    error = refused(tmp_path, replaced_table(inputs, tmp_path, "signal_mc", regions=regions), with_channel(BINNED))
    assert error.code == "likelihood.empty-channel"
    assert "'signal' has 0 simulated events" in error.message


def test_a_channel_with_negative_total_weight_is_named(inputs, tmp_path):
    changed = replaced_table(inputs, tmp_path, "signal_mc", weight=np.full(2000, -0.01))
    error = refused(tmp_path, changed, with_channel(BINNED))
    assert error.code == "likelihood.empty-channel"
    assert "must be positive" in error.message


def test_a_negative_bin_is_named(inputs, tmp_path):
    table = tables()["signal_mc"]
    weight = np.where(table.columns(["x"])[:, 0] < -150, -0.01, 0.01)
    error = refused(tmp_path, replaced_table(inputs, tmp_path, "signal_mc", weight=weight), with_channel(BINNED))
    assert error.code == "likelihood.negative-bin"
    assert "in bin 0" in error.message
    assert error.where == "channel bins, process signal"


def test_events_where_none_are_expected_are_refused(inputs, tmp_path):
    observables = tables()["observed"].observables.copy()
    observables[:, 0] = 5000.0
    changed = replaced_table(inputs, tmp_path, "observed", observables=observables)
    error = refused(tmp_path, changed, with_channel(replace(BINNED, edges=(-350.0, 350.0, 4000.0, 6000.0))))
    assert error.code == "likelihood.impossible-data"
    assert "bin 2" in error.message


def test_a_template_without_expected_events_is_named(inputs, tmp_path):
    error = refused(tmp_path, inputs, with_channel(replace(BINNED, edges=(7000.0, 8000.0))))
    assert error.code == "likelihood.empty-template"


def test_ratios_of_other_events_are_refused(inputs, tmp_path):
    event = tables()["observed"].event + np.uint64(1)
    changed = replaced_table(inputs, tmp_path, "observed", event=event)
    error = refused(tmp_path, changed, with_channel(UNBINNED))
    assert (error.code, error.exit_code) == ("ratios.events", 5)


def _exchanged(inputs: dict[str, Path]) -> dict[str, Path]:
    return inputs | {"block.ratios.signal.1": inputs["block.ratios.background.1"]}


def _doubled(inputs: dict[str, Path]) -> dict[str, Path]:
    return inputs | {"block.ratios.signal.1": inputs["block.ratios.signal.0"]}


def _lost(inputs: dict[str, Path]) -> dict[str, Path]:
    return {name: path for name, path in inputs.items() if name != "block.ratios.signal.1"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_exchanged, "found .*'process': 'background'"),
        (_doubled, r"hold the members \[0, 0\]; expected 0 to 1"),
        (_lost, r"hold the members \[0\]; expected 0 to 1"),
    ],
)
def test_networks_of_another_process_or_missing_members_are_not_published(inputs, tmp_path, change, problem):
    error = refused(tmp_path, change(inputs), RECIPE)
    assert (error.code, error.exit_code) == ("ratios.blocks", 5)
    assert re.search(problem, error.message)


def test_an_evaluation_of_another_ensemble_is_refused(inputs, tmp_path):
    recipe = replace(
        RECIPE,
        ensembles={"other": ENSEMBLE},
        likelihoods={"neural": LikelihoodSpec(channels={"SR": UnbinnedChannel(kind="unbinned", ensemble="other")})},
        publish=Publish(neural_likelihood=UnbinnedPublication(likelihood="neural")),
    )
    renamed = {name.replace("ratios", "other"): path for name, path in inputs.items()}
    error = refused(tmp_path, renamed, recipe)
    assert error.code == "ratios.diagnostics"
    assert "that of ensemble 'ratios'; expected 'other'" in error.message


def test_an_unknown_likelihood_is_named(made):
    with pytest.raises(InvalidInput) as caught:
        open_likelihood(made, "nerual")
    assert caught.value.code == "likelihood.unknown"
    assert "binned, mixed, neural" in caught.value.message or "binned, neural, mixed" in caught.value.message
