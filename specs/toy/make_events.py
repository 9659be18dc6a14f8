"""Events of the toy analysis: two observables, Gaussian signal and background, densities known in closed form.

    background  N(0, 1) x N(0, 1)                    1000 expected events
    signal      N(1.5, 0.8) x N(1.0, 0.8)             100 expected events
    observed    a Poisson number of both, signal strength 1

Every kind has its own fixed seed, so the files are the same on every machine.

    python make_events.py events --kind signal --output signal.csv
    python make_events.py summary signal.csv background.csv --output summary.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

YIELDS = {"signal": 100.0, "background": 1000.0}
MEANS = {"signal": (1.5, 1.0), "background": (0.0, 0.0)}
WIDTHS = {"signal": (0.8, 0.8), "background": (1.0, 1.0)}
SIMULATED_EVENTS = 6000
SEEDS = {"signal": 101, "background": 102, "observed": 110}


def draw(kind: str, *, events: int, generator: np.random.Generator) -> np.ndarray:
    """Return `events` events of one kind, (events, 2)."""
    return generator.normal(MEANS[kind], WIDTHS[kind], size=(events, 2))


def events_of(kind: str) -> np.ndarray:
    """Return the events of a sample, (events, 2)."""
    generator = np.random.default_rng(SEEDS[kind])
    if kind != "observed":
        return draw(kind, events=SIMULATED_EVENTS, generator=generator)
    parts = [draw(part, events=generator.poisson(mean), generator=generator) for part, mean in YIELDS.items()]
    return generator.permutation(np.concatenate(parts))


def write_events(kind: str, output: Path) -> None:
    """Write one sample as CSV with the columns x_reco and y_reco."""
    rows = (f"{x!r},{y!r}\n" for x, y in events_of(kind).tolist())
    output.write_text("x_reco,y_reco\n" + "".join(rows))


def write_summary(files: list[Path], output: Path) -> None:
    """Write how many events each file has."""
    counts = [len(path.read_text().splitlines()) - 1 for path in files]
    output.write_text(json.dumps({"files": len(files), "events": counts}) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    events = commands.add_parser("events")
    events.add_argument("--kind", choices=sorted(SEEDS), required=True)
    events.add_argument("--output", type=Path, required=True)
    summary = commands.add_parser("summary")
    summary.add_argument("files", type=Path, nargs="+")
    summary.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.command == "events":
        write_events(arguments.kind, arguments.output)
    else:
        write_summary(arguments.files, arguments.output)


if __name__ == "__main__":
    main()
