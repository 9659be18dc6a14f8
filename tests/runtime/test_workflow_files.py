from pathlib import Path

import pytest

from evercast.errors import UsageError
from evercast.plan.model import STAGES
from evercast.plan.recipes import StageName
from evercast.runtime.stage_calls import stage_function
from evercast.runtime.workflow_files import profile_folder, snakefile
from workflow_documents import ROOT


def test_the_snakefile_of_the_source_tree_is_found() -> None:
    assert snakefile() == ROOT / "Snakefile"


def test_a_profile_is_found_by_name_and_by_folder(tmp_path: Path) -> None:
    assert profile_folder("default") == ROOT / "workflow" / "profiles" / "default"
    (tmp_path / "config.yaml").write_text("cores: 1\n")
    assert profile_folder(str(tmp_path)) == tmp_path


def test_a_profile_is_found_where_snakemake_looks_for_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "snakemake" / "mine").mkdir(parents=True)
    with pytest.raises(UsageError):
        profile_folder("mine")
    (tmp_path / "snakemake" / "mine" / "config.yaml").write_text("cores: 1\n")
    assert profile_folder("mine") == tmp_path / "snakemake" / "mine"


def test_a_wrong_profile_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"'defualt'; evercast has .*default") as caught:
        profile_folder("defualt")
    assert caught.value.code == "run.no-profile"


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_has_a_rule_that_calls_it(stage: str) -> None:
    rule = (ROOT / "workflow" / "rules" / f"{stage}.smk").read_text(encoding="utf-8")
    assert f"rule {stage}:" in rule
    assert f"evercast stage {stage} --plan" in rule
    assert f'f"{{WORK}}/jobs/{stage}/{{{{unit}}}}.json"' in rule
    assert "log:" not in rule, "Snakemake removes a log when a second copy of its job starts"
    assert f'include: "workflow/rules/{stage}.smk"' in snakefile().read_text(encoding="utf-8")


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_has_a_function(stage: StageName) -> None:
    assert callable(stage_function(stage))
