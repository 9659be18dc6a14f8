"""What runs in a container, run without one: its task, its result, its error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from run_folders import command, freeze, named

from evercast.runtime.compute import Computed
from evercast.spec.codec import from_json, to_json


def run_inside(folder: Path, **changes: Any) -> subprocess.CompletedProcess[str]:
    """Run a task as a container does."""
    frozen = freeze(folder, {"hello": command("echo hello > {outputs.out}")})
    for name in ("task", "output", "checkpoint"):
        (folder / name).mkdir()
    task = {
        "stage": "command", "recipe": to_json(named(frozen, "hello").recipe), "inputs": {},
        "output": str(folder / "output"), "checkpoint": str(folder / "checkpoint"),
        "compiled": str(folder / "checkpoint" / ".compiled"), "threads": 1, "gpus": 0, **changes,
    }  # fmt: skip
    (folder / "task" / "task.json").write_text(json.dumps(task))
    line = [sys.executable, "-I", "-m", "evercast.runtime.inside", str(folder / "task" / "task.json")]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def test_a_task_is_computed_and_says_with_what(tmp_path: Path) -> None:
    done = run_inside(tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "output" / "out.txt").read_text() == "hello\n"
    said = from_json(Computed, json.loads((tmp_path / "task" / "result.json").read_text()))
    assert said.versions["evercast"]
    assert said.max_rss_mb > 1


def test_an_error_is_written_beside_the_task_with_its_code(tmp_path: Path) -> None:
    recipe = {"name": "bad", "run": "exit 3", "inputs": {}, "outputs": {"out": "o"}, "point": {}, "files": {}}
    done = run_inside(tmp_path, recipe=recipe | {"container": None})
    assert done.returncode == 1
    error = json.loads((tmp_path / "task" / "error.json").read_text())
    assert (error["code"], error["exit_code"]) == ("stage.command-failed", 1)
    assert not (tmp_path / "task" / "result.json").exists()


def test_a_task_of_another_version_asks_for_another_image(tmp_path: Path) -> None:
    done = run_inside(tmp_path, recipe={"unknown": 1})
    assert done.returncode == 6
    assert json.loads((tmp_path / "task" / "error.json").read_text())["code"] == "container.version"


def test_a_defect_is_one(tmp_path: Path) -> None:
    done = run_inside(tmp_path, inputs=None)
    assert done.returncode == 70
    assert "Traceback" in done.stderr
    assert json.loads((tmp_path / "task" / "error.json").read_text())["code"] == "internal"
