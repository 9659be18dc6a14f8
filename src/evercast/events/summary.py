"""The summary of a selection: cut flow, regions, normalisation and input, as it is written to ``summary.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from evercast.artifacts.event_table import EventTable
from evercast.events.normalise import Normalised, effective_sample_size
from evercast.events.pseudo import Drawn
from evercast.events.sample import SampleEvents
from evercast.events.selector import CutFlow
from evercast.events.statements import Comparison
from evercast.spec.model import Normalisation, PseudoData

__all__ = ["drawn_summary", "selection_summary"]


def selection_summary(
    table: EventTable,
    events: SampleEvents,
    cut_flow: CutFlow,
    normalised: Normalised,
    *,
    norm: Normalisation | None,
    comparisons: Sequence[Comparison],
    variation: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """Return the summary of the selection of a sample.

    Args:
        table: what was selected.
        events: what was read.
        cut_flow: events and sums of weights, as in the file, after each step.
        normalised: how weights became expected events; the cut flow is scaled by its (mean) factor.
        norm: what the document asks for.
        comparisons: declared numbers beside those of the files.
        variation: name and changes of a varied selection.
    """
    steps = [
        {
            "step": step.name,
            "events": step.events,
            "sum_of_weights": step.sum_of_weights,
            "sum_of_weights_expected": step.sum_of_weights * normalised.factor,
        }
        for step in cut_flow.steps
    ]
    return {
        "sample": table.sample,
        "role": table.role,
        "pseudo": False,
        "variation": variation,
        "n_read": events.n_read,
        "cut_flow": steps,
        "regions": _regions(table),
        "normalisation": _normalisation(norm, normalised, table, events),
        "input": [asdict(file) for file in events.files],
        "comparisons": [asdict(one) for one in comparisons],
    }


def drawn_summary(drawn: Drawn, pseudo: PseudoData) -> dict[str, object]:
    """Return the summary of pseudo-data, with the same keys."""
    table, total = drawn.table, len(drawn.table)
    step = {
        "step": "drawn from simulation",
        "events": total,
        "sum_of_weights": float(total),
        "sum_of_weights_expected": float(sum(pseudo.yields.values())),
    }
    return {
        "sample": table.sample,
        "role": table.role,
        "pseudo": True,
        "variation": None,
        "n_read": total,
        "cut_flow": [step],
        "regions": _regions(table),
        "normalisation": {"kind": "pseudo", "factor": 1.0, "yield": float(total), "drawn": dict(drawn.numbers)},
        "input": [],
        "comparisons": [],
    }


def _regions(table: EventTable) -> dict[str, dict[str, int | float]]:
    summary: dict[str, dict[str, int | float]] = {}
    for name in table.region_names:
        weight = table.in_region(name).weight
        summary[name] = {
            "events": len(weight),
            "sum_of_weights": float(weight.sum()),
            "sum_of_weights_squared": float((weight**2).sum()),
            "effective_sample_size": effective_sample_size(weight),
        }
    return summary


def _normalisation(
    norm: Normalisation | None, normalised: Normalised, table: EventTable, events: SampleEvents
) -> dict[str, object]:
    return {
        "kind": normalised.kind,
        "factor": normalised.factor,
        "yield": float(table.weight.sum()),
        "asked_for": normalised.total,
        "generated_sum_of_weights": normalised.generated_sum,
        "sum_of_weights_read": events.sum_read,
        "sum_of_weights_stated": events.sum_stated,
        "region": None if norm is None else norm.region,
        "histogram": None if norm is None else norm.histogram,
        "bin_factors": list(normalised.bin_factors),
    }
