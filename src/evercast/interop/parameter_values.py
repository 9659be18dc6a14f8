"""Values of parameters as a caller gives them: named, finite numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from evercast.errors import InvalidInput

__all__ = ["by_name", "finite"]


def by_name(parameters: object) -> Mapping[str, object]:
    """Return values by the name of their parameter; none where none are given.

    Raises:
        InvalidInput: ``likelihood.parameters``, they are not named.
    """
    if parameters is None:
        return {}
    if not isinstance(parameters, Mapping):
        message = f"parameters are name -> value, such as {{'mu': 1.0}}; found {type(parameters).__name__}"
        raise InvalidInput(message, code="likelihood.parameters")
    return parameters


def finite(name: str, value: object) -> float:
    """Return the value of a parameter, which must be one finite number.

    Raises:
        InvalidInput: ``likelihood.parameters``.
    """
    array = np.asarray(value)
    if array.shape != () or array.dtype.kind not in "fiu" or not np.isfinite(array):
        raise InvalidInput(f"{name!r} is {value!r}; expected a finite number", code="likelihood.parameters")
    return float(array)
