import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from learning_tasks import ENSEMBLE, table, tables, training_task, write_tables

from evercast.artifacts.event_table import EventTable
from evercast.artifacts.weights import read_tensors, read_weights
from evercast.errors import EvercastError, IntegrityError, InvalidInput
from evercast.plan.seeds import derive_seed
from evercast.stages import training
from evercast.stages.training import FolderCheckpoints


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_tables(tmp_path_factory.mktemp("selected"), tables())


def digest(folder: Path) -> dict[str, str]:
    return {entry.name: hashlib.sha256(entry.read_bytes()).hexdigest() for entry in sorted(folder.iterdir())}


def test_a_block_is_written_with_its_history(tmp_path: Path, inputs: dict[str, Path]) -> None:
    task = training_task(tmp_path, inputs)
    training.run(task)
    networks = read_weights(task.output / "weights.safetensors")
    assert networks.weights.axes() == (2, 2)
    assert networks.weights.weight[0].shape == (2, 2, 16, 2)
    assert networks.labels["process"] == "signal"
    body = json.loads((task.output / "training.json").read_text())
    assert [(one["member"], one["fold"]) for one in body["networks"]] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    for one in body["networks"]:
        assert one["seed"] == derive_seed("toy", 5, "ratios", "signal", "nominal", one["member"], one["fold"])
        assert len(one["loss"]["training"]) == len(one["loss"]["validation"]) == one["epochs"]
        assert one["best_epoch"] == int(np.argmin(one["loss"]["validation"]))
        assert one["loss"]["validation"][one["best_epoch"]] < np.log(2.0)
        counts = {part: one[part]["process"]["n_events"] for part in ("training", "validation")}
        assert counts["validation"] == round(0.15 * sum(counts.values()))
    assert body["classes"]["process"]["effective_sample_size"] == pytest.approx(body["classes"]["process"]["n_events"])
    assert sorted(entry.name for entry in task.output.iterdir()) == ["training.json", "weights.safetensors"]


def test_only_events_of_the_region_are_used(tmp_path: Path, inputs: dict[str, Path]) -> None:
    task = training_task(tmp_path, inputs, members=(0,))
    training.run(task)
    body = json.loads((task.output / "training.json").read_text())
    content = tables()
    inside = {name: int(one.regions[:, 0].sum()) for name, one in content.items()}
    assert body["classes"]["process"]["n_events"] == inside["signal_mc"]
    assert body["classes"]["reference"]["n_events"] == inside["signal_mc"] + inside["background_mc"]


def test_members_are_the_same_bits_in_any_block(tmp_path: Path, inputs: dict[str, Path]) -> None:
    tasks = {members: training_task(tmp_path, inputs, members=members) for members in ((0, 1), (0,), (1,))}
    for task in tasks.values():
        training.run(task)
    whole, *parts = (read_weights(task.output / "weights.safetensors").weights for task in tasks.values())
    for member, part in enumerate(parts):
        for (name, one), (_, two) in zip(whole.at(member).named(), part.at(0).named(), strict=True):
            np.testing.assert_array_equal(one, two, err_msg=f"member {member} {name}")


def test_a_block_done_again_is_the_same_bytes(tmp_path: Path, inputs: dict[str, Path]) -> None:
    tasks = [training_task(tmp_path, inputs, label=label) for label in ("one", "two")]
    for task in tasks:
        training.run(task)
    assert digest(tasks[0].output) == digest(tasks[1].output)


KILLED = """
import sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from dataclasses import replace
from learning_tasks import ENSEMBLE, training_task
from evercast.stages import training
folder, selected = Path(sys.argv[1]), Path(sys.argv[2])
inputs = {f"sample_{name}": selected / name for name in ("signal_mc", "background_mc")}
ensemble = replace(ENSEMBLE, training=replace(ENSEMBLE.training, epochs=150, patience=None))
training.run(training_task(folder, inputs, ensemble=ensemble, label=sys.argv[4]))
"""


def _train_in_process(folder: Path, inputs: Mapping[str, Path], label: str) -> subprocess.Popen[bytes]:
    selected = inputs["sample_signal_mc"].parent
    return subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder), str(selected), str(Path(__file__).parent), label]
    )


@pytest.mark.slow
def test_a_block_killed_at_once_and_resumed_is_the_same_bytes(tmp_path: Path, inputs: dict[str, Path]) -> None:
    whole = _train_in_process(tmp_path / "whole", inputs, "")
    assert whole.wait(timeout=300) == 0
    expected = digest(tmp_path / "whole" / "work" / "training" / "signal-0-1")

    checkpoint = tmp_path / "killed" / "work" / "checkpoints" / "training" / "signal-0-1"
    process = _train_in_process(tmp_path / "killed", inputs, "")
    _wait_for_second_network(checkpoint, process)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(timeout=60) == -signal.SIGKILL
    output = tmp_path / "killed" / "work" / "training" / "signal-0-1"
    assert list(output.iterdir()) == []
    epochs = {path.stem: int(read_tensors(path).arrays["epoch"][0]) for path in checkpoint.glob("*.safetensors")}
    assert epochs["0.0"] == 150
    assert 0 < epochs["0.1"] < 150
    output.rmdir()

    resumed = _train_in_process(tmp_path / "killed", inputs, "")
    assert resumed.wait(timeout=300) == 0
    assert digest(output) == expected


def _wait_for_second_network(checkpoint: Path, process: subprocess.Popen[bytes]) -> None:
    """Return once the second network has left a checkpoint."""
    end = time.monotonic() + 300.0
    while not (checkpoint / "0.1.safetensors").exists():
        assert process.poll() is None, "the training ended before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.002)


def test_a_damaged_checkpoint_is_left_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = FolderCheckpoints(tmp_path)
    checkpoints.save("0.0", {"x": np.arange(5.0)})
    kept = checkpoints.load("0.0")
    assert kept is not None
    np.testing.assert_array_equal(kept["x"], np.arange(5.0))
    content = bytearray((tmp_path / "0.0.safetensors").read_bytes())
    content[-3] ^= 1
    (tmp_path / "0.0.safetensors").write_bytes(content)
    assert checkpoints.load("0.0") is None
    (tmp_path / "0.0.safetensors").write_bytes(b"")
    assert checkpoints.load("0.0") is None
    assert caplog.text.count("is left aside") == 2


def _with(**changed: EventTable) -> dict[str, EventTable]:
    return tables() | changed


def _no_events() -> dict[str, EventTable]:
    one = tables()["signal_mc"]
    return _with(signal_mc=replace(one, regions=np.stack([np.zeros(2000, bool), np.ones(2000, bool)], axis=1)))


def _weights(value: float) -> dict[str, EventTable]:
    one = tables()["background_mc"]
    return _with(background_mc=replace(one, weight=np.full(2500, value)))


def _flat() -> dict[str, EventTable]:
    content = tables()
    for name in ("signal_mc", "background_mc"):
        columns = content[name].observables.copy()
        columns[:, 1] = 3.0
        content[name] = replace(content[name], observables=columns)
    return content


BAD = {
    "empty-class": (_no_events, "sample 'signal_mc' in region 'SR' has no events"),
    "zero-weights": (lambda: _weights(0.0), "sample 'background_mc' in region 'SR': all"),
    "negative-class": (lambda: _weights(-1.0), "sample 'background_mc' in region 'SR': the sum of weights is -"),
    "constant-observable": (_flat, "observable 'y' is 3 in all"),
}


@pytest.mark.parametrize("code", BAD)
def test_events_that_teach_nothing_are_refused_with_sample_and_region(tmp_path: Path, code: str) -> None:
    make, message = BAD[code]
    task = training_task(tmp_path, write_tables(tmp_path, make()))
    with pytest.raises(InvalidInput, match=message) as caught:
        training.run(task)
    assert caught.value.code == f"training.{code}"
    assert caught.value.exit_code == 3
    assert list(task.output.iterdir()) == []


def test_negative_weights_are_refused_only_where_the_ensemble_says_so(tmp_path: Path) -> None:
    one = tables()["background_mc"]
    weight = np.where(np.arange(2500) % 10 == 0, -one.weight, one.weight)
    inputs = write_tables(tmp_path, _with(background_mc=replace(one, weight=weight)))
    signed = training_task(tmp_path, inputs, members=(0,))
    training.run(signed)
    body = json.loads((signed.output / "training.json").read_text())
    reference = body["classes"]["reference"]
    assert reference["n_negative"] == int(np.sum(weight[one.regions[:, 0]] < 0.0))
    assert reference["effective_sample_size"] < 0.9 * reference["n_events"]
    ensemble = replace(ENSEMBLE, negative_weights="reject")
    with pytest.raises(InvalidInput, match="weights are negative and the ensemble rejects them"):
        training.run(training_task(tmp_path, inputs, members=(0,), ensemble=ensemble, label="reject"))


def test_a_damaged_table_is_refused(tmp_path: Path) -> None:
    inputs = write_tables(tmp_path, {"signal_mc": table("signal_mc", mean=0.5, events=500, seed=1)} | tables())
    shard = next((inputs["sample_signal_mc"] / "events.zarr" / "weight" / "c").iterdir())
    content = bytearray(shard.read_bytes())
    content[40] ^= 4
    shard.write_bytes(content)
    with pytest.raises(IntegrityError, match="has sha256"):
        training.run(training_task(tmp_path, inputs))


@pytest.mark.filterwarnings("ignore:Error writing persistent compilation cache")  # on the full disk too; not needed
@pytest.mark.parametrize("small_disk", ["20k"], indirect=True)
def test_a_full_disk_is_named_and_nothing_half_done_stays(
    tmp_path: Path, inputs: dict[str, Path], small_disk: Path
) -> None:
    task = replace(training_task(tmp_path, inputs), checkpoint=small_disk / "work" / "checkpoints" / "unit")
    with pytest.raises(EvercastError, match="no space left") as caught:
        training.run(task)
    assert (caught.value.code, caught.value.exit_code) == ("disk.full", 6)
    assert list(task.output.iterdir()) == []
