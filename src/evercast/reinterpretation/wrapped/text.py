"""A wrapped analysis as a YAML document for people: block style, small mappings on one line."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from evercast.reinterpretation.wrapped.model import WrappedAnalysis, analysis_to_json

__all__ = ["document_text", "yaml_text"]

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./+-]*( [A-Za-z0-9_./+-]+)*")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"})
_WIDTH = 400


def document_text(analysis: WrappedAnalysis) -> str:
    """Return the document of a wrapped analysis; read again it gives the same one."""
    return yaml_text(analysis_to_json(analysis))


def yaml_text(body: Mapping[str, object]) -> str:
    """Return a JSON object as YAML."""
    return "\n".join(_lines(body, 0)) + "\n"


def _lines(value: object, depth: int) -> list[str]:
    pad = "  " * depth
    lines: list[str] = []
    if isinstance(value, Mapping):
        for key, part in value.items():
            head = f"{pad}{_scalar(key)}:"
            lines += [f"{head} {_flow(part)}"] if _is_short(part) else [head, *_lines(part, depth + 1)]
        return lines
    for part in value if isinstance(value, list) else ():
        if _is_short(part):
            lines.append(f"{pad}- {_flow(part)}")
        else:
            inner = _lines(part, depth + 1)
            lines += [f"{pad}- {inner[0].lstrip()}", *inner[1:]]
    return lines


def _is_short(value: object) -> bool:
    """Return whether a value stands on one line: a scalar, or a mapping or list of scalars and flat lists."""
    if isinstance(value, Mapping):
        flat = all(not isinstance(part, Mapping) and _is_short(part) for part in value.values())
        return flat and len(_flow(value)) <= _WIDTH
    if isinstance(value, list):
        return all(not isinstance(part, Mapping | list) for part in value) and len(_flow(value)) <= _WIDTH
    return True


def _flow(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(part) for part in value) + "]"
    return _scalar(value)


def _scalar(value: object) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
