"""Which columns of an event set move which component, and along which coordinate: the static side of morphing.

A *coordinate* is a parameter with anchors, or a monomial of a polynomial morph: the logarithm of a morph has no mixed
second derivatives in these. Sums over events are taken in coordinates; the chain rule leads to the parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evercast.likelihood.model import UnbinnedChannelModel

__all__ = ["ComponentColumns", "Monomial", "MorphLayout", "build_layout"]

Monomial = tuple[tuple[int, int], ...]
"""(position of a parameter, power) of each of its factors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentColumns:
    """The columns that move one component.

    Args:
        code4, log_linear: columns of `log_up` and `log_down`.
        terms: columns of `coefficients`.
        coordinates: coordinate of each of these columns, in this order.
    """

    code4: tuple[int, ...] = ()
    log_linear: tuple[int, ...] = ()
    terms: tuple[int, ...] = ()
    coordinates: tuple[int, ...] = ()

    @property
    def is_moved(self) -> bool:
        """Whether there is any column."""
        return bool(self.coordinates)


@dataclass(frozen=True, slots=True, kw_only=True)
class MorphLayout:
    """The static side of the morphs of a channel; hashable, so that functions are compiled once per layout.

    Args:
        components: one entry per component.
        anchors: parameter position of each column of `log_up`.
        terms: monomial of each column of `coefficients`.
        parameters: parameter positions of the first coordinates.
        monomials: the other coordinates.
        normalised: whether Z is divided out.
    """

    components: tuple[ComponentColumns, ...]
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
        return self.normalised and any(component.is_moved for component in self.components)

    @property
    def only_log_linear(self) -> bool:
        """Whether the logarithm of every morph is linear in what an event brings along."""
        return not any(component.code4 for component in self.components)


def build_layout(channel: UnbinnedChannelModel, names: Sequence[str]) -> MorphLayout:
    """Return the layout of a channel that has been checked.

    Args:
        channel: components, anchors and polynomials.
        names: of the parameters, in the order of the vectors to come.
    """
    position = {name: number for number, name in enumerate(names)}
    anchors = tuple(position[anchor.parameter] for anchor in channel.anchors)
    owners = [morph.process for morph in channel.polynomials for _ in morph.terms]
    terms = tuple(
        tuple(sorted((position[name], power) for name, power in term))
        for morph in channel.polynomials
        for term in morph.terms
    )
    parameters, monomials = tuple(dict.fromkeys(anchors)), tuple(dict.fromkeys(terms))
    components = []
    for component in channel.components:
        columns = [i for i, anchor in enumerate(channel.anchors) if anchor.process == component.process]
        code4 = tuple(i for i in columns if channel.anchors[i].interpolation == "code4")
        log_linear = tuple(i for i in columns if channel.anchors[i].interpolation == "log_linear")
        own = tuple(i for i, owner in enumerate(owners) if owner == component.process)
        along = [parameters.index(anchors[i]) for i in code4 + log_linear]
        along += [len(parameters) + monomials.index(terms[i]) for i in own]
        components.append(ComponentColumns(code4=code4, log_linear=log_linear, terms=own, coordinates=tuple(along)))
    return MorphLayout(
        components=tuple(components),
        anchors=anchors,
        terms=terms,
        parameters=parameters,
        monomials=monomials,
        normalised=channel.normalise_morphs,
    )
