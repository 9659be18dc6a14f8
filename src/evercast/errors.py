"""The error tree of evercast, its exit codes and its machine-readable form.

Every error a user can meet descends from `EvercastError`::

    EvercastError                exit 70  internal error, always a bug when raised bare
    ├── RunFailed                exit 1   a stage or a run failed; it can be resumed
    ├── UsageError               exit 2   the command line was used wrongly
    ├── InvalidInput             exit 3   a document or an input file is not valid
    │   └── InvalidDocument      exit 3   every problem of one document, at once
    │       └── UnsafeDocument   exit 5   one of them is a path that escapes, or a document made to exhaust the reader
    ├── ComparisonDiffers        exit 4   two results differ by more than their tolerance
    ├── IntegrityError           exit 5   a digest, a signature or a path is not what it must be
    ├── EnvironmentUnfit         exit 6   the machine: disk, lock, network, missing program
    └── NumericalFailure         exit 7   no trustworthy number could be computed

Each carries a stable text code such as ``sample.truncated``, listed in the reference documentation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar

__all__ = [
    "ComparisonDiffers",
    "EnvironmentUnfit",
    "EvercastError",
    "IntegrityError",
    "InvalidDocument",
    "InvalidInput",
    "NumericalFailure",
    "Problem",
    "RunFailed",
    "UnsafeDocument",
    "UsageError",
    "error_from_json",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong in a document, with its place.

    Args:
        code: stable text code, e.g. ``spec.unknown-key``.
        message: what is wrong, in one sentence without a full stop.
        path: JSON path in the document, e.g. ``$.samples.zz.files[0]``.
        file: the document; None where it was not read from a file.
        line: one-based line; None where unknown.
        found: the value found, as short text.
        expected: what is allowed there.
        hint: the next step, e.g. ``did you mean 'luminosity_fb'?``.
    """

    code: str
    message: str
    path: str = "$"
    file: str | None = None
    line: int | None = None
    found: str | None = None
    expected: str | None = None
    hint: str | None = None

    def __str__(self) -> str:
        place = self.file or "document"
        if self.line is not None:
            place += f":{self.line}"
        text = f"{place}: {self.path}: {self.message}"
        if self.found is not None:
            text += f"; found {self.found}"
        if self.expected is not None:
            text += f"; expected {self.expected}"
        if self.hint is not None:
            text += f" ({self.hint})"
        return text


class EvercastError(Exception):
    """Base of all errors; raised bare it means a defect of evercast itself.

    Args:
        message: what is wrong, with the value found and the value expected.
        code: stable text code.
        where: file, JSON path, line, stage or block.
        hint: the next step for the user.
    """

    exit_code: ClassVar[int] = 70
    default_code: ClassVar[str] = "internal"

    def __init__(
        self, message: str, *, code: str | None = None, where: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text} ({self.hint})" if self.hint else text

    def to_json(self) -> dict[str, object]:
        """Return the error as written to error files and shown with ``--json``."""
        return {
            "code": self.code,
            "exit_code": self.exit_code,
            "message": self.message,
            "where": self.where,
            "hint": self.hint,
        }


class RunFailed(EvercastError):
    """A stage or a run failed; the finished part is kept and the run can be resumed."""

    exit_code = 1
    default_code = "run.failed"


class UsageError(EvercastError):
    """The command line was used wrongly."""

    exit_code = 2
    default_code = "usage"


class InvalidInput(EvercastError):
    """An input file or a value in it is not valid."""

    exit_code = 3
    default_code = "input.invalid"


class InvalidDocument(InvalidInput):
    """A document is not valid; carries every problem found.

    Args:
        problems: at least one problem, in the order of the document.
    """

    default_code = "spec.invalid"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        noun = "problem" if count == 1 else "problems"
        super().__init__(f"{count} {noun}", code=self.problems[0].code if count == 1 else None)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)

    def to_json(self) -> dict[str, object]:
        """Return the error with all its problems."""
        body = super().to_json()
        body["message"] = str(self)
        body["problems"] = [asdict(problem) for problem in self.problems]
        return body


class UnsafeDocument(InvalidDocument):
    """A document that holds, among its problems, a path that escapes or content made to exhaust the reader."""

    exit_code = 5


class ComparisonDiffers(EvercastError):
    """Two results differ by more than the declared tolerance."""

    exit_code = 4
    default_code = "compare.differs"


class IntegrityError(EvercastError):
    """A digest, a signature or a path is not what it must be."""

    exit_code = 5
    default_code = "integrity"


class EnvironmentUnfit(EvercastError):
    """The machine lacks something: disk, lock, network, a program, a permission."""

    exit_code = 6
    default_code = "environment"


class NumericalFailure(EvercastError):
    """No trustworthy number could be computed, so none is given."""

    exit_code = 7
    default_code = "numerical"


_BY_EXIT_CODE: dict[int, type[EvercastError]] = {
    kind.exit_code: kind
    for kind in (
        EvercastError, RunFailed, UsageError, InvalidInput, ComparisonDiffers, IntegrityError,
        EnvironmentUnfit, NumericalFailure,
    )
}  # fmt: skip


def error_from_json(body: Mapping[str, object]) -> EvercastError:
    """Return the error that a job wrote to its error file, with the same exit code and text code."""
    exit_code = body.get("exit_code")
    kind = _BY_EXIT_CODE.get(exit_code if isinstance(exit_code, int) else 70, EvercastError)

    def text(key: str) -> str | None:
        value = body.get(key)
        return value if isinstance(value, str) else None

    return kind(text("message") or "unknown error", code=text("code"), where=text("where"), hint=text("hint"))
