"""A likelihood fitted by 1, 2 and 4 processes: the same fit, what each process computes, and what memory each needs.

    python benchmarks/distributed.py --events 200000 --parameters 25

Every process is one thread on the loopback. Results must agree before anything is printed. On a machine with fewer
cores than processes the wall time says little: the CPU time of the busiest process is what remains of the work when
each has a core. Memory is the data segment at the end (``VmData`` grows with what a process makes, not with files that
it maps). With ``--value`` -2 ln L is computed once instead of a fit, to look at memory. With ``--limit MB`` each
process may have a data segment of that size and no more, by ``prlimit --data``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evercast.artifacts.files import sha256_file
from evercast.artifacts.likelihood_file import LIKELIHOOD_FILE, write_likelihood
from evercast.artifacts.likelihood_folder import Index, IndexEntry, write_index
from evercast.artifacts.likelihood_source import LikelihoodSource
from evercast.cli import distributed
from evercast.cli import main as command_line
from evercast.likelihood.model import (
    AnchorMorph,
    Component,
    EventSet,
    LikelihoodModel,
    ParameterModel,
    UnbinnedChannelModel,
)

PROCESSES = ("S", "B", "C", "D")


def model(count: int, parameters: int) -> LikelihoodModel:
    rng = np.random.default_rng(1)
    n_anchors = parameters * len(PROCESSES)

    def events(length: int) -> EventSet:
        columns = [(0.5, len(PROCESSES)), (0.02, n_anchors), (0.02, n_anchors)]
        ratio, up, down = (rng.normal(0.0, scale, (length, width)).astype(np.float32) for scale, width in columns)
        return EventSet(log_ratio=ratio, weight=np.ones(length), log_up=up, log_down=down)

    names = [f"a{k}" for k in range(parameters)]
    channel = UnbinnedChannelModel(
        name="SR",
        components=tuple(
            Component(process=name, coefficient="mu" if name == "S" else "1", yield_events=count / len(PROCESSES))
            for name in PROCESSES
        ),
        anchors=tuple(AnchorMorph(process=process, parameter=name) for process in PROCESSES for name in names),
        events=events(count),
        reference=events(max(count // 4, 1000)),
    )
    poi = ParameterModel(name="mu", initial=1.0, bounds=(0.0, 10.0), poi=True)
    others = tuple(ParameterModel(name=name, bounds=(-5.0, 5.0), constraint="normal") for name in names)
    return LikelihoodModel(name="benchmark", parameters=(poi, *others), channels=(channel,))


@dataclass(frozen=True)
class Turn:
    """What some processes needed."""

    wall: float
    cpu: list[float]
    memory_mb: list[float]
    result: dict[str, object] | None
    said: str


def write(folder: Path, made: LikelihoodModel) -> None:
    """Write a likelihood and the index that says what its file must be, as a run does."""
    write_likelihood(folder, made)
    entry = IndexEntry(kind="folder", path=".", sha256=sha256_file(folder / LIKELIHOOD_FILE))
    index = {made.name: entry}
    write_index(folder, Index(schema="likelihood-index/1.0.0", analysis=made.name, run_id="0" * 16, likelihoods=index))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(folder: Path, count: int, limit_mb: int | None, what: str) -> Turn:
    port, start = free_port(), time.perf_counter()
    limit = [] if limit_mb is None else ["prlimit", f"--data={limit_mb << 20}"]
    place = ["--distributed", "--coordinator", f"127.0.0.1:{port}", "--processes", str(count)]
    processes = [
        subprocess.Popen(
            [*limit, sys.executable, __file__, what, str(folder), *place, "--process", str(number)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"JAX_PLATFORMS": "cpu", "NPROC": "1", "OMP_NUM_THREADS": "1"},
        )
        for number in range(count)
    ]
    told = [process.communicate() for process in processes]
    wall = time.perf_counter() - start
    said = "".join(err for _, err in told)
    if any(process.returncode for process in processes):
        return Turn(wall, [], [], None, said)
    needs = [line.split() for line in said.splitlines() if line.startswith("NEEDED ")]
    return Turn(
        wall, [float(words[1]) for words in needs], [float(words[2]) for words in needs], json.loads(told[0][0]), said
    )


def one(what: str, arguments: list[str]) -> None:
    """Run ``evercast fit``, or compute one value, in this process and tell what it needed, before it leaves."""
    leave = distributed._leave

    def tell_and_leave(code: int) -> None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
        print(
            f"NEEDED {used.ru_utime + used.ru_stime:.2f} {int(status['VmData'].split()[0]) / 1024:.0f}", file=sys.stderr
        )
        leave(code)

    distributed._leave = tell_and_leave
    if what == "--one-value":
        folder, _, _, coordinator, _, count, _, number = arguments
        place = distributed.Together(
            distributed=True, coordinator=coordinator, processes=int(count), process=int(number), limit=600
        )
        source = LikelihoodSource(path=Path(folder))
        with distributed.opened(place, source, observed=True, unblind=False, as_json=True) as likelihood:
            print(json.dumps({"twice_nll": likelihood.twice_nll(likelihood.initial)}))
        return
    sys.exit(command_line(["fit", *arguments, "--json", "--process-timeout", "600"]))


def main() -> None:
    if sys.argv[1:2] in (["--one"], ["--one-value"]):
        one(sys.argv[1], sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--parameters", type=int, default=25)
    parser.add_argument("--value", action="store_true", help="-2 ln L once instead of a fit")
    parser.add_argument("--limit", type=int, metavar="MB", help="largest data segment of a process")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, model(arguments.events, arguments.parameters))
        size = (folder / "events.safetensors").stat().st_size / 1e6
        print(f"{arguments.events} events, {arguments.parameters} nuisance parameters, a store of {size:.0f} MB")
        what = "--one-value" if arguments.value else "--one"
        turns = {count: run(folder, count, arguments.limit, what) for count in arguments.processes}
    values = {count: turn.result["twice_nll"] for count, turn in turns.items() if turn.result}
    first = next(iter(values.values()), None)
    if first is None:
        raise SystemExit(next(iter(turns.values())).said)
    largest = max(abs(value - first) / abs(first) for value in values.values())
    if largest > 1e-10:
        raise SystemExit(f"-2 ln L differs by {largest:.1e} relative: not the same fit, so no times")
    print(f"-2 ln L agrees to {largest:.1e} relative")
    print(f"{'processes':>9s} {'wall s':>8s} {'CPU s, busiest':>15s} {'data MB, largest':>17s}")
    for count, turn in turns.items():
        if turn.result is None:
            reason = [line for line in turn.said.splitlines() if "error" in line.lower()] or turn.said.splitlines()[-1:]
            print(f"{count:9d} failed: {reason[0][:100]}")
        else:
            print(f"{count:9d} {turn.wall:8.1f} {max(turn.cpu):15.1f} {max(turn.memory_mb):17.0f}")


if __name__ == "__main__":
    main()
