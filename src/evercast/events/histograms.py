"""Published histograms (ROOT TH1), scaled to expected events and summed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import uproot
from jaxtyping import Float64

from evercast.errors import InvalidInput
from evercast.events.formats.root import check_root_size, root_errors
from evercast.events.inputs import input_file
from evercast.spec.model import Histogram, HistogramTerm

__all__ = ["BinnedYield", "read_histogram", "read_th1"]

_SAME_EDGE: Final = 1e-9
"""Relative to the width of the axis: edges that differ by rounding are the same edge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BinnedYield:
    """Expected events in bins, without underflow and overflow.

    Args:
        edges: of the bins, increasing.
        values: expected events.
        variances: of the values, from the statistics of the simulation.
    """

    edges: Float64[np.ndarray, " edges"]
    values: Float64[np.ndarray, " bins"]
    variances: Float64[np.ndarray, " bins"]

    @property
    def total(self) -> float:
        """Expected events in all bins."""
        return float(self.values.sum())

    def scaled_to(self, total: float) -> BinnedYield:
        """Return the same shape with `total` expected events.

        Raises:
            InvalidInput: ``histogram.empty``, there is no shape to scale.
        """
        if self.total <= 0:
            raise InvalidInput(f"the histogram has {self.total:g} events in its bins", code="histogram.empty")
        factor = total / self.total
        return BinnedYield(edges=self.edges, values=self.values * factor, variances=self.variances * factor**2)

    def rebin(self, edges: Sequence[float | int], *, what: str = "the histogram") -> BinnedYield:
        """Return the sums between `edges`, each of which must be an edge already.

        Args:
            edges: increasing.
            what: which histogram it is, for the message.

        Raises:
            InvalidInput: ``histogram.edges``.
        """
        wanted = np.asarray(edges, dtype=np.float64)
        tolerance = _SAME_EDGE * (self.edges[-1] - self.edges[0])
        position = np.abs(self.edges[None, :] - wanted[:, None]).argmin(axis=1)
        wrong = np.abs(self.edges[position] - wanted) > tolerance
        if len(wanted) < 2 or wrong.any() or (np.diff(position) <= 0).any():
            shown = f"{wanted[wrong][0]:g} is no edge of it" if wrong.any() else "they must increase"
            raise InvalidInput(
                f"{what} cannot be rebinned to the edges {[float(edge) for edge in wanted]}: {shown}; it has "
                f"{len(self.values)} bins from {self.edges[0]:g} to {self.edges[-1]:g}",
                code="histogram.edges",
            )
        cut = slice(position[0], position[-1])
        starts = position[:-1] - position[0]
        return BinnedYield(
            edges=wanted,
            values=np.add.reduceat(self.values[cut], starts),
            variances=np.add.reduceat(self.variances[cut], starts),
        )


def read_histogram(histogram: Histogram, paths: Sequence[Path]) -> BinnedYield:
    """Return the sum of the terms, each times luminosity x cross-section x factor / generated events.

    Args:
        histogram: its terms.
        paths: the file, or the folder of the unit that fetched it, of each term.

    Raises:
        InvalidInput: ``histogram.missing``, ``histogram.kind``, ``histogram.edges`` (terms with other bins), or what
            is wrong with the file.
    """
    if len(paths) != len(histogram.terms):
        raise InvalidInput(f"{len(histogram.terms)} terms of a histogram, {len(paths)} files", code="histogram.missing")
    terms = [_scaled(term, path) for term, path in zip(histogram.terms, paths, strict=True)]
    first = terms[0]
    for term, found in zip(histogram.terms, terms, strict=True):
        if found.edges.shape != first.edges.shape or not np.allclose(found.edges, first.edges, rtol=_SAME_EDGE, atol=0):
            raise InvalidInput(
                f"{term.object} of {term.source} has {_binning(found)}; the first term has {_binning(first)}",
                code="histogram.edges",
            )
    return BinnedYield(
        edges=first.edges,
        values=np.sum([term.values for term in terms], axis=0),
        variances=np.sum([term.variances for term in terms], axis=0),
    )


def _binning(found: BinnedYield) -> str:
    return f"{len(found.values)} bins from {found.edges[0]:g} to {found.edges[-1]:g}"


def _scaled(term: HistogramTerm, path: Path) -> BinnedYield:
    scale = 1000.0 * term.luminosity_fb * term.cross_section_pb * term.factor / term.generated_events
    found = read_th1(input_file(path), term.object)
    return BinnedYield(edges=found.edges, values=scale * found.values, variances=scale**2 * found.variances)


def read_th1(path: Path, name: str) -> BinnedYield:
    """Return the histogram `name` of a ROOT file as it stands there: entries and their variances.

    Raises:
        InvalidInput: ``histogram.missing``, with what there is; ``histogram.kind``, no one-dimensional histogram;
            ``sample.truncated`` or ``sample.format``, the file is damaged.
    """
    check_root_size(path)
    with root_errors(path), uproot.open(path) as opened:
        kinds = {key.split(";")[0]: kind for key, kind in opened.classnames(recursive=True).items()}
        if name in kinds and kinds[name].startswith("TH1"):
            found = opened[name]
            edges = np.asarray(found.axis().edges(), dtype=np.float64)
            values = np.asarray(found.values(), dtype=np.float64)
            variances = np.asarray(found.variances(), dtype=np.float64)
    if name not in kinds:
        there = ", ".join(key for key, kind in kinds.items() if kind.startswith("TH1")) or "none"
        raise InvalidInput(
            f"there is no {name!r}; histograms in the file: {there}", code="histogram.missing", where=str(path)
        )
    if not kinds[name].startswith("TH1"):
        raise InvalidInput(
            f"{name!r} is a {kinds[name]}; expected a one-dimensional histogram", code="histogram.kind", where=str(path)
        )
    if not (np.isfinite(values).all() and np.isfinite(variances).all()):
        raise InvalidInput(f"{name!r} has bins that are not finite", code="sample.not-finite", where=str(path))
    return BinnedYield(edges=edges, values=values, variances=variances)
