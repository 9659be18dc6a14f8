from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from evercast import __version__
from evercast.cli import COMMANDS, main


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"evercast {__version__}\n"


PARTS = {
    "archive": ["ls", "pack", "pull", "push", "sign"],
    "export": ["reana"],
    "image": ["build", "list", "verify"],
    "keys": ["list", "new", "show", "trust"],
    "profile": ["init"],
    "catalogue": ["add", "check", "describe", "ls", "rm", "search"],
    "request": ["check", "new", "run", "status", "submit"],
}
"""Commands that are a group of commands."""


@pytest.mark.parametrize(
    "words", [[name, *part] for name in sorted(COMMANDS) for part in [[part] for part in PARTS.get(name, [])] or [[]]]
)
def test_every_command_has_help_with_an_example(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--help"]) == 0
    text = capsys.readouterr().out
    assert "--json" in text
    assert "evercast " in text.split("Example", 1)[1]


@pytest.mark.parametrize("name", PARTS)
def test_a_group_of_commands_names_its_parts(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    listed = capsys.readouterr().out.split("Commands:", 1)[1]
    assert all(part in listed for part in PARTS[name])


def test_help_and_plan_load_no_heavy_library() -> None:
    code = (
        "import sys; from evercast.cli import main; main(['--help']); main(['plan', '--help']);"
        "main(['run', '--help']); main(['status', '--help']); main(['stage', '--help']);"
        "sys.exit(bool({'jax', 'scipy', 'snakemake', 'awkward', 'zarr', 'pyhf'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("words", [["fitt"], ["plan"], ["plan", "--no-such-option", "x"], ["run", "x", "--cores", "0"]])
def test_wrong_usage_exits_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Error" in captured.err


def test_wrong_usage_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "usage"


def test_an_error_exits_with_its_code_and_says_its_text_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "analysis.yaml"
    document.write_text("schema: analysis/1.0.0\n")
    assert main(["plan", str(document)]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error[spec.")
    assert main(["plan", str(document), "--json"]) == 3
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["exit_code"] == 3
    assert error["problems"][0]["line"] == 1


def test_a_defect_exits_with_70_and_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr("evercast.cli.commands.plan.plan_document", broken)
    assert main(["plan", "x", "--json"]) == 70
    captured = capsys.readouterr()
    assert "Traceback" in captured.err
    assert "ZeroDivisionError: by nothing" in json.loads(captured.out)["error"]["message"]
