"""Variations, polynomials and replicas: trained by their blocks, evaluated on every sample."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from learning_tasks import ENSEMBLE, PROCESS_SAMPLES, evaluation_task, tables, training_task, write_tables

from evercast.artifacts.arrays import read_arrays
from evercast.artifacts.event_table import EventTable
from evercast.artifacts.weights import read_weights, write_weights
from evercast.errors import EvercastError, IntegrityError, InvalidInput
from evercast.networks.bootstrap import poisson_weights
from evercast.networks.folds import CrossFitting
from evercast.networks.numpy_evaluate import numpy_logits, numpy_outputs
from evercast.plan.recipes import EvaluationRecipe, LearnedVariation, Task
from evercast.plan.seeds import derive_seed
from evercast.spec.model import Bootstrap, Ensemble, Morphing
from evercast.stages import evaluation, training

SHIFT = 20.0
"""Of x at +1 and -1: a fifth of its width, so ln g = 0.2 (x / 100 - 1/2) - 0.02 at +1."""

ENSEMBLES = replace(ENSEMBLE, training=replace(ENSEMBLE.training, epochs=8))
UP, DOWN = (LearnedVariation(parameter="jes", direction=direction) for direction in ("up", "down"))


def moved(one: EventTable, shift: float) -> EventTable:
    """The same events with x shifted, and every hundredth one gone."""
    keep = np.arange(len(one)) % 100 != 7
    columns = one.observables + np.array([shift, 0.0, shift])
    return replace(one, observables=columns).take(np.flatnonzero(keep))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("varied")


@pytest.fixture(scope="module")
def inputs(folder: Path) -> dict[str, Path]:
    """Selected events, and those of the signal varied up and down."""
    content = tables()
    signal = content["signal_mc"]
    return write_tables(folder, {**content, "signal_up": moved(signal, SHIFT), "signal_down": moved(signal, -SHIFT)})


def selected(inputs: Mapping[str, Path]) -> dict[str, Path]:
    return {name: path for name, path in inputs.items() if name not in ("sample_signal_up", "sample_signal_down")}


def train(
    folder: Path, inputs: Mapping[str, Path], *, label: str, ensemble: Ensemble = ENSEMBLES, **recipe: object
) -> Path:
    process = str(recipe.pop("process", "signal"))
    against_nominal = "variation" in recipe or "points" in recipe
    reference = {PROCESS_SAMPLES[process]: 1.0} if against_nominal else ENSEMBLE.reference
    task = training_task(
        folder, inputs, process=process, ensemble=replace(ensemble, reference=reference), label=f"-{label}"
    )
    task = replace(task, recipe=replace(task.recipe, **recipe))
    training.run(task)
    return task.output


def variation_blocks(folder: Path, inputs: Mapping[str, Path], *, label: str = "") -> dict[str, Path]:
    made = {}
    for variation in (UP, DOWN):
        direction = variation.direction
        varied = inputs[f"sample_signal_{direction}"]
        own = {**selected(inputs), "varied": varied}
        made[f"block.signal.{direction}.0"] = train(folder, own, label=direction + label, variation=variation)
        made[f"varied.signal.{direction}"] = varied
    return made


def variation_task(
    folder: Path, inputs: Mapping[str, Path], blocks: Mapping[str, Path], *, label: str
) -> Task[EvaluationRecipe]:
    task = evaluation_task(folder, selected(inputs), blocks, ensemble=ENSEMBLES, label=label)
    recipe = replace(task.recipe, learned="variation", parameter="jes", processes=("signal",))
    return replace(task, recipe=recipe)


@pytest.fixture(scope="module")
def blocks(folder: Path, inputs: dict[str, Path]) -> dict[str, Path]:
    return variation_blocks(folder, inputs)


@pytest.fixture(scope="module")
def done(folder: Path, inputs: dict[str, Path], blocks: dict[str, Path]) -> Task[EvaluationRecipe]:
    task = variation_task(folder, inputs, blocks, label="ratios-jes")
    evaluation.run(task)
    return task


def truth(x: np.ndarray, shift: float) -> np.ndarray:
    d = shift / 100.0
    return d * (x / 100.0 - 0.5) - 0.5 * d * d


def body_of(task: Task[EvaluationRecipe]) -> dict[str, object]:
    return dict(json.loads((task.output / "diagnostics.json").read_text()))


@pytest.mark.parametrize("sample", ["signal_mc", "background_mc", "observed"])
@pytest.mark.parametrize(("name", "shift"), [("log_up", SHIFT), ("log_down", -SHIFT)])
def test_variations_follow_the_closed_form_on_every_sample(
    done: Task[EvaluationRecipe], sample: str, name: str, shift: float
) -> None:
    """1800 events that stand in both classes fix the shift of a fifth of a width to some 0.05 in the bulk."""
    found = read_arrays(done.output / f"{sample}.zarr")
    table = tables()[sample].in_region("SR")
    assert found[name].dtype == np.float32
    assert found[name].shape == (len(table), 1)
    np.testing.assert_array_equal(found["event"], table.event)
    assert found.attributes["parameter"] == "jes"
    assert found.attributes["directions"] == {"signal": ["up", "down"]}
    x = table.columns(["x"])[:, 0]
    bulk = np.abs(x / 100.0 - 0.5) < 1.5
    difference = found[name][bulk, 0] - truth(x[bulk], shift)
    assert np.sqrt(np.mean(difference**2)) < 0.1
    assert np.std(truth(x[bulk], shift)) > 0.12


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_variation_has_mean_one_over_the_nominal_events_and_is_checked(
    done: Task[EvaluationRecipe], direction: str
) -> None:
    table = tables()["signal_mc"].in_region("SR")
    log = read_arrays(done.output / "signal_mc.zarr")[f"log_{direction}"][:, 0].astype(float)
    assert np.average(np.exp(log), weights=table.weight) == pytest.approx(1.0, abs=1e-6)
    body = body_of(done)
    assert body["learned"] == "variation"
    checks = body["processes"]["signal"][direction]
    assert checks["normalisation"]["mean"] == pytest.approx(1.0, abs=0.05)
    assert 0.0 < checks["normalisation"]["error"] < 0.05
    assert set(checks["closure"]) == {"x", "y", "z"}
    assert checks["closure"]["x"]["chi2"] < checks["closure"]["x"]["bins"] + 4.0 * np.sqrt(
        2.0 * checks["closure"]["x"]["bins"]
    )
    assert checks["saturated_fraction"] == 0.0
    assert checks["saturated_networks"] == []
    assert 0.5 < checks["auc"] < 0.6


def test_varied_and_nominal_events_are_evaluated_by_networks_that_saw_neither(
    done: Task[EvaluationRecipe], blocks: dict[str, Path]
) -> None:
    networks = read_weights(blocks["block.signal.up.0"] / "weights.safetensors")
    assert dict(networks.labels) == {
        "ensemble": "ratios",
        "process": "signal",
        "parameter": "jes",
        "direction": "up",
        "fold_seed": str(derive_seed("folds", ENSEMBLE.seed)),
    }
    table = tables()["signal_mc"].in_region("SR")
    fold = CrossFitting(folds=2, seed=derive_seed("folds", ENSEMBLE.seed)).fold_of(table.event)
    values = table.columns(["x", "y"])
    each = np.array(
        [[numpy_logits(networks.architecture, networks.weights.at(m, k), values) for k in range(2)] for m in range(2)]
    )
    expected = each[:, fold, np.arange(len(table))].mean(axis=0)
    log_norm = body_of(done)["processes"]["signal"]["up"]["normalisation"]["log_norm"]
    found = read_arrays(done.output / "signal_mc.zarr")["log_up"][:, 0]
    np.testing.assert_allclose(found, expected - log_norm, rtol=1e-4, atol=1e-5)


def test_networks_of_a_variation_have_seeds_of_their_own(blocks: dict[str, Path]) -> None:
    seeds = set()
    for name in ("block.signal.up.0", "block.signal.down.0"):
        body = json.loads((blocks[name] / "training.json").read_text())
        seeds |= {network["seed"] for network in body["networks"]}
        assert set(body["classes"]) == {"nominal", "varied"}
    assert len(seeds) == 8
    assert derive_seed("toy", 5, "ratios", "signal", "jes:up", 0, 1) in seeds


def test_a_direction_without_networks_is_zero(folder: Path, inputs: dict[str, Path], blocks: dict[str, Path]) -> None:
    only = {name: path for name, path in blocks.items() if ".up" in name}
    task = variation_task(folder, inputs, only, label="one-sided")
    evaluation.run(task)
    found = read_arrays(task.output / "observed.zarr")
    assert found.attributes["directions"] == {"signal": ["up"]}
    np.testing.assert_array_equal(found["log_down"], 0.0)
    assert np.std(found["log_up"]) > 0.05
    assert list(body_of(task)["processes"]["signal"]) == ["up"]


def test_a_variation_that_changes_nothing_is_refused_with_its_names(folder: Path, inputs: dict[str, Path]) -> None:
    own = {**selected(inputs), "varied": inputs["sample_signal_mc"]}
    with pytest.raises(InvalidInput, match="parameter 'jes', process 'signal': up and nominal are identical") as caught:
        train(folder, own, label="identical", variation=UP)
    assert (caught.value.code, caught.value.exit_code) == ("systematic.identical", 3)


def test_up_and_down_that_are_the_same_are_refused_with_their_names(
    folder: Path, inputs: dict[str, Path], blocks: dict[str, Path]
) -> None:
    same = {**blocks, "varied.signal.down": blocks["varied.signal.up"]}
    with pytest.raises(InvalidInput, match="parameter 'jes', process 'signal': up and down are identical") as caught:
        evaluation.run(variation_task(folder, inputs, same, label="twice"))
    assert caught.value.code == "systematic.identical"


def test_a_variation_of_the_yield_alone_is_no_shape(folder: Path, inputs: dict[str, Path]) -> None:
    """Twice the weights and half of them: the classes have equal weight, so what is learned is 0 within the noise."""
    signal = tables()["signal_mc"]
    scaled = {
        "signal_up": replace(signal, weight=2.0 * signal.weight),
        "signal_down": replace(signal, weight=0.5 * signal.weight),
    }
    own = {**inputs, **write_tables(folder / "scaled", scaled)}
    task = variation_task(folder, own, variation_blocks(folder, own, label="scaled"), label="scaled")
    evaluation.run(task)
    found = read_arrays(task.output / "signal_mc.zarr")
    for name in ("log_up", "log_down"):
        assert np.sqrt(np.mean(found[name] ** 2)) < 0.1


FAULTS = {
    "a block of the other direction": "2 blocks of another|1 blocks of another",
    "no networks": "no networks of nuisance parameter 'jes', process 'signal'",
}


@pytest.mark.parametrize("name", FAULTS)
def test_blocks_of_other_variations_are_refused(
    folder: Path, inputs: dict[str, Path], blocks: dict[str, Path], name: str
) -> None:
    wrong = (
        {**blocks, "block.signal.down.0": blocks["block.signal.up.0"]}
        if name.startswith("a block")
        else {key: path for key, path in blocks.items() if key.startswith("varied")}
    )
    with pytest.raises(IntegrityError, match=FAULTS[name]) as caught:
        evaluation.run(variation_task(folder, inputs, wrong, label=name.replace(" ", "-")))
    assert caught.value.code == "evaluation.blocks"


PARAMETRIC = replace(ENSEMBLES, morphing=Morphing(kind="parametric"))


@pytest.fixture(scope="module")
def polynomial(folder: Path, inputs: dict[str, Path]) -> Task[EvaluationRecipe]:
    varied = {f"varied.jes.{d}": inputs[f"sample_signal_{d}"] for d in ("up", "down")}
    block = train(folder, {**selected(inputs), **varied}, label="polynomial", ensemble=PARAMETRIC, points=(UP, DOWN))
    inside = {f"varied.signal.jes.{d}": inputs[f"sample_signal_{d}"] for d in ("up", "down")}
    task = evaluation_task(
        folder, selected(inputs), {"block.signal.0": block, **inside}, ensemble=PARAMETRIC, label="polynomial"
    )
    recipe = replace(task.recipe, learned="polynomial", processes=("signal",), points={"signal": (UP, DOWN)})
    task = replace(task, recipe=recipe)
    evaluation.run(task)
    return task


def test_the_polynomial_goes_through_the_variations(polynomial: Task[EvaluationRecipe]) -> None:
    found = read_arrays(polynomial.output / "signal_mc.zarr")
    assert found.attributes["terms"] == [
        {"process": "signal", "powers": [["jes", 1]]},
        {"process": "signal", "powers": [["jes", 2]]},
    ]
    table = tables()["signal_mc"].in_region("SR")
    x = table.columns(["x"])[:, 0]
    bulk = np.abs(x / 100.0 - 0.5) < 1.5
    coefficients = found["coefficients"].astype(float)
    for alpha in (1.0, -1.0, 0.5):
        log = coefficients @ np.array([alpha, alpha**2])
        assert np.sqrt(np.mean((log[bulk] - truth(x[bulk], alpha * SHIFT)) ** 2)) < 0.1
    for alpha in (1.0, -1.0):
        morph = np.exp(coefficients @ np.array([alpha, alpha**2]))
        assert np.average(morph, weights=table.weight) == pytest.approx(1.0, abs=1e-6)
    checks = body_of(polynomial)["processes"]["signal"]
    assert set(checks["points"]) == {"jes.up", "jes.down"}
    assert checks["points"]["jes.up"]["normalisation"]["mean"] == pytest.approx(1.0, abs=0.05)
    assert set(checks["points"]["jes.up"]["closure"]) == {"x", "y", "z"}


def test_coefficients_are_those_of_the_networks_up_to_the_constants(
    polynomial: Task[EvaluationRecipe], folder: Path
) -> None:
    networks = read_weights(polynomial.inputs["block.signal.0"] / "weights.safetensors")
    table = tables()["observed"].in_region("SR")
    each = [
        numpy_outputs(networks.architecture, networks.weights.at(m, k), table.columns(["x", "y"]))
        for m in range(2)
        for k in range(2)
    ]
    constants = np.array(body_of(polynomial)["processes"]["signal"]["constants"])
    found = read_arrays(polynomial.output / "observed.zarr")["coefficients"]
    np.testing.assert_allclose(found, np.mean(each, axis=0) - constants, rtol=1e-4, atol=1e-5)


def test_a_polynomial_that_the_variations_do_not_determine_is_refused(folder: Path, inputs: dict[str, Path]) -> None:
    own = {**selected(inputs), "varied.jes.up": inputs["sample_signal_up"]}
    with pytest.raises(InvalidInput, match="degree 2 in 'jes' needs 2 different values") as caught:
        train(folder, own, label="one-point", ensemble=PARAMETRIC, points=(UP,))
    assert caught.value.code == "morphing.degree"


BOOTSTRAP = replace(ENSEMBLES, bootstrap=Bootstrap(replicas=2, members=2))


@pytest.fixture(scope="module")
def replicas(folder: Path, inputs: dict[str, Path]) -> Task[EvaluationRecipe]:
    made = {
        f"block.{replica}.{process}.0": train(
            folder, selected(inputs), label=f"replica{replica}", process=process, replica=replica
        )
        for replica in range(2)
        for process in PROCESS_SAMPLES
    }
    task = evaluation_task(folder, selected(inputs), made, ensemble=BOOTSTRAP, label="replicas")
    task = replace(task, recipe=replace(task.recipe, learned="replicas"))
    evaluation.run(task)
    return task


def test_a_replica_is_trained_on_the_events_drawn_for_it(
    replicas: Task[EvaluationRecipe], inputs: dict[str, Path]
) -> None:
    drawn = []
    for replica in range(2):
        body = json.loads((replicas.inputs[f"block.{replica}.signal.0"] / "training.json").read_text())
        table = tables()["signal_mc"].in_region("SR")
        times = poisson_weights(table.event, seed=derive_seed("bootstrap", ENSEMBLE.seed, replica))
        assert body["replica"] == replica
        assert body["classes"]["process"]["n_events"] == np.sum(times > 0)
        drawn.append(times)
    assert not np.array_equal(*drawn)


def test_log_ratios_of_each_replica_stand_side_by_side(replicas: Task[EvaluationRecipe]) -> None:
    for sample in ("signal_mc", "observed"):
        table = tables()[sample].in_region("SR")
        found = read_arrays(replicas.output / f"{sample}.zarr")["log_ratio"]
        assert found.shape == (len(table), 2, 2)
        spread = np.std(found, axis=2, ddof=1)
        assert 0.005 < np.median(spread) < 0.3
    body = body_of(replicas)["processes"]["signal"]
    assert len(body["normalisation"]) == 2
    assert body["spread"]["median"] < body["spread"]["quantile_90"] < body["spread"]["largest"]


def test_a_replica_is_normalised_on_its_own_reference(replicas: Task[EvaluationRecipe]) -> None:
    """E_ref[r] = 1 with the weights of the replica, each sample of the reference with its share."""
    for replica in range(2):
        seed = derive_seed("bootstrap", ENSEMBLE.seed, replica)
        means = []
        for sample in ENSEMBLE.reference:
            table = tables()[sample].in_region("SR")
            ratio = np.exp(read_arrays(replicas.output / f"{sample}.zarr")["log_ratio"][:, 0, replica].astype(float))
            means.append(np.average(ratio, weights=table.weight * poisson_weights(table.event, seed=seed)))
        assert np.mean(means) == pytest.approx(1.0, abs=1e-6)


def test_processes_that_are_not_trained_again_keep_their_ratios(
    replicas: Task[EvaluationRecipe], folder: Path, inputs: dict[str, Path]
) -> None:
    made = {key: unit for key, unit in replicas.inputs.items() if key.startswith("block.") and ".background." in key}
    first = train(folder, selected(inputs), label="nominal-signal", process="signal")
    other = train(folder, selected(inputs), label="nominal-background", process="background")
    nominal = evaluation_task(
        folder, selected(inputs), {"block_signal_0": first, "block_background_0": other}, label="nominal-of-replicas"
    )
    evaluation.run(nominal)
    some = replace(BOOTSTRAP, bootstrap=Bootstrap(replicas=2, members=2, processes=("background",)))
    task = evaluation_task(
        folder, selected(inputs), {**made, "nominal": nominal.output}, ensemble=some, label="some-replicas"
    )
    task = replace(task, recipe=replace(task.recipe, learned="replicas"))
    evaluation.run(task)
    found = read_arrays(task.output / "signal_mc.zarr")["log_ratio"]
    kept = read_arrays(nominal.output / "signal_mc.zarr")["log_ratio"]
    again = read_arrays(replicas.output / "signal_mc.zarr")["log_ratio"]
    for replica in range(2):
        assert np.array_equal(found[:, 0, replica], kept[:, 0])
        assert np.array_equal(found[:, 1, replica], again[:, 1, replica])
    assert list(body_of(task)["processes"]) == ["background"]


def test_negative_weights_are_resampled_and_reported(folder: Path, inputs: dict[str, Path]) -> None:
    one = tables()["background_mc"]
    weight = np.where(np.arange(2500) % 10 == 0, -one.weight, one.weight)
    own = {**selected(inputs), **write_tables(folder / "signed", {"background_mc": replace(one, weight=weight)})}
    block = train(folder, own, label="resample", ensemble=replace(ENSEMBLES, negative_weights="resample"))
    body = json.loads((block / "training.json").read_text())
    report = body["negative_weights"]
    assert report["treatment"] == "resample"
    assert list(report["resampled"]) == ["sample_background_mc"]
    background = report["resampled"]["sample_background_mc"]
    assert background["n_negative"] == int(np.sum(weight[one.regions[:, 0]] < 0.0))
    assert background["resampled_size"] > 1.2 * background["effective_sample_size"]
    assert body["classes"]["reference"]["n_negative"] == 0


def changed_block(folder: Path, block: Path, *, scale: float, bias: float) -> Path:
    """The block with the last layer of member 1, fold 0 changed."""
    networks = read_weights(block / "weights.safetensors")
    weights, biases = (
        [array.copy() for array in arrays] for arrays in (networks.weights.weight, networks.weights.bias)
    )
    weights[-1][1, 0] *= np.float32(scale)
    biases[-1][1, 0] += np.float32(bias)
    changed = replace(networks.weights, weight=tuple(weights), bias=tuple(biases))
    folder.mkdir()
    write_weights(folder / "weights.safetensors", replace(networks, weights=changed))
    return folder


def test_a_network_that_is_saturated_here_and_there_is_named(
    folder: Path, inputs: dict[str, Path], blocks: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    block = changed_block(folder / "steep", blocks["block.signal.up.0"], scale=80.0, bias=0.0)
    task = variation_task(folder, inputs, {**blocks, "block.signal.up.0": block}, label="steep")
    evaluation.run(task)
    (worst,) = body_of(task)["processes"]["signal"]["up"]["saturated_networks"]
    assert (worst["member"], worst["fold"]) == (1, 0)
    assert 0.001 < worst["share"] < 1.0
    assert "process 'signal', 'jes' up: the score of member 1, fold 0 is 0 or 1 at" in caplog.text


@pytest.mark.parametrize("bias", [40.0, -40.0])
def test_a_network_saturated_everywhere_is_an_error_with_its_name(
    folder: Path, inputs: dict[str, Path], blocks: dict[str, Path], bias: float
) -> None:
    block = changed_block(folder / f"flat{bias}", blocks["block.signal.up.0"], scale=1.0, bias=bias)
    task = variation_task(folder, inputs, {**blocks, "block.signal.up.0": block}, label=f"flat{bias}")
    message = r"process 'signal', 'jes' up: the score of member 1, fold 0 is 0 or 1 .* at all its \d+ events"
    with pytest.raises(EvercastError, match=message) as caught:
        evaluation.run(task)
    assert (caught.value.code, caught.value.exit_code) == ("evaluation.saturated", 7)


def test_a_network_that_overflows_is_an_error_with_process_sample_and_direction(
    folder: Path, inputs: dict[str, Path], blocks: dict[str, Path]
) -> None:
    networks = read_weights(blocks["block.signal.down.0"] / "weights.safetensors")
    weight = tuple(np.full_like(array, 1e30) for array in networks.weights.weight)
    target = folder / "overflow"
    target.mkdir()
    write_weights(target / "weights.safetensors", replace(networks, weights=replace(networks.weights, weight=weight)))
    task = variation_task(folder, inputs, {**blocks, "block.signal.down.0": target}, label="overflow-one")
    message = "process 'signal', 'jes' down, sample 'signal_mc': .* from member 0 of fold 0"
    with pytest.raises(EvercastError, match=message) as caught:
        evaluation.run(task)
    assert caught.value.exit_code == 7
