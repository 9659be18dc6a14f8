"""HistFactory workspaces as likelihood models: every modifier type, several channels, measurement settings, patches.

Parameter names, initial values, bounds, constraint terms and the treatment of empty bins are those of pyhf 0.7, so that
-2 ln L is the same number, constants included. What pyhf accepts although it is wrong is refused here.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, Literal

import jsonpatch
import jsonpointer
import numpy as np
from jaxtyping import Float

from evercast.errors import InvalidInput
from evercast.likelihood.histfactory_parameters import Parameters, SampleUse, read_use
from evercast.likelihood.model import (
    BinFactor,
    BinnedChannelModel,
    BinnedSample,
    HistoSys,
    LikelihoodModel,
    Modifier,
    NormFactor,
    NormSys,
)
from evercast.likelihood.workspace_text import (
    entries_of,
    mapping_of,
    number_of,
    numbers_of,
    text_of,
)

__all__ = ["KnownSample", "apply_patch", "patch_of_set", "patches_of_set", "read_workspace"]

Codes = tuple[Literal["0", "1", "4"], Literal["0", "2", "4p"]]

_NORMSYS_CODES: Final[Mapping[str, Literal["0", "1", "4"]]] = {"code0": "0", "code1": "1", "code4": "4"}
_HISTOSYS_CODES: Final[Mapping[str, Literal["0", "2", "4p"]]] = {"code0": "0", "code2": "2", "code4p": "4p"}


def apply_patch(workspace: Mapping[str, object], patch: Sequence[object]) -> Mapping[str, object]:
    """Return a new workspace with a JSON patch (RFC 6902) applied; what the patch leaves alone is shared, not copied.

    Raises:
        InvalidInput: the patch is not valid or does not fit the workspace.
    """
    result: object = dict(workspace)
    try:
        for entry in patch:
            operation = dict(mapping_of(entry, "$"))
            value = operation.get("value")
            if isinstance(value, dict):
                operation["value"] = _Shared(value)
            for key in ("path", "from"):
                if key in operation:
                    _copy_along(result, jsonpointer.JsonPointer(str(operation[key])).parts[:-1])
            result = jsonpatch.JsonPatch([operation]).apply(result, in_place=True)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError, KeyError, IndexError) as err:
        message = f"the patch does not fit the workspace: {err}"
        hint = "is it the patch of another region or version?"
        raise InvalidInput(message, code="workspace.patch", hint=hint) from err
    return mapping_of(result, "$")


class _Shared(dict[str, object]):
    """A value of a patch: it is not copied, since whatever is changed afterwards is (`_copy_along`)."""

    def __deepcopy__(self, memo: dict[int, object]) -> _Shared:
        return self


def _copy_along(document: object, parts: Sequence[str]) -> None:
    """Replace what lies on the way to a place, and it, by shallow copies: a change in it reaches nothing shared."""
    for part in parts:
        if isinstance(document, dict) and part in document:
            document[part] = copy.copy(document[part])
            document = document[part]
        elif isinstance(document, list) and part.isdecimal() and int(part) < len(document):
            document[int(part)] = copy.copy(document[int(part)])
            document = document[int(part)]
        else:
            return


def patch_of_set(patchset: Mapping[str, object], name: str) -> Sequence[object]:
    """Return the patch of that name out of a pyhf patchset.

    Raises:
        InvalidInput: there is no such patch; the nearest names are given.
    """
    found = patches_of_set(patchset)
    if name in found:
        return found[name]
    close = difflib.get_close_matches(name, found, n=5)
    near = list(dict.fromkeys([*close, *(other for other in found if name.lower() in other.lower())]))[:5]
    near = near or list(found)[:5]
    message = f"the patchset of {len(found)} patches has no '{name}'; for example: {', '.join(near)}"
    raise InvalidInput(message, code="workspace.unknown-patch")


def patches_of_set(patchset: Mapping[str, object]) -> Mapping[str, Sequence[object]]:
    """Return all patches of a pyhf patchset by name, in its order.

    Raises:
        InvalidInput: it is no patchset, or a name stands twice.
    """
    found: dict[str, Sequence[object]] = {}
    for number, entry in enumerate(entries_of(patchset, "patches", "$")):
        place = f"$.patches[{number}]"
        metadata = mapping_of(entry.get("metadata"), f"{place}.metadata")
        name, patch = text_of(metadata, "name", f"{place}.metadata"), entry.get("patch")
        if not isinstance(patch, list):
            raise InvalidInput("a patch must be a list", code="workspace.patch", where=f"{place}.patch")
        if name in found:
            raise InvalidInput(f"the patch '{name}' stands twice", code="workspace.duplicate", where=place)
        found[name] = patch
    return found


def read_workspace(
    workspace: Mapping[str, object],
    *,
    measurement: str | None = None,
    modifier_settings: Mapping[str, Mapping[str, str]] | None = None,
    name: str = "workspace",
    known: dict[int, KnownSample | None] | None = None,
) -> LikelihoodModel:
    """Return the likelihood of a pyhf workspace.

    Args:
        workspace: the JSON document.
        measurement: which of its measurements; None takes the first.
        modifier_settings: interpolation codes as pyhf takes them, ``{"normsys": {"interpcode": "code1"}}``; `normsys`
            has code0, code1, code4 (default), `histosys` code0, code2, code4p (default).
        name: for messages and results.
        known: identity of the JSON object of a sample -> what was read from it before with the same settings, or
            None, which is then filled in. For patched workspaces, which share what no patch changes; objects named
            here must outlive it.

    Raises:
        InvalidInput: the document is not a valid workspace; the message holds the JSON path.
    """
    reading = _Reading(_codes(modifier_settings or {}), {} if known is None else known, {})
    channels = sorted(
        ((text_of(entry, "name", f"$.channels[{i}]"), i, entry) for i, entry in
         enumerate(entries_of(workspace, "channels", "$"))),
        key=lambda item: item[0],
    )  # fmt: skip
    observed = _observations(workspace, [channel for channel, _, _ in channels])
    parameters = Parameters()
    for channel, position, entry in channels:
        for number, sample in enumerate(entries_of(entry, "samples", f"$.channels[{position}]")):
            use = reading.use(sample, f"$.channels[{position}].samples[{number}]")
            parameters.collect(channel, use)
    found = _measurement(workspace, measurement)
    config = mapping_of(found.get("config"), "$.measurements.config")
    models = tuple(
        _channel(channel, entry, observed[channel], parameters, reading, f"$.channels[{position}]")
        for channel, position, entry in channels
    )
    return LikelihoodModel(name=name, parameters=parameters.models(config), channels=models)


def _measurement(workspace: Mapping[str, object], name: str | None) -> Mapping[str, object]:
    measurements = entries_of(workspace, "measurements", "$")
    if name is None:
        return measurements[0]
    for entry in measurements:
        if entry.get("name") == name:
            return entry
    names = ", ".join(str(entry.get("name")) for entry in measurements)
    raise InvalidInput(f"no measurement '{name}'; found: {names}", code="workspace.unknown-measurement")


def _observations(workspace: Mapping[str, object], channels: Sequence[str]) -> Mapping[str, np.ndarray]:
    observed: dict[str, np.ndarray] = {}
    for number, entry in enumerate(entries_of(workspace, "observations", "$")):
        place = f"$.observations[{number}]"
        channel = text_of(entry, "name", place)
        if channel in observed:
            raise InvalidInput(f"observation '{channel}' stands twice", code="workspace.duplicate", where=place)
        observed[channel] = numbers_of(entry, "data", place)
    for channel in channels:
        if channel not in observed:
            message = f"channel '{channel}' has no observation; observations: {', '.join(observed)}"
            raise InvalidInput(message, code="workspace.no-observation", where="$.observations")
    return observed


@dataclass(frozen=True, slots=True)
class KnownSample:
    """What was read from a sample before.

    Args:
        use: its modifiers as the parameters see them.
        sample: the template.
    """

    use: SampleUse
    sample: BinnedSample


@dataclass(frozen=True, slots=True)
class _Reading:
    """Interpolation codes, samples read before, and the modifiers of those that are read now."""

    codes: Codes
    known: dict[int, KnownSample | None]
    uses: dict[int, SampleUse]

    def use(self, entry: Mapping[str, object], place: str) -> SampleUse:
        """Return the modifiers of a sample as the parameters see them."""
        kept = self.known.get(id(entry))
        found = self.uses[id(entry)] = kept.use if kept else read_use(entry, place)
        return found

    def sample(self, entry: Mapping[str, object], channel: str, parameters: Parameters, place: str) -> BinnedSample:
        """Return a template, that of before where the names of its bin factors are still those."""
        kept = self.known.get(id(entry))
        if kept and all(
            modifier.parameters == parameters.of_bins(factor.name, channel)
            for factor, modifier in zip(kept.use.bins, kept.sample.kinds.bin_factors, strict=True)
        ):
            return kept.sample
        use = self.uses[id(entry)]
        entries = entries_of(entry, "modifiers", place, allow_empty=True)
        varied = _varied(entries, use)
        modifiers = tuple(
            HistoSys(parameter=kind_name[1], up=next(varied), down=next(varied), code=self.codes[1])
            if varied is not None and kind_name[0] == "histosys"
            else _modifier(modifier, kind_name, channel, parameters, self.codes, place=(place, i))
            for i, (modifier, kind_name) in enumerate(zip(entries, use.kinds, strict=True))
        )
        found = BinnedSample(name=text_of(entry, "name", place), nominal=use.nominal, modifiers=modifiers)
        if id(entry) in self.known:
            self.known[id(entry)] = KnownSample(use, found)
        return found


def _varied(entries: Sequence[Mapping[str, object]], use: SampleUse) -> Iterator[Float[np.ndarray, " bins"]] | None:
    """Return the varied templates of a sample, up and down of one histosys after the other, read in one go.

    None where they are not all lists of as many finite floats as there are bins: each is then looked at alone.
    """
    bodies = [entry.get("data") for entry, (kind, _) in zip(entries, use.kinds, strict=True) if kind == "histosys"]
    values = [body.get(key) for body in bodies if isinstance(body, dict) for key in ("hi_data", "lo_data")]
    lists = [entry for entry in values if isinstance(entry, list)]
    if len(lists) != 2 * len(bodies) or set(map(len, lists)) != {len(use.nominal)}:
        return None
    if set(map(type, chain.from_iterable(lists))) != {float}:
        return None
    found = np.array(lists, dtype=float)
    return iter(found) if np.isfinite(found).all() else None


def _codes(settings: Mapping[str, Mapping[str, str]]) -> Codes:
    """Return the interpolation codes of normsys and histosys."""
    unknown = sorted(settings.keys() - {"normsys", "histosys"})
    if unknown:
        message = f"modifiers of type '{unknown[0]}' have no settings; normsys and histosys have"
        raise InvalidInput(message, code="workspace.interpolation")
    normsys = settings.get("normsys", {}).get("interpcode", "code4")
    histosys = settings.get("histosys", {}).get("interpcode", "code4p")
    if normsys not in _NORMSYS_CODES or histosys not in _HISTOSYS_CODES:
        message = f"unknown interpolation: normsys {normsys}, histosys {histosys}"
        hint = f"normsys has {', '.join(_NORMSYS_CODES)}, histosys {', '.join(_HISTOSYS_CODES)}"
        raise InvalidInput(message, code="workspace.interpolation", hint=hint)
    return _NORMSYS_CODES[normsys], _HISTOSYS_CODES[histosys]


def _channel(
    name: str,
    entry: Mapping[str, object],
    observed: np.ndarray,
    parameters: Parameters,
    reading: _Reading,
    place: str,
) -> BinnedChannelModel:
    samples = tuple(
        reading.sample(sample, name, parameters, f"{place}.samples[{number}]")
        for number, sample in enumerate(entries_of(entry, "samples", place))
    )
    return BinnedChannelModel(name=name, samples=samples, observed=observed)


def _modifier(
    entry: Mapping[str, object],
    kind_name: tuple[str, str],
    channel: str,
    parameters: Parameters,
    codes: Codes,
    *,
    place: tuple[str, int],
) -> Modifier:
    """Return a modifier of known type and name; it is number `place[1]` of the sample at `place[0]`."""
    kind, parameter = kind_name
    if kind in {"normfactor", "lumi"}:
        return NormFactor(parameter=parameter)
    if kind in {"staterror", "shapesys", "shapefactor"}:
        return BinFactor(parameters=parameters.of_bins(parameter, channel))
    where = f"{place[0]}.modifiers[{place[1]}].data"
    body = mapping_of(entry.get("data"), where)
    if kind == "normsys":
        up, down = number_of(body, "hi", where), number_of(body, "lo", where)
        return NormSys(parameter=parameter, up=up, down=down, code=codes[0])
    up_bins, down_bins = numbers_of(body, "hi_data", where), numbers_of(body, "lo_data", where)
    return HistoSys(parameter=parameter, up=up_bins, down=down_bins, code=codes[1])
