"""YAML events to a tree of nodes that know their lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from evercast.errors import Problem
from evercast.spec.report import Path, invalid_document, json_path, shown_name
from evercast.spec.scalars import AmbiguousScalarError, plain_value

__all__ = ["MAX_DEPTH", "MAX_NODES", "TreeBuilder", "YamlNode"]

MAX_DEPTH = 100
MAX_NODES = 200_000


@dataclass(slots=True, eq=False)
class YamlNode:
    """A value with its place; `children` are the entries of a mapping or the items of a list.

    Args:
        value: the JSON value.
        line: one-based line.
        text: the scalar as it stands in the document; None for a mapping or a list.
        key_lines: key of a mapping to its line.
        count: nodes below and with this one, each alias expanded.
        height: levels below this one.
    """

    value: Any
    line: int
    text: str | None = None
    children: dict[str | int, YamlNode] = field(default_factory=dict)
    key_lines: dict[str, int] = field(default_factory=dict)
    count: int = 1
    height: int = 0


@dataclass(slots=True)
class _Frame:
    node: YamlNode
    anchor: str | None
    step: str | int | None = None  # the key or index that the next value gets
    awaits_key: bool = False


class TreeBuilder:
    """Builds the tree of one document out of parser events, and collects what is wrong on the way.

    Args:
        file: name of the document for the problems.
    """

    def __init__(self, file: str | None) -> None:
        self.root: YamlNode | None = None
        self.problems: list[Problem] = []
        self.bad_paths: list[Path] = []
        self._file = file
        self._frames: list[_Frame] = []
        self._anchors: dict[str, YamlNode] = {}
        self._total = 0
        self._skipped_key = 0

    def build(self, events: Iterator[yaml.Event]) -> None:
        """Read all events.

        Raises:
            InvalidDocument: a limit is passed, there is more than one document, or an alias is wrong.
            yaml.YAMLError: the text is not YAML.
        """
        for event in events:
            line = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, yaml.DocumentStartEvent):
                self._start_document(event, line)
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event, line)
            elif isinstance(event, yaml.ScalarEvent):
                self._scalar(event, line)
            elif isinstance(event, yaml.CollectionStartEvent):
                self._open(event, line)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._close()

    def _path(self) -> Path:
        return tuple(frame.step for frame in self._frames if frame.step is not None)

    def _add(self, code: str, message: str, line: int, *, hint: str | None = None, found: str | None = None) -> None:
        path = self._path()
        self.bad_paths.append(path)
        self.problems.append(
            Problem(
                code=code, message=message, path=json_path(path), file=self._file, line=line, hint=hint, found=found
            )
        )

    def _stop(self, code: str, message: str, line: int, *, hint: str | None = None) -> None:
        self._add(code, message, line, hint=hint)
        raise invalid_document(self.problems)

    def _start_document(self, event: yaml.DocumentStartEvent, line: int) -> None:
        if self.root is not None:
            self._stop("spec.several-documents", "a second document begins here; a file must be one mapping", line)
        if event.version is not None or event.tags:
            self._add("spec.directive", "a YAML directive ('%...') is not supported", line, hint="remove it")

    def _alias(self, event: yaml.AliasEvent, line: int) -> None:
        name = event.anchor or ""
        node = self._anchors.get(name)
        if node is None:
            if any(frame.anchor == name for frame in self._frames):
                self._stop("spec.self-reference", f"'*{name}' stands inside '&{name}' and refers to itself", line)
            self._stop("spec.syntax", f"'*{name}' refers to nothing; there is no '&{name}' above", line)
            return
        if self._frames and self._frames[-1].awaits_key:
            self._take_key(None, line)
            return
        self._count(node.count, line)
        if len(self._frames) + node.height > MAX_DEPTH:
            self._stop("spec.limit", f"the document is nested more than {MAX_DEPTH} levels deep", line)
        self._attach(node)

    def _count(self, more: int, line: int) -> None:
        self._total += more
        if self._total > MAX_NODES:
            message = f"the document has more than {MAX_NODES} values, aliases ('*name') expanded"
            self._stop("spec.limit", message, line)

    def _check_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, line: int) -> None:
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._add("spec.tag", f"the tag {shown_name(tag)} is not supported", line, hint="remove it")

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        text = event.value
        self._count(1, line)
        if self._frames and self._frames[-1].awaits_key:
            self._take_key(event, line)
            return
        self._check_tag(event, line)
        value: Any = text
        if event.style is None or event.style == "":
            try:
                value = plain_value(text)
            except AmbiguousScalarError as ambiguous:
                what, remedy = ambiguous.args
                self._add("spec.ambiguous-scalar", f"{shown_name(text)} {what}", line, hint=remedy)
        node = YamlNode(value=value, line=line, text=text)
        if event.anchor:
            self._anchors[event.anchor] = node
        self._attach(node)

    def _take_key(self, event: yaml.ScalarEvent | None, line: int) -> None:
        """Make the scalar the key of the next value; what is no text still gets a place of its own."""
        frame = self._frames[-1]
        frame.awaits_key = False
        text = event.value if event is not None else None
        reason = None
        if event is None or text is None or event.tag is not None:
            reason = "a key must be plain text"
        elif event.style in {None, ""} and text == "<<":
            reason = "merge keys ('<<') are not supported"
        elif event.style in {None, ""} and _not_text(text):
            reason = f"the key {shown_name(text)} is not text"
        if reason is None and text is not None:
            first = frame.node.key_lines.get(text)
            frame.step = text
            if first is not None:
                where = f"twice in line {line}" if first == line else f"twice, in line {first} and in line {line}"
                message = f"the key {shown_name(text)} stands {where}"
                self._add("spec.duplicate-key", message, line, hint="keep one of them")
            frame.node.key_lines.setdefault(text, line)
            return
        frame.step = None
        hint = "write the entries out" if text == "<<" else "quote it" if event is not None else None
        if hint == "quote it" and event is not None and event.value.isdigit():
            hint = "quote it; or, where a comma was meant as a decimal point, write a point"
        self._add("spec.key-not-text", reason or "a key must be plain text", line, hint=hint)
        self._skipped_key += 1
        frame.step = f"\0{self._skipped_key}"

    def _open(self, event: yaml.CollectionStartEvent, line: int) -> None:
        self._count(1, line)
        if len(self._frames) >= MAX_DEPTH:
            self._stop("spec.limit", f"the document is nested more than {MAX_DEPTH} levels deep", line)
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if self._frames and self._frames[-1].awaits_key:
            self._stop("spec.key-not-text", "a key must be text, found a list or a mapping", line)
        self._check_tag(event, line)
        node = YamlNode(value={} if is_mapping else [], line=line)
        self._frames.append(_Frame(node, event.anchor, None if is_mapping else 0, awaits_key=is_mapping))

    def _close(self) -> None:
        frame = self._frames.pop()
        if frame.anchor:
            self._anchors[frame.anchor] = frame.node
        self._attach(frame.node)

    def _attach(self, node: YamlNode) -> None:
        if not self._frames:
            self.root = node
            return
        frame = self._frames[-1]
        parent = frame.node
        parent.count += node.count
        parent.height = max(parent.height, node.height + 1)
        if isinstance(frame.step, int):
            parent.value.append(node.value)
            parent.children[frame.step] = node
            frame.step += 1
            return
        key = frame.step
        frame.step, frame.awaits_key = None, True
        if key is not None and not key.startswith("\0"):
            parent.value.setdefault(key, node.value)
            parent.children.setdefault(key, node)


def _not_text(text: str) -> bool:
    try:
        return not isinstance(plain_value(text), str)
    except AmbiguousScalarError:
        return True
