"""What an unbinned channel must satisfy before anything is fitted; stores are read a block at a time."""

from __future__ import annotations

from collections import Counter

import numpy as np
from jaxtyping import Bool

from evercast.errors import InvalidInput, NumericalFailure
from evercast.likelihood.event_arrays import blocks
from evercast.likelihood.model import EventSet, LikelihoodModel, UnbinnedChannelModel

__all__ = ["check_morphs", "check_sets"]


def check_morphs(channel: UnbinnedChannelModel, model: LikelihoodModel, where: str) -> None:
    """Check the morphs of a channel against its components and the parameters.

    Raises:
        InvalidInput: ``likelihood.unknown-process``, ``likelihood.unknown-parameter``, ``likelihood.morph`` (two
            morphs along one parameter, a power below 1), ``likelihood.reference`` (no reference events for Z).
    """
    processes = [component.process for component in channel.components]
    moved = [a.process for a in channel.anchors] + [p.process for p in channel.polynomials]
    for process in moved:
        if process not in processes:
            message = f"a morph moves process '{process}'; components: {', '.join(processes)}"
            raise InvalidInput(message, code="likelihood.unknown-process", where=where)
    used = {anchor.parameter for anchor in channel.anchors}
    powers = [factor for morph in channel.polynomials for term in morph.terms for factor in term]
    unknown = sorted((used | {name for name, _ in powers}) - set(model.parameter_names))
    if unknown:
        message = f"a morph follows parameter '{unknown[0]}', which is not declared"
        raise InvalidInput(message, code="likelihood.unknown-parameter", where=where)
    twice = [pair for pair, n in Counter((a.process, a.parameter) for a in channel.anchors).items() if n > 1]
    if twice:
        message = f"process '{twice[0][0]}' has two anchor morphs along parameter '{twice[0][1]}'"
        raise InvalidInput(message, code="likelihood.morph", where=where)
    if any(n < 1 for _, n in powers) or any(not term for morph in channel.polynomials for term in morph.terms):
        message = "a term of a polynomial morph has no parameter, or a power below 1"
        raise InvalidInput(message, code="likelihood.morph", where=where)
    for morph in channel.polynomials:
        for term in morph.terms:
            if len({name for name, _ in term}) < len(term):
                message = f"a term of the polynomial morph of process '{morph.process}' names a parameter twice: {term}"
                raise InvalidInput(message, code="likelihood.morph", where=where, hint="add up its powers")
    if moved and channel.normalise_morphs and channel.reference is None:
        raise InvalidInput(
            "the channel has morphs and no reference events, over which their normalisation is the mean",
            code="likelihood.reference",
            where=where,
        )


def check_sets(channel: UnbinnedChannelModel, where: str, *, values: bool = True) -> None:
    """Check shapes and finiteness of all event sets of a channel, and that no nuisance parameter is without effect.

    With `values` False only shapes and the sum of reference weights are looked at.

    Raises:
        InvalidInput: ``likelihood.shape``, ``likelihood.reference`` (no positive sum of weights),
            ``systematic.identical``.
        NumericalFailure: ``likelihood.not-finite``.
    """
    sets = {"": channel.events, ": simulation": channel.simulation, ": reference": channel.reference}
    same = np.ones(len(channel.anchors), dtype=bool)
    seen = 0
    for name, events in sets.items():
        if events is None:
            continue
        _check_shapes(events, channel, where + name)
        if values:
            same &= _check_values(events, where + name)
            seen += len(events.weight)
    if channel.reference is not None and (channel.anchors or channel.polynomials) and channel.normalise_morphs:
        total = float(np.sum(channel.reference.weight))
        if not total > 0:
            message = f"the weights of the reference events add up to {total:.6g}"
            raise InvalidInput(message, code="likelihood.reference", where=where)
    if seen and same.any():
        anchor = channel.anchors[int(np.flatnonzero(same)[0])]
        raise InvalidInput(
            f"up and down of parameter '{anchor.parameter}' are identical for process '{anchor.process}'",
            code="systematic.identical",
            where=where,
            hint="the two variations are the same sample or file: look at them, or leave the systematic out",
        )


def _check_shapes(events: EventSet, channel: UnbinnedChannelModel, where: str) -> None:
    n_events, n_components = len(events.weight), len(channel.components)
    if tuple(events.log_ratio.shape) != (n_events, n_components):
        shape = tuple(events.log_ratio.shape)
        message = f"log ratios of shape {shape} for {n_events} weights and {n_components} components"
        raise InvalidInput(message, code="likelihood.shape", where=where)
    n_terms = sum(len(morph.terms) for morph in channel.polynomials)
    expected = {"log_up": len(channel.anchors), "log_down": len(channel.anchors), "coefficients": n_terms}
    for name, n_columns in expected.items():
        values = getattr(events, name)
        found = (n_events, 0) if values is None else tuple(values.shape)
        if found != (n_events, n_columns):
            message = f"{name} of shape {found} for {n_events} events and {n_columns} columns"
            raise InvalidInput(message, code="likelihood.shape", where=where)


def _check_values(events: EventSet, where: str) -> Bool[np.ndarray, " anchors"]:
    """Refuse values that are not finite; return which anchors have the same column up and down."""
    n_bad, first_bad = 0, np.zeros(0, dtype=np.int64)
    same = np.ones(0 if events.log_up is None else events.log_up.shape[1], dtype=bool)
    for start, part in blocks(events):
        arrays = (part.log_ratio, part.log_up, part.log_down, part.coefficients)
        bad = ~np.isfinite(part.weight)
        for values in arrays:
            if values is not None:
                bad |= ~np.all(np.isfinite(values), axis=1)
        n_bad += int(bad.sum())
        first_bad = np.append(first_bad, start + np.flatnonzero(bad))[:3]
        if part.log_up is not None and part.log_down is not None and len(part.weight):
            same &= np.all(part.log_up == part.log_down, axis=0)
    if n_bad:
        message = (
            f"{n_bad} of {len(events.weight)} events have a log ratio or weight that is not finite; "
            f"first: {', '.join(map(str, first_bad))}"
        )
        raise NumericalFailure(message, code="likelihood.not-finite", where=where)
    return same
