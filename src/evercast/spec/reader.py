"""A YAML file to a JSON value with a line for each place; strict, and with every problem reported.

The text is cut to events by PyYAML's parser; values are made in `tree` and `scalars`, by the core schema of YAML 1.2:
``no`` and ``on`` are text, ``1e5`` is a number. What two readers could read differently (``010``, ``1_000``, ``12:30``,
dates, tags, merge keys) is refused. JSON is read too, being YAML.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

import yaml

from evercast.errors import InvalidDocument, Problem
from evercast.spec.report import Path, invalid_document, shown
from evercast.spec.tree import TreeBuilder, YamlNode

__all__ = ["MAX_BYTES", "Document", "parse_document", "read_document"]

MAX_BYTES = 5_000_000
_MAX_SHOWN = 20
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb"
    "\ufffe\uffff\U000e0000-\U000e007f]"
)


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A document that is one mapping.

    Args:
        file: its name as the user gave it; None for a text.
        root: the tree of nodes.
        problems: what was wrong but did not stop the reading.
        bad_paths: the paths of those problems.
    """

    file: str | None
    root: YamlNode
    problems: tuple[Problem, ...] = ()
    bad_paths: tuple[Path, ...] = ()

    @property
    def value(self) -> dict[str, Any]:
        """The JSON value; it must not be changed."""
        value: dict[str, Any] = self.root.value
        return value

    def line(self, path: Path, *, key: bool = False) -> int | None:
        """Return the one-based line of the value at `path`, or of its key; of the nearest above where it is absent."""
        node = self.root
        line = node.line
        for step in path:
            child = node.children.get(step)
            if child is None:
                return line
            line = child.line
            if key and isinstance(step, str):
                line = node.key_lines.get(step, line)
            node = child
        return line

    def text(self, path: Path) -> str | None:
        """Return the scalar at `path` as it stands in the document; None for what is no scalar."""
        node: YamlNode | None = self.root
        for step in path:
            node = node.children.get(step) if node else None
        return node.text if node else None


def read_document(path: FilePath) -> Document:
    """Return the document in a file.

    Raises:
        InvalidDocument: it cannot be opened, is not UTF-8, not YAML or not one mapping, or passes a limit.
    """
    return parse_document(_read_bytes(path), file=str(path))


def parse_document(content: bytes, *, file: str | None = None) -> Document:
    """Return the document in `content`.

    Raises:
        InvalidDocument: as for `read_document`.
    """
    text = _decode(content, file)
    _check_characters(text, file)
    builder = TreeBuilder(file)
    try:
        builder.build(_events(text))
    except yaml.MarkedYAMLError as err:
        raise invalid_document([*builder.problems, _syntax_problem(err, text, file)]) from None
    root = builder.root
    if root is None or not isinstance(root.value, dict):
        found = "nothing" if root is None or root.value is None else shown(root.value)
        problem = Problem(
            code="spec.not-a-mapping", message="a document must be one mapping", file=file, line=1, found=found
        )
        raise invalid_document([*builder.problems, problem])
    _check_escapes(root, builder, file)
    return Document(file=file, root=root, problems=tuple(builder.problems), bad_paths=tuple(builder.bad_paths))


def _events(text: str) -> Iterator[yaml.Event]:
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    events: Iterator[yaml.Event] = yaml.parse(text, Loader=loader)
    return events


def _refuse(
    code: str, message: str, file: str | None, *, line: int | None = None, hint: str | None = None
) -> InvalidDocument:
    return invalid_document([Problem(code=code, message=message, file=file, line=line, hint=hint)])


def _read_bytes(path: FilePath) -> bytes:
    """Return the content of a regular file; a pipe or a device is refused without being waited for."""
    name = str(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        what = "is a link to a file that does not exist" if path.is_symlink() else "does not exist"
        raise _refuse("spec.no-such-file", f"the document {what}", name) from None
    except (OSError, ValueError) as err:
        reason = err.strerror if isinstance(err, OSError) and err.strerror else str(err)
        raise _refuse("spec.unreadable", f"the document cannot be opened: {reason.lower()}", name) from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        what = "a folder" if stat.S_ISDIR(mode) else "a pipe, a socket or a device"
        raise _refuse("spec.not-a-file", f"the document must be a regular file, found {what}", name)
    with os.fdopen(descriptor, "rb") as stream:
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise _refuse("spec.limit", f"the document is larger than {MAX_BYTES} bytes", name)
    return content


def _decode(content: bytes, file: str | None) -> str:
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as err:
        line = content.count(b"\n", 0, err.start) + 1
        message = f"the document is not UTF-8 at byte {err.start} (0x{content[err.start]:02x})"
        raise _refuse("spec.not-utf8", message, file, line=line, hint="save it as UTF-8") from None


def _named(char: str) -> str:
    return f"U+{ord(char):04X} {unicodedata.name(char, 'control character')}"


def _check_characters(text: str, file: str | None) -> None:
    problems = []
    for match in _FORBIDDEN.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        column = match.start() - text.rfind("\n", 0, match.start())
        message = f"the invisible character {_named(match.group())} at column {column} is not allowed"
        problems.append(Problem(code="spec.character", message=message, file=file, line=line, hint="remove it"))
        if len(problems) == _MAX_SHOWN:
            break
    if problems:
        raise invalid_document(problems)


def _check_escapes(root: YamlNode, builder: TreeBuilder, file: str | None) -> None:
    """Refuse invisible characters written as escapes in quoted texts."""
    pending: list[YamlNode] = [root]
    seen: set[int] = set()
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        pending.extend(node.children.values())
        for text, line in [(node.text or "", node.line), *node.key_lines.items()]:
            bad = _FORBIDDEN.search(text)
            if bad:
                message = f"the text holds the invisible character {_named(bad.group())}, which is not allowed"
                builder.problems.append(Problem(code="spec.character", message=message, file=file, line=line))


def _syntax_problem(err: yaml.MarkedYAMLError, text: str, file: str | None) -> Problem:
    mark, context = err.problem_mark, err.context_mark
    line = mark.line + 1 if mark else None
    message = (err.problem or "not YAML") + (f" at line {mark.line + 1}, column {mark.column + 1}" if mark else "")
    if err.context and context and mark and (context.line, context.column) != (mark.line, mark.column):
        message += f", {err.context} that begins in line {context.line + 1}, column {context.column + 1}"
        line = context.line + 1
    lines = text.split("\n")
    rest = lines[mark.line][mark.column :] if mark and mark.line < len(lines) else ""
    hint = None
    if rest.startswith("\t"):
        hint = "indent with spaces, not with tabs"
    elif rest.startswith(("@", "`", "%")) or "mapping values" in message:
        hint = "put the text in quotes"
    elif "did not find expected" in message:
        hint = "a quote or a bracket may be open in the lines before"
    return Problem(code="spec.syntax", message=message, file=file, line=line, hint=hint)
