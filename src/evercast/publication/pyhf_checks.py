"""What pyhf accepts although it is wrong, refused before a workspace or a patchset is published.

pyhf 0.7 takes duplicate channels and samples, bins that are negative, NaN or infinite, a signal whose total is negative
or zero, and patches that never fit. Its own schema, its model building and its digest check are run too: what is
published is what pyhf reads.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import jsonschema
import numpy as np

from evercast.errors import InvalidInput
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.histfactory import apply_patch, patches_of_set, read_workspace
from evercast.likelihood.model import BinnedChannelModel

__all__ = ["require_sound_patchset", "require_sound_workspace", "workspace_digest"]

_SHOWN: Final = 5


def workspace_digest(workspace: Mapping[str, object]) -> str:
    """Return the sha256 of a workspace as pyhf defines it: of its JSON with sorted keys."""
    return hashlib.sha256(json.dumps(workspace, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def require_sound_workspace(workspace: Mapping[str, object], *, where: str, complete: bool = True) -> None:
    """Refuse a workspace that pyhf does not read, or that it reads although it is wrong.

    Args:
        workspace: the document.
        where: its name, for the message.
        complete: False for the background of a patchset, whose parameter of interest acts on nothing yet.

    Raises:
        InvalidInput: ``publication.workspace`` with all that is wrong.
    """
    problems = list(_name_problems(workspace)) + list(_number_problems(workspace))
    if not problems:
        problems = list(_pyhf_problems(workspace, complete=complete))
    if not problems and complete:
        problems = [*_signal_problems(workspace), *_model_problems(workspace)]
    _refuse(problems, "publication.workspace", where)


def require_sound_patchset(workspace: Mapping[str, object], patchset: Mapping[str, object], *, where: str) -> None:
    """Refuse a patchset that does not belong to a workspace, or one of whose patches gives no sound workspace.

    Args:
        workspace: what the patches are applied to.
        patchset: the document.
        where: its name, for the message.

    Raises:
        InvalidInput: ``publication.patchset`` with all that is wrong; ``publication.workspace`` of a patched one.
    """
    import pyhf  # noqa: PLC0415 - takes a second to import

    wanted = workspace_digest(workspace)
    metadata = patchset.get("metadata")
    digests = metadata.get("digests") if isinstance(metadata, Mapping) else None
    found = digests.get("sha256") if isinstance(digests, Mapping) else None
    problems = [] if found == wanted else [f"it is made for a workspace with sha256 {found}; this one has {wanted}"]
    values = [
        tuple(entry.get("metadata", {}).get("values", ())) for entry in _entries(patchset, "patches")
    ]  # fmt: skip
    problems += [f"the values {list(value)} stand twice" for value, number in Counter(values).items() if number > 1]
    if not problems:
        try:
            with _old_resolver():
                pyhf.PatchSet(patchset).verify(pyhf.Workspace(workspace, validate=False))
        except (pyhf.exceptions.InvalidSpecification, pyhf.exceptions.InvalidPatchSet,
                pyhf.exceptions.PatchSetVerificationError) as err:  # fmt: skip
            problems.append(f"pyhf does not accept it: {_first(err)}")
    _refuse(problems, "publication.patchset", where)
    for name, patch in patches_of_set(patchset).items():
        require_sound_workspace(apply_patch(workspace, patch), where=f"{where}: {name}")


def _refuse(problems: Sequence[str], code: str, where: str) -> None:
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise InvalidInput(f"not fit to be published: {'; '.join(problems[:_SHOWN])}{more}", code=code, where=where)


def _entries(parent: object, key: str) -> Sequence[Mapping[str, Any]]:
    found = parent.get(key) if isinstance(parent, Mapping) else None
    return [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, list) else []


def _name_problems(workspace: Mapping[str, object]) -> Iterator[str]:
    """Yield names that stand twice where they must be unique."""
    for kind in ("channels", "observations", "measurements"):
        yield from (f"{kind}: '{name}' stands twice" for name in _twice(_entries(workspace, kind)))
    for channel in _entries(workspace, "channels"):
        place = f"channel '{channel.get('name')}'"
        samples = _entries(channel, "samples")
        yield from (f"{place}: the sample '{name}' stands twice" for name in _twice(samples))
        for sample in samples:
            pairs = [(entry.get("type"), entry.get("name")) for entry in _entries(sample, "modifiers")]
            for (family, modifier), number in Counter(pairs).items():
                if number > 1:
                    yield f"{place}: {family} '{modifier}' of '{sample.get('name')}' stands twice"


def _twice(entries: Sequence[Mapping[str, Any]]) -> list[object]:
    return [name for name, number in Counter(entry.get("name") for entry in entries).items() if number > 1]


def _number_problems(workspace: Mapping[str, object]) -> Iterator[str]:
    """Yield bins that are negative or not finite, and channels without expected events."""
    for channel in _entries(workspace, "channels"):
        total = 0.0
        for sample in _entries(channel, "samples"):
            place = f"channel '{channel.get('name')}', sample '{sample.get('name')}'"
            yield from _bad(sample.get("data"), place)
            total += float(np.nansum(_array(sample.get("data"))))
            for modifier in _entries(sample, "modifiers"):
                yield from _modifier_problems(modifier, f"{place}, {modifier.get('type')} '{modifier.get('name')}'")
        if total <= 0:
            yield f"channel '{channel.get('name')}' expects no events"
    for observation in _entries(workspace, "observations"):
        yield from _bad(observation.get("data"), f"observation '{observation.get('name')}'")


def _modifier_problems(modifier: Mapping[str, Any], place: str) -> Iterator[str]:
    data = modifier.get("data")
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from _bad(value, f"{place}, {key}", positive=key in {"hi", "lo"})
    elif data is not None:
        yield from _bad(data, place)


def _bad(value: object, place: str, *, positive: bool = False) -> Iterator[str]:
    found = _array(value)
    low = found <= 0 if positive else found < 0
    wrong = np.flatnonzero(~np.isfinite(found) | low)
    if wrong.size:
        asked = "above 0" if positive else "0 or more"
        yield f"{place} holds {found[wrong[0]]:.4g} in bin {int(wrong[0])}; expected a finite number, {asked}"


def _array(value: object) -> np.ndarray:
    try:
        return np.atleast_1d(np.asarray(value, dtype=float))
    except (TypeError, ValueError):
        return np.array([np.nan])


def _pyhf_problems(workspace: Mapping[str, object], *, complete: bool) -> Iterator[str]:
    import pyhf  # noqa: PLC0415 - takes a second to import

    try:
        with _old_resolver():
            pyhf.schema.validate(workspace, "workspace.json")
            made = pyhf.Workspace(workspace)
            if complete:
                for measurement in made.measurement_names:
                    poi = made.get_measurement(measurement_name=measurement)["config"]["poi"]
                    made.model(measurement_name=measurement, poi_name=poi or None)
    except (pyhf.exceptions.InvalidSpecification, pyhf.exceptions.InvalidModel, pyhf.exceptions.InvalidMeasurement,
            pyhf.exceptions.InvalidNameReuse, jsonschema.ValidationError) as err:  # fmt: skip
        yield f"pyhf does not accept it: {_first(err)}"


def _signal_problems(workspace: Mapping[str, object]) -> Iterator[str]:
    """Yield measurements whose parameter of interest scales nothing: a limit on it would mean nothing."""
    scaled: dict[str, float] = {}
    for channel in _entries(workspace, "channels"):
        for sample in _entries(channel, "samples"):
            events = float(np.sum(_array(sample.get("data"))))
            for name in {str(one.get("name")) for one in _entries(sample, "modifiers")}:
                scaled[name] = scaled.get(name, 0.0) + events
    for measurement in _entries(workspace, "measurements"):
        config = measurement.get("config")
        poi = config.get("poi") if isinstance(config, Mapping) else None
        if poi and not scaled.get(str(poi), 0.0) > 0:
            yield f"the parameter of interest '{poi}' of '{measurement.get('name')}' scales no events"


def _model_problems(workspace: Mapping[str, object]) -> Iterator[str]:
    """Yield what is wrong at the initial values of the parameters: no events expected in a bin that has data."""
    for measurement in _entries(workspace, "measurements"):
        try:
            likelihood = Likelihood(read_workspace(workspace, measurement=str(measurement.get("name"))))
        except InvalidInput as err:
            yield err.message
            continue
        expected = likelihood.expected_events(likelihood.initial)
        for channel in likelihood.model.channels:
            rates = expected[channel.name]
            if not np.all(np.isfinite(rates)) or np.any(rates < 0):
                yield f"channel '{channel.name}' expects {rates.min():.4g} events in a bin at the initial values"
            elif isinstance(channel, BinnedChannelModel) and np.any((rates == 0) & (channel.observed > 0)):
                yield f"channel '{channel.name}' has data in a bin where no event is expected"


def _first(err: Exception) -> str:
    return str(err).strip().splitlines()[0][:300]


@contextmanager
def _old_resolver() -> Iterator[None]:
    """Leave out the warning that pyhf's use of jsonschema gives."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="jsonschema.RefResolver", category=DeprecationWarning)
        yield
