"""Kills, locks, failures and full disks: the run says what happened, loses nothing and goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from evercast.runtime.folders import RunFolder
from evercast.runtime.locks import read_executions
from workflow_documents import ROOT, environment, evercast, receipts, small_body, snakemake, write_document

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]

ONLY_COMMANDS = ("--", "--until", "command")
"""These tests look at the extra stages; the rest is not run, which a run must call incomplete."""


def document(folder: Path, **stages: Mapping[str, Any]) -> Path:
    content = small_body()
    del content["stages"]["events"]["reduce"]
    content["stages"].update(stages)
    return write_document(folder, content)


def waits_for(flag: Path, *, text: str = "x") -> dict[str, Any]:
    """A stage that says that it has begun and then waits until the test lets it go on."""
    run = f"echo {text} > {{outputs.out}}; touch '{flag}.begun'; until test -e '{flag}'; do sleep 0.1; done"
    return {"run": run, "outputs": {"out": "out.txt"}}


_STARTED: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    yield
    while _STARTED:
        run = _STARTED.pop()
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        run.communicate()


def start(folder: Path) -> subprocess.Popen[str]:
    """Start a run in a process group of its own, which is killed at the end of the test."""
    command = [str(Path(sys.executable).parent / "evercast"), "run", "analysis.yaml", "--cores", "2", *ONLY_COMMANDS]
    run = subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    _STARTED.append(run)
    return run


def wait_for(condition: Callable[[], object], *, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def error_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(done.stdout)["error"]
    return error


def run_commands(folder: Path) -> subprocess.CompletedProcess[str]:
    return evercast("run", "analysis.yaml", "--cores", "2", "--json", *ONLY_COMMANDS, cwd=folder)


def job(folder: Path, name: str) -> int:
    """The process of the job that works on a unit."""
    marker = next((folder / "results" / "toy" / "work" / "running" / "command").glob(f"{name}-*.json"))
    return int(json.loads(marker.read_text())["pid"])


def workflow(run: subprocess.Popen[str]) -> int:
    """The process of Snakemake in a run."""
    return int(Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()[0])


def finish(run: subprocess.Popen[str]) -> str:
    """Wait for the end of a run; return what it said."""
    words, _ = run.communicate(timeout=120)
    return words


@pytest.fixture(scope="module")
def held_back(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, str]]]:
    """The flag that lets the stage ``held`` go on, and the digests of an undisturbed run with it."""
    folder = tmp_path_factory.mktemp("clean")
    flag = folder / "flag"
    document(folder, held=waits_for(flag))
    flag.touch()
    done = run_commands(folder)
    assert error_of(done)["code"] == "run.incomplete"
    return flag, receipts(RunFolder(folder / "results" / "toy"))


@pytest.fixture
def clean(held_back: tuple[Path, dict[str, dict[str, str]]]) -> dict[str, dict[str, str]]:
    """The digests of the extra stages of an undisturbed run."""
    return held_back[1]


@pytest.fixture
def flag(held_back: tuple[Path, dict[str, dict[str, str]]]) -> Path:
    """A file that lets the stage ``held`` go on; absent at first."""
    path = held_back[0]
    path.unlink(missing_ok=True)
    Path(f"{path}.begun").unlink(missing_ok=True)
    return path


def check_resumed(folder: Path, clean: dict[str, dict[str, str]]) -> None:
    done = run_commands(folder)
    assert error_of(done)["code"] == "run.incomplete", done.stdout
    assert receipts(RunFolder(folder / "results" / "toy")) == clean
    assert not list((folder / "results" / "toy" / "work").glob("attempts/*"))


def test_a_part_of_a_run_is_no_success(tmp_path: Path) -> None:
    document(tmp_path)
    done = run_commands(tmp_path)
    assert done.returncode == 1
    assert error_of(done)["code"] == "run.incomplete"
    assert "7 of 10 units have not been run" in error_of(done)["message"]
    assert not (tmp_path / "results" / "toy" / "fit.json").exists()


def test_kill_9_of_one_job(tmp_path: Path, flag: Path, clean: dict[str, dict[str, str]]) -> None:
    folder = tmp_path
    document(folder, held=waits_for(flag))
    run = start(folder)
    wait_for(Path(f"{flag}.begun").exists)
    os.kill(job(folder, "held"), signal.SIGKILL)
    words = finish(run)
    assert run.returncode == 1
    assert "error[stage.killed]" in words
    status = json.loads(evercast("status", "analysis.yaml", "--json", cwd=folder).stdout)
    assert status["stages"]["command"] == {"done": 3, "running": 0, "failed": 1, "waiting": 0}
    flag.touch()
    check_resumed(folder, clean)


def test_kill_9_of_everything_at_once(tmp_path: Path, flag: Path, clean: dict[str, dict[str, str]]) -> None:
    folder = tmp_path
    document(folder, held=waits_for(flag))
    run = start(folder)
    wait_for(Path(f"{flag}.begun").exists)
    os.killpg(run.pid, signal.SIGKILL)
    finish(run)
    assert not list((folder / "results" / "toy" / "work" / "command").glob("held-*/receipt.json"))
    flag.touch()
    check_resumed(folder, clean)


def test_a_job_that_outlived_its_run_is_stopped_before_the_next(
    tmp_path: Path, flag: Path, clean: dict[str, dict[str, str]]
) -> None:
    folder = tmp_path
    document(folder, held=waits_for(flag))
    run = start(folder)
    wait_for(Path(f"{flag}.begun").exists)
    orphan = job(folder, "held")
    snake = workflow(run)
    run.kill()
    os.kill(snake, signal.SIGKILL)
    run.wait()
    assert Path(f"/proc/{orphan}").exists()
    second = start(folder)
    wait_for(lambda: not Path(f"/proc/{orphan}").exists())
    flag.touch()
    finish(second)
    check_resumed(folder, clean)


def start_snakemake(
    folder: Path, *config: str, part: tuple[str, str] = ("--until", "command")
) -> subprocess.Popen[str]:
    """Start Snakemake without `evercast run`, in a process group of its own, which is killed at the end of the test."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]
    command += ["--profile", str(ROOT / "workflow" / "profiles" / "default"), *part]
    run = subprocess.Popen(
        [*command, "--config", "analysis=analysis.yaml", *config], cwd=folder, env=environment(),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    _STARTED.append(run)
    return run


def test_snakemake_alone_goes_on_after_a_kill_as_a_run_does(
    tmp_path: Path, flag: Path, clean: dict[str, dict[str, str]]
) -> None:
    folder, work = tmp_path, tmp_path / "results" / "toy" / "work"
    document(folder, held=waits_for(flag))
    first = start_snakemake(folder)
    wait_for(Path(f"{flag}.begun").exists)
    orphan = job(folder, "held")
    first.kill()
    first.wait()
    assert Path(f"/proc/{orphan}").exists()
    assert any((work / "attempts").iterdir())
    second = start_snakemake(folder)
    wait_for(lambda: not Path(f"/proc/{orphan}").exists())
    flag.touch()
    words = finish(second)
    assert second.returncode == 0, words
    assert receipts(RunFolder(folder / "results" / "toy")) == clean
    assert not (work / "attempts").exists() or not any((work / "attempts").iterdir())


def test_status_shows_the_plan_that_snakemake_alone_has_run(tmp_path: Path) -> None:
    document(tmp_path)
    run = start_snakemake(tmp_path, "pseudo_data=always")
    words = finish(run)
    assert run.returncode == 0, words
    status = json.loads(evercast("status", "analysis.yaml", "--json", cwd=tmp_path).stdout)
    current = json.loads((tmp_path / "results" / "toy" / "work" / "current.json").read_text())
    assert status["pseudo_data"] is True
    assert current["plan"] == status["plan"]


def test_two_runs_at_once_and_a_run_beside_snakemake_are_refused(tmp_path: Path, flag: Path) -> None:
    document(tmp_path, held=waits_for(flag))
    first = start(tmp_path)
    wait_for(Path(f"{flag}.begun").exists)
    second = run_commands(tmp_path)
    assert second.returncode == 6
    assert error_of(second)["code"] == "run.locked"
    assert f"process {first.pid} on " in error_of(second)["message"]
    alone = snakemake("--cores", "1", "--config", "analysis=analysis.yaml", cwd=tmp_path)
    assert alone.returncode == 6
    assert "is in use by process" in alone.stderr + alone.stdout
    status = json.loads(evercast("status", "analysis.yaml", "--json", cwd=tmp_path).stdout)
    assert status["active"] is True
    assert status["stages"]["command"]["running"] == 1
    flag.touch()
    finish(first)
    assert receipts(RunFolder(tmp_path / "results" / "toy"))


def test_the_lock_outlives_the_command_line_while_snakemake_works(tmp_path: Path, flag: Path) -> None:
    document(tmp_path, held=waits_for(flag))
    first = start(tmp_path)
    wait_for(Path(f"{flag}.begun").exists)
    snake = workflow(first)
    first.kill()
    first.wait()
    assert run_commands(tmp_path).returncode == 6
    flag.touch()
    wait_for(lambda: not Path(f"/proc/{snake}").exists())
    finish(first)
    assert error_of(run_commands(tmp_path))["code"] == "run.incomplete"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_stops_its_jobs_and_goes_on_later(
    tmp_path: Path, flag: Path, clean: dict[str, dict[str, str]], number: signal.Signals
) -> None:
    folder = tmp_path
    document(folder, held=waits_for(flag))
    run = start(folder)
    wait_for(Path(f"{flag}.begun").exists)
    process = job(folder, "held")
    run.send_signal(number)
    words = finish(run)
    assert run.returncode == 1
    assert "error[run.interrupted]" in words
    assert not Path(f"/proc/{process}").exists()
    flag.touch()
    check_resumed(folder, clean)


def test_a_failed_command_is_reported_with_its_words_its_log_and_the_code(tmp_path: Path) -> None:
    document(tmp_path, broken={"run": "echo this is why >&2; exit 9", "outputs": {"out": "out.txt"}})
    done = run_commands(tmp_path)
    assert done.returncode == 1
    error = error_of(done)
    assert error["code"] == "stage.command-failed"
    assert "exit code 9" in error["message"]
    assert "this is why" in error["message"]
    log = next((tmp_path / "results" / "toy" / "work" / "logs" / "command").glob("broken-*.log"))
    assert str(log.relative_to(tmp_path)) in error["hint"]
    assert "this is why" in log.read_text()
    text = evercast("status", "analysis.yaml", cwd=tmp_path).stdout
    assert "failed: command broken-" in text
    assert str(log.relative_to(tmp_path)) in text
    assert "command             3        0       1        0" in text


def test_the_unit_that_failed_first_is_reported_and_those_after_it_are_named(tmp_path: Path) -> None:
    slow = "until ls ../../errors/command/quick-*.json 2> /dev/null; do sleep 0.1; done; echo this is later >&2; exit 8"
    document(
        tmp_path,
        later={"run": slow, "outputs": {"out": "out.txt"}},
        quick={"run": "echo this is why >&2; exit 9", "outputs": {"out": "out.txt"}},
    )
    error = error_of(run_commands(tmp_path))
    assert "this is why" in error["message"]
    assert error["where"].startswith("command/quick-")
    assert "this failed first; after it failed later-" in error["hint"]


def test_a_damaged_intermediate_file_ends_the_run_with_5(tmp_path: Path) -> None:
    document(tmp_path)
    run_commands(tmp_path)
    table = next((tmp_path / "results" / "toy" / "work" / "command").glob("events-signal-*/events.csv"))
    content = bytearray(table.read_bytes())
    content[100] ^= 1
    table.write_bytes(content)
    done = evercast("run", "analysis.yaml", "--cores", "2", "--json", "--", "--until", "selection", cwd=tmp_path)
    assert done.returncode == 5
    assert error_of(done)["code"] == "unit.file-changed"
    assert "events.csv" in error_of(done)["where"]


def executions(folder: Path) -> dict[str, int]:
    """unit without its key -> how often work on it was begun."""
    locks = (folder / "results" / "toy" / "work" / "locks").glob("*-*.lock")
    return {lock.stem.rpartition("-")[0]: len(read_executions(lock)) for lock in locks}


def test_what_would_fail_again_is_tried_once_and_what_may_pass_as_often_as_the_profile_says(tmp_path: Path) -> None:
    document(
        tmp_path,
        made={"run": "echo x > {outputs.out}", "outputs": {"out": "out.txt"}},
        flaky={"run": "echo y > {outputs.out}; exit 9", "outputs": {"out": "out.txt"}},
        certain={"run": "cp {inputs.x} {outputs.out}", "inputs": {"x": "stage:made.out"}, "outputs": {"out": "o.txt"}},
    )
    work = tmp_path / "results" / "toy" / "work"
    line = ("run", "analysis.yaml", "--cores", "2", "--json", "--", "--omit-from", "serialization")
    assert error_of(evercast(*line, cwd=tmp_path))["code"] == "stage.command-failed"
    shutil.rmtree(next(work.glob("command/certain-*")))
    next(work.glob("command/made-*/out.txt")).write_text("z\n")
    before = executions(tmp_path)
    assert evercast(*line, "--retries", "2", cwd=tmp_path).returncode in (1, 5)
    begun = {name: count - before.get(name, 0) for name, count in executions(tmp_path).items()}
    assert begun.pop("certain") == 1
    assert begun.pop("flaky") == 3
    assert not any(begun.values())
    log = next(work.glob("logs/command/certain-*.log")).read_text()
    assert log.count("unit.file-changed") == 3, "each try says the same"
    assert log.count("is not computed once more") == 2
    status = json.loads(evercast("status", "analysis.yaml", "--json", cwd=tmp_path).stdout)
    said = {unit["id"].rpartition("-")[0]: unit["error"]["exit_code"] for unit in status["units"] if unit["error"]}
    assert said == {"certain": 5, "flaky": 1}


@pytest.mark.parametrize("edit", ["another key", "not valid", "another name", "gone"])
def test_jobs_of_snakemake_alone_follow_the_plan_of_their_run_whatever_becomes_of_the_document(
    tmp_path: Path, flag: Path, edit: str
) -> None:
    after = {"run": "cat {inputs.x} {inputs.x} > {outputs.out}", "inputs": {"x": "stage:held.out"}}
    written = document(tmp_path, held=waits_for(flag), after={**after, "outputs": {"out": "out.txt"}})
    first = start_snakemake(tmp_path, part=("--omit-from", "serialization"))
    wait_for(Path(f"{flag}.begun").exists)
    text = written.read_text()
    if edit == "gone":
        written.unlink()
    else:
        changes = {
            "another key": ("cat {inputs.x}", "cat {inputs.x} {inputs.x}"),
            "not valid": ("schema:", "scheme:"),
            "another name": ("name: toy", "name: other"),
        }
        assert changes[edit][0] in text
        written.write_text(text.replace(*changes[edit], 1))
    flag.touch()
    words = finish(first)
    assert first.returncode == 0, words
    (made,) = (tmp_path / "results" / "toy" / "work" / "command").glob("after-*")
    assert (made / "out.txt").read_text() == "x\nx\n"
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["toy"]
    (plan,) = (tmp_path / "results" / "toy" / "work" / "plans").iterdir()
    assert made.name in {unit["id"] for unit in json.loads((plan / "plan.json").read_text())["units"]}


@pytest.mark.parametrize("small_disk", ["2m"], indirect=True)
def test_a_disk_that_fills_up_during_a_run(tmp_path: Path, small_disk: Path) -> None:
    document(tmp_path, large={"run": "head -c 4000000 /dev/zero > {outputs.out}", "outputs": {"out": "out.bin"}})
    words = ("run", "analysis.yaml", "--cores", "1", "--results", f"{small_disk.name}/toy", "--json")
    done = evercast(*words, *ONLY_COMMANDS, cwd=tmp_path)
    assert done.returncode == 6, done.stdout + done.stderr
    assert error_of(done)["code"] == "disk.full"
    assert not list((small_disk / "toy" / "work" / "command").glob("large-*/*"))
    assert not any((small_disk / "toy" / "work" / "attempts").iterdir())
