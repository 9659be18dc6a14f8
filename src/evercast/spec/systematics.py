"""What a systematic does, whatever its kind: its parameter, its processes, its effect, its channels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from evercast.spec.model import (
    Effect,
    NormalisationSystematic,
    SampleSystematic,
    Systematic,
    TwoPointSystematic,
)

__all__ = [
    "acts_in",
    "changes_density",
    "directions_of",
    "effect_of",
    "parameter_of",
    "processes_of",
    "varied_samples_of",
]

_Direction = Literal["up", "down"]


def parameter_of(name: str, systematic: Systematic) -> str:
    """Return the name of the nuisance parameter of the systematic `name`."""
    return systematic.parameter or name


def processes_of(systematic: Systematic) -> tuple[str, ...]:
    """Return the processes that it acts on, in the order of the document."""
    if isinstance(systematic, SampleSystematic | TwoPointSystematic):
        return tuple(systematic.samples)
    return systematic.processes


def effect_of(systematic: Systematic) -> Effect:
    """Return what it changes: densities (shape), yields (normalisation), or both."""
    if isinstance(systematic, NormalisationSystematic):
        return "normalisation"
    if isinstance(systematic, SampleSystematic):
        return systematic.kind
    return systematic.effect


def changes_density(systematic: Systematic) -> bool:
    """Return whether densities change, so that unbinned channels need networks for it."""
    return effect_of(systematic) != "normalisation"


def directions_of(systematic: Systematic) -> tuple[_Direction, ...]:
    """Return the directions for which there are events: a two-point systematic has an alternative at +1 only."""
    return ("up",) if isinstance(systematic, TwoPointSystematic) else ("up", "down")


def acts_in(systematic: Systematic, channels: Iterable[str]) -> bool:
    """Return whether it acts in any of `channels`."""
    return any(not systematic.channels or channel in systematic.channels for channel in channels)


def varied_samples_of(systematic: Systematic, process: str) -> dict[_Direction, str]:
    """Return direction -> sample that stands for a process there; empty where the same sample is selected again."""
    if isinstance(systematic, SampleSystematic):
        return {"up": systematic.samples[process].up, "down": systematic.samples[process].down}
    return {"up": systematic.samples[process]} if isinstance(systematic, TwoPointSystematic) else {}
