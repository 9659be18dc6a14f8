"""Event tables of a toy with known density ratios, and tasks of the training and evaluation stages on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from evercast.artifacts.event_table import EventTable, write_event_table
from evercast.plan.recipes import EvaluationRecipe, Task, TrainingRecipe
from evercast.spec.model import Ensemble, Mlp, Training

ENSEMBLE = Ensemble(
    region="SR",
    processes=("signal", "background"),
    reference={"signal_mc": 1.0, "background_mc": 1.0},
    observables=("x", "y"),
    model=Mlp(kind="mlp", width=16, depth=2),
    training=Training(epochs=6, batch=256, learning_rate=1e-2, patience=3),
    seed=5,
    members=2,
    folds=2,
)
PROCESS_SAMPLES = {"signal": "signal_mc", "background": "background_mc"}


def table(sample: str, *, mean: float, events: int, seed: int, role: str = "simulation") -> EventTable:
    """Gaussian x around 100 `mean`, y uniform and useless, z never seen by networks; 10 % of the events outside SR."""
    rng = np.random.default_rng(seed)
    x = 100.0 * rng.normal(mean, 1.0, events)
    columns = np.stack([x, rng.uniform(size=events), x + rng.normal(size=events)], axis=1)
    inside = rng.uniform(size=events) > 0.1
    return EventTable(
        sample=sample,
        role=role,
        observables=columns,
        weight=np.full(events, 0.01) if role == "simulation" else np.ones(events),
        event=rng.permutation(10 * events)[:events].astype(np.uint64),
        regions=np.stack([inside, ~inside], axis=1),
        observable_names=("x", "y", "z"),
        observable_units=("GeV", "1", "GeV"),
        region_names=("SR", "CR"),
    )


def tables() -> dict[str, EventTable]:
    return {
        "signal_mc": table("signal_mc", mean=0.5, events=2000, seed=1),
        "background_mc": table("background_mc", mean=-0.5, events=2500, seed=2),
        "observed": table("observed", mean=0.0, events=150, seed=3, role="data"),
    }


def write_tables(folder: Path, content: Mapping[str, EventTable]) -> dict[str, Path]:
    inputs = {}
    for name, one in content.items():
        unit = folder / "work" / "selection" / name
        unit.mkdir(parents=True, exist_ok=True)
        write_event_table(unit / "events.zarr", one)
        inputs[f"sample_{name}"] = unit
    return inputs


def training_task(
    folder: Path,
    inputs: Mapping[str, Path],
    *,
    process: str = "signal",
    members: tuple[int, ...] = (0, 1),
    ensemble: Ensemble = ENSEMBLE,
    label: str = "",
) -> Task[TrainingRecipe]:
    unit = f"{process}-{'-'.join(map(str, members))}{label}"
    output = folder / "work" / "training" / unit
    output.mkdir(parents=True)
    return Task(
        recipe=TrainingRecipe(
            analysis="toy",
            name="ratios",
            ensemble=replace(ensemble, processes=(process,), members=len(members)),
            process=process,
            sample=PROCESS_SAMPLES[process],
            members=members,
        ),
        inputs=dict(inputs),
        output=output,
        checkpoint=folder / "work" / "checkpoints" / "training" / unit,
        threads=1,
    )


def evaluation_task(
    folder: Path,
    inputs: Mapping[str, Path],
    blocks: Mapping[str, Path],
    *,
    ensemble: Ensemble = ENSEMBLE,
    label: str = "ratios",
) -> Task[EvaluationRecipe]:
    output = folder / "work" / "evaluation" / label
    output.mkdir(parents=True)
    samples = ("signal_mc", "background_mc", "observed")
    return Task(
        recipe=EvaluationRecipe(
            name="ratios",
            ensemble=ensemble,
            process_samples=PROCESS_SAMPLES,
            samples=samples,
            roles={name: "data" if name == "observed" else "simulation" for name in samples},
        ),
        inputs={**inputs, **blocks},
        output=output,
        checkpoint=folder / "work" / "checkpoints" / "evaluation" / label,
        threads=1,
    )
