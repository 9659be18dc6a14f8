"""``evercast fit --distributed`` as several processes of this machine: the same fit, one voice, and no hanging."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from evercast.artifacts.likelihood_file import EVENTS_FILE
from evercast.likelihood.model import (
    AnchorMorph,
    Component,
    EventSet,
    LikelihoodModel,
    ParameterModel,
    UnbinnedChannelModel,
)
from indexed_likelihood import write_indexed

EVERCAST = [sys.executable, "-m", "evercast"]


def events(rng: np.random.Generator, count: int) -> EventSet:
    columns = [
        rng.normal(0.0, scale, (count, width)).astype(np.float32) for scale, width in ((0.7, 2), (0.1, 2), (0.1, 2))
    ]
    return EventSet(log_ratio=columns[0], weight=np.ones(count), log_up=columns[1], log_down=columns[2])


def model(count: int = 2503) -> LikelihoodModel:
    rng = np.random.default_rng(3)
    channel = UnbinnedChannelModel(
        name="SR",
        components=(
            Component(process="S", coefficient="mu", yield_events=500.0),
            Component(process="B", coefficient="1", yield_events=float(count - 500)),
        ),
        anchors=(AnchorMorph(process="S", parameter="a"), AnchorMorph(process="B", parameter="a")),
        events=events(rng, count),
        reference=events(rng, 1001),
    )
    parameters = (
        ParameterModel(name="mu", initial=1.0, bounds=(0.0, 10.0), poi=True),
        ParameterModel(name="a", bounds=(-5.0, 5.0), constraint="normal"),
    )
    return LikelihoodModel(name="spread", parameters=parameters, channels=(channel,))


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    folder = tmp_path / "stored"
    folder.mkdir()
    write_indexed(folder, model())
    return folder


def two_free_ports() -> int:
    """Return the first of two neighbouring ports that are free now."""
    while True:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            try:
                other.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def start(stored: Path, port: int, number: int, *, count: int, options: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    where = ["--coordinator", f"127.0.0.1:{port}", "--processes", str(count), "--process", str(number)]
    return subprocess.Popen(
        [*EVERCAST, "fit", str(stored), "--json", "--distributed", *where, *options],
        env=os.environ | {"JAX_PLATFORMS": "cpu", "NPROC": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def ended(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    told = [process.communicate(timeout=400) for process in processes]
    return [(process.returncode, *words) for process, words in zip(processes, told, strict=True)]


def test_four_processes_fit_as_one_and_one_of_them_speaks(stored: Path) -> None:
    alone = subprocess.run([*EVERCAST, "fit", str(stored), "--json"], capture_output=True, text=True, check=True)
    port = two_free_ports()
    found = ended([start(stored, port, number, count=4) for number in range(4)])
    assert [code for code, _, _ in found] == [0, 0, 0, 0], found
    assert [out for _, out, _ in found[1:]] == ["", "", ""]
    together, expected = json.loads(found[0][1]), json.loads(alone.stdout)
    assert together["twice_nll"] == pytest.approx(expected["twice_nll"], rel=1e-10)
    for one, other in zip(*(fit["parameters"].values() for fit in (together, expected)), strict=True):
        assert one["value"] == pytest.approx(other["value"], abs=1e-5 * other["uncertainty"])
        assert one["uncertainty"] == pytest.approx(other["uncertainty"], rel=1e-5)


def test_a_process_that_is_killed_ends_all_others_at_once(tmp_path: Path) -> None:
    """A large store keeps them busy; the limit of silence is longer than this test may take."""
    folder = tmp_path / "large"
    folder.mkdir()
    write_indexed(folder, model(400_000))
    port = two_free_ports()
    processes = [start(folder, port, number, count=3, options=("--process-timeout", "300")) for number in range(3)]
    others = tmp_path / "connected"
    while not _connections(port + 1) >= 2:
        time.sleep(0.05)
        assert all(process.poll() is None for process in processes), others
    processes[1].send_signal(signal.SIGKILL)
    codes = ended(processes)
    assert codes[1][0] == -signal.SIGKILL
    for code, _, err in (codes[0], codes[2]):
        assert code == 1, err
        assert "error[distributed.lost]" in err
    assert "process 1 of 3 ended before the others" in codes[0][2] + codes[2][2]


def _connections(port: int) -> int:
    """Return how many established connections of this machine end at a port."""
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return sum(line[1].endswith(f":{port:04X}") and line[3] == "01" for line in lines)


def test_an_error_of_one_process_is_told_by_all(stored: Path) -> None:
    """The rows of the last process hold a number that is not finite."""
    content = bytearray((stored / EVENTS_FILE).read_bytes())
    length = int.from_bytes(content[:8], "little")
    first, last = json.loads(content[8 : 8 + length])["SR.observed.log_ratio"]["data_offsets"]
    content[8 + length + last - 4 : 8 + length + last] = np.float32(np.nan).tobytes()
    assert last - first == 2503 * 2 * 4
    (stored / EVENTS_FILE).write_bytes(content)
    port = two_free_ports()
    found = ended([start(stored, port, number, count=2) for number in range(2)])
    assert all(code != 0 for code, _, _ in found)
    assert any("NaN or infinite" in err or "not finite" in err for _, _, err in found)


def test_a_process_that_does_not_come_is_named(stored: Path) -> None:
    found = ended([start(stored, two_free_ports(), 0, count=2, options=("--process-timeout", "5"))])
    code, out, err = found[0]
    assert code == 6
    assert json.loads(out)["error"]["code"] == "distributed.incomplete"
    assert "of 2 processes did not come within 5 s: 1" in json.loads(out)["error"]["message"], err


@pytest.mark.parametrize("which", [0, 1])
def test_a_port_that_is_taken_is_named_with_what_to_do(stored: Path, which: int) -> None:
    port = two_free_ports()
    with socket.create_server(("127.0.0.1", port + which)):
        found = ended([start(stored, port, 0, count=2, options=("--process-timeout", "5"))])
    code, out, _ = found[0]
    error = json.loads(out)["error"]
    assert (code, error["code"]) == (6, "distributed.port")
    assert f"127.0.0.1:{port + which}" in error["message"]
    assert "--coordinator" in error["hint"]
    assert "the next port" in error["hint"]


@pytest.mark.slow
def test_a_process_that_is_slower_by_half_a_minute_is_waited_for() -> None:
    """The library that connects the processes at their first reduction gives up after 30 s."""
    program = """
import sys, time
import numpy as np
from evercast.cli.distributed import Together, joined
from evercast.likelihood.evaluate import Likelihood
from test_distributed_fit import model
number = int(sys.argv[2])
place = Together(
    distributed=True, coordinator=f"127.0.0.1:{sys.argv[1]}", processes=2, process=number, limit=120
)
with joined(place, as_json=False) as make_source:
    time.sleep(35 * number)
    print(Likelihood(model(), make_source=make_source).twice_nll(np.array([1.0, 0.0])))
"""
    port = two_free_ports()
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(port), str(number)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": path},
        )
        for number in range(2)
    ]  # fmt: skip
    found = ended(processes)
    assert [code for code, _, _ in found] == [0, 0], found
    assert np.isfinite(float(found[0][1]))
    assert [err for _, _, err in found] == ["", ""]


def test_rows_that_do_not_fit_end_the_process_with_what_to_do() -> None:
    program = """
import sys
import numpy as np
from evercast.cli.distributed import Together, joined
place = Together(distributed=True, coordinator=f"127.0.0.1:{sys.argv[1]}", processes=1, process=0, limit=60)
with joined(place, as_json=True):
    np.ones(1 << 58)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(two_free_ports())], capture_output=True, text=True, check=False,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert done.returncode == 6, done.stderr
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "distributed.memory"
    assert "use more processes" in error["hint"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--distributed"], "this is no step of a SLURM job"),
        (["--processes", "2"], "need --distributed"),
        (["--distributed", "--processes", "2"], "go together"),
        (["--distributed", "--coordinator", "here:x", "--processes", "2", "--process", "0"], "go together"),
        (["--distributed", "--coordinator", "h:1", "--processes", "2", "--process", "2"], "expected 0 to 1"),
    ],
)
def test_options_that_do_not_go_together_are_refused(stored: Path, options: list[str], message: str) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")}
    done = subprocess.run(
        [*EVERCAST, "fit", str(stored), *options], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 2
    assert message in done.stderr
