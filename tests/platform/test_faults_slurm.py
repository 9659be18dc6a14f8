"""Faults of a real SLURM cluster: after the command of docs/how-to/a-job-died.md all is as in a run without faults.

The cluster is a second one, of its own: its nodes are killed and its controller is restarted. One document runs while
the others do, because a time limit takes a minute at least.
"""

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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from evercast.runtime.folders import RunFolder
from evercast.runtime.locks import read_executions
from workflow_documents import ROOT, environment, receipts, small_body, write_document

pytestmark = [
    pytest.mark.slow,
    pytest.mark.slurm,
    pytest.mark.xdist_group("slurm"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may start a cluster and kill its nodes"),
]

EVERCAST = str(Path(sys.executable).parent / "evercast")
SCRIPT = ROOT / ".ci" / "platform" / "slurm.sh"
ONLY_COMMANDS = ("--", "--until", "command")
SPACE_MB = 48


@dataclass(frozen=True)
class Cluster:
    """A cluster of eight nodes with one core each, so that two jobs never share a node."""

    folder: Path
    variables: Mapping[str, str]

    @property
    def configuration(self) -> str:
        return str(self.folder / "etc" / "slurm.conf")

    def manage(self, action: str) -> None:
        done = subprocess.run(
            [str(SCRIPT), action], env={**os.environ, **self.variables}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def ask(self, *words: str) -> str:
        done = subprocess.run(
            words, env={**os.environ, "SLURM_CONF": self.configuration}, capture_output=True, text=True, check=False
        )
        return done.stdout

    def jobs(self, name: str = "", *, states: str = "all") -> dict[str, tuple[str, str]]:
        """job -> state and node of the jobs whose comment, written by Snakemake, holds `name`."""
        text = self.ask("squeue", "--noheader", f"--states={states}", "--format=%i|%T|%N|%k")
        rows = [line.split("|") for line in text.splitlines()]
        return {number: (state, node) for number, state, node, comment in rows if name in comment}

    def node_of(self, name: str) -> str:
        return next(node for state, node in self.jobs(f"_{name}-").values() if state == "RUNNING")

    def kill_daemon(self, node: str) -> None:
        pid = int((self.folder / "run" / f"slurmd.{node}.pid").read_text())
        os.kill(pid, signal.SIGKILL)

    def kill_node(self, node: str) -> None:
        """End the daemon of a node and everything that runs on it, as a loss of power does."""
        self.kill_daemon(node)
        there = set()
        for place in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if f"SLURMD_NODENAME={node}".encode() in (place / "environ").read_bytes().split(b"\0"):
                    parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
                    there.add(int(place.name))
                    there |= {parent} if Path(f"/proc/{parent}/comm").read_text() == "slurmstepd\n" else set()
        for pid in there:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def restart_controller(self) -> None:
        pid = int((self.folder / "run" / "slurmctld.pid").read_text())
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not Path(f"/proc/{pid}").exists(), what="the end of the controller")
        subprocess.run(["runuser", "-u", "slurm", "--", "slurmctld", "-f", self.configuration], check=True)
        wait_for(lambda: "UP" in self.ask("scontrol", "ping"), what="the controller")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = Path("/var/lib/evercast-faults")
    made = Cluster(
        folder,
        {
            "CLUSTER_DIR": str(folder), "CLUSTER_NAME": "faults", "CLUSTER_PREFIX": "evf", "CLUSTER_PORT": "17300",
            "CLUSTER_CPU_NODES": "8", "CLUSTER_GPU_NODES": "0", "CLUSTER_CPUS": "1", "CLUSTER_ACCOUNTING": "0",
            "CLUSTER_PATIENCE": "6", "SLURM_CONF": "",
        },
    )  # fmt: skip
    made.manage("start")
    yield made
    made.manage("purge")


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The profile that comes with evercast, without containers and retries, and with quicker questions to SLURM."""
    content = yaml.safe_load((ROOT / "workflow" / "profiles" / "slurm" / "config.yaml").read_text())
    del content["software-deployment-method"]
    content |= {"retries": 0, "slurm-init-seconds-before-status-checks": 2, "latency-wait": 5}
    folder = tmp_path_factory.mktemp("profile")
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return folder


Started = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def start(cluster: Cluster) -> Iterator[Started]:
    """Start a command in a process group of its own, which is killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def begin(*command: str, cwd: Path) -> subprocess.Popen[str]:
        variables = environment(SLURM_CONF=cluster.configuration, OMP_NUM_THREADS="1")
        run = subprocess.Popen(
            command, cwd=cwd, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        started.append(run)
        return run

    yield begin
    for run in started:
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        run.communicate()


def finish(run: subprocess.Popen[str]) -> str:
    words, _ = run.communicate(timeout=400)
    return words


def wait_for(condition: Callable[[], object], *, what: str, seconds: float = 200.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.2)


def run_command(profile: Path, *more: str) -> list[str]:
    return [EVERCAST, "run", "analysis.yaml", "--profile", str(profile), "--json", *ONLY_COMMANDS, *more]


def snakemake_command(profile: Path) -> list[str]:
    words = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--profile", str(profile)]
    return [*words, "--until", "command", "--config", "analysis=analysis.yaml"]


def error_of(words: str) -> dict[str, Any]:
    """The error in the JSON that a command printed; a part of a run ends with run.incomplete."""
    error: dict[str, Any] = json.loads(words[words.index("{") :])["error"]
    return error


def document(folder: Path, stages: Mapping[str, Mapping[str, Any]]) -> RunFolder:
    content = small_body()
    del content["stages"]["events"]["reduce"]
    content["stages"].update({name: {"outputs": {"out": "out.txt"}, **stage} for name, stage in stages.items()})
    write_document(folder, content)
    return RunFolder(folder / "results" / "toy")


def flagged(flags: Path, name: str, then: str) -> str:
    """Words of a stage: `then` the first time, which the flag ``NAME.begun`` notes; afterwards only the result."""
    begun = f"{flags}/{name}.begun"
    return f"echo {name} > {{outputs.out}}; if test ! -e {begun}; then touch {begun}; {then}; fi"


def held(flags: Path, name: str) -> str:
    """Words of a stage that says that it has begun and waits for the flag ``go``."""
    words = f"echo {name} > {{outputs.out}}; touch {flags}/{name}.begun; "
    return words + f"until test -e {flags}/go; do sleep 0.2; done"


def executions(folder: RunFolder) -> dict[str, int]:
    """unit without its key -> how often work on it was begun."""
    locks = folder.work.glob("locks/*-*.lock")
    return {lock.stem.rpartition("-")[0]: len(read_executions(lock)) for lock in locks}


ONCE = {"events-signal": 1, "events-background": 1, "events-observed": 1}


def clean(folder: Path, stages: Mapping[str, Mapping[str, Any]], flags: Path) -> dict[str, dict[str, str]]:
    """The digests of a run of the same document on this machine, in which every flag is there from the start."""
    made = document(folder, stages)
    for name in (*(f"{name}.begun" for name in stages), "go"):
        (flags / name).touch()
    words = [EVERCAST, "run", "analysis.yaml", "--cores", "2", "--json", *ONLY_COMMANDS]
    done = subprocess.run(words, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert error_of(done.stdout)["code"] == "run.incomplete", done.stdout
    for flag in flags.iterdir():
        flag.unlink()
    return receipts(made)


@dataclass
class Disturbed:
    """A run whose jobs meet their fates while other tests go on."""

    folder: Path
    run: subprocess.Popen[str]
    clean: dict[str, dict[str, str]]
    flags: Path

    @property
    def results(self) -> RunFolder:
        return RunFolder(self.folder / "results" / "toy")


@pytest.fixture(scope="module")
def disturbed(
    cluster: Cluster, profile: Path, start: Started, tmp_path_factory: pytest.TempPathFactory
) -> Disturbed:  # fmt: skip
    """A run in which one job passes its time limit, one its memory, one is cancelled, one loses its node, and one is
    started a second time while it still runs."""
    folder, flags = tmp_path_factory.mktemp("disturbed"), tmp_path_factory.mktemp("flags")
    memory = f"{sys.executable} -c 'x = bytearray(700_000_000); x[::4096] = bytes(len(x[::4096]))'"
    stages: dict[str, dict[str, Any]] = {
        "late": {"run": flagged(flags, "late", "sleep 500"), "resources": {"runtime_min": 1}},
        "large": {"run": f"echo large > {{outputs.out}}; {memory}", "resources": {"memory_mb": 500}},
        "dropped": {"run": flagged(flags, "dropped", "sleep 500")},
        "lost": {"run": flagged(flags, "lost", "sleep 500")},
        "twice": {"run": held(flags, "twice")},
    }
    expected = clean(tmp_path_factory.mktemp("clean"), stages, flags)
    document(folder, stages)
    return Disturbed(folder, start(*run_command(profile), cwd=folder), expected, flags)


def test_jobs_begin_and_meet_their_fates(disturbed: Disturbed, cluster: Cluster) -> None:
    for name in ("late", "dropped", "lost", "twice"):
        wait_for((disturbed.flags / f"{name}.begun").exists, what=name)
    job = next(iter(cluster.jobs("_dropped-", states="RUNNING")))
    cluster.ask("scancel", job)
    cluster.kill_node(cluster.node_of("lost"))
    cluster.kill_daemon(cluster.node_of("twice"))
    wait_for(
        lambda: "CANCELLED" in {state for state, _ in cluster.jobs("_dropped-").values()}, what="the cancelled job"
    )


def test_a_killed_run_goes_on_whoever_starts_it_again(
    disturbed: Disturbed, cluster: Cluster, profile: Path, start: Started, tmp_path: Path
) -> None:
    flags = tmp_path / "flags"
    flags.mkdir()
    stages = {"held": {"run": held(flags, "held")}}
    expected = clean(tmp_path / "clean", stages, flags)
    results = document(tmp_path, stages)

    def names() -> list[str]:
        names: list[str] = json.loads(results.current.read_text())["slurm_runs"]
        return names

    def active(name: str) -> str:
        return cluster.ask("squeue", "--noheader", "--name", name)

    first = start(*run_command(profile), cwd=tmp_path)
    wait_for((flags / "held.begun").exists, what="the first copy")
    second = start(*run_command(profile), cwd=tmp_path)
    refused = finish(second)
    assert (second.returncode, error_of(refused)["code"]) == (6, "run.locked")
    assert f"process {first.pid} on " in error_of(refused)["message"]

    cluster.restart_controller()
    wait_for(lambda: "RUNNING" in {state for state, _ in cluster.jobs("_held-").values()}, what="the controller")
    assert first.poll() is None

    (name,) = names()
    os.killpg(first.pid, signal.SIGKILL)
    finish(first)
    assert active(name), "the job goes on without the run"

    (flags / "held.begun").unlink()
    alone = start(*snakemake_command(profile), cwd=tmp_path)
    wait_for((flags / "held.begun").exists, what="the second copy")
    assert not active(name), "the job of the killed run was cancelled"
    (name,) = names()
    os.killpg(alone.pid, signal.SIGKILL)
    finish(alone)
    assert active(name)

    (flags / "held.begun").unlink()
    third = start(*run_command(profile), cwd=tmp_path)
    wait_for((flags / "held.begun").exists, what="the third copy")
    assert not active(name)
    (name,) = names()
    third.send_signal(signal.SIGTERM)
    words = finish(third)
    assert (third.returncode, error_of(words)["code"]) == (1, "run.interrupted")
    assert not active(name), "an interrupted run leaves nothing in SLURM"

    (flags / "go").touch()
    last = start(*snakemake_command(profile), cwd=tmp_path)
    words = finish(last)
    assert last.returncode == 0, words
    assert receipts(results) == expected
    assert executions(results) == ONCE | {"held": 4}
    assert not list(results.work.glob("attempts/*")) + list(results.work.glob("leases/*"))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system for the results."""
    place = tmp_path / "results"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SPACE_MB}m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["chattr", "-R", "-i", str(place)], check=False)
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_and_one_that_turned_read_only(
    disturbed: Disturbed, cluster: Cluster, profile: Path, start: Started, tmp_path: Path, disk: Path
) -> None:
    flags = tmp_path / "flags"
    flags.mkdir()
    large = f"head -c {2 * SPACE_MB}000000 /dev/zero > {{outputs.out}}"
    stages = {"large": {"run": large}, "held": {"run": held(flags, "held")}}
    expected = clean(tmp_path / "clean", stages, flags)
    results = document(tmp_path, stages)

    run = start(*run_command(profile), cwd=tmp_path)
    wait_for((flags / "held.begun").exists, what="the stage")
    wait_for(lambda: list(results.work.glob("errors/command/large-*.json")), what="the full disk")
    wait_for(lambda: not cluster.jobs("_events-", states="RUNNING,PENDING"), what="the end of the other jobs")
    subprocess.run(["chattr", "-R", "+i", str(disk)], check=True)  # what is open for writing keeps a remount from it
    (flags / "go").touch()
    words = finish(run)
    assert run.returncode == 6, words
    assert error_of(words)["code"] in ("disk.full", "disk.read-only")
    status = subprocess.run(
        [EVERCAST, "status", "analysis.yaml", "--json"], cwd=tmp_path, env=environment(), capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    failed = {unit["id"].rpartition("-")[0]: unit for unit in json.loads(status.stdout)["units"] if unit["error"]}
    assert failed["large"]["error"]["code"] == "disk.full"
    assert "held" in failed
    done = receipts(results)

    subprocess.run(["chattr", "-R", "-i", str(disk)], check=True)
    subprocess.run(["mount", "-o", f"remount,size={8 * SPACE_MB}m", str(disk)], check=True)
    again = start(*run_command(profile), cwd=tmp_path)
    words = finish(again)
    assert error_of(words)["code"] == "run.incomplete", words
    assert receipts(results) == expected
    begun = executions(results)
    assert begun["large"] == begun["held"] == 2
    assert {begun[unit.rpartition("-")[0]] for unit in done} <= {1}, "what was finished is not made again"


def test_a_finished_job_that_is_queued_again_computes_nothing(
    cluster: Cluster, profile: Path, start: Started, tmp_path: Path
) -> None:
    """As an operator or a node that comes back may do it, while the run goes on with other jobs."""
    flags = tmp_path / "flags"
    flags.mkdir()
    stages = {"quick": {"run": "echo these words >&2; date +%N > {outputs.out}"}, "held": {"run": held(flags, "held")}}
    results = document(tmp_path, stages)

    def job() -> tuple[str, str]:
        (found,) = cluster.jobs("_quick-").items()
        return found[0], found[1][0]

    run = start(*run_command(profile), cwd=tmp_path)
    wait_for(lambda: cluster.jobs("_quick-") and job()[1] == "COMPLETED", what="the end of the first copy")
    wait_for((flags / "held.begun").exists, what="another job of the run")
    (unit,) = results.work.glob("command/quick-*")
    (log,) = results.work.glob("logs/command/quick-*.log")
    (marker,) = results.work.glob("jobs/command/quick-*.json")
    receipt, said, marked = (unit / "receipt.json").read_bytes(), log.read_text(), marker.stat().st_mtime_ns
    assert "these words" in said

    cluster.ask("scontrol", "requeue", job()[0])
    wait_for(lambda: log.read_text().count("---- 20") == 2, what="the second copy")
    wait_for(lambda: job()[1] == "COMPLETED", what="the end of the second copy")
    assert "Restarts=1" in cluster.ask("scontrol", "show", "job", job()[0])
    assert (unit / "receipt.json").read_bytes() == receipt, "started, ended and digests are those of the first copy"
    assert marker.stat().st_mtime_ns > marked
    assert log.read_text().startswith(said)
    assert log.read_text().endswith("is finished already\n")

    (flags / "go").touch()
    words = finish(run)
    assert error_of(words)["code"] == "run.incomplete", words
    assert (unit / "receipt.json").read_bytes() == receipt
    assert executions(results) == ONCE | {"quick": 1, "held": 1}


def test_what_slurm_ended_is_said_and_made_good(
    disturbed: Disturbed, cluster: Cluster, profile: Path, start: Started
) -> None:
    restarted = lambda: [state for state, _ in cluster.jobs("_twice-").values()] == ["RUNNING"]  # noqa: E731
    job = next(iter(cluster.jobs("_twice-")))
    wait_for(lambda: "Restarts=1" in cluster.ask("scontrol", "show", "job", job), what="the requeued job")
    wait_for(restarted, what="the second copy")
    time.sleep(8)  # long enough for the second copy to come to the unit, which the first one holds
    (disturbed.flags / "go").touch()
    words = finish(disturbed.run)
    assert disturbed.run.returncode in (1, 6), words

    status = subprocess.run(
        [EVERCAST, "status", "analysis.yaml", "--json"], cwd=disturbed.folder, capture_output=True, text=True,
        env=environment(SLURM_CONF=cluster.configuration), check=False,
    )  # fmt: skip
    body = json.loads(status.stdout)
    said = {unit["id"].rpartition("-")[0]: unit["error"]["code"] for unit in body["units"] if unit["error"]}
    assert said.pop("large") in ("stage.out-of-memory", "slurm.out-of-memory")
    assert said == {"late": "slurm.time-limit", "dropped": "slurm.cancelled"}
    first = error_of(words)
    assert first["code"] in (*said.values(), "stage.out-of-memory", "slurm.out-of-memory")
    assert first["exit_code"] == disturbed.run.returncode
    done = {unit["id"].rpartition("-")[0] for unit in body["units"] if unit["state"] == "done"}
    assert done >= {"twice", "lost", *ONCE}

    again = start(*run_command(profile, "--set-resources", "command:mem_mb=1500"), cwd=disturbed.folder)
    words = finish(again)
    assert error_of(words)["code"] == "run.incomplete", words
    assert receipts(disturbed.results) == disturbed.clean
    expected = {"late": 2, "large": 2, "dropped": 2, "lost": 2, "twice": 1}
    assert executions(disturbed.results) == ONCE | expected
    shutil.rmtree(disturbed.folder)
