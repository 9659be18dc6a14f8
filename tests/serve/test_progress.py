"""How far a request is, as its files say it."""

from __future__ import annotations

from pathlib import Path

import pytest

from evercast.errors import InvalidInput
from evercast.reinterpretation.requests.states import add_state
from evercast.runtime.execute import execute_unit
from evercast.runtime.folders import RunFolder
from evercast.runtime.locks import locked
from evercast.runtime.plans import freeze_plan, plan_document
from evercast.runtime.settings import RunSettings, write_settings
from evercast.serve.jobs import Jobs
from evercast.serve.progress import progress_of
from evercast.serve.records import error_of, read_record, troubles_of
from evercast.serve.units import stages_done
from workflow_documents import small_body, write_document


@pytest.mark.parametrize("place", ["work", "work/run"])
def test_units_of_the_engine_are_counted_by_their_receipts(tmp_path: Path, place: str) -> None:
    content = small_body()
    content["stages"] |= {
        "one": {"run": "echo x > {outputs.out}", "outputs": {"out": "out.txt"}},
        "two": {"run": "echo y > {outputs.out}", "outputs": {"out": "out.txt"}},
    }
    document = write_document(tmp_path / "analysis", content)
    analysis, plan = plan_document(document, pseudo=False)
    frozen = freeze_plan(plan, analysis=analysis, document=document, folder=RunFolder(tmp_path / "ask" / place))
    assert stages_done(tmp_path / "ask") == ()
    write_settings(RunSettings(plan=plan.digest), folder=frozen.folder)
    before = {stage.stage: (stage.done, stage.total) for stage in stages_done(tmp_path / "ask")}
    execute_unit(frozen, next(unit for unit in plan.units if unit.name == "one"))
    after = {stage.stage: (stage.done, stage.total) for stage in stages_done(tmp_path / "ask")}
    assert (before["command"][0], after["command"][0]) == (0, 1)
    assert sum(total for _, total in after.values()) == len(plan.units)
    assert {stage: part for stage, part in before.items() if stage != "command"} == {
        stage: part for stage, part in after.items() if stage != "command"
    }


def test_a_history_that_was_changed_is_told_and_the_page_stays(tmp_path: Path) -> None:
    add_state(tmp_path, "draft")
    state = add_state(tmp_path, "refused", reason="no")
    add_state(tmp_path, "submitted", run="0" * 64)
    progress = progress_of(tmp_path, Jobs())
    assert progress.state == "submitted"
    assert "does not exist" in (progress.damage or "")  # the copies of the run
    state.file.write_text(state.file.read_text().replace("no", "yes"))
    changed = progress_of(tmp_path, Jobs())
    assert (changed.state, changed.history) == ("damaged", ())
    assert "was changed" in (changed.damage or "")


def test_who_works_elsewhere_is_named(tmp_path: Path) -> None:
    add_state(tmp_path, "draft")
    with locked(tmp_path / ".lock", code="request.locked", what="the request"):
        progress = progress_of(tmp_path, Jobs())
        assert progress.is_active
        assert "process" in str(progress.elsewhere)
    assert not progress_of(tmp_path, Jobs()).is_active


def test_a_command_that_says_nothing_has_its_last_words_as_reason(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    (tmp_path / "err").write_text("Traceback\nMemoryError")
    error = error_of(tmp_path / "out", code=-9, words=tmp_path / "err")
    (trouble,) = troubles_of(error)
    assert "MemoryError" in trouble.text
    assert error_of(tmp_path / "out", code=0, words=tmp_path / "err") is None
    (tmp_path / "out").write_text('{"verdict": "1 of 2 has no number"}')  # an answer, with exit code 7
    assert error_of(tmp_path / "out", code=7, words=tmp_path / "err") is None


def test_what_waits_for_its_turn_can_be_stopped(tmp_path: Path) -> None:
    jobs = Jobs()
    for _ in range(2):
        jobs._turns["run"].acquire()  # as two runs that go on
    try:
        assert jobs.start(tmp_path, "run", document="")
        assert not jobs.start(tmp_path, "run", document="")
        found = jobs.active(tmp_path, "run")
        assert found is not None
        assert found.pid is None
        jobs.cancel(tmp_path)
        jobs.wait(tmp_path, "run", seconds=60)
        record = read_record(tmp_path, "run")
        assert record is not None
        assert (record.cancelled, record.pid, record.exit_code) == (True, None, None)
        with pytest.raises(InvalidInput, match="goes on"):
            jobs.cancel(tmp_path)
    finally:
        jobs.close()
    assert not jobs.start(tmp_path, "run", document="")
