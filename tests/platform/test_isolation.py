"""What a stage can do to the machine from its container: real Apptainer, and a stage that tries."""

from __future__ import annotations

import http.server
import os
import secrets
import shutil
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile_stages import HostileRun, processes_with, small_image, stage, wait_for

from evercast.artifacts.files import sha256_file
from evercast.errors import EnvironmentUnfit, EvercastError, IntegrityError, RunFailed
from evercast.runtime.containers import Container, record_of
from evercast.runtime.execute import execute_unit
from evercast.runtime.image_choice import container_of
from evercast.runtime.inputs import resolve_inputs
from evercast.runtime.receipts import read_receipt
from evercast.runtime.settings import ImageFile, RunSettings, write_settings
from evercast.runtime.site import Bind, Credential, Site
from workflow_documents import ROOT, environment

pytestmark = pytest.mark.container


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small image, built for real."""
    return small_image(tmp_path_factory.mktemp("image"))


@pytest.fixture
def server() -> Iterator[int]:
    """The port of a server on this machine that any program of it can reach."""
    with socketserver.TCPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield listening.server_address[1]
        listening.shutdown()
        thread.join()


def test_there_is_no_network(tmp_path: Path, image: Path, server: int) -> None:
    reach = f"if nc -w 2 127.0.0.1 {server} < /dev/null; then echo reached; else echo no; fi > {{outputs.out}}"
    run = HostileRun(tmp_path, image, {
        "look": stage("ip -o link | grep -c . > {outputs.out}; ip -o link | grep -q ' lo:'"),
        "host": stage(reach),
        "world": stage("nc -w 2 192.0.2.1 80 < /dev/null; echo reached > {outputs.out}"),
    })  # fmt: skip
    assert run.output("look") == "1\n"
    assert run.output("host") == "no\n"
    with pytest.raises(EnvironmentUnfit, match="wanted the network") as caught:
        run.run("world")
    assert (caught.value.code, caught.value.exit_code) == ("container.no-network", 6)


def test_a_stage_that_wants_the_network_and_goes_on_without_is_counted(tmp_path: Path, image: Path) -> None:
    run = HostileRun(tmp_path, image, {
        "quiet": stage("echo x > {outputs.out}"),
        "loud": stage("for i in 1 2 3; do nc -w 2 192.0.2.1 80 < /dev/null || true; done; echo x > {outputs.out}"),
    })  # fmt: skip
    attempts = {}
    for name in ("quiet", "loud"):
        run.run(name)
        record = read_receipt(run.frozen.folder.receipt(run.unit(name))).container
        assert record is not None
        attempts[name] = record.network_attempts
    assert attempts == {"quiet": 0, "loud": 3}


def test_the_host_is_not_there(tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "key").write_text("secret")
    monkeypatch.setenv("HOME", str(home))
    mark = secrets.token_hex(8)
    (tmp_path / "analysis").mkdir()
    (tmp_path / "analysis" / "private.txt").write_text(mark)
    looks = {
        "home": 'ls -A "$HOME" | wc -l',
        "key": f"cat '{home}/key' 2>/dev/null || echo none",
        "shadow": "cat /etc/shadow 2>/dev/null || echo none",
        "document": f"cat '{tmp_path}/analysis/private.txt' 2>/dev/null || echo none",
        "run": f"ls -A '{tmp_path}/results/work' | tr '\\n' ' '",
        "processes": "ps | grep -c -v -e PID -e grep",
        "temporary": "ls -A /tmp | grep -v -c -x -F '" + str(tmp_path).split("/")[2] + "' || true",
    }
    stages = {name: stage(f"({line}) > {{outputs.out}}") for name, line in looks.items()}
    run = HostileRun(tmp_path, image, stages)
    seen = {name: run.output(name).strip() for name in looks}
    assert seen["home"] == "0"
    assert (seen["key"], seen["shadow"], seen["document"]) == ("none", "none", "none")
    assert seen["run"] == "attempts"
    assert int(seen["processes"]) < 8
    assert seen["temporary"] == "0"


def test_other_units_are_not_there_and_inputs_cannot_be_written(tmp_path: Path, image: Path) -> None:
    script = (
        "if cat {matrix.other}; then echo seen; else echo hidden; fi > {outputs.out}; "
        "if echo x > {inputs.x}; then echo written; else echo kept; fi >> {outputs.out}; "
        "if rm {inputs.x}; then echo removed; else echo kept; fi >> {outputs.out}; "
        "if mv {inputs.x} {inputs.x}.old; then echo moved; else echo kept; fi >> {outputs.out}"
    )
    first = stage("echo one > {outputs.out}")
    probe = HostileRun(tmp_path, image, {"first": first, "other": stage("echo secret > {outputs.out}")})
    other = probe.run("other") / "out.txt"
    second = stage(script.replace("{matrix.other}", f"'{other}'"), inputs={"x": "stage:first.out"})
    run = HostileRun(tmp_path, image, {"first": first, "other": stage("echo secret > {outputs.out}"), "second": second})
    run.run("first")
    assert run.output("second") == "hidden\nkept\nkept\nkept\n"
    assert other.read_text() == "secret\n"
    assert resolve_inputs(run.frozen, run.unit("second"))["x"].read_text() == "one\n"


def test_nothing_of_the_environment_of_the_host_is_inside(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = HostileRun(tmp_path, image, {"look": stage("env > {outputs.out}; ls / > /dev/null; test ! -e /hostetc")})
    for name in ("APPTAINERENV_EVIL", "SINGULARITYENV_EVIL", "PYTHONPATH", "http_proxy", "TOKEN", "BASH_ENV", "ENV"):
        monkeypatch.setenv(name, "/canary")
    for name in ("APPTAINER_BIND", "SINGULARITY_BIND", "APPTAINER_BINDPATH"):
        monkeypatch.setenv(name, "/etc:/hostetc")
    monkeypatch.setenv("LD_PRELOAD", "libm.so.6")
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    seen = dict(line.partition("=")[::2] for line in run.output("look").splitlines() if "=" in line)
    assert not [name for name, value in seen.items() if "canary" in value or "hostetc" in value]
    assert not {"LD_PRELOAD", "PYTHONPATH", "http_proxy", "TOKEN"} & seen.keys()
    assert seen["HOME"] == "/home/evercast"
    assert (seen["OMP_NUM_THREADS"], seen["SLURM_JOB_ID"], seen["LANG"]) == ("1", "4711", "C.UTF-8")


def test_a_stage_writes_its_output_only(tmp_path: Path, image: Path) -> None:
    places = f"/x /usr/x '{tmp_path}/x' '{tmp_path}/analysis/x' '{tmp_path}/results/work/current.json'"
    line = f"for place in {places}; do (echo x > $place) 2>/dev/null && echo $place; done > {{outputs.out}}"
    line += "; echo end >> {outputs.out}"
    run = HostileRun(tmp_path, image, {"write": stage(line)})
    run.run("write")
    assert not (tmp_path / "x").exists()
    assert not (tmp_path / "analysis" / "x").exists()
    assert not (tmp_path / "results" / "work" / "current.json").exists()
    assert not Path("/usr/x").exists()
    assert run.left() == []


@pytest.mark.parametrize("place", ["/tmp", "/var/tmp", "/dev/shm", "$HOME"])  # noqa: S108 - of the container
def test_what_is_private_may_not_grow_without_end(tmp_path: Path, image: Path, place: str) -> None:
    run = HostileRun(tmp_path, image, {
        "fill": stage(f"dd if=/dev/zero of={place}/x bs=1M count=60 2>/dev/null; sleep 60; echo x > {{outputs.out}}"),
        "good": stage("echo x > {outputs.out}"),
    })  # fmt: skip
    run.limit(temporary_mb=16)
    with pytest.raises(EnvironmentUnfit, match="may hold 16 MB") as caught:
        run.run("fill")
    assert (caught.value.code, caught.value.exit_code) == ("container.temporary", 6)
    assert run.left() == []
    assert run.output("good") == "x\n"


def test_ten_thousand_processes_end_inside(tmp_path: Path, image: Path) -> None:
    seconds = str(86_400 + secrets.randbelow(10_000_000))
    run = HostileRun(tmp_path, image, {
        "bomb": stage(f"for i in $(seq 10000); do sleep {seconds} & done; wait; echo x > {{outputs.out}}"),
        "good": stage("echo x > {outputs.out}"),
    })  # fmt: skip
    run.limit(processes=64)
    with pytest.raises(EnvironmentUnfit, match="a container may have 64") as caught:
        run.run("bomb")
    assert (caught.value.code, caught.value.exit_code) == ("container.processes", 6)
    assert processes_with(f"sleep\0{seconds}") == []
    assert run.output("good") == "x\n"


def test_a_gigabyte_of_output_does_not_fill_the_log(tmp_path: Path, image: Path) -> None:
    run = HostileRun(tmp_path, image, {"loud": stage("head -c 1000000000 /dev/zero; echo x > {outputs.out}")})
    program = str(Path(sys.executable).parent / "evercast")
    line = [program, "stage", "command", "--plan", str(run.frozen.file), "--unit", run.unit("loud").id]
    log = tmp_path / "log"
    with log.open("wb") as stream:
        subprocess.run(line, env=environment(), stderr=stream, check=True)
    assert log.stat().st_size < 10_100_000
    assert b"990000000 more bytes of output are not kept" in log.read_bytes()[-10_000:]


def test_nothing_of_a_stage_lives_on_after_it(tmp_path: Path, image: Path) -> None:
    seconds = str(86_400 + secrets.randbelow(10_000_000))
    run = HostileRun(tmp_path, image, {"leave": stage(f"sleep {seconds} & echo x > {{outputs.out}}")})
    assert run.output("leave") == "x\n"
    assert processes_with(f"sleep\0{seconds}") == []
    assert run.left() == []


def test_nothing_of_a_stage_lives_on_after_kill_9_of_its_job(tmp_path: Path, image: Path) -> None:
    seconds = str(86_400 + secrets.randbelow(10_000_000))
    run = HostileRun(tmp_path, image, {"long": stage(f"sleep {seconds}; echo x > {{outputs.out}}")})
    program = str(Path(sys.executable).parent / "evercast")
    line = [program, "stage", "command", "--plan", str(run.frozen.file), "--unit", run.unit("long").id]
    job = subprocess.Popen(line, env=environment(), stderr=subprocess.DEVNULL)
    wait_for(lambda: processes_with(f"sleep\0{seconds}"))
    job.kill()
    job.wait()
    wait_for(lambda: not processes_with(f"sleep\0{seconds}"))
    assert not run.frozen.folder.unit(run.unit("long")).exists()


def test_a_command_that_says_it_is_done_and_is_not(tmp_path: Path, image: Path) -> None:
    run = HostileRun(
        tmp_path, image, {"absent": stage("exit 0"), "link": stage("busybox ln -s /etc/passwd {outputs.out}")}
    )
    for name, code in (("absent", "stage.output-missing"), ("link", "stage.output-link")):
        with pytest.raises(RunFailed) as caught:
            run.run(name)
        assert caught.value.code == code


def test_an_image_that_changed_after_the_run_began_is_refused(tmp_path: Path, image: Path) -> None:
    run = HostileRun(tmp_path, image, {"hello": stage("echo x > {outputs.out}")})
    times = run.image.stat()
    content = bytearray(run.image.read_bytes())
    content[len(content) // 2] ^= 1
    run.image.write_bytes(content)
    os.utime(run.image, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(IntegrityError) as caught:
        run.run("hello")
    assert (caught.value.code, caught.value.exit_code) == ("plan.file-changed", 5)


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_what_is_no_image_is_refused_before_it_is_run(tmp_path: Path, image: Path, content: bytes | None) -> None:
    broken = tmp_path / "broken.sif"
    broken.write_bytes(image.read_bytes()[:9000] if content is None else content)
    run = HostileRun(tmp_path, broken, {"hello": stage("echo x > {outputs.out}")})
    with pytest.raises(EvercastError) as caught:
        run.run("hello")
    assert caught.value.exit_code == 6


def test_the_receipt_tells_of_the_container(tmp_path: Path, image: Path) -> None:
    run = HostileRun(tmp_path, image, {"hello": stage("echo x > {outputs.out}")})
    run.run("hello")
    receipt = read_receipt(run.frozen.folder.receipt(run.unit("hello")))
    assert receipt.container is not None
    assert receipt.container.image == "small.sif"
    assert receipt.container.sha256 == run.frozen.plan.files["small.sif"]
    assert receipt.container.apptainer.startswith("1.")
    assert "--containall" in receipt.container.flags
    assert "--nv" not in receipt.container.flags


def test_deep_inputs_and_odd_paths_work(tmp_path: Path, image: Path) -> None:
    odd = tmp_path / 'a b,c:d"e'
    odd.mkdir()
    (tmp_path / "link").symlink_to(odd)
    stages = {
        "first": {"run": "echo deep > {outputs.out}", "outputs": {"out": "one/two/three.txt"}},
        "second": stage("cat {inputs.x} > {outputs.out}; cat {inputs.y} | wc -l >> {outputs.out}",
                        inputs={"x": "stage:first.out", "y": "make_events.py"}),
    }  # fmt: skip
    run = HostileRun(odd, image, stages, results=tmp_path / "link" / "results")
    run.run("first")
    lines = run.output("second").splitlines()
    assert lines[0] == "deep"
    assert int(lines[1]) > 50


def test_a_unit_with_very_many_inputs(tmp_path: Path, image: Path) -> None:
    many = {"run": "echo {matrix.k} > {outputs.out}", "outputs": {"out": "o.txt"}, "matrix": {"k": list(range(66))},
            "container": None}  # fmt: skip
    inputs = {f"x{k}": f"stage:many[k={k}].out" for k in range(66)}
    words = " ".join(f"{{inputs.x{k}}}" for k in range(66))
    run = HostileRun(
        tmp_path, image, {"many": many, "sum": stage(f"cat {words} | wc -l > {{outputs.out}}", inputs=inputs)}
    )
    for unit in run.frozen.plan.units:
        if unit.name.startswith("many-"):
            execute_unit(run.frozen, unit)
    assert run.output("sum") == "66\n"


def test_a_user_who_may_make_no_namespace_is_told() -> None:
    question = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r})\n"
        "from evercast.errors import EvercastError\nfrom evercast.runtime.apptainer import find_runtime\n"
        "try:\n    find_runtime()\nexcept EvercastError as err:\n    print(err.exit_code, err.code)\n"
    )
    unprivileged = ["unshare", "--user", "--map-user=1000", "--keep-caps", "sh", "-c"]
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces; exec /usr/bin/python3 -c "$1"'
    line = [*unprivileged, forbid, "sh", question]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.stdout == "6 container.no-namespaces\n", done.stderr


def test_a_site_binds_what_it_allows_and_names_credentials_by_path(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, proxy = tmp_path / "shared", tmp_path / "proxy.pem"
    shared.mkdir()
    (shared / "data").write_text("common\n")
    proxy.write_text("ticket\n")
    monkeypatch.setenv("X509_USER_PROXY", str(proxy))
    look = f"cat '{shared}/data' \"$X509_USER_PROXY\" > {{outputs.out}}; "
    look += f"if echo x > '{shared}/data'; then echo written; fi >> {{outputs.out}}"
    run = HostileRun(tmp_path, image, {"look": stage(look)})
    absent = Bind(path=str(tmp_path / "absent"), needed=False)
    site = Site(binds=(Bind(path=str(shared)), absent), credentials=(Credential(variable="X509_USER_PROXY"),))
    write_settings(RunSettings(plan=run.frozen.plan.digest, site=site), folder=run.frozen.folder)
    assert run.output("look") == "common\nticket\n"
    run = HostileRun(tmp_path, image, {"other": stage(look + "; true")})
    write_settings(RunSettings(site=Site(binds=(Bind(path=absent.path),))), folder=run.frozen.folder)
    with pytest.raises(EnvironmentUnfit) as caught:
        run.run("other")
    assert caught.value.code == "container.bind"
    shutil.rmtree(shared)


def test_a_job_with_gpus_gets_the_image_for_them_and_the_driver(tmp_path: Path, image: Path) -> None:
    run = HostileRun(tmp_path, image, {})
    unit = next(unit for unit in run.frozen.plan.units if unit.stage == "selection")
    found = ImageFile(file=str(run.image), sha256=sha256_file(run.image))

    def container(settings: RunSettings, *, gpus: int) -> Container | None:
        return container_of(run.frozen, unit, settings=settings, inputs={}, threads=1, gpus=gpus)

    both = RunSettings(containers=True, images={"evercast": found, "evercast-gpu": found})
    chosen = [container(both, gpus=0), container(both, gpus=2)]
    assert [item and item.name for item in chosen] == ["evercast", "evercast-gpu"]
    assert [item and "--nv" in record_of(item).flags for item in chosen] == [False, True]
    declared = container(RunSettings(containers=True, images={"tools": found}, environment="tools"), gpus=1)
    assert declared is not None
    assert declared.name == "tools"
    assert container(RunSettings(images={"evercast": found}), gpus=0) is None
    with pytest.raises(EnvironmentUnfit, match="no image 'evercast-gpu'"):
        container(RunSettings(containers=True, images={"evercast": found}), gpus=1)


def test_an_image_of_the_run_that_changed_meanwhile_is_refused(tmp_path: Path, image: Path) -> None:
    run = HostileRun(tmp_path, image, {})
    unit = next(unit for unit in run.frozen.plan.units if unit.stage == "selection")
    began = RunSettings(containers=True, images={"evercast": ImageFile(file=str(run.image), sha256=64 * "0")})
    with pytest.raises(IntegrityError) as caught:
        container_of(run.frozen, unit, settings=began, inputs={}, threads=1, gpus=0)
    assert (caught.value.code, caught.value.exit_code) == ("image.digest", 5)
    run.image.unlink()
    with pytest.raises(EnvironmentUnfit) as gone:
        container_of(run.frozen, unit, settings=began, inputs={}, threads=1, gpus=0)
    assert gone.value.code == "image.missing"
