"""CLs of published and synthetic workspaces against pyhf in one process: equal results first, then CPU times.

Run: ``python benchmarks/cls.py [--data FOLDER] [--patches N] [--peers slsqp,minuit,jax] [--tables] [--json]``. The
default takes about two minutes on one core. Ratios count, not times; those below 1.3 are ties.

1. Stau search (ATLAS-SUSY-2018-04, combined regions, 120 parameters): CLs per signal patch, reading the patch included,
   the fit without signal carried from patch to patch, against pyhf with numpy and SLSQP (its default), numpy and
   Minuit, and jax and SLSQP, each on one patch.
2. A synthetic workspace of 301 parameters, 200 bins and 10 samples (per-bin statistical factors in every bin): CLs with
   the model at hand, against the same peers.
3. ``--tables``: CLs of all 57 points of stau and all 64 of the 3L search (ATLAS-SUSY-2018-06), each with its status.

Where a peer disagrees by more than 1e-4 in CLs, its ratio is not quoted: it solved another problem.
"""

from __future__ import annotations

import json
import os
import tarfile
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import click
import numpy as np
import pyhf

from evercast.artifacts.likelihood_source import LikelihoodSource, PatchedWorkspace, open_patchset
from evercast.inference.asymptotics import cls
from evercast.inference.patches import cls_of_patches
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.histfactory import apply_patch, read_workspace

ARCHIVE = "atlas-susy-2018-04/SUSY-2018-04_likelihoods.tar.gz"
POINT = "DS_440_40_Staus"
PEERS = {"slsqp": ("numpy", "scipy"), "minuit": ("numpy", "minuit"), "jax": ("jax", "scipy")}
AGREE = 1e-4


def cpu(function: Callable[[], float]) -> tuple[float, float]:
    """Return the result and the CPU seconds of one call."""
    start = time.process_time()
    result = function()
    return result, time.process_time() - start


def peer_cls(workspace: Mapping[str, object], backend: str, optimizer: str) -> float:
    """Return CLs of pyhf, its model included."""
    pyhf.set_backend(backend, optimizer, precision="64b")
    opened = pyhf.Workspace(workspace, validate=False)
    model = opened.model(validate=False)
    found = pyhf.infer.hypotest(1.0, opened.data(model), model, test_stat="qtilde")
    return float(found)


def against_peers(
    ours: float, seconds: float, workspace: Mapping[str, object], peers: Sequence[str]
) -> Iterator[dict[str, object]]:
    """Yield for each peer its CLs, its time and the ratio; no ratio where the results differ."""
    for name in peers:
        try:
            theirs, taken = cpu(partial(peer_cls, workspace, *PEERS[name]))
        except (pyhf.exceptions.FailedMinimization, ValueError) as err:
            yield {"peer": f"pyhf {name}", "status": f"failed: {str(err)[:80]}"}
            continue
        difference = abs(theirs - ours)
        row: dict[str, object] = {
            "peer": f"pyhf {name}", "CLs": theirs, "difference": difference, "seconds": taken, "ours_seconds": seconds,
        }  # fmt: skip
        yield row | ({"ratio": taken / seconds} if difference <= AGREE else {"status": "another result: no ratio"})


def stau(data: Path) -> PatchedWorkspace:
    """Return the stau search with its 57 patches."""
    with tempfile.TemporaryDirectory(prefix="stau-") as folder:
        with tarfile.open(data / ARCHIVE) as archive:
            archive.extractall(folder, filter="data")
        regions = Path(folder) / "Region-combined"
        return open_patchset(LikelihoodSource(path=regions / "BkgOnly.json", patchset=regions))


def patches(opened: PatchedWorkspace, n: int) -> tuple[float, float]:
    """Return CLs of the point that the peers compute, and CPU seconds per patch over n of them."""
    names = [POINT, *(name for name in opened.patches if name != POINT)][:n]
    start = time.process_time()
    found = list(cls_of_patches(names, opened.model))
    seconds = (time.process_time() - start) / len(found)
    result = found[0].result
    if result is None or result.cls_obs is None:
        raise SystemExit(f"the reference point failed: {found[0].failure}")
    return result.cls_obs, seconds


def synthetic(*, n_bins: int = 200, n_samples: int = 10, n_systematics: int = 100) -> dict[str, object]:
    """Return one channel: a signal and backgrounds, normalisation and shape systematics, a staterror in every bin."""
    rng = np.random.default_rng(7)
    x = np.linspace(0.0, 1.0, n_bins)
    samples = []
    for k in range(n_samples):
        signal = k == 0
        shape = np.exp(-0.5 * ((x - 0.5) / 0.05) ** 2) if signal else np.exp(-(1 + 0.3 * k) * x)
        nominal = shape / shape.sum() * (80.0 if signal else 12000.0 / (n_samples - 1))
        modifiers: list[dict[str, object]] = [{"name": "mu", "type": "normfactor", "data": None}] if signal else []
        for i in range(n_systematics):
            slope = rng.normal(scale=0.01)
            if (i + k) % 3 == 0:
                data: object = {"hi": 1 + abs(rng.normal(scale=0.02)), "lo": 1 - abs(rng.normal(scale=0.02))}
                modifiers.append({"name": f"alpha_{i}", "type": "normsys", "data": data})
            elif (i + k) % 3 == 1:
                tilt = nominal * slope * (x - 0.5)
                data = {"hi_data": (nominal + tilt).tolist(), "lo_data": (nominal - tilt).tolist()}
                modifiers.append({"name": f"alpha_{i}", "type": "histosys", "data": data})
        modifiers.append({"name": "stat", "type": "staterror", "data": (0.05 * nominal).tolist()})
        samples.append({"name": f"sample_{k}", "data": nominal.tolist(), "modifiers": modifiers})
    expected = np.sum([sample["data"] for sample in samples[1:]], axis=0)
    return {
        "channels": [{"name": "SR", "samples": samples}],
        "observations": [{"name": "SR", "data": rng.poisson(expected).astype(float).tolist()}],
        "measurements": [{"name": "fit", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }


def tables(data: Path, opened: PatchedWorkspace) -> dict[str, list[dict[str, object]]]:
    """Return CLs of every point of both searches."""
    folder = data / "atlas-susy-2018-06"
    source = LikelihoodSource(path=folder / "BkgOnly.json", patchset=folder / "patchset.json")
    searches = {"stau": opened, "3L": open_patchset(source)}
    return {
        name: [
            {
                "point": found.name, "status": found.status,
                "CLs_obs": None if found.result is None else found.result.cls_obs,
                "CLs_exp": None if found.result is None else found.result.cls_exp[2],
                "reason": None if found.failure is None else str(found.failure),
            }
            for found in cls_of_patches(list(search.patches), search.model)
        ]
        for name, search in searches.items()
    }  # fmt: skip


def shown(rows: Sequence[Mapping[str, object]]) -> str:
    """Return rows as text."""

    def cell(value: object) -> str:
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    return "\n".join("  " + ", ".join(f"{key} {cell(value)}" for key, value in row.items()) for row in rows)


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the public files. [default: EVERCAST_DATA]")
@click.option("--patches", "n_patches", default=20, show_default=True, help="Stau patches to time.")
@click.option("--peers", default="slsqp,minuit", show_default=True, help=f"Of {', '.join(PEERS)}, for stau.")
@click.option("--synthetic-peers", default="", help="Peers for the synthetic workspace (minutes each).")
@click.option("--tables", "with_tables", is_flag=True, help="CLs of all points of both searches.")
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
def main(
    *, data: Path | None, n_patches: int, peers: str, synthetic_peers: str, with_tables: bool, as_json: bool
) -> None:
    """CLs against pyhf."""
    warnings.simplefilter("ignore")  # pyhf and jsonschema warn of what they deprecate
    folders = [data] if data else [Path(part) for part in os.environ.get("EVERCAST_DATA", "").split(os.pathsep) if part]
    folder = next((entry for entry in folders if (entry / ARCHIVE).is_file()), None)
    report: dict[str, object] = {}
    if folder is None:
        click.echo("the published likelihoods are not at hand (--data): the synthetic workspace alone", err=True)
    else:
        opened = stau(folder)
        ours, seconds = patches(opened, n_patches)
        workspace = apply_patch(opened.workspace, opened.patches[POINT])
        chosen = [name for name in peers.split(",") if name]
        report["stau"] = [
            {"CLs": ours, "seconds_per_patch": seconds, "patches": n_patches},
            *against_peers(ours, seconds, workspace, chosen),
        ]
        if with_tables:
            report |= tables(folder, opened)
    body = synthetic()
    likelihood = Likelihood(read_workspace(body))
    cls(likelihood, 1.0)
    value, seconds = cpu(lambda: cls(likelihood, 1.0).cls_obs or 0.0)
    chosen = [name for name in synthetic_peers.split(",") if name]
    report["synthetic"] = [
        {"CLs": value, "seconds": seconds, "parameters": len(likelihood.names)},
        *against_peers(value, seconds, body, chosen),
    ]
    if as_json:
        click.echo(json.dumps(report, indent=1))
        return
    for name, rows in report.items():
        click.echo(f"{name}\n{shown(rows)}")  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
