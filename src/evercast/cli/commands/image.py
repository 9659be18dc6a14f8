"""``evercast image``: container images, built, checked and listed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from evercast.runtime.image_check import CheckedImage, check_image
from evercast.runtime.image_store import ImageStore, default_store
from evercast.runtime.images import ImageRecord, name_files, read_names
from evercast.spec.codec import to_json

__all__ = ["command"]

_STORE = click.option(
    "--store", type=click.Path(path_type=Path), help="Folder of the images; $EVERCAST_IMAGES by default, else your own."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="The outcome as JSON on stdout.")


@click.group(name="image", short_help="Build, verify and list container images.")
def command() -> None:
    """Container images: a run with containers uses those whose sha256 is locked in images.yaml, and no others."""


@command.command(epilog="Example: evercast image build evercast --sign key.pem")
@click.argument("name")
@click.option("--recipe", type=click.Path(path_type=Path), help="Definition file; containers/NAME.def by default.")
@click.option(
    "--wheel", type=click.Path(path_type=Path), help="Evercast as a package; made from the checkout by default."
)
@click.option("--mirror", help="Where Debian comes from; this machine's package sources by default.")
@click.option(
    "--sign", "key", type=click.Path(path_type=Path), envvar="EVERCAST_SIGNING_KEY",
    help="Private ed25519 key (PEM) to sign with; the file in $EVERCAST_SIGNING_KEY by default, else nobody signs.",
)  # fmt: skip
@click.option(
    "--names",
    type=click.Path(path_type=Path),
    help="The images.yaml that gets the digest; that of the store by default.",
)
@_STORE
@_JSON
def build(
    *, name: str, recipe: Path | None, wheel: Path | None, mirror: str | None, key: Path | None, names: Path | None,
    store: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Build the image NAME from its recipe, put it into the store and lock its name to its sha256.

    The same sources give the same bytes: in a checkout those of its last commit.
    """
    from evercast.runtime.image_build import BuildRequest, build_image  # noqa: PLC0415 - heavy

    steps = 0

    def step(text: str) -> None:
        nonlocal steps
        steps += 1
        if not as_json:
            click.echo(f"[{steps}] {text} ...", err=True)

    request = BuildRequest(name=name, recipe=recipe, wheel=wheel, mirror=mirror, key=key, names=names)
    built = build_image(request, store=_store(store), observe=step)
    if built.uncommitted and not as_json:
        click.echo(f"note: {len(built.uncommitted)} uncommitted changes are not in the image", err=True)
    if as_json:
        body = {"name": name, "file": str(built.file), "names": str(built.names), **to_json(built.record)}
        click.echo(json.dumps(body | {"uncommitted": list(built.uncommitted)}, indent=1))
        return
    click.echo(f"{name}: {built.file}")
    _print_record(built.record)
    click.echo(f"  locked in     {built.names}")


@command.command(epilog="Example: evercast image verify evercast --key key.pub")
@click.argument("image")
@click.option("--key", type=click.Path(path_type=Path), help="Public key (PEM) of who must have signed it.")
@click.option("--document", type=click.Path(path_type=Path), help="Look for names and files beside this document too.")
@_STORE
@_JSON
def verify(*, image: str, key: Path | None, document: Path | None, store: Path | None, as_json: bool) -> None:
    """Read IMAGE (a name or a file) again and compare its digest, labels and architecture with what is locked."""
    folder = None if document is None else document.parent
    checked = check_image(image, folder=folder, store=_store(store), key=key)
    if as_json:
        body = {"file": str(checked.file), "image": to_json(checked.record), "locked": checked.locked}
        signature = {"claimed": list(checked.claimed), "verified_by": checked.verified_by}
        click.echo(json.dumps(body | signature, indent=1))
        return
    click.echo(f"{image}: {checked.file}")
    _print_record(checked.record)
    click.echo(f"  digest        {'as locked' if checked.locked else 'read now; no name is locked to this file'}")
    click.echo(f"  signature     {_signature(checked)}")


@command.command(name="list", epilog="Example: evercast image list")
@click.option("--document", type=click.Path(path_type=Path), help="Begin with the images.yaml beside this document.")
@_STORE
@_JSON
def list_images(*, document: Path | None, store: Path | None, as_json: bool) -> None:
    """List the names of images, what each is locked to, and whether it is in the store, with the right size.

    The content is not read: that is what `evercast image verify NAME` does.
    """
    where = _store(store)
    rows: dict[str, tuple[ImageRecord, Path]] = {}
    for file in name_files(None if document is None else document.parent, store=where):
        for name, record in read_names(file).items():
            rows.setdefault(name, (record, file))
    if as_json:
        click.echo(
            json.dumps({"store": str(where.root), "images": [_row(where, *row) for row in rows.items()]}, indent=1)
        )
        return
    if not rows:
        click.echo("no image has a name yet; build one: evercast image build evercast")
        return
    titles = f"{'name':<16}{'sha256':<15}{'present':<9}{'size':>9}  {'architecture':<14}{'version':<10}"
    click.echo(f"{titles}{'revision':<14}locked in")
    for name, (record, file) in rows.items():
        present = _presence(where, record)
        size = f"{record.size_bytes / 1e6:.0f} MB"
        labels = record.labels
        click.echo(
            f"{name:<16}{record.sha256[:12]:<15}{present:<9}{size:>9}  {record.architecture:<14}"
            f"{labels.version or '-':<10}{(labels.revision or '-')[:12]:<14}{file}"
        )
    for name, (record, _) in rows.items():
        file = where.file(record.sha256)
        if _presence(where, record) == "damaged":
            sizes = f"{_size(file)} bytes, expected {record.size_bytes}"
            click.echo(f"{name}: {file} has {sizes}; copy or build it again: evercast image verify {name}", err=True)


def _store(folder: Path | None) -> ImageStore:
    return default_store() if folder is None else ImageStore(folder.absolute())


def _row(store: ImageStore, name: str, found: tuple[ImageRecord, Path]) -> dict[str, Any]:
    record, file = found
    place = store.file(record.sha256)
    return {
        "name": name, **to_json(record), "present": place.is_file(), "found_bytes": _size(place), "file": str(place),
        "locked_in": str(file),
    }  # fmt: skip


def _size(file: Path) -> int | None:
    return file.stat().st_size if file.is_file() else None


def _presence(store: ImageStore, record: ImageRecord) -> str:
    """Return whether the store has the image, as far as its size tells; its content is not read."""
    found = _size(store.file(record.sha256))
    if found is None:
        return "no"
    return "yes" if found == record.size_bytes else "damaged"


def _print_record(record: ImageRecord) -> None:
    labels = record.labels
    click.echo(f"  sha256        {record.sha256}")
    click.echo(f"  size          {record.size_bytes / 1e6:.1f} MB")
    click.echo(f"  architecture  {record.architecture}")
    for title, value in (
        ("recipe", record.recipe), ("evercast", labels.version), ("revision", labels.revision),
        ("lock file", labels.requirements), ("signed by", record.signed_by),
    ):  # fmt: skip
        if value is not None:
            click.echo(f"  {title:<14}{value}")


def _signature(checked: CheckedImage) -> str:
    if checked.verified_by is not None:
        return f"good, by {checked.verified_by}"
    if checked.claimed:
        return f"claims {', '.join(checked.claimed)}; not checked: give the public key with --key"
    return "nobody signed it"
