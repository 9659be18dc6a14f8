"""Pages from templates, every value escaped."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from evercast import __version__

__all__ = ["render", "style_sheet"]

_HERE: Final = files("evercast.serve")
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Controls, and marks that turn the direction of writing."""


def _size(count: int) -> str:
    """Return a number of bytes for people."""
    size, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def _marked(text: object) -> Markup:
    """Return a text with what stands between backticks as code."""
    parts = str(escape(_CONTROL.sub("", str(text)))).split("`")
    if len(parts) % 2 == 0:
        return Markup("`".join(parts))  # noqa: S704 - escaped above
    whole = "".join(part if number % 2 == 0 else f"<code>{part}</code>" for number, part in enumerate(parts))
    return Markup(whole)  # noqa: S704 - escaped above


_ENVIRONMENT: Final = Environment(
    loader=FunctionLoader(lambda name: (_HERE / "templates" / name).read_text(encoding="utf-8")),
    autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, auto_reload=False,
    finalize=lambda value: value if isinstance(value, Markup) else _CONTROL.sub("", str(value)),
)  # fmt: skip
_ENVIRONMENT.filters |= {"size": _size, "marked": _marked}


def render(template: str, values: Mapping[str, object]) -> str:
    """Return a page.

    Args:
        template: its name.
        values: that stand in it.
    """
    return _ENVIRONMENT.get_template(f"{template}.html.j2").render({"version": __version__, **values})


def style_sheet(name: str) -> bytes | None:
    """Return a file of this package that pages load; None where there is none of that name."""
    if name == "report.css":
        return (files("evercast.publication") / "templates" / name).read_bytes()
    return (_HERE / "static" / name).read_bytes() if name in {"serve.css", "serve.js"} else None
