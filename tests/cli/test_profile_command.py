"""``evercast profile init`` against programs of SLURM that answer as the real ones do, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evercast.cli import main
from evercast.runtime import site_survey

CONFIG = "ClusterName = farm\nSLURM_VERSION = 22.05.8\nMinJobAge = 300 sec\nMaxArraySize = 1001\nJobRequeue = 1\n"
NODES = "cpu|3|4|8000|(null)\ngpu|1|8|16000|gpu:a100:2\n"
PARTITIONS = "PartitionName=cpu Default=YES State=UP MaxTime=1:00:00\nPartitionName=gpu State=UP MaxTime=1:00:00\n"


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the programs, first in PATH; the working folder is an empty one beside it."""
    folder, here = tmp_path / "bin", tmp_path / "here"
    folder.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    program(folder / "scontrol", f'if [ "$2" = config ]; then printf "{CONFIG}"; else printf "{PARTITIONS}"; fi')
    program(folder / "sinfo", f'printf "{NODES}"')
    return folder


def program(path: Path, text: str) -> None:
    path.write_text("#!/bin/sh\n" + text.replace("\n", "\\n") + "\n")
    path.chmod(0o755)


def test_each_question_is_told_before_it_is_asked(slurm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "init"]) == 0
    told = capsys.readouterr()
    asked = [line for line in told.err.splitlines() if line.startswith("asking SLURM")]
    assert asked == [
        "asking SLURM for its configuration (scontrol, at most 20 s)",
        "asking SLURM for its nodes (sinfo, at most 20 s)",
        "asking SLURM for its partitions (scontrol, at most 20 s)",
    ]
    assert "evercast run DOCUMENT --profile profiles/farm" in told.err


def test_a_silent_slurm_is_waited_for_no_longer_than_said(
    slurm: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program(slurm / "scontrol", "exec sleep 300")
    monkeypatch.setattr(site_survey, "_PATIENCE_SECONDS", 1)
    monkeypatch.setenv("SLURM_CONF", "/wrong/slurm.conf")
    assert main(["profile", "init", "--json"]) == 6
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "slurm.silent"
    assert "does not answer within 1 s" in error["message"]
    assert "SLURM_CONF is /wrong/slurm.conf" in error["hint"]


def test_more_gpus_than_there_are_write_nothing(slurm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "init", "--gpus", "9", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "profile.no-gpus"
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("output", ["file", "file/below"])
def test_a_file_in_the_way_of_the_folder_is_named(slurm: Path, capsys: pytest.CaptureFixture[str], output: str) -> None:
    Path("file").write_text("x")
    assert main(["profile", "init", "--output", output, "--json"]) == 6
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["code"], error["where"]) == ("disk.in-the-way", "file")


def test_the_command_to_try_can_be_copied(slurm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "init", "--output", "my site"]) == 0
    assert "evercast run DOCUMENT --profile 'my site'" in capsys.readouterr().err
