from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from run_folders import command, freeze, named

from evercast.errors import IntegrityError, RunFailed
from evercast.runtime.execute import execute_unit
from evercast.runtime.export import export_results
from evercast.runtime.plans import FrozenPlan


@pytest.fixture
def finished(tmp_path: Path) -> FrozenPlan:
    """A plan of one unit, published as a report is: a folder and a file."""
    run = "mkdir {outputs.folder}; echo 1 > {outputs.folder}/a; echo 2 > {outputs.folder}/b; echo 3 > {outputs.page}"
    frozen = freeze(tmp_path, {"made": command(run, {"folder": "likelihood", "page": "report.html"})})
    unit = named(frozen, "made")
    execute_unit(frozen, unit)
    shutil.copytree(frozen.folder.unit(unit), frozen.folder.work / "report" / unit.id)
    receipt = frozen.folder.work / "report" / unit.id / "receipt.json"
    receipt.write_text(receipt.read_text().replace('"stage": "command"', '"stage": "report"'))
    return replace(frozen, plan=replace(frozen.plan, units=(replace(unit, stage="report"),)))


def snapshot(root: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in root.rglob("*") if path.is_file() and "work" not in path.relative_to(root).parts]
    return {path.relative_to(root).as_posix(): (path.read_bytes(), path.stat().st_ino) for path in files}


def test_results_are_copied_to_the_top(finished: FrozenPlan) -> None:
    written = export_results(finished)
    assert [path.name for path in written] == ["likelihood", "report.html"]
    assert {name: content for name, (content, _) in snapshot(finished.folder.root).items()} == {
        "likelihood/a": b"1\n",
        "likelihood/b": b"2\n",
        "report.html": b"3\n",
    }


def test_a_second_time_writes_nothing(finished: FrozenPlan) -> None:
    export_results(finished)
    before = snapshot(finished.folder.root)
    assert export_results(finished) == ()
    assert snapshot(finished.folder.root) == before


@pytest.mark.parametrize("damage", ["change", "remove", "add"])
def test_what_differs_is_put_right(finished: FrozenPlan, damage: str) -> None:
    export_results(finished)
    likelihood = finished.folder.root / "likelihood"
    if damage == "change":
        (likelihood / "a").write_text("other")
    elif damage == "remove":
        (likelihood / "a").unlink()
    else:
        (likelihood / "c").write_text("not ours")
    assert [path.name for path in export_results(finished)] == ["likelihood"]
    assert sorted(path.name for path in likelihood.iterdir()) == ["a", "b"]
    assert (likelihood / "a").read_text() == "1\n"


def test_a_plan_that_is_not_finished_publishes_nothing(tmp_path: Path) -> None:
    frozen = freeze(tmp_path)
    with pytest.raises(RunFailed, match="11 of 11 units have not been run") as caught:
        export_results(frozen)
    assert caught.value.code == "run.incomplete"
    assert sorted(path.name for path in frozen.folder.root.iterdir()) == ["work"]


def test_a_changed_file_is_not_published(finished: FrozenPlan) -> None:
    export_results(finished)
    before = snapshot(finished.folder.root)
    (finished.folder.unit(finished.plan.units[0]) / "report.html").write_text("4\n")
    with pytest.raises(IntegrityError):
        export_results(finished)
    assert snapshot(finished.folder.root) == before


PUBLICATION = {"allowed": False, "red": ["closure.ratios.S"], "overridden": {}}


@pytest.fixture
def checked(tmp_path: Path) -> FrozenPlan:
    """A plan of a serialization with an index, and the checks of the run."""
    index = "mkdir {outputs.folder}; echo '" + json.dumps({"run_id": "0"}) + "' > {outputs.folder}/index.json"
    checks = "echo '" + json.dumps({"publication": PUBLICATION}) + "' > {outputs.checks}"
    stages = {
        "made": command(index, {"folder": "likelihood"}),
        "checks": command(checks, {"checks": "diagnostics.json"}),
    }
    frozen = freeze(tmp_path, stages)
    units = []
    for name, stage in (("made", "serialization"), ("checks", "diagnostics")):
        unit = named(frozen, name)
        execute_unit(frozen, unit)
        shutil.copytree(frozen.folder.unit(unit), frozen.folder.work / stage / unit.id)
        receipt = frozen.folder.work / stage / unit.id / "receipt.json"
        receipt.write_text(receipt.read_text().replace('"stage": "command"', f'"stage": "{stage}"'))
        units.append(replace(unit, stage=stage))
    return replace(frozen, plan=replace(frozen.plan, units=tuple(units)))


def test_the_index_of_the_likelihoods_says_whether_the_checks_let_it_be_published(checked: FrozenPlan) -> None:
    assert [path.name for path in export_results(checked)] == ["likelihood", "diagnostics.json"]
    root = checked.folder.root
    assert json.loads((root / "likelihood" / "index.json").read_text()) == {"run_id": "0", "publication": PUBLICATION}
    assert json.loads((root / "diagnostics.json").read_text()) == {"publication": PUBLICATION}
    before = snapshot(root)
    assert export_results(checked) == ()
    assert snapshot(root) == before


@pytest.mark.parametrize("text", ["{}", "no JSON", '{"run_id": "0", "publication": {"allowed": true}}'])
def test_an_index_that_says_otherwise_is_put_right(checked: FrozenPlan, text: str) -> None:
    export_results(checked)
    index = checked.folder.root / "likelihood" / "index.json"
    before = index.read_text()
    index.write_text(text)
    assert [path.name for path in export_results(checked)] == ["likelihood"]
    assert index.read_text() == before
