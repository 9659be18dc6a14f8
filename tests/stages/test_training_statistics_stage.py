import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from learning_tasks import ENSEMBLE, PROCESS_SAMPLES, evaluation_task, tables, training_task, write_tables

from evercast.artifacts.event_table import EventTable
from evercast.artifacts.files import sha256_file
from evercast.artifacts.likelihood_file import write_likelihood
from evercast.artifacts.likelihood_folder import Index, IndexEntry, write_index
from evercast.artifacts.ratios import read_log_ratios
from evercast.errors import IntegrityError
from evercast.likelihood.model import (
    Component,
    EventSet,
    LikelihoodModel,
    NormSys,
    ParameterModel,
    UnbinnedChannelModel,
)
from evercast.plan.recipes import Task, TrainingStatisticsRecipe
from evercast.spec.model import Bootstrap, Ensemble, Inference, LikelihoodSpec, UnbinnedChannel
from evercast.stages import evaluation, training, training_statistics

PROCESSES = tuple(PROCESS_SAMPLES)
BOOTSTRAP = Bootstrap(replicas=4, members=1)
SPEC = replace(ENSEMBLE, members=3, training=replace(ENSEMBLE.training, epochs=4))


def trained(
    folder: Path, inputs: Mapping[str, Path], *, members: tuple[int, ...], replica: int | None = None
) -> dict[str, Path]:
    made = {}
    for process in PROCESSES:
        task = training_task(
            folder, inputs, process=process, members=members, ensemble=SPEC, label=f"-{process}-{replica}"
        )
        task = replace(task, recipe=replace(task.recipe, replica=replica))
        training.run(task)
        made[process] = task.output
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("statistics")


@pytest.fixture(scope="module")
def inputs(folder: Path) -> dict[str, Path]:
    """Selection, training and evaluation units of a toy with 3 members and 4 replicas."""
    selected = write_tables(folder, tables())
    nominal = trained(folder, selected, members=(0, 1, 2))
    blocks = {f"block_{process}_0": path for process, path in nominal.items()}
    task = evaluation_task(folder, selected, blocks, ensemble=SPEC, label="nominal")
    evaluation.run(task)
    replicas = {
        f"block.{number}.{process}.0": path
        for number in range(BOOTSTRAP.replicas)
        for process, path in trained(folder, selected, members=(0,), replica=number).items()
    }
    again = evaluation_task(
        folder, selected, replicas, ensemble=replace(SPEC, members=1, bootstrap=BOOTSTRAP), label="replicas"
    )
    again = replace(again, recipe=replace(again.recipe, learned="replicas"))
    evaluation.run(again)
    return {
        **selected,
        "evaluation_ratios": task.output,
        "replicas.ratios": again.output,
        **{f"block.ratios.{process}.0": path for process, path in nominal.items()},
        "likelihood": serialized(folder / "serialized", task.output),
    }


def event_set(evaluated: Path, samples: tuple[str, ...], factors: Mapping[str, float] | None = None) -> EventSet:
    content: list[EventTable] = [tables()[sample].in_region("SR") for sample in samples]
    ratios = [
        read_log_ratios(evaluated, sample, table=table, processes=PROCESSES)
        for sample, table in zip(samples, content, strict=True)
    ]
    weight = [table.weight * (factors or {}).get(table.sample, 1.0) for table in content]
    return EventSet(log_ratio=np.concatenate(ratios), weight=np.concatenate(weight))


def serialized(unit: Path, evaluated: Path, *, blind: bool = False) -> Path:
    """A likelihood of one unbinned channel in the form of the serialization stage."""
    yields = {process: tables()[sample].in_region("SR").weight.sum() for process, sample in PROCESS_SAMPLES.items()}
    channel = UnbinnedChannelModel(
        name="SR",
        components=(
            Component(process="signal", yield_events=float(yields["signal"]), coefficient="mu"),
            Component(
                process="background",
                yield_events=float(yields["background"]),
                modifiers=(NormSys(parameter="norm", up=1.05, down=0.95),),
            ),
        ),
        events=event_set(evaluated, ("observed",)),
        simulation=event_set(evaluated, tuple(PROCESS_SAMPLES.values())),
        blind=blind,
    )
    parameters = (
        ParameterModel(name="mu", initial=1.0, bounds=(0.0, 20.0), poi=True),
        ParameterModel(name="norm", bounds=(-5.0, 5.0), constraint="normal"),
    )
    root = unit / "likelihood"
    (root / "main").mkdir(parents=True)
    write_likelihood(root / "main", LikelihoodModel(name="main", parameters=parameters, channels=(channel,)))
    digest = sha256_file(root / "main" / "likelihood.json")
    entry = IndexEntry(kind="folder", path="main", sha256=digest)
    write_index(
        root, Index(schema="likelihood-index/1.0.0", analysis="toy", run_id="0" * 16, likelihoods={"main": entry})
    )
    return unit


def statistics_task(
    folder: Path, inputs: Mapping[str, Path], *, label: str, ensemble: Ensemble | None = None
) -> Task[TrainingStatisticsRecipe]:
    output = folder / "work" / "training_statistics" / label
    output.mkdir(parents=True)
    return Task(
        recipe=TrainingStatisticsRecipe(
            likelihood="main",
            spec=LikelihoodSpec(channels={"SR": UnbinnedChannel(kind="unbinned", ensemble="ratios")}),
            ensembles={"ratios": ensemble or replace(SPEC, bootstrap=BOOTSTRAP)},
            process_samples=PROCESS_SAMPLES,
            data_sample="observed",
            inference=Inference(scan_range=(0.0, 3.0)),
        ),
        inputs=dict(inputs),
        output=output,
        checkpoint=folder / "work" / "checkpoints" / "training_statistics" / label,
    )


def body_of(task: Task[TrainingStatisticsRecipe]) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    return dict(json.loads((task.output / "result.json").read_text()))


@pytest.fixture(scope="module")
def body(folder: Path, inputs: dict[str, Path]) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    task = statistics_task(folder, inputs, label="all")
    training_statistics.run(task)
    return body_of(task)


@pytest.mark.parametrize("kind", ["expected", "observed"])
def test_all_three_estimators_are_given_with_their_labels(
    body: dict[str, dict[str, dict[str, dict[str, float]]]], kind: str
) -> None:
    assert set(body["estimators"]) == {"ensemble_noise", "bootstrap", "weighted_members"}
    found = body[kind]
    assert found["sigma"] > 0.2
    for name, estimate in found["estimates"].items():
        assert 0.0 < estimate["sigma"] < found["sigma"], name
        assert estimate["total_sigma"] == pytest.approx(np.hypot(estimate["sigma"], found["sigma"]))
    noise, bootstrap = (found["estimates"][name] for name in ("ensemble_noise", "bootstrap"))
    assert (len(noise["values"]), noise["draws"], noise["failures"]) == (50, 50, [])
    assert (len(bootstrap["values"]), bootstrap["replicas"]) == (4, 4)
    assert bootstrap["sigma"] == pytest.approx(np.std(bootstrap["values"], ddof=1))


def test_the_expected_fit_is_close_to_the_model(body: dict[str, dict[str, dict[str, dict[str, float]]]]) -> None:
    """Ratios from 2000 events move mu by much less than its uncertainty."""
    assert body["poi"] == "mu"
    assert body["expected"]["poi_value"] == pytest.approx(1.0, abs=0.5 * float(body["expected"]["sigma"]))
    weighted = body["expected"]["estimates"]["weighted_members"]
    assert weighted["poi_value"] == pytest.approx(1.0, abs=0.5 * float(body["expected"]["sigma"]))
    assert np.array(weighted["weights"]["SR"]).shape == (2, 4)


def test_without_a_bootstrap_or_with_one_member_the_reason_is_given(folder: Path, inputs: dict[str, Path]) -> None:
    own = {name: path for name, path in inputs.items() if name != "replicas.ratios"}
    task = statistics_task(folder, own, label="none", ensemble=SPEC)
    training_statistics.run(task)
    bootstrap = body_of(task)["expected"]["estimates"]["bootstrap"]
    assert bootstrap["sigma"] is None
    assert bootstrap["reason"] == "an ensemble declares no bootstrap"


def test_observed_results_of_a_blind_channel_are_not_computed(folder: Path, inputs: dict[str, Path]) -> None:
    unit = serialized(folder / "blind", inputs["evaluation_ratios"], blind=True)
    task = statistics_task(folder, {**inputs, "likelihood": unit}, label="blind")
    training_statistics.run(task)
    assert body_of(task)["observed"] is None
    assert body_of(task)["expected"] is not None


def test_ratios_of_another_evaluation_are_refused(folder: Path, inputs: dict[str, Path]) -> None:
    """The likelihood was made of the replicas' unit 0 in place of the nominal ratios."""
    other = evaluation_task(folder, inputs, {}, ensemble=replace(SPEC, normalise=False), label="other")
    blocks = {f"block_{process}_0": inputs[f"block.ratios.{process}.0"] for process in PROCESSES}
    evaluation.run(replace(other, inputs={**other.inputs, **blocks}))
    wrong = serialized(folder / "wrong", other.output)
    with pytest.raises(IntegrityError, match="channel 'SR': log ratios that differ by up to") as caught:
        training_statistics.run(statistics_task(folder, {**inputs, "likelihood": wrong}, label="wrong"))
    assert caught.value.code == "training-statistics.events"
