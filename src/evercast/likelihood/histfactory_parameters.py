"""The parameters that the modifiers of a workspace imply, with the settings of the measurement; as in pyhf 0.7."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from evercast.errors import InvalidInput
from evercast.likelihood.model import ParameterModel
from evercast.likelihood.workspace_text import entries_of, flag_of, mapping_of, numbers_of, text_of

__all__ = ["Parameters", "SampleUse", "read_use"]

_SETTINGS = (("inits", "initial"), ("auxdata", "global_observable"), ("sigmas", "width"), ("factors", "factor"))
_BIN_BOUNDS = (1e-10, 10.0)
_FAMILY = {
    "normfactor": "normfactor",
    "lumi": "lumi",
    "normsys": "nuisance parameter",
    "histosys": "nuisance parameter",
    "staterror": "staterror",
    "shapesys": "shapesys",
    "shapefactor": "shapefactor",
}


@dataclass(slots=True)
class _Use:
    """What is known of one modifier name.

    Args:
        nominal, variance: channel -> (bins,): sums over the samples that carry the modifier (staterror, shapesys).
        samples: how many samples carry it, per channel.
    """

    family: str
    place: str
    nominal: dict[str, Float[np.ndarray, " bins"]] = field(default_factory=dict)
    variance: dict[str, Float[np.ndarray, " bins"]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Factors:
    """A modifier with one parameter per bin.

    Args:
        spread: (bins,) uncertainties; zero where it has none.
    """

    name: str
    kind: str
    spread: Float[np.ndarray, " bins"]
    place: str


@dataclass(frozen=True, slots=True)
class SampleUse:
    """The modifiers of one sample.

    Args:
        nominal: (bins,).
        families: name -> family, in the order of the sample.
        places: name -> where it stands.
        bins: those with one parameter per bin.
        kinds: type and name of every modifier.
    """

    nominal: Float[np.ndarray, " bins"]
    families: Mapping[str, str]
    places: Mapping[str, str]
    bins: tuple[_Factors, ...]
    kinds: tuple[tuple[str, str], ...]


def read_use(sample: Mapping[str, object], where: str) -> SampleUse:
    """Return the modifiers of a sample.

    Raises:
        InvalidInput: an unknown type, a name used for two kinds, a duplicate, uncertainties that do not fit.
    """
    nominal = numbers_of(sample, "data", where)
    seen: dict[tuple[str, str], None] = {}
    families: dict[str, str] = {}
    places: dict[str, str] = {}
    bins: list[_Factors] = []
    for i, modifier in enumerate(entries_of(sample, "modifiers", where, allow_empty=True)):
        spot = f"{where}.modifiers[{i}]"
        kind, name = modifier.get("type"), modifier.get("name")
        if type(kind) is not str or type(name) is not str or not name:
            kind, name = text_of(modifier, "type", spot), text_of(modifier, "name", spot)
        if (kind, name) in seen:
            message = f"modifier {kind} '{name}' stands twice in one sample"
            raise InvalidInput(message, code="workspace.duplicate", where=spot)
        seen[kind, name] = None
        if kind not in _FAMILY:
            message = f"unknown modifier type '{kind}'; known: {', '.join(_FAMILY)}"
            raise InvalidInput(message, code="workspace.modifier", where=spot)
        family = families.setdefault(name, _FAMILY[kind])
        places.setdefault(name, spot)
        if family != _FAMILY[kind]:
            raise _reused(name, _FAMILY[kind], family, places[name], spot)
        if kind in {"staterror", "shapesys", "shapefactor"}:
            bins.append(_Factors(name, kind, _spread(modifier, kind, name, nominal, spot), spot))
    return SampleUse(nominal, families, places, tuple(bins), tuple(seen))


def _spread(
    modifier: Mapping[str, object], kind: str, name: str, nominal: Float[np.ndarray, " bins"], place: str
) -> Float[np.ndarray, " bins"]:
    spread = np.zeros_like(nominal) if kind == "shapefactor" else numbers_of(modifier, "data", place)
    if spread.shape != nominal.shape or np.any(spread < 0):
        message = f"{kind} '{name}' has {len(spread)} uncertainties for {len(nominal)} bins; none may be negative"
        raise InvalidInput(message, code="workspace.modifier", where=place)
    return spread


def _reused(name: str, found: str, before: str, first: str, place: str) -> InvalidInput:
    message = f"'{name}' is used as {found} here and as {before} at {first}"
    return InvalidInput(message, code="workspace.name-reuse", where=place)


class Parameters:
    """Collects the modifiers of all samples, then gives the parameters; per-bin modifiers get one parameter per bin."""

    def __init__(self) -> None:
        self._uses: dict[str, _Use] = {}
        self._families: dict[str, str] = {}

    def collect(self, channel: str, use: SampleUse) -> None:
        """Take in all modifiers of a sample.

        Raises:
            InvalidInput: a name used for two kinds, a shapesys used twice, numbers of bins that differ.
        """
        before = frozenset(factor.name for factor in use.bins if factor.name in self._uses)
        if not use.families.items() <= self._families.items():
            for name, family in use.families.items():
                known = self._uses.get(name)
                if known is None:
                    known = self._uses[name] = _Use(family, use.places[name])
                    self._families[name] = family
                if known.family != family:
                    raise _reused(name, family, known.family, known.place, use.places[name])
        for factor in use.bins:
            self._add(factor, channel, use.nominal, known=factor.name in before)

    def _add(self, factor: _Factors, channel: str, nominal: Float[np.ndarray, " bins"], *, known: bool) -> None:
        name, use = factor.name, self._uses[factor.name]
        if known and factor.kind == "shapesys":
            raise _reused(name, use.family, use.family, use.place, factor.place)
        zero = np.zeros_like(nominal)
        if use.nominal.get(channel, zero).shape != nominal.shape:
            message = f"'{name}' has {len(nominal)} bins here and {len(use.nominal[channel])} in another sample"
            raise InvalidInput(message, code="workspace.modifier", where=factor.place)
        use.nominal[channel] = use.nominal.get(channel, zero) + nominal
        use.variance[channel] = use.variance.get(channel, zero) + factor.spread**2

    def of_bins(self, name: str, channel: str) -> tuple[str, ...]:
        """Return the names of the parameters of a per-bin modifier in a channel, in the order of the bins."""
        use = self._uses[name]
        first = 0
        if use.family == "staterror":
            channels = list(use.nominal)
            first = sum(len(use.nominal[other]) for other in channels[: channels.index(channel)])
        return tuple(f"{name}[{first + i}]" for i in range(len(use.nominal[channel])))

    def models(self, config: Mapping[str, object]) -> tuple[ParameterModel, ...]:
        """Return all parameters with the settings of the measurement.

        Raises:
            InvalidInput: the settings do not fit, or the parameter of interest does not exist.
        """
        settings: dict[str, Mapping[str, object]] = {}
        if "parameters" in config:
            place = "$.measurements.config"
            for number, entry in enumerate(entries_of(config, "parameters", place, allow_empty=True)):
                settings[text_of(entry, "name", f"{place}.parameters[{number}]")] = entry
        result: list[ParameterModel] = []
        for name, use in self._uses.items():
            if use.family == "nuisance parameter" and name not in settings:
                result.append(_nuisance_parameter(name))
            else:
                result += _configured(name, _defaults(name, use), settings.get(name, {}))
        poi = config.get("poi")
        if poi is None or poi == "":
            return tuple(result)
        if poi not in {parameter.name for parameter in result}:
            message = f"the parameter of interest '{poi}' acts on no sample"
            hint = "a background-only workspace needs the patch of a signal"
            raise InvalidInput(message, code="workspace.poi", where="$.measurements.config.poi", hint=hint)
        return tuple(replace(parameter, poi=True) if parameter.name == poi else parameter for parameter in result)


def _defaults(name: str, use: _Use) -> list[ParameterModel]:
    match use.family:
        case "normfactor":
            return [ParameterModel(name=name, initial=1.0, bounds=(0.0, 10.0))]
        case "lumi":
            return [ParameterModel(name=name, initial=np.nan, bounds=(0.0, np.inf), constraint="normal", width=np.nan)]
        case "nuisance parameter":
            return [_nuisance_parameter(name)]
        case "staterror":
            return _staterror(name, use)
        case "shapesys":
            return _shapesys(name, use)
        case _:
            longest = max(len(nominal) for nominal in use.nominal.values())
            return [ParameterModel(name=f"{name}[{i}]", initial=1.0, bounds=(0.0, 10.0)) for i in range(longest)]


@lru_cache(maxsize=4096)
def _nuisance_parameter(name: str) -> ParameterModel:
    return ParameterModel(name=name, bounds=(-5.0, 5.0), constraint="normal")


def _staterror(name: str, use: _Use) -> list[ParameterModel]:
    """Return normal-constrained factors of the total template; bins without uncertainty are fixed."""
    nominal = np.concatenate(list(use.nominal.values()))
    variance = np.concatenate(list(use.variance.values()))
    positive = nominal > 0
    width = np.where(positive, np.sqrt(variance) / np.where(positive, nominal, 1.0), 0.0)
    return [
        ParameterModel(
            name=f"{name}[{i}]", initial=1.0, bounds=_BIN_BOUNDS, constraint="normal", global_observable=1.0,
            width=float(entry) or 1.0, fixed=not entry,
        )
        for i, entry in enumerate(width)
    ]  # fmt: skip


def _shapesys(name: str, use: _Use) -> list[ParameterModel]:
    """Return Poisson-constrained factors of one template, auxiliary counts (nominal / uncertainty)^2."""
    ((nominal, variance),) = zip(use.nominal.values(), use.variance.values(), strict=True)
    valid = (nominal > 0) & (variance > 0)
    counts = np.where(valid, nominal**2 / np.where(valid, variance, 1.0), 1.0)
    return [
        ParameterModel(
            name=f"{name}[{i}]", initial=1.0, bounds=_BIN_BOUNDS, constraint="poisson",
            global_observable=float(count), factor=float(count), fixed=not valid[i],
        )
        for i, count in enumerate(counts)
    ]  # fmt: skip


def _configured(name: str, defaults: list[ParameterModel], entry: Mapping[str, object]) -> list[ParameterModel]:
    place = f"$.measurements.config.parameters[{name}]"
    columns: dict[str, Float[np.ndarray, " n"]] = {}
    for key, target in _SETTINGS:
        if key in entry:
            columns[target] = numbers_of(entry, key, place)
            if len(columns[target]) != len(defaults):
                message = f"{key} holds {len(columns[target])} values for {len(defaults)} parameters"
                raise InvalidInput(message, code="workspace.settings", where=f"{place}.{key}")
    bounds = _bounds(entry, len(defaults), place)
    fixed = flag_of(entry, "fixed", place, default=False)
    result = []
    for number, parameter in enumerate(defaults):
        changes = {target: float(values[number]) for target, values in columns.items()}
        low, high = bounds[number] if bounds else parameter.bounds
        updated = parameter
        if entry:
            updated = replace(parameter, **changes, bounds=(low, high), fixed=fixed or parameter.fixed)  # type: ignore[arg-type]
        if np.isnan(updated.initial) or (updated.constraint == "normal" and np.isnan(updated.width)):
            message = f"luminosity parameter '{name}' needs inits, auxdata and sigmas in the measurement"
            raise InvalidInput(message, code="workspace.lumi", where="$.measurements.config.parameters")
        result.append(updated)
    return result


def _bounds(entry: Mapping[str, object], count: int, place: str) -> list[tuple[float, float]] | None:
    if "bounds" not in entry:
        return None
    value = entry["bounds"]
    if not isinstance(value, list) or len(value) != count:
        message = f"expected {count} pairs of bounds, found {str(value)[:40]}"
        raise InvalidInput(message, code="workspace.settings", where=f"{place}.bounds")
    pairs = []
    for number, pair in enumerate(value):
        low_high = numbers_of(mapping_of({"pair": pair}, place), "pair", f"{place}.bounds[{number}]")
        if len(low_high) != 2:
            message = f"expected a pair of bounds, found {pair}"
            raise InvalidInput(message, code="workspace.settings", where=f"{place}.bounds[{number}]")
        pairs.append((float(low_high[0]), float(low_high[1])))
    return pairs
