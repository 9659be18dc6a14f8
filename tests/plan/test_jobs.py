"""Jobs: a scheduler sees some hundred of them, whatever the number of units; keys know nothing of it."""

from __future__ import annotations

import copy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evercast.plan import Plan, Unit, make_plan
from evercast.plan.cost import joint_resources
from evercast.plan.file_bound import file_bound
from evercast.plan.jobs import jobs_of
from evercast.plan.model import UnitResources
from evercast.plan.recipes import FetchRecipe, Recipe, TrainingRecipe
from evercast.plan.table import plan_summary, plan_table
from evercast.spec import load_analysis
from evercast.spec.model import Ensemble, Mlp, Source, Training
from workflow_documents import ROOT, body, changed, plan_of

SCALE = ROOT / "specs" / "scale"


def planned(name: str) -> Plan:
    return make_plan(load_analysis(SCALE / name), document_folder=SCALE, pseudo=False)


@pytest.fixture(scope="module")
def tiny() -> Plan:
    return planned("analysis.yaml")


@pytest.fixture(scope="module")
def full() -> Plan:
    return planned("full.yaml")


def trainings(count: int, *, seconds: float, process: str = "S") -> list[Unit]:
    """Units that train for so long each, beside 6 s of start-up."""
    ensemble = Ensemble(
        region="SR", processes=(process,), reference={"s": 1.0}, observables=("x",), model=Mlp(kind="mlp", width=4),
        training=Training(), seed=1,
    )  # fmt: skip
    resources = UnitResources(seconds=6 + seconds, start_seconds=6, runtime_min=10, memory_mb=700, disk_mb=3)
    return [
        Unit(
            id=f"{process}-{number:012x}", stage="training", name=f"{process}-{number}", key=f"{process}{number}",
            recipe=TrainingRecipe(
                analysis="a", name="r", ensemble=ensemble, process=process, sample="s", members=(number,)
            ),
            resources=resources,
        )
        for number in range(count)
    ]  # fmt: skip


def test_both_documents_of_the_scale_analysis_declare_ten_thousand_networks(tiny: Plan, full: Plan) -> None:
    for plan in (tiny, full):
        (count,) = plan.networks
        assert count.formula() == "10100 networks = 20 processes x (1 + 2 x 50 systematics) x 1 members x 5 folds"
        assert sum(unit.networks for unit in plan.units) == 10_100
        assert {stage: len(plan.of_stage(stage)) for stage in ("selection", "training", "evaluation")} == {
            "selection": 21 + 20 * 2 * 50, "training": 20 * (1 + 2 * 50), "evaluation": 1 + 50,
        }  # fmt: skip


def test_the_documents_are_what_the_script_beside_them_writes(tmp_path: Path) -> None:
    for size, name in (("tiny", "analysis.yaml"), ("full", "full.yaml")):
        made = subprocess.run(
            [sys.executable, "make_analysis.py", size], cwd=SCALE, capture_output=True, text=True, check=True,
            env={"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": str(tmp_path)},
        )  # fmt: skip
        assert made.stdout == (SCALE / name).read_text()


def test_four_thousand_units_are_some_hundred_jobs(tiny: Plan, full: Plan) -> None:
    assert len(tiny.units) == len(full.units) > 4000
    assert len(jobs_of(tiny.units)) < 100
    assert len(jobs_of(full.units)) < 500
    assert plan_summary(full)["jobs"] == len(jobs_of(full.units))
    assert plan_summary(full)["stages"]["training"]["units"] == 2020
    assert f"{len(full.units)} units of work in {len(jobs_of(full.units))} jobs" in plan_table(full)


def test_every_unit_is_in_one_job_of_its_stage_and_no_job_is_before_what_it_needs(full: Plan) -> None:
    jobs, stages = jobs_of(full.units), {unit.id: unit.stage for unit in full.units}
    assert sorted(unit for job in jobs for unit in job.units) == sorted(stages)
    assert all(stages[unit] == job.stage for job in jobs for unit in job.units)
    done: set[str] = set()
    for job in jobs:
        assert set(job.needs) <= done
        done.add(job.id)
    job_of = {unit: job.id for job in jobs for unit in job.units}
    needs = {job.id: {*job.needs, job.id} for job in jobs}
    assert all(job_of[need] in needs[job_of[unit.id]] for unit in full.units for need in unit.needs())
    for job in jobs:  # inside a batch too
        seen: set[str] = set()
        for unit in job.units:
            assert not {need for need in full.by_id()[unit].needs() if job_of[need] == job.id} - seen
            seen.add(unit)


def test_units_of_one_process_stand_side_by_side(full: Plan) -> None:
    units = full.by_id()
    batches = [job for job in jobs_of(full.units) if job.stage == "training"]
    processes = []
    for job in batches:
        recipes = [units[unit].recipe for unit in job.units]
        processes.append({recipe.process for recipe in recipes if isinstance(recipe, TrainingRecipe)})
    assert max(map(len, processes)) <= 2
    assert sum(len(some) == 2 for some in processes) < 20


def test_a_job_starts_once_and_asks_for_what_its_largest_unit_needs() -> None:
    short = UnitResources(memory_mb=500, disk_mb=3, runtime_min=10, seconds=8, start_seconds=6)
    large = UnitResources(cores=2, memory_mb=900, disk_mb=4, runtime_min=10, seconds=606, start_seconds=5)
    assert joint_resources([short, large]) == UnitResources(
        cores=2, memory_mb=900, disk_mb=7, runtime_min=41, seconds=609, start_seconds=6
    )
    assert joint_resources([short]) == short


def test_a_hundred_units_are_a_job_each_and_one_more_are_not() -> None:
    assert [job.id for job in jobs_of(trainings(100, seconds=1))] == [f"S-{number:012x}" for number in range(100)]
    jobs = jobs_of(trainings(101, seconds=1))
    assert [len(job.units) for job in jobs] == [60, 41]
    assert all(job.is_batch and job.id.startswith("batch-") for job in jobs)


@settings(max_examples=30)
@given(count=st.integers(101, 600), seconds=st.floats(0.01, 50_000))
def test_a_stage_has_two_hundred_jobs_or_jobs_of_hours(count: int, seconds: float) -> None:
    jobs = jobs_of(trainings(count, seconds=seconds))
    hours = count * seconds / 3600
    assert len(jobs) <= max(
        201, hours / 2
    )  # two neighbours are longer than a hundredth of the stage, or than four hours
    assert all(len(job.units) == 1 or job.resources.seconds < 4 * 3600 + 7 for job in jobs)


def test_stages_whose_jobs_the_document_sizes_keep_a_job_for_each_unit() -> None:
    source = Source(url="https://example.org/a", sha256="0" * 64, size_bytes=1, license="CC0-1.0")
    recipe: Recipe = FetchRecipe(source=source)
    units = [
        Unit(id=f"f-{number:012x}", stage="fetch", name=f"f{number}", key=str(number), recipe=recipe)
        for number in range(500)
    ]
    assert len(jobs_of(units)) == 500


def many(content: dict[str, Any], systematics: int) -> dict[str, Any]:
    """The toy analysis with as many weight systematics on both processes."""
    result = copy.deepcopy(content)
    one = {"kind": "weight", "processes": "all", "up": "1 + 0.1 * tanh(x)", "down": "1 - 0.1 * tanh(x)"}
    result["systematics"] = {f"s{number}": one for number in range(systematics)}
    return result


def test_a_new_systematic_makes_new_batches_and_leaves_the_units_alone(tmp_path: Path) -> None:
    before, after = (plan_of(tmp_path, many(body(), number)) for number in (30, 31))
    keys = {unit.key for unit in after.of_stage("training")}
    assert {unit.key for unit in before.of_stage("training")} < keys
    assert len(before.of_stage("training")) == 2 * (1 + 2 * 30)
    batches = [
        {job.id for job in jobs_of(plan.units) if job.is_batch and job.stage == "training"} for plan in (before, after)
    ]
    assert batches[0]
    assert batches[0] != batches[1]


def test_the_estimate_of_events_is_for_the_plan_alone(tmp_path: Path) -> None:
    told = changed(body(), "samples.signal.files.0.events", 50_000)
    before, after = plan_of(tmp_path, body()), plan_of(tmp_path, told)
    changed_keys = {one.stage for one, other in zip(before.units, after.units, strict=True) if one.key != other.key}
    assert changed_keys == {"diagnostics", "report"}
    seconds = [plan.of_stage("selection")[0].resources.seconds for plan in (before, after)]
    assert seconds[0] > seconds[1]


def test_the_number_of_files_follows_from_the_units_and_not_from_the_networks(tiny: Plan) -> None:
    selections, trained, evaluations = 2021 * 12, 2020 * 3, 51 * (2 + 21 * 8)
    least = selections + trained + evaluations
    assert least < file_bound(tiny) < 60_000
    assert file_bound(tiny, shards=10) < 250_000
    more = replace(tiny, units=tuple(replace(unit, networks=50 * unit.networks) for unit in tiny.units))
    assert file_bound(more) == file_bound(tiny)
