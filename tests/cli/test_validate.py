"""``evercast validate`` and ``evercast schema``: text, JSON, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from evercast.cli import main
from evercast.schemas import KINDS, schema_text

DOCUMENTS = Path(__file__).parents[1] / "spec" / "documents"
MINIMAL = DOCUMENTS / "valid" / "minimal.yaml"


def test_valid_document_gives_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(MINIMAL)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out == (
        f"{MINIMAL}: valid analysis/1.0.0, 3 samples, 1 observable, 2 processes, 0 ensembles, 1 likelihood\n"
    )


def test_invalid_document_gives_every_problem_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    path = DOCUMENTS / "invalid" / "many_problems.yaml"
    assert main(["validate", str(path)]) == 3
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[0].startswith(f"{path}:4: $.metadata.lumniosity_fb: unknown key 'lumniosity_fb'")
    assert lines[-1] == f"{path}: not valid, 5 problems"
    assert sum(line.startswith(f"{path}:") for line in lines) == 6


def test_unsafe_document_has_its_own_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(DOCUMENTS / "invalid" / "unsafe_path_parent.yaml")]) == 5
    assert "it leaves the folder with '..'" in capsys.readouterr().out


def test_json_lists_every_problem(capsys: pytest.CaptureFixture[str]) -> None:
    path = DOCUMENTS / "invalid" / "unknown_references.yaml"
    assert main(["validate", str(path), "--json"]) == 3
    body = json.loads(capsys.readouterr().out)
    assert (body["valid"], body["exit_code"], len(body["problems"])) == (False, 3, 5)
    assert body["problems"][1] == {
        "code": "spec.unknown-reference",
        "message": "unknown sample 'signl'",
        "path": "$.processes.S.sample",
        "file": str(path),
        "line": 32,
        "found": None,
        "expected": "one of background, observed, signal",
        "hint": "did you mean 'signal'?",
    }
    assert main(["validate", str(MINIMAL), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["valid"] is True


def test_files_can_be_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(DOCUMENTS / "invalid" / "missing_file.yaml")
    assert main(["validate", path]) == 3
    assert main(["validate", path, "--no-files"]) == 0
    assert "the file does not exist" in capsys.readouterr().out


@pytest.mark.parametrize("kind", KINDS)
def test_schema_is_printed(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", kind]) == 0
    out = capsys.readouterr().out
    assert out == schema_text(kind)
    assert json.loads(out)["$schema"].endswith("2020-12/schema")


def test_kinds_of_schemas_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "--list"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == ["analysis/1.0.0", "common/1.0.0"]


@pytest.mark.parametrize("words", [["schema"], ["schema", "nothing"], ["validate"]])
def test_wrong_use_exits_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err


def test_validation_loads_nothing_heavy() -> None:
    script = (
        "import sys; from evercast.cli import main; code = main(sys.argv[1:]); "
        "print(sorted({'jax', 'numpy', 'awkward', 'zarr', 'snakemake', 'pyhf'} & set(sys.modules))); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "validate", str(MINIMAL)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"
