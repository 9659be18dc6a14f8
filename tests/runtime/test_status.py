from __future__ import annotations

import json
from pathlib import Path

import pytest
from run_folders import command, freeze, named

from evercast.errors import RunFailed
from evercast.plan import Unit
from evercast.runtime.execute import execute_unit
from evercast.runtime.leftovers import clear_leftovers
from evercast.runtime.locks import locked
from evercast.runtime.plans import FrozenPlan
from evercast.runtime.status import UnitStatus, count_states, run_status, unit_status


@pytest.fixture
def frozen(tmp_path: Path) -> FrozenPlan:
    return freeze(tmp_path, {"good": command("echo x > {outputs.out}"), "bad": command("echo why >&2; exit 3")})


def status(frozen: FrozenPlan, unit: Unit) -> UnitStatus:
    return unit_status(unit, folder=frozen.folder)


def test_what_was_never_run_waits(frozen: FrozenPlan) -> None:
    states = {item.state for item in run_status(frozen.plan, folder=frozen.folder)}
    assert states == {"waiting"}


def test_only_a_receipt_makes_a_unit_done(frozen: FrozenPlan) -> None:
    unit = named(frozen, "good")
    frozen.folder.unit(unit).mkdir(parents=True)
    (frozen.folder.unit(unit) / "out.txt").write_text("x")
    assert status(frozen, unit).state == "waiting"
    execute_unit(frozen, unit)
    assert status(frozen, unit).state == "done"


def test_a_receipt_of_something_else_does_not_count(frozen: FrozenPlan) -> None:
    unit = named(frozen, "good")
    execute_unit(frozen, unit)
    body = json.loads(frozen.folder.receipt(unit).read_text())
    frozen.folder.receipt(unit).write_text(json.dumps(body | {"key": "0" * 64}))
    assert status(frozen, unit).state == "waiting"


def test_a_failure_is_shown_with_its_error_and_log(frozen: FrozenPlan) -> None:
    unit = named(frozen, "bad")
    frozen.folder.log(unit).parent.mkdir(parents=True)
    frozen.folder.log(unit).write_text("words")
    with pytest.raises(RunFailed):
        execute_unit(frozen, unit)
    found = status(frozen, unit)
    assert (found.state, found.log) == ("failed", frozen.folder.log(unit))
    assert found.error is not None
    assert (found.error.code, found.error.exit_code) == ("stage.command-failed", 1)
    assert "why" in found.error.message


def test_a_held_lock_means_running(frozen: FrozenPlan) -> None:
    unit = named(frozen, "good")
    with locked(frozen.folder.unit_lock(unit), code="test", what="it"):
        assert status(frozen, unit).state == "running"
    assert status(frozen, unit).state == "waiting"


def test_a_marker_without_a_process_means_killed(frozen: FrozenPlan) -> None:
    unit = named(frozen, "good")
    marker = frozen.folder.running(unit)
    marker.parent.mkdir(parents=True)
    marker.write_text(json.dumps({"pid": 999_999_999, "host": "elsewhere", "started": "2020-01-01T00:00:00Z"}))
    found = status(frozen, unit)
    assert found.state == "failed"
    assert found.error is not None
    assert found.error.code == "stage.killed"
    clear_leftovers(frozen.plan, folder=frozen.folder)
    assert status(frozen, unit).state == "waiting"


def test_a_damaged_error_file_is_an_error(frozen: FrozenPlan) -> None:
    unit = named(frozen, "good")
    frozen.folder.error(unit).parent.mkdir(parents=True)
    frozen.folder.error(unit).write_text("{")
    assert status(frozen, unit).state == "failed"


def test_the_counts_name_every_state(frozen: FrozenPlan) -> None:
    execute_unit(frozen, named(frozen, "good"))
    counts = count_states(run_status(frozen.plan, folder=frozen.folder))
    assert counts["command"] == {"done": 1, "running": 0, "failed": 0, "waiting": 5}
    assert counts["report"] == {"done": 0, "running": 0, "failed": 0, "waiting": 1}
