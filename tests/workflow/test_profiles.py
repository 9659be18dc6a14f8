"""The profiles that come with evercast: complete, commented, in step with one another."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from evercast.runtime.site import Site, read_site
from workflow_documents import ROOT, environment, plan_of, small_body, snakemake

PROFILES = sorted((ROOT / "workflow" / "profiles").iterdir())
KUBERNETES = ROOT / "workflow" / "profiles" / "kubernetes"
SNAKEMAKE_MB = 400


def settings(profile: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "workflow" / "profiles" / profile / "config.yaml").read_text())
    return content


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.name)
def test_every_setting_has_its_reason_above_it(profile: Path) -> None:
    paragraphs = (profile / "config.yaml").read_text().split("\n\n")
    for paragraph in paragraphs:
        first = paragraph.strip().splitlines()[0]
        plain = ("executor:", "printshellcmds:")  # they say it themselves
        assert first.startswith(("#", *plain)), first


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.name)
def test_the_site_beside_a_profile_is_valid_and_adds_nothing(profile: Path) -> None:
    assert read_site(profile) == Site()


def test_gpus_are_all_that_tells_the_gpu_profile_from_the_other() -> None:
    gpu = settings("slurm-gpu")
    asked = gpu.pop("set-resources")
    assert gpu == settings("slurm")
    assert set(asked) == {"training", "evaluation", "training_statistics"}
    assert all(resources == {"slurm_partition": "gpu", "gpu": 1} for resources in asked.values())


def test_clusters_run_in_containers_and_one_machine_does_not() -> None:
    assert settings("slurm")["software-deployment-method"] == ["apptainer"]
    assert "software-deployment-method" not in settings("default")


@pytest.mark.parametrize("profile", ["slurm", "slurm-gpu", "kubernetes"])
def test_a_job_that_died_is_sent_again_with_more(profile: str) -> None:
    assert settings(profile)["retries"] == 2
    common = (ROOT / "workflow" / "rules" / "common.smk").read_text()
    assert common.count("attempt=attempt") == 3


def test_public_files_are_fetched_where_the_run_was_started() -> None:
    assert "localrule: True" in (ROOT / "workflow" / "rules" / "fetch.smk").read_text()


@pytest.mark.slow
def test_kubernetes_jobs_ask_for_what_the_plan_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERCAST_RENDER", str(tmp_path / "jobs"))
    plan = plan_of(tmp_path, small_body())
    words = ["--retries", "0", "--seconds-between-status-checks", "1", "--config", "analysis=analysis.yaml"]
    done = snakemake("--profile", str(KUBERNETES), *words, cwd=tmp_path)
    assert done.returncode == 1  # a job that is only written ends as failed
    jobs = [yaml.safe_load(path.read_text()) for path in sorted((tmp_path / "jobs").iterdir())]
    first = [unit for unit in plan.units if not unit.needs()]
    assert len(jobs) == len(first)
    assert len({job["metadata"]["name"] for job in jobs}) == len(jobs)
    for job in jobs:
        pod = job["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        asked = container["resources"]["requests"]
        assert asked == container["resources"]["limits"]
        assert asked["memory"] == f"{first[0].resources.memory_mb + SNAKEMAKE_MB}Mi"
        assert asked["cpu"] == str(first[0].resources.cores)
        assert asked["nvidia.com/gpu"] == "0"
        assert job["spec"]["activeDeadlineSeconds"] == 60 * first[0].resources.runtime_min
        assert job["spec"]["backoffLimit"] == 0
        assert container["workingDir"] == str(tmp_path)
        assert "@" not in yaml.safe_dump(job)


def submit(folder: Path, properties: str) -> subprocess.CompletedProcess[str]:
    script = folder / "snakejob.training.7.sh"
    script.write_text(f"#!/bin/sh\n# properties = {properties}\ntrue\n")
    return subprocess.run(
        [KUBERNETES / "submit.sh", script], cwd=folder, capture_output=True, text=True, check=False,
        env=environment(EVERCAST_RENDER=str(folder / "jobs")),
    )  # fmt: skip


def test_a_kubernetes_job_gets_its_gpus(tmp_path: Path) -> None:
    done = submit(tmp_path, '{"rule": "training", "threads": 4, "resources": {"mem_mb": 900, "gpu": 2, "runtime": 7}}')
    assert done.returncode == 0, done.stderr
    job = yaml.safe_load((tmp_path / "jobs" / f"{done.stdout.strip()}.yaml").read_text())
    asked = job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert asked == {"cpu": "4", "memory": "900Mi", "ephemeral-storage": "1000Mi", "nvidia.com/gpu": "2"}
    assert job["spec"]["activeDeadlineSeconds"] == 420


def test_a_folder_that_a_kubernetes_job_cannot_name_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / 'a" b'
    folder.mkdir()
    done = submit(folder, '{"rule": "training", "threads": 1, "resources": {}}')
    assert done.returncode == 1
    assert "characters that a Job cannot carry" in done.stderr
    assert not (folder / "jobs").exists()


def test_names_of_kubernetes_jobs_are_short_and_of_letters_digits_and_hyphens(tmp_path: Path) -> None:
    long = "training_statistics_of_a_rule_with_a_very_long_name_indeed"
    done = submit(tmp_path, f'{{"rule": "{long}", "threads": 1, "resources": {{}}}}')
    name = done.stdout.strip()
    assert len(name) <= 63
    assert all(part.isalnum() for part in name.split("-"))
    assert name == name.lower()


def test_profiles_of_clusters_share_what_does_not_depend_on_the_cluster() -> None:
    shared = ("retries", "keep-going", "rerun-triggers", "ignore-incomplete", "rerun-incomplete", "nolock", "scheduler")
    for one, other in itertools.pairwise(["slurm", "slurm-gpu", "kubernetes"]):
        assert {name: settings(one)[name] for name in shared} == {name: settings(other)[name] for name in shared}
