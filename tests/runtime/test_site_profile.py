"""The profile that is written for a site follows what its SLURM said."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from evercast.errors import UsageError
from evercast.runtime.profile_lines import plain
from evercast.runtime.site import read_site
from evercast.runtime.site_profile import Choices, choose_partition, profile_text, site_text
from evercast.runtime.site_survey import Partition, Survey
from evercast.runtime.slurm import minutes_of, parse_pairs, parse_rows


def partition(name: str, **changes: Any) -> Partition:
    body: dict[str, Any] = {
        "name": name, "is_default": False, "is_up": True, "nodes": 2, "cores": 4, "memory_mb": 8000,
        "longest_min": 1440, "gpus": {},
    }  # fmt: skip
    return Partition(**body | changes)


def survey(*partitions: Partition, **changes: Any) -> Survey:
    body: dict[str, Any] = {
        "cluster": "farm", "version": "22.05.8", "partitions": partitions, "account": "hep",
        "accounts": ("hep", "atlas"),
        "most_jobs": None, "longest_array": 1000, "kept_seconds": 300, "has_accounting": True, "requeues": True,
        "shared": (),
    }  # fmt: skip
    return Survey(**body | changes)


SHORT = partition("short", is_default=True, longest_min=60)
LONG = partition("long", nodes=9, longest_min=None)
GPU = partition("gpu", gpus={"a100": 4}, memory_mb=64_000, longest_min=120)


def settings(found: Survey, **choices: Any) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(profile_text(found, Choices(**choices)))
    return content


def test_jobs_go_to_the_default_partition() -> None:
    assert settings(survey(LONG, SHORT))["default-resources"]["slurm_partition"] == "short"


def test_without_a_default_partition_jobs_go_to_the_largest_that_is_up() -> None:
    down = partition("huge", nodes=99, is_up=False)
    chosen = choose_partition(survey(partition("small"), LONG, down), None)
    assert chosen is not None
    assert chosen.name == "long"


def test_a_partition_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(UsageError, match=r"'nowhere'; found: short, long") as caught:
        settings(survey(SHORT, LONG), partition="nowhere")
    assert caught.value.code == "profile.no-partition"


def test_a_partition_without_gpus_is_refused_for_gpus() -> None:
    with pytest.raises(UsageError, match=r"partition with GPUs 'short'; found: gpu"):
        settings(survey(SHORT, GPU), gpu_partition="short")


@pytest.mark.parametrize("choices", [{"gpus": 9}, {"gpus": 9, "gpu_partition": "gpu"}])
def test_more_gpus_than_a_node_has_are_refused_with_what_it_has(choices: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"asks for 9 GPUs.*gpu has 4 GPUs a100 in a node") as caught:
        settings(survey(SHORT, GPU), **choices)
    assert caught.value.code == "profile.no-gpus"


def test_jobs_with_many_gpus_go_to_the_partition_that_has_them() -> None:
    many = partition("dense", nodes=1, gpus={"h100": 8})
    assert settings(survey(SHORT, GPU, many), gpus=8)["set-resources"]["training"]["slurm_partition"] == "dense"
    assert settings(survey(SHORT, GPU, many), gpus=4)["set-resources"]["training"]["slurm_partition"] == "gpu"


def test_one_node_and_one_gpu_are_singular() -> None:
    text = profile_text(survey(SHORT, partition("gpu", nodes=1, cores=1, gpus={"t4": 1})), Choices())
    assert "gpu: 1 node of 1 core and 8000 MB with 1 GPU t4, at most 1440 min" in text.replace("\n# ", " ")


def test_jobs_are_capped_at_the_limits_of_their_partition() -> None:
    assert settings(survey(SHORT, LONG))["resources"] == {"mem_mb": 8000, "runtime": 60}


def test_a_partition_without_a_time_limit_caps_memory_only() -> None:
    assert settings(survey(SHORT, LONG), partition="long")["resources"] == {"mem_mb": 8000}


def test_caps_are_those_of_the_larger_partition_where_gpus_are_used() -> None:
    assert settings(survey(SHORT, GPU), gpus=1)["resources"] == {"mem_mb": 64_000, "runtime": 120}
    of_two = profile_text(survey(SHORT, GPU), Choices(gpus=1)).replace("\n# ", " ")
    assert "each is that of the larger partition" in of_two
    assert "each is that of the larger partition" not in profile_text(survey(SHORT), Choices()).replace("\n# ", " ")


def test_gpus_that_were_not_asked_for_are_written_commented_out() -> None:
    text = profile_text(survey(SHORT, GPU), Choices())
    assert "set-resources" not in yaml.safe_load(text)
    assert "#   training: {slurm_partition: gpu, gpu: 1}" in text


def test_the_stages_of_networks_ask_for_gpus_where_the_user_does() -> None:
    asked = settings(survey(SHORT, GPU), gpus=2)["set-resources"]
    assert asked["training"] == {"slurm_partition": "gpu", "gpu": 2}
    assert set(asked) == {"training", "evaluation", "training_statistics"}


def test_gpus_are_refused_where_there_are_none() -> None:
    with pytest.raises(UsageError, match="no partition of this cluster has GPUs"):
        settings(survey(SHORT), gpus=1)


def test_the_account_is_slurms_unless_one_is_named() -> None:
    unnamed, named = settings(survey(SHORT)), settings(survey(SHORT), account="atlas")
    assert unnamed["slurm-no-account"] is True
    assert "slurm_account" not in unnamed["default-resources"]
    assert "slurm-no-account" not in named
    assert named["default-resources"]["slurm_account"] == "atlas"


def test_an_account_of_somebody_else_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'theory'; found: hep, atlas") as caught:
        settings(survey(SHORT), account="theory")
    assert caught.value.code == "profile.no-account"


@pytest.mark.parametrize(
    ("kept_seconds", "has_accounting", "program"),
    [(300, True, "squeue"), (60, True, "sacct"), (60, False, "squeue")],
)
def test_who_is_asked_about_jobs_follows_how_long_the_controller_knows_them(
    kept_seconds: int, has_accounting: bool, program: str
) -> None:
    found = survey(SHORT, kept_seconds=kept_seconds, has_accounting=has_accounting)
    assert settings(found)["slurm-status-command"] == program


def test_no_more_jobs_are_sent_than_the_user_may() -> None:
    assert settings(survey(SHORT, most_jobs=30))["jobs"] == 30
    assert settings(survey(SHORT, most_jobs=5000))["jobs"] == 200


def test_every_setting_stands_below_a_comment() -> None:
    lines = profile_text(survey(SHORT, GPU), Choices(gpus=1)).splitlines()
    for before, line in itertools.pairwise(lines):
        if line and not line.startswith(("#", " ")):
            assert before.startswith("#"), line


def test_containers_can_be_turned_off() -> None:
    assert settings(survey(SHORT))["software-deployment-method"] == ["apptainer"]
    assert "software-deployment-method" not in settings(survey(SHORT), containers=False)


def test_mounted_file_systems_are_offered_and_not_taken(tmp_path: Path) -> None:
    text = site_text(survey(SHORT, shared=("/cvmfs/cms.cern.ch", "/gpfs/group")))
    assert "#   - {path: /gpfs/group, needed: false}" in text
    (tmp_path / "site.yaml").write_text(text)
    assert read_site(tmp_path).binds == ()


def test_uncommented_binds_are_a_valid_site(tmp_path: Path) -> None:
    text = site_text(survey(SHORT, shared=("/cvmfs/cms.cern.ch",)))
    (tmp_path / "site.yaml").write_text(text.replace("# binds:\n#   - {path: /cvmfs", "binds:\n  - {path: /cvmfs"))
    assert [bind.path for bind in read_site(tmp_path).binds] == ["/cvmfs/cms.cern.ch"]


@pytest.mark.parametrize("word", ["no", "on", "1e3", "2024", "a: b", "it's", "#x", ""])
def test_names_that_yaml_would_take_for_something_else_are_quoted(word: str) -> None:
    assert yaml.safe_load(f"key: {plain(word)}") == {"key": word}


@pytest.mark.parametrize(
    ("limit", "minutes"),
    [("30", 30), ("30:59", 30), ("02:00:00", 120), ("2-00", 2880), ("1-12:30", 2190), ("1-00:00:30", 1440),
     ("UNLIMITED", None), ("infinite", None), ("n/a", None)],
)  # fmt: skip
def test_time_limits_of_slurm_are_read(limit: str, minutes: int | None) -> None:
    assert minutes_of(limit) == minutes


def test_a_value_of_several_words_is_kept_whole() -> None:
    assert parse_pairs("Node=cn1 Reason=not responding [root] State=DOWN")["Reason"] == "not responding [root]"


def test_rows_of_another_width_are_left_out() -> None:
    assert parse_rows("cpu|3\nslurm_load_jobs error\ngpu|2\n", columns=2) == (("cpu", "3"), ("gpu", "2"))


def test_without_slurm_the_command_says_so(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
    answer = subprocess.run(
        [sys.executable, "-m", "evercast", "profile", "init"], cwd=tmp_path, capture_output=True, text=True,
        check=False, env=environment | {"PATH": str(tmp_path)},
    )  # fmt: skip
    assert answer.returncode == 6
    assert "slurm.missing" in answer.stderr
    assert list(tmp_path.iterdir()) == []
