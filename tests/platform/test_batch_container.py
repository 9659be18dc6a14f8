"""Batches in a real container: started once, each unit finished for itself, with the bits of the host."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evercast.errors import InvalidInput, RunFailed
from evercast.plan.jobs import Job
from evercast.runtime import compute, sessions
from evercast.runtime.batches import execute_job
from evercast.runtime.folders import RunFolder
from evercast.runtime.image_choice import images_of_run
from evercast.runtime.plans import FrozenPlan, freeze_plan, plan_document, read_jobs, read_plan
from evercast.runtime.receipts import Receipt, read_receipt
from evercast.runtime.settings import RunSettings, write_settings
from evercast.runtime.site import Site
from workflow_documents import small_body, write_document

pytestmark = [pytest.mark.container, pytest.mark.xdist_group("image")]

MANY = 52


def freeze(folder: Path, *, containers: Path | None, bad: int | None = None) -> FrozenPlan:
    """The small document with many varied selections, begun; number `bad` changes nothing, which is an error."""
    content: dict[str, Any] = small_body()
    for sample in content["samples"].values():
        sample["files"][0]["events"] = 6000
    content["systematics"] = {
        f"s{number}": {
            "kind": "weight", "processes": "all", "down": "1 - 0.1 * tanh(x)",
            "up": f"1 + {0.0 if number == bad else 0.01 * (1 + number):g} * tanh(x)",
        }
        for number in range(MANY // 2)
    }  # fmt: skip
    document = write_document(folder, content)
    analysis, plan = plan_document(document, pseudo=False)
    frozen = freeze_plan(plan, analysis=analysis, document=document, folder=RunFolder(folder / "results"))
    images = {} if containers is None else images_of_run(read_plan(frozen.file), containers=True, site=Site())
    write_settings(
        RunSettings(plan=plan.digest, containers=containers is not None, images=images), folder=frozen.folder
    )
    for job in read_jobs(frozen.file):
        if job.stage in ("command", "generation") or (job.stage == "selection" and not job.is_batch):
            execute_job(frozen.file, job.id, stage=job.stage)
    return frozen


def batch_of(frozen: FrozenPlan) -> Job:
    (batch,) = (job for job in read_jobs(frozen.file) if job.is_batch)
    return batch


def receipts(frozen: FrozenPlan) -> dict[str, Receipt]:
    files = {unit: frozen.folder.work / "selection" / unit / "receipt.json" for unit in batch_of(frozen).units}
    return {unit: read_receipt(file) for unit, file in files.items() if file.exists()}


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, image_store: Path) -> list[str]:
    """One entry for every container that is started in the test."""
    names: list[str] = []
    monkeypatch.setenv("EVERCAST_IMAGES", str(image_store))
    for module in (compute, sessions):
        real: Callable[..., Any] = module.run_contained

        def counted(*arguments: Any, _real: Callable[..., Any] = real, **options: Any) -> Any:
            names.append(threading.current_thread().name)
            return _real(*arguments, **options)

        monkeypatch.setattr(module, "run_contained", counted)
    return names


def test_a_batch_starts_one_container_and_gives_the_bits_of_the_host(
    tmp_path: Path, started: list[str], image_store: Path
) -> None:
    host, inside = freeze(tmp_path / "host", containers=None), freeze(tmp_path / "inside", containers=image_store)
    started.clear()
    for frozen in (host, inside):
        execute_job(frozen.file, batch_of(frozen).id, stage="selection")
    assert started == ["container"]
    outside, contained = receipts(host), receipts(inside)
    assert set(outside) == set(contained) == set(batch_of(inside).units)
    for unit, receipt in contained.items():
        assert receipt.files == outside[unit].files
        assert receipt.container is not None
        assert receipt.container.image == "evercast"
    assert list((inside.folder.work / "attempts").iterdir()) == []


def test_a_unit_that_fails_leaves_the_container_to_the_others(
    tmp_path: Path, started: list[str], image_store: Path
) -> None:
    frozen = freeze(tmp_path, containers=image_store, bad=3)
    started.clear()
    with pytest.raises(InvalidInput) as caught:
        execute_job(frozen.file, batch_of(frozen).id, stage="selection")
    assert caught.value.code == "systematic.identical"
    assert started == ["container"]
    left = set(batch_of(frozen).units) - set(receipts(frozen))
    assert sorted(unit.split("-s3-up-")[0] for unit in left) == ["background", "signal"]


def test_a_stop_ends_the_container_and_the_batch_goes_on_later(
    tmp_path: Path, started: list[str], image_store: Path
) -> None:
    frozen = freeze(tmp_path, containers=image_store)
    started.clear()

    def stop() -> None:
        while not receipts(frozen):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
    with pytest.raises(RunFailed, match="interrupted") as caught:
        execute_job(frozen.file, batch_of(frozen).id, stage="selection")
    assert caught.value.code == "stage.interrupted"
    some = receipts(frozen)
    assert 0 < len(some) < len(batch_of(frozen).units)
    execute_job(frozen.file, batch_of(frozen).id, stage="selection")
    everything = receipts(frozen)
    assert set(everything) == set(batch_of(frozen).units)
    assert {unit: everything[unit] for unit in some} == some
    assert len(started) == 2
