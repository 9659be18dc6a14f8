"""The section on the networks: losses, normalisation, log ratios in data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from evercast.artifacts.arrays import read_arrays
from evercast.publication.plots.networks import LossCurve, RatioDistribution
from evercast.publication.report import figures
from evercast.publication.report.blocks import Block, Cell, Gallery, Section, Table
from evercast.publication.report.figures import Drawing
from evercast.publication.report.mathtext import to_plain
from evercast.publication.report.processes import DrawnProcess
from evercast.publication.report.sections_selection import Selected, slug
from evercast.publication.report.units import Unit, of_stage
from evercast.publication.report.view import JsonView, read_view
from evercast.spec.model import Analysis, Ensemble

__all__ = ["networks_section"]

_FOLDED = 12


def networks_section(
    analysis: Analysis, units: tuple[Unit, ...], selected: Selected, processes: tuple[DrawnProcess, ...]
) -> Section | None:
    """Return everything on the networks of every ensemble, None where none was trained.

    Raises:
        IntegrityError: a file of a training or evaluation unit is damaged.
    """
    blocks: list[Block] = []
    for name, ensemble in analysis.ensembles.items():
        training = tuple(
            unit for unit in of_stage(units, "training") if unit.name.startswith(f"{name}-") or unit.name == name
        )
        blocks += _training_blocks(analysis, name, ensemble, training)
        for unit in of_stage(units, "evaluation"):
            if unit.name == name:
                blocks += _evaluation_blocks(analysis, name, ensemble, unit, selected, processes)
    if not blocks:
        return None
    lead = (
        "Each network separates one process from the reference mixture; its logit is the log density ratio. A "
        "simulated event is evaluated by networks that did not train on it, data by all of them, averaged. "
        "Calibration, closure and the other checks stand under Diagnostics."
    )
    return Section(anchor="networks", title="Networks", lead=lead, blocks=tuple(blocks))


def _training_blocks(analysis: Analysis, name: str, ensemble: Ensemble, units: tuple[Unit, ...]) -> list[Block]:
    curves: dict[str, list[LossCurve]] = defaultdict(list)
    others: dict[tuple[str, ...], list[LossCurve]] = defaultdict(list)
    for unit in units:
        body = read_view(unit.folder / "training.json")
        process = body.text("process") or unit.name.removeprefix(f"{name}-").rsplit("-", 1)[0]
        purpose = _purpose(body)
        found = [curve for network in body.entries("networks") if (curve := _curve(network)) is not None]
        if found and purpose is None:
            curves[process] += found
        elif found:
            others[process, purpose or ""] += found
    rows = _loss_rows({(process,): members for process, members in curves.items()})
    other_rows = _loss_rows(others)
    model = f"{ensemble.model.depth} × {ensemble.model.width}, {ensemble.model.activation}"
    note = (
        f"Multi-layer perceptrons ({model}) on {', '.join(ensemble.observables)}; {ensemble.members} members × "
        f"{ensemble.folds} folds; {ensemble.training.optimiser}, {ensemble.training.schedule} schedule; reference "
        + " + ".join(f"{weight:g} {sample}" for sample, weight in ensemble.reference.items())
    )
    headers = ("process", "networks", "epochs (median)", "kept epoch (median)", "validation loss")
    panels = [(f"{_title(analysis, process)} : reference", tuple(members)) for process, members in curves.items()]
    caption = f"Loss of every nominal network of {name}; dots mark the epoch whose weights were kept."
    blocks: list[Block] = []
    if rows:
        blocks.append(Table(title=f"Ensemble {name}", headers=headers, rows=rows, note=note))
        blocks.append(Gallery(drawings=(figures.losses(f"losses-{slug(name)}", panels, caption=caption),)))
    if other_rows:
        title = f"Ensemble {name}: networks of systematics and of the training statistics"
        blocks.append(
            Table(
                title=title, headers=(headers[0], "trained for", *headers[1:]), rows=other_rows,
                folded=len(other_rows) > _FOLDED,
            )
        )  # fmt: skip
    return blocks


def _purpose(body: JsonView) -> str | None:
    """Return what networks beside the nominal ones were trained for."""
    variation = body.at("variation")
    if variation.value is not None:
        return " ".join(text for text in (variation.text("parameter"), variation.text("direction")) if text) or "varied"
    if body.at("points").value:
        return "polynomial in the nuisance parameters"
    replica = body.whole("replica")
    return None if replica is None else "bootstrap replicas"


def _loss_rows(curves: Mapping[tuple[str, ...], list[LossCurve]]) -> tuple[tuple[Cell, ...], ...]:
    """Return a line for each key: its words, then medians over its networks."""
    rows = []
    for key, members in curves.items():
        best = [c.validation[c.best] for c in members if c.best is not None and c.best < len(c.validation)]
        rows.append((
            Cell(key[0], "code"), *(Cell(word) for word in key[1:]),
            Cell(f"{len(members)}", "number"),
            Cell(f"{np.median([len(c.train) for c in members]):.0f}", "number"),
            Cell(f"{np.median([c.best + 1 for c in members if c.best is not None] or [0]):.0f}", "number"),
            Cell(f"{np.mean(best):.4f} ± {np.std(best):.4f}" if best else "–", "number"),
        ))  # fmt: skip
    return tuple(rows)


def _curve(network: JsonView) -> LossCurve | None:
    train, validation = network.numbers("loss", "training"), network.numbers("loss", "validation")
    if train.size == 0:
        return None
    return LossCurve(train=train, validation=validation, best=network.whole("best_epoch"))


def _evaluation_blocks(
    analysis: Analysis, name: str, ensemble: Ensemble, unit: Unit, selected: Selected,
    processes: tuple[DrawnProcess, ...],
) -> list[Block]:  # fmt: skip
    diagnostics = dict(read_view(unit.folder / "diagnostics.json").items("processes"))
    blocks: list[Block] = [_normalisation_table(name, diagnostics)]
    ratios = _ratio_drawing(analysis, name, ensemble, unit, selected, processes)
    if ratios:
        blocks.append(Gallery(drawings=(ratios,)))
    return blocks


def _normalisation_table(name: str, diagnostics: dict[str, JsonView]) -> Table:
    rows = []
    for process, body in diagnostics.items():
        mean, error = body.number("normalisation", "mean"), body.number("normalisation", "error")
        log_norm = body.number("normalisation", "log_norm")
        saturated = body.number("saturated_fraction")
        rows.append((
            Cell(process, "code"),
            Cell("–" if mean is None else f"{mean:.4f}" + ("" if error is None else f" ± {error:.4f}"), "number"),
            Cell("–" if log_norm is None else f"{log_norm:+.4f}".replace("-", "−"), "number"),
            Cell(_whole(body.number("effective_sample_size", "process")), "number"),
            Cell(_whole(body.number("effective_sample_size", "reference")), "number"),
            Cell(_whole(body.number("effective_sample_size", "reweighted_reference")), "number"),
            Cell(_two(body.number("auc")), "number"),
            Cell(_two(body.number("member_spread", "median")), "number"),
            Cell("–" if saturated is None else f"{100 * saturated:.2g} %", "number"),
        ))  # fmt: skip
    headers = (
        "process", "E_ref[r] learned", "log divided out", "effective size, process", "reference",
        "reference, reweighted", "AUC", "spread of members (median)", "beyond ±15",
    )  # fmt: skip
    note = (
        "E_ref[r] is the mean of the learned density ratio over the reference, 1 in the ideal; what is divided out "
        "makes it 1 exactly. The spread is the standard deviation of log r over the members."
    )
    return Table(
        title=f"Normalisation of the density ratios, ensemble {name}", headers=headers, rows=tuple(rows), note=note
    )


def _ratio_drawing(
    analysis: Analysis, name: str, ensemble: Ensemble, unit: Unit, selected: Selected,
    processes: tuple[DrawnProcess, ...],
) -> Drawing | None:  # fmt: skip
    ratios = {
        sample: np.asarray(read_arrays(folder)["log_ratio"], dtype=np.float64)
        for sample in selected.tables
        if (folder := unit.folder / f"{sample}.zarr").is_dir()
    }
    simulated = selected.simulated(ensemble.region)
    data = next(
        (sample for sample, table in selected.tables.items() if table.role == "data" and sample in ratios), None
    )
    data = None if ensemble.region in selected.blind else data
    drawn = [p for p in processes if p.name in ensemble.processes and p.sample in ratios and p.sample in simulated]
    if not drawn:
        return None
    panels = []
    for column, process in enumerate(ensemble.processes):
        stacked = tuple(
            RatioDistribution(
                title=p.title,
                color=p.color,
                log_ratio=ratios[p.sample][:, column],
                weight=simulated[p.sample].weight * (p.coefficient if p.coefficient is not None else 1.0),
            )
            for p in drawn
        )
        axis = f"log r, {_title(analysis, process)} : reference"
        panels.append((axis, stacked, None if data is None else ratios[data][:, column]))
    caption = (
        "Log density ratios of each process to the reference: expected events (stacked, nominal point) and data. "
        "Values beyond the range are counted in the first and last bin."
    )
    return figures.ratios(f"ratios-{slug(name)}", panels, caption=caption)


def _title(analysis: Analysis, process: str) -> str:
    found = analysis.processes.get(process)
    return to_plain((found.title if found else None) or process)


def _whole(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}".replace(",", "\u202f")


def _two(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
