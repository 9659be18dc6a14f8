"""Batches through Snakemake: many short units are one job, and what is finished is not run again."""

from __future__ import annotations

from pathlib import Path

import pytest

from evercast.runtime.folders import RunFolder
from workflow_documents import receipts, small_body, snakemake, write_document

pytestmark = pytest.mark.slow


def select(folder: Path, systematics: int) -> dict[str, bytes]:
    """Run the selections of the small document with some weight systematics; return unit -> receipt."""
    content = small_body()
    for sample in content["samples"].values():
        sample["files"][0]["events"] = 6000
    content["systematics"] = {
        f"s{number}": {
            "kind": "weight",
            "processes": "all",
            "up": f"1 + {0.001 * (1 + number):g} * tanh(x)",
            "down": "1 - 0.01 * tanh(x)",
        }
        for number in range(systematics)
    }
    document = write_document(folder, content)
    done = snakemake(
        "--omit-from", "serialization", "--cores", "2", "--config", f"analysis={document.name}", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    work = folder / "results" / "toy" / "work"
    return {path.parent.name: path.read_bytes() for path in work.glob("selection/*/receipt.json")}


def test_many_short_units_are_one_job_and_a_new_systematic_runs_its_own_only(tmp_path: Path) -> None:
    first = select(tmp_path, 25)
    assert sum("-s" in unit for unit in first) == 2 * 2 * 25
    logs = tmp_path / "results" / "toy" / "work" / "logs" / "selection"
    assert len(list(logs.glob("*.log"))) == 3  # two nominal samples, and one batch of all others
    assert {unit for unit in receipts(RunFolder(tmp_path / "results" / "toy")) if "batch" in unit} == {
        unit for unit in first if "batch" in unit
    }
    second = select(tmp_path, 26)
    assert {unit: second[unit] for unit in first} == first
    new = {unit.rpartition("-")[0] for unit in second.keys() - first.keys()}
    assert {name for name in new if not name.startswith("batch")} == {
        f"{sample}-s25-{way}" for sample in ("background", "signal") for way in ("down", "up")
    }
