"""The files of a signal's events against what the request says of them, before anything is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from evercast.errors import IntegrityError, InvalidInput
from evercast.reinterpretation.requests.event_scan import ScannedFile
from evercast.reinterpretation.requests.model import Collision, CrossSection, EventSample, SampleFile
from evercast.reinterpretation.requests.particle_codes import is_known, is_undecayed, listed_codes

__all__ = ["LEAST_EFFECTIVE", "CheckedSample", "check_events"]

LEAST_EFFECTIVE: Final = 10.0
"""Effective number of events below which a sample says nothing about an efficiency."""
_MOST_IDENTICAL: Final = 0.01
_AGREE: Final = 1e-3
"""Relative difference of two cross-sections that rounding alone may make."""
_AGREE_SQRT_S: Final = 0.01
_MOST_ENERGY: Final = 1.05
_PDG: Final[Mapping[str, tuple[frozenset[int], ...]]] = {
    "pp": (frozenset({2212}),), "ppbar": (frozenset({2212, -2212}),), "ee": (frozenset({11, -11}),),
    "ep": (frozenset({11, 2212}), frozenset({-11, 2212})), "PbPb": (frozenset({1000822080}),),
    "pPb": (frozenset({2212, 1000822080}),),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedSample:
    """A sample of events that can be used.

    Args:
        weight: column of the weight; None where every event weighs 1.
        events: of all files.
        sum_of_weights: likewise.
        effective_events: (sum w)^2 / sum w^2.
        file_cross_section_pb: that the files state, or that their weights make; None where neither.
        formats: of the files.
        remarks: for people.
    """

    weight: str | None
    events: int
    sum_of_weights: float
    effective_events: float
    file_cross_section_pb: float | None
    formats: tuple[str, ...]
    remarks: tuple[str, ...]


def check_events(
    sample: EventSample,
    scanned: Sequence[ScannedFile],
    *,
    cross_section: CrossSection,
    collision: Collision,
    where: str,
) -> CheckedSample:
    """Return what is used of a sample, after all its files agree with the request.

    Args:
        sample: as the request states it.
        scanned: its files, in order.
        cross_section: that the request states.
        collision: likewise; that it is the one of the analysis was checked before.
        where: of the sample in the request.

    Raises:
        IntegrityError: ``request.file-events``: another number of events.
        InvalidInput: ``request.weights``, ``request.weight-sum``, ``request.effective-events``,
            ``request.duplicate-events``, ``request.file-cross-section``, ``request.filter-efficiency``,
            ``request.file-collision``, ``request.file-energy``, ``request.particles``.
    """
    for file, found in zip(sample.files, scanned, strict=True):
        _check_file(file, found, collision)
    _check_identical(scanned, where)
    events = sum(found.events for found in scanned)
    total, squares = (sum(getattr(found, name) for found in scanned) for name in ("sum_of_weights", "sum_of_squares"))
    _check_convention(sample, scanned, where)
    effective = _effective(total, squares, scanned, events, where)
    weight = _common_weight(sample, scanned, where)
    stated = _stated_cross_section(sample, scanned, total=total, events=events)
    remarks = [_remark_of_weights(scanned, events, effective)] if effective < 0.9 * events else []
    if stated is not None:
        _check_cross_section(stated, cross_section, scanned, sample, where)
    _check_generated(scanned, cross_section, where)
    return CheckedSample(
        weight=weight, events=events, sum_of_weights=total, effective_events=effective, file_cross_section_pb=stated,
        formats=tuple(found.format for found in scanned), remarks=tuple(remarks),
    )  # fmt: skip


def _check_file(file: SampleFile, found: ScannedFile, collision: Collision) -> None:
    if found.events != file.events:
        message = f"the file has {found.events} events; the request states {file.events}"
        hint = "was the file cut, or is it another one? A lost part would look like a smaller signal"
        raise IntegrityError(message, code="request.file-events", where=file.path, hint=hint)
    _check_collision(file, found, collision)
    _check_particles(file, found)


def _check_collision(file: SampleFile, found: ScannedFile, collision: Collision) -> None:
    if found.beams and not any(frozenset(found.beams) == beams for beams in _PDG[collision.beams]):
        message = f"the file states beams {listed_codes(found.beams)} (PDG); the request is for {collision.beams}"
        raise InvalidInput(message, code="request.file-collision", where=file.path)
    energy = found.sqrt_s_tev
    if energy is not None and abs(energy - collision.sqrt_s_tev) > _AGREE_SQRT_S * collision.sqrt_s_tev:
        message = f"the file states collisions at {energy:.6g} TeV; the request is for {collision.sqrt_s_tev:g} TeV"
        raise InvalidInput(message, code="request.file-collision", where=file.path)
    largest = found.largest_energy_gev
    if largest is not None and largest > _MOST_ENERGY * 1000.0 * collision.sqrt_s_tev and len(set(found.beams)) < 2:
        message = f"an event has {largest:.6g} GeV in its final state; the beams have {1000.0 * collision.sqrt_s_tev:g}"
        hint = "are the momenta in GeV?"
        raise InvalidInput(message, code="request.file-energy", where=file.path, hint=hint)


def _check_particles(file: SampleFile, found: ScannedFile) -> None:
    codes = {int(code): number for code, number in found.codes.items()}
    unknown = [code for code in codes if not is_known(code)]
    if unknown:
        message = (
            f"the final state has {sum(codes[code] for code in unknown)} particles with PDG codes that do not exist"
        )
        raise InvalidInput(f"{message}: {listed_codes(unknown)}", code="request.particles", where=file.path)
    undecayed = [code for code in codes if is_undecayed(code)]
    if undecayed:
        number = sum(codes[code] for code in undecayed)
        message = (
            f"the final state has {number} particles that decay before they are seen: PDG {listed_codes(undecayed)}"
        )
        hint = "let the generator decay them: the selection is of what a detector sees"
        raise InvalidInput(message, code="request.particles", where=file.path, hint=hint)


def _check_identical(scanned: Sequence[ScannedFile], where: str) -> None:
    events = sum(found.events for found in scanned)
    identical = sum(found.identical for found in scanned if found.continuous)
    if identical > max(1.0, _MOST_IDENTICAL * events):
        message = f"{identical} of the {events} events are as others before them, number by number"
        hint = "is one file in the other, or was a file appended to itself?"
        raise InvalidInput(message, code="request.duplicate-events", where=where, hint=hint)


def _check_convention(sample: EventSample, scanned: Sequence[ScannedFile], where: str) -> None:
    plain = all(found.all_one for found in scanned)
    hint = "weights: relative | sum | mean, after what the generator wrote"
    if sample.weights is None and not plain:
        message = (
            "the events have weights that are not 1; the request does not say what they mean, and it is not guessed"
        )
        raise InvalidInput(message, code="request.weights", where=where, hint=hint)
    if sample.weights == "unit" and not plain:
        largest = max(found.largest_weight for found in scanned)
        mean = sum(found.sum_of_weights for found in scanned) / sum(found.events for found in scanned)
        message = (
            f"the request says that every event weighs 1; the files have other weights, the largest is {largest:g} "
            f"in size, their mean {mean:g}"
        )
        raise InvalidInput(message, code="request.weights", where=where, hint=hint)


def _effective(total: float, squares: float, scanned: Sequence[ScannedFile], events: int, where: str) -> float:
    if total <= 0:
        zero = squares == 0
        message = "all weights are 0" if zero else f"the weights cancel or are negative in all: their sum is {total:g}"
        raise InvalidInput(f"{message}, in {events} events", code="request.weight-sum", where=where)
    effective = total**2 / squares
    if effective < LEAST_EFFECTIVE:
        largest = max(found.largest_weight for found in scanned)
        message = (
            f"{events} events with a sum of weights of {total:g} and a largest weight of {largest:g} are worth "
            f"{effective:.3g}; at least {LEAST_EFFECTIVE:g} are needed"
        )
        raise InvalidInput(message, code="request.effective-events", where=where)
    return effective


def _common_weight(sample: EventSample, scanned: Sequence[ScannedFile], where: str) -> str | None:
    if all(found.all_one for found in scanned) and sample.weights in {None, "unit"}:
        return None
    names = {found.weight for found in scanned}
    if len(names) != 1:
        listed = ", ".join(sorted(str(name) for name in names))
        message = f"the files have different columns of the nominal weight: {listed}"
        raise InvalidInput(message, code="request.nominal-weight", where=where)
    return names.pop()


def _stated_cross_section(
    sample: EventSample, scanned: Sequence[ScannedFile], *, total: float, events: int
) -> float | None:
    """Return the cross-section that the weights make, else the one in the headers: of several files by their events."""
    if sample.weights == "sum":
        return total
    if sample.weights == "mean":
        return total / events
    stated = [(found.cross_section_pb, found.events) for found in scanned if found.cross_section_pb is not None]
    if not stated:
        return None
    return sum(value * number for value, number in stated) / sum(number for _, number in stated)


def _check_cross_section(
    found: float, stated: CrossSection, scanned: Sequence[ScannedFile], sample: EventSample, where: str
) -> None:
    """Compare every header and what the weights make of it with the stated cross-section before its factors."""
    told = [("the header", one.cross_section_pb, one.cross_section_error_pb or 0.0) for one in scanned]
    if sample.weights in {"sum", "mean"}:
        told.append((f"the {sample.weights} of the weights", found, 0.0))
    for what, value, error in told:
        allowed = (stated.relative_uncertainty + _AGREE) * stated.value_pb + error
        if value is not None and abs(value - stated.value_pb) > allowed:
            message = (
                f"{what} gives {value:.6g} pb; the request states {stated.value_pb:.6g} pb with an uncertainty of "
                f"{100.0 * stated.relative_uncertainty:g} %"
            )
            hint = "value_pb is the cross-section of the generator; higher orders belong into k_factor"
            raise InvalidInput(message, code="request.file-cross-section", where=where, hint=hint)


def _check_generated(scanned: Sequence[ScannedFile], stated: CrossSection, where: str) -> None:
    """Refuse a file that holds a part of the generated events where the request does not say so."""
    generated = sum(found.generated or found.events for found in scanned)
    events = sum(found.events for found in scanned)
    kept = events / generated
    if generated > events and abs(stated.filter_efficiency - kept) > 0.05 * kept:
        message = (
            f"the files hold {events} of {generated} generated events, {kept:.4g}; the request states a filter "
            f"efficiency of {stated.filter_efficiency:.4g}"
        )
        raise InvalidInput(message, code="request.filter-efficiency", where=where)


def _remark_of_weights(scanned: Sequence[ScannedFile], events: int, effective: float) -> str:
    largest = max(found.largest_weight for found in scanned)
    return f"{events} events have different weights (largest {largest:.4g}) and are worth {effective:.4g} equal ones"
