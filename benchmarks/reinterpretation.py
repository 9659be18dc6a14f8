"""A request for points of the stau search against a plain loop over pyhf: equal results first, then CPU times a point.

Run: ``python benchmarks/reinterpretation.py [--data FOLDER] [--points N] [--limits] [--optimiser NAME] [--json]``. The
default takes a minute on one core. Ours is the work of the jobs of a request (patch read and checked, CLs observed and
expected, result written), without the start of the workflow, which is told apart. The peer is `pyhf.infer.hypotest`
with its default optimiser (or Minuit) on the same patched workspaces. A ratio is quoted only where CLs agrees to 1e-4.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import click
import pyhf

from evercast.events.sources import SearchPath
from evercast.likelihood.histfactory import apply_patch
from evercast.reinterpretation.requests.answers import gather
from evercast.reinterpretation.requests.engine import compute_missing
from evercast.reinterpretation.requests.frozen import FrozenRequest, freeze
from evercast.reinterpretation.requests.points import compute_points
from evercast.reinterpretation.requests.read import read_request
from evercast.reinterpretation.requests.resolve import resolve
from evercast.reinterpretation.wrapped.data import RecordData
from evercast.reinterpretation.wrapped.read import read_wrapped

ROOT = Path(__file__).resolve().parents[1]
NAME = "atlas-susy-2018-04"
AGREE = 1e-4


def submitted(folder: Path, data: Path, n: int, *, limits: bool) -> FrozenRequest:
    """Return a request for the first N points."""
    place = ROOT / "specs" / NAME
    search = SearchPath(cache=folder / "cache", folders=(data,), network=False)
    record = RecordData(analysis=read_wrapped(place / "wrapped.yaml"), folder=place, search_path=search)
    names = list(record.analysis.regions(None)[1].patches)[:n]
    text = (
        f"schema: request/1.0.0\nname: bench\nanalysis: {{name: {NAME}}}\nsignal: {{published: [{', '.join(names)}]}}\n"
    )
    (folder / "request.yaml").write_text(text + f"wanted: {{limits: {str(limits).lower()}}}\n")
    resolved = resolve(read_request(folder / "request.yaml"), record, folder=folder)
    return freeze(resolved, root=folder, document=folder / "request.yaml")


def peer(frozen: FrozenRequest, optimiser: str) -> tuple[dict[str, float], float]:
    """Return CLs of every point by pyhf, and CPU seconds per point."""
    pyhf.set_backend("numpy", optimiser, precision="64b")
    found = {}
    start = time.process_time()
    for point in frozen.points:
        opened = pyhf.Workspace(apply_patch(frozen.background(), frozen.patch(point)), validate=False)
        model = opened.model(validate=False)
        value, _ = pyhf.infer.hypotest(1.0, opened.data(model), model, test_stat="qtilde", return_expected_set=True)
        found[point.name] = float(value)
    return found, (time.process_time() - start) / len(frozen.points)


def run(data: Path, n: int, *, limits: bool, optimiser: str) -> dict[str, object]:
    """Return the times and what was compared."""
    with tempfile.TemporaryDirectory(prefix="requests-") as name:
        folder = Path(name)
        frozen = submitted(folder, data, n, limits=limits)
        start = time.process_time()
        compute_points(frozen, [point.key for point in frozen.points])
        ours = (time.process_time() - start) / n
        found = {answer.point.name: answer.cls_observed for answer in gather(frozen).answers}
        start = time.monotonic()
        compute_missing(frozen, cores=1, observe=lambda _: None, fresh=True)
        workflow = time.monotonic() - start
        theirs, seconds = peer(frozen, optimiser)
    difference = max(abs(theirs[name] - (found[name] or 0.0)) for name in theirs)
    body: dict[str, object] = {
        "points": n, "limits": limits, "ours_seconds": ours, "pyhf_seconds": seconds, "largest_difference": difference,
        "workflow_wall_seconds": workflow,
    }  # fmt: skip
    same = difference <= AGREE
    return body | ({"ratio": seconds / ours} if same else {"status": "another result: no ratio"})


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=ROOT.parent / "shared" / "data", show_default=True)
@click.option("--points", type=int, default=3, show_default=True)
@click.option("--limits", is_flag=True, help="Ours computes upper limits too, which the peer does not.")
@click.option("--optimiser", type=click.Choice(["scipy", "minuit"]), default="scipy", show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(*, data: Path, points: int, limits: bool, optimiser: str, as_json: bool) -> None:
    """Compare a request with a loop over pyhf."""
    if not (data / NAME).is_dir():
        print(f"the public files are not in {data}: nothing to compare")
        sys.exit(0)
    body = run(data, points, limits=limits, optimiser=optimiser)
    print(json.dumps(body) if as_json else "\n".join(f"{key}: {value}" for key, value in body.items()))


if __name__ == "__main__":
    main()
