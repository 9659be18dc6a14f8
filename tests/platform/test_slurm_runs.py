"""Analyses on a real SLURM cluster, in real containers, as an ordinary user."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from evercast.runtime.folders import RunFolder
from evercast.runtime.locks import read_executions
from platform_programs import OrdinaryUser
from workflow_documents import ROOT, body, changed, plan_of, receipts, small_body, write_document

pytestmark = [pytest.mark.slurm, pytest.mark.container, pytest.mark.slow, pytest.mark.xdist_group("slurm")]

PROFILES = ROOT / "workflow" / "profiles"
OFTEN = ("--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "20")
TELLS_TIMES = "report"
"""The stage whose files say when and with what the others were computed; all others have the same bits everywhere."""


@dataclass(frozen=True)
class Run:
    """A run that ended well: its folder and what it said."""

    folder: RunFolder
    said: str

    def bodies(self) -> list[dict[str, Any]]:
        """The receipts of all units."""
        return [json.loads(path.read_text()) for path in sorted(self.folder.work.glob("*/*/receipt.json"))]

    def digests(self) -> Mapping[str, Mapping[str, str]]:
        """unit -> file -> sha256, of the stages with the same bits everywhere."""
        exact = {content["unit"] for content in self.bodies() if content["stage"] != TELLS_TIMES}
        return {unit: files for unit, files in receipts(self.folder).items() if unit in exact}


def run_analysis(user: OrdinaryUser, folder: Path, content: Mapping[str, Any], *words: str | Path, store: Path) -> Run:
    """Write a document, give it to the user, run it, and require that it ends well."""
    write_document(user.folder(folder), content)
    done = user.run(["evercast", "run", "analysis.yaml", *words], cwd=folder, EVERCAST_IMAGES=str(store))
    log = folder / "results" / content["name"] / "work" / "logs" / "snakemake.log"
    assert done.returncode == 0, done.stderr + (log.read_text()[-4000:] if log.exists() else "")
    return Run(folder=RunFolder(folder / "results" / content["name"]), said=done.stderr)


@pytest.fixture(scope="module")
def place(open_folder: Path, cluster: None) -> Path:
    (open_folder / "slurm").mkdir()
    return open_folder / "slurm"


@pytest.fixture(scope="module")
def toy_on_slurm(place: Path, ordinary_user: OrdinaryUser, image_store: Path) -> Run:
    words = ("--profile", "slurm", "--", *OFTEN)
    return run_analysis(ordinary_user, place / "toy-slurm", body(), *words, store=image_store)


@pytest.fixture(scope="module")
def toy_here(place: Path, ordinary_user: OrdinaryUser, image_store: Path) -> Run:
    return run_analysis(ordinary_user, place / "toy-here", body(), "--cores", "2", store=image_store)


def receipt_bytes(run: Run) -> dict[str, bytes]:
    """unit -> its receipt."""
    return {path.parent.name: path.read_bytes() for path in run.folder.work.glob("*/*/receipt.json")}


def test_a_training_that_is_queued_again_after_its_end_trains_nothing(
    toy_on_slurm: Run, ordinary_user: OrdinaryUser
) -> None:
    """First of all: after some minutes SLURM has forgotten the job and cannot queue it again."""
    bodies = [content for content in toy_on_slurm.bodies() if content["stage"] == "training"]
    before, content = receipt_bytes(toy_on_slurm), bodies[0]
    folder, job = toy_on_slurm.folder.work, content["slurm_job"]
    log, marker = folder / "logs" / "training" / f"{content['unit']}.log", folder / "jobs" / "training"
    said, there = log.read_text(), (marker / f"{content['unit']}.json").read_bytes()

    def asked() -> dict[str, str]:
        text = subprocess.run(["scontrol", "show", "job", job], capture_output=True, text=True, check=True).stdout
        return dict(re.findall(r"(\w+)=(\S*)", text))

    # the plug-in has removed its logs at the end of the run, and without their folder SLURM starts no job
    made = ordinary_user.run(["mkdir", "-p", Path(asked()["StdOut"]).parent], cwd=folder)
    assert made.returncode == 0, made.stderr
    subprocess.run(["scontrol", "requeue", job], check=True)
    end = time.monotonic() + 300
    while asked()["Restarts"] == "0" or asked()["JobState"] in ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING"):
        assert time.monotonic() < end, asked()
        time.sleep(1)
    assert asked()["JobState"] == "COMPLETED"
    assert receipt_bytes(toy_on_slurm) == before, "started, ended and digests are those of the first copy"
    assert (marker / f"{content['unit']}.json").read_bytes() == there
    assert log.read_text().startswith(said)
    assert log.read_text().count("trained 4 networks") == 1
    assert len(read_executions(folder / "locks" / f"{content['unit']}.lock")) == 1


def test_the_toy_analysis_gives_the_same_bits_on_the_cluster_and_here(toy_on_slurm: Run, toy_here: Run) -> None:
    assert toy_on_slurm.digests() == toy_here.digests()
    assert len(toy_here.digests()) == 15
    for name in ("fit.json", "diagnostics.json", "likelihood/workspace.json", "likelihood/neural/manifest.json"):
        assert (toy_on_slurm.folder.root / name).read_bytes() == (toy_here.folder.root / name).read_bytes(), name


def test_every_unit_was_a_job_of_the_user_in_the_locked_image(
    toy_on_slurm: Run, ordinary_user: OrdinaryUser, image_store: Path
) -> None:
    locked = yaml.safe_load((image_store / "images.yaml").read_text())["images"]["evercast"]["sha256"]
    bodies = toy_on_slurm.bodies()
    assert len(bodies) == 16
    for content in bodies:
        assert content["container"]["sha256"] == locked, content["unit"]
        assert re.fullmatch(r"\d+", content["slurm_job"]), content["unit"]
    for path in toy_on_slurm.folder.root.rglob("*"):
        assert path.owner() == ordinary_user.name, path


def test_the_accounting_tells_what_every_job_took_against_its_request(toy_on_slurm: Run) -> None:
    accounting = json.loads((toy_on_slurm.folder.root / "accounting.json").read_text())
    nodes = subprocess.run(["sinfo", "-h", "-N", "-o", "%N"], capture_output=True, text=True, check=True).stdout.split()
    assert accounting["scheduler"] == "slurm"
    assert sorted(unit for job in accounting["jobs"] for unit in job["units"]) == sorted(
        content["unit"] for content in toy_on_slurm.bodies()
    )
    for job in accounting["jobs"]:
        assert job["node"] in nodes
        assert job["memory_mb"] < job["asked_memory_mb"], job
        if accounting["database"]:
            assert job["state"] == "COMPLETED"
            assert job["cpu_seconds"] > 0
    report = (toy_on_slurm.folder.root / "report.html").read_text()
    assert report.count('<section class="part" id="jobs">') == 1
    assert "diagnostics + report" in report


def test_a_second_run_submits_nothing(toy_on_slurm: Run, ordinary_user: OrdinaryUser, image_store: Path) -> None:
    folder = toy_on_slurm.folder.root.parents[1]
    words = ["evercast", "run", "analysis.yaml", "--profile", "slurm", "--json"]
    done = ordinary_user.run(words, cwd=folder, EVERCAST_IMAGES=str(image_store))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ran"] == []


def test_snakemake_alone_runs_arrays_on_the_cluster(
    place: Path, ordinary_user: OrdinaryUser, image_store: Path, toy_here: Run
) -> None:
    folder = place / "plain"
    write_document(ordinary_user.folder(folder), small_body())
    words = [
        "snakemake", "--snakefile", ROOT / "Snakefile", "--profile", PROFILES / "slurm", *OFTEN,
        "--slurm-array-jobs", "command", "--config", "analysis=analysis.yaml",
    ]  # fmt: skip
    done = ordinary_user.run(words, cwd=folder, EVERCAST_IMAGES=str(image_store))
    assert done.returncode == 0, done.stderr[-4000:]
    assert re.search(r"Submitted array job with Snakemake IDs \d+,\d+", done.stderr)
    mine, theirs = receipts(RunFolder(folder / "results" / "toy")), toy_here.digests()
    selections = [unit for unit in mine if (folder / "results" / "toy" / "work" / "selection" / unit).is_dir()]
    assert len(selections) == 3
    assert {unit: mine[unit] for unit in selections} == {unit: theirs[unit] for unit in selections}
    assert (folder / "results" / "toy" / "report.html").is_file()


def test_the_profile_that_evercast_writes_runs_an_analysis(
    place: Path, ordinary_user: OrdinaryUser, image_store: Path
) -> None:
    folder = ordinary_user.folder(place / "site")
    wrote = ordinary_user.run(["evercast", "profile", "init", "--output", "mine", "--json"], cwd=folder)
    assert wrote.returncode == 0, wrote.stderr
    said = json.loads(wrote.stdout)["survey"]
    listed = subprocess.run(["sinfo", "-h", "-o", "%R"], capture_output=True, text=True, check=True).stdout.split()
    assert [partition["name"] for partition in said["partitions"]] == sorted(listed)
    assert sum(partition["is_default"] for partition in said["partitions"]) == 1
    assert any(partition["gpus"] for partition in said["partitions"])
    run = run_analysis(ordinary_user, folder, small_body(), "--profile", "mine", "--", *OFTEN, store=image_store)
    assert all(content["slurm_job"] for content in run.bodies())


@pytest.fixture(scope="module")
def store_for_gpus(place: Path, image_store: Path) -> Path:
    """A store in which the image for jobs with GPUs is that for CPUs: there is no GPU here to tell them apart."""
    store = place / "images"
    store.mkdir()
    for image in image_store.glob("*.sif"):
        (store / image.name).symlink_to(image)
    names = yaml.safe_load((image_store / "images.yaml").read_text())
    names["images"]["evercast-gpu"] = names["images"]["evercast"]
    (store / "images.yaml").write_text(yaml.safe_dump(names))
    return store


def test_jobs_of_networks_get_gpus_and_say_that_jax_saw_none(
    place: Path, ordinary_user: OrdinaryUser, store_for_gpus: Path
) -> None:
    content = changed(body(), "ensembles.ratios.training.device", {"cpu_fallback": True})
    folder = place / "gpu"
    words = ("--profile", "slurm-gpu", "--", *OFTEN)
    run = run_analysis(ordinary_user, folder, content, *words, store=store_for_gpus)
    trained = [found for found in run.bodies() if found["stage"] == "training"]
    assert trained
    for found in trained:
        asked = subprocess.run(
            ["scontrol", "--oneliner", "show", "job", found["slurm_job"]], capture_output=True, text=True, check=True
        ).stdout
        assert "Partition=gpu" in asked
        assert "gres/gpu" in asked or "gpu:1" in asked
        assert found["device"]["platform"] == "cpu"
        assert found["device"]["gpus_given"] == "1"
        assert "stand in for a missing GPU" in found["device"]["fallback"]
        assert found["container"]["image"] == "evercast-gpu"


def h4l_training() -> dict[str, Any]:
    """The analysis of specs/h4l with small networks and two folds; its events are those of the real one."""
    content = body("h4l")
    content["ensembles"]["ratios"] |= {"members": 4, "folds": 2}
    content["ensembles"]["ratios"]["model"] |= {"width": 16}
    content["ensembles"]["ratios"]["training"] |= {"epochs": 2}
    return content


def test_the_networks_of_h4l_are_trained_in_blocks_with_the_same_bits(
    place: Path, ordinary_user: OrdinaryUser, image_store: Path, real_data: Path
) -> None:
    there, here, content = place / "h4l-slurm", place / "h4l-here", h4l_training()
    plan = plan_of(ordinary_user.folder(there), content)
    trained = [unit.id for unit in plan.units if unit.stage == "training"]
    assert 1 < len(trained) < 4 * 2 * len(content["ensembles"]["ratios"]["processes"])

    def train(folder: Path, profile: str, *words: str) -> dict[str, dict[str, str]]:
        targets = [f"results/h4l/work/jobs/training/{unit}.json" for unit in trained]
        line = ["snakemake", *targets, "--snakefile", ROOT / "Snakefile", "--profile", PROFILES / profile, *words]
        variables = {"EVERCAST_IMAGES": str(image_store), "EVERCAST_DATA": str(real_data)}
        done = ordinary_user.run([*line, "--config", "analysis=analysis.yaml"], cwd=folder, **variables)
        assert done.returncode == 0, done.stderr[-4000:]
        return {
            unit: files for unit, files in receipts(RunFolder(folder / "results" / "h4l")).items() if unit in trained
        }

    on_cluster = train(there, "slurm", *OFTEN)
    subprocess.run(["cp", "-a", there, here], check=True)
    shutil.rmtree(here / "results" / "h4l" / "work" / "training")
    assert train(here, "default", "--cores", "2") == on_cluster
    assert len(on_cluster) == len(trained)
