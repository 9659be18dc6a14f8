"""Refuses to publish what tells of people's machines or lets others in: user paths, host names, tokens, keys."""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from evercast.errors import IntegrityError

__all__ = ["refuse_secrets"]

_TEXTS: Final = frozenset(
    {".json", ".md", ".txt", ".cff", ".html", ".py", ".yaml", ".yml", ".csv", ".xml", ".toml", ".smk", ".svg", ""}
)
_TOKENS: Final = (
    ("a private key", re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")),
    ("a GitHub token", re.compile(rb"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60,})")),
    ("a GitLab token", re.compile(rb"\bglpat-[A-Za-z0-9_-]{20}")),
    ("an access key of a cloud", re.compile(rb"\bAKIA[0-9A-Z]{16}\b")),
    ("a signed web token", re.compile(rb"\beyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{20,}")),
    ("a password in an address", re.compile(rb"\b[a-z][a-z0-9+.-]*://[^\s/:@\"'<>]{1,60}:[^\s/:@\"'<>]{3,60}@")),
)
_PLACES: Final = (
    (
        "a user's folder",
        re.compile(rb"(?<![A-Za-z0-9_.:/-])/(?:home|Users|afs|scratch|eos/user|eos/home-[a-z])/[A-Za-z0-9._-]+"),
    ),
    (
        "a user's folder",
        re.compile(
            rb"(?<![A-Za-z0-9_.:/-])/(?:lustre|gpfs|nfs)(?:/[A-Za-z0-9._-]+){0,3}?/(?:home|users?)/[A-Za-z0-9._-]+"
        ),
    ),
    ("a user's folder", re.compile(rb"(?<![A-Za-z0-9_.:/-])/root/[A-Za-z0-9._-]+")),
    ("a user's folder", re.compile(rb"\b[A-Za-z]:\\\\?Users\\\\?[A-Za-z0-9._-]+")),
)
_SECRET_NAME: Final = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|CREDENTIAL", re.IGNORECASE)
_SHORTEST: Final = 8
_SHORTEST_NUMBERED: Final = 4
"""Letters of the name of a machine that ends with a number, as those of clusters do."""
_BLOCK: Final = 8 << 20
_OVERLAP: Final = 4096
"""Bytes read at once, and bytes looked at twice; no pattern is longer."""
_COMMON_HOSTS: Final = frozenset({"localhost", "localhost.localdomain", "container", "runner", "buildhost"})
_COMMON_LOGINS: Final = frozenset(
    {
        "",
        "root",
        "user",
        "admin",
        "runner",
        "ubuntu",
        "debian",
        "build",
        "builder",
        "docker",
        "jovyan",
        "nobody",
        "data",
    }
)


def refuse_secrets(folder: Path) -> None:
    """Read every file below a folder and refuse one that holds a secret or the place of a user's files.

    Text files are looked through for paths of users, the name of this machine and the values of secret variables of
    the environment; all files for tokens and keys.

    Raises:
        IntegrityError: ``publication.secret`` with the file, its line and the kind; the secret itself is not repeated.
    """
    own = list(_of_this_machine())
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            patterns = (*_TOKENS, *_PLACES, *own) if path.suffix in _TEXTS else _TOKENS
            _refuse_in(path, folder, patterns)


def _refuse_in(path: Path, folder: Path, patterns: tuple[tuple[str, re.Pattern[bytes]], ...]) -> None:
    """Look through a file block by block; blocks overlap, so that nothing is cut in two."""
    lines, kept = 1, b""
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            content = kept + block
            for what, pattern in patterns:
                found = pattern.search(content)
                if found is not None:
                    raise _secret(path.relative_to(folder), what, lines + content.count(b"\n", 0, found.start()))
            kept = content[-_OVERLAP:]
            lines += content.count(b"\n", 0, len(content) - len(kept))


def _secret(name: Path, what: str, line: int) -> IntegrityError:
    return IntegrityError(
        f"{name} holds {what} in line {line}",
        code="publication.secret",
        where=str(name),
        hint="take it out of the document or of the file it came from, and run again; nothing was published",
    )


def _of_this_machine() -> Iterator[tuple[str, re.Pattern[bytes]]]:
    """Yield patterns of what only this machine knows: its name, its user, the user's home, secret variables."""
    host = socket.gethostname()
    for name in {host, host.split(".")[0]} - _COMMON_HOSTS:
        if len(name) >= _SHORTEST or (len(name) >= _SHORTEST_NUMBERED and name[-1].isdigit()):
            yield "the name of this machine", re.compile(rb"\b" + re.escape(name.encode()) + rb"\b")
    home = os.path.expanduser("~")  # noqa: PTH111 - as text, also where it does not exist
    if len(home) > len("/root"):
        yield "the home folder of this user", re.compile(re.escape(home.encode()) + rb"\b")
    login = _login()
    if login not in _COMMON_LOGINS:
        below = (
            rb"(?<![A-Za-z0-9_.:/-])/(?:[A-Za-z0-9._-]{1,80}/){0,12}"
            + re.escape(login.encode())
            + rb"(?![A-Za-z0-9_-])"
        )
        yield "a folder of this user", re.compile(below)
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST:
            yield f"the value of the variable {name}", re.compile(re.escape(value.encode()))


def _login() -> str:
    """Return the name of the user; empty where it has none, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
