from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from run_folders import command, freeze, named, nothing_was_made, run_alone, wait_for

from evercast.errors import EnvironmentUnfit, EvercastError, IntegrityError, RunFailed
from evercast.runtime.execute import execute_unit
from evercast.runtime.locks import locked
from evercast.runtime.receipts import read_receipt
from workflow_documents import environment


def test_a_finished_unit_has_a_receipt_with_the_digest_of_every_file(tmp_path: Path) -> None:
    frozen = freeze(tmp_path, {"hello": command("echo hello > {outputs.out}", {"out": "deep/out.txt"})})
    unit = named(frozen, "hello")
    assert execute_unit(frozen, unit) is True
    receipt = read_receipt(frozen.folder.receipt(unit))
    assert receipt.key == unit.key
    assert receipt.files["deep/out.txt"].sha256 == hashlib.sha256(b"hello\n").hexdigest()
    assert receipt.files["deep/out.txt"].size == 6
    assert receipt.versions["evercast"]
    assert not frozen.folder.running(unit).exists()


def test_a_finished_unit_is_not_run_again(tmp_path: Path) -> None:
    frozen = freeze(tmp_path, {"hello": command("date +%N > {outputs.out}")})
    unit = named(frozen, "hello")
    execute_unit(frozen, unit)
    before = frozen.folder.receipt(unit).read_bytes()
    assert execute_unit(frozen, unit) is False
    assert frozen.folder.receipt(unit).read_bytes() == before


def test_inputs_reach_the_command_from_units_files_and_the_matrix(tmp_path: Path) -> None:
    stages = {
        "first": command("echo from-first > {outputs.out}"),
        "second": command(
            "(cat {inputs.x}; wc -l < {inputs.script}; echo {matrix.k}) > {outputs.out}",
            inputs={"x": "stage:first.out", "script": "make_events.py"},
            matrix={"k": ["v"]},
        ),
    }
    frozen = freeze(tmp_path, stages)
    for name in ("first", "second-v"):
        execute_unit(frozen, named(frozen, name))
    lines = (frozen.folder.unit(named(frozen, "second-v")) / "out.txt").read_text().splitlines()
    assert (lines[0], lines[2]) == ("from-first", "v")
    assert int(lines[1]) > 50


def test_reduce_gets_the_outputs_of_all_jobs_in_the_order_of_the_matrix(tmp_path: Path) -> None:
    stage = command(
        "echo {matrix.k} > {outputs.out}",
        matrix={"k": ["c", "a", "b"]},
        reduce={"run": "cat {all.out} > {outputs.all}", "outputs": {"all": "all.txt"}},
    )
    frozen = freeze(tmp_path, {"many": stage})
    for name in ("many-c", "many-a", "many-b", "many-reduce"):
        execute_unit(frozen, named(frozen, name))
    assert (frozen.folder.unit(named(frozen, "many-reduce")) / "all.txt").read_text() == "c\na\nb\n"


@pytest.mark.parametrize(
    ("run", "code", "words"),
    [
        ("exit 0", "stage.output-missing", "was not written, although the command ended with 0"),
        (": > {outputs.out}", "stage.output-missing", "is empty"),
        ("ln -s /etc/hostname {outputs.out}", "stage.output-link", "is a link"),
        ("mkdir {outputs.out} && ln -s /etc/hostname {outputs.out}/x", "stage.output-link", "x -> /etc/hostname"),
        ("echo some words >&2; exit 7", "stage.command-failed", "exit code 7; its last words:\nsome words"),
        ("false; echo x > {outputs.out}", "stage.command-failed", "exit code 1"),
        ("false | cat > {outputs.out}; echo x > {outputs.out}", "stage.command-failed", "exit code 1"),
        ('echo "$NO_SUCH_VARIABLE" > {outputs.out}', "stage.command-failed", "unbound variable"),
        ("kill -9 $$", "stage.command-failed", "signal 9"),
    ],
)
def test_a_command_that_fails_leaves_an_error_file_and_no_output(
    tmp_path: Path, run: str, code: str, words: str
) -> None:
    frozen = freeze(tmp_path, {"bad": command(run)})
    unit = named(frozen, "bad")
    with pytest.raises(RunFailed) as caught:
        execute_unit(frozen, unit)
    assert caught.value.code == code
    assert words in caught.value.message
    recorded = json.loads(frozen.folder.error(unit).read_text())
    assert (recorded["code"], recorded["exit_code"], recorded["unit"]) == (code, 1, unit.id)
    assert nothing_was_made(frozen, unit)


def test_a_later_success_removes_the_error_of_a_failure(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    frozen = freeze(tmp_path, {"flaky": command(f"test -e '{flag}' && echo x > {{outputs.out}}")})
    unit = named(frozen, "flaky")
    with pytest.raises(RunFailed):
        execute_unit(frozen, unit)
    flag.touch()
    execute_unit(frozen, unit)
    assert not frozen.folder.error(unit).exists()


def test_a_unit_whose_input_was_not_run_is_refused(tmp_path: Path) -> None:
    stages = {
        "first": command("echo 1 > {outputs.out}"),
        "second": command("cp {inputs.x} {outputs.out}", inputs={"x": "stage:first.out"}),
    }
    frozen = freeze(tmp_path, stages)
    with pytest.raises(RunFailed) as caught:
        execute_unit(frozen, named(frozen, "second"))
    assert caught.value.code == "run.input-missing"


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_an_input_that_changed_after_it_was_made_is_refused(tmp_path: Path, damage: str) -> None:
    stages = {
        "first": command("echo 1234 > {outputs.out}"),
        "second": command("cp {inputs.x} {outputs.out}", inputs={"x": "stage:first.out"}),
    }
    frozen = freeze(tmp_path, stages)
    execute_unit(frozen, named(frozen, "first"))
    path = frozen.folder.unit(named(frozen, "first")) / "out.txt"
    times = path.stat()
    if damage == "remove":
        path.unlink()
    else:
        path.write_text("1235\n" if damage == "flip" else "12")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(IntegrityError) as caught:
        execute_unit(frozen, named(frozen, "second"))
    assert caught.value.code == ("unit.file-missing" if damage == "remove" else "unit.file-changed")
    assert "out.txt" in str(caught.value)


def test_a_file_beside_the_document_that_changed_after_planning_is_refused(tmp_path: Path) -> None:
    frozen = freeze(tmp_path)
    (tmp_path / "analysis" / "make_events.py").write_text("print('other')")
    with pytest.raises(IntegrityError) as caught:
        execute_unit(frozen, named(frozen, "events-signal"))
    assert caught.value.code == "plan.file-changed"


def test_a_damaged_receipt_does_not_count(tmp_path: Path) -> None:
    frozen = freeze(tmp_path, {"hello": command("echo x > {outputs.out}")})
    unit = named(frozen, "hello")
    execute_unit(frozen, unit)
    frozen.folder.receipt(unit).write_text("{")
    assert execute_unit(frozen, unit) is True
    assert read_receipt(frozen.folder.receipt(unit)).key == unit.key


def test_a_unit_that_somebody_works_on_is_refused_with_process_and_host(tmp_path: Path) -> None:
    frozen = freeze(tmp_path, {"hello": command("echo x > {outputs.out}")})
    unit = named(frozen, "hello")
    with (
        locked(frozen.folder.unit_lock(unit), code="test", what="it"),
        pytest.raises(EnvironmentUnfit, match=f"process {os.getpid()} on ") as caught,
    ):
        execute_unit(frozen, unit)
    assert (caught.value.code, caught.value.exit_code) == ("run.unit-locked", 6)
    assert not frozen.folder.error(unit).exists()


def test_a_defect_of_a_stage_is_recorded_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken_stage.py"
    broken.write_text("def run(task):\n    return 1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("evercast.runtime.stage_calls._MODULES", {"command": "broken_stage"})
    frozen = freeze(tmp_path, {"hello": command("echo x > {outputs.out}")})
    unit = named(frozen, "hello")
    with pytest.raises(ZeroDivisionError):
        execute_unit(frozen, unit)
    recorded = json.loads(frozen.folder.error(unit).read_text())
    assert (recorded["exit_code"], recorded["code"]) == (70, "internal")
    assert "ZeroDivisionError" in recorded["message"]
    assert nothing_was_made(frozen, unit)


def test_sigterm_ends_the_command_and_is_recorded_as_an_interruption(tmp_path: Path) -> None:
    stage = command(
        f"echo $$ > '{tmp_path}/pid'; sleep 100 & echo $! > '{tmp_path}/child'; wait; echo x > {{outputs.out}}"
    )
    frozen = freeze(tmp_path, {"long": stage})
    unit = named(frozen, "long")
    process = subprocess.Popen(run_alone(frozen, unit), env=environment(), stderr=subprocess.PIPE, text=True)
    wait_for((tmp_path / "child").exists)
    wait_for(lambda: (tmp_path / "child").read_text().strip())
    process.send_signal(signal.SIGTERM)
    _, words = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "interrupted by SIGTERM" in words
    assert json.loads(frozen.folder.error(unit).read_text())["code"] == "stage.interrupted"
    assert frozen.folder.checkpoint(unit).is_dir()
    assert not frozen.folder.running(unit).exists()
    assert nothing_was_made(frozen, unit)
    for name in ("pid", "child"):
        wait_for(lambda name=name: not Path(f"/proc/{int((tmp_path / name).read_text())}").exists())


def test_kill_9_leaves_nothing_under_the_final_name_and_the_next_attempt_succeeds(tmp_path: Path) -> None:
    flag = tmp_path / "started"
    frozen = freeze(
        tmp_path, {"long": command(f"echo x > {{outputs.out}}; test -e '{flag}' || {{ touch '{flag}'; sleep 100; }}")}
    )
    unit = named(frozen, "long")
    process = subprocess.Popen(run_alone(frozen, unit), env=environment(), stderr=subprocess.DEVNULL)
    wait_for(flag.exists)
    process.kill()
    process.wait()
    assert not frozen.folder.unit(unit).exists()
    assert frozen.folder.running(unit).exists()
    assert execute_unit(frozen, unit) is True


@pytest.mark.parametrize("name", ["APPTAINER_BIND", "APPTAINERENV_X", "SINGULARITY_BIND", "LD_PRELOAD", "PYTHONPATH"])
def test_variables_that_reach_into_a_command_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    frozen = freeze(tmp_path, {"see": command("env > {outputs.out}")})
    monkeypatch.setenv(name, "/canary")
    monkeypatch.setenv("HARMLESS", "kept")
    execute_unit(frozen, named(frozen, "see"))
    seen = (frozen.folder.unit(named(frozen, "see")) / "out.txt").read_text()
    assert "canary" not in seen
    assert "HARMLESS=kept" in seen


def test_a_container_without_a_container_runtime_is_refused_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "analysis").mkdir()
    (tmp_path / "analysis" / "image.sif").write_text("stands for an image")
    frozen = freeze(tmp_path, {"boxed": command("echo x > {outputs.out}", container="image.sif")})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentUnfit, match="install Apptainer") as caught:
        execute_unit(frozen, named(frozen, "boxed"))
    assert caught.value.code == "container.no-runtime"


def test_a_thousand_megabytes_of_output_would_not_fill_the_log(tmp_path: Path) -> None:
    frozen = freeze(tmp_path, {"loud": command("head -c 11000000 /dev/zero | tr '\\0' x; echo y > {outputs.out}")})
    log = tmp_path / "log"
    with log.open("wb") as stream:
        subprocess.run(run_alone(frozen, named(frozen, "loud")), env=environment(), stderr=stream, check=True)
    assert 10_000_000 <= log.stat().st_size < 10_001_000
    assert b"[1000000 more bytes of output are not kept]" in log.read_bytes()[-200:]


def test_the_command_line_exits_with_the_code_of_the_error(tmp_path: Path) -> None:
    frozen = freeze(tmp_path)
    done = subprocess.run(
        [*run_alone(frozen, named(frozen, "likelihood")), "--json"], env=environment(), capture_output=True, check=False
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == "run.input-missing"


def test_errors_of_the_system_inside_a_stage_are_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "unlucky_stage.py").write_text("def run(task):\n    open('/proc/self/mem/x', 'w')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("evercast.runtime.stage_calls._MODULES", {"command": "unlucky_stage"})
    frozen = freeze(tmp_path, {"hello": command("echo x > {outputs.out}")})
    with pytest.raises(EvercastError) as caught:
        execute_unit(frozen, named(frozen, "hello"))
    assert caught.value.exit_code in (1, 6)
