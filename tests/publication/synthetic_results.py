"""Results of a finished run beyond the fits, in the formats of their stages: studies, training statistics, checks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from evercast.artifacts.arrays import write_arrays
from evercast.publication.diagnostics.check import Check, Limits, judged, not_applicable, topic
from evercast.publication.diagnostics.document import diagnostics_document

_LIMITS = Limits(amber=0.02, red=0.05)


def detailed_outcome(mu: float, names: list[str], *, seed: int) -> dict[str, object]:
    """What `evercast.inference.outcome_json` describes beyond fit, interval and scan."""
    rng = np.random.default_rng(seed)
    size = len(names) + 1
    mixed = np.eye(size) + 0.35 * np.tanh(rng.normal(0, 1, (size, size)))
    matrix = mixed @ mixed.T
    scale = np.sqrt(np.diag(matrix))
    angle = np.linspace(0, 2 * np.pi, 60)
    lines = [[[mu + w * 0.4 * np.cos(a), 0.3 + w * 0.8 * np.sin(a)] for a in angle.tolist()] for w in (1.5, 2.5)]
    return {
        "limit": {
            "parameter": "mu", "confidence_level": 0.95, "statistic": "q-tilde", "method": "asymptotic",
            "observed": mu + 0.7654, "error": None, "expected": [0.42, 0.55, 0.77, 1.1, 1.5], "status": "ok",
            "remarks": [],
        },
        "impacts": [
            {
                "parameter": name, "pull": float(rng.normal(0, 0.4)), "constraint": float(rng.uniform(0.5, 1)),
                "up": 0.2 / (rank + 1), "down": -0.17 / (rank + 1), "covariance": 0.1, "local": 0.1, "reason": None,
            }
            for rank, name in enumerate(names)
        ],
        "correlation": {"names": ["mu", *names], "matrix": (matrix / np.outer(scale, scale)).tolist()},
        "contours": [
            {
                "parameters": ["mu", names[0]], "best": [mu, 0.3], "grid": {}, "t": [], "failed": 0,
                "levels": [
                    {"confidence_level": level, "t": t, "lines": [line]}
                    for level, t, line in zip((0.6827, 0.9545), (2.3, 6.18), lines, strict=True)
                ],
            }
        ],
        "minima": [
            {"value": mu, "t": 0.0, "parameters": {names[0]: 0.3}},
            {"value": 0.1204, "t": 1.7, "parameters": {names[0]: -0.8}},
        ],
        "goodness_of_fit": {
            "statistic": 6.1, "degrees_of_freedom": 4, "p": 0.19, "p_toys": None, "toys": 0, "failed": 0, "seed": None,
            "status": "ok", "remarks": [],
            "channels": {"m": {"kind": "saturated", "statistic": 6.1, "p": 0.19, "size": 5}},
        },
    }  # fmt: skip


def write_studies(folder: Path, likelihood: str, *, blinded: bool = False) -> dict[str, Path]:
    """Units of the stages ``toys`` and ``study`` with one study of each purpose."""
    rng = np.random.default_rng(5)
    head = {
        "format": "study/1.0.0", "likelihood": likelihood, "poi": "mu", "seed": 3, "nuisance": "profiled",
        "blinded": ["m"] if blinded else [], "data": "binned" if blinded else "observed", "toys": 1000, "failed": 2,
        "reasons": [],
    }  # fmt: skip
    values = np.linspace(0, 3, 7)
    points = [
        {
            "value": value, "critical": 1.0 + 0.1 * np.sin(value), "error": 0.06, "asymptotic": 1.0,
            "t": None if blinded else ((value - 0.9) / 0.4) ** 2, "p": None, "toys": 500, "failed": 0,
        }
        for value in values.tolist()
    ]  # fmt: skip
    interval = {
        "confidence_level": 0.6827, "segments": [[0.51, 1.33]], "asymptotic_segments": [[0.5, 1.3]], "open_low": False,
        "open_high": True, "points": points,
    }  # fmt: skip
    coverage = [
        {
            "value": value, "confidence_level": level, "asymptotic": level - 0.004, "error": 0.015,
            "neyman": level + 0.01, "neyman_error": 0.02, "toys": 1000, "failed": 0,
        }
        for value in (0.5, 1.0)
        for level in (0.6827, 0.9545)
    ]  # fmt: skip
    limit = {
        "limit": {
            "confidence_level": 0.95, "observed": None if blinded else 1.6789, "error": None if blinded else 0.04,
            "expected": [0.4, 0.55, 0.77, 1.1, 1.5],
        },
        "points": [{"value": 1.0, "cls_obs": None if blinded else 0.2, "cls_obs_error": 0.01, "cls_exp": [0.1] * 5}],
    }  # fmt: skip
    goodness = {"goodness_of_fit": {"statistic": 6.1, "degrees_of_freedom": 4, "p": 0.19, "p_toys": 0.2}}
    results = {
        "neyman": {"best": 0.9, "intervals": [interval]}, "coverage": {"coverage": coverage}, "limit": limit,
        "goodness_of_fit": goodness,
    }  # fmt: skip
    inputs = {}
    for purpose, body in results.items():
        path = folder / f"study-{purpose}-{likelihood}"
        path.mkdir(parents=True)
        (path / "result.json").write_text(json.dumps(head | {"study": purpose, "purpose": purpose} | body))
        inputs[f"study/{purpose}-{likelihood}"] = path
    toys = folder / f"toys-{likelihood}"
    toys.mkdir()
    write_arrays(toys / "toys.zarr", {"statistic": rng.chisquare(4, 400)}, {"format": "toys/1.0.0"})
    inputs[f"toys/goodness_of_fit-{likelihood}-0"] = toys
    return inputs


def write_training_statistics(folder: Path, likelihood: str, *, blinded: bool = False) -> dict[str, Path]:
    """A unit of the stage ``training_statistics``: two estimates and one that the ensemble does not allow."""
    path = folder / f"training-statistics-{likelihood}"
    path.mkdir(parents=True)
    labels = {
        "ensemble_noise": "ensemble noise", "bootstrap": "training statistics (bootstrap of the simulation)",
        "weighted_members": "training statistics (weighted members, w_i f_i)",
    }  # fmt: skip
    side = {
        "poi_value": 0.9, "sigma": 0.4, "status": "ok",
        "estimates": {
            "ensemble_noise": {"sigma": 0.012, "error": 0.001, "total_sigma": 0.4002},
            "bootstrap": {"sigma": 0.087, "error": 0.014, "total_sigma": 0.409},
            "weighted_members": {"sigma": None, "error": None, "reason": "too few members"},
        },
    }  # fmt: skip
    body = {
        "format": "training-statistics/1.0.0", "likelihood": likelihood, "poi": "mu", "expected": side,
        "estimators": {key: {"label": label, "sees": "x", "does_not_see": "y"} for key, label in labels.items()},
        "observed": None if blinded else side,
    }  # fmt: skip
    (path / "result.json").write_text(json.dumps(body))
    return {f"training_statistics/{likelihood}": path}


def example_checks() -> list[Check]:
    """Checks of all kinds with figures, one amber, one not applicable, none red."""
    alpha = np.linspace(-3, 3, 7)
    score = np.linspace(0.1, 0.9, 9)
    bars = np.full(8, 0.125)
    closure = {
        "edges": np.linspace(70, 150, 9).tolist(), "target": bars.tolist(), "target_error": (0.04 * bars).tolist(),
        "reweighted": (bars * 1.02).tolist(), "reweighted_error": (0.05 * bars).tolist(), "chi2": 8.0, "bins": 8,
        "p": 0.4, "misplaced": 0.01, "difference_error": (0.05 * bars).tolist(),
    }  # fmt: skip
    figures: list[tuple[int, str, dict[str, object]]] = [
        (1, "losses", {"fold": [0, 1], "train": [0.451, 0.455], "holdout": [0.459, 0.452]}),
        (2, "calibration", {
            "score": score.tolist(), "fraction": (score + 0.01).tolist(), "error": [0.02] * 9,
            "log_ratio": np.log(score / (1 - score)).tolist(), "found": (np.log(score / (1 - score)) + 0.05).tolist(),
            "found_error": [0.1] * 9,
        }),
        (3, "closure", {"observables": {"m": closure, "angle": closure}}),
        (3, "two-sample", {"area": 0.503, "error": 0.004}),
        (4, "normalisation", {"mean": 1.002, "error": 0.004, "log_norm": 0.002}),
        (4, "morph-norm", {
            "alpha": alpha.tolist(),
            "parameters": {
                name: {"value": (1 + s * alpha**2).tolist(), "error": (0.002 * np.abs(alpha)).tolist()}
                for name, s in (("scale", 0.004), ("model", -0.002))
            },
            "together": {"value": (1 + 0.01 * alpha**2).tolist(), "error": [0.0] * 7},
        }),
        (5, "tails", {"levels": [0.0, 0.5, 1.0], "log_ratio": [-4.0, 0.2, 3.0]}),
        (6, "convergence", {"members": [1, 2, 4], "median": [0.1, 0.07, 0.05], "quantile_90": [0.2, 0.14, 0.1]}),
        (7, "pulls", {"names": ["mu", "scale"], "values": [0.1, -0.05]}),
        (8, "gradient", {"points": ["best fit", "random point 1"], "difference": [1e-9, 0.0]}),
        (9, "binned", {"bins": [5, 10, 20], "sigma": [0.24, 0.22, 0.21], "unbinned_sigma": 0.2, "observed": [1, 1, 1]}),
        (10, "injection", {"parameters": ["scale", "model"], "found": [1.01, 0.98], "poi_bias": [0.01, 0.02]}),
        (11, "coverage", {
            "confidence_level": [0.6827, 0.9545], "value": [1.0, 1.0], "covered": [680.0, 950.0], "toys": [1000, 1000],
        }),
        (14, "pairs", {"parameters": ["scale", "model"], "pairs": [["scale", "model"]], "values": [0.013]}),
    ]  # fmt: skip
    checks = [
        judged(
            topic(number, kind, "ratios: S", f"{'closure' if kind == 'closure' else 'check-' + kind}", "ratios", "S"),
            0.03 if kind == "binned" else 0.01, _LIMITS, f"found by {kind}", figure={"kind": kind, **figure},
        )
        for number, kind, figure in figures
    ]  # fmt: skip
    checks.append(not_applicable(topic(12, "ONNX", "run", "parity", "onnx"), "this version writes no ONNX copies"))
    checks.append(judged(topic(13, None, "neural: SR", "positivity", "neural"), 0.0, _LIMITS, "positive everywhere"))
    return checks


def write_diagnostics(
    folder: Path, checks: list[Check] | None = None, *, overrides: dict[str, str] | None = None
) -> dict[str, Path]:
    """A unit of the stage ``diagnostics``."""
    path = folder / "diagnostics-diagnostics"
    path.mkdir(parents=True, exist_ok=True)
    body = diagnostics_document(example_checks() if checks is None else checks, overrides or {})
    (path / "diagnostics.json").write_text(json.dumps(body))
    return {"diagnostics/diagnostics": path}
