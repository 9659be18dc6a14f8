"""Archives of finished runs for the tests of replays, and archives and runs with something in them changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evercast.artifacts.bag import BAGIT, INFO, MANIFEST, TAG_MANIFEST, open_bag, write_bag
from evercast.artifacts.files import sha256_file
from evercast.artifacts.weights import EnsembleWeights, read_weights, write_weights
from evercast.networks.architecture import Weights
from evercast.publication.archive_pack import PackRequest, pack_archive
from evercast.reinterpretation.compare import Comparison, compare_runs
from evercast.reinterpretation.sides import Side, side_of_run
from evercast.runtime.plans import read_plan


def plan_file(run: Path) -> Path:
    """The frozen plan of the run in a folder."""
    (plan,) = (path for results in run.glob("results/*") for path in results.glob("work/plans/*/plan.json"))
    return plan


def pack(run: Path, archive: Path) -> Path:
    """The archive of a run, with one version."""
    pack_archive(PackRequest(frozen=read_plan(plan_file(run)), archive=archive))
    return archive


def rebagged(archive: Path, target: Path, change: Callable[[Path], None]) -> Path:
    """A copy of the last version of an archive whose payload was changed, with digests that are right again."""
    version = archive / "v1"
    info = {key: value for key, value in open_bag(version, digests=False).info.items() if key != "Payload-Oxum"}
    shutil.copytree(version, target)
    for name in (BAGIT, INFO, MANIFEST, TAG_MANIFEST):
        (target / name).unlink()
    change(target / "data")
    write_bag(target, info=info)
    return target


def edit(path: Path, change: Callable[[Any], None]) -> None:
    """Change a JSON file."""
    body = json.loads(path.read_text())
    change(body)
    path.write_text(json.dumps(body))


def side(run: Path, **recorded: Any) -> Side:
    """A run folder as a side of a comparison."""
    return side_of_run(plan_file(run), **{"machine": {}, "defaults": {}, "code": {}, **recorded})


def compared(old: Path, new: Path) -> Comparison:
    """The comparison of two run folders."""
    return compare_runs(side(old), side(new))


def copied(run: Path, target: Path) -> Path:
    """A copy of a run that may be changed."""
    shutil.copytree(run, target, symlinks=True, ignore=shutil.ignore_patterns(".snakemake"))
    return target


def receipt(run: Path, stage: str, name: str) -> Path:
    """The receipt of a unit of a run."""
    (found,) = (
        path
        for results in run.glob("results/*")
        for path in results.glob(f"work/{stage}/{name}-????????????/receipt.json")
    )
    return found


def rewrite(run: Path, stage: str, name: str, file: str, change: Callable[[Path], None]) -> None:
    """Change a file of a unit, and its digest in the receipt, as another computation would have."""
    place = receipt(run, stage, name)
    path = place.parent / file
    change(path)

    def digest(body: Any) -> None:
        body["files"][file] = {"sha256": sha256_file(path), "size": path.stat().st_size}

    edit(place, digest)


def shifted_bias(by: float) -> Callable[[Path], None]:
    """What adds a number to the output of every network in a file of weights: the log ratio moves by it."""

    def change(path: Path) -> None:
        found = read_weights(path)
        weights = found.weights
        moved = Weights(
            mean=weights.mean, scale=weights.scale, weight=weights.weight,
            bias=(*weights.bias[:-1], weights.bias[-1] + type(weights.bias[-1].flat[0])(by)),
        )  # fmt: skip
        path.unlink()
        write_weights(
            path,
            EnsembleWeights(
                architecture=found.architecture, members=found.members, folds=found.folds, weights=moved,
                labels=found.labels,
            ),
        )  # fmt: skip

    return change
