"""What a document declares of a sample, what its files state and what was read from them: compared, and put to use."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from evercast.errors import InvalidInput
from evercast.events.sample import SampleEvents
from evercast.spec.model import Sample

__all__ = ["Comparison", "compare_with_statements", "generated_sum"]

_log = logging.getLogger(__name__)

_AGREE: Final = 0.1
"""Relative difference beyond which a declared and a stated number are said to disagree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A declared number beside the one that the files state.

    Args:
        quantity: ``cross_section_pb``, ``generated_sum_of_weights``, or ``sum_of_weights`` where the weight is that of
            the file or 1, or where a cross-section is divided by the sum of another weight.
        declared: by the document, or as read with the declared weights.
        stated: by the files.
        agrees: whether they differ by at most 10 %.
    """

    quantity: str
    declared: float
    stated: float
    agrees: bool


def generated_sum(sample: Sample, events: SampleEvents) -> float:
    """Return the sum of the declared weight over all generated events, by which a cross-section is divided.

    It is the one that the document declares. Else, without a weight, the number of generated events; with the weight of
    the files, what they state, or what was read; with an expression, what was read: the sum that files state is of
    their own weight.

    Raises:
        InvalidInput: ``sample.generated-sum``, a file holds fewer events than were generated, and the sum of this
            weight over them all is not known.
    """
    if sample.normalisation is not None and sample.normalisation.generated_sum_of_weights is not None:
        return sample.normalisation.generated_sum_of_weights
    if sample.weight is None:
        return float(events.n_generated)
    if _is_weight_of_file(sample.weight) and events.sum_stated is not None:
        return events.sum_stated
    if events.skimmed:
        file = events.skimmed[0]
        raise InvalidInput(
            f"the file holds {file.n_events} of {file.facts.n_generated} generated events; the sum of the weight "
            f"{sample.weight!r} over those it does not hold is not known",
            code="sample.generated-sum",
            where=file.name,
            hint="declare generated_sum_of_weights, the sum of this weight over all generated events",
        )
    return events.sum_read


def _is_weight_of_file(weight: str) -> bool:
    return weight.strip() == "weight"


def compare_with_statements(sample: Sample, events: SampleEvents) -> tuple[Comparison, ...]:
    """Return the declared numbers beside those that the files state; a disagreement is logged as a warning."""
    norm = sample.normalisation
    compared = (
        sample.weight is None
        or _is_weight_of_file(sample.weight)
        or (norm is not None and norm.cross_section_pb is not None)
    )
    declared = {
        "cross_section_pb": None if norm is None else norm.cross_section_pb,
        "generated_sum_of_weights": None if norm is None else norm.generated_sum_of_weights,
        "sum_of_weights": events.sum_read if compared else None,
    }
    stated = {
        "cross_section_pb": events.cross_section_stated,
        "generated_sum_of_weights": events.sum_stated,
        "sum_of_weights": events.sum_stated,
    }
    found: list[Comparison] = []
    for quantity, ours in declared.items():
        theirs = stated[quantity]
        if ours is None or theirs is None:
            continue
        agrees = abs(ours - theirs) <= _AGREE * max(abs(ours), abs(theirs))
        found.append(Comparison(quantity=quantity, declared=float(ours), stated=theirs, agrees=agrees))
        if not agrees:
            _log.warning("%s: declared or read %g, the files state %g", quantity, ours, theirs)
    return tuple(found)
