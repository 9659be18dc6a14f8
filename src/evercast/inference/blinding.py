"""Blinding: observed results of a likelihood with blind channels are not computed unless that is asked for."""

from __future__ import annotations

from evercast.errors import InvalidInput
from evercast.likelihood.model import LikelihoodModel

__all__ = ["blind_channels", "refuse_blind"]


def blind_channels(model: LikelihoodModel) -> tuple[str, ...]:
    """Return the names of the channels whose data must not be looked at; none for Asimov data."""
    if model.asimov is not None:
        return ()
    return tuple(channel.name for channel in model.channels if channel.blind)


def refuse_blind(model: LikelihoodModel) -> None:
    """Refuse a model with blind channels.

    Raises:
        InvalidInput: ``likelihood.blind``.
    """
    blind = blind_channels(model)
    if blind:
        names = ", ".join(f"'{name}'" for name in blind)
        message = f"observed results of '{model.name}' are not computed: blind are {names}"
        hint = "--expected gives expected results; --unblind looks at the data (`inference.unblind` in a document)"
        raise InvalidInput(message, code="likelihood.blind", hint=hint)
