"""Which columns of an event set move which component, and along which coordinate: the static side of morphing.

A *coordinate* is a parameter with anchors, or a monomial of a polynomial morph: the logarithm of a morph has no mixed
second derivatives in these. Sums over events are taken in coordinates; the chain rule leads to the parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evercast.likelihood.model import UnbinnedChannelModel

__all__ = ["ColumnGroup", "Monomial", "MorphLayout", "build_layout"]

Monomial = tuple[tuple[int, int], ...]
"""(position of a parameter, power) of each of its factors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnGroup:
    """Components moved by equal numbers of columns: they are handled together.

    Args:
        components: positions of the components.
        code4, log_linear: columns of `log_up` and `log_down`, one component after the other.
        terms: columns of `coefficients`, likewise.
        coordinates: per component the coordinate of each of its columns: code 4, log-linear, terms.
    """

    components: tuple[int, ...]
    code4: tuple[int, ...]
    log_linear: tuple[int, ...]
    terms: tuple[int, ...]
    coordinates: tuple[tuple[int, ...], ...]

    @property
    def n_columns(self) -> int:
        """Columns of each component."""
        return len(self.coordinates[0])

    @property
    def n_code4(self) -> int:
        """Code-4 columns of each component; the first of them."""
        return len(self.code4) // len(self.components)


@dataclass(frozen=True, slots=True, kw_only=True)
class MorphLayout:
    """The static side of the morphs of a channel; hashable, so that functions are compiled once per layout.

    Args:
        n_components: components of the channel.
        groups: of the components that are moved.
        anchors: parameter position of each column of `log_up`.
        terms: monomial of each column of `coefficients`.
        parameters: parameter positions of the first coordinates.
        monomials: the other coordinates.
        normalised: whether Z is divided out.
    """

    n_components: int
    groups: tuple[ColumnGroup, ...] = ()
    anchors: tuple[int, ...] = ()
    terms: tuple[Monomial, ...] = ()
    parameters: tuple[int, ...] = ()
    monomials: tuple[Monomial, ...] = ()
    normalised: bool = True

    @property
    def n_coordinates(self) -> int:
        """Number of coordinates."""
        return len(self.parameters) + len(self.monomials)

    @property
    def normalises(self) -> bool:
        """Whether Z is to be computed."""
        return self.normalised and bool(self.groups)

    @property
    def moved(self) -> tuple[int, ...]:
        """Components that are moved, group by group."""
        return tuple(component for group in self.groups for component in group.components)


def build_layout(channel: UnbinnedChannelModel, names: Sequence[str]) -> MorphLayout:
    """Return the layout of a channel that has been checked.

    Args:
        channel: components, anchors and polynomials.
        names: of the parameters, in the order of the vectors to come.
    """
    position = {name: number for number, name in enumerate(names)}
    anchors = tuple(position[anchor.parameter] for anchor in channel.anchors)
    terms = tuple(
        tuple(sorted((position[name], power) for name, power in term))
        for morph in channel.polynomials
        for term in morph.terms
    )
    parameters, monomials = tuple(dict.fromkeys(anchors)), tuple(dict.fromkeys(terms))
    along = [parameters.index(position) for position in anchors]
    along_terms = [len(parameters) + monomials.index(term) for term in terms]
    grouped: dict[tuple[int, int, int], list[tuple[int, tuple[tuple[int, ...], ...]]]] = {}
    for number, component in enumerate(channel.components):
        columns = _columns(channel, component.process)
        if any(columns):
            code4, log_linear, own = columns
            grouped.setdefault((len(code4), len(log_linear), len(own)), []).append((number, columns))
    groups = []
    for entries in grouped.values():
        code4, log_linear, own = (tuple(i for _, columns in entries for i in columns[kind]) for kind in range(3))
        coordinates = tuple(
            (*(along[i] for i in columns[0] + columns[1]), *(along_terms[i] for i in columns[2]))
            for _, columns in entries
        )
        groups.append(
            ColumnGroup(
                components=tuple(number for number, _ in entries),
                code4=code4,
                log_linear=log_linear,
                terms=own,
                coordinates=coordinates,
            )
        )
    return MorphLayout(
        n_components=len(channel.components),
        groups=tuple(groups),
        anchors=anchors,
        terms=terms,
        parameters=parameters,
        monomials=monomials,
        normalised=channel.normalise_morphs,
    )


def _columns(channel: UnbinnedChannelModel, process: str) -> tuple[tuple[int, ...], ...]:
    """Return the code-4 and the log-linear anchors and the terms of a component."""
    code4, log_linear = (
        tuple(i for i, a in enumerate(channel.anchors) if a.process == process and a.interpolation == kind)
        for kind in ("code4", "log_linear")
    )
    owners = [morph.process for morph in channel.polynomials for _ in morph.terms]
    return code4, log_linear, tuple(i for i, owner in enumerate(owners) if owner == process)
