"""A likelihood under other names of its parameters: in formulas, modifiers and morphs alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from evercast.likelihood.model import (
    BinFactor,
    BinnedChannelModel,
    BinnedSample,
    ChannelModel,
    Component,
    LikelihoodModel,
    Modifier,
    UnbinnedChannelModel,
)
from evercast.spec.expressions import Binary, Call, Name, Node, Unary, parse_coefficient, to_text
from evercast.spec.expressions import names as names_in

__all__ = ["renamed"]

M = TypeVar("M", bound=Modifier)
Rename = Callable[[str], str]


def renamed(model: LikelihoodModel, names: Mapping[str, str]) -> LikelihoodModel:
    """Return the likelihood with parameters under new names; those not in `names` keep theirs.

    Args:
        model: any likelihood.
        names: old name -> new name.
    """

    def rename(name: str) -> str:
        return names.get(name, name)

    parameters = tuple(replace(parameter, name=rename(parameter.name)) for parameter in model.parameters)
    channels = tuple(_channel(channel, names, rename) for channel in model.channels)
    return replace(model, parameters=parameters, channels=channels)


def _channel(channel: ChannelModel, names: Mapping[str, str], rename: Rename) -> ChannelModel:
    if isinstance(channel, BinnedChannelModel):
        return replace(channel, samples=tuple(_sample(sample, names, rename) for sample in channel.samples))
    return _unbinned(channel, names, rename)


def _sample(sample: BinnedSample, names: Mapping[str, str], rename: Rename) -> BinnedSample:
    modifiers = tuple(_modifier(modifier, rename) for modifier in sample.modifiers)
    return replace(sample, modifiers=modifiers, coefficient=_formula(sample.coefficient, names))


def _component(component: Component, names: Mapping[str, str], rename: Rename) -> Component:
    modifiers = tuple(_modifier(modifier, rename) for modifier in component.modifiers)
    return replace(component, modifiers=modifiers, coefficient=_formula(component.coefficient, names))


def _unbinned(channel: UnbinnedChannelModel, names: Mapping[str, str], rename: Rename) -> UnbinnedChannelModel:
    return replace(
        channel,
        components=tuple(_component(component, names, rename) for component in channel.components),
        anchors=tuple(replace(anchor, parameter=rename(anchor.parameter)) for anchor in channel.anchors),
        polynomials=tuple(
            replace(morph, terms=tuple(tuple((rename(name), power) for name, power in term) for term in morph.terms))
            for morph in channel.polynomials
        ),
    )


def _modifier(modifier: M, rename: Rename) -> M:
    if isinstance(modifier, BinFactor):
        return replace(
            modifier, parameters=tuple(None if name is None else rename(name) for name in modifier.parameters)
        )
    return replace(modifier, parameter=rename(modifier.parameter))


def _formula(text: str, names: Mapping[str, str]) -> str:
    node = parse_coefficient(text)
    return to_text(_node(node, names)) if names.keys() & names_in(node) else text


def _node(node: Node, names: Mapping[str, str]) -> Node:
    match node:
        case Name(name=name):
            return replace(node, name=names.get(name, name))
        case Unary(operand=operand):
            return replace(node, operand=_node(operand, names))
        case Binary(left=left, right=right):
            return replace(node, left=_node(left, names), right=_node(right, names))
        case Call(arguments=arguments):
            return replace(node, arguments=tuple(_node(argument, names) for argument in arguments))
        case _:
            return node
