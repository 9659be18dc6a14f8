"""Inputs of the serialization of a toy whose density ratios and variations are exact: no network was trained for them.

Signal and background are Gaussian in x / 100 around +-0.5 with width 1; a variation moves the mean m by a shift d, so
ln p(x | d) / p(x | 0) = d (x / 100 - m) - d^2 / 2.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from learning_tasks import tables

from evercast.artifacts.arrays import write_arrays
from evercast.artifacts.event_table import EventTable, write_event_table
from evercast.artifacts.weights import EnsembleWeights, write_weights
from evercast.networks.architecture import Architecture, Term, Weights

MEANS = {"signal": 0.5, "background": -0.5}
PROCESSES = tuple(MEANS)


def log_ratio(table: EventTable, process: str) -> np.ndarray:
    """Of the process to the equal mixture of both."""
    x = table.columns(["x"])[:, 0] / 100.0
    logs = {name: -0.5 * (x - mean) ** 2 for name, mean in MEANS.items()}
    return logs[process] - np.logaddexp(*logs.values()) + np.log(2.0)


def log_shift(table: EventTable, process: str, shift: float) -> np.ndarray:
    """Of the process with its mean moved by `shift` to itself."""
    x = table.columns(["x"])[:, 0] / 100.0
    return shift * (x - MEANS[process]) - 0.5 * shift**2


def varied(table: EventTable, *, shift: float = 0.0, factor: float = 1.0) -> EventTable:
    """The same events with x moved (in its widths of 100) and weights times a factor."""
    return replace(
        table, observables=table.observables + 100.0 * np.array([shift, 0.0, shift]), weight=table.weight * factor
    )


def write_selection(folder: Path, name: str, table: EventTable) -> Path:
    unit = folder / "selection" / name
    unit.mkdir(parents=True)
    write_event_table(unit / "events.zarr", table)
    return unit


def write_evaluation(
    folder: Path,
    name: str,
    arrays: Mapping[str, Callable[[EventTable], np.ndarray]],
    diagnostics: Mapping[str, object],
    **attributes: object,
) -> Path:
    """Write a unit of evaluation: array -> its values for the events of a sample in the signal region."""
    unit = folder / "evaluation" / name
    unit.mkdir(parents=True)
    for sample, whole in tables().items():
        table = whole.in_region("SR")
        made = {key: np.asarray(values(table), dtype=np.float32) for key, values in arrays.items()}
        write_arrays(unit / f"{sample}.zarr", {**made, "event": table.event}, {"sample": sample, **attributes})
    (unit / "diagnostics.json").write_text(json.dumps({"ensemble": "ratios", "processes": dict(diagnostics)}))
    return unit


def write_block(folder: Path, name: str, *, terms: tuple[Term, ...] = (), seed: int = 1, **labels: str) -> Path:
    """Write a block of two members and two folds with weights out of the air."""
    unit = folder / "training" / name
    unit.mkdir(parents=True)
    form = Architecture(observables=("x", "y"), width=3, depth=1, activation="tanh", terms=terms)
    random = np.random.default_rng(seed)

    def numbers(*shape: int) -> np.ndarray:
        return random.normal(size=(2, 2, *shape)).astype(np.float32)

    inputs, width, outputs = form.sizes()
    weights = Weights(
        mean=numbers(inputs),
        scale=np.abs(numbers(inputs)) + 50.0,
        weight=(numbers(width, inputs), numbers(outputs, width)),
        bias=(numbers(width), numbers(outputs)),
    )
    networks = EnsembleWeights(
        architecture=form, members=(0, 1), folds=2, weights=weights, labels={"ensemble": "ratios", **labels}
    )
    write_weights(unit / "weights.safetensors", networks)
    return unit


def nominal_inputs(folder: Path) -> dict[str, Path]:
    """Selections, the ratios of the ensemble and its networks."""
    inputs = {f"sample_{name}": write_selection(folder, name, table) for name, table in tables().items()}
    inputs["evaluation_ratios"] = write_evaluation(
        folder,
        "ratios",
        {"log_ratio": lambda table: np.stack([log_ratio(table, process) for process in PROCESSES], axis=1)},
        {process: {"normalisation": {"log_norm": 0.01}} for process in PROCESSES},
        processes=list(PROCESSES),
    )
    for process in PROCESSES:
        inputs[f"block.ratios.{process}.0"] = write_block(folder, process, process=process)
    return inputs


def variation_inputs(folder: Path, parameter: str, shifts: Mapping[str, tuple[float, float | None]]) -> dict[str, Path]:
    """The evaluation and the networks of an anchor morph: process -> shift of its mean up and down (None: none)."""

    def column(side: int) -> Callable[[EventTable], np.ndarray]:
        return lambda table: np.stack(
            [log_shift(table, process, pair[side] or 0.0) for process, pair in shifts.items()], axis=1
        )

    sides = {process: ("up",) if pair[1] is None else ("up", "down") for process, pair in shifts.items()}
    inputs = {
        f"variation.ratios.{parameter}": write_evaluation(
            folder,
            f"ratios-{parameter}",
            {"log_up": column(0), "log_down": column(1)},
            {process: {side: {"normalisation": {"log_norm": 0.02}} for side in sides[process]} for process in shifts},
            processes=list(shifts),
            parameter=parameter,
        )
    }
    for process in shifts:
        for side in sides[process]:
            inputs[f"variation_block.ratios.{parameter}.{process}.{side}.0"] = write_block(
                folder, f"{process}-{parameter}-{side}", process=process, parameter=parameter, direction=side
            )
    return inputs


def polynomial_inputs(folder: Path, parameters: Sequence[str], *, shift: float) -> dict[str, Path]:
    """Polynomials of degree 2 of the signal: every parameter moves its mean by `shift` per unit."""
    terms = tuple(((name, power),) for name in parameters for power in (1, 2))

    def coefficients(table: EventTable) -> np.ndarray:
        x = table.columns(["x"])[:, 0] / 100.0
        linear, square = shift * (x - MEANS["signal"]), np.full(len(x), -0.5 * shift**2)
        return np.stack([linear if term[0][1] == 1 else square for term in terms], axis=1)

    columns = [{"process": "signal", "powers": [list(pair) for pair in term]} for term in terms]
    return {
        "polynomial.ratios": write_evaluation(
            folder,
            "ratios-polynomial",
            {"coefficients": coefficients},
            {"signal": {"constants": [0.01] * len(terms)}},
            processes=["signal"],
            terms=columns,
        ),
        "polynomial_block.ratios.signal.0": write_block(folder, "signal-polynomial", terms=terms, process="signal"),
    }


def replica_inputs(folder: Path, *, replicas: int, spread: float) -> dict[str, Path]:
    """Replicas whose log ratio of the signal scatters as z_r spread (x / 100), with fixed z_r of unit variance."""
    z = np.linspace(-1.0, 1.0, replicas)
    z = z / z.std(ddof=1)

    def values(table: EventTable) -> np.ndarray:
        nominal = np.stack([log_ratio(table, process) for process in PROCESSES], axis=1)
        change = np.zeros((len(table), 2, replicas))
        change[:, 0] = spread * table.columns(["x"])[:, :1] / 100.0 * z
        return nominal[..., None] + change

    unit = write_evaluation(folder, "ratios-replicas", {"log_ratio": values}, {}, processes=list(PROCESSES))
    return {"replicas.ratios": unit}
