"""Keys of one's own, and the public keys that one trusts: files that OpenSSH reads too.

The folder holds ``NAME.pem`` and ``NAME.pub`` for each key of one's own, and ``trusted``: a file of allowed signers as
``ssh-keygen -Y verify -f`` takes it. A key that is withdrawn stands in ``revoked``, for good.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from evercast.artifacts.files import atomic_write_bytes, disk_errors, make_folder
from evercast.artifacts.signatures import NAMESPACE, PublicKey, parse_public_key, read_public_key
from evercast.errors import EnvironmentUnfit, InvalidInput

__all__ = ["KeyRing", "SignerState", "TrustedKey", "key_folder"]

SignerState = Literal["trusted", "expired", "revoked", "unknown"]

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,60}")
_WHO: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._+-]{0,100}")
_DAY: Final = re.compile(r"[0-9]{8}")
_OPTION: Final = re.compile(rf'namespaces="{NAMESPACE}"(?:,valid-before="([0-9]{{8}})")?')


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKey:
    """A public key that belongs to somebody.

    Args:
        who: whom it belongs to, as the one who trusts it wrote.
        until: first day on which its signatures are no longer taken, ``YYYYMMDD``; None for no end.
    """

    who: str
    key: PublicKey
    until: str | None = None


def key_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder of the keys: ``EVERCAST_KEYS``, else ``evercast/keys`` where configuration lies.

    Args:
        environment: usually ``os.environ``.

    Raises:
        EnvironmentUnfit: ``environment.home``.
    """
    if environment.get("EVERCAST_KEYS"):
        return Path(environment["EVERCAST_KEYS"])
    if environment.get("XDG_CONFIG_HOME"):
        return Path(environment["XDG_CONFIG_HOME"]) / "evercast" / "keys"
    if environment.get("HOME"):
        return Path(environment["HOME"]) / ".config" / "evercast" / "keys"
    raise EnvironmentUnfit("there is no HOME for keys", code="environment.home", hint="set EVERCAST_KEYS")


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys in a folder, which need not exist."""

    folder: Path

    @property
    def trusted_file(self) -> Path:
        """The file of allowed signers."""
        return self.folder / "trusted"

    @property
    def revoked_file(self) -> Path:
        """The keys that were withdrawn, one a line."""
        return self.folder / "revoked"

    def private(self, name: str) -> Path:
        """Return the private key of a name; it need not exist.

        Raises:
            InvalidInput: ``key.name``.
        """
        if _NAME.fullmatch(name) is None:
            raise InvalidInput(
                f"{name!r} is no name for a key", code="key.name", hint="small letters, digits and . _ - , e.g. cms-h4l"
            )
        return self.folder / f"{name}.pem"

    def new(self, name: str) -> PublicKey:
        """Make a key pair and return its public half.

        Raises:
            InvalidInput: ``key.name``, or ``key.exists``: a key is never written over.
            EnvironmentUnfit: the disk refuses.
        """
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - heavy
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - heavy

        file = self.private(name)
        make_folder(self.folder)
        made = Ed25519PrivateKey.generate()
        content = made.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with disk_errors(file):
            try:
                handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError as err:
                raise InvalidInput(
                    f"there is a key {name!r} already", code="key.exists", where=str(file), hint="give another name"
                ) from err
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        public = PublicKey(raw=made.public_key().public_bytes_raw(), comment=name)
        atomic_write_bytes(file.with_suffix(".pub"), f"{public.line()}\n".encode())
        return public

    def own(self) -> dict[str, PublicKey]:
        """Return name -> public half of the keys of one's own.

        Raises:
            InvalidInput: ``key.kind``: a file is damaged.
        """
        files = sorted(self.folder.glob("*.pem")) if self.folder.is_dir() else []
        return {file.stem: read_public_key(file.with_suffix(".pub")) for file in files}

    def trusted(self) -> tuple[TrustedKey, ...]:
        """Return the keys that are trusted, in the order in which they were.

        Raises:
            InvalidInput: ``key.trusted``: the file is damaged.
        """
        return tuple(self._trusted())

    def _trusted(self) -> Iterator[TrustedKey]:
        if not self.trusted_file.is_file():
            return
        for number, line in enumerate(self.trusted_file.read_text(encoding="utf-8").splitlines(), start=1):
            if not line.strip() or line.startswith("#"):
                continue
            who, _, rest = line.partition(" ")
            option, _, key = rest.partition(" ")
            match = _OPTION.fullmatch(option)
            found = parse_public_key(key)
            if match is None or found is None or _WHO.fullmatch(who) is None:
                raise InvalidInput(
                    f"line {number} is not as evercast writes it",
                    code="key.trusted",
                    where=str(self.trusted_file),
                    hint=f'WHO namespaces="{NAMESPACE}" ssh-ed25519 KEY',
                )
            yield TrustedKey(who=who, key=found, until=match[1])

    def trust(self, key: PublicKey, *, who: str, until: str | None = None) -> TrustedKey:
        """Take a public key as somebody's from now on.

        Args:
            key: the public key.
            who: whom it belongs to.
            until: first day on which its signatures are no longer taken, ``YYYYMMDD``; None for no end.

        Raises:
            InvalidInput: ``key.name``, ``key.date``, ``key.revoked``, or ``key.trusted``: it is another's already.
            EnvironmentUnfit: the disk refuses.
        """
        if _WHO.fullmatch(who) is None:
            raise InvalidInput(f"{who!r} names nobody", code="key.name", hint="letters, digits and @ . _ + -")
        if until is not None and _DAY.fullmatch(until) is None:
            raise InvalidInput(f"{until!r} is no day", code="key.date", hint="YYYYMMDD")
        if self.revoked(key):
            raise InvalidInput(f"{key.fingerprint} was withdrawn for good", code="key.revoked")
        others = [entry for entry in self.trusted() if entry.key.raw != key.raw]
        known = [entry for entry in self.trusted() if entry.key.raw == key.raw and entry.who != who]
        if known:
            raise InvalidInput(f"{key.fingerprint} belongs to {known[0].who} already", code="key.trusted")
        entry = TrustedKey(who=who, key=key, until=until)
        make_folder(self.folder)
        text = "".join(f"{_line(entry)}\n" for entry in (*others, entry))
        atomic_write_bytes(self.trusted_file, text.encode())
        return entry

    def revoke(self, key: PublicKey) -> None:
        """Take nothing any more that this key signs or has signed, for good.

        Raises:
            EnvironmentUnfit: the disk refuses.
        """
        make_folder(self.folder)
        lines = self.revoked_file.read_text(encoding="utf-8") if self.revoked_file.is_file() else ""
        if key.raw not in self._revoked():
            atomic_write_bytes(self.revoked_file, f"{lines}{key.line()}\n".encode())

    def revoked(self, key: PublicKey) -> bool:
        """Return whether a key was withdrawn."""
        return key.raw in self._revoked()

    def known_as(self, text: str) -> PublicKey | None:
        """Return the trusted key of a name or fingerprint; None where there is none.

        Raises:
            InvalidInput: ``key.ambiguous``: several trusted keys have the name; ``key.trusted``: the file is damaged.
        """
        found = [entry.key for entry in self.trusted() if text in (entry.who, entry.key.fingerprint)]
        if len(found) > 1:
            listed = ", ".join(key.fingerprint for key in found)
            message = f"{len(found)} trusted keys are of {text}: {listed}"
            raise InvalidInput(message, code="key.ambiguous", hint="give the fingerprint instead of the name")
        return found[0] if found else None

    def _revoked(self) -> frozenset[bytes]:
        if not self.revoked_file.is_file():
            return frozenset()
        lines = self.revoked_file.read_text(encoding="utf-8").splitlines()
        return frozenset(key.raw for key in map(parse_public_key, lines) if key is not None)

    def state(self, key: PublicKey, *, today: str) -> tuple[SignerState, str | None]:
        """Return what is known of a key, and whose it is where somebody's.

        Args:
            key: that has signed.
            today: ``YYYYMMDD``.

        Raises:
            InvalidInput: ``key.trusted``: the file is damaged.
        """
        entry = next((entry for entry in self.trusted() if entry.key.raw == key.raw), None)
        who = None if entry is None else entry.who
        if key.raw in self._revoked():
            return "revoked", who
        if entry is None:
            return "unknown", None
        return ("expired" if entry.until is not None and entry.until <= today else "trusted"), who


def _line(entry: TrustedKey) -> str:
    until = f',valid-before="{entry.until}"' if entry.until is not None else ""
    return f'{entry.who} namespaces="{NAMESPACE}"{until} {entry.key.line()}'
