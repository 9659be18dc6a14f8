"""A likelihood on its way to the files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evercast.artifacts.likelihood_file import ExtraEvents
from evercast.likelihood.assembly import BinnedInput
from evercast.likelihood.model import LikelihoodModel

__all__ = ["Built"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Built:
    """A likelihood and what is stored beside its events."""

    model: LikelihoodModel
    binned: tuple[BinnedInput, ...]
    extra: Mapping[str, ExtraEvents]
