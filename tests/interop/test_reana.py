"""What is written for REANA keeps its rules, is read by Snakemake, and gives the results of an ordinary run."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from evercast.artifacts.files import sha256_file
from evercast.errors import InvalidInput
from evercast.interop.reana import export_reana
from evercast.runtime.folders import RunFolder
from workflow_documents import changed, environment, evercast, receipts, small_body, with_stage, write_document

IMAGE = "docker://registry.example.org/group/evercast@sha256:" + 64 * "a"
DIRECTIVES = {"input", "output", "threads", "resources", "container", "shell"}


def snakemake(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Snakemake with nothing but the exported file, as REANA does."""
    variables = environment(PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    command = [sys.executable, "-m", "snakemake", "--snakefile", "Snakefile", "--cores", "2", *words]
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=600, check=False)


def rules(text: str) -> dict[str, dict[str, list[Any]]]:
    """rule -> directive -> its values; whatever is no plain value fails here."""
    found: dict[str, dict[str, list[Any]]] = {}
    for block in re.split(r"^(?=rule )", text, flags=re.MULTILINE)[1:]:
        head, *lines = [line for line in block.splitlines() if line.strip()]
        body = found[head.removeprefix("rule ").rstrip(":")] = {}
        for line in lines:
            if match := re.fullmatch(r"    (\w+):(.*)", line):
                values = body.setdefault(match[1], [])
                values += [ast.literal_eval(match[2].strip())] if match[2].strip() else []
            else:
                values.append(ast.literal_eval(line.strip().rstrip(",").partition("=")[2] or line.strip().rstrip(",")))
    return found


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small document, exported; not to be changed."""
    folder = tmp_path_factory.mktemp("reana")
    document = write_document(folder / "analysis", small_body())
    export_reana(document, folder=folder / "export", image=IMAGE)
    return folder / "export"


def test_every_rule_is_shell_in_the_image_with_fixed_files(exported: Path) -> None:
    found = rules((exported / "Snakefile").read_text())
    assert found.pop("all") == {"input": ["results/toy/work/published.txt"]}
    for name, rule in found.items():
        assert rule.keys() == DIRECTIVES, name
        assert rule["container"] == [IMAGE]
        (command,) = rule["shell"]
        assert command.startswith("mkdir -p results/toy/work")
        assert " && evercast stage " in command
        assert not set("{}") & set(command)
        assert all(not Path(path).is_absolute() for path in rule["input"] + rule["output"])
        assert re.fullmatch(r"[1-9][0-9]*Mi", rule["resources"][1])


def test_reana_yaml_lists_every_file_that_is_sent(exported: Path) -> None:
    body = yaml.safe_load((exported / "reana.yaml").read_text())
    assert body["workflow"] == {"type": "snakemake", "file": "Snakefile"}
    present = {str(path.relative_to(exported)) for path in exported.rglob("*") if path.is_file()}
    assert set(body["inputs"]["files"]) == present - {"reana.yaml"}
    assert "results/toy/report.html" in body["outputs"]["files"]


def test_snakemake_reads_it(exported: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(exported, tmp_path / "copy")
    ended = snakemake("--dry-run", "--quiet", cwd=folder)
    assert ended.returncode == 0, ended.stderr


def test_nothing_names_a_folder_of_this_machine(exported: Path) -> None:
    for path in exported.rglob("*"):
        if path.is_file():
            assert str(exported.parent) not in path.read_text()


@pytest.mark.slow
def test_it_gives_the_results_of_an_ordinary_run(exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "moved"
    shutil.copytree(exported, folder)
    ended = snakemake("--quiet", cwd=folder)
    assert ended.returncode == 0, ended.stderr
    run = evercast("run", str(exported.parent / "analysis" / "analysis.yaml"), "--cores", "2", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    there, here = RunFolder(folder / "results" / "toy"), RunFolder(tmp_path / "results" / "toy")
    made, expected = receipts(there), receipts(here)
    assert made.keys() == expected.keys()
    for unit, files in expected.items():
        if not unit.startswith(("report", "diagnostics")):
            assert made[unit] == files, unit
    for name in ("fit.json", "likelihood/workspace.json", "likelihood/index.json"):
        assert sha256_file(there.root / name) == sha256_file(here.root / name)
    for name in yaml.safe_load((folder / "reana.yaml").read_text())["outputs"]["files"]:
        assert (folder / name).is_file(), name


def test_the_image_of_the_document_is_the_default(tmp_path: Path) -> None:
    document = write_document(tmp_path, changed(small_body(), "environments", {"default": {"container": IMAGE}}))
    with pytest.raises(InvalidInput) as caught:  # its stages then run in that image by themselves
        export_reana(document, folder=tmp_path / "export")
    assert caught.value.code == "reana.own-image"


@pytest.mark.parametrize(
    "image", [None, "tools.sif", "docker://group/tools:latest", "oras://group/tools@sha256:" + 64 * "a"]
)
def test_an_image_without_registry_or_digest_is_refused(tmp_path: Path, image: str | None) -> None:
    document = write_document(tmp_path / "analysis", small_body())
    with pytest.raises(InvalidInput) as caught:
        export_reana(document, folder=tmp_path / "export", image=image)
    assert caught.value.code == "reana.image"
    assert not (tmp_path / "export").exists()


def test_a_stage_with_its_own_image_is_refused(tmp_path: Path) -> None:
    stage = {"run": "true > {outputs.out}", "outputs": {"out": "out.txt"}, "container": IMAGE}
    document = write_document(tmp_path / "analysis", with_stage("extra", stage))
    with pytest.raises(InvalidInput) as caught:
        export_reana(document, folder=tmp_path / "export", image=IMAGE)
    assert (caught.value.code, caught.value.where) == ("reana.own-image", "$.stages.extra.container")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["analysis"]


def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    document = write_document(tmp_path / "analysis", small_body())
    (tmp_path / "export").mkdir()
    ended = evercast("export", "reana", str(document), "--output", "export", "--image", IMAGE, "--json", cwd=tmp_path)
    assert ended.returncode == 3
    assert json.loads(ended.stdout)["error"]["code"] == "export.exists"


def test_a_file_of_the_name_is_called_a_file(tmp_path: Path) -> None:
    document = write_document(tmp_path / "analysis", small_body())
    (tmp_path / "export").write_text("x")
    with pytest.raises(InvalidInput, match="a file of this name exists already") as caught:
        export_reana(document, folder=tmp_path / "export", image=IMAGE)
    assert caught.value.code == "export.exists"
    assert caught.value.hint is not None
    assert "--output" in caught.value.hint


def test_a_folder_that_cannot_be_made_is_a_matter_of_the_machine(tmp_path: Path) -> None:
    document = write_document(tmp_path / "analysis", small_body())
    (tmp_path / "file").write_text("x")
    output = "file/below/export"
    ended = evercast("export", "reana", str(document), "--output", output, "--image", IMAGE, "--json", cwd=tmp_path)
    error = json.loads(ended.stdout)["error"]
    assert (ended.returncode, error["code"]) == (6, "disk.in-the-way")
    assert error["where"] == "file"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["analysis", "file"]
