"""Batches: many short units in one job; each is finished, fails and is made again for itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from evercast.errors import EvercastError, InvalidInput, UsageError
from evercast.plan.jobs import Job
from evercast.runtime import stage_calls
from evercast.runtime.batches import execute_job
from evercast.runtime.folders import RunFolder
from evercast.runtime.job_markers import marker_of, settle_jobs
from evercast.runtime.plans import FrozenPlan, freeze_plan, plan_document, read_jobs, read_plan
from evercast.runtime.status import run_status
from workflow_documents import small_body, write_document

MANY = 26


def freeze(folder: Path, *, systematics: int = MANY, bad: int | None = None) -> FrozenPlan:
    """The small document with as many weight systematics on both processes; number `bad` changes nothing."""
    content: dict[str, Any] = small_body()
    for sample in content["samples"].values():
        sample["files"][0]["events"] = 6000
    slopes = {number: 0.0 if number == bad else 0.01 * (1 + number) for number in range(systematics)}
    content["systematics"] = {
        f"s{number}": {
            "kind": "weight",
            "processes": "all",
            "up": f"1 + {slope:g} * tanh(x)",
            "down": "1 - 0.1 * tanh(x)",
        }
        for number, slope in slopes.items()
    }
    document = write_document(folder, content)
    analysis, plan = plan_document(document, pseudo=False)
    return freeze_plan(plan, analysis=analysis, document=document, folder=RunFolder(folder / "results"))


def batch_of(frozen: FrozenPlan) -> Job:
    (batch,) = (job for job in read_jobs(frozen.file) if job.is_batch)
    assert batch.stage == "selection"
    assert len(batch.units) == len(frozen.plan.of_stage("selection")) - 2  # the nominal ones, which others need
    return batch


def run(frozen: FrozenPlan, *stages: str) -> None:
    """Run the jobs of some stages that are no batches."""
    for job in read_jobs(frozen.file):
        if job.stage in stages and not job.is_batch:
            execute_job(frozen.file, job.id, stage=job.stage)


def contents(frozen: FrozenPlan, batch: Job) -> dict[str, bytes]:
    """Unit -> its receipt."""
    files = {unit: frozen.folder.work / "selection" / unit / "receipt.json" for unit in batch.units}
    return {unit: file.read_bytes() for unit, file in files.items() if file.exists()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FrozenPlan:
    frozen = freeze(tmp_path_factory.mktemp("batches") / "finished")
    run(frozen, "command", "selection")
    execute_job(frozen.file, batch_of(frozen).id, stage="selection")
    return frozen


def test_a_batch_finishes_every_unit_with_a_receipt_of_its_own(finished: FrozenPlan) -> None:
    batch = batch_of(finished)
    found = contents(finished, batch)
    assert {json.loads(text)["unit"] for text in found.values()} == set(batch.units)
    assert json.loads(marker_of(batch, folder=finished.folder).read_text())["units"] == list(batch.units)


def test_a_batch_makes_again_what_is_missing_and_nothing_else(finished: FrozenPlan) -> None:
    batch, before = batch_of(finished), contents(finished, batch_of(finished))
    lost = batch.units[7]
    shutil.rmtree(finished.folder.work / "selection" / lost)
    settle_jobs([batch], folder=finished.folder)
    assert not marker_of(batch, folder=finished.folder).exists()
    execute_job(finished.file, batch.id, stage="selection")
    after = contents(finished, batch)
    assert {unit for unit in batch.units if before[unit] != after[unit]} == {lost}
    assert marker_of(batch, folder=finished.folder).exists()


def test_a_batch_whose_units_are_there_from_an_earlier_plan_needs_no_job(finished: FrozenPlan, tmp_path: Path) -> None:
    folder = tmp_path / "more"
    shutil.copytree(finished.document_folder, folder)
    fewer = freeze(folder, systematics=MANY - 1)
    batch = batch_of(fewer)
    assert batch.id != batch_of(finished).id
    assert not marker_of(batch, folder=fewer.folder).exists()
    settle_jobs([batch], folder=fewer.folder)
    assert marker_of(batch, folder=fewer.folder).exists()


def test_a_unit_that_fails_keeps_no_other_of_its_batch_from_being_run(tmp_path: Path) -> None:
    frozen = freeze(tmp_path, bad=3)
    batch = batch_of(frozen)
    run(frozen, "command", "selection")
    with pytest.raises(InvalidInput) as caught:
        execute_job(frozen.file, batch.id, stage="selection")
    assert caught.value.code == "systematic.identical"
    assert "s3-up" in (caught.value.where or "")
    failed = [one for one in run_status(frozen.plan, folder=frozen.folder) if one.state == "failed"]
    assert sorted(one.unit.name for one in failed) == ["background-s3-up", "signal-s3-up"]
    assert len(contents(frozen, batch)) == len(batch.units) - 2
    assert not marker_of(batch, folder=frozen.folder).exists()


def test_a_defect_in_one_unit_ends_that_unit_and_the_batch_tells_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "selection_with_a_defect.py").write_text(
        "from evercast.stages import selection\n\n"
        "def run(task):\n"
        "    name = task.recipe.variation.name if task.recipe.variation else ''\n"
        "    return 1 / 0 if name == 's3 up' else selection.run(task)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    frozen = freeze(tmp_path / "analysis")
    batch = batch_of(frozen)
    run(frozen, "command", "selection")
    monkeypatch.setitem(stage_calls._MODULES, "selection", "selection_with_a_defect")  # type: ignore[index]
    with pytest.raises(EvercastError, match="ZeroDivisionError") as caught:
        execute_job(frozen.file, batch.id, stage="selection")
    assert (caught.value.code, caught.value.exit_code) == ("internal", 70)
    failed = [one for one in run_status(frozen.plan, folder=frozen.folder) if one.state == "failed"]
    assert sorted(one.unit.name for one in failed) == ["background-s3-up", "signal-s3-up"]
    assert all(one.error is not None and one.error.exit_code == 70 for one in failed)
    assert len(contents(frozen, batch)) == len(batch.units) - 2
    assert not marker_of(batch, folder=frozen.folder).exists()


def test_a_batch_of_another_stage_is_refused(finished: FrozenPlan) -> None:
    with pytest.raises(UsageError) as caught:
        execute_job(finished.file, batch_of(finished).id, stage="training")
    assert caught.value.code == "stage.wrong-stage"


def test_a_job_reads_of_the_plan_what_it_needs(finished: FrozenPlan) -> None:
    batch = batch_of(finished)
    part = read_plan(finished.file, only=batch.units[:2])
    needed = {need for unit in batch.units[:2] for need in finished.unit(unit).needs()}
    assert {unit.id for unit in part.plan.units} == {*batch.units[:2], *needed}
    assert part.unit(batch.units[0]) == finished.unit(batch.units[0])
