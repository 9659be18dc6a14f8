"""Speed of a selection with jets on one core: evercast against fastjet event by event, and its parts.

    python benchmarks/selection.py --events 1000

The events are bottom squarks made with Pythia, the selection is that of specs/atlas-susy-2018-31. The jets must agree
before the times count. The clock is CPU time of the process; the best of three turns counts.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import awkward as ak  # noqa: E402
import fastjet  # noqa: E402
import numpy as np  # noqa: E402

from evercast.events.columns import read_scopes  # noqa: E402
from evercast.events.evaluate import Scope  # noqa: E402
from evercast.events.formats import open_events  # noqa: E402
from evercast.events.objects import build_objects  # noqa: E402
from evercast.events.selector import Selector  # noqa: E402
from evercast.plan.recipes import GenerationRecipe, Task  # noqa: E402
from evercast.spec import load_analysis  # noqa: E402
from evercast.spec.model import Analysis  # noqa: E402
from evercast.stages import generation  # noqa: E402

SPEC = Path(__file__).parents[1] / "specs" / "atlas-susy-2018-31"


def generated(analysis: Analysis, folder: Path, *, events: int, output: str) -> Path:
    """Make the events; return their file."""
    target = folder / output
    target.mkdir()
    generator = replace(analysis.generators["sbottom"], events=events, jobs=1, output=output, truth=output == "parquet")
    recipe = GenerationRecipe(name="sbottom", generator=generator, part=0)
    slha = SPEC / "sbottom_1000_450_60.slha"
    start = time.process_time()
    generation.run(Task(recipe=recipe, inputs={"slha": slha}, output=target, checkpoint=target))
    report(f"generate, {output}", events, time.process_time() - start)
    return target / ("events.parquet" if output == "parquet" else "events.hepmc")


def report(what: str, events: int, seconds: float) -> None:
    print(f"{what:<52} {seconds:8.2f} s {events / seconds:9.0f} events/s")


def best(work: Callable[[], object]) -> float:
    """Return the CPU time of the best of three turns."""
    times = []
    for _ in range(3):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def one_by_one(scope: Scope) -> list[list[float]]:
    """Cluster event by event with fastjet; return the transverse momenta."""
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, 0.4)
    hadronic = scope.values["hadronic"]
    found = []
    for event in hadronic:
        rows = np.column_stack([ak.to_numpy(part) for part in (event.px, event.py, event.pz, event.E)]).tolist()
        sequence = fastjet.ClusterSequence([fastjet.PseudoJet(*row) for row in rows], definition)
        found.append(sorted((jet.pt() for jet in sequence.inclusive_jets(10.0)), reverse=True))
    return found


def main(events: int) -> None:
    analysis = load_analysis(SPEC / "selection.yaml")
    with tempfile.TemporaryDirectory() as folder:
        parquet = generated(analysis, Path(folder), events=events, output="parquet")
        hepmc = generated(analysis, Path(folder), events=max(events // 10, 20), output="hepmc3")
        selector = Selector(analysis.selection, weight="weight", smear=True)
        (scope,) = read_scopes(open_events(parquet), selector.inputs(), {}, step=events, first_event=0)
        objects = analysis.selection.objects
        scope = scope.with_values({"hadronic": build_objects("h", objects["hadronic"], scope, seed=1, smear=True)})
        plain = replace(objects["true_jets"], flavour=None, cluster=replace(objects["true_jets"].cluster, counts={}))
        jets = build_objects("true_jets", plain, scope, seed=1, smear=True)
        for made, expected in zip(jets.pt.tolist(), one_by_one(scope), strict=True):
            np.testing.assert_allclose(made, expected, rtol=1e-9)
        seconds = best(lambda: build_objects("true_jets", plain, scope, seed=1, smear=True))
        reference = best(lambda: one_by_one(scope))
        report("cluster, fastjet event by event", events, reference)
        report("cluster, evercast", events, seconds)
        print(f"ratio {reference / seconds:.2f}")
        report("select: jets, flavour, tags, momenta, pairs, cuts", events, best(lambda: _select(selector, parquet)))
        count = max(events // 10, 20)
        report("read HepMC3 with history and select", count, _wall(lambda: _select(selector, hepmc)))


def _select(selector: Selector, path: Path) -> None:
    for scope in read_scopes(open_events(path), selector.inputs(), {}, step=1000, first_event=0):
        selector.select(scope)


def _wall(work: Callable[[], object]) -> float:
    """Return wall time: the file is read in a process of its own."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1000)
    main(parser.parse_args().events)
