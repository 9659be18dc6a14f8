"""Snakemake alone and `evercast run` are the same workflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from evercast.runtime.folders import RunFolder
from workflow_documents import ROOT, body, receipts, small_body, snakemake, write_document

pytestmark = [pytest.mark.xdist_group("small")]


@pytest.mark.slow
def test_snakemake_alone_gives_the_same_files(small_run: Path, tmp_path: Path) -> None:
    write_document(tmp_path, small_body())
    done = snakemake("--cores", "2", "--config", "analysis=analysis.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    here, there = tmp_path / "results" / "toy", small_run / "results" / "toy"
    mine, theirs = receipts(RunFolder(here)), receipts(RunFolder(there))
    assert mine.keys() == theirs.keys()
    for unit in mine:
        if not unit.startswith("report-"):  # the report tells the times of its run
            assert mine[unit] == theirs[unit], unit
    assert (here / "fit.json").read_bytes() == (there / "fit.json").read_bytes()
    assert (here / "likelihood" / "workspace.json").read_bytes() == (
        there / "likelihood" / "workspace.json"
    ).read_bytes()
    assert sorted(path.name for path in here.iterdir()) == sorted(path.name for path in there.iterdir())


@pytest.mark.slow
def test_one_goes_on_where_the_other_ended(small_run: Path) -> None:
    done = snakemake("--dry-run", "--config", "analysis=analysis.yaml", cwd=small_run)
    assert done.returncode == 0, done.stderr
    planned = [line.split() for line in done.stdout.splitlines() if line[:5].strip() in ("all", "total")]
    assert ["all", "1"] in planned
    assert ["total", "1"] in planned


@pytest.mark.slow
def test_the_run_says_where_the_results_are(small_run: Path) -> None:
    screen = (small_run / "stdout.txt").read_text()
    for name in ("report.html", "fit.json", "likelihood/"):
        assert f"results/toy/{name}" in screen
    assert "binned" in screen
    assert "[11/11] report" in (small_run / "stderr.txt").read_text()


@pytest.mark.parametrize("profile", sorted(path.name for path in (ROOT / "workflow" / "profiles").iterdir()))
@pytest.mark.parametrize("name", ["toy", "h4l"])
def test_a_dry_run_with_every_profile(tmp_path: Path, profile: str, name: str) -> None:
    document = ROOT / "specs" / name / "analysis.yaml"
    done = snakemake(
        "--profile", str(ROOT / "workflow" / "profiles" / profile), "--dry-run", "--config", f"analysis={document}",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    table = [words for line in done.stdout.splitlines() if len(words := line.split()) == 2 and words[1].isdigit()]
    jobs = {rule: int(count) for rule, count in table}
    assert jobs["all"] == jobs["serialization"] == jobs["report"] == 1
    assert jobs["fit"] == 2
    assert not (tmp_path / "results" / name / "fit.json").exists()


def test_the_rule_graph_joins_the_stages_in_order(tmp_path: Path) -> None:
    write_document(tmp_path, body())
    done = snakemake("--rulegraph", "dot", "--config", "analysis=analysis.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for rule in (
        "command",
        "selection",
        "training",
        "evaluation",
        "serialization",
        "fit",
        "diagnostics",
        "report",
        "all",
    ):
        assert f'"{rule}"' in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "error", "says"),
    [
        ([], 2, "run.no-analysis", "no analysis is given"),
        (["--config", "analysis=nothing.yaml"], 3, "spec.no-such-file", "nothing.yaml"),
        (["--config", "analysis=analysis.yaml", "pseudo_data=sometimes"], 2, "run.pseudo-data", "never or always"),
        (["--config", "analysis=analysis.yaml", "results=analysis.yaml"], 6, "disk.in-the-way", "is no folder"),
        (["--sdm", "conda", "--config", "analysis=analysis.yaml"], 2, "run.no-conda", "--sdm apptainer"),
        (["--config", "analysis=wrong.yaml"], 3, "spec.unknown-key", "did you mean 'samples'"),
    ],
)
def test_a_refusal_is_one_plain_line_at_the_end_with_its_own_code(
    tmp_path: Path, words: list[str], code: int, error: str, says: str
) -> None:
    document = write_document(tmp_path, body())
    (tmp_path / "wrong.yaml").write_text(document.read_text().replace("samples:", "smaples:", 1))
    done = snakemake("--dry-run", *words, cwd=tmp_path)
    assert done.returncode == code
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"error[{error}]: ")
    assert says in last
    assert "common.smk" not in done.stderr


def test_names_cannot_carry_commands_into_the_shell(tmp_path: Path) -> None:
    write_document(tmp_path, body())
    target = "results/toy/work/jobs/command/x;touch canary;-000000000000.json"
    done = snakemake(target, "--config", "analysis=analysis.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert not (tmp_path / "canary").exists()
