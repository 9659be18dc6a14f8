"""The events or the card of a point made into a signal that the engine runs, after its files agree with the request."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from evercast.artifacts.files import canonical_json
from evercast.errors import InvalidInput
from evercast.events.selector import Selector
from evercast.events.truth import HEAVY_FLAVOUR, TRUTH_COLUMNS
from evercast.reinterpretation.requests.declared import DeclaredSignal, InputFile, generator_name
from evercast.reinterpretation.requests.event_checks import check_events
from evercast.reinterpretation.requests.event_reading import read_events
from evercast.reinterpretation.requests.model import Collision, CrossSection, EventSample, Generation, NewPoint
from evercast.reinterpretation.requests.side_files import check_side_file
from evercast.spec.codec import to_json
from evercast.spec.model import Analysis, EventFile, Generator, Normalisation, Sample, SlhaFile
from evercast.stages.generation.slha import SLHA_LARGEST, slha_facts

__all__ = ["declare_signal"]

_INPUTS: Final = "inputs"
_BEAMS: Final[Mapping[str, tuple[int, int]]] = {
    "pp": (2212, 2212), "ppbar": (2212, -2212), "ee": (11, -11), "ep": (-11, 2212),
}  # fmt: skip
_OWN_SETTINGS: Final = re.compile(r"\W*(random|print|next|init|main|beams|merging|slha:file|slha:readfrom)\b.*", re.I)
"""Settings that the engine makes itself, or by which a card would read a file."""
_FILE_SETTINGS: Final = re.compile(
    r"[^\s=]*((?<!pro)file|plugin|reuseinit)\b.*|pdf:[^\s=]*set[^\s=]*[\s=]+[^\s\d=-].*|xmlpath\b.*", re.I
)
"""Settings by which Pythia reads or writes a file of its own choice, or loads a library."""
_SUFFIX: Final = re.compile(r"(\.[a-z0-9]{1,8}){1,2}", re.I)


def declare_signal(
    stated: NewPoint, selection: Analysis, *, collision: Collision, folder: Path, where: str,
    requires: Collection[str] = (), remember: bool = False,
) -> DeclaredSignal:  # fmt: skip
    """Return a signal as the engine runs it, after its files agree with the request.

    Args:
        stated: the point, of the form `events` or `generate`.
        selection: the preserved document.
        collision: for which the signal was computed.
        folder: of the request.
        where: of the point in the request.
        requires: what the record of an event must hold, as the analysis says: ``b-hadrons``.
        remember: whether what its files hold is written down in the folder, so that they are read once.

    Raises:
        InvalidInput: what is wrong with a file or a setting.
        IntegrityError: a file is not the one that the request names.
    """
    assert stated.cross_section is not None  # noqa: S101 - by the checks of the document
    truth = (HEAVY_FLAVOUR,) if "b-hadrons" in requires else ()
    if stated.events is not None:
        wanted = (*Selector(selection.selection, weight=None, smear=True).inputs(), *truth)
        return _of_files(
            stated.events, stated.cross_section, collision, folder, where=f"{where}.events", remember=remember,
            wanted=tuple(dict.fromkeys(wanted)),
        )  # fmt: skip
    assert stated.generate is not None  # noqa: S101 - one of the two
    known = {*_texts(to_json(selection.selection)), *truth}
    return _of_card(
        stated.generate, stated.cross_section, collision, folder, where=f"{where}.generate",
        truth=not known.isdisjoint(TRUTH_COLUMNS),
    )  # fmt: skip


def _of_files(
    sample: EventSample, cross_section: CrossSection, collision: Collision, folder: Path, *, where: str,
    remember: bool, wanted: Sequence[str],
) -> DeclaredSignal:  # fmt: skip
    scanned = read_events(folder, sample, wanted=wanted, remember=remember)
    checked = check_events(sample, scanned, cross_section=cross_section, collision=collision, where=where)
    inputs = tuple(
        InputFile(
            place=_place(file.sha256, file.path), path=file.path, sha256=file.sha256, size_bytes=file.size_bytes,
            events=file.events, format=form,
        )
        for file, form in zip(sample.files, checked.formats, strict=True)
    )  # fmt: skip
    files = [
        EventFile(
            path=entry.place, sha256=entry.sha256 if entry.format != "zarr" else None, format=file.format,
            tree=file.tree, collections=file.collections,
        )
        for entry, file in zip(inputs, sample.files, strict=True)
    ]  # fmt: skip
    body = _sample(files, cross_section, weight=checked.weight, generated=checked.sum_of_weights)
    return DeclaredSignal(
        sample=_name(body, None), body=body, inputs=inputs, cross_section_pb=cross_section.effective_pb,
        systematic=sample.systematic, file_cross_section_pb=checked.file_cross_section_pb,
        effective_events=checked.effective_events, remarks=checked.remarks,
    )  # fmt: skip


def _of_card(
    card: Generation, cross_section: CrossSection, collision: Collision, folder: Path, *, where: str, truth: bool,
) -> DeclaredSignal:  # fmt: skip
    for number, setting in enumerate(card.settings):
        _check_setting(setting, where=f"{where}.settings[{number}]")
    if collision.beams not in _BEAMS:
        message = f"{card.program} makes no {collision.beams} collisions here"
        raise InvalidInput(message, code="request.generator", where=where, hint=f"one of {', '.join(_BEAMS)}")
    inputs: tuple[InputFile, ...] = ()
    if card.slha is not None:
        with check_side_file(folder, card.slha).open("rb") as stream:
            slha_facts(stream.read(SLHA_LARGEST + 1), where=f"{where}.slha")
        place = f"{_INPUTS}/{card.slha.sha256}.slha"
        inputs = (
            InputFile(
                place=place, path=card.slha.path, sha256=card.slha.sha256, size_bytes=card.slha.size_bytes
            ),
        )  # fmt: skip
    first, second = _BEAMS[collision.beams]
    beams = (f"Beams:idA = {first}", f"Beams:idB = {second}", f"Beams:eCM = {1000.0 * collision.sqrt_s_tev:g}")
    generator = Generator(
        program=card.program, settings=(*beams, *card.settings), events=card.events, seed=card.seed, jobs=card.jobs,
        slha=None if card.slha is None else SlhaFile(path=inputs[0].place, sha256=card.slha.sha256),
        truth=truth,
    )  # fmt: skip
    body = _sample([EventFile(generator=generator_name(generator))], cross_section, weight="weight", generated=None)
    return DeclaredSignal(
        sample=_name(body, generator), body=body, generator=generator, inputs=inputs,
        cross_section_pb=cross_section.effective_pb,
        systematic=card.systematic,
    )  # fmt: skip


def _sample(
    files: Sequence[EventFile], cross_section: CrossSection, *, weight: str | None, generated: float | None
) -> Sample:
    normalisation = Normalisation(
        cross_section_pb=cross_section.value_pb * cross_section.filter_efficiency, k_factor=cross_section.k_factor,
        generated_sum_of_weights=generated,
    )  # fmt: skip
    return Sample(files=tuple(files), weight=weight, normalisation=normalisation, may_be_empty=True)


def _name(body: Sample, generator: Generator | None) -> str:
    """Return a name after the content, so that the same signal is the same unit in every submission."""
    content = {"sample": to_json(body), "generator": None if generator is None else to_json(generator)}
    return f"signal_{hashlib.sha256(canonical_json(content)).hexdigest()[:16]}"


def _place(digest: str, path: str) -> str:
    suffix = "".join(Path(path).suffixes[-2:])
    return f"{_INPUTS}/{digest}{suffix if _SUFFIX.fullmatch(suffix) else ''}"


def _check_setting(setting: str, *, where: str) -> None:
    text = setting.strip()
    files = _FILE_SETTINGS.fullmatch(text)
    if _OWN_SETTINGS.fullmatch(text) or files or "/" in text or "\n" in text or text.lower().startswith("include"):
        message = f"the setting {text!r} is not taken from a request: beams, seed and files are set by the engine"
        hint = "sqrt(s) and beams stand in collision, the seed in seed, a spectrum in slha"
        raise InvalidInput(message, code="request.setting", where=where, hint=hint)


def _texts(value: object) -> frozenset[str]:
    """Return all texts in a JSON value."""
    if isinstance(value, Mapping):
        return frozenset().union(*(_texts(part) for part in value.values())) if value else frozenset()
    if isinstance(value, list):
        return frozenset().union(*(_texts(part) for part in value)) if value else frozenset()
    return frozenset({value}) if isinstance(value, str) else frozenset()
