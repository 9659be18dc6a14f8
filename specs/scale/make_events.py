"""Events of the scale analysis: one signal and backgrounds of two jets and a flavour score, all drawn here.

    background k  score N(-1 + 0.1 k, 1), transverse momenta of mean 60 + k GeV
    signal        score N(1.5, 0.8), transverse momenta of mean 90 GeV
    observed      a Poisson number of all of them, signal strength 1

Every kind has its own fixed seed, so the files are the same on every machine; they are in the public domain (CC0-1.0).

    python make_events.py --events 400 signal=signal.csv background_01=background_01.csv observed=observed.csv
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

COLUMNS = "pt1,pt2,eta1,eta2,phi1,phi2,m1,m2,flavour"
BACKGROUNDS = 19
YIELDS = {"signal": 60.0} | {f"background_{k:02d}": 1200.0 / k for k in range(1, BACKGROUNDS + 1)}


def draw(kind: str, *, events: int, generator: np.random.Generator) -> np.ndarray:
    """Return `events` events of one process, (events, columns); momenta and masses in GeV."""
    number = 0 if kind == "signal" else int(kind.rpartition("_")[2])
    momentum = 90.0 if kind == "signal" else 60.0 + number
    pt = np.sort(20.0 + generator.gamma(2.0, (momentum - 20.0) / 2.0, size=(events, 2)), axis=1)[:, ::-1]
    eta = np.clip(generator.normal(0.0, 1.2, size=(events, 2)), -2.5, 2.5)
    phi = generator.uniform(-np.pi, np.pi, size=(events, 2))
    mass = 0.1 * pt
    flavour = (
        generator.normal(1.5, 0.8, size=events)
        if kind == "signal"
        else generator.normal(-1 + 0.1 * number, 1.0, size=events)
    )
    return np.column_stack([pt, eta, phi, mass, flavour])


def events_of(kind: str, *, events: int) -> np.ndarray:
    """Return the events of a sample, (events, columns); the observed ones follow from the yields alone."""
    generator = np.random.default_rng([*kind.encode()])
    if kind != "observed":
        return draw(kind, events=events, generator=generator)
    parts = [draw(part, events=generator.poisson(mean), generator=generator) for part, mean in YIELDS.items()]
    return generator.permutation(np.concatenate(parts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, required=True, help="simulated events of each process")
    parser.add_argument("outputs", nargs="+", metavar="KIND=FILE")
    arguments = parser.parse_args()
    for output in arguments.outputs:
        kind, _, path = output.partition("=")
        np.savetxt(
            Path(path), events_of(kind, events=arguments.events), fmt="%.6g", delimiter=",", header=COLUMNS, comments=""
        )


if __name__ == "__main__":
    main()
