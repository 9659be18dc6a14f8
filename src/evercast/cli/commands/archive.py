"""``evercast archive``: finished runs kept for good, in versions."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click

from evercast.errors import UsageError

__all__ = ["command"]

_JSON = click.option("--json", "as_json", is_flag=True, help="The outcome as JSON on stdout.")
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}


@click.group(name="archive", short_help="Keep finished runs for good, in versions; bring archives elsewhere.")
def command() -> None:
    """Archives: folders of versions, each a BagIt bag that `sha256sum -c` can check without evercast."""


@command.command(epilog="Example: evercast archive pack specs/toy/analysis.yaml --output toy-archive")
@click.argument("run", metavar="DOCUMENT|RUN", type=click.Path(path_type=Path))
@click.option("--results", type=click.Path(path_type=Path), help="Run folder of DOCUMENT; results/NAME by default.")
@click.option(
    "--output", type=click.Path(path_type=Path), help="Folder of the archive; archive in the run folder by default."
)
@click.option(
    "--inputs", default="500MB", show_default=True, metavar="all|none|SIZE",
    help="Largest input file that is put in; others are named by address, sha256 and size.",
)  # fmt: skip
@click.option("--images", is_flag=True, help="Put the container images in.")
@click.option(
    "--sign", "key", type=click.Path(path_type=Path), envvar="EVERCAST_SIGNING_KEY",
    help="Private Ed25519 key (PEM) to sign with; the file in $EVERCAST_SIGNING_KEY by default, else nobody signs.",
)  # fmt: skip
@_JSON
def pack(
    *, run: Path, results: Path | None, output: Path | None, inputs: str, images: bool, key: Path | None, as_json: bool
) -> None:
    """Pack a finished run as the next version of its archive; the same content again writes nothing.

    Give the analysis document, or the run folder itself. Earlier versions are verified first and never changed.
    """
    from evercast.artifacts.archive_verify import sign_version  # noqa: PLC0415 - heavy, as the next ones
    from evercast.artifacts.signatures import read_private_key  # noqa: PLC0415
    from evercast.publication.archive_pack import PackRequest, find_run, pack_archive  # noqa: PLC0415

    limit = _limit(inputs)
    frozen = find_run(run, results=results)
    if key is not None:
        read_private_key(key)  # before anything is written
    archive = output if output is not None else frozen.folder.root / "archive"
    bundles = frozen.folder.root / "publication" / "bundles"
    request = PackRequest(frozen=frozen, archive=archive, limit=limit, images=images, bundles=bundles)
    packed = pack_archive(request, observe=None if as_json else _say)
    signer = None if key is None else sign_version(packed.version.bag, key=key)[0].fingerprint
    record, bag = packed.version.record, packed.version.bag
    if as_json:
        body = {
            "folder": str(packed.version.folder), "version": record.version, "id": bag.id, "previous": record.previous,
            "written": packed.written, "files": len(bag.files), "bytes": sum(bag.sizes.values()),
            "stored_bytes": packed.stored_bytes, "signed_by": signer,
        }  # fmt: skip
        click.echo(json.dumps(body, indent=1))
        return
    what = "packed" if packed.written else "packed already, nothing changed"
    size = sum(bag.sizes.values()) / 1e6
    click.echo(f"{what}: {packed.version.folder}, {len(bag.files)} files, {size:.1f} MB")
    if packed.written:
        click.echo(f"  stored     {packed.stored_bytes / 1e6:.1f} MB; the rest was in the archive already")
    outside = [entry for entry in record.inputs if entry.file is None]
    if outside:
        total = sum(entry.size for entry in outside) / 1e6
        click.echo(f"  not in it  {len(outside)} input files, {total:.0f} MB, named by address and sha256")
    click.echo(f"  id         {bag.id}")
    click.echo(f"  signed by  {signer or 'nobody'}")


@command.command(epilog="Example: evercast archive sign toy-archive --key ~/.config/evercast/keys/cms.pem")
@click.argument("archive", type=click.Path(path_type=Path))
@click.option("--key", type=click.Path(path_type=Path), required=True, help="Private Ed25519 key (PEM).")
@click.option("--version", "number", type=click.IntRange(min=1), help="Number of the version; all by default.")
@_JSON
def sign(*, archive: Path, key: Path, number: int | None, as_json: bool) -> None:
    """Sign versions of ARCHIVE, after they were verified. A signature lies beside what the digests cover."""
    from evercast.artifacts.archive import open_archive  # noqa: PLC0415 - heavy, as the next one
    from evercast.artifacts.archive_verify import sign_version  # noqa: PLC0415

    versions = [entry for entry in open_archive(archive).versions if number in (None, entry.record.version)]
    if not versions:
        raise UsageError(f"the archive has no version {number}", code="archive.no-version")
    made = [(version, *sign_version(version.bag, key=key)) for version in versions]
    if as_json:
        rows = [{"id": version.bag.id, "key": key.fingerprint, "file": str(file)} for version, key, file in made]
        click.echo(json.dumps(rows, indent=1))
        return
    for version, public, file in made:
        click.echo(f"version {version.record.version}: signed by {public.fingerprint}: {file}")


@command.command(name="ls", epilog="Example: evercast archive ls toy-archive")
@click.argument("archive", type=click.Path(path_type=Path))
@click.option("--files", "with_files", is_flag=True, help="Every file of the newest version too.")
@_JSON
def list_versions(*, archive: Path, with_files: bool, as_json: bool) -> None:
    """List the versions of ARCHIVE (a folder or a tar file), what each adds, and whether it carries signatures."""
    from evercast.artifacts.archive import check_versions, find_versions  # noqa: PLC0415 - heavy
    from evercast.artifacts.bag import SIGNATURES  # noqa: PLC0415

    versions = check_versions(find_versions(archive), where=str(archive), digests=False)
    seen: dict[str, int] = {}
    rows = []
    for version in versions:
        new = {digest: version.bag.sizes[name] for name, digest in version.bag.files.items() if digest not in seen}
        seen |= new
        signatures = [name for name in version.content.sizes if name.startswith(SIGNATURES) and name.endswith(".sig")]
        rows.append(
            {
                "version": version.record.version, "name": version.record.name, "id": version.bag.id,
                "previous": version.record.previous, "date": version.bag.info.get("Bagging-Date"),
                "evercast": version.record.code.version, "pseudo_data": version.record.pseudo_data,
                "units": len(version.record.units), "files": len(version.bag.files),
                "bytes": sum(version.bag.sizes.values()), "new_bytes": sum(new.values()), "signatures": len(signatures),
            }
        )  # fmt: skip
    last = versions[-1].bag
    if as_json:
        files = {"files": dict(last.files)} if with_files else {}
        click.echo(json.dumps({"archive": str(archive), "versions": rows, **files}, indent=1))
        return
    click.echo(f"{'version':<9}{'date':<12}{'id':<14}{'units':>6}{'files':>8}{'size':>12}{'new':>12}  signatures")
    for row in rows:
        sizes = f"{_mb(row['bytes']):>12}{_mb(row['new_bytes']):>12}"
        click.echo(
            f"{row['version']:<9}{row['date'] or '-':<12}{str(row['id'])[:12]:<14}{row['units']:>6}{row['files']:>8}"
            f"{sizes}  {row['signatures'] or 'none'}"
        )
    click.echo(
        f"{sum(seen.values()) / 1e6:.1f} MB, each content counted once; digests are compared by: evercast verify"
    )
    if with_files:
        for name, digest in last.files.items():
            click.echo(f"{digest}  {last.sizes[name]:>12}  {name}")


@command.command(epilog="Example: evercast archive push toy-archive oci://registry.example.org/cms/toy")
@click.argument("archive", type=click.Path(path_type=Path))
@click.argument("target")
@_JSON
def push(*, archive: Path, target: str, as_json: bool) -> None:
    """Bring the versions of ARCHIVE that TARGET lacks to TARGET: a folder, a file NAME.tar, or oci://HOST/NAME.

    What TARGET has already is never changed. Credentials are those of `docker login` or `oras login`.
    """
    _transfer(str(archive), target, as_json=as_json)


@command.command(epilog="Example: evercast archive pull oci://registry.example.org/cms/toy toy-archive")
@click.argument("source")
@click.argument("folder", type=click.Path(path_type=Path))
@_JSON
def pull(*, source: str, folder: Path, as_json: bool) -> None:
    """Bring the versions in SOURCE (a folder, a tar file, or oci://HOST/NAME) that FOLDER lacks to FOLDER.

    Names, sizes and digests are checked before anything gets its final name. oci://HOST/NAME:v2 is one version alone.
    """
    if folder.suffix == ".tar":
        raise UsageError(f"{folder} would be a tar file; pull writes a folder", code="archive.target")
    _transfer(source, str(folder), as_json=as_json)


def _transfer(source: str, target: str, *, as_json: bool) -> None:
    from evercast.artifacts.archive_transfer import transfer_archive  # noqa: PLC0415 - heavy

    home = Path("~").expanduser()
    done = transfer_archive(source, target, home=home, observe=None if as_json else _say)
    if as_json:
        body = {
            "source": source, "target": target, "versions": done.versions, "new": done.new,
            "stored_bytes": done.stored_bytes, "total_bytes": done.total_bytes,
        }  # fmt: skip
        click.echo(json.dumps(body, indent=1))
        return
    new = f"versions {', '.join(map(str, done.new))} are new" if done.new else "nothing was new"
    click.echo(
        f"{target}: {new}; {done.stored_bytes / 1e6:.1f} MB written for {done.total_bytes / 1e6:.1f} MB of files"
    )


def _limit(text: str) -> int | None:
    """Return the largest size in bytes; None for no limit."""
    if text == "all":
        return None
    match = re.fullmatch(r"([0-9]{1,9}) ?([kKmMgGtT]?[bB])?", text)
    if text != "none" and match is None:
        raise UsageError(f"{text!r} is no size", code="archive.size", hint="all, none, or a size such as 200MB")
    return -1 if match is None else int(match[1]) * _UNITS[(match[2] or "").lower()]


def _mb(size: object) -> str:
    return f"{int(str(size)) / 1e6:.1f} MB"


def _say(text: str) -> None:
    click.echo(text, err=True)
