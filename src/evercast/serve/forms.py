"""The fields of a form with what stands in them and what is wrong with it, ready to be drawn."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from evercast.serve.form_values import entries_of
from evercast.serve.shapes import Kind, Shape, item_shape, properties_of
from evercast.spec.report import json_path

__all__ = ["Choice", "Field", "Trouble", "build_form", "free_key", "walk"]

_NO_UNIT: Final = frozenset({"none", "1", "of the axis", "of the parameter"})
_WORDS: Final = {"true": "yes", "false": "no"}


@dataclass(frozen=True, slots=True)
class Trouble:
    """A problem of the document: its place as JSON path, and what is to be said."""

    path: str
    text: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """An option of a field."""

    value: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A place of the document in a form.

    Args:
        name: of the control.
        path: of the place.
        kind: how it is filled in.
        label: its key in words.
        unit: shown behind the label; empty where it has none.
        help: what it is.
        required: by the schema, where the object it belongs to is there.
        value: text in it.
        default: what holds where it is empty; empty where there is no default.
        choices: where one of few is chosen.
        children: of objects, maps and lists.
        key: of an entry of a map; None elsewhere.
        entry: whether it is an entry that can be removed.
        troubles: what is wrong with it.
    """

    name: str
    path: tuple[str | int, ...]
    kind: Kind
    label: str
    unit: str = ""
    help: str = ""
    required: bool = False
    value: str = ""
    default: str = ""
    choices: tuple[Choice, ...] = ()
    children: tuple[Field, ...] = ()
    key: str | None = None
    entry: bool = False
    troubles: tuple[Trouble, ...] = ()

    @property
    def id(self) -> str:
        """Identity in the page."""
        return "f" + re.sub(r"[^A-Za-z0-9]+", "-", self.name)

    @property
    def filled(self) -> bool:
        """Whether something stands in it or in a part of it."""
        return bool(self.value or self.entry or any(child.filled for child in self.children))

    @property
    def troubled(self) -> bool:
        """Whether something is wrong with it or a part of it."""
        return bool(self.troubles) or any(child.troubled for child in self.children)


def build_form(
    shape: Shape, form: Mapping[str, str], troubles: Sequence[Trouble] = (), files: Sequence[str] = ()
) -> tuple[Field, tuple[Trouble, ...]]:
    """Return the fields of a document, and the problems that belong to none of them.

    Args:
        shape: of the document.
        form: name -> text.
        troubles: of the document.
        files: beside the document, offered where a file is named.
    """
    root = _field(shape, _Filled(form, files), name="", path=(), label="")
    places = _places(root)
    found: dict[str, list[Trouble]] = {}
    left = []
    for trouble in troubles:
        name = _place(trouble.path, places)
        if name:
            found.setdefault(name, []).append(trouble)
        else:
            left.append(trouble)
    return _with_troubles(root, found), tuple(left)


def walk(field: Field) -> Iterator[Field]:
    """Yield a field and all below it."""
    yield field
    for child in field.children:
        yield from walk(child)


def free_key(key: str, taken: Sequence[str]) -> str:
    """Return a key for a new entry of a map: that of the map in the singular, with a number."""
    stem = re.sub(r"[^a-z]", "", key.removesuffix("s")) or "entry"
    number = 1
    while f"{stem}{number}" in taken:
        number += 1
    return f"{stem}{number}"


@dataclass(frozen=True, slots=True)
class _Filled:
    """What stands in a form, and the files that can be chosen."""

    form: Mapping[str, str]
    files: Sequence[str]


def _field(
    shape: Shape, filled: _Filled, *, name: str, path: tuple[str | int, ...], label: str, required: bool = False
) -> Field:
    schema = shape.schema
    unit = str(schema.get("x-unit", "none"))
    plain = Field(
        name=name, path=path, kind=shape.kind, label=_label(label, unit), unit="" if unit in _NO_UNIT else unit,
        help=str(schema.get("description", "")), required=required,
        value=filled.form.get(name, ""), default=_default(schema.get("default")), choices=_choices(shape),
    )  # fmt: skip
    children = _parts(shape, filled, plain) if shape.kind == "object" else _entries(shape, filled, plain)
    return replace(plain, children=tuple(children))


def _parts(shape: Shape, filled: _Filled, parent: Field) -> Iterator[Field]:
    """Yield the fields of an object."""
    needed = shape.schema.get("required", ())
    for key, part in properties_of(shape).items():
        child = _field(
            part, filled, name=f"{parent.name}/{key}", path=(*parent.path, key), label=key, required=key in needed
        )
        yield _file_choice(child, filled.files) if shape.is_file and key == "path" else child


def _entries(shape: Shape, filled: _Filled, parent: Field) -> Iterator[Field]:
    """Yield the entries of a map or list; nothing of any other place."""
    if shape.kind not in {"map", "list"}:
        return
    inner = item_shape(shape)
    for number, place in enumerate(entries_of(filled.form, parent.name)):
        key = filled.form[f"{parent.name}/{place}#"] if shape.kind == "map" else None
        step = number if key is None else key
        entry = _field(
            inner, filled, name=f"{parent.name}/{place}", path=(*parent.path, step), label=key or str(number + 1)
        )
        yield replace(entry, key=key, entry=True)


def _file_choice(field: Field, files: Sequence[str]) -> Field:
    """Return the field of a path as a choice of the files that are there; one that is not there stays a choice."""
    names = dict.fromkeys((*files, *([field.value] if field.value else [])))
    return replace(field, kind="choice", choices=tuple(Choice(name, name) for name in names))


def _label(key: str, unit: str) -> str:
    """Return a key in words, without the unit that is shown behind it."""
    words = key.split("_")
    short = {"TeV": "tev", "byte": "bytes"}.get(unit, unit.lower())
    return " ".join(words[:-1] if len(words) > 1 and words[-1] == short else words)


def _choices(shape: Shape) -> tuple[Choice, ...]:
    if shape.kind == "flag":
        return tuple(Choice(value, text) for value, text in _WORDS.items())
    if shape.kind == "choice":
        return tuple(Choice(str(value), str(value)) for value in shape.schema["enum"])
    return ()


def _default(value: object) -> str:
    """Return a default in words; empty where it is none or holds nothing."""
    if isinstance(value, list):
        return ", ".join(str(part) for part in value)
    if isinstance(value, bool):
        return _WORDS[str(value).lower()]
    return "" if value is None or isinstance(value, Mapping) else str(value)


def _places(root: Field) -> dict[str, str]:
    """Return JSON path -> name of the field there; names with dots stand in both forms in which messages quote them."""
    places = {}
    for field in walk(root):
        if field.name:
            places[json_path(field.path)] = field.name
            places.setdefault("$." + ".".join(str(step) for step in field.path), field.name)
    return places


def _place(path: str, places: Mapping[str, str]) -> str | None:
    """Return the name of the field of a JSON path, or of the nearest above it."""
    path = path.split(": ", maxsplit=1)[0]
    above = [place for place in places if path == place or (path.startswith(place) and path[len(place)] in ".[")]
    return places[max(above, key=len)] if above else None


def _with_troubles(field: Field, troubles: Mapping[str, Sequence[Trouble]]) -> Field:
    return replace(
        field, troubles=tuple(troubles.get(field.name, ())),
        children=tuple(_with_troubles(child, troubles) for child in field.children),
    )  # fmt: skip
