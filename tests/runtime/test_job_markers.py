"""Markers of jobs: what Snakemake removes when it starts a job again is not what says that a unit is finished."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from run_folders import command, freeze, named, run_alone

from evercast.errors import EnvironmentUnfit, IntegrityError, InvalidInput, NumericalFailure
from evercast.plan.jobs import Job
from evercast.runtime.batches import execute_job
from evercast.runtime.execute import execute_unit
from evercast.runtime.holding import holding_run
from evercast.runtime.job_markers import log_of, marker_of, settle_jobs
from evercast.runtime.leftovers import begin_run
from evercast.runtime.locks import read_executions
from evercast.runtime.plans import FrozenPlan, read_jobs
from evercast.runtime.receipts import read_receipt
from workflow_documents import environment


def job_of(frozen: FrozenPlan, name: str) -> Job:
    unit = named(frozen, name)
    return next(job for job in read_jobs(frozen.file) if unit.id in job.units)


def begun(frozen: FrozenPlan, name: str) -> int:
    return len(read_executions(frozen.folder.unit_lock(named(frozen, name))))


def chain(folder: Path) -> tuple[FrozenPlan, Path]:
    """Two stages, the second made from the first, whose output is a copy of a file that no key knows."""
    source = folder / "source"
    source.write_text("one\n")
    stages = {
        "first": command(f"cp '{source}' {{outputs.out}}"),
        "second": command("cat {inputs.x} {inputs.x} > {outputs.out}", inputs={"x": "stage:first.out"}),
    }
    return freeze(folder, stages), source


def test_a_second_copy_of_a_finished_job_computes_nothing_and_loses_no_words(tmp_path: Path) -> None:
    frozen = freeze(tmp_path, {"hello": command("echo these words >&2; date +%N > {outputs.out}")})
    unit, job = named(frozen, "hello"), job_of(frozen, "hello")
    marker, log = marker_of(job, folder=frozen.folder), log_of("command", job.id, folder=frozen.folder)
    line = [*run_alone(frozen, unit), "--log"]
    first = subprocess.run(line, env=environment(), capture_output=True, text=True, check=True)
    assert (first.stdout, first.stderr) == ("", "")
    said, before = log.read_text(), frozen.folder.receipt(unit).read_bytes()
    assert "these words" in said
    marker.unlink()  # as Snakemake does when it starts the second copy
    subprocess.run(line, env=environment(), capture_output=True, check=True)
    assert json.loads(marker.read_text())["units"] == [unit.id]
    assert frozen.folder.receipt(unit).read_bytes() == before
    assert log.read_text().startswith(said)
    assert "is finished already" in log.read_text().removeprefix(said)
    assert log.read_text().count("---- 20") == 2
    assert begun(frozen, "hello") == 1


def test_markers_follow_the_receipts(tmp_path: Path) -> None:
    frozen, _ = chain(tmp_path)
    jobs = read_jobs(frozen.file)
    for name in ("first", "second"):
        execute_unit(frozen, named(frozen, name))
    settle_jobs(jobs, folder=frozen.folder)
    there = {job.id for job in jobs if marker_of(job, folder=frozen.folder).exists()}
    assert there == {named(frozen, "first").id, named(frozen, "second").id}
    shutil.rmtree(frozen.folder.unit(named(frozen, "first")))
    settle_jobs(jobs, folder=frozen.folder)
    assert not marker_of(job_of(frozen, "first"), folder=frozen.folder).exists()
    assert marker_of(job_of(frozen, "second"), folder=frozen.folder).exists()


@pytest.mark.parametrize(("content", "again"), [("one\n", 1), ("two\n", 2)])
def test_what_follows_from_a_lost_unit_is_made_again_where_its_bits_are_others(
    tmp_path: Path, content: str, again: int
) -> None:
    frozen, source = chain(tmp_path)
    for name in ("first", "second"):
        execute_job(frozen.file, named(frozen, name).id, stage="command")
    source.write_text(content)
    shutil.rmtree(frozen.folder.unit(named(frozen, "first")))
    execute_job(frozen.file, named(frozen, "first").id, stage="command")
    settle_jobs(read_jobs(frozen.file), folder=frozen.folder)
    assert marker_of(job_of(frozen, "second"), folder=frozen.folder).exists() == (again == 1)
    execute_job(frozen.file, named(frozen, "second").id, stage="command")
    assert begun(frozen, "second") == again
    assert (frozen.folder.unit(named(frozen, "second")) / "out.txt").read_text() == 2 * content
    kept = list(frozen.folder.damaged.glob("second-*/out.txt"))
    assert [path.read_text() for path in kept] == ["one\none\n"] * (again - 1)


def test_a_receipt_says_what_the_unit_was_made_from(tmp_path: Path) -> None:
    frozen, _ = chain(tmp_path)
    for name in ("first", "second"):
        execute_unit(frozen, named(frozen, name))
    first = named(frozen, "first")
    (taken,) = read_receipt(frozen.folder.receipt(named(frozen, "second"))).made_from.items()
    assert taken[0] == first.id
    assert len(taken[1]) == 64
    assert read_receipt(frozen.folder.receipt(first)).made_from == {}


ERRORS = {
    "InvalidInput": (InvalidInput, 1),
    "IntegrityError": (IntegrityError, 1),
    "NumericalFailure": (NumericalFailure, 1),
    "EnvironmentUnfit": (EnvironmentUnfit, 2),
}
"""Error of a stage -> its class and how often it is computed when it is tried twice in one run."""


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_that_would_come_again_is_not_computed_again_in_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    kind, times = ERRORS[name]
    (tmp_path / "failing_stage.py").write_text(
        f"from evercast.errors import {name}\n\ndef run(task):\n    raise {name}('why', code='why.code', hint='next')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "failing_stage", raising=False)
    monkeypatch.setattr("evercast.runtime.stage_calls._MODULES", {"command": "failing_stage"})
    frozen = freeze(tmp_path, {"hello": command("echo x > {outputs.out}")})
    unit = named(frozen, "hello")
    with holding_run(frozen.folder):
        begin_run(frozen.plan, folder=frozen.folder)
        for _ in range(2):
            with pytest.raises(kind, match="why") as caught:
                execute_unit(frozen, unit)
            assert (caught.value.code, caught.value.hint) == ("why.code", "next")
        assert begun(frozen, "hello") == times
    with pytest.raises(kind):  # outside of the run it is computed
        execute_unit(frozen, unit)
    assert begun(frozen, "hello") == times + 1
    with holding_run(frozen.folder):
        begin_run(frozen.plan, folder=frozen.folder)
        with pytest.raises(kind):
            execute_unit(frozen, unit)
    assert begun(frozen, "hello") == times + 2
