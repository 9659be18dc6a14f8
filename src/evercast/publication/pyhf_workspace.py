"""A likelihood of binned channels as a pyhf workspace; formulas that HistFactory lacks become a document beside it.

HistFactory multiplies templates with free factors. A coefficient that is a product of different free parameters is
written so. Any other (``mu - sqrt(mu)``) becomes one free factor ``c_PROCESS``: the workspace alone is then a wider
model, in which these factors are independent, and the `Export.parametrisation` that comes with it says what they are.
With it the model is exact again, in evercast (``--parametrisation``) and with pyhf (``read_projection.py``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from evercast.errors import InvalidInput
from evercast.likelihood.model import (
    BinFactor,
    BinnedChannelModel,
    BinnedSample,
    HistoSys,
    LikelihoodModel,
    NormFactor,
    NormSys,
)
from evercast.publication.pyhf_settings import (
    formula_names,
    formula_span,
    parameter_setting,
    parametrisation_of,
    product_of,
)
from evercast.spec.expressions import parse_coefficient

__all__ = ["Export", "workspace_of"]

_BIN: Final = re.compile(r"\[[0-9]+\]$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A workspace, and what it cannot say.

    Args:
        workspace: the pyhf document.
        parametrisation: the document with the formulas of the factors ``c_PROCESS``; None where there are none.
        approximations: where the workspace differs from the likelihood, in words; empty where it does not.
    """

    workspace: Mapping[str, object]
    parametrisation: Mapping[str, object] | None
    approximations: tuple[str, ...]


def workspace_of(model: LikelihoodModel, *, measurement: str) -> Export:
    """Return a likelihood as a workspace.

    Args:
        model: binned channels only.
        measurement: name of the measurement.

    Raises:
        InvalidInput: ``likelihood.not-histfactory``: an unbinned channel, a constraint HistFactory does not have.
    """
    return _Exporter(model).export(measurement)


def _refused(message: str) -> InvalidInput:
    return InvalidInput(message, code="likelihood.not-histfactory", hint="publish it as neural_likelihood")


class _Exporter:
    """Writes one likelihood; gathers formulas and approximations on the way."""

    def __init__(self, model: LikelihoodModel) -> None:
        self.model = model
        self.parameters = {parameter.name: parameter for parameter in model.parameters}
        self.formulas: dict[str, str] = {}
        self.approximations: dict[str, None] = {}
        self.written: dict[str, dict[str, object]] = {}

    def export(self, measurement: str) -> Export:
        channels = [self._channel(channel) for channel in self._binned()]
        poi = self.model.poi
        shown = "" if poi is None or poi.name in formula_names(self.formulas) else poi.name
        settings = [entry for entry in self._settings() if len(entry) > 1]
        workspace: dict[str, object] = {
            "version": "1.0.0",
            "channels": channels,
            "observations": [{"name": entry.name, "data": entry.observed.tolist()} for entry in self._binned()],
            "measurements": [{"name": measurement, "config": {"poi": shown, "parameters": settings}}],
        }
        return Export(
            workspace=workspace, parametrisation=self._parametrisation(), approximations=tuple(self.approximations)
        )

    def _binned(self) -> Sequence[BinnedChannelModel]:
        found = []
        for channel in self.model.channels:
            if not isinstance(channel, BinnedChannelModel):
                raise _refused(f"the channel '{channel.name}' is unbinned, which HistFactory cannot express")
            found.append(channel)
        return found

    def _channel(self, channel: BinnedChannelModel) -> dict[str, object]:
        return {"name": channel.name, "samples": [self._sample(sample, channel) for sample in channel.samples]}

    def _sample(self, sample: BinnedSample, channel: BinnedChannelModel) -> dict[str, object]:
        scale, factors = self._factors(sample)
        modifiers: list[dict[str, object]] = [{"name": name, "type": "normfactor", "data": None} for name in factors]
        for modifier in sample.modifiers:
            match modifier:
                case NormFactor(parameter=name) if self.parameters[name].constraint != "none":
                    modifiers.append(self._lumi(name))
                case NormFactor():
                    pass  # among the factors
                case NormSys():
                    modifiers.append(self._normsys(modifier))
                case HistoSys():
                    modifiers.append(self._histosys(modifier, scale))
                case BinFactor():
                    modifiers.append(self._bin_factor(modifier, sample, channel, scale))
        return {"name": sample.name, "data": (scale * sample.nominal).tolist(), "modifiers": modifiers}

    def _factors(self, sample: BinnedSample) -> tuple[float, tuple[str, ...]]:
        """Return a number and the free parameters whose product with it is the coefficient with all free factors."""
        free = [
            modifier.parameter
            for modifier in sample.modifiers
            if isinstance(modifier, NormFactor) and self.parameters[modifier.parameter].constraint == "none"
        ]
        node = parse_coefficient(sample.coefficient)
        found = product_of(node)
        if found is not None and found[0] > 0:
            names = (*found[1], *free)
            if len(set(names)) == len(names) and all(self.parameters[name].constraint == "none" for name in names):
                return found[0], names
        formula = " * ".join([sample.coefficient if not free else f"({sample.coefficient})", *free])
        if self.formulas.setdefault(sample.name, formula) != formula:
            raise _refused(f"the coefficients of '{sample.name}' differ between channels")
        return 1.0, (self._factor_name(sample.name),)

    def _factor_name(self, process: str) -> str:
        name = f"c_{process}"
        while name in self.parameters:
            name += "_"
        return name

    def _lumi(self, name: str) -> dict[str, object]:
        if name != "lumi" or self.parameters[name].constraint != "normal":
            raise _refused(
                f"the constrained parameter '{name}' multiplies a yield; HistFactory has that for 'lumi' only"
            )
        return {"name": name, "type": "lumi", "data": None}

    def _normsys(self, modifier: NormSys) -> dict[str, object]:
        self._require_unit(modifier.parameter)
        if modifier.code != "4":
            self.approximations[
                f"the effect of '{modifier.parameter}' on yields has interpolation code {modifier.code}; readers take 4"
            ] = None
        return {"name": modifier.parameter, "type": "normsys", "data": {"hi": modifier.up, "lo": modifier.down}}

    def _histosys(self, modifier: HistoSys, scale: float) -> dict[str, object]:
        self._require_unit(modifier.parameter)
        if modifier.code != "4p":
            self.approximations[
                f"the effect of '{modifier.parameter}' on templates has interpolation code {modifier.code}; "
                "readers take 4p"
            ] = None
        body = {"hi_data": (scale * modifier.up).tolist(), "lo_data": (scale * modifier.down).tolist()}
        return {"name": modifier.parameter, "type": "histosys", "data": body}

    def _require_unit(self, name: str) -> None:
        parameter = self.parameters[name]
        if parameter.constraint != "normal" or parameter.width != 1.0:
            raise _refused(f"the nuisance parameter '{name}' has no unit Gaussian constraint")

    def _bin_factor(
        self, modifier: BinFactor, sample: BinnedSample, channel: BinnedChannelModel, scale: float
    ) -> dict[str, object]:
        """Return the modifier whose uncertainties give each parameter the width of its constraint."""
        names = [name for name in modifier.parameters if name is not None]
        kinds = {self.parameters[name].constraint for name in names}
        bases = {_BIN.sub("", name) for name in names}
        if len(kinds) != 1 or len(bases) != 1:
            raise _refused(f"the factors per bin of '{sample.name}' in '{channel.name}' are not of one kind and name")
        name, kind = bases.pop(), kinds.pop()
        if kind == "none":
            return {"name": name, "type": "shapefactor", "data": None}
        relative = np.array([self._relative(entry) for entry in modifier.parameters])
        if kind == "poisson":
            return {"name": name, "type": "shapesys", "data": (relative * scale * sample.nominal).tolist()}
        together = [self._factors(other)[0] * other.nominal for other in channel.samples if modifier in other.modifiers]
        total, size = np.sum(together, axis=0), np.sqrt(np.sum(np.square(together), axis=0))
        share = np.divide(scale * sample.nominal, size, out=np.zeros_like(total), where=size > 0)
        return {"name": name, "type": "staterror", "data": (relative * total * share).tolist()}

    def _relative(self, name: str | None) -> float:
        """Return the relative uncertainty of a bin; 0 where it has none."""
        if name is None or self.parameters[name].fixed:
            return 0.0
        parameter = self.parameters[name]
        return parameter.width if parameter.constraint == "normal" else 1.0 / math.sqrt(parameter.factor)

    def _settings(self) -> Iterable[dict[str, object]]:
        """Yield what the measurement says of parameters, where that is not the default of their kind."""
        used = self._used()
        for name, parameter in self.parameters.items():
            if _BIN.search(name) and _BIN.sub("", name) in used:
                continue  # factors per bin: 1, and bounds that every reader takes
            if name in used:
                yield parameter_setting(parameter)
        for process, formula in self.formulas.items():
            start, low, high = formula_span(formula, self.parameters)
            yield {"name": self._factor_name(process), "inits": [start], "bounds": [[low, high]]}

    def _used(self) -> frozenset[str]:
        found: set[str] = set()
        for channel in self._binned():
            for sample in channel.samples:
                found.update(self._factors(sample)[1])
                for modifier in sample.modifiers:
                    if isinstance(modifier, BinFactor):
                        found.update(_BIN.sub("", name) for name in modifier.parameters if name is not None)
                    elif (
                        not isinstance(modifier, NormFactor) or self.parameters[modifier.parameter].constraint != "none"
                    ):
                        found.add(modifier.parameter)
        return frozenset(found)

    def _parametrisation(self) -> Mapping[str, object] | None:
        for name in formula_names(self.formulas):
            if self.parameters[name].constraint != "none":
                self._require_unit(name)
        return parametrisation_of(self.formulas, self.parameters)
