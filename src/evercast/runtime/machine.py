"""What a machine is and what its packages do by default: recorded in an archive, compared before a replay.

Versions say which code runs, instructions which arithmetic; the defaults of a package can change what a call means
without any word in a document, so they are recorded as they stand in the code that is installed.
"""

from __future__ import annotations

import inspect
import platform
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

__all__ = ["INSTRUCTION_SETS", "instruction_sets", "machine_facts", "statistics_defaults"]

INSTRUCTION_SETS: Final = ("sse4_2", "avx", "fma", "avx2", "avx512f", "avx512_bf16", "amx_tile", "asimd", "sve")
"""Those that compilers choose between; sums come in another order, and numbers differ by rounding."""

_CPUINFO: Final = Path("/proc/cpuinfo")


def machine_facts() -> dict[str, str]:
    """Return what this machine is: system, architecture, processor, its instruction sets, Python."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "processor": _field(_text(), ("model name", "CPU implementer")),
        "instructions": " ".join(instruction_sets(_text())),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "byte_order": sys.byteorder,
    }


def instruction_sets(cpuinfo: str) -> tuple[str, ...]:
    """Return which of `INSTRUCTION_SETS` a processor has.

    Args:
        cpuinfo: content of ``/proc/cpuinfo``.

    Example:
        >>> instruction_sets("flags : fpu sse4_2 avx avx2")
        ('sse4_2', 'avx', 'avx2')
    """
    flags = frozenset(_field(cpuinfo, ("flags", "Features")).split())
    return tuple(name for name in INSTRUCTION_SETS if name in flags)


def statistics_defaults() -> dict[str, str]:
    """Return the defaults of pyhf that decide what a limit means, read from the functions that are installed.

    Those of evercast are written out in the canonical form of a document, so that a comparison of documents has them.
    """
    from pyhf import infer, pdf  # noqa: PLC0415 - 0.5 s, and only archives and replays ask
    from pyhf.infer import calculators  # noqa: PLC0415 - likewise
    from pyhf.infer.intervals import upper_limits  # noqa: PLC0415 - likewise

    asked: Mapping[str, tuple[Callable[..., object], tuple[str, ...]]] = {
        "pyhf.hypotest": (infer.hypotest, ("calctype",)),
        "pyhf.AsymptoticCalculator": (calculators.AsymptoticCalculator, ("test_stat", "calc_base_dist")),
        "pyhf.ToyCalculator": (calculators.ToyCalculator, ("test_stat", "ntoys")),
        "pyhf.upper_limit": (upper_limits.upper_limit, ("level",)),
        "pyhf.Model": (pdf.Model, ("clip_sample_data", "clip_bin_data")),
    }
    found = {}
    for name, (function, arguments) in asked.items():
        parameters = inspect.signature(function).parameters
        for argument in arguments:
            parameter = parameters.get(argument)
            if parameter is None:
                found[f"{name}.{argument}"] = "no such argument"
            elif parameter.default is not inspect.Parameter.empty:
                found[f"{name}.{argument}"] = repr(parameter.default)
    return found


def _text() -> str:
    try:
        return _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _field(cpuinfo: str, names: tuple[str, ...]) -> str:
    for line in cpuinfo.splitlines():
        key, colon, value = line.partition(":")
        if colon and key.strip() in names:
            return value.strip()
    return ""
