"""Our own check of a HEPData submission: hepdata-validator takes NaN, infinite values and files that nobody names."""

from __future__ import annotations

import gc
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from evercast.errors import InvalidInput
from evercast.publication.hepdata_resources import MOST_BYTES

__all__ = ["old_resolver", "require_sound_submission"]

_LARGEST_YAML: Final = 10 << 20
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._()-]{0,99}")
_SHOWN: Final = 5


def require_sound_submission(folder: Path) -> None:
    """Refuse a submission that HEPData would take although it is wrong, or would not take.

    Args:
        folder: with ``submission.yaml``.

    Raises:
        InvalidInput: ``publication.hepdata`` with all that is wrong: NaN or infinite values, missing, extra, hidden or
            large files, names that do not travel, columns of different lengths, and what hepdata-validator says.
    """
    problems = list(_file_problems(folder))
    documents = _documents(folder / "submission.yaml", problems)
    problems += _named_problems(folder, documents)
    for document in documents[1:]:
        problems += _table_problems(folder, document)
    if not problems:
        problems += _validator_problems(folder)
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise InvalidInput(
            f"the submission is not sound: {'; '.join(problems[:_SHOWN])}{more}",
            code="publication.hepdata",
            where=folder.name,
        )


def _file_problems(folder: Path) -> Iterator[str]:
    """Yield files that must not be there."""
    total = 0
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not path.is_file():
            yield f"{name} is no regular file"
            continue
        size = path.stat().st_size
        total += size
        if not _NAME.fullmatch(name):
            yield f"{name!r} is hidden or has a name that does not travel between systems"
        if path.suffix == ".yaml" and size > _LARGEST_YAML:
            yield f"{name} has {size} bytes; HEPData takes {_LARGEST_YAML}"
        if size == 0:
            yield f"{name} is empty"
    if total > MOST_BYTES:
        yield f"the files have {total} bytes together; HEPData takes {MOST_BYTES}"


def _documents(path: Path, problems: list[str]) -> Sequence[Mapping[str, Any]]:
    found = _yaml(path, problems)
    wrong = [number for number, entry in enumerate(found) if not isinstance(entry, dict)]
    if wrong:
        problems.append(f"{path.name}: document {wrong[0]} is no mapping")
    if len(found) < 2:
        problems.append(f"{path.name} names no table")
    return [entry for entry in found if isinstance(entry, dict)]


def _yaml(path: Path, problems: list[str]) -> list[Any]:
    if not path.is_file():
        problems.append(f"{path.name} is missing")
        return []
    try:
        return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        problems.append(f"{path.name} is no YAML: {str(err).splitlines()[0]}")
        return []


def _named_problems(folder: Path, documents: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield files that are named and missing, and files that nobody names."""
    named = {"submission.yaml"}
    for document in documents:
        files = [document.get("data_file")] if "data_file" in document else []
        files += [
            entry.get("location")
            for entry in document.get("additional_resources") or ()
            if isinstance(entry, dict) and "://" not in str(entry.get("location"))
        ]
        for name in map(str, files):
            if name in named and name.endswith(".yaml"):
                yield f"{name} is named twice"
            named.add(name)
            if Path(name).name != name or not (folder / name).is_file():
                yield f"{name!r} is named and missing"
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    yield from (f"{name!r} is named by nothing" for name in sorted(there - named))


def _table_problems(folder: Path, document: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the values of a table."""
    problems: list[str] = []
    file = folder / Path(str(document.get("data_file"))).name
    body = next(iter(_yaml(file, problems)), None)
    if not isinstance(body, dict):
        return problems or [f"{file.name} holds no table"]
    kinds = ("independent_variables", "dependent_variables")
    columns = [column for kind in kinds for column in body.get(kind) or ()]
    lengths = {len(column.get("values") or ()) for column in columns}
    if len(lengths) != 1 or lengths == {0}:
        problems.append(f"{file.name}: columns have {sorted(lengths)} rows; expected the same number, not 0")
    for column in columns:
        bad = next((number for number in _numbers(column.get("values")) if not math.isfinite(number)), None)
        if bad is not None:
            problems.append(f"{file.name}: a value of {column.get('header', {}).get('name')!r} is {bad}")
        texts = next((text for text in _texts(column.get("values")) if text.lower().strip("+-.") in _SPELT), None)
        if texts is not None:
            problems.append(f"{file.name}: a value of {column.get('header', {}).get('name')!r} is the text {texts!r}")
    return problems


_SPELT: Final = frozenset({"nan", "inf", "infinity"})


def _numbers(value: object) -> Iterator[float]:
    if isinstance(value, dict):
        for part in value.values():
            yield from _numbers(part)
    elif isinstance(value, list):
        for part in value:
            yield from _numbers(part)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)


def _texts(value: object) -> Iterator[str]:
    for entry in value if isinstance(value, list) else ():
        for part in entry.values() if isinstance(entry, dict) else ():
            if isinstance(part, str):
                yield part


def _validator_problems(folder: Path) -> list[str]:
    """Return what hepdata-validator says; it comes with hepdata_lib."""
    found: list[str] = []
    with old_resolver():
        from hepdata_validator.full_submission_validator import FullSubmissionValidator  # noqa: PLC0415 - an extra

        validator = FullSubmissionValidator(autoload_remote_schemas=False)
        if not validator.validate(directory=str(folder)):
            for file, messages in validator.get_messages().items():
                found += [f"{Path(str(file)).name}: {message.message}" for message in messages]
        del validator
        gc.collect()  # it leaves the files open that it read
    return found


@contextmanager
def old_resolver() -> Iterator[None]:
    """Leave out warnings about what hepdata-validator does, and undo what hepdata_lib sets for warnings."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="jsonschema.", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message="unclosed file", category=ResourceWarning)
        yield
