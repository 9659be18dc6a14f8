"""How a build reaches the package index of this machine without any of it staying in the image."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from evercast.errors import EnvironmentUnfit

__all__ = ["bind_index"]

_PASSED: Final = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout", "retries")
"""Settings of pip that are copied as they are; certificates and local folders are bound."""


def bind_index(folder: Path, *, cache: Path) -> list[str]:
    """Return what is bound to ``/mnt`` during a build: pip's settings of this machine, written into `folder`.

    The addresses of indexes, the certificates and the folders in which this machine's pip looks for packages are those
    of this machine. ``/mnt/pip.conf`` names them; indexes that are folders are left out.

    Args:
        folder: is filled.
        cache: keeps what was fetched for the next build.

    Returns:
        Specifications ``SOURCE:TARGET[:ro]``, in the order in which they must be bound.
    """
    found = _pip_settings()
    folder.mkdir()
    cache.mkdir(parents=True, exist_ok=True)
    (folder / "cache").mkdir()
    binds = [f"{folder}:/mnt:ro", f"{cache}:/mnt/cache"]
    settings = {key: _remote(found[key]) for key in _PASSED if _remote(found.get(key, ""))}
    certificates = found.get("cert") or os.environ.get("SSL_CERT_FILE", "")
    if certificates and Path(certificates).is_file():
        shutil.copyfile(certificates, folder / "certificates.pem")
        settings["cert"] = "/mnt/certificates.pem"
    places = []
    for number, word in enumerate(found.get("find-links", "").split()):
        path = Path(unquote(urlsplit(word).path)) if word.startswith("file:") else Path(word)
        if path.is_dir():
            (folder / f"links{number}").mkdir()
            binds.append(f"{path}:/mnt/links{number}:ro")
            places.append(f"/mnt/links{number}")
        elif word.startswith(("http:", "https:")):
            places.append(word)
    if places:
        settings["find-links"] = "\n    ".join(["", *places])
    lines = [f"{key} = {value}" for key, value in settings.items()]
    (folder / "pip.conf").write_text("\n".join(["[global]", *lines, ""]))
    return binds


def _remote(text: str) -> str:
    """Return the words of a setting but for addresses of local files."""
    return " ".join(word for word in text.split() if not word.startswith("file:"))


def _pip_settings() -> Mapping[str, str]:
    """Return setting -> value of pip on this machine; of several sources the last wins, as for pip itself."""
    question = [sys.executable, "-m", "pip", "config", "list"]
    answer = subprocess.run(question, capture_output=True, text=True, check=False)  # noqa: S603
    if answer.returncode != 0:
        raise EnvironmentUnfit("pip does not tell its settings", code="image.no-program", hint="python -m ensurepip")
    settings: dict[str, str] = {}
    for line in answer.stdout.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.partition(".")
        if section in {"global", ":env:", "install"}:
            settings[name] = str(ast.literal_eval(value))
    return settings
