"""What jobs cost: as SLURM's accounting tells it, and as receipts tell it where there is no SLURM."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from run_folders import freeze

from evercast.runtime.accounting import Accounting, account_run, write_accounting
from evercast.runtime.plans import FrozenPlan
from evercast.runtime.receipts import Receipt, write_receipt
from evercast.runtime.sacct import read_sacct
from evercast.schemas import load_schema, registry
from evercast.spec.codec import from_json

ROWS = (
    """\
12|COMPLETED|16|00:07.001|||754M|10|1|rule_training_wildcards_ratios-B-0-c05d9faaf2b1
12.batch|COMPLETED|16|00:01.510|180672K|cn1|||1|
12.0|COMPLETED|12|00:05.490|539776K|cn1|||1|
13|TIMEOUT|80|01:02:03|||1G|1|2|rule_fit_wildcards_neural-d765c7556fa1
13.batch|CANCELLED|80|00:01.500||cn2|||2|
14|CANCELLED by 0|3|1-00:00:01|||0n||1|
""".replace("|||754M", "||cn1|754M")
    .replace("|||1G", "||cn2|1G")
    .replace("|||0n", "||cn3|0n")
)


def test_the_memory_of_a_job_is_that_of_its_script_and_of_its_largest_step() -> None:
    assert read_sacct(ROWS)["12"].memory_mb == pytest.approx((180_672 + 539_776) / 1024, abs=0.2)


def test_a_job_tells_its_request_its_node_and_its_rule() -> None:
    job = read_sacct(ROWS)["12"]
    assert (job.asked_memory_mb, job.asked_min, job.cores, job.node) == (754.0, 10, 1, "cn1")
    assert (job.rule, job.state, job.seconds, job.cpu_seconds) == ("training", "COMPLETED", 16.0, 7.001)


def test_a_job_without_samples_has_no_memory_and_one_without_comment_no_rule() -> None:
    jobs = read_sacct(ROWS)
    assert jobs["13"].memory_mb is None
    assert jobs["14"].rule == "unknown"
    assert jobs["14"].asked_memory_mb is None


def test_a_state_is_one_word_and_times_have_days() -> None:
    jobs = read_sacct(ROWS)
    assert jobs["14"].state == "CANCELLED"
    assert jobs["14"].cpu_seconds == 86_401.0
    assert jobs["13"].cpu_seconds == 3723.0


def test_of_a_requeued_job_the_last_row_counts() -> None:
    again = "12|NODE_FAIL|5|00:00|||754M|10|1|\n".replace("|||754M", "||cn9|754M")
    assert read_sacct(again + ROWS)["12"].state == "COMPLETED"


@pytest.mark.parametrize("text", ["", "sacct: error: Slurm accounting storage is disabled\n", "1|2|3\n"])
def test_what_is_no_table_has_no_jobs(text: str) -> None:
    assert read_sacct(text) == {}


@pytest.mark.parametrize("time", ["INVALID", "", "Unknown"])
def test_a_time_that_slurm_does_not_know_is_none(time: str) -> None:
    row = f"7|RUNNING||{time}||None assigned|500M|UNLIMITED||\n"
    job = read_sacct(row)["7"]
    assert (job.seconds, job.cpu_seconds, job.cores, job.asked_min) == (0.0, 0.0, 0, None)


@pytest.fixture
def finished(tmp_path: Path) -> FrozenPlan:
    """The small plan with receipts as jobs of this machine would leave them."""
    frozen = freeze(tmp_path)
    for number, unit in enumerate(frozen.plan.units):
        receipt = Receipt(
            stage=unit.stage, unit=unit.id, key=unit.key, versions={}, seeds={}, started="2026-01-01T00:00:00Z",
            ended="2026-01-01T00:00:02Z", seconds=2.0, max_rss_mb=100.0 + number, files={}, host="here",
        )  # fmt: skip
        frozen.folder.unit(unit).mkdir(parents=True)
        write_receipt(receipt, folder=frozen.folder.unit(unit))
    return frozen


def test_without_slurm_the_receipts_tell_what_stages_took(finished: FrozenPlan) -> None:
    accounting = account_run(finished)
    selection = next(stage for stage in accounting.stages if stage.stage == "selection")
    largest = max(100.0 + place for place, unit in enumerate(finished.plan.units) if unit.stage == "selection")
    asked = max(unit.resources.memory_mb for unit in finished.plan.units if unit.stage == "selection")
    assert (accounting.scheduler, accounting.database) == ("local", False)
    assert (selection.jobs, selection.units, selection.seconds) == (3, 3, 6.0)
    assert (selection.memory_mb, selection.nodes, selection.cpu_seconds) == (largest, ("here",), None)
    assert selection.asked_memory_mb == asked
    assert selection.states == {}


def test_every_unit_is_in_one_job(finished: FrozenPlan) -> None:
    units = [unit for job in account_run(finished).jobs for unit in job.units]
    assert sorted(units) == sorted(unit.id for unit in finished.plan.units)


def test_the_file_follows_its_schema_and_is_read_as_it_was_written(finished: FrozenPlan) -> None:
    accounting = account_run(finished)
    file = write_accounting(accounting, folder=finished.folder.root)
    assert file is not None
    content = json.loads(file.read_text())
    Draft202012Validator(load_schema("accounting"), registry=registry()).validate(content)
    assert from_json(Accounting, content) == accounting


def test_publishing_again_keeps_what_was_asked_once(finished: FrozenPlan) -> None:
    first = account_run(finished)
    known = replace(first, jobs=tuple(replace(job, state="COMPLETED") for job in first.jobs))
    write_accounting(known, folder=finished.folder.root)
    assert account_run(finished) == known
    assert write_accounting(known, folder=finished.folder.root) is None


def test_a_unit_that_was_run_again_is_asked_about_again(finished: FrozenPlan) -> None:
    write_accounting(account_run(finished), folder=finished.folder.root)
    file = finished.folder.receipt(finished.plan.units[0])
    file.write_text(file.read_text().replace("2026-01-01T00:00:00Z", "2026-02-02T00:00:00Z"))
    assert "2026-02-02T00:00:00Z" in {job.started for job in account_run(finished).jobs}


def test_jobs_of_another_cluster_are_not_asked_about_and_do_not_share_its_ids(finished: FrozenPlan) -> None:
    for number, unit in enumerate(finished.plan.units):
        file = finished.folder.receipt(unit)
        more = {"slurm_job": "7", "slurm_cluster": f"elsewhere{number % 2}"}
        file.write_text(json.dumps(json.loads(file.read_text()) | more))
    accounting = account_run(finished)
    assert (accounting.scheduler, accounting.database) == ("slurm", False)
    assert [job.slurm_job for job in accounting.jobs] == ["7", "7"]
    assert sum(len(job.units) for job in accounting.jobs) == len(finished.plan.units)
