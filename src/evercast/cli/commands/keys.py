"""``evercast keys``: keys to sign with, and keys that are trusted."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from evercast.artifacts.key_ring import KeyRing, key_folder
from evercast.artifacts.signatures import PublicKey, read_public_key

__all__ = ["command"]

_JSON = click.option("--json", "as_json", is_flag=True, help="The outcome as JSON on stdout.")


@click.group(name="keys", short_help="Keys to sign publications and archives with, and keys that are trusted.")
def command() -> None:
    """Ed25519 keys, in $EVERCAST_KEYS or ~/.config/evercast/keys; OpenSSH and openssl read the same files."""


@command.command(epilog="Example: evercast keys new cms-h4l")
@click.argument("name")
@_JSON
def new(*, name: str, as_json: bool) -> None:
    """Make a key pair NAME. The private half stays in NAME.pem, readable by you alone and without a pass phrase."""
    ring = _ring()
    key = ring.new(name)
    private = ring.private(name)
    if as_json:
        click.echo(json.dumps({**_body(key), "private": str(private), "public": str(private.with_suffix(".pub"))}))
        return
    click.echo(f"private  {private}  (keep it secret, keep a copy off this machine)")
    click.echo(f"public   {private.with_suffix('.pub')}  (publish it where readers will look for it)")
    click.echo(f"         {key.fingerprint}")


@command.command(name="list", epilog="Example: evercast keys list")
@_JSON
def list_keys(*, as_json: bool) -> None:
    """List your own keys and those that you trust."""
    ring = _ring()
    own, trusted = ring.own(), ring.trusted()
    if as_json:
        mine = [{"name": name, "revoked": ring.revoked(key), **_body(key)} for name, key in own.items()]
        others = [
            {"who": entry.who, "until": entry.until, "revoked": ring.revoked(entry.key), **_body(entry.key)}
            for entry in trusted
        ]
        click.echo(json.dumps({"folder": str(ring.folder), "own": mine, "trusted": others}, indent=1))
        return
    for name, key in own.items():
        withdrawn = "  revoked" if ring.revoked(key) else ""
        click.echo(f"own      {name:<24} {key.fingerprint}{withdrawn}")
    for entry in trusted:
        revoked = ring.revoked(entry.key)
        until = f"  until {entry.until}" if entry.until and not revoked else ""
        click.echo(f"{'revoked' if revoked else 'trusted'}  {entry.who:<24} {entry.key.fingerprint}{until}")
    if not own and not trusted:
        click.echo(f"no keys in {ring.folder}; make one: evercast keys new NAME")


@command.command(epilog="Example: evercast keys show cms-h4l")
@click.argument("key", metavar="NAME|FILE")
@_JSON
def show(*, key: str, as_json: bool) -> None:
    """Show a public key: one of your own by its name, or one in a file."""
    public = _key(key)
    if as_json:
        click.echo(json.dumps(_body(public)))
        return
    click.echo(public.line())
    click.echo(public.fingerprint)


@command.command(epilog="Example: evercast keys trust cms.pub --as analysis@cms.cern --until 20301231")
@click.argument("key", metavar="FILE|NAME")
@click.option("--as", "who", help="Whom the key belongs to; needed unless it is revoked.")
@click.option("--until", metavar="YYYYMMDD", help="First day on which its signatures are no longer taken.")
@click.option("--revoke", is_flag=True, help="Never take a signature of this key again.")
@_JSON
def trust(*, key: str, who: str | None, until: str | None, revoke: bool, as_json: bool) -> None:
    """Take a public key as somebody's, or revoke it. Compare its fingerprint with what its owner published.

    A key that is trusted is revoked by the name or the fingerprint that `evercast keys list` shows, too.
    """
    ring = _ring()
    public = (_unfiled(key, ring) if revoke else None) or _key(key)
    if revoke:
        ring.revoke(public)
        state = "revoked"
    elif who is None:
        raise click.UsageError("--as says whom the key belongs to")
    else:
        ring.trust(public, who=who, until=until)
        state = "trusted"
    if as_json:
        click.echo(json.dumps({"state": state, "who": who, **_body(public)}))
        return
    click.echo(f"{state}: {public.fingerprint}{f' of {who}' if who else ''}")


def _ring() -> KeyRing:
    return KeyRing(key_folder(os.environ))


def _key(text: str) -> PublicKey:
    """Return the public key of a name or in a file."""
    own = _ring().own()
    return own[text] if text in own and not Path(text).is_file() else read_public_key(Path(text))


def _unfiled(text: str, ring: KeyRing) -> PublicKey | None:
    """Return the trusted key of a name or fingerprint that is neither a file nor a key of one's own."""
    return None if text in ring.own() or Path(text).is_file() else ring.known_as(text)


def _body(key: PublicKey) -> dict[str, str]:
    return {"fingerprint": key.fingerprint, "public_key": key.line()}
