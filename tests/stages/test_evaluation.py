import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from learning_tasks import ENSEMBLE, PROCESS_SAMPLES, evaluation_task, tables, training_task, write_tables

from evercast.artifacts.arrays import read_arrays
from evercast.artifacts.weights import read_weights, write_weights
from evercast.errors import EvercastError
from evercast.events.pseudo import draw_events
from evercast.networks.folds import CrossFitting
from evercast.networks.numpy_evaluate import numpy_logits
from evercast.plan.recipes import EvaluationRecipe, Task
from evercast.plan.seeds import derive_seed
from evercast.spec.model import PseudoData
from evercast.stages import evaluation, training

WIDE = replace(ENSEMBLE, normalise=False, calibration="none")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def inputs(folder: Path) -> dict[str, Path]:
    return write_tables(folder, tables())


@pytest.fixture(scope="module")
def blocks(folder: Path, inputs: dict[str, Path]) -> dict[str, Path]:
    """One member a block, so that blocks have to be put together."""
    made = {}
    for process in PROCESS_SAMPLES:
        for member in range(2):
            task = training_task(folder, inputs, process=process, members=(member,))
            training.run(task)
            made[f"block_{process}_{member}"] = task.output
    return made


@pytest.fixture(scope="module")
def done(folder: Path, inputs: dict[str, Path], blocks: dict[str, Path]) -> Task[EvaluationRecipe]:
    task = evaluation_task(folder, inputs, blocks)
    evaluation.run(task)
    return task


def _truth(x: np.ndarray, process: str) -> np.ndarray:
    signal, background = np.exp(-0.5 * (x - 0.5) ** 2), np.exp(-0.5 * (x + 0.5) ** 2)
    own = signal if process == "signal" else background
    return np.log(own) - np.log((signal + background) / 2.0)


@pytest.mark.parametrize("sample", ["signal_mc", "background_mc", "observed"])
def test_log_ratios_stand_for_the_rows_of_the_region(done: Task[EvaluationRecipe], sample: str) -> None:
    found = read_arrays(done.output / f"{sample}.zarr")
    table = tables()[sample].in_region("SR")
    assert found.attributes["processes"] == ["signal", "background"]
    assert found["log_ratio"].dtype == np.float32
    assert found["log_ratio"].shape == found["member_spread"].shape == (len(table), 2)
    np.testing.assert_array_equal(found["event"], table.event)
    x = table.columns(["x"])[:, 0] / 100.0
    bulk = np.abs(x) < 1.5
    for index, process in enumerate(("signal", "background")):
        difference = found["log_ratio"][:, index] - _truth(x, process)
        assert np.sqrt(np.mean(difference[bulk] ** 2)) < 0.15


def test_simulation_is_evaluated_out_of_fold_and_data_by_all(
    done: Task[EvaluationRecipe], folder: Path, inputs: dict[str, Path], blocks: dict[str, Path]
) -> None:
    task = evaluation_task(folder, inputs, blocks, ensemble=WIDE, label="plain")
    evaluation.run(task)
    folds = CrossFitting(folds=2, seed=derive_seed("folds", ENSEMBLE.seed))
    members = [read_weights(blocks[f"block_signal_{member}"] / "weights.safetensors") for member in range(2)]
    for sample in ("signal_mc", "observed"):
        table = tables()[sample].in_region("SR")
        values = table.columns(["x", "y"])
        logits = np.array(
            [[numpy_logits(one.architecture, one.weights.at(0, k), values) for k in range(2)] for one in members]
        )
        fold = folds.fold_of(table.event)
        out_of_fold = logits[:, fold, np.arange(len(table))].mean(axis=0)
        over_folds = np.log(np.mean(np.exp(logits.mean(axis=0)), axis=0))
        expected = out_of_fold if sample == "signal_mc" else over_folds
        found = read_arrays(task.output / f"{sample}.zarr")["log_ratio"][:, 0]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_pseudo_data_are_evaluated_as_the_simulation_they_are_drawn_from(
    folder: Path, inputs: dict[str, Path], blocks: dict[str, Path]
) -> None:
    """The log ratio of a drawn event is the one it has, out of fold, in the sample it comes from."""
    content = tables()
    content["background_mc"] = replace(
        content["background_mc"], event=content["background_mc"].event + np.uint64(1 << 32)
    )
    samples = {process: content[sample] for process, sample in PROCESS_SAMPLES.items()}
    pseudo = PseudoData(region="SR", yields={"signal": 60.0, "background": 90.0}, seed=4)
    drawn = draw_events("observed", samples, pseudo).table
    unit = write_tables(folder / "pseudo", content | {"observed": drawn})
    task = evaluation_task(folder, inputs | unit, blocks, ensemble=WIDE, label="pseudo")
    evaluation.run(task)
    found = read_arrays(task.output / "observed.zarr")
    whole = [read_arrays(task.output / f"{sample}.zarr") for sample in PROCESS_SAMPLES.values()]
    for event, ratio in zip(found["event"], found["log_ratio"], strict=True):
        (expected,) = np.concatenate([one["log_ratio"][one["event"] == event] for one in whole])
        np.testing.assert_allclose(ratio, expected, rtol=1e-5, atol=1e-6)  # single precision, other rows beside it


def _diagnostics(task: Task[EvaluationRecipe], process: str) -> dict[str, dict[str, object]]:
    body = json.loads((task.output / "diagnostics.json").read_text())
    return body["processes"][process]


def _mean_ratio(task: Task[EvaluationRecipe], index: int) -> float:
    sums = []
    for sample in ENSEMBLE.reference:
        weight = tables()[sample].in_region("SR").weight
        ratio = np.exp(read_arrays(task.output / f"{sample}.zarr")["log_ratio"][:, index].astype(float))
        sums.append(np.sum(weight * ratio) / np.sum(weight))
    return float(np.mean(sums))


@pytest.mark.parametrize("process", ["signal", "background"])
def test_the_mean_ratio_over_the_reference_is_one(done: Task[EvaluationRecipe], process: str) -> None:
    norm = _diagnostics(done, process)["normalisation"]
    assert abs(norm["mean"] - 1.0) < 3.0 * norm["error"]
    assert norm["log_norm"] == pytest.approx(np.log(norm["mean"]), abs=1e-12)
    index = ENSEMBLE.processes.index(process)
    assert _mean_ratio(done, index) == pytest.approx(1.0, abs=1e-6)


def test_without_normalisation_the_ratio_stays_as_it_was_learned(
    folder: Path, inputs: dict[str, Path], blocks: dict[str, Path]
) -> None:
    task = evaluation_task(folder, inputs, blocks, ensemble=WIDE, label="unnormalised")
    evaluation.run(task)
    norm = _diagnostics(task, "signal")["normalisation"]
    assert norm["log_norm"] == 0.0
    assert _mean_ratio(task, 0) == pytest.approx(norm["mean"], rel=1e-6)


def test_the_diagnostics_close_in_every_observable(done: Task[EvaluationRecipe]) -> None:
    for process in ENSEMBLE.processes:
        body = _diagnostics(done, process)
        assert set(body["closure"]) == {"x", "y", "z"}
        for name, one in body["closure"].items():
            assert one["chi2"] < one["bins"] + 4.0 * np.sqrt(2.0 * one["bins"]), name
            assert len(one["edges"]) == len(one["target"]) + 1
        assert body["saturated_fraction"] == 0.0
        assert 0.55 < body["auc"] < 0.75
        assert body["effective_sample_size"]["reweighted_reference"] < body["effective_sample_size"]["reference"]
        assert body["member_spread"]["median"] < body["member_spread"]["quantile_90"] < body["member_spread"]["largest"]
        curve = body["calibration"]
        pulls = [
            (fraction - score) / error
            for score, fraction, error in zip(curve["score"], curve["fraction"], curve["error"], strict=True)
            if fraction is not None and error > 0.01
        ]
        assert len(pulls) > 5
        assert np.sqrt(np.mean(np.square(pulls))) < 2.0
        assert curve["map"] is None


def test_histogram_calibration_is_declared_and_applied(
    folder: Path, inputs: dict[str, Path], blocks: dict[str, Path]
) -> None:
    plain = evaluation_task(folder, inputs, blocks, ensemble=WIDE, label="raw")
    calibrated = evaluation_task(
        folder, inputs, blocks, ensemble=replace(WIDE, calibration="histogram"), label="calibrated"
    )
    for task in (plain, calibrated):
        evaluation.run(task)
    declared = _diagnostics(calibrated, "signal")["calibration"]["map"]
    raw, found = (read_arrays(task.output / "observed.zarr")["log_ratio"][:, 0] for task in (plain, calibrated))
    bins = np.searchsorted(declared["edges"], raw.astype(float), side="right")
    np.testing.assert_allclose(found, raw + np.array(declared["values"])[bins], atol=1e-5)
    assert _diagnostics(calibrated, "signal")["normalisation"]["mean"] == pytest.approx(1.0, abs=1e-6)


def test_the_mean_ratio_combination_is_another_number(
    done: Task[EvaluationRecipe], folder: Path, inputs: dict[str, Path], blocks: dict[str, Path]
) -> None:
    task = evaluation_task(folder, inputs, blocks, ensemble=replace(WIDE, combine="mean_ratio"), label="mean_ratio")
    evaluation.run(task)
    logs = evaluation_task(folder, inputs, blocks, ensemble=WIDE, label="mean_log")
    evaluation.run(logs)
    ratio, log = (read_arrays(one.output / "signal_mc.zarr")["log_ratio"][:, 0] for one in (task, logs))
    assert np.all(ratio >= log - 1e-5)
    assert np.max(ratio - log) > 1e-4


def test_doing_it_again_gives_the_same_bytes(
    done: Task[EvaluationRecipe], folder: Path, inputs: dict[str, Path], blocks: dict[str, Path]
) -> None:
    again = evaluation_task(folder, inputs, blocks, label="again")
    evaluation.run(again)
    for sample in ("signal_mc", "observed"):
        one, two = ((task.output / f"{sample}.zarr" / "inventory.json").read_bytes() for task in (done, again))
        assert one == two
    assert (done.output / "diagnostics.json").read_bytes() == (again.output / "diagnostics.json").read_bytes()


def _missing(blocks: dict[str, Path], _: Path) -> dict[str, Path]:
    return {name: path for name, path in blocks.items() if name != "block_signal_1"}


def _twice(blocks: dict[str, Path], _: Path) -> dict[str, Path]:
    return blocks | {"block_signal_1": blocks["block_signal_0"]}


def _of_another_process(blocks: dict[str, Path], _: Path) -> dict[str, Path]:
    return blocks | {"block_signal_1": blocks["block_background_1"]}


def _not_finite(blocks: dict[str, Path], folder: Path) -> dict[str, Path]:
    """Weights that are finite but overflow."""
    networks = read_weights(blocks["block_signal_1"] / "weights.safetensors")
    weight = tuple(np.full_like(array, 1e30) for array in networks.weights.weight)
    folder.mkdir()
    write_weights(folder / "weights.safetensors", replace(networks, weights=replace(networks.weights, weight=weight)))
    return blocks | {"block_signal_1": folder}


FAULTS: dict[str, tuple[Callable[[dict[str, Path], Path], dict[str, Path]], str, int]] = {
    "a block is missing": (_missing, "hold the members .0.", 5),
    "a block stands twice": (_twice, "hold the members .0, 0.", 5),
    "a block of another process": (_of_another_process, "1 blocks of another ensemble", 5),
    "a network overflows": (_not_finite, "from member 1 of fold 0", 7),
}


@pytest.mark.parametrize("name", FAULTS)
def test_blocks_that_do_not_make_up_the_ensemble_are_refused(
    tmp_path: Path, inputs: dict[str, Path], blocks: dict[str, Path], name: str
) -> None:
    change, message, exit_code = FAULTS[name]
    task = evaluation_task(tmp_path, inputs, change(blocks, tmp_path / "forged"))
    with pytest.raises(EvercastError, match=message) as caught:
        evaluation.run(task)
    assert caught.value.exit_code == exit_code
    assert list(task.output.iterdir()) == []
