"""A finished run made of numbers drawn at random, in the formats the stages write: the report is tested on it alone."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from synthetic_results import detailed_outcome, write_diagnostics, write_studies, write_training_statistics

from evercast.artifacts.arrays import write_arrays
from evercast.artifacts.event_table import EventTable, write_event_table
from evercast.artifacts.likelihood_folder import Index, IndexEntry, write_index
from evercast.spec.codec import from_json
from evercast.spec.model import Analysis, BinnedChannel, KinematicSystematic, WeightSystematic

DOCUMENT = {
    "schema": "analysis/1.0.0",
    "name": "synthetic",
    "title": "A peak on a falling spectrum",
    "metadata": {
        "experiment": "toy-LHC", "sqrt_s_tev": [13.0], "luminosity_fb": 10.0, "license": "CC0-1.0",
        "description": "Numbers drawn at random.",
        "references": [{"title": "Everything", "arxiv": "2412.01600"}],
    },
    "samples": {
        "peak": {"files": [{"path": "peak.csv"}], "normalisation": {"yield_events": 40, "region": "SR"}},
        "fall": {"files": [{"path": "fall.csv"}], "normalisation": {"cross_section_pb": 0.02}},
        "observed": {"files": [{"path": "observed.csv"}], "role": "data"},
    },
    "selection": {
        "observables": {
            "m": {"expression": "mass(particles[0])", "unit": "GeV", "label": "$m_X$"},
            "angle": {"expression": "angle", "unit": "1"},
        },
        "regions": {"SR": {"cut": "m > 70"}},
    },
    "parameters": {
        "mu": {"poi": True, "initial": 1.0, "bounds": [0.0, 10.0], "label": "$\\mu$"}, "tilt": {"constraint": "normal"},
    },
    "processes": {
        "S": {"sample": "peak", "coefficient": "mu", "title": "Peak"},
        "B": {"sample": "fall", "title": "Falling"},
    },
    "systematics": {"norm_b": {"kind": "normalisation", "processes": ["B"], "up": 1.1, "down": 0.9}},
    "ensembles": {
        "ratios": {
            "region": "SR", "processes": ["S", "B"], "reference": {"peak": 1.0, "fall": 1.0},
            "observables": ["m", "angle"],
            "model": {"kind": "mlp", "width": 8, "depth": 2}, "training": {"epochs": 12}, "seed": 1,
            "members": 2, "folds": 2,
        }
    },
    "likelihoods": {
        "binned": {
            "channels": {
                "m": {
                    "kind": "binned", "region": "SR", "observable": "m", "processes": ["S", "B"],
                    "edges": [70.0, 90.0, 110.0, 130.0, 150.0, 180.0],
                }
            },
        },
        "neural": {"channels": {"SR": {"kind": "unbinned", "ensemble": "ratios"}}},
    },
    "inference": {"scan_range": [0.0, 3.0], "scan_points": 21},
    "publish": {"pyhf": {"likelihood": "binned", "measurement": "synthetic"}},
}  # fmt: skip


SYSTEMATICS = {
    "norm_b": {"kind": "normalisation", "processes": ["B"], "up": 1.1, "down": 0.9},
    "scale": {
        "kind": "kinematic", "processes": ["S", "B"], "up": {"particles.pt": 1.01}, "down": {"particles.pt": 0.99},
        "title": "Energy scale",
    },
    "model": {"kind": "normalisation+shape", "samples": {"B": {"up": "fall_up", "down": "fall_down"}}},
    "shower": {"kind": "two_point", "samples": {"B": "fall_up"}, "symmetrise": True, "effect": "shape"},
}  # fmt: skip
"""One systematic of each kind but weights, which look like kinematic ones here."""


def full_analysis(**changes: object) -> Analysis:
    """The document with `SYSTEMATICS` and the samples they need."""
    varied = {
        name: {"files": [{"path": f"{name}.csv"}], "normalisation": {"cross_section_pb": 0.02}}
        for name in ("fall_up", "fall_down")
    }
    samples = DOCUMENT["samples"] | varied  # type: ignore[operator]
    return synthetic_analysis(**({"samples": samples, "systematics": SYSTEMATICS} | changes))


def synthetic_analysis(**changes: object) -> Analysis:
    """The document above with some of its top-level keys replaced."""
    return from_json(Analysis, DOCUMENT | changes)


def write_run(
    folder: Path, analysis: Analysis, *, seed: int = 1, members: int = 2, detailed: bool = False
) -> dict[str, Path]:
    """Write the units of a finished run; return the inputs of its report.

    Args:
        detailed: with limits, impacts, contours, studies, training statistics and diagnostics.
    """
    rng = np.random.default_rng(seed)
    inputs: dict[str, Path] = {}
    tables = {}
    for name, sample in analysis.samples.items():
        tables[name] = _table(analysis, name, sample.role, rng)
        inputs[f"selection/{name}"] = _selection(folder, tables[name], rng)
    for name, sample, factor in (
        (f"{analysis.processes[process].sample}-{name}-{direction}", analysis.processes[process].sample, factor)
        for name, item in analysis.systematics.items()
        if isinstance(item, KinematicSystematic | WeightSystematic)
        for process in item.processes
        for direction, factor in (("up", 1.02), ("down", 0.99))
    ):
        inputs[f"selection/{name}"] = _selection(folder, _varied(tables[sample], factor), rng, name=name)
    for name, ensemble in analysis.ensembles.items():
        for process in ensemble.processes:
            path = folder / f"training-{name}-{process}-b0"
            inputs[f"training/{name}-{process}-b0"] = _training(path, process, members * ensemble.folds, rng)
        inputs[f"evaluation/{name}"] = _evaluation(folder / f"evaluation-{name}", name, analysis, tables, rng)
    serial = folder / "serialization-all"
    _serialization(serial / "likelihood", analysis, tables)
    inputs["serialization/all"] = serial
    for index, name in enumerate(analysis.likelihoods):
        inputs[f"fit/{name}"] = _fit(folder / f"fit-{name}", name, analysis, 0.9 + 0.1 * index, detailed=detailed)
    if detailed:
        first = next(iter(analysis.likelihoods))
        blind = any(channel.blind for channel in analysis.likelihoods[first].channels.values())
        inputs |= write_studies(folder, first, blinded=blind) | write_training_statistics(folder, first, blinded=blind)
        inputs |= write_diagnostics(folder)
    for unit, path in inputs.items():
        _receipt(unit, path, inputs)
    return inputs


def _table(analysis: Analysis, name: str, role: str, rng: np.random.Generator) -> EventTable:
    n = 120 if role == "data" else 4000
    names = tuple(analysis.selection.observables)
    columns = [
        rng.normal(125, 6, n) if k == 0 and name in ("peak", "higgs") else 70 + rng.exponential(40, n) for k in range(1)
    ]
    columns += [rng.uniform(-1, 1, n) for _ in names[1:]]
    keep = columns[0] < 181
    observables = np.column_stack(columns)[keep]
    rows = len(observables)
    return EventTable(
        sample=name, role="data" if role == "data" else "simulation", observables=observables,
        weight=np.ones(rows) if role == "data" else np.full(rows, 40 / rows),
        event=np.arange(rows, dtype=np.uint64), regions=np.ones((rows, len(analysis.selection.regions)), dtype=bool),
        observable_names=names, observable_units=tuple(o.unit for o in analysis.selection.observables.values()),
        region_names=tuple(analysis.selection.regions),
    )  # fmt: skip


def _varied(table: EventTable, factor: float) -> EventTable:
    columns = table.observables.copy()
    columns[:, 0] *= factor
    return replace(table, observables=columns, weight=table.weight * factor)


def _selection(folder: Path, table: EventTable, rng: np.random.Generator, *, name: str | None = None) -> Path:
    path = folder / f"selection-{name or table.sample}"
    path.mkdir(parents=True)
    write_event_table(path / "events.zarr", table)
    n = len(table)
    flow = [
        {
            "step": step,
            "events": int(n * f),
            "sum_of_weights": n * f,
            "sum_of_weights_expected": float(table.weight.sum()) * f,
        }
        for step, f in (("all", 3.0), ("two candidates", 1.6), ("mass", 1.0))
    ]
    squares = float((table.weight**2).sum())
    total = float(table.weight.sum())
    region = {
        "events": n, "sum_of_weights": total, "sum_of_weights_squared": squares,
        "effective_sample_size": total**2 / squares
    }  # fmt: skip
    body = {
        "sample": table.sample, "role": table.role, "n_read": 3 * n, "cut_flow": flow,
        "regions": dict.fromkeys(table.region_names, region),
        "normalisation": {"kind": "yield", "factor": 1.0, "yield": total},
        "input": [{"file": f"/home/somebody/{table.sample}.csv", "format": "csv", "n_events": 3 * n, "facts": {}}],
    }  # fmt: skip
    (path / "summary.json").write_text(json.dumps(body))
    return path


def _training(path: Path, process: str, networks: int, rng: np.random.Generator) -> Path:
    path.mkdir(parents=True)
    epochs = np.arange(12)
    entries = []
    for k in range(networks):
        training = 0.45 + 0.24 * np.exp(-epochs / 3) + rng.normal(0, 0.002, 12)
        validation = 0.46 + 0.23 * np.exp(-epochs / 3) + rng.normal(0, 0.005, 12)
        entries.append({
            "member": k // 2, "fold": k % 2, "seed": 100 + k, "best_epoch": int(np.argmin(validation)),
            "loss": {"training": training.tolist(), "validation": validation.tolist()},
        })  # fmt: skip
    body = {"ensemble": "ratios", "process": process, "variation": None, "points": [], "replica": None}
    (path / "training.json").write_text(json.dumps(body | {"networks": entries}))
    return path


def _evaluation(
    path: Path, name: str, analysis: Analysis, tables: dict[str, EventTable], rng: np.random.Generator
) -> Path:
    path.mkdir(parents=True)
    ensemble = analysis.ensembles[name]
    for sample, table in tables.items():
        ratio = rng.normal(0, 1, (len(table), len(ensemble.processes))).astype(np.float32)
        arrays = {"log_ratio": ratio, "member_spread": np.abs(ratio) * 0.1, "event": table.event}
        write_arrays(path / f"{sample}.zarr", arrays, {"processes": list(ensemble.processes), "ensemble": name})
    edges = np.linspace(-1, 1, 9)
    target = np.full(8, 0.125)
    closure = {
        "edges": edges.tolist(), "target": target.tolist(), "target_error": (0.05 * target).tolist(),
        "reweighted": (target * rng.normal(1, 0.05, 8)).tolist(), "reweighted_error": (0.05 * target).tolist(),
        "chi2": 8.4, "bins": 8,
    }  # fmt: skip
    score = np.linspace(0.05, 0.95, 10)
    fraction = [*(score + rng.normal(0, 0.02, 10)).tolist()[:-1], None]
    body = {
        "normalisation": {"mean": 1.002, "error": 0.004, "log_norm": 0.002},
        "effective_sample_size": {"process": 3900.0, "reference": 7800.0, "reweighted_reference": 2500.0},
        "calibration": {
            "score_bins": np.linspace(0, 1, 11).tolist(), "score": score.tolist(), "fraction": fraction,
            "error": [0.02] * 9 + [None],
        },
        "closure": dict.fromkeys(ensemble.observables, closure),
        "auc": 0.81,
        "saturated_fraction": 0.0,
        "member_spread": {"median": 0.05, "quantile_90": 0.1, "largest": 0.4},
    }  # fmt: skip
    (path / "diagnostics.json").write_text(json.dumps({"processes": dict.fromkeys(ensemble.processes, body)}))
    return path


def _serialization(folder: Path, analysis: Analysis, tables: dict[str, EventTable]) -> None:
    folder.mkdir(parents=True)
    entries = {}
    for name, likelihood in analysis.likelihoods.items():
        channels = {n: c for n, c in likelihood.channels.items() if isinstance(c, BinnedChannel)}
        if not channels:
            continue
        file = folder / f"{name}.json"
        file.write_text(json.dumps(_workspace(channels, analysis, tables)))
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        entries[name] = IndexEntry(kind="workspace", path=file.name, sha256=digest, measurement="synthetic")
    write_index(
        folder, Index(schema="likelihood-index/1.0.0", analysis=analysis.name, run_id="0" * 64, likelihoods=entries)
    )


def _workspace(
    channels: dict[str, BinnedChannel], analysis: Analysis, tables: dict[str, EventTable]
) -> dict[str, object]:
    bodies, observations = [], []
    data = next(name for name, sample in analysis.samples.items() if sample.role == "data")
    for name, channel in channels.items():

        def counts(sample: str, channel: BinnedChannel = channel) -> list[float]:
            values = tables[sample].columns([channel.observable])[:, 0]
            return np.histogram(values, channel.edges, weights=tables[sample].weight)[0].tolist()

        samples = []
        for process in channel.processes:
            nominal = counts(analysis.processes[process].sample)
            modifiers = [
                {"name": f"norm_{process.lower()}", "type": "normsys", "data": {"hi": 1.1, "lo": 0.9}},
                {"name": f"stat_{name}", "type": "staterror", "data": [0.05 * value for value in nominal]},
            ]
            if process == channel.processes[0]:
                modifiers.append({"name": "mu", "type": "normfactor", "data": None})
            samples.append({"name": process, "data": nominal, "modifiers": modifiers})
        bodies.append({"name": name, "samples": samples})
        observations.append({"name": name, "data": counts(data)})
    measurement = {"name": "synthetic", "config": {"poi": "mu", "parameters": []}}
    return {"channels": bodies, "observations": observations, "measurements": [measurement], "version": "1.0.0"}


def _fit(path: Path, name: str, analysis: Analysis, best: float, *, detailed: bool) -> Path:
    path.mkdir(parents=True)
    values = np.linspace(0, 3, 31)

    def side(mu: float) -> dict[str, object]:
        return {
            "fit": {
                "parameters": {
                    "mu": {"value": mu, "uncertainty": 0.4, "at_bound": False},
                    **{s: {"value": 0.3, "uncertainty": 0.95, "at_bound": False} for s in analysis.systematics},
                },
                "twice_nll": 12.0,
            },
            "interval": {"low": mu - 0.38, "high": mu + 0.42, "confidence_level": 0.6827},
            "scan": {"values": values.tolist(), "t": (((values - mu) / 0.4) ** 2).tolist()},
            "significance": {"q0": (mu / 0.3) ** 2, "z": mu / 0.3, "p": 0.001},
            **(detailed_outcome(mu, [*analysis.systematics], seed=1) if detailed else {}),
        }

    channels = analysis.likelihoods[name].channels
    blind = [] if analysis.inference.unblind else [key for key, channel in channels.items() if channel.blind]
    body = {
        "likelihood": name, "poi": "mu", "status": "blinded" if blind else "ok", "blinded": blind,
        "guard": {"passed": True, "problems": []},
        "observed": None if blind else side(best), "expected": side(1.0) | {"asimov": "simulation"},
    }  # fmt: skip
    (path / "result.json").write_text(json.dumps(body))
    return path


_FEEDS = {
    "training": ("selection",), "evaluation": ("training", "selection"), "serialization": ("evaluation", "selection"),
    "fit": ("serialization",),
}  # fmt: skip


def _key(unit: str) -> str:
    return hashlib.sha256(unit.encode()).hexdigest()


def _receipt(unit: str, path: Path, inputs: dict[str, Path]) -> None:
    stage, name = unit.split("/", 1)
    feeds = [other for other in inputs if other.split("/", 1)[0] in _FEEDS.get(stage, ())]
    body = {
        "format": "receipt/1.0.0", "stage": stage, "unit": name, "key": _key(unit), "versions": {"numpy": "2.3.0"},
        "seeds": {"0": 11}, "started": "2026-01-01T10:00:00Z", "ended": "2026-01-01T10:00:03Z", "seconds": 3.0,
        "max_rss_mb": 321.0, "files": {}, "inputs": {other: _key(other) for other in feeds},
    }  # fmt: skip
    (path / "receipt.json").write_text(json.dumps(body))
