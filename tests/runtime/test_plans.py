from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from run_folders import command, freeze, named

from evercast.errors import EvercastError, IntegrityError
from evercast.runtime.execute import execute_unit
from evercast.runtime.plans import read_plan


def test_a_frozen_plan_reads_back(tmp_path: Path) -> None:
    frozen = freeze(tmp_path)
    again = read_plan(frozen.file)
    assert again.plan == frozen.plan
    assert again.folder.root == frozen.folder.root
    assert again.document_folder == frozen.document_folder


def test_later_changes_of_the_document_do_not_reach_a_frozen_plan(tmp_path: Path) -> None:
    frozen = freeze(tmp_path)
    before = frozen.file.read_bytes(), (frozen.file.parent / "analysis.yaml").read_bytes()
    (tmp_path / "analysis" / "analysis.yaml").write_text("not even a document")
    assert (frozen.file.read_bytes(), (frozen.file.parent / "analysis.yaml").read_bytes()) == before
    execute_unit(read_plan(frozen.file), named(frozen, "events-signal"))


def test_a_changed_document_is_frozen_beside_the_old_one(tmp_path: Path) -> None:
    first = freeze(tmp_path)
    second = freeze(tmp_path, {"more": command("echo x > {outputs.out}")})
    assert first.file != second.file
    assert first.file.exists()


def test_a_run_folder_may_move_together_with_the_document(tmp_path: Path) -> None:
    frozen = freeze(tmp_path / "old")
    shutil.move(tmp_path / "old", tmp_path / "new")
    moved = read_plan(tmp_path / "new" / frozen.file.relative_to(tmp_path / "old"))
    assert moved.document_folder == (tmp_path / "new" / "analysis").resolve()
    execute_unit(moved, named(moved, "events-signal"))


def test_an_unknown_unit_is_named(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="'nothing-000000000000'") as caught:
        freeze(tmp_path).unit("nothing-000000000000")
    assert caught.value.code == "plan.unknown-unit"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "plan/9.0.0"}'])
def test_a_damaged_plan_is_refused(tmp_path: Path, text: str) -> None:
    frozen = freeze(tmp_path)
    frozen.file.write_text(text)
    with pytest.raises(EvercastError) as caught:
        read_plan(frozen.file)
    assert caught.value.exit_code == 5
